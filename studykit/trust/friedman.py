"""Friedman's test: do readers rank some conditions above others, and how much do they agree (Kendall's W)?

Each block (a reader, or a reader with a case) ranks its k conditions, ties sharing their mean rank. With D_i
the ranks of block i minus (k + 1) / 2 and m blocks,

    W = |sum_i D_i|^2 / (m sum_i |D_i|^2),   chi-square = m (k - 1) W with k - 1 degrees of freedom,

which is corrected for ties. W is 1 where all blocks rank alike and has mean 1 / m where ranks are chance.
The F of Iman and Davenport, (m - 1) chi-square / (m (k - 1) - chi-square), keeps its level better in few
blocks.

Friedman, J Am Stat Assoc 1937;32:675. Kendall and Smith, Ann Math Stat 1939;10:275. Iman and Davenport,
Commun Stat 1980;9:571. Conover, Practical Nonparametric Statistics 1999. Nemenyi, thesis, Princeton 1963.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations
from typing import Any, ClassVar

import numpy as np
import pandas as pd
from scipy import stats

from studykit.catalog import check_choice
from studykit.scores import draws
from studykit.trust.agreement import check_settings
from studykit.trust.holm import holm
from studykit.trust.over_readers import FEWEST, cell_means, coded, percentiles
from studykit.trust.statistic import NotEstimable, Statistic, numbers, row

BLOCKS = ("reader", "reader and case")
POST_HOC = ("conover", "nemenyi")
LIKE = (
    "blocks of one reader are not independent, so this p is too small; blocks='reader' gives one that holds"
)
UNADJUSTED = "the interval is that of one comparison, while p is adjusted for all"


@dataclass(frozen=True)
class Friedman(Statistic, name="friedman"):
    """Whether readers rank the conditions differently, and Kendall's W, how far they rank them alike.

    blocks: "reader" ranks each reader's mean over cases; "reader and case" ranks within every case (as where
    subjects rank methods image by image). post_hoc: pairs of conditions by Conover's t with Holm's
    adjustment, or by Nemenyi's studentized range, which needs none. Blocks that lack a condition are left
    out. W's interval draws readers with all their blocks; two copies of one reader are not compared with
    each other, which would look like agreement. In simulations with W about 0.65 and 5 to 15 readers it
    covers 88-89 %, at W below 0.3 93 % or more. n counts blocks. Sources: see the file.
    """

    title: ClassVar[str] = "Friedman's chi-square"
    question: ClassVar[str] = "Do readers rank some conditions above others?"
    wants: ClassVar[tuple[str, ...]] = ("reader", "case", "condition", "rating")
    kinds: ClassVar[tuple[str, ...]] = ("ordinal", "interval", "ratio")
    crossed: ClassVar[bool] = True

    blocks: str = "reader"
    post_hoc: str = "conover"
    resamples: int = 2000
    seed: int = 0

    def __post_init__(self):
        check_choice("kind of block", self.blocks, BLOCKS)
        check_choice("post-hoc test", self.post_hoc, POST_HOC)
        check_settings(self)

    def rows(self, table: pd.DataFrame) -> Iterator[dict[str, Any]]:
        """Test, W, mean ranks, pairs; see the class."""
        block, reader, conditions = self._blocks(table)
        whole = ~np.isnan(block).any(axis=1)
        m, k = int(whole.sum()), len(conditions)
        if k < 2:
            raise NotEstimable("there is one condition only; nothing to compare")
        if m < 2:
            raise NotEstimable(f"{m} of {len(block)} blocks rate every condition; two are needed")
        ranks = stats.rankdata(block[whole], axis=1)
        centred = ranks - (k + 1) / 2
        if not centred.any():
            raise NotEstimable("every block rates all conditions alike")
        yield from self._test(centred, m, k)
        yield row("Kendall's W", **self._agreement(centred, reader[whole]), n=m)
        for condition, mean in zip(conditions, ranks.mean(axis=0), strict=True):
            yield row("mean rank", mean, n=m, group=condition)
        yield from self._pairs(ranks, conditions)
        yield row("blocks left out", len(block) - m, n=len(block))

    def _blocks(self, table: pd.DataFrame) -> tuple[np.ndarray, np.ndarray, list]:
        """(blocks, conditions) ratings, the place of each block's reader, the conditions."""
        reader, _ = coded(table["reader"])
        condition, conditions = coded(table["condition"])
        if self.blocks == "reader":
            means = cell_means(numbers(table), reader, condition)
            return means, np.arange(len(means)), conditions
        both = reader * len(table) + coded(table["case"])[0]
        kept, block = np.unique(both, return_inverse=True)
        return cell_means(numbers(table), block, condition), kept // len(table), conditions

    def _test(self, centred: np.ndarray, m: int, k: int) -> Iterator[dict[str, Any]]:
        chi = m * (k - 1) * (centred.sum(axis=0) ** 2).sum() / (m * (centred**2).sum())
        rest = m * (k - 1) - chi
        yield row(self.title, chi, n=m)
        yield row("degrees of freedom", k - 1, n=m)
        yield row("p", stats.chi2.sf(chi, k - 1), n=m, why=self._caution)
        if rest < 1e-9 * m:
            yield row("Iman-Davenport F", n=m, why="all blocks rank the conditions alike, so F has no bound")
            return
        f = (m - 1) * chi / rest
        yield row("Iman-Davenport F", f, n=m)
        yield row("p of F", stats.f.sf(f, k - 1, (k - 1) * (m - 1)), n=m, why=self._caution)

    @property
    def _caution(self) -> str:
        return LIKE if self.blocks == "reader and case" else ""

    def _agreement(self, centred: np.ndarray, reader: np.ndarray) -> dict[str, Any]:
        """W with its interval: estimate, low, high, why."""
        readers, place = np.unique(reader, return_inverse=True)
        estimate = float(kendall_w(centred, place, np.ones((1, len(readers))))[0])
        if len(readers) < FEWEST:
            few = f"{len(readers)} readers are fewer than the {FEWEST} that a draw of readers needs"
            return {"estimate": estimate, "why": few}
        drawn = kendall_w(centred, place, draws(np.arange(len(readers)), self.resamples, self.seed))
        low, high = percentiles(drawn, len(readers))
        if not high - low > 1e-12:
            return {"estimate": estimate, "why": "all readers rank alike, so draws of them show no spread"}
        return {"estimate": estimate, "low": low, "high": high}

    def _pairs(self, ranks: np.ndarray, conditions: list) -> Iterator[dict[str, Any]]:
        m, k = ranks.shape
        pairs = list(combinations(range(k), 2))
        mean = ranks.mean(axis=0)
        apart = np.array([mean[a] - mean[b] for a, b in pairs])
        why = self._caution
        if self.post_hoc == "nemenyi":
            error = np.sqrt(k * (k + 1) / (6 * m))
            width = stats.studentized_range.ppf(0.95, k, np.inf) / np.sqrt(2) * error
            p = stats.studentized_range.sf(np.abs(apart) / error * np.sqrt(2), k, np.inf)
        else:
            freedom = (m - 1) * (k - 1)
            rest = (ranks**2).sum() - m * (mean**2).sum()
            spread = rest > 1e-9 * m
            error = np.sqrt(2 * rest / freedom / m) if spread else np.nan
            why = why if spread else "all blocks rank alike, so Conover's test has no spread; use nemenyi"
            width = stats.t.ppf(0.975, freedom) * error
            p = holm(2 * stats.t.sf(np.abs(apart) / error, freedom))
        name = "p, Nemenyi" if self.post_hoc == "nemenyi" else "p, Conover, Holm"
        alone = self.post_hoc == "conover" and len(pairs) > 1 and spread
        about_gap = "; ".join(filter(None, [why, UNADJUSTED if alone else ""]))
        for (a, b), gap, chance in zip(pairs, apart, p, strict=True):
            group = f"{conditions[a]}, {conditions[b]}"
            yield row(
                "difference of mean ranks", gap, gap - width, gap + width, n=m, group=group, why=about_gap
            )
            yield row(name, chance, n=m, group=group, why=why)


def kendall_w(centred: np.ndarray, reader: np.ndarray, times: np.ndarray) -> np.ndarray:
    """W of m blocks in each draw of readers; pairs of blocks are compared within and between readers.

    centred: (blocks, conditions) ranks minus their mean; reader: (blocks,) places; times: (draws, readers),
    how often each reader counts. With each reader counted once it is W itself. NaN where one reader alone is
    drawn.
    """
    readers, m = times.shape[1], len(centred)
    count = np.bincount(reader, minlength=readers).astype(float)
    total = np.zeros((readers, centred.shape[1]))
    np.add.at(total, reader, centred)
    own = np.bincount(reader, weights=(centred**2).sum(axis=1), minlength=readers)
    within, pairs = (total**2).sum(axis=1) - own, count * (count - 1)
    between = ((times @ total) ** 2).sum(axis=1) - times**2 @ (total**2).sum(axis=1)
    between_pairs = (times @ count) ** 2 - times**2 @ count**2
    like = [
        np.divide(above, below, out=np.full(len(times), empty), where=below > 0) * weight
        for above, below, weight, empty in (
            (between, between_pairs, m**2 - (count**2).sum(), np.nan),
            (times @ within, times @ pairs, pairs.sum(), 0.0),
        )
        if weight > 0
    ]
    spread = np.divide(times @ own, times @ count, out=np.full(len(times), np.nan), where=times @ own > 0)
    return np.clip((sum(like) + m * spread) / (m**2 * spread), 0, 1)
