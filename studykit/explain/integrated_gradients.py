"""Integrated gradients: walk from "nothing there" to the case and add up what each step changed.

a_i = (x_i - x'_i) * integral over t in [0, 1] of dF/dx_i at x' + t (x - x'), F the class's logit, x' the
data set's "absent" of every modality at once. The sum over all modalities is F(x) - F(x'); what is
missing from that is stored as the check "completeness".

Between two words there is no way to walk, so of a text the numbers that stand for each word are walked, from
0: as many words, none of which says anything. A word's value is the sum over its numbers.

Sundararajan M, Taly A, Yan Q. Axiomatic attribution for deep networks. ICML 2017.
"""

from dataclasses import dataclass

import torch
from captum import attr

from studykit.case import Batch, Modality
from studykit.catalog import InputError
from studykit.contribution.walked_words import walked
from studykit.explain.explainer import Explainer, logit_of
from studykit.models import Head


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

    def maps(self, model, batch: Batch, head: Head, targets: torch.Tensor):  # noqa: D102
        names, layers = list(model.modalities), model.word_layers()
        standing = {n: standing_in(batch.inputs[n], model.schema.modality(n)) for n in names}
        starts = {n: absent_like(standing[n], model.schema.modality(n)) for n in names}
        words = {}
        for name, layer in layers.items():
            words[name] = standing[name]
            standing[name] = layer(words[name].long()).detach()
            starts[name] = torch.zeros_like(standing[name])
        forward = walked(logit_of(model, head, names), names, layers)
        found, missing = attr.IntegratedGradients(forward).attribute(
            tuple(standing.values()),
            tuple(starts.values()),
            additional_forward_args=(targets, *words.values()),
            n_steps=self.steps,
            internal_batch_size=max(32, len(batch)),
            return_convergence_delta=True,
        )
        maps = {n: a.detach().float().numpy() for n, a in zip(names, found, strict=True)}
        maps |= {name: maps[name].sum(axis=2) for name in layers}  # (B, T, width) to (B, T)
        effects = {name: values.reshape(len(batch), -1).sum(1) for name, values in maps.items()}
        return maps, dict.fromkeys(names, True), effects, {"completeness": missing.numpy()}


def absent_like(x: torch.Tensor, modality: Modality) -> torch.Tensor:
    """The modality's "absent", as many cases as `x` (B, *shape)."""
    value = torch.tensor(modality.absent, dtype=x.dtype)
    return value.expand(x.shape).clone()


def standing_in(x: torch.Tensor, modality: Modality) -> torch.Tensor:
    """The inputs (B, *shape), with "absent" for the cases that lack the modality (NaN)."""
    return torch.where(x.isnan(), absent_like(x, modality), x)
