"""How well ratings tell positive cases from negative ones: the ROC curve and the area under it.

AUC = mean over pairs (positive case x, negative case y) of [x > y] + [x = y] / 2, the Mann-Whitney
statistic, which is the area under the trapezoids of the empirical ROC curve. The placement of a case is the
same mean over the pairs that it stands in. Leaving out one of m cases of a class moves AUC by
(AUC - placement) / (m - 1), so the jackknife needs no second AUC.

DeLong, DeLong & Clarke-Pearson, Biometrics 1988;44:837. Hanley & Hajian-Tilaki, Acad Radiol 1997;4:49.
"""

from typing import Any

import numpy as np
import pandas as pd

from studykit.trust.readings import readings
from studykit.trust.statistic import Statistic, cleaned, renamed


def placements(positive: np.ndarray, negative: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For each case the share of the other class that it is rightly rated against, ties counting half.

    positive: (m,) ratings, negative: (n,) ratings; gives (m,) and (n,), by sorting; m, n > 0. The mean of
    either is AUC.
    """
    return _passed(positive, negative), 1 - _passed(negative, positive)


def _passed(ratings: np.ndarray, others: np.ndarray) -> np.ndarray:
    others = np.sort(others)
    below, up_to = (np.searchsorted(others, ratings, side) for side in ("left", "right"))
    return (below + up_to) / (2 * len(others))


def auc(positive: np.ndarray, negative: np.ndarray) -> float:
    """Area under the empirical ROC curve; NaN without cases of both classes."""
    if not len(positive) or not len(negative):
        return np.nan
    return float(_passed(positive, negative).mean())


def pseudovalues(positive: np.ndarray, negative: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Jackknife pseudovalues of AUC, N AUC - (N - 1) AUC(without the case), N = m + n; (m,) and (n,).

    NaN in a class with one case: without it there is no AUC.
    """
    n = len(positive) + len(negative)
    found = []
    for placed in placements(positive, negative):
        area, others = placed.mean(), len(placed) - 1
        moved = (area - placed) / others if others else np.full(len(placed), np.nan)
        found.append(area - (n - 1) * moved)
    return found[0], found[1]


def weighted_auc(ratings: np.ndarray, positive: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """AUC of many weightings of the same cases (R, N), as of bootstrap draws; (R,), NaN without a class.

    ratings: (N,); positive: (N,) bool. Sorts once.
    """
    order = np.argsort(ratings, kind="stable")
    ratings, positive, weights = ratings[order], positive[order], weights[:, order]
    negative = np.cumsum(np.where(positive, 0, weights), axis=1)
    negative = np.concatenate(
        [np.zeros((len(weights), 1)), negative], axis=1
    )  # before the first, the second ...
    below, up_to = (np.searchsorted(ratings, ratings[positive], side) for side in ("left", "right"))
    won = (weights[:, positive] * (negative[:, below] + negative[:, up_to])).sum(axis=1) / 2
    pairs = weights[:, positive].sum(axis=1) * negative[:, -1]
    return np.divide(won, pairs, out=np.full(len(weights), np.nan), where=pairs > 0)


class _Curves(Statistic):
    """What the curves ask of a table; no statistic itself."""

    title = "ROC curves"
    wants = ("reader", "case", "condition", "rating", "truth")
    crossed = True


def roc_curves(table: pd.DataFrame, positive: Any = None, **columns: str) -> pd.DataFrame:
    """Each reader's ROC points: reader, condition, false_positive, true_positive, threshold.

    A point says which shares of the negative and of the positive cases are rated at the threshold or above;
    the first, (0, 0), has the threshold infinity. Readers without cases of both classes are left out.
    table, columns: as of a statistic. Raises InputError for a missing column, NotEstimable for ratings
    without a curve.
    """
    read = readings(cleaned(renamed(table, _Curves(), columns), _Curves()), positive)
    parts = []
    for i, condition in enumerate(read.conditions):
        for j, reader in enumerate(read.readers):
            there = ~np.isnan(read.ratings[i, j])
            curve = _curve(read.ratings[i, j, there], read.positive[there])
            parts.append(pd.DataFrame({"reader": reader, "condition": condition, **curve}))
    return pd.concat(parts, ignore_index=True)


def _curve(ratings: np.ndarray, positive: np.ndarray) -> dict[str, np.ndarray]:
    if positive.all() or not positive.any():
        return {name: np.empty(0) for name in ("false_positive", "true_positive", "threshold")}
    thresholds = np.append(np.inf, np.unique(ratings)[::-1])
    share = {}
    for name, of_class in (("false_positive", ~positive), ("true_positive", positive)):
        below = np.searchsorted(np.sort(ratings[of_class]), thresholds, "left")
        share[name] = 1 - below / of_class.sum()
    return {**share, "threshold": thresholds}
