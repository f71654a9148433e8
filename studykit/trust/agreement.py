"""How often readers agree, and how far beyond chance: what all coefficients of agreement share.

coefficient = (pa - pe) / (1 - pe)

pa: the mean over cases of the share of pairs of ratings that agree; pe: what the coefficient takes for
chance. 1 - coefficient is a ratio of disagreements, observed / by chance, so its interval is even on the
logarithm: 1 - (1 - c) exp(+-t SE / (1 - c)), t with (patients - 1) degrees of freedom; what the cases of one
patient add is summed first. Where there is no standard error, patients are drawn with replacement (BCa).
Without patients each case is its own. All this is over cases: it tells of these readers, not of others.

Gwet KL. Handbook of inter-rater reliability, 4th ed. Gaithersburg: Advanced Analytics; 2014, chapters 2, 5.
Efron B. Better bootstrap confidence intervals. J Am Stat Assoc 1987;82:171-85. Hesterberg TC. What teachers
should know about the bootstrap. Am Stat 2015;69:371-86 (wider quantiles for few cases).
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from numbers import Real
from typing import Any, ClassVar

import numpy as np
import pandas as pd
from scipy.special import ndtr, ndtri
from scipy.stats import t

from studykit.catalog import InputError
from studykit.trust.over_readers import coded, patients_of
from studykit.trust.statistic import NotEstimable, Statistic, row
from studykit.trust.weights import agreement_weights, check_weights, with_weights

UNRATED = "no case has two ratings"
ONE_READER = "only one reader rated; agreement needs two"
ONE_CASE = "only one case has two ratings"
ONE_PATIENT = "all cases are of one patient, so there is no interval"
EVEN = "the cases do not differ in how far readers agree, so there is no interval"
UNDEFINED = "in more than one of 20 bootstrap samples it is not estimable, so there is no interval"
ONE_SIDED = "the bootstrap samples lie on one side of the estimate, so there is no interval"
BLOCK = 4_000_000  # counts held at a time while cases are drawn
LEAVES = 1000  # groups of patients that are left out in turn, at most


@dataclass(frozen=True, eq=False)
class Ratings:
    """Ratings as arrays, a place a rating: `code` (which category), `case`, `reader` (-1: anonymous).

    ordered: whether the order of the categories means something. patient: (cases,), which patient each case
    is of; without patients each case is its own.
    """

    categories: list
    ordered: bool
    cases: list
    readers: list
    code: np.ndarray
    case: np.ndarray
    reader: np.ndarray
    patient: np.ndarray

    @cached_property
    def counts(self) -> np.ndarray:
        """How many readers put a case in a category, (cases, categories)."""
        shape = len(self.cases), len(self.categories)
        flat = np.bincount(self.case * shape[1] + self.code, minlength=shape[0] * shape[1])
        return flat.reshape(shape).astype(float)

    @cached_property
    def crossed(self) -> np.ndarray:
        """The category that a reader put a case in, (readers, cases); -1 where he did not rate it."""
        found = np.full((len(self.readers), len(self.cases)), -1)
        named = self.reader >= 0
        found[self.reader[named], self.case[named]] = self.code[named]
        return found

    @cached_property
    def rated_twice(self) -> int:
        """How many cases have two ratings or more."""
        return int((self.counts.sum(axis=1) >= 2).sum())

    def among(self, categories: Sequence[Any], ordered: bool) -> "Ratings":
        """The same ratings among all that could be chosen, in order; (): those seen. Raises NotEstimable.

        ordered: whether the order is needed.
        """
        if categories:
            place = {category: k for k, category in enumerate(categories)}
            told = ", ".join(map(str, categories))
            for category in self.categories:
                if category not in place:
                    raise NotEstimable(f"the rating '{category}' is none of the categories {told}")
            code = np.array([place[category] for category in self.categories])[self.code]
            return replace(self, categories=list(categories), ordered=True, code=code)
        if ordered and not self.ordered:
            told = ", ".join(map(str, self.categories[:5]))
            raise NotEstimable(
                f"the order of the ratings {told} is not known; name all, in order, as `categories`"
            )
        return self


def ratings_of(table: pd.DataFrame) -> Ratings:
    """The ratings of a cleaned table, among the categories seen; raises NotEstimable."""
    case, cases = coded(table["case"])
    nobody = pd.Series(np.nan, index=table.index)
    reader, readers = coded(table.get("reader", nobody))
    both = np.sort((reader * len(cases) + case)[reader >= 0])
    twice = both[1:][both[1:] == both[:-1]]
    if len(twice):
        who, which = readers[twice[0] // len(cases)], cases[twice[0] % len(cases)]
        raise NotEstimable(f"reader {who} rated case {which} more than once; keep one rating")
    code, seen, ordered = categorised(table["rating"])
    return Ratings(seen, ordered, cases, readers, code, case, reader, patients_of(table, case, cases))


def categorised(ratings: pd.Series) -> tuple[np.ndarray, list, bool]:
    """Which category each rating is, the categories seen, whether in order; raises NotEstimable."""
    if isinstance(ratings.dtype, pd.CategoricalDtype) and ratings.cat.ordered:
        ratings = ratings.cat.remove_unused_categories()
        return ratings.cat.codes.to_numpy(), ratings.cat.categories.tolist(), True
    code, seen = coded(ratings)
    words = {one for one in seen if isinstance(one, str)}
    for one in seen:
        if isinstance(one, Real) and words & {str(one), f"{one:g}"}:
            raise NotEstimable(f"the rating {one:g} stands as a number and as a word; write all alike")
    return code, seen, all(isinstance(category, Real) for category in seen)


@dataclass(frozen=True)
class Corrected:
    """A coefficient with its standard error over `patients`, and the two agreements that it is made of."""

    estimate: float
    error: float
    observed: float
    chance: float
    patients: int

    def interval(self, level: float) -> dict[str, Any]:
        """low, high and why, as `row` takes them."""
        if self.patients < 2:
            return {"why": ONE_PATIENT}
        if not self.error > 1e-12 or not 1 - self.estimate > 1e-12:
            return {"why": EVEN}
        apart = 1 - self.estimate
        factor = np.exp(min(t.ppf((1 + level) / 2, self.patients - 1) * self.error / apart, 700.0))
        return {"low": max(min(-1.0, self.estimate), 1 - apart * factor), "high": 1 - apart / factor}


def corrected(agreed: np.ndarray, chance: float, shift: np.ndarray | float, patient: np.ndarray) -> Corrected:
    """(pa - pe) / (1 - pe) with its standard error; raises NotEstimable.

    agreed: (cases,), how far the ratings of a case agree, NaN where it has fewer than two. chance: pe.
    shift: (cases,), what a case adds to pe, of mean 0. patient: (cases,), as in Ratings.
    """
    told = ~np.isnan(agreed)
    if not told.any():
        raise NotEstimable(UNRATED)
    if not 1 - chance > 1e-12:
        raise NotEstimable("chance alone would agree on every case; look at the percent agreement")
    observed = agreed[told].mean()
    estimate = (observed - chance) / (1 - chance)
    mine = np.where(told, agreed - chance, 0.0) * len(agreed) / told.sum()  # of mean pa - pe
    parts = (mine - (1 - estimate) * shift) / (1 - chance) - estimate
    sums = np.bincount(patient, parts)
    patients = len(sums)
    error = np.sqrt((sums**2).sum() * patients / (patients - 1)) / len(parts) if patients > 1 else np.nan
    return Corrected(estimate, error, observed, chance, patients)


def agreed_by_case(counts: np.ndarray, w: np.ndarray | None = None) -> np.ndarray:
    """The share of pairs of ratings of a case that agree, (cases,); NaN below two ratings. w: as weighted."""
    m = counts.sum(axis=1)
    pairs = (counts * (counts if w is None else counts @ w)).sum(axis=1) - m
    return np.divide(pairs, m * (m - 1), out=np.full(len(m), np.nan), where=m >= 2)


def percent_agreement(ratings: Ratings, level: float) -> dict[str, Any]:
    """The row of the share (0 to 1) of pairs of ratings of one case that are the same."""
    return percent_row(agreed_by_case(ratings.counts), ratings.patient, level)


def percent_row(agreed: np.ndarray, patient: np.ndarray, level: float, group: str = "all") -> dict[str, Any]:
    """`percent_agreement` from each case's share (cases,)."""
    told = ~np.isnan(agreed)
    name = "percent agreement"
    if not told.any():
        return row(name, group=group, why=UNRATED)
    found = corrected(agreed[told], 0.0, 0.0, np.unique(patient[told], return_inverse=True)[1])
    interval = found.interval(level)
    if "low" in interval:
        interval["low"] = max(0.0, interval["low"])
    return row(name, found.observed, n=told.sum(), group=group, **interval)


@dataclass(frozen=True)
class Coefficient(Statistic):
    """What chance-corrected coefficients share.

    weights: a name of `weights.WEIGHTS`, or disagreement weights as a tuple of tuples. categories: all that
    could be chosen, in order; empty: those seen. level: of the interval. n: cases with two ratings or more.
    """

    weights: str | tuple = "unweighted"
    categories: tuple = ()
    level: float = 0.95

    wants: ClassVar[tuple[str, ...]] = ("case", "rating")
    uses: ClassVar[tuple[str, ...]] = ("reader", "patient")
    kinds: ClassVar[tuple[str, ...]] = ("nominal", "ordinal")

    def __post_init__(self):
        check_weights(self.weights)
        check_settings(self)

    @property
    def called(self) -> str:
        """Its name with that of the weights."""
        return with_weights(self.title, self.weights)

    def weighed(self, seen: Ratings) -> tuple[Ratings, np.ndarray]:
        """The ratings among the categories, and the weights of these; raises NotEstimable."""
        ratings = seen.among(self.categories, ordered=self.weights != "unweighted")
        return ratings, agreement_weights(self.weights, ratings.categories)

    def chance(self, ratings: Ratings, w: np.ndarray) -> tuple[float, np.ndarray | float]:
        """Agreement by chance, and what each case adds to it (mean 0); raises NotEstimable."""
        raise NotImplementedError

    def rows(self, table: pd.DataFrame) -> Iterator[dict[str, Any]]:  # noqa: D102
        seen = ratings_of(table)
        n = seen.rated_twice
        try:
            check_cases(n)
            yield from self._told(*self.weighed(seen), n)
        except NotEstimable as why:
            yield row(self.called, n=n, why=str(why))
        yield percent_agreement(seen, self.level)

    def _told(self, ratings: Ratings, w: np.ndarray, n: int) -> Iterator[dict[str, Any]]:
        chance, shift = self.chance(ratings, w)
        found = corrected(agreed_by_case(ratings.counts, w), chance, shift, ratings.patient)
        yield from told_rows(self.called, found, self.level, n=n)


def told_rows(name: str, found: Corrected, level: float, **about: Any) -> Iterator[dict[str, Any]]:
    """A coefficient, its standard error, and the agreement observed and by chance; about: n, group."""
    yield row(name, found.estimate, **about, **found.interval(level))
    yield row("standard error", found.error, **about, why=ONE_PATIENT if found.patients < 2 else "")
    yield row("observed agreement", found.observed, **about)
    yield row("agreement by chance", found.chance, **about)


def check_cases(n: int) -> None:
    """NotEstimable where fewer than two cases have two ratings."""
    if n < 2:
        raise NotEstimable(ONE_CASE if n else UNRATED)


def check_settings(statistic: Statistic) -> None:
    """InputError where level, resamples or categories, of those that the statistic has, cannot be."""
    level, resamples = getattr(statistic, "level", 0.95), getattr(statistic, "resamples", 1)
    if not 0 < level < 1:
        raise InputError(f"'level' of {statistic.title} lies between 0 and 1, not at {level}.")
    if resamples < 1:
        raise InputError(f"'resamples' of {statistic.title} is 1 or more, not {resamples}.")
    categories = list(getattr(statistic, "categories", ()))
    twice = [category for k, category in enumerate(categories) if category in categories[:k]]
    if twice:
        raise InputError(f"'categories' of {statistic.title} names '{twice[0]}' twice; name each once.")


def bootstrapped(
    coefficient: Callable[[np.ndarray], np.ndarray],
    patient: np.ndarray,
    level: float,
    resamples: int,
    seed: int,
) -> dict[str, Any]:
    """low, high and why, as `row` takes them: the BCa interval over patients drawn with replacement.

    coefficient: of (R, cases), how often each case counts, the R values (NaN: not estimable).
    """
    count = int(patient.max()) + 1
    if count < 2:
        return {"why": ONE_PATIENT}
    estimate = coefficient(np.ones((1, len(patient))))[0]
    drawn = over_draws(coefficient, patient, drawings(count, resamples, seed))
    told = drawn[np.isfinite(drawn)]
    if len(told) < 0.95 * resamples:
        return {"why": UNDEFINED}
    if np.ptp(told) <= 1e-12:
        return {"why": EVEN}
    below = ((told < estimate - 1e-12).mean() + (told <= estimate + 1e-12).mean()) / 2
    if not 0 < below < 1:
        return {"why": ONE_SIDED}
    bend = _acceleration(coefficient, patient, count)
    widened = np.sqrt(count / (count - 1)) * t.ppf((1 - level) / 2, count - 1)
    z = ndtri(below) + np.array([widened, -widened])
    low, high = np.quantile(told, np.sort(ndtr(ndtri(below) + z / np.maximum(1 - bend * z, 1e-6))))
    return {"low": max(min(-1.0, estimate), low), "high": high}


def drawings(count: int, resamples: int, seed: int) -> Iterator[np.ndarray]:
    """How often each patient counts in each bootstrap sample, (some of the samples, count) in turn.

    `scores.draws` gives such a table at once, and takes some six times as long.
    """
    rng, block = np.random.default_rng(seed), max(1, BLOCK // count)
    for start in range(0, resamples, block):
        size = min(block, resamples - start)
        who = rng.integers(0, count, (size, count)) + count * np.arange(size)[:, None]
        yield np.bincount(who.ravel(), minlength=size * count).reshape(size, count).astype(float)


def over_draws(coefficient: Callable, patient: np.ndarray, blocks: Iterator[np.ndarray]) -> np.ndarray:
    """What `coefficient` gives of each draw; blocks: as from `drawings`."""
    alone = len(patient) == patient.max() + 1 and (np.diff(patient) == 1).all()
    return np.concatenate([coefficient(block if alone else block[:, patient]) for block in blocks])


def _acceleration(coefficient: Callable, patient: np.ndarray, count: int) -> float:
    """How far the standard error moves with the coefficient: the skewness of what each patient adds to it.

    Patients are left out in turn, or groups of them where there are more than LEAVES.
    """
    leaves = min(count, LEAVES)
    block = max(1, BLOCK // count)
    held = np.arange(count) % leaves
    kept = (1.0 - (held == np.arange(at, min(at + block, leaves))[:, None]) for at in range(0, leaves, block))
    values = over_draws(coefficient, patient, kept)
    added = np.where(np.isfinite(values), values.mean(where=np.isfinite(values)) - values, 0.0)
    spread = (added**2).sum()
    return float((added**3).sum() / (6 * spread**1.5)) if spread > 0 else 0.0
