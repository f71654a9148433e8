"""SmoothGrad: the slope at each pixel, averaged over noisy copies of the case, so that chance grain fades.

a = mean over n of dF/dx at x + e_n,  e_n normal with sd = noise * (max x - min x) of the case's modality,
F the class's logit; with `times_input`, a_i * (x_i - x'_i), x' the data set's "absent". Of a text, the noise
is added to the numbers that stand for its words. A word's value is the length of its slope, which has no
sign; with `times_input` the sum over its numbers, counted from 0.

Smilkov D, Thorat N, Kim B, Viegas F, Wattenberg M. SmoothGrad: removing noise by adding noise.
arXiv:1706.03825, 2017.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from studykit.case import Batch
from studykit.catalog import InputError
from studykit.explain.explainer import Explainer, drawing
from studykit.explain.integrated_gradients import Way, sums
from studykit.models import Head


@dataclass(frozen=True)
class SmoothGrad(Explainer, name="smooth_grad"):
    """samples: noisy copies. noise: its standard deviation, as a share of the range of the case's own values.

    times_input: multiply by the distance from "absent"; only then is there an effect of a whole modality.
    seed: of the noise, which is drawn by case (Captum's NoiseTunnel draws it by batch).
    """

    samples: int = 25
    noise: float = 0.15
    times_input: bool = False
    seed: int = 0

    title = "SmoothGrad"

    def __post_init__(self):
        if self.samples < 1:
            raise InputError(f"'samples' of smooth_grad is 1 or more, not {self.samples}.")
        if not 0 <= self.noise < np.inf:
            raise InputError(f"'noise' of smooth_grad is a share of 0 or more, not {self.noise:g}.")

    @property
    def unit(self) -> str:  # noqa: D102
        return "added to the logit, at first sight" if self.times_input else "logit per unit of the input"

    @property
    def gives(self) -> str:  # noqa: D102
        slope = f"the slope at each pixel and column, averaged over {self.samples} noisy copies"
        return f"{slope}, times how far it is from absent" if self.times_input else slope

    def maps(self, model, batch: Batch, head: Head, targets: Tensor):  # noqa: D102
        way = Way(model, batch, head, targets)
        draws = [drawing(case, self.seed) for case in batch.ids]
        spread = [self.noise * _range(x) for x in way.cases]
        total = [torch.zeros_like(x, dtype=torch.float64) for x in way.cases]
        for _ in range(self.samples):
            noisy = [x + sd * _normal(x, draws) for x, sd in zip(way.cases, spread, strict=True)]
            for added, slope in zip(total, way.slopes(noisy), strict=True):
                added += slope
        slopes = [added / self.samples for added in total]
        if self.times_input:
            ends = zip(slopes, way.cases, way.starts, strict=True)
            maps = way.maps(slope * (x - start) for slope, x, start in ends)
            return maps, dict.fromkeys(maps, True), sums(maps), {}
        maps = way.maps(slopes)
        for name in way.layers:
            maps[name] = slopes[way.names.index(name)].norm(dim=2).float().numpy()
        return maps, {name: name not in way.layers for name in maps}, {}, {}


def _range(x: Tensor) -> Tensor:
    """Largest minus smallest value of each case, (B, 1, ...)."""
    flat = x.flatten(1)
    return (flat.amax(dim=1) - flat.amin(dim=1)).view(-1, *[1] * (x.ndim - 1))


def _normal(x: Tensor, draws: list[np.random.Generator]) -> Tensor:
    """Standard normal numbers like x (B, *shape), each case's from its own generator."""
    rows = [draw.standard_normal(x.shape[1:], dtype=np.float32) for draw in draws]
    return torch.from_numpy(np.stack(rows)).to(x.dtype)
