"""A data set prepared on one training fold: the schema it offers and the batches it gives.

The record's encoding is learned from the training cases alone and travels with the run, so a case that
is looked at years later is written in the numbers that its model was trained on.
"""

from collections.abc import Callable, Iterable, Sequence

import numpy as np
import pandas as pd
import torch

from studykit.case import Batch, Schema, Task
from studykit.catalog import InputError
from studykit.datasets.dataset import Dataset
from studykit.datasets.record import Record


class Prepared:
    """Batches of a data set, with the record written as `record` says.

    In a batch, images are (B, C, H, W) with masks (B, H, W), volumes (B, C, D, H, W) with masks (B, D, H, W).
    """

    def __init__(self, dataset: Dataset, record: Record):
        self.dataset, self.record = dataset, record
        table = (record.modality,) if record.columns else ()
        self.schema = Schema((*dataset.pictures, *table), dataset.tasks)

    @classmethod
    def fit(cls, dataset: Dataset, ids: Iterable[str]) -> "Prepared":
        """Prepare on these training cases."""
        return cls(dataset, Record.fit(dataset.cases.loc[list(ids), list(dataset.record)]))

    def load(self, ids: Sequence[str], watch: Callable[[Iterable], Iterable] = iter) -> Batch:
        """The cases named by `ids`, in that order; `watch` wraps the loop (a progress bar).

        Raises InputError for an id that the data set does not hold.
        """
        ids, cases = list(ids), self.dataset.cases
        strangers = [case for case in ids if case not in cases.index]
        if strangers:
            raise InputError(
                f"The data set {self.dataset.name} has no case '{strangers[0]}' "
                f"({len(strangers)} of {len(ids)} are unknown); use the data that the run was made on."
            )
        rows = cases.loc[ids]
        pictures = {modality.name: [] for modality in self.dataset.pictures}
        masks = {modality.name: [] for modality in self.dataset.pictures}
        for case in watch(ids):
            for name in pictures:
                pictures[name].append(self.dataset.picture(case, name))
                masks[name].append(self.dataset.mask(case, name))
        inputs = {name: torch.from_numpy(np.stack(stack)) for name, stack in pictures.items()}
        if self.record.columns:
            inputs["record"] = torch.from_numpy(self.record.encode(rows))
        return Batch(
            ids,
            [str(group) for group in rows["group"]],
            inputs,
            {task.name: targets(rows[task.name], task) for task in self.schema.tasks},
            {name: torch.from_numpy(np.stack(stack)) for name, stack in masks.items()},
        )


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
