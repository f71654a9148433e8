"""Insertion: how soon is the model's answer back when the most relevant places return first?

insertion = area under p(class | all replaced but the s most relevant places), s = 0 ... 1

This is the curve on which the least relevant places go first, read backwards. The larger, the better. What is
half replaced is like nothing that the model has learned from; see OUT_OF_DISTRIBUTION.

Petsiuk V, Das A, Saenko K. RISE: randomized input sampling for explanation of black-box models. BMVC 2018.
"""

from dataclasses import dataclass

import numpy as np

from studykit.quality.curves import OUT_OF_DISTRIBUTION, area, check_setting, curve, why
from studykit.quality.score import Score, Scored


@dataclass(frozen=True)
class Insertion(Score, name="insertion"):
    """filling: what stands where places are gone (see FILLINGS in curves); steps: points on a curve.

    Tables and texts are always filled with what stands for their absence.
    """

    filling: str = "blur"
    steps: int = 11

    title = "Insertion"
    asks = "How soon is the model's answer back while the most relevant places return first?"
    better = "more"
    caution = OUT_OF_DISTRIBUTION

    def __post_init__(self):
        check_setting(self.name, self.filling, self.steps)

    def scored(self, asked):  # noqa: D102
        back = curve(asked, False, self.filling, self.steps)[:, ::-1]
        steps = np.linspace(0.0, 1.0, self.steps)
        return {self.name: Scored(area(back), None, why(asked, back), {"insertion": back}, steps)}
