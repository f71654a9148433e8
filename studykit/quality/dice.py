"""Dice coefficient: how well do the places that the map marks cover the region, and only it?

Dice = 2 |M and R| / (|M| + |R|), M the places where max(h, 0) / max(h) > threshold, R the region. Chance is
what as many places marked at random get on average, 2 |M| |R| / (N (|M| + |R|)).

Dice LR. Measures of the amount of ecologic association between species. Ecology 1945;26:297-302.
"""

from dataclasses import dataclass

import numpy as np

from studykit.quality.relevance_mass import counted, with_reasons
from studykit.quality.score import Asked, Score, Scored
from studykit.quality.threshold import by_luck, check_threshold, overlap


@dataclass(frozen=True)
class Dice(Score, name="dice"):
    """threshold: where the map, scaled to [0, 1], is cut; None: where asked, as tuned on other cases."""

    threshold: float | None = None

    title = "Dice coefficient"
    asks = "How well do the places that the map marks cover the region, and only it?"
    wants_region = True

    def __post_init__(self):
        if self.threshold is not None:
            check_threshold(self.threshold)

    def scored(self, asked: Asked) -> dict[str, Scored]:  # noqa: D102
        heat = counted(asked)
        threshold = asked.threshold if self.threshold is None else self.threshold
        values = dice(heat, asked.region, threshold)
        chance = by_luck(overlap(heat, asked.region, threshold), _dice)
        return {self.name: with_reasons(asked, heat, values, chance)}


def dice(heat: np.ndarray, region: np.ndarray, threshold: float) -> np.ndarray:
    """The share (B,) that marked places and the region share, of their mean size (Dice 1945).

    heat: (B, *space), NaN where there is no place; region: (B, *space) bool; threshold: of the map scaled to
    [0, 1]. NaN for an empty region and where nothing in the map speaks for the class. Raises InputError where
    the shapes differ or the threshold is outside [0, 1).
    """
    found = overlap(heat, region, threshold)
    return _dice(found.shared, found.marked, found.region)


def _dice(shared, marked, region):
    return 2 * shared / (marked + region)
