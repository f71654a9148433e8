"""What kind of column is it? A proposal with its reason, for a person to confirm or to overrule.

A column becomes a picture where most of its cells name picture files, a text where they are long, a number
where all are numbers, a category where few values come again and again. Left out, with the reason, is what
looks like an identifier, holds dates, says the same of everyone, or reads out the label.
"""

import re
from collections.abc import Callable

import numpy as np
import pandas as pd

from studykit.case import Task
from studykit.catalog import InputError
from studykit.files.places import shown

ENDINGS = {
    "image": (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp"),
    "volume": (".nii", ".nii.gz", ".dcm"),
    "text": (".txt",),
}
IDENTIFIERS = {
    *("id", "uid", "mrn", "name", "surname", "forename", "dob", "birth", "birthday", "birthdate", "ssn"),
    *("address", "street", "phone", "telephone", "mobile", "email", "mail", "postcode", "zip", "accession"),
    *("filename", "file", "insurance", "passport", "patientid", "caseid", "studyid", "firstname", "lastname"),
    *("study", "series"),
}
NEGATIVE = {
    *("no", "n", "0", "false", "negative", "neg", "absent", "none"),
    *("benign", "normal", "healthy", "control"),
}
NONE = "none"  # the word that says "labelled, with none of the classes" where several may be named
ENDLESS = re.compile(r"[+-]?inf(inity)?", re.IGNORECASE)
NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?", re.ASCII)
DATE = re.compile(r"(\d{4}[-/.]\d{1,2}[-/.]\d{1,2}|\d{1,2}[-/.]\d{1,2}[-/.](\d{4}|\d{2}))([T ].*)?", re.ASCII)
FEW_TEXTS = 12  # different ones; more are no categories
FEW = 5  # cells; with fewer, nothing is concluded from all of them being different
MOST_SHARED = 5  # different values; as few stand for patients by chance
MOST_CLASSES = 50
MOST_VALUES = 50  # of a category


def number(cell: str) -> float:
    """The number that a cell holds; NaN where it is none (or none that can be reckoned with)."""
    value = float(cell) if NUMBER.fullmatch(cell) else np.nan
    return value if abs(value) < 1e30 else np.nan


def inferred_kind(
    name: str,
    cells: pd.Series,
    labels: list[pd.Series],
    patients: pd.Series,
    is_folder: Callable[[str], bool],
) -> tuple[str, str]:
    """The kind of a column, or "ignore", and the reason.

    cells: text or None by row. labels: the tasks' columns. patients: the patient of each row. is_folder:
    whether a cell names a folder of files.
    """
    seen = cells.dropna()
    if seen.empty:
        return "ignore", "it is empty"
    for kind, endings in ENDINGS.items():
        named = seen.str.lower().str.endswith(endings)
        if named.mean() > 0.5:
            return kind, f"{named.sum()} of {len(seen)} cells end in {' or '.join(endings)}"
    if seen.nunique() > len(seen) / 2 and seen.head(FEW).map(is_folder).all():
        return "volume", "its cells name folders"
    if seen.nunique() == 1 and len(seen) == len(cells) > 1:
        return "ignore", "it says the same of every case"
    kind, reason = _plain_kind(name, seen)
    if kind == "category" and names_patients(seen, patients):
        return "ignore", f"it looks like an identifier: its {seen.nunique()} values stand for single patients"
    for label in labels:
        if kind in ("number", "category") and reads_out(cells, label):
            return "ignore", f"it reads out '{label.name}': whoever knows it, knows the class"
    return kind, reason


def _plain_kind(name: str, seen: pd.Series) -> tuple[str, str]:
    """The kind of a column that names no files."""
    spread, count = seen.nunique(), len(seen)
    if _words(name) & IDENTIFIERS:
        return "ignore", "its name looks like an identifier"
    if seen.map(lambda cell: bool(DATE.fullmatch(cell))).mean() > 0.5:
        return "ignore", "it holds dates, which lead to a person; write ages or days instead"
    values = seen.map(number)
    if values.notna().all():
        if _counts(values):
            return "ignore", "it looks like an identifier: whole numbers, another one in each row"
        return "number", f"{count} numbers from {values.min():g} to {values.max():g}"
    odd = _no_number(seen, values)
    if odd:
        return "ignore", odd
    long = seen.str.split().str.len().median() >= 4
    if long and spread > min(count / 2, FEW_TEXTS):
        return "text", f"{spread} different texts of several words"
    if count >= FEW and spread > count / 2:
        return "ignore", f"it looks like an identifier: {spread} different values in {count} rows"
    if spread > MOST_VALUES:
        return "ignore", f"it has {spread} different values, too many for a category"
    return "category", f"{spread} values: {', '.join(shown(value, 20) for value in sorted(set(seen))[:6])}"


def _no_number(seen: pd.Series, values: pd.Series) -> str:
    """What stands among the numbers of a column of numbers; "" where most cells are something else."""
    pointed, endless = with_point(seen), seen.map(_endless)
    row = values.index[values.isna()][0]
    if endless.any() and (pointed.notna() | endless).mean() > 0.8:
        return f"row {endless.idxmax()} holds an endless or too large number; empty the cell"
    if pointed.notna().mean() <= 0.8:
        return ""
    if pointed.notna()[values.isna()].any():
        row = values.index[values.isna() & pointed.notna()][0]
        return f"it looks like numbers with decimal commas (row {row}); write them with a point, like 2.5"
    return f"row {row} {held(seen[row])}, and numbers are written like 2.5"


def with_point(cells: pd.Series) -> pd.Series:
    """The cells as numbers, as if a decimal comma were a point; NaN where they are none."""
    return cells.str.replace(",", ".").map(number)


def held(cell: str) -> str:
    """What a cell holds instead of a number, for a sentence; only what is no word and no date is shown."""
    plain = len(cell) <= 8 and not re.search(r"[^\W\d_]", cell) and not DATE.fullmatch(cell)
    return f"holds {shown(cell)}, which is no number" if plain else "holds no number"


def names_patients(cells: pd.Series, patients: pd.Series) -> bool:
    """Whether the values of a category stand for patients, so that whoever knows one knows the patient.

    There are more than a handful of them, and each belongs to one patient only, or each patient has one only
    and there are nearly as many as patients.
    """
    pairs = pd.DataFrame({"value": cells, "patient": patients}).dropna().drop_duplicates()
    values, persons = pairs["value"], pairs["patient"]
    if values.nunique() <= MOST_SHARED:
        return False
    each = persons.is_unique and values.nunique() > 0.8 * len(persons)
    return bool(values.is_unique or each)


def reads_out(cells: pd.Series, label: pd.Series) -> bool:
    """Whether a column determines a label, by its values or by where it is missing.

    Each value (missing is one) goes with one class only, and there are as many values as classes, or at
    least three rows for each value; or both are numbers on one line.
    """
    known = label.notna()
    cells, label = cells[known], label[known]
    classes = label.nunique()
    if classes < 2:
        return False
    numbers = pd.DataFrame({"cell": cells.dropna().map(number), "label": label.map(number)}).dropna()
    if len(numbers) >= FEW and classes > 2 and min(numbers.nunique()) > 1:
        line = np.corrcoef(numbers.to_numpy(dtype=float).T)[0, 1]
        if abs(line) > 0.9999:
            return True
    values = cells.fillna("")
    pure = label.groupby(values).nunique().max() == 1
    return bool(pure and len(values) >= (2 if values.nunique() == classes else 3) * values.nunique())


def inferred_task(name: str, cells: pd.Series, file: str) -> tuple[Task, str]:
    """The task that a label column poses, and the reason; InputError where it poses none."""
    seen = cells.dropna()
    values = seen.map(number)
    if len(seen) and values.notna().all() and values.nunique() > 10:
        return Task(name, "regression"), f"{values.nunique()} different numbers"
    if len(seen) and values.isna().any() and with_point(seen).notna().all() and seen.nunique() > 10:
        raise InputError(
            f"The label '{name}' of {file} looks like numbers with decimal commas; write them with a point."
        )
    several = seen.str.contains("&").any() if len(seen) else False
    classes = sorted_classes({part for cell in seen for part in parts(cell)} if several else set(seen))
    if len(classes) < 2:
        said = shown(classes[0], 20) if classes else "nothing"
        raise InputError(
            f"The label '{name}' of {file} says {said} in every row; "
            "a model needs cases of at least two classes."
        )
    if len(classes) > MOST_CLASSES:
        raise InputError(
            f"The label '{name}' of {file} has {len(classes)} different values, no classes; choose another "
            "column, or list its classes in cases.json."
        )
    if several:
        return Task(name, "multilabel", classes), "'&' joins several classes in one cell"
    if len(classes) == 2:
        return Task(name, "binary", classes), f"two values; {shown(classes[1], 20)} counts as positive"
    return Task(name, "multiclass", classes), f"{len(classes)} values"


def sorted_classes(classes: set[str]) -> tuple[str, ...]:
    """Numbers by size, words by alphabet; but what says "no" stands first, since the second is positive."""

    def place(name: str) -> tuple:
        value = number(name)
        return name.casefold() not in NEGATIVE, np.isnan(value), value if value == value else 0, name

    return tuple(sorted(classes, key=place))


def parts(cell: str) -> list[str]:
    """The classes that a multilabel cell names; the word "none" names none."""
    return [part.strip() for part in cell.split("&") if part.strip() and not none_of(part)]


def none_of(cell: str) -> bool:
    """Whether a multilabel cell says "none" (in any case)."""
    return any(part.strip().casefold() == NONE for part in cell.split("&"))


def _words(name: str) -> set[str]:
    """The words of a column's name in small letters; camelCase and joints part them."""
    parted = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name)
    return set(re.split(r"[\W_\d]+", parted.casefold()))


def _endless(cell: str) -> bool:
    """Whether a cell is written as a number that cannot be reckoned with."""
    return bool(ENDLESS.fullmatch(cell) or (NUMBER.fullmatch(cell) and np.isnan(number(cell))))


def _counts(values: pd.Series) -> bool:
    """Whether numbers number the rows: all whole and different, without gaps or of seven digits and more."""
    if len(values) < FEW or values.nunique() < len(values) or (values % 1 != 0).any():
        return False
    return bool(values.max() - values.min() == len(values) - 1 or values.min() >= 1e6)
