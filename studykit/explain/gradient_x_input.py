"""Gradient x input: how the answer would begin to change if what is there faded towards "nothing there".

a_i = (x_i - x'_i) * dF/dx_i at x, F the class's logit, x' the data set's "absent" (a pixel's air, an unknown
column), so that a modality that says nothing gets 0. Of a text, the numbers that stand for each word are
counted from 0, and a word's value is the sum over its numbers. For a linear model this is what each pixel
added; for any other it is a first guess, which sees no saturation.

Shrikumar A, Greenside P, Shcherbina A, Kundaje A. Not just a black box: learning important features through
propagating activation differences. arXiv:1605.01713, 2016.
"""

from dataclasses import dataclass

from torch import Tensor

from studykit.case import Batch
from studykit.explain.explainer import Explainer
from studykit.explain.integrated_gradients import Way, sums
from studykit.models import Head


@dataclass(frozen=True)
class GradientXInput(Explainer, name="gradient_x_input"):
    """No settings."""

    title = "Gradient x input"
    unit = "added to the logit, at first sight"
    gives = "the slope at each pixel and column times how far it is from absent"

    def maps(self, model, batch: Batch, head: Head, targets: Tensor):  # noqa: D102
        way = Way(model, batch, head, targets)
        slopes = way.slopes(way.cases)
        far = (x - start for x, start in zip(way.cases, way.starts, strict=True))
        maps = way.maps(a * slope for a, slope in zip(far, slopes, strict=True))
        return maps, dict.fromkeys(maps, True), sums(maps), {}
