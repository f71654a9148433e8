"""Controls: is a fusion more than its parts, and is a gate more than a constant?

Partner shuffled: one modality's values go to other cases at random; what the model knew from seeing both of
one case is gone, what each says alone is kept. Gate held: every gate keeps its mean over the training cases.
"""

from collections.abc import Iterable, Mapping

import numpy as np
import torch
from torch import Tensor

from studykit.case import Batch
from studykit.catalog import InputError, unknown
from studykit.models import FusionModel, watch


def shuffled(batch: Batch, modality: str, seed: int = 0) -> Batch:
    """The same cases, each with the `modality` of a random other case; targets stay."""
    if modality not in batch.inputs:
        raise InputError(unknown("modality", modality, batch.inputs))
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
