"""A drawn data set that has every defect that is asked for, and a clean one where none is."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from studykit.case import Modality, Task
from studykit.catalog import InputError
from studykit.datasets.card import Card
from studykit.datasets.dataset import Dataset

CARD = Card(title="Planted", citation="none", licence="none", label="drawn", refused={"Result": "it is late"})


@dataclass(frozen=True)
class Planted(Dataset):
    """60 cases of 50 patients, the last ten having two; half of the patients are ill.

    twins: {case: the case whose picture it shows}. broken, blank, absent: cases whose picture is so.
    columns: further columns of the record, (name, values). notes_of: a text each. labels: other ones.
    """

    twins: tuple = ()
    broken: tuple = ()
    blank: tuple = ()
    absent: tuple = ()
    columns: tuple = ()
    notes_of: tuple = ()
    labels: tuple = ()
    classes: tuple = ("well", "ill")

    card = CARD
    simulated = True
    pictures = (Modality("image", "image", (1, 12, 12), absent=0.5),)

    @property
    def tasks(self):
        return (Task("state", "binary" if len(self.classes) == 2 else "multiclass", self.classes),)

    @property
    def record(self):
        return ("Age", *(name for name, _ in self.columns))

    @property
    def texts(self):
        return ("Report",) if self.notes_of else ()

    @cached_property
    def cases(self):
        patients = [*range(50), *range(40, 50)]
        rows = pd.DataFrame({"group": [f"p{n:02d}" for n in patients]})
        rows.index = pd.Index([f"c{n:02d}" for n in range(60)], name="id")
        rows["state"] = self.labels or ["ill" if n % 2 else "well" for n in patients]
        rows["Age"] = [40.0 + 7 * n % 23 for n in patients]
        for name, values in self.columns:
            rows[name] = list(values)
        if self.notes_of:
            rows["Report"] = list(self.notes_of)
        return rows

    def picture(self, case, modality="image"):
        if case in self.broken:
            raise InputError(f"The image {case}.png cannot be read; replace it.")
        if case in self.absent:
            return np.full((1, 12, 12), np.nan, dtype=np.float32)
        if case in self.blank:
            return np.full((1, 12, 12), 0.5, dtype=np.float32)
        shown = dict(self.twins).get(case, case)
        return np.random.default_rng(int(shown[1:])).random((1, 12, 12), dtype=np.float32)

    def mask(self, case, modality="image"):
        mask = np.zeros((12, 12), dtype=bool)
        mask[2:8, 2 : 4 + int(case[1:]) % 6] = True
        return mask


STATES = Planted().cases["state"].to_numpy()
GROUPS = Planted().cases["group"].to_numpy()


def found(table, check, level=None, subject=None):
    """The rows of one check."""
    rows = table[table["check"] == check]
    rows = rows if level is None else rows[rows["level"] == level]
    return rows if subject is None else rows[rows["subject"] == subject]


def one(*where):
    """The only row there is."""
    rows = found(*where)
    assert len(rows) == 1, rows["says"].tolist()
    return rows.iloc[0]
