"""Light's kappa: the mean of Cohen's kappas of all pairs of readers.

kappa = the mean over pairs of readers of (po - pe) / (1 - pe), each from the cases that both rated

Light RJ. Measures of response agreement for qualitative data: some generalizations and alternatives. Psychol
Bull 1971;76:365-77.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations
from typing import Any, ClassVar

import numpy as np
import pandas as pd

from studykit.trust.agreement import (
    ONE_READER,
    Coefficient,
    bootstrapped,
    check_cases,
    percent_agreement,
    ratings_of,
)
from studykit.trust.statistic import NotEstimable, row


@dataclass(frozen=True)
class LightKappa(Coefficient, name="light_kappa"):
    """The mean of Cohen's kappas of all pairs; interval by bootstrap over cases, or patients."""

    resamples: int = 1000
    seed: int = 0

    title: ClassVar[str] = "Light's kappa"
    question: ClassVar[str] = "How far do two of these readers agree beyond chance, on average?"
    wants: ClassVar[tuple[str, ...]] = ("reader", "case", "rating")
    uses: ClassVar[tuple[str, ...]] = ("patient",)
    crossed: ClassVar[bool] = True

    def rows(self, table: pd.DataFrame) -> Iterator[dict[str, Any]]:  # noqa: D102
        seen = ratings_of(table)
        readers, n = seen.readers, seen.rated_twice
        try:
            if len(readers) < 2:
                raise NotEstimable(ONE_READER)
            check_cases(n)
            ratings, w = self.weighed(seen)
            x = ratings.crossed
            each = pairwise(x, w, np.ones((1, x.shape[1])))[0]
            if np.isnan(each).any():
                a, b = list(combinations(readers, 2))[np.flatnonzero(np.isnan(each))[0]]
                raise NotEstimable(f"readers {a} and {b} have no kappa; Cohen's kappa of this pair says why")
            interval = bootstrapped(
                lambda weights: pairwise(x, w, weights).mean(axis=1),
                ratings.patient, self.level, self.resamples, self.seed,
            )  # fmt: skip
            yield row(self.called, each.mean(), n=n, **interval)
            yield row("lowest of the pairs", each.min(), n=n)
            yield row("highest of the pairs", each.max(), n=n)
        except NotEstimable as why:
            yield row(self.called, n=n, why=str(why))
        yield percent_agreement(seen, self.level)


def pairwise(x: np.ndarray, w: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Cohen's kappa of each pair of readers in each draw, (R, pairs); NaN where it is not estimable.

    x: (readers, cases), categories, -1 where missing. w: agreement weights. weights: (R, cases), how often
    each case counts.
    """
    found = []
    for a, b in combinations(x, 2):
        both = (a >= 0) & (b >= 0)
        a, b, drawn = a[both], b[both], weights[:, both]
        used = drawn @ np.concatenate([np.eye(len(w))[a], np.eye(len(w))[b], w[a, b][:, None]], axis=1)
        n = drawn.sum(axis=1)
        n = np.where(n > 1, n, np.nan)
        p, q, observed = np.split(used / n[:, None], [len(w), 2 * len(w)], axis=1)
        chance = ((p @ w) * q).sum(axis=1)
        apart = np.where(1 - chance > 1e-12, 1 - chance, np.nan)
        found.append(1 - (1 - observed[:, 0]) / apart)
    return np.stack(found, axis=1)
