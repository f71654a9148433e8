"""Krippendorff's alpha: agreement beyond chance on any scale, whoever rated and whatever is missing.

alpha = 1 - Do / De

Do: the mean squared distance of two ratings of one case (each pair of a case's m ratings weighs 1 / (m - 1));
De: that of two ratings of any cases. Squared distance of categories c and k: nominal [c != k]; interval
(c - k)^2; ratio ((c - k) / (c + k))^2; ordinal (sum over g from c to k of n_g, less (n_c + n_k) / 2)^2, n_g
being how often g was used: that of c's and k's mean ranks. Gwet's ordinal weights are another thing.

Krippendorff K. Content analysis, 4th ed. Thousand Oaks: Sage; 2019, chapter 12.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pandas as pd

from studykit.catalog import check_choice
from studykit.trust.agreement import (
    BLOCK,
    bootstrapped,
    check_cases,
    check_settings,
    percent_agreement,
    ratings_of,
)
from studykit.trust.statistic import KINDS, NotEstimable, Statistic, numbers, row
from studykit.trust.weights import measurable


@dataclass(frozen=True)
class KrippendorffAlpha(Statistic, name="krippendorff_alpha"):
    """Agreement beyond chance on any scale; interval by bootstrap over cases, or patients.

    metric: nominal, ordinal, interval or ratio. categories: all that could be chosen, in order; empty: those
    seen. n: cases with two ratings or more.
    """

    metric: str = "nominal"
    categories: tuple = ()
    level: float = 0.95
    resamples: int = 1000
    seed: int = 0

    title: ClassVar[str] = "Krippendorff's alpha"
    question: ClassVar[str] = "How far do ratings of the same case agree beyond chance, on this scale?"
    wants: ClassVar[tuple[str, ...]] = ("case", "rating")
    uses: ClassVar[tuple[str, ...]] = ("reader", "patient")

    def __post_init__(self):
        check_choice("metric of Krippendorff's alpha", self.metric, KINDS)
        check_settings(self)

    def rows(self, table: pd.DataFrame) -> Iterator[dict[str, Any]]:  # noqa: D102
        seen = ratings_of(table)
        name, n = f"{self.title} ({self.metric} metric)", seen.rated_twice
        try:
            check_cases(n)
            ratings = seen.among(self.categories, ordered=self.metric == "ordinal")
            counts = ratings.counts
            pairable = counts.sum(axis=1) >= 2
            alpha = Alpha(counts[pairable], self.metric, self._numbers(ratings.categories))
            estimate = alpha(np.ones((1, n)))[0]
            if np.isnan(estimate):
                raise NotEstimable("every rating is the same, so there is no disagreement by chance")
            patient = np.unique(ratings.patient[pairable], return_inverse=True)[1]
            interval = bootstrapped(alpha, patient, self.level, self.resamples, self.seed)
            yield row(name, estimate, n=n, **interval)
            yield row("pairable ratings", alpha.counts.sum(), n=n)
        except NotEstimable as why:
            yield row(name, n=n, why=str(why))
        yield percent_agreement(seen, self.level)

    def _numbers(self, categories: list) -> np.ndarray:
        """(q,): what the categories are as numbers, where the metric needs them as such."""
        if self.metric in ("nominal", "ordinal"):
            return np.arange(len(categories), dtype=float)
        x = measurable(numbers(pd.DataFrame({"rating": pd.Series(categories, dtype=object)})))
        if self.metric == "interval":
            return (x - x.min()) / (np.ptp(x) or 1.0)
        if x.min() < 0:
            raise NotEstimable("the ratio metric is of ratings of 0 or more; use the interval metric")
        return x


class Alpha:
    """Alpha of cases of which each counts as often as a row of weights (R, cases) says: (R,) values.

    counts: (cases, q), how often each category was named, twice or more a case; x: (q,), the categories as
    numbers. NaN where all ratings of a row are the same.
    """

    def __init__(self, counts: np.ndarray, metric: str, x: np.ndarray):
        self.counts, self.metric, self.x = counts, metric, x
        self.m = counts.sum(axis=1)
        if metric != "ordinal":
            self.observed = apart(counts, metric, x) / (self.m - 1)

    def __call__(self, weights: np.ndarray) -> np.ndarray:  # noqa: D102
        rows = max(1, BLOCK // self.counts.shape[1])
        return np.concatenate([self._of(weights[at : at + rows]) for at in range(0, len(weights), rows)])

    def _of(self, weights: np.ndarray) -> np.ndarray:
        used, n = weights @ self.counts, weights @ self.m  # (R, q), (R,)
        if self.metric == "ordinal":
            ranks = (used.cumsum(axis=1) - used / 2) / np.maximum(n, 1)[:, None] - 0.5
            observed, chance = self._observed_ranks(weights, ranks), spread(used, ranks)
        else:
            observed, chance = weights @ self.observed, apart(used, self.metric, self.x)
        told = chance > 1e-12 * n**2
        return 1 - np.divide((n - 1) * observed, chance, out=np.full(len(n), np.nan), where=told)

    def _observed_ranks(self, weights: np.ndarray, ranks: np.ndarray) -> np.ndarray:
        """(R,): the sum over cases of the squared distances of their ratings' ranks; ranks: (R, q)."""
        squares = (weights @ (self.counts * (self.m / (self.m - 1))[:, None]) * ranks**2).sum(axis=1)
        sums = ranks @ self.counts.T
        sums *= sums
        sums *= weights
        return 2 * (squares - sums @ (1 / (self.m - 1)))


def apart(used: np.ndarray, metric: str, x: np.ndarray) -> np.ndarray:
    """(R,): the squared distances of all ordered pairs of a row's ratings; used: (R, q), how often each."""
    if metric == "nominal":
        return used.sum(axis=1) ** 2 - (used**2).sum(axis=1)
    if metric == "interval":
        return spread(used, x)
    total = np.zeros(len(used))
    for block in np.array_split(np.arange(len(x)), 1 + len(x) ** 2 // BLOCK):
        c, k = x[block, None], x
        share = np.divide(c - k, c + k, out=np.zeros((len(block), len(x))), where=c + k > 0)
        total += ((used[:, block] @ share**2) * used).sum(axis=1)
    return total


def spread(used: np.ndarray, x: np.ndarray) -> np.ndarray:
    """(R,): the squared differences of all ordered pairs of a row's numbers; x: (q,) or (R, q)."""
    return 2 * (used.sum(axis=1) * (used * x**2).sum(axis=1) - (used * x).sum(axis=1) ** 2)
