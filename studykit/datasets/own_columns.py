"""What each column of a person's own table is for: what cases.json says, and where it is silent, a proposal.

cases.json stands beside the table; every part of it may be left out:

    {"id": "id",                                 the column that names a case
     "patient": "patient",                       whose cases stay together; "": each case is a patient
     "tasks": {"label": {"kind": "binary", "classes": ["no", "yes"]}},    the first is the main one
     "columns": {"age": "number", "sex": "category", "report": "text", "photo": "image",
                 "photo_mask": "mask of photo", "ct": "volume", "site": "ignore"},
     "refused": {"stage": "it is read off the same picture"},             never used, and why
     "missing": ["-9", "unknown"],               further words that stand for nothing
     "reasons": {"age": "..."}}                  for people only

An image is "gray image" or "colour image"; plain "image" goes by what most of the first ones are. A task is
binary, multiclass, multilabel ("a&b", or "none") or regression; a binary task's second class is the positive
one.
"""

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
from torch import nn

from studykit.case import Task
from studykit.catalog import InputError, check_choice
from studykit.datasets.inference import inferred_kind, inferred_task, parts, sorted_classes
from studykit.files.places import inside, shown

FILE = "cases.json"
PARTS = {"id": str, "patient": str, "tasks": dict, "columns": dict, "refused": dict, "missing": list,
         "reasons": dict}  # fmt: skip
PICTURES = ("image", "gray image", "colour image", "volume")
KINDS = ("number", "category", "text", *PICTURES, "mask of COLUMN", "ignore")
IDS = ("id", "case", "case id", "caseid")
PATIENTS = ("patient", "patient id", "patientid", "subject", "subject id")
OUTLINES = ("mask", "outline", "segmentation")
TAKEN = {"id", "group", "split", "record", "logistic"}  # words of the tables that runs write


@dataclass(frozen=True)
class Columns:
    """id, patient: columns ("" where each case is a patient). tasks: by column, the main one first.

    kinds: {column: kind} of those in use. refused: {column: why}. reasons: {column: why this kind}.
    missing: the words that stand for nothing, besides those that always do.
    """

    id: str
    patient: str
    tasks: tuple[Task, ...]
    kinds: Mapping[str, str]
    refused: Mapping[str, str]
    reasons: Mapping[str, str]
    missing: tuple[str, ...] = ()

    def of_kind(self, *kinds: str) -> tuple[str, ...]:
        """The columns of these kinds, in the table's order."""
        return tuple(column for column, kind in self.kinds.items() if kind in kinds)

    def outline(self, picture: str) -> str:
        """The column with the outlines of a picture; "" where there is none."""
        found = self.of_kind(f"mask of {picture}")
        return found[0] if found else ""

    def to_json(self) -> dict[str, Any]:
        """What cases.json would hold."""
        tasks = {
            task.name: {"kind": task.kind, **({"classes": list(task.classes)} if task.classes else {})}
            for task in self.tasks
        }
        return {
            "id": self.id, "patient": self.patient, "tasks": tasks, "columns": dict(self.kinds),
            "refused": dict(self.refused), "missing": list(self.missing), "reasons": dict(self.reasons),
        }  # fmt: skip


def read_settled(root: Path) -> dict[str, Any]:
    """What cases.json in `root` says; {} where there is none. InputError for one that cannot be meant."""
    if not os.path.lexists(root / FILE):
        return {}
    path = inside(root, FILE, f"The folder {root}")
    try:
        given = json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError) as why:
        raise InputError(f"{path} cannot be read as JSON ({why}); mend it or remove it.") from None
    if not isinstance(given, dict):
        raise InputError(f'{path} is an object like {{"columns": {{"age": "number"}}}}, not {shown(given)}.')
    for key, value in given.items():
        check_choice(f"part of {FILE}", key, PARTS)
        if not isinstance(value, PARTS[key]):
            words = {str: "a text", dict: "an object", list: "a list"}
            raise InputError(f"The part '{key}' of {path} is {words[PARTS[key]]}, not {shown(value)}.")
    for key in ("columns", "refused", "reasons", "missing"):
        values = given.get(key, [])
        for value in values.values() if isinstance(values, dict) else values:
            if not isinstance(value, str):
                raise InputError(f"The part '{key}' of {path} holds texts, not {shown(value)}.")
    return given


def settle(table: pd.DataFrame, given: Mapping[str, Any], root: Path, file: str) -> Columns:
    """The columns of `table` (text by row, of the file named `file`), as `given` by cases.json or inferred.

    Raises InputError for columns that are not there and for what cannot be meant.
    """
    key = _named(table, given, "id", IDS, file)
    patient = _named(table, given, "patient", PATIENTS, file)
    reasons = dict(given.get("reasons", {}))
    tasks = _tasks(table, given, file, reasons)
    told, refused = dict(given.get("columns", {})), dict(given.get("refused", {}))
    for column in (*told, *refused):
        check_choice(f"column in {file}", column, table.columns)
    used = {key, patient, *(task.name for task in tasks)}
    ways = [*{key, patient}, *(task.name for task in tasks), *told, *refused]  # id may be patient
    for column in ways:
        if ways.count(column) > 1:
            raise InputError(f"{FILE} uses the column '{column}' of {file} in two ways; decide for one.")
    labels = [table[task.name] for task in tasks]
    patients = table[patient or key]
    kinds: dict[str, str] = {}
    for column in table.columns.difference([*used, *refused], sort=False):
        kind, why = told.get(column), f"{FILE} says so"
        if kind is None:
            kind, why = _proposed(column, table[column], labels, patients, root)
        if kind == "ignore":
            refused[column] = why
        else:
            kinds[column] = kind
            reasons.setdefault(column, why)
    _find_outlines(kinds, told, refused, reasons)
    for column, kind in kinds.items():
        _check_kind(column, kind, kinds, file)
    if all(kind.startswith("mask of ") for kind in kinds.values()):
        listed = "; ".join(f"'{column}': {why}" for column, why in refused.items())
        raise InputError(
            f"{file} has nothing to learn from besides its tasks; add a column, or give one that was left "
            f"out a kind in {FILE} ({listed or 'none was'})."
        )
    return Columns(key, patient, tasks, kinds, refused, reasons, tuple(given.get("missing", ())))


def _proposed(
    column: str, cells: pd.Series, labels: list[pd.Series], patients: pd.Series, root: Path
) -> tuple[str, str]:
    """The inferred kind and its reason; "ignore" for a column that would have to be renamed."""
    kind, why = inferred_kind(column, cells, labels, patients, partial(_is_folder, root))
    trouble = _name_trouble(column, kind)
    return ("ignore", trouble) if trouble else (kind, why)


def _named(
    table: pd.DataFrame, given: Mapping[str, Any], part: str, names: tuple[str, ...], file: str
) -> str:
    """The column that cases.json or its own name makes the cases' id or patient; "" for no patients."""
    if given.get(part):
        check_choice(f"column in {file}", given[part], table.columns)
        return given[part]
    called = {} if part in given else {re.sub(r"[\W_]+", " ", c.casefold()): c for c in table.columns}
    found = [called[name] for name in names if name in called]
    if not found and part == "id":
        raise InputError(
            f"{file} has no column 'id' that names each case; add it, or name the column in {FILE}: "
            '{"id": "COLUMN"}.'
        )
    return found[0] if found else ""


def _tasks(
    table: pd.DataFrame, given: Mapping[str, Any], file: str, reasons: dict[str, str]
) -> tuple[Task, ...]:
    """The tasks that cases.json names, or the one of the column "label"."""
    named = given.get("tasks") or {c: {} for c in table.columns if c.casefold() == "label"}
    if not named:
        raise InputError(
            f"{file} has no column 'label'; add it, or name the columns to predict in {FILE}: "
            '{"tasks": {"COLUMN": {}}}.'
        )
    tasks = []
    for name, settings in named.items():
        check_choice(f"column in {file}", name, table.columns)
        trouble = _name_trouble(name, "task")
        if trouble:
            raise InputError(f"The column '{name}' of {file} cannot be a task: {trouble}.")
        if not isinstance(settings, dict) or not isinstance(settings.get("classes", []), list):
            raise InputError(f'The task \'{name}\' in {FILE} is written {{"kind": ..., "classes": [...]}}.')
        for key in settings:
            check_choice(f"setting of the task '{name}' in {FILE}", key, ("kind", "classes"))
        if settings:
            tasks.append(_settled_task(name, table[name], settings, file))
        else:
            task, reasons[name] = inferred_task(name, table[name], file)
            tasks.append(task)
    return tuple(tasks)


def _settled_task(name: str, cells: pd.Series, settings: Mapping[str, Any], file: str) -> Task:
    """The task as cases.json writes it; InputError where the table's cells are of another kind."""
    classes = tuple(str(one) for one in settings.get("classes", []))
    seen = cells.dropna()
    several = bool(seen.map(lambda cell: "&" in cell).any())
    few = len(classes or set(seen)) == 2
    kind = settings.get("kind") or ("multilabel" if several else "binary" if few else "multiclass")
    if kind == "regression":
        if seen.empty or classes:
            raise InputError(f"The regression '{name}' in {FILE} needs numbers in {file}, and no classes.")
        return Task(name, kind)  # whether each cell is a number is seen where they are read
    cut = parts if kind == "multilabel" else lambda cell: [cell]
    found = {part: row for row, cell in reversed(list(seen.items())) for part in cut(cell)}
    classes = classes or sorted_classes(set(found))
    task = Task(name, kind, classes)
    for part, row in found.items():
        if part not in classes:
            raise InputError(
                f"Row {row} of {file} holds {shown(part, 20)} as '{name}', but {FILE} lists the classes "
                f"{', '.join(classes)}; mend the row or add the class."
            )
    for one in classes:
        if one not in found or classes.count(one) > 1:
            why = "twice" if one in found else f"although no case of {file} has it"
            raise InputError(f"{FILE} lists the class {shown(one, 20)} of '{name}' {why}; take it out.")
    return task


def _find_outlines(
    kinds: dict[str, str], told: Mapping[str, str], refused: dict[str, str], reasons: dict[str, str]
) -> None:
    """Inferred pictures that are called after another one ("photo_mask"), or "mask" beside the only one."""
    pictures = [column for column, kind in kinds.items() if kind in PICTURES]
    outlines = [c for c in pictures if c not in told and c.rpartition("_")[2].casefold() in OUTLINES]
    others = [column for column in pictures if column not in outlines]
    for column in outlines:
        picture = column.rpartition("_")[0] or (others[0] if len(others) == 1 else "")
        if picture in others:
            kinds[column] = f"mask of {picture}"
            reasons[column] = f"its name says that it outlines '{picture}'"
        else:
            del kinds[column], reasons[column]
            refused[column] = "it looks like an outline, but of which picture is not known"


def _check_kind(column: str, kind: str, kinds: Mapping[str, str], file: str) -> None:
    """InputError for a kind that does not exist, an outline of nothing, a name that cannot be."""
    if kind.startswith("mask of "):
        pictures = [column for column, kind in kinds.items() if kind in PICTURES]
        check_choice(f"column of pictures in {file}", kind.removeprefix("mask of "), pictures)
        if list(kinds.values()).count(kind) > 1:
            raise InputError(f"Two columns of {file} are the {kind}; join them, or ignore one in {FILE}.")
    else:
        check_choice(f"kind of column (of '{column}' in {FILE})", kind, KINDS)
    trouble = _name_trouble(column, kind)
    if trouble:
        raise InputError(f"The column {shown(column)} of {file} cannot be used as {kind}: {trouble}.")


def _name_trouble(column: str, kind: str) -> str:
    """Why a column of this kind cannot keep its name; "" where it can."""
    if kind == "ignore" or kind.startswith("mask of "):
        return ""
    module = kind not in ("number", "category")  # a part of a model is called after it
    if column in TAKEN or (module and column in dir(nn.ModuleDict())):
        return "the program uses that word itself; rename the column"
    if module and not re.fullmatch(r"[\w -]+", column):
        return "such a name is made of letters, digits, blanks, - and _; rename the column"
    return "a column of the record has no = in its name; rename it" if "=" in column else ""


def _is_folder(root: Path, cell: str) -> bool:
    try:
        return inside(root, cell, "").is_dir()
    except InputError:
        return False
