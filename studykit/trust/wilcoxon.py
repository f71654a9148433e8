"""Wilcoxon's signed-rank test: does each reader rate one condition above another, and by how much?

Every reader gives one difference (his mean in the first condition minus that in the second); differences of
nought are left out of the test. With R+ and R- the sums of the ranks of |difference| over those above and
below nought, the test's sum is the smaller, and the rank-biserial correlation is (R+ - R-) / (R+ + R-).
The Hodges-Lehmann difference is the median of the means of all pairs of differences, each with itself too.

Wilcoxon, Biometrics 1945;1:80. Hodges and Lehmann, Ann Math Stat 1963;34:598. Kerby, Compr Psychol 2014;3:1.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations
from typing import Any, ClassVar

import numpy as np
import pandas as pd
from scipy import stats

from studykit.trust.agreement import check_settings
from studykit.trust.holm import holm
from studykit.trust.over_readers import FEWEST, cell_means, coded, percentiles
from studykit.trust.statistic import NotEstimable, Statistic, numbers, row

EXACT = 50  # readers, up to which all signs are counted out


@dataclass(frozen=True)
class Wilcoxon(Statistic, name="wilcoxon"):
    """Every two conditions compared within readers: test, Holm's p, effect and difference with intervals.

    Differences are those of the readers' means over their cases, first condition minus second. Up to 50
    readers that differ, p counts out all signs given the ranks, ties included; above, it is the normal
    approximation corrected for ties and continuity (the row's name says which). The Hodges-Lehmann interval
    stands on the signed-rank distribution without ties, the effect's on draws of readers. n counts readers.
    Sources: see the file.
    """

    title: ClassVar[str] = "Wilcoxon's signed-rank sum"
    question: ClassVar[str] = "Which two conditions do the same readers rate differently?"
    wants: ClassVar[tuple[str, ...]] = ("reader", "case", "condition", "rating")
    kinds: ClassVar[tuple[str, ...]] = ("ordinal", "interval", "ratio")
    crossed: ClassVar[bool] = True

    resamples: int = 2000
    seed: int = 0

    def __post_init__(self):
        check_settings(self)

    def rows(self, table: pd.DataFrame) -> Iterator[dict[str, Any]]:
        """For each pair of conditions, seven rows; see the class."""
        reader, _ = coded(table["reader"])
        condition, conditions = coded(table["condition"])
        if len(conditions) < 2:
            raise NotEstimable("there is one condition only; nothing to compare")
        means = cell_means(numbers(table), reader, condition)
        pairs = list(combinations(range(len(conditions)), 2))
        apart = [_differences(means[:, a], means[:, b]) for a, b in pairs]
        tests = [signed_ranks(gap) for gap in apart]
        adjusted = holm(np.array([p for _, p, _ in tests]))
        for (a, b), gap, (total, p, how), of_all in zip(pairs, apart, tests, adjusted, strict=True):
            n, about = len(gap), {"n": len(gap), "group": f"{conditions[a]}, {conditions[b]}"}
            why = "" if gap.any() else "no reader differs between them" if n else "no reader rated both"
            yield row(self.title, total, why=why, **about)
            yield row(f"p, {how}", p, why=why, **about)
            yield row("p, Holm", of_all, why=why, **about)
            yield row("Hodges-Lehmann difference", **_hodges_lehmann(gap), **about)
            yield row("rank-biserial correlation", **self._effect(gap), **about)
            yield row("readers without a difference", n - np.count_nonzero(gap), **about)
            yield row("smallest p that n readers can reach", min(1.0, 2.0 ** (1 - n)), **about)

    def _effect(self, gap: np.ndarray) -> dict[str, Any]:
        """The rank-biserial correlation: estimate, low, high, why."""
        if not gap.any():
            return {"why": "no reader differs between them" if len(gap) else "no reader rated both"}
        told = {"estimate": _rank_biserial(gap[None])[0]}
        if len(gap) < FEWEST:
            few = f"{len(gap)} readers are fewer than the {FEWEST} that a draw of readers needs"
            return {**told, "why": few}
        if (gap >= 0).all() or (gap <= 0).all():
            return {**told, "why": "all readers differ in one direction, so draws of them show no spread"}
        drawn = np.random.default_rng(self.seed).choice(np.sort(gap), (self.resamples, len(gap)))
        low, high = percentiles(_rank_biserial(drawn), len(gap))
        return {**told, "low": low, "high": high}


def _differences(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Of the readers who have both; what differs by rounding only is made equal, so that ties are ties."""
    gap = (first - second)[~np.isnan(first) & ~np.isnan(second)]
    largest = np.abs(gap).max(initial=0)
    return np.round(gap / largest, 12) * largest if largest else gap


def signed_ranks(gap: np.ndarray) -> tuple[float, float, str]:
    """The smaller rank sum, the two-sided p, and whether it is "exact" or "normal approximation"."""
    gap = gap[gap != 0]
    if not len(gap):
        return np.nan, np.nan, "exact"
    ranks = stats.rankdata(np.abs(gap))
    total = min(ranks[gap > 0].sum(), ranks[gap < 0].sum())
    if len(gap) <= EXACT:
        below = chances(ranks)[: round(2 * total) + 1].sum()
        return total, min(1.0, 2 * below), "exact"
    away = max(0.0, ranks.sum() / 2 - total - 0.5)
    return total, 2 * stats.norm.sf(away / np.sqrt((ranks**2).sum() / 4)), "normal approximation"


def chances(ranks: np.ndarray) -> np.ndarray:
    """P(rank sum above nought = s / 2) for s = 0, 1, ..., if every sign is a fair coin; ranks may be tied."""
    steps = np.round(2 * ranks).astype(int)
    chance = np.zeros(steps.sum() + 1)
    chance[0] = 1
    for step in steps:
        chance[step:] = (chance[step:] + chance[: len(chance) - step]) / 2
        chance[:step] /= 2
    return chance


def _hodges_lehmann(gap: np.ndarray) -> dict[str, Any]:
    """The median of the pairwise means: estimate, low, high, why."""
    n = len(gap)
    if not n:
        return {"why": "no reader rated both"}
    first, second = np.triu_indices(n)
    means = np.sort(gap[first] / 2 + gap[second] / 2)
    told = {"estimate": np.median(means)}
    if n <= EXACT:
        place = int(np.searchsorted(chances(np.arange(1, n + 1))[::2].cumsum(), 0.025))
    else:
        place = int(n * (n + 1) / 4 - 1.96 * np.sqrt(n * (n + 1) * (2 * n + 1) / 24))
    if not place:
        return {**told, "why": f"{n} reader{'s' * (n > 1)} cannot give a 95 % interval; six can"}
    if means[place - 1] == means[-place]:
        return {**told, "why": "all readers differ by the same, which gives no interval"}
    return {**told, "low": means[place - 1], "high": means[-place]}


def _rank_biserial(gap: np.ndarray) -> np.ndarray:
    """(draws,) from (draws, readers); NaN where a draw has no difference."""
    away = gap != 0
    ranks = (stats.rankdata(np.abs(gap), axis=1) - (~away).sum(axis=1, keepdims=True)) * away
    total = ranks.sum(axis=1)
    return np.divide(
        (np.sign(gap) * ranks).sum(axis=1), total, out=np.full(len(gap), np.nan), where=total > 0
    )
