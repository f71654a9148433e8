"""Controls: is a fusion more than its parts, and is a gate more than a constant?

Partner shuffled: one modality's values go to other cases at random; what the model knew from seeing both of
one case is gone, what each says alone is kept. Gate held: every gate keeps its mean over the training cases.
"""

from collections.abc import Iterable, Mapping

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from studykit.case import Batch, Task
from studykit.catalog import check_choice
from studykit.models import FusionModel, hold, taps, watch
from studykit.training.fit import predicted
from studykit.training.measure import measures


def shuffled(batch: Batch, modality: str, seed: int = 0) -> Batch:
    """The same cases, each with the `modality` of a random other case; targets stay."""
    check_choice("modality", modality, batch.inputs)
    order = torch.from_numpy(np.random.default_rng(seed).permutation(len(batch)))
    inputs = {**batch.inputs, modality: batch.inputs[modality][order]}
    return Batch(batch.ids, batch.groups, inputs, batch.targets, batch.masks)


@torch.no_grad()
def mean_gates(
    model: FusionModel, batch: Batch, names: Iterable[str] = (), size: int = 64
) -> dict[str, Tensor]:
    """{tap: its mean over the cases}, ready for `hold`; the model in evaluation mode.

    Raises InputError where the model has no attention, or a tap of `names` is not there.
    """
    model.eval()
    sums: Mapping[str, Tensor] = {}
    for start in range(0, len(batch), size):
        part = batch.take(range(start, min(start + size, len(batch))))
        with watch(model, *names) as seen:
            model(part.inputs)
        sums = {name: sums.get(name, 0) + values.sum(dim=0, keepdim=True) for name, values in seen.items()}
    return {name: values / len(batch) for name, values in sums.items()}


def accuracy(probabilities: Tensor, target: Tensor) -> float:
    """The share of labelled cases whose likeliest class is the true one; p (B, classes), target (B,)."""
    known = ~target.isnan()
    return (probabilities.argmax(dim=1)[known] == target[known]).float().mean().item()


def controlled(
    model: FusionModel, train: Batch, test: Batch, *, resamples: int = 2000, seed: int = 0
) -> pd.DataFrame:
    """The first task's scores on the test cases as the model stands, under each control, and the differences.

    Columns as in `measures`: statistic, group, estimate, low, high, n, why. A control whose difference is
    nothing shows that what it took away was not used.
    """
    task = model.schema.tasks[0]
    rivals = {f"{name} exchanged": predicted(model, shuffled(test, name, seed)) for name in model.modalities}
    if taps(model):
        with hold(model, mean_gates(model, train)):
            rivals["gates held at their mean"] = predicted(model, test)
    table = pd.DataFrame({"group": test.groups})
    known = test.targets[task.name]
    table[task.name] = [None if k.isnan() else task.classes[int(k)] for k in known]
    own, found = _columns(table, "model", task, predicted(model, test)), []
    for name, p in rivals.items():
        against = _columns(table, name, task, p)
        settings = {"against": against, "rival": name, "resamples": resamples, "seed": seed}
        found.append(measures(table, task.name, own, task.classes, **settings))
    return pd.concat(found).drop_duplicates(["statistic", "group"], ignore_index=True)


def _columns(table: pd.DataFrame, name: str, task: Task, p: Mapping[str, Tensor]) -> list[str]:
    """Put the probabilities into the table; the columns' names."""
    columns = [f"{name}.{label}" for label in task.classes]
    table[columns] = p[task.name].numpy()
    return columns
