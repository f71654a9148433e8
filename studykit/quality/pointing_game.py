"""Pointing game: does the map's highest place lie in the region?

PG = share of the places with the highest value that lie in the region: 1 or 0 where one place is highest, the
expectation of picking one of them where several tie. With a tolerance, the region is what lies within so many
pixels of it. A map that knows nothing gets that region's share of the places.

Zhang J, Bargal SA, Lin Z et al. Top-down neural attention by excitation backprop. IJCV 2018;126:1084-1102.
"""

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import distance_transform_edt

from studykit.catalog import InputError
from studykit.quality.relevance_mass import area, by_case, counted, with_reasons
from studykit.quality.score import Asked, Score, Scored


@dataclass(frozen=True)
class PointingGame(Score, name="pointing_game"):
    """tolerance: how far from the region a hit still counts, in pixels (voxels, words)."""

    tolerance: float = 0.0

    title = "Pointing game"
    asks = "Does the highest place of the map lie in the region?"
    wants_region = True

    def __post_init__(self):
        if not 0 <= self.tolerance < np.inf:
            raise InputError(f"'tolerance' of pointing_game is 0 or more pixels, not {self.tolerance}.")

    def suits(self, asked: Asked) -> str:  # noqa: D102
        if self.tolerance and asked.modality.kind == "table":
            return f"Columns have no neighbours; play on '{asked.modality.name}' with a tolerance of 0."
        return super().suits(asked)

    def scored(self, asked: Asked) -> dict[str, Scored]:  # noqa: D102
        heat, region = counted(asked), within(asked.region, self.tolerance)
        # A region beyond the end of a text is none; its surroundings are none either.
        region[np.isnan(area(heat, asked.region))] = False
        return {self.name: with_reasons(asked, heat, pointing_game(heat, region), area(heat, region))}


def pointing_game(heat: np.ndarray, region: np.ndarray, tolerance: float = 0.0) -> np.ndarray:
    """The chance (B,) that the highest place, drawn among equals, lies in the region (Zhang et al. 2018).

    heat: (B, *space), NaN where there is no place; region: (B, *space) bool; tolerance: in pixels. NaN for an
    empty region. Raises InputError where the shapes differ.
    """
    rows = by_case(heat, within(region, tolerance))
    return np.array([inside[h == h.max()].mean() if inside.any() else np.nan for h, inside in rows])


def within(region: np.ndarray, tolerance: float) -> np.ndarray:
    """The places (B, *space) bool that lie in each region or at most `tolerance` pixels from it."""
    region = np.array(region, dtype=bool)
    if not tolerance:
        return region
    return np.array([distance_transform_edt(~one) <= tolerance if one.any() else one for one in region])
