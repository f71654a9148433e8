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
}
NEGATIVE = {
    *("no", "n", "0", "false", "negative", "neg", "absent", "none"),
    *("benign", "normal", "healthy", "control"),
}
NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?", re.ASCII)
DATE = re.compile(r"(\d{4}[-/.]\d{1,2}[-/.]\d{1,2}|\d{1,2}[-/.]\d{1,2}[-/.](\d{4}|\d{2}))([T ].*)?", re.ASCII)
FEW_TEXTS = 12  # different ones; more are no categories
FEW = 5  # cells; with fewer, nothing is concluded from all of them being different
MOST_CLASSES = 50
MOST_VALUES = 50  # of a category


def number(cell: str) -> float:
    """The number that a cell holds; NaN where it is none (or none that can be reckoned with)."""
    value = float(cell) if NUMBER.fullmatch(cell) else np.nan
    return value if abs(value) < 1e30 else np.nan


def inferred_kind(
    name: str, cells: pd.Series, labels: list[pd.Series], is_folder: Callable[[str], bool]
) -> tuple[str, str]:
    """The kind of a column, or "ignore", and the reason.

    cells: text or None by row. labels: the tasks' columns. is_folder: whether a cell names a folder of files.
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
    if seen.str.replace(",", ".").map(number).notna().mean() > 0.8:
        row = values.index[values.isna()][0]
        return "ignore", f"row {row} holds {shown(seen[row], 20)}, and numbers are written like 2.5"
    long = seen.str.split().str.len().median() >= 4
    if long and spread > min(count / 2, FEW_TEXTS):
        return "text", f"{spread} different texts of several words"
    if count >= FEW and spread > count / 2:
        return "ignore", f"it looks like an identifier: {spread} different values in {count} rows"
    if spread > MOST_VALUES:
        return "ignore", f"it has {spread} different values, too many for a category"
    return "category", f"{spread} values: {', '.join(shown(value, 20) for value in sorted(set(seen))[:6])}"


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
    several = seen.str.contains("&").any() if len(seen) else False
    classes = sorted_classes({part for cell in seen for part in parts(cell)} if several else set(seen))
    if len(classes) < 2:
        raise InputError(
            f"The label '{name}' of {file} says {shown(classes[0]) if classes else 'nothing'} in every row; "
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
        return Task(name, "binary", classes), f"two values; {shown(classes[1])} counts as positive"
    return Task(name, "multiclass", classes), f"{len(classes)} values"


def sorted_classes(classes: set[str]) -> tuple[str, ...]:
    """Numbers by size, words by alphabet; but what says "no" stands first, since the second is positive."""

    def place(name: str) -> tuple:
        value = number(name)
        return name.casefold() not in NEGATIVE, np.isnan(value), value if value == value else 0, name

    return tuple(sorted(classes, key=place))


def parts(cell: str) -> list[str]:
    """The classes that a multilabel cell names."""
    return [part.strip() for part in cell.split("&") if part.strip()]


def _words(name: str) -> set[str]:
    """The words of a column's name in small letters; camelCase and joints part them."""
    parted = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name)
    return set(re.split(r"[\W_\d]+", parted.casefold()))


def _counts(values: pd.Series) -> bool:
    """Whether numbers number the rows: all whole and different, without gaps or of seven digits and more."""
    if len(values) < FEW or values.nunique() < len(values) or (values % 1 != 0).any():
        return False
    return bool(values.max() - values.min() == len(values) - 1 or values.min() >= 1e6)
