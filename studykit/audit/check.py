"""What every check is: it looks at a data set and gives findings, a plain sentence each.

A `Check` is a frozen dataclass whose fields are its settings (the limits of its rules); calling it does
the work. A fact is worth knowing, a note worth a look; a problem is to be solved before anybody trains.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from studykit.audit.looked import Looked
from studykit.catalog import Named, check_choice
from studykit.datasets.dataset import Dataset

LEVELS = ("problem", "note", "fact")
COLUMNS = ("check", "level", "subject", "cases", "patients", "value", "says")


@dataclass(frozen=True)
class Finding:
    """level: "problem", "note" or "fact". subject: the class, column, picture or file that it is about.

    says: the sentence. ids: the cases that it speaks of. value: its number, as the check defines it; NaN
    where it has none. Neither of them holds a value of a patient's record, text or file.
    """

    level: str
    subject: str
    says: str
    ids: Sequence[str] = ()
    value: float = np.nan

    def __post_init__(self):
        check_choice("level of a finding", self.level, LEVELS)


class Check(Named):
    """A check. `title` says what it looks for."""

    title: str

    def __call__(self, looked: Looked) -> Iterator[Finding]:
        """The findings, in the order in which they are to be read."""
        raise NotImplementedError


def checked(
    dataset: Dataset,
    parts: pd.Series | None = None,
    watch: Callable[[Iterable], Iterable] = iter,
    checks: Sequence[Check] = (),
) -> pd.DataFrame:
    """One row a finding: check, level, subject, cases, patients, value, says.

    cases, patients: how many it speaks of. parts: a split, by case id. watch: wraps the loops over files.
    checks: those to make; by default all of the catalogue with their usual limits.
    Raises InputError where the data set's table cannot be read or the split is not one of its cases.
    """
    looked = Looked(dataset, parts, watch)
    rows = [
        (check.name, f.level, f.subject, len(f.ids), looked.patients(f.ids), f.value, f.says)
        for check in checks or [cls() for cls in Check.catalogue.values()]
        for f in check(looked)
    ]
    return pd.DataFrame(rows, columns=list(COLUMNS)).astype({"value": float})
