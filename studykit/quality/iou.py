"""Intersection over union: how much of what the map marks or the region covers do both have?

IoU = |M and R| / |M or R|, M the places where max(h, 0) / max(h) > threshold, R the region. Chance is what as
many places marked at random get on average.

Jaccard P. The distribution of the flora in the alpine zone. New Phytologist 1912;11:37-50.
"""

from dataclasses import dataclass

import numpy as np

from studykit.quality.relevance_mass import counted, with_reasons
from studykit.quality.score import Asked, Score, Scored
from studykit.quality.threshold import by_luck, check_threshold, overlap


@dataclass(frozen=True)
class IoU(Score, name="iou"):
    """threshold: where the map, scaled to [0, 1], is cut; None: where asked, as tuned on other cases."""

    threshold: float | None = None

    title = "Intersection over union"
    asks = "Of what the map marks or the region covers, which share do both have?"
    wants_region = True

    def __post_init__(self):
        if self.threshold is not None:
            check_threshold(self.threshold)

    def scored(self, asked: Asked) -> dict[str, Scored]:  # noqa: D102
        heat = counted(asked)
        threshold = asked.threshold if self.threshold is None else self.threshold
        found = overlap(heat, asked.region, threshold)
        values = self.share(found.shared, found.marked, found.region)
        return {self.name: with_reasons(asked, heat, values, by_luck(found, self.share))}

    @staticmethod
    def share(shared, marked, region):
        """Of numbers of places."""
        return shared / (marked + region - shared)


def iou(heat: np.ndarray, region: np.ndarray, threshold: float) -> np.ndarray:
    """The share (B,) that marked places and the region share, of all that is in either (Jaccard 1912).

    heat: (B, *space), NaN where there is no place; region: (B, *space) bool; threshold: of the map scaled to
    [0, 1]. NaN for an empty region and where nothing in the map speaks for the class. Raises InputError where
    the shapes differ or the threshold is outside [0, 1).
    """
    found = overlap(heat, region, threshold)
    return IoU.share(found.shared, found.marked, found.region)
