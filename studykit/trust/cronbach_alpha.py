"""Cronbach's alpha: do the questions of a questionnaire measure one thing?

alpha = k / (k - 1) * (1 - sum of the items' variances / variance of the sums), of k items

Interval: 1 - (1 - alpha) F, F with (n - 1) and (n - 1)(k - 1) degrees of freedom, of n readers. Readers who
left out an item are left out. Items that are asked the other way round must be turned before.

Cronbach LJ. Psychometrika 1951;16:297-334. Feldt LS. Psychometrika 1965;30:357-70.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pandas as pd
from scipy.stats import f as f_distribution

from studykit.trust.agreement import check_settings, ratings_of
from studykit.trust.statistic import NotEstimable, Statistic, numbers, row
from studykit.trust.weights import measurable

NAMELESS = (
    "some answers have no reader's name, so nobody knows which belong together; give each reader a code"
)


@dataclass(frozen=True)
class CronbachAlpha(Statistic, name="cronbach_alpha"):
    """Internal consistency of a questionnaire, and without each item. n: readers who answered every item."""

    level: float = 0.95

    title: ClassVar[str] = "Cronbach's alpha"
    question: ClassVar[str] = "Do the items of this questionnaire measure one thing?"
    wants: ClassVar[tuple[str, ...]] = ("reader", "item", "rating")
    kinds: ClassVar[tuple[str, ...]] = ("ordinal", "interval", "ratio")

    def __post_init__(self):
        check_settings(self)

    def rows(self, table: pd.DataFrame) -> Iterator[dict[str, Any]]:  # noqa: D102
        if table["reader"].isna().any():
            raise NotEstimable(NAMELESS)
        asked = table.rename(columns={"item": "case"}).assign(rating=measurable(numbers(table)))
        ratings = ratings_of(asked)
        whole = (ratings.crossed >= 0).all(axis=1)
        values = np.array(ratings.categories)
        x = (values - values.min())[ratings.crossed[whole]] / (np.ptp(values) or 1.0)  # (readers, items)
        n, k = x.shape
        try:
            alpha = cronbach(x)
            yield row(self.title, alpha, n=n, **self._interval(alpha, n, k))
            for at, item in enumerate(ratings.cases if k > 2 else ()):
                yield _without(np.delete(x, at, axis=1), str(item))
        except NotEstimable as why:
            yield row(self.title, n=n, why=str(why))
        yield row("items", k, n=n)
        yield row("readers left out (an item is missing)", (~whole).sum(), n=len(whole))

    def _interval(self, alpha: float, n: int, k: int) -> dict[str, Any]:
        """low, high and why, as `row` takes them: Feldt's interval."""
        if not 1 - alpha > 1e-12:
            return {"why": "every reader gave all items the same answer, so there is no interval"}
        tails = np.array([(1 + self.level) / 2, (1 - self.level) / 2])
        low, high = 1 - (1 - alpha) * f_distribution.ppf(tails, n - 1, (n - 1) * (k - 1))
        return {"low": low, "high": high}


def cronbach(x: np.ndarray) -> float:
    """Alpha of answers (readers, items); raises NotEstimable."""
    n, k = x.shape
    if k < 2:
        raise NotEstimable("there is one item only; consistency needs two")
    if n < 2:
        raise NotEstimable(f"{n} readers answered every item; consistency needs two")
    sums = x.sum(axis=1)
    if not np.ptp(sums) > 1e-12:
        raise NotEstimable("all readers have the same sum over the items")
    return k / (k - 1) * (1 - x.var(axis=0, ddof=1).sum() / sums.var(ddof=1))


def _without(x: np.ndarray, item: str) -> dict[str, Any]:
    """The row of alpha when an item is left out; x: the answers to the others."""
    try:
        return row("alpha without the item", cronbach(x), n=len(x), group=item)
    except NotEstimable as why:
        return row("alpha without the item", n=len(x), group=item, why=str(why))
