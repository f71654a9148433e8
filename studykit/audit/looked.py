"""What the checks look at: the cases, a split of them if there is one, and every picture, read once."""

import hashlib
from collections.abc import Callable, Iterable, Sequence
from functools import cached_property

import numpy as np
import pandas as pd

from studykit.case import Modality, Task
from studykit.catalog import InputError
from studykit.datasets.dataset import Dataset

PARTS = ("train", "val", "test")


class Looked:
    """A data set as the checks see it.

    parts: "train", "val" or "test" of each case, by id (from `studykit.datasets.split`, or a run's
        predictions); None where there is no split. watch: wraps the loops over files (a progress bar).
    Raises InputError for a part that does not exist or a case that the data set does not hold.
    """

    def __init__(
        self,
        dataset: Dataset,
        parts: pd.Series | None = None,
        watch: Callable[[Iterable], Iterable] = iter,
    ):
        self.dataset, self.cases, self.watch = dataset, dataset.cases, watch
        self.parts = None if parts is None else pd.Series(parts)
        for case, part in () if parts is None else parts.items():
            if case not in self.cases.index:
                raise InputError(
                    f"The split holds the case '{case}', which {dataset.card.title} does not; "
                    "give the split that was made on these cases."
                )
            if part not in PARTS:
                raise InputError(f"The split puts '{case}' into '{part}'; a part is {', '.join(PARTS)}.")

    @cached_property
    def members(self) -> dict[str, dict[str, pd.Index]]:
        """{task: {class: its cases}}, in the order declared; a multilabel case stands in several classes.

        A regression task has no classes.
        """
        return {task.name: self._members(task) for task in self.dataset.tasks}

    def _members(self, task: Task) -> dict[str, pd.Index]:
        labels = self.cases[task.name].dropna()
        if task.kind != "multilabel":
            return {name: labels.index[labels == name] for name in task.classes}
        cells = labels.map(lambda cell: str(cell).split("&"))
        return {name: labels.index[[name in cell for cell in cells]] for name in task.classes}

    def told_apart(self, task: str) -> dict[str, tuple[pd.Index, pd.Index]]:
        """{class: (its cases, all other labelled ones)}; of a binary task only the positive class."""
        members = self.members[task]
        kind = next(t.kind for t in self.dataset.tasks if t.name == task)
        names = list(members)[1:] if kind == "binary" else list(members)
        return {name: (members[name], self.labelled(task).difference(members[name])) for name in names}

    def labelled(self, task: str) -> pd.Index:
        """The cases that have a label of that task."""
        return self.cases.index[self.cases[task].notna()]

    @cached_property
    def learned(self) -> pd.Index:
        """The cases that have a label of any task; the others are only looked at."""
        names = [task.name for task in self.dataset.tasks]
        return self.cases.index[self.cases[names].notna().any(axis=1)]

    @cached_property
    def pictures(self) -> pd.DataFrame:
        """One row a case and picture modality, in the order of the cases; nothing is kept of the pixels.

        Columns: case, modality; error (the sentence why it or its outline cannot be read, else empty); absent
        (the case lacks it); flaw (what is wrong with the values, else empty); digest (the same for pictures
        that are the same pixel for pixel; empty where absent, flawed or not read); outlined (pixels or voxels
        of the outline; NaN where it was not read); share (of the picture that they are).
        """
        rows = [
            {"case": case, "modality": modality.name, **self._look(case, modality)}
            for case in self.watch(self.cases.index)
            for modality in self.dataset.pictures
        ]
        columns = ["case", "modality", "error", "absent", "flaw", "digest", "outlined", "share"]
        return pd.DataFrame(rows, columns=columns)

    def _look(self, case: str, modality: Modality) -> dict[str, object]:
        row = {"error": "", "absent": False, "flaw": "", "digest": "", "outlined": np.nan, "share": np.nan}
        try:
            values = np.asarray(self.dataset.picture(case, modality.name))
            row["absent"] = bool(np.isnan(values).all())
            row["flaw"] = "" if row["absent"] else _flaw(values, modality)
            if not row["absent"] and not row["flaw"]:
                row["digest"] = hashlib.sha256(np.ascontiguousarray(values)).hexdigest()
            mask = self.dataset.mask(case, modality.name)
            row["outlined"], row["share"] = int(mask.sum()), float(mask.mean())
        except InputError as why:
            row["error"] = str(why)
        return row

    def patients(self, ids: Iterable[str]) -> int:
        """How many patients these cases are of."""
        return self.cases.loc[list(ids), "group"].nunique()

    def counted(self, ids: Sequence[str]) -> str:
        """As words: 12 cases of 9 patients."""
        patients = self.patients(ids)
        return f"{plural(len(ids), 'case')} of {plural(patients, 'patient')}"


def _flaw(values: np.ndarray, modality: Modality) -> str:
    """What is wrong with the values of a picture that is there; empty where nothing is."""
    if values.shape != modality.shape:
        return f"not of the shape {modality.shape}"
    if np.isnan(values).any():
        return "NaN in part"
    if values.min() < 0 or values.max() > 1:
        return "outside of 0 to 1"
    return "blank" if values.min() == values.max() else ""


def plural(count: int, word: str) -> str:
    """1 case, 2 cases."""
    return f"{count} {word}" + ("" if count == 1 else "s")


def some(names: Iterable[object], most: int = 5) -> str:
    """The first names, and how many more there are."""
    names = [str(name) for name in names]
    more = len(names) - most
    return ", ".join(names[:most]) + (f" and {more} more" if more > 0 else "")
