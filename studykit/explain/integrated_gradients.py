"""Integrated gradients: walk from "nothing there" to the case and add up what each step changed.

a_i = (x_i - x'_i) * integral over t in [0, 1] of dF/dx_i at x' + t (x - x'), F the class's logit, x' the
data set's "absent" of every modality at once. The sum over all modalities is F(x) - F(x'); what is
missing from that is stored as the check "completeness".

Between two words there is no way to walk, so of a text the numbers that stand for each word are walked, from
0: as many words, none of which says anything. A word's value is the sum over its numbers.

Sundararajan M, Taly A, Yan Q. Axiomatic attribution for deep networks. ICML 2017.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
from captum import attr
from torch import Tensor

from studykit.case import Batch, Modality
from studykit.catalog import InputError
from studykit.contribution.walked_words import walked
from studykit.explain.explainer import Explainer, logit_of
from studykit.models import FusionModel, Head

NUMBERS = 2**23  # of all cases' inputs that go through a model at once, so that volumes fit into memory


@dataclass(frozen=True)
class IntegratedGradients(Explainer, name="integrated_gradients"):
    """steps: points on the way (Gauss-Legendre)."""

    steps: int = 64

    title = "Integrated gradients"
    unit = "added to the logit"
    gives = "what each pixel and column added to the class's logit, counted from the absent case"

    def __post_init__(self):
        if self.steps < 2:
            raise InputError(f"'steps' of integrated_gradients is 2 or more, not {self.steps}.")

    def maps(self, model, batch: Batch, head: Head, targets: Tensor):  # noqa: D102
        way = Way(model, batch, head, targets)
        found, missing = attr.IntegratedGradients(way.logit).attribute(
            way.cases,
            way.starts,
            additional_forward_args=way.along,
            n_steps=self.steps,
            internal_batch_size=rows_together(way.cases, 32),
            return_convergence_delta=True,
        )
        maps = way.maps(found)
        return maps, dict.fromkeys(maps, True), sums(maps), {"completeness": missing.numpy()}


class Way:
    """From nothing to the cases, as gradient methods walk it: of a text, between the numbers of its words.

    cases, starts: a tensor (B, *shape) a modality, in the order of `names`: the cases, and "absent"; of a
    text (B, T, width) and 0. logit: a function of such tensors and `along`, the class's logit (B,).
    What a case lacks stands in `cases` as "absent" and is missing for the model all the same: no slope there.
    """

    def __init__(self, model: FusionModel, batch: Batch, head: Head, targets: Tensor):
        self.names, self.layers = list(model.modalities), model.word_layers()
        given = {name: batch.inputs[name] for name in self.names}
        cases = {n: standing_in(x, model.schema.modality(n)) for n, x in given.items()}
        starts = {n: absent_like(x, model.schema.modality(n)) for n, x in cases.items()}
        words = [cases[name] for name in self.layers]
        for name, layer in self.layers.items():
            cases[name] = layer(cases[name].long()).detach()
            starts[name] = torch.zeros_like(cases[name])
        self._answer = logit_of(model, head, self.names)
        self.logit = walked(self._lacking, self.names, self.layers)
        self.cases, self.starts = tuple(cases.values()), tuple(starts.values())
        self.along = (targets, *(lacks(x) for x in given.values()), *words)

    def slopes(self, cases: Iterable[Tensor]) -> tuple[Tensor, ...]:
        """dF/dx at these points, which are like `cases`."""
        points = tuple(x.detach().clone().requires_grad_() for x in cases)
        return attr.Saliency(self.logit).attribute(points, abs=False, additional_forward_args=self.along)

    def maps(self, values: Iterable[Tensor]) -> dict[str, np.ndarray]:
        """Values like `cases` as maps {modality: (B, *shape) float32}; a word's numbers are summed."""
        found = {n: a.detach() for n, a in zip(self.names, values, strict=True)}
        found |= {name: found[name].sum(dim=2) for name in self.layers}
        return {name: a.float().numpy() for name, a in found.items()}

    def _lacking(self, *tensors: Tensor) -> Tensor:
        """The logit where what a case lacks is NaN, as models know it; after the target, who lacks what."""
        count = len(self.names)
        inputs, missing = tensors[:count], tensors[count + 1 :]
        pairs = zip(inputs, missing, strict=True)
        return self._answer(*(without(x, gone) for x, gone in pairs), tensors[count])


def sums(maps: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The sum of each modality's map, (B,)."""
    return {name: a.reshape(len(a), -1).sum(axis=1, dtype=np.float64) for name, a in maps.items()}


def rows_together(cases: Iterable[Tensor], most: int) -> int:
    """How many cases (altered, perhaps) go through the model at once; all of `cases` (B, *shape) at least."""
    cases = list(cases)
    each = max(1, sum(x[0].numel() for x in cases))
    return max(len(cases[0]), min(most, NUMBERS // each))


def lacks(x: Tensor) -> Tensor:
    """Which cases (B,) of x (B, *shape) lack the modality: NaN all over."""
    return x.isnan().flatten(1).all(dim=1)


def without(x: Tensor, missing: Tensor) -> Tensor:
    """The inputs (B, *shape), NaN where the modality is `missing` (B,)."""
    if not missing.any():
        return x
    return x.masked_fill(missing.view(-1, *[1] * (x.ndim - 1)), torch.nan)


def absent_like(x: Tensor, modality: Modality) -> Tensor:
    """The modality's "absent", as many cases as `x` (B, *shape)."""
    value = torch.tensor(modality.absent, dtype=x.dtype)
    return value.expand(x.shape).clone()


def standing_in(x: Tensor, modality: Modality) -> Tensor:
    """The inputs (B, *shape), with "absent" for the cases that lack the modality (NaN)."""
    return torch.where(x.isnan(), absent_like(x, modality), x)
