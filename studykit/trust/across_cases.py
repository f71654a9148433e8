"""Do two things go together from case to case? A rank correlation or a difference, and how sure it is.

Cases of one patient are alike, so patients are drawn with replacement; the interval is `percentiles`. It says
how sure the number is over patients like these, read by these very readers.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from studykit.scores import draws
from studykit.trust.over_readers import percentiles

FEWEST = 5  # patients, below which drawing them tells nothing
AT_ONCE = 2**18  # numbers of draws that are looked at


def rank_correlation(
    x: np.ndarray, y: np.ndarray, patients: np.ndarray, resamples: int = 2000, seed: int = 0
) -> dict[str, Any]:
    """Spearman's correlation of x and y (cases,), ties with their mean rank: estimate, low, high, n, why.

    Cases that lack one of both do not count. patients: (cases,), whose case each is.
    """
    there = np.isfinite(x) & np.isfinite(y)
    x, y, patients = x[there], y[there], np.asarray(patients)[there]
    told = {"estimate": np.nan, "low": np.nan, "high": np.nan, "n": len(x), "why": ""}
    if len(x) < 3:
        return {**told, "why": "fewer than three cases have both"}
    if np.ptp(x) == 0 or np.ptp(y) == 0:
        return {**told, "why": "one of both is the same in all cases"}
    heights = _heights(x), _heights(y)

    def correlations(weights: np.ndarray) -> np.ndarray:
        """(R,): of each of the draws (R, cases)."""
        one, other = (height(weights) for height in heights)  # their weighted means are 0
        spread = (weights * one**2).sum(axis=1) * (weights * other**2).sum(axis=1)
        both = (weights * one * other).sum(axis=1)
        return np.divide(both, np.sqrt(spread), out=np.full(len(weights), np.nan), where=spread > 0)

    return _told(told, correlations, patients, resamples, seed)


def _heights(values: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """A function of draws (R, cases): of each case how many lie below it, less those above, (R, cases).

    That is twice its mid-rank, less a number that is one for all. The values are sorted once.
    """
    order = np.argsort(values)
    below, upto = (np.searchsorted(values[order], values, side) for side in ("left", "right"))

    def heights(weights: np.ndarray) -> np.ndarray:
        sums = np.zeros((len(weights), len(values) + 1))
        np.cumsum(weights[:, order], axis=1, out=sums[:, 1:])
        return sums[:, below] + sums[:, upto] - sums[:, -1:]

    return heights


def mean_difference(
    y: np.ndarray, first: np.ndarray, patients: np.ndarray, resamples: int = 2000, seed: int = 0
) -> dict[str, Any]:
    """Mean of y (cases,) where `first` (cases,) bool, less the mean of the others; as `rank_correlation`."""
    there = np.isfinite(y)
    y, first, patients = y[there], np.asarray(first, dtype=bool)[there], np.asarray(patients)[there]
    told = {"estimate": np.nan, "low": np.nan, "high": np.nan, "n": len(y), "why": ""}
    if not first.any() or first.all():
        return {**told, "why": "all cases are of one kind"}

    def differences(weights: np.ndarray) -> np.ndarray:
        means = []
        for rows in (first, ~first):
            count = weights[:, rows].sum(axis=1)
            means.append(
                np.divide(weights[:, rows] @ y[rows], count, out=np.full(len(count), np.nan), where=count > 0)
            )
        return means[0] - means[1]

    return _told(told, differences, patients, resamples, seed)


def _told(told: dict, number, patients: np.ndarray, resamples: int, seed: int) -> dict[str, Any]:
    """The number of all cases once each, and its interval."""
    told["estimate"] = float(number(np.ones((1, len(patients))))[0])
    count = len(set(patients))
    if count < FEWEST:
        few = f"{count} patient{'s are' if count > 1 else ' is'} fewer than {FEWEST}, so there is no interval"
        return {**told, "why": few}
    drawn = draws(patients, resamples, seed)
    parts = np.array_split(drawn, -(-drawn.size // AT_ONCE))
    low, high = percentiles(np.concatenate([number(part) for part in parts]), count)
    if not high - low > 1e-12:
        return {**told, "why": "most draws of patients are alike or have no value, so there is no interval"}
    return {**told, "low": float(low), "high": float(high)}
