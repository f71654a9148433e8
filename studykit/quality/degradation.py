"""Degradation score: does taking away what the map calls relevant hurt more than taking away the rest?

DS = mean over the steps of LeRF - MoRF, the curves on which the least and the most relevant places go first

DS is above 0 for a map that knows where the answer comes from, 0 for one that knows nothing, below 0 for one
that is wrong. Both curves start and end alike. What is half replaced is like nothing that the model has
learned from, in both curves; see OUT_OF_DISTRIBUTION. Adjusted for classes (DS_c) in `summary`.

Schulz K, Sixt L, Tombari F, Landgraf T. Restricting the flow: information bottlenecks for attribution.
ICLR 2020.
"""

from dataclasses import dataclass

import numpy as np

from studykit.quality.curves import OUT_OF_DISTRIBUTION, check_setting, curve, why
from studykit.quality.score import Score, Scored


@dataclass(frozen=True)
class Degradation(Score, name="degradation"):
    """filling: what stands where places are gone (see FILLINGS in curves); steps: points on a curve.

    Tables and texts are always filled with what stands for their absence.
    """

    filling: str = "blur"
    steps: int = 11

    title = "Degradation score"
    asks = "Does the answer suffer more when the most relevant places go first than when the least do?"
    better = "more"
    caution = OUT_OF_DISTRIBUTION

    def __post_init__(self):
        check_setting(self.name, self.filling, self.steps)

    def scored(self, asked):  # noqa: D102
        morf, lerf = (curve(asked, most, self.filling, self.steps) for most in (True, False))
        steps, curves = np.linspace(0.0, 1.0, self.steps), {"morf": morf, "lerf": lerf}
        chance = np.zeros(len(asked))
        return {self.name: Scored(degradation(morf, lerf), chance, why(asked, morf), curves, steps)}


def degradation(morf: np.ndarray, lerf: np.ndarray) -> np.ndarray:
    """DS (B,) of curves (B, S)."""
    return (lerf - morf).mean(axis=1)
