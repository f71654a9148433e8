"""Where a map is cut into marked and unmarked places, and how to find that threshold on other cases.

A place is marked where max(h, 0) / max(h) > threshold, h the map. The threshold must not come from the cases
that are scored: `tuned` finds it on validation cases.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.stats import hypergeom

from studykit.catalog import InputError
from studykit.quality.relevance_mass import by_case
from studykit.quality.score import speaking

GRID = tuple(round(0.05 * step, 2) for step in range(20))  # 0, 0.05, ..., 0.95


@dataclass(frozen=True)
class Overlap:
    """Numbers of places of each case, (B,): shared by both, marked, in the region, and all.

    NaN where they tell nothing: `region` where it is empty, `shared` and `marked` where nothing in the map
    speaks for the class.
    """

    shared: np.ndarray
    marked: np.ndarray
    region: np.ndarray
    places: np.ndarray


def overlap(heat: np.ndarray, region: np.ndarray, threshold: float) -> Overlap:
    """How marked places and the region (B, *space) lie upon each other; heat (B, *space), NaN where no place
    is.

    Raises InputError where the shapes differ or the threshold is outside [0, 1).
    """
    check_threshold(threshold)
    rows = []
    for h, inside in by_case(heat, region):
        h = speaking(h)
        if h.any():
            marked = h / h.max() > threshold
            rows.append([(marked & inside).sum(), marked.sum(), inside.sum() or np.nan, h.size])
        else:
            rows.append([np.nan, np.nan, inside.sum() or np.nan, h.size])
    return Overlap(*np.array(rows, dtype=np.float64).reshape(-1, 4).T)


def by_luck(found: Overlap, score: Callable[[np.ndarray, float, float], np.ndarray]) -> np.ndarray:
    """What as many places marked at random get on average, (B,): shared places are hypergeometric.

    score: of numbers of shared places (S,), the number marked and the region's.
    """
    expected = np.full(len(found.places), np.nan)
    rows = zip(found.marked, found.region, found.places, strict=True)
    for case, (marked, region, places) in enumerate(rows):
        if not np.isnan(marked + region):
            shared = np.arange(max(0, marked + region - places), min(marked, region) + 1)
            p = hypergeom.pmf(shared, int(places), int(region), int(marked))
            expected[case] = (score(shared, marked, region) * p).sum() / p.sum()
    return expected


def tuned(heat: np.ndarray, region: np.ndarray, score: Callable[..., np.ndarray]) -> float:
    """The threshold of GRID with the best mean `score` over validation cases; the lowest where several tie.

    heat, region: (B, *space) of cases that are not scored later; score: `dice` or `iou`. Raises InputError
    where no case has both a region and a map that speaks for the class.
    """
    each = np.array([score(heat, region, threshold) for threshold in GRID])  # (thresholds, B)
    told = ~np.isnan(each).all(axis=0)
    if not told.any():
        raise InputError(
            "No threshold can be tuned: no validation case has a region and a map that speaks for the class; "
            "give cases with reference masks."
        )
    return float(GRID[each[:, told].mean(axis=1).argmax()])


def check_threshold(threshold: float) -> None:
    """InputError where a threshold of a map scaled to [0, 1] is outside [0, 1)."""
    if not 0 <= threshold < 1:
        raise InputError(f"A threshold of a map scaled to [0, 1] is at least 0 and below 1, not {threshold}.")
