"""A data set prepared on one training fold: the schema it offers and the batches it gives.

What is learned from the training cases alone (the record's scaling and categories, the texts' vocabularies,
the scale of numbers to be predicted) travels with the run, so a case that is looked at years later is written
in the numbers that its model was trained on.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
import torch

from studykit.case import Batch, Schema, Task
from studykit.catalog import InputError
from studykit.datasets.cache import default_cache
from studykit.datasets.dataset import Dataset
from studykit.datasets.loading import Cases, Pictures
from studykit.datasets.record import Record
from studykit.datasets.text import Text


class Prepared:
    """Batches of a data set, with the record and the texts written as they were fitted.

    In a batch, images are (B, C, H, W) with masks (B, H, W), volumes (B, C, D, H, W) with masks (B, D, H, W),
    texts (B, T) numbers of words.
    """

    def __init__(
        self,
        dataset: Dataset,
        record: Record,
        texts: Mapping[str, Text] | None = None,
        scales: Mapping[str, tuple[float, float]] | None = None,
        pictures: Pictures | None = None,
    ):
        self.dataset, self.record = dataset, record
        self.texts, self.scales = dict(texts or {}), dict(scales or {})
        self._pictures = pictures
        table = (record.modality,) if record.columns else ()
        written = tuple(text.modality(name) for name, text in self.texts.items())
        tasks = (replace(task, scale=self.scales.get(task.name, task.scale)) for task in dataset.tasks)
        self.schema = Schema((*dataset.pictures, *table, *written), tuple(tasks))

    @cached_property
    def pictures(self) -> Pictures:
        """What reads them; pages, which show one case at a time, never ask for it."""
        return self._pictures or Pictures(self.dataset, default_cache(self.dataset.name))

    @classmethod
    def fit(cls, dataset: Dataset, ids: Iterable[str], pictures: Pictures | None = None) -> "Prepared":
        """Prepare on these training cases; `pictures` shares what other folds have read."""
        rows = dataset.cases.loc[list(ids)]
        texts = {name: Text.fit(rows[name]) for name in dataset.texts}
        numbers = {task.name: rows[task.name].dropna() for task in dataset.tasks if task.kind == "regression"}
        numbers = {name: values for name, values in numbers.items() if len(values)}
        scales = {name: (float(v.mean()), float(v.std(ddof=0)) or 1.0) for name, v in numbers.items()}
        return cls(dataset, Record.fit(rows[list(dataset.record)]), texts, scales, pictures)

    def cases(self, ids: Sequence[str]) -> Cases:
        """The cases named by `ids`, in that order, their pictures not read yet.

        Raises InputError for an id that the data set does not hold.
        """
        ids, table = list(ids), self.dataset.cases
        strangers = [case for case in ids if case not in table.index]
        if strangers:
            raise InputError(
                f"The data set {self.dataset.name} has no case '{strangers[0]}' "
                f"({len(strangers)} of {len(ids)} are unknown); use the data that the run was made on."
            )
        rows = table.loc[ids]
        inputs = {"record": torch.from_numpy(self.record.encode(rows))} if self.record.columns else {}
        for name, text in self.texts.items():
            inputs[name] = torch.from_numpy(text.encode(rows[name]))
        known = {task.name: targets(rows[task.name], task) for task in self.schema.tasks}
        return Cases(ids, [str(group) for group in rows["group"]], inputs, known, self.pictures)

    def load(self, ids: Sequence[str], watch: Callable[[Iterable], Iterable] = iter) -> Batch:
        """The cases named by `ids` with their pictures and masks; `watch` wraps the loop (a progress bar)."""
        cases = self.cases(ids)
        parts = [[position] for position in range(len(cases))]
        return joined(list(cases.batches(watch(parts), masks=True))) if parts else cases.batch(masks=True)

    def to_json(self) -> dict[str, Any]:
        """What was fitted, as plain dictionaries and lists."""
        texts = {name: text.to_json() for name, text in self.texts.items()}
        scales = {name: list(scale) for name, scale in self.scales.items()}
        return {"record": self.record.to_json(), "texts": texts, "scales": scales}

    @classmethod
    def from_json(cls, dataset: Dataset, data: Mapping[str, Any]) -> "Prepared":
        """The preparation that `to_json` wrote."""
        texts = {name: Text.from_json(text) for name, text in data.get("texts", {}).items()}
        scales = {name: tuple(scale) for name, scale in data.get("scales", {}).items()}
        return cls(dataset, Record.from_json(data["record"]), texts, scales)


def joined(batches: Sequence[Batch]) -> Batch:
    """Several batches as one."""

    def stacked(field: str) -> dict[str, torch.Tensor]:
        return {
            name: torch.cat([getattr(b, field)[name] for b in batches]) for name in getattr(batches[0], field)
        }

    ids, groups = ([name for b in batches for name in getattr(b, field)] for field in ("ids", "groups"))
    return Batch(ids, groups, stacked("inputs"), stacked("targets"), stacked("masks"))


def targets(labels: pd.Series, task: Task) -> torch.Tensor:
    """Labels as numbers: class indices (B,), 0/1 rows (B, classes) for multilabel, values for regression.

    A multilabel cell is "a&b"; a missing cell is NaN everywhere (unlabelled).
    """
    if task.kind == "regression":
        return torch.tensor(labels.to_numpy(dtype=np.float32))
    known = labels.notna()
    if task.kind == "multilabel":
        rows = np.full((len(labels), len(task.classes)), np.nan, dtype=np.float32)
        for position, cell in enumerate(labels):
            if known.iloc[position]:
                rows[position] = [name in str(cell).split("&") for name in task.classes]
        return torch.from_numpy(rows)
    position = {name: float(index) for index, name in enumerate(task.classes)}
    strangers = set(labels[known]) - set(position)
    if strangers:
        raise InputError(
            f"Task '{task.name}' knows the classes {', '.join(task.classes)}; "
            f"the cases also hold {', '.join(sorted(map(str, strangers)))}."
        )
    return torch.tensor([position.get(label, np.nan) for label in labels], dtype=torch.float32)
