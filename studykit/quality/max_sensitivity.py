"""Max-sensitivity: how much does the map change when the case changes so little that nobody would see it?

max-sensitivity = max over changes e, |e_i| <= radius, of ||a(x + e) - a(x)|| / ||a(x)||

Only the modality scored is changed, and its map compared. What the method itself draws is drawn alike, so its
own noise is not counted. A map that does not move need not be right: a control's does not move either.

Yeh C-K, Hsieh C-Y, Suggala A, Inouye DI, Ravikumar PK. On the (in)fidelity and sensitivity of explanations.
NeurIPS 2019. Computed by captum.metrics.
"""

from dataclasses import dataclass

import numpy as np
import torch
from captum import metrics
from torch import Tensor

from studykit.explain.explainer import drawing
from studykit.quality.curves import having
from studykit.quality.infidelity import check_radius, drawn, spread
from studykit.quality.score import TOGETHER, Asked, Score, Scored


@dataclass(frozen=True)
class MaxSensitivity(Score, name="max_sensitivity"):
    """samples: changes that are tried for each case, each of which is explained anew.

    radius: the largest change as a share of the picture's own standard deviation; of a table, in the columns'
    unit (the training cases' standard deviation).
    """

    samples: int = 10
    radius: float = 0.02

    title = "Max-sensitivity"
    asks = "How much can the map change when the case changes so little that nobody would see it?"
    better = "less"
    kinds = ("image", "volume", "table")
    dear = True

    def __post_init__(self):
        check_radius(self.name, self.radius, self.samples)

    def scored(self, asked):  # noqa: D102
        scores, (cases, why) = np.full(len(asked), np.nan), having(asked)
        for case in cases[~asked.heat[cases].reshape(len(cases), -1).any(axis=1)]:
            why[case] = "Its map is 0 everywhere, so nothing can be told in its size."
        cases = np.array([case for case in cases if not why[case]], dtype=int)
        for start in range(0, len(cases), TOGETHER):
            some = cases[start : start + TOGETHER]
            scores[some] = self._of(asked, torch.as_tensor(some)).numpy()
        return {self.name: Scored(scores, None, why)}

    def _of(self, asked: Asked, some: Tensor) -> Tensor:
        """The max-sensitivity of cases at positions `some` (n,)."""
        draws = [drawing(f"{self.name} of {asked.batch.ids[case]}", asked.seed) for case in some]

        def changed(x: Tensor, radius: float) -> Tensor:
            noise = drawn(draws, x, lambda draw, shape: draw.uniform(-1, 1, size=shape))
            return x + radius * spread(x, asked.modality) * noise

        def explained(x, additional_forward_args) -> tuple[Tensor]:  # a tuple: Captum walks over it
            x = x[0] if isinstance(x, tuple) else x
            return (explained_anew(asked, x, additional_forward_args[0]),)

        return metrics.sensitivity_max(
            explained,
            asked.batch.inputs[asked.modality.name][some],
            changed,
            perturb_radius=self.radius,
            n_perturb_samples=self.samples,
            max_examples_per_batch=min(max(TOGETHER, len(some)), len(some) * self.samples),
            additional_forward_args=(some,),
        )


def explained_anew(asked: Asked, x: Tensor, at: Tensor) -> Tensor:
    """The maps of the same classes where the modality is x (N, *shape), else as in cases `at`."""
    batch = asked.batch.take(at)
    batch.inputs[asked.modality.name] = x
    targets = torch.as_tensor(asked.explanation.targets)[at]
    with torch.enable_grad():
        maps = asked.explainer.maps(asked.model, batch, asked.head, targets)[0]
    return torch.as_tensor(maps[asked.modality.name])
