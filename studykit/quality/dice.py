"""Dice coefficient: how well do the places that the map marks cover the region, and only it?

Dice = 2 |M and R| / (|M| + |R|), M the places where max(h, 0) / max(h) > threshold, R the region. Chance is
what as many places marked at random get on average, 2 |M| |R| / (N (|M| + |R|)).

Dice LR. Measures of the amount of ecologic association between species. Ecology 1945;26:297-302.
"""

from dataclasses import dataclass

import numpy as np

from studykit.quality.iou import IoU
from studykit.quality.threshold import overlap


@dataclass(frozen=True)
class Dice(IoU, name="dice"):
    """threshold: as for the intersection over union."""

    title = "Dice coefficient"
    asks = "How well do the places that the map marks cover the region, and only it?"

    @staticmethod
    def share(shared, marked, region):  # noqa: D102
        return 2 * shared / (marked + region)


def dice(heat: np.ndarray, region: np.ndarray, threshold: float) -> np.ndarray:
    """The share (B,) that marked places and the region share, of their mean size (Dice 1945).

    heat: (B, *space), NaN where there is no place; region: (B, *space) bool; threshold: of the map scaled to
    [0, 1]. NaN for an empty region and where nothing in the map speaks for the class. Raises InputError where
    the shapes differ or the threshold is outside [0, 1).
    """
    found = overlap(heat, region, threshold)
    return Dice.share(found.shared, found.marked, found.region)
