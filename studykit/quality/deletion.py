"""Deletion: does the model lose its answer when the places that the map calls relevant are taken away first?

deletion = area under p(class | the s most relevant places replaced), s = 0 ... 1

The smaller, the better the map knows where the answer comes from. A picture half replaced is no picture of
this world (see OUT_OF_DISTRIBUTION), so the number depends on the filling and is compared with a control's.

Petsiuk V, Das A, Saenko K. RISE: randomized input sampling for explanation of black-box models. BMVC 2018.
"""

from dataclasses import dataclass

import numpy as np

from studykit.quality.curves import OUT_OF_DISTRIBUTION, area, check_setting, curve, why
from studykit.quality.score import Score, Scored


@dataclass(frozen=True)
class Deletion(Score, name="deletion"):
    """filling: what stands where places are gone (see FILLINGS in curves); steps: points on a curve.

    Tables and texts are always filled with what stands for their absence.
    """

    filling: str = "blur"
    steps: int = 11

    title = "Deletion"
    asks = "How long does the model keep its answer while the most relevant places are taken away first?"
    better = "less"
    caution = OUT_OF_DISTRIBUTION

    def __post_init__(self):
        check_setting(self.name, self.filling, self.steps)

    def scored(self, asked):  # noqa: D102
        morf = curve(asked, True, self.filling, self.steps)
        steps = np.linspace(0.0, 1.0, self.steps)
        return {self.name: Scored(area(morf), None, why(asked, morf), {"morf": morf}, steps)}
