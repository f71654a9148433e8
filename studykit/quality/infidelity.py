"""Infidelity: does the map foretell how the answer changes when the case is changed a little?

infidelity = E_I ( beta * sum_i I_i a_i - (F(x) - F(x - I')) )^2, in squared logits, F the class's logit

Maps of slopes, or in no unit, are asked with normal noise: I = I', as large as `radius` says. Maps of what
was "added to the logit" or "taken from the logit" are already multiplied by the input; of them a drawn half
of the parts (tiles of an eighth of the picture, source columns) is replaced by "absent": x - I' is the case
without them, and I = I' / (x - absent), which is 1 there and 0 elsewhere (Captum's changes multiplied by
inputs). Only the modality scored is changed, so what the maps say of the others does not enter, and need not
be there. beta is the one factor that fits best, so that maps in no unit (Grad-CAM) can be compared: no map
has more than a map of zeros, E (F(x) - F(x - I'))^2.

Numbers of different cases or perturbations do not compare; those of several maps of one kind for one case do.

Yeh C-K, Hsieh C-Y, Suggala A, Inouye DI, Ravikumar PK. On the (in)fidelity and sensitivity of explanations.
NeurIPS 2019. Computed by captum.metrics.
"""

from dataclasses import dataclass

import numpy as np
import torch
from captum import metrics
from torch import Tensor

from studykit.case import Modality
from studykit.catalog import InputError, check_choice
from studykit.contribution import parts
from studykit.explain.explainer import drawing
from studykit.explain.integrated_gradients import absent_like
from studykit.models import class_logit
from studykit.quality.curves import at_once, having
from studykit.quality.score import Asked, Score, Scored

MULTIPLIED = ("added to the logit", "taken from the logit")  # how the unit of maps of effects begins
WAYS = ("by the map's unit", "noise", "absent")
SHARE = 0.5  # of the parts that are absent at once
AGAIN = 8  # changes of a case at a time: Captum asks for the case as it is each time


@dataclass(frozen=True)
class Infidelity(Score, name="infidelity"):
    """samples: changes that are tried for each case. scaled: whether the best factor beta is allowed, else 1.

    changes: noise, absent parts, or what suits the map's unit. radius: the noise's standard deviation as a
    share of the picture's own; of a table, in the columns' unit (the training cases' standard deviation).
    """

    samples: int = 50
    radius: float = 0.1
    scaled: bool = True
    changes: str = "by the map's unit"

    title = "Infidelity"
    asks = "Does the map foretell how the answer changes when the case changes a little?"
    better = "less"
    kinds = ("image", "volume", "table")
    dear = True

    def __post_init__(self):
        check_choice("kind of change", self.changes, WAYS)
        check_radius(self.name, self.radius, self.samples)

    def scored(self, asked):  # noqa: D102
        scores, (cases, why) = np.full(len(asked), np.nan), having(asked)
        together = at_once(asked.batch.inputs[asked.modality.name])
        few = max(1, together // AGAIN)
        for start in range(0, len(cases), few):
            some = cases[start : start + few]
            scores[some] = self._of(asked, torch.as_tensor(some), together).numpy()
        return {self.name: Scored(scores, None, why)}

    def _of(self, asked: Asked, some: Tensor, together: int) -> Tensor:
        """The infidelity of cases at positions `some` (n,)."""
        values = asked.batch.inputs[asked.modality.name][some]
        draws = [drawing(f"{self.name} of {asked.batch.ids[case]}", asked.seed) for case in some]
        absent = absent_like(values, asked.modality)
        multiplied = self._multiplied(asked)
        ids = parts.cut(None, values, asked.modality).ids if multiplied else None

        @metrics.infidelity_perturb_func_decorator(multiply_by_inputs=multiplied)
        def changed(x: Tensor, baselines: Tensor | None = None) -> Tensor:
            if multiplied:
                return torch.where(parted(ids, draws, len(x)), baselines, x)
            size = self.radius * spread(x, asked.modality)
            return x - size * drawn(draws, x, lambda draw, shape: draw.normal(size=shape))

        return metrics.infidelity(
            lambda x, at: logits(asked, x, at),
            changed,
            values,
            attributions(asked, values, some),
            baselines=absent if multiplied else None,
            additional_forward_args=(some,),
            n_perturb_samples=self.samples,
            max_examples_per_batch=min(together, len(some) * self.samples),
            normalize=self.scaled,
        ).clamp(min=0)  # a sum of squares, but for rounding

    def _multiplied(self, asked: Asked) -> bool:
        if self.changes == WAYS[0]:
            return asked.explainer.unit.startswith(MULTIPLIED)
        return self.changes == "absent"


def check_radius(score: str, radius: float, samples: int) -> None:
    """InputError where the radius is not above 0 or there is no sample."""
    if not radius > 0:
        raise InputError(f"'radius' of {score} is above 0, not {radius}.")
    if samples < 1:
        raise InputError(f"'samples' of {score} is 1 or more, not {samples}.")


def spread(x: Tensor, modality: Modality) -> Tensor:
    """The unit of a small change, (N, 1, ...): a picture's own standard deviation; 1 for columns."""
    if modality.kind == "table":
        return torch.ones(len(x), 1)
    return x.flatten(1).std(dim=1, correction=0).view(-1, *[1] * (x.ndim - 1))


def drawn(draws: list[np.random.Generator], x: Tensor, draw) -> Tensor:
    """Numbers for x (n * k, *shape), in which each of n cases stands k times, one after the other's."""
    each = len(x) // len(draws)
    return torch.from_numpy(np.concatenate([draw(one, (each, *x.shape[1:])) for one in draws])).to(x)


def parted(ids: Tensor, draws: list[np.random.Generator], count: int) -> Tensor:
    """Which places (count, ...) of altered cases go: a drawn SHARE of the parts `ids` (1, ...)."""
    each, number = count // len(draws), int(ids.max()) + 1
    gone = np.concatenate([one.random((each, number)) < SHARE for one in draws])
    return torch.from_numpy(gone)[:, ids[0].clamp(min=0)] & (ids >= 0)


def attributions(asked: Asked, values: Tensor, some: Tensor) -> Tensor:
    """The maps of cases `some`, as large as `values`; a place's value is shared by its channels."""
    maps = torch.as_tensor(asked.explanation.maps[asked.modality.name])[some].to(values)
    return maps.expand(values.shape) * (maps[0].numel() / values[0].numel())


def logits(asked: Asked, x: Tensor, at: Tensor) -> Tensor:
    """The logit (N,) of the class explained where the modality is x (N, *shape), else as in cases `at`."""
    name, model = asked.modality.name, asked.model
    features = {
        stream: values[at]
        for stream, values in asked.features.items()
        if model.sources.get(stream, stream) != name
    }
    features |= model.encode({name: x})
    said = model.fuse({stream: features[stream] for stream in asked.features})[asked.head.name]
    return class_logit(said, asked.head.task, torch.as_tensor(asked.explanation.targets)[at])
