"""Intraclass correlation: how much of the spread of ratings is between cases, and not between readings.

One-way: MSB between cases, MSW within; two-way: MSR between readers, MSE what is left; n cases, k readers.
ICC(1,1) = (MSB - MSW) / (MSB + (k - 1) MSW), ICC(1,k) = (MSB - MSW) / MSB,
ICC(2,1) = (MSB - MSE) / (MSB + (k - 1) MSE + k (MSR - MSE) / n),
ICC(2,k) = (MSB - MSE) / (MSB + (MSR - MSE) / n),
ICC(3,1) = (MSB - MSE) / (MSB + (k - 1) MSE), ICC(3,k) = (MSB - MSE) / MSB;
(1) any readers, (2) readers drawn from many, in absolute agreement, (3) these readers, in consistency; (.,1)
of one reader's rating, (.,k) of the mean of k. Where cases have different numbers of ratings, k of ICC(1) is
k0 = (N - sum k_i^2 / N) / (n - 1) and its interval is approximate.

ICC(1) takes every rating as another reader's: where the same readers rate all cases, use ICC(2) or ICC(3).

Intervals of (1) and (3) are Shrout and Fleiss', from F. Theirs of (2) is too narrow where few readers rate
many cases (68 to 92 % of simulated studies of 2 to 5 readers and 200 cases), so it is a generalised one: mean
squares are drawn as they could have been. Where patients have several cases, patients are drawn.

Shrout PE, Fleiss JL. Intraclass correlations. Psychol Bull 1979;86:420-8. McGraw KO, Wong SP. Psychol Methods
1996;1:30-46 (ICC(A,1) is ICC(2,1), ICC(C,1) is ICC(3,1)). Weerahandi S. Generalized confidence intervals.
J Am Stat Assoc 1993;88:899-905. Burdick RK, Borror CM, Montgomery DC. Design and analysis of gauge R&R
studies. Philadelphia: SIAM; 2005.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pandas as pd
from scipy.stats import f as f_distribution

from studykit.catalog import check_choice
from studykit.trust.agreement import (
    EVEN,
    ONE_PATIENT,
    ONE_READER,
    UNDEFINED,
    Ratings,
    bootstrapped,
    check_cases,
    check_settings,
    drawings,
    over_draws,
    ratings_of,
)
from studykit.trust.statistic import ANONYMOUS, NotEstimable, Statistic, numbers, row
from studykit.trust.weights import measurable

FORMS = {
    "ICC(1,1)": "one-way, one reader",
    "ICC(2,1)": "two-way random, absolute agreement, one reader",
    "ICC(3,1)": "two-way mixed, consistency, one reader",
    "ICC(1,k)": "one-way, mean of k readers",
    "ICC(2,k)": "two-way random, absolute agreement, mean of k readers",
    "ICC(3,k)": "two-way mixed, consistency, mean of k readers",
}
SQUARES = {"b": "between cases", "w": "within cases", "r": "between readers", "e": "left (error)"}
EVEN_CASES = "the mean ratings of the cases do not differ enough"
INTERVALS, DRAWS = ("covering", "shrout_fleiss"), 20_000
APART = "the readers differ too much, and the cases too little, for an interval"
NO_SPREAD = "every rating is the same"


@dataclass(frozen=True)
class Icc(Statistic, name="icc"):
    """All six forms, and the mean squares (there n is the degrees of freedom; else it counts cases).

    interval: "covering", as told above, or "shrout_fleiss": as other programs tell it, for cases that are
    independent and, of ICC(2), not many more than readers.
    """

    interval: str = "covering"
    level: float = 0.95
    resamples: int = 1000
    seed: int = 0

    title: ClassVar[str] = "Intraclass correlation"
    question: ClassVar[str] = "How much of what ratings differ by is the cases, and not the readings?"
    wants: ClassVar[tuple[str, ...]] = ("case", "rating")
    uses: ClassVar[tuple[str, ...]] = ("reader", "patient")
    kinds: ClassVar[tuple[str, ...]] = ("ordinal", "interval", "ratio")

    def __post_init__(self):
        check_choice("interval of ICC", self.interval, INTERVALS)
        check_settings(self)

    def rows(self, table: pd.DataFrame) -> Iterator[dict[str, Any]]:  # noqa: D102
        ratings = ratings_of(table.assign(rating=measurable(numbers(table))))
        check_cases(ratings.rated_twice)
        x = np.array(ratings.categories)
        if not np.ptp(x) > 0:
            raise NotEstimable(NO_SPREAD)
        why = why_not_crossed(ratings)
        squares = MeanSquares(ratings, (x - x.mean()) / np.ptp(x), crossed=not why)
        found, n = squares(np.ones((1, len(ratings.cases)))), len(ratings.cases)
        estimates = forms(**found)
        for name, group in FORMS.items():
            if name not in estimates:
                yield row(name, group=group, n=n, why=why)
            elif np.isnan(estimates[name][0]):
                yield row(name, group=group, n=n, why=EVEN_CASES)
            else:
                interval = self._interval(name, squares, found, ratings.patient)
                yield row(name, estimates[name][0], group=group, n=n, **interval)
        for key, freedom in squares.freedom.items():
            yield row(f"mean square {SQUARES[key]}", found[key][0] * np.ptp(x) ** 2, n=freedom)

    def _interval(
        self, name: str, squares: "MeanSquares", found: dict, patient: np.ndarray
    ) -> dict[str, Any]:
        """low, high and why, as `row` takes them."""
        alone = patient.max() + 1 == len(patient)
        if patient.max() < 1 and self.interval == "covering":
            return {"why": ONE_PATIENT}
        if name.startswith("ICC(2") and self.interval == "covering":
            drawn = None if alone else self._drawn(squares, patient)
            return generalised_interval(name, found, self.level, self.seed, drawn)
        if alone or self.interval == "shrout_fleiss":
            return f_interval(name, {key: value[0] for key, value in found.items()}, self.level)
        return bootstrapped(
            lambda weights: forms(**squares(weights))[name], patient, self.level, self.resamples, self.seed
        )

    def _drawn(self, squares: "MeanSquares", patient: np.ndarray) -> np.ndarray:
        """MSB and MSE as they could be, (2, resamples): as far above as they fall when patients are drawn."""

        def of_cases(weights: np.ndarray) -> np.ndarray:
            found = squares(weights)
            return np.stack([found["b"], found["e"]], axis=1)

        drawn = over_draws(of_cases, patient, drawings(patient.max() + 1, self.resamples, self.seed))
        once = np.broadcast_to(of_cases(np.ones((1, len(patient)))), drawn.shape)
        return np.divide(once**2, drawn, out=np.full(drawn.shape, np.nan), where=drawn > 0).T


class MeanSquares:
    """Mean squares of cases of which each counts as often as a row of weights (R, cases) says.

    Gives {"b", "w", "k", "n"}, and {"r", "e"} where readers and cases are crossed, (R,) each, as `forms`
    takes them. x: (categories,), centred. freedom: the degrees of freedom of each mean square.
    """

    def __init__(self, ratings: Ratings, x: np.ndarray, crossed: bool):
        k, values, n = ratings.counts.sum(axis=1), x[ratings.code], len(ratings.cases)
        total, squares = (np.bincount(ratings.case, v) for v in (values, values**2))
        self.parts = np.stack([np.ones(n), k, k**2, total, total**2 / k, squares], axis=1)  # (cases, 6)
        self.freedom = {"b": n - 1, "w": len(values) - n}
        self.crossed = x[ratings.crossed] if crossed else None  # (readers, cases)
        if crossed:
            readers = len(ratings.readers)
            self.freedom |= {"r": readers - 1, "e": (n - 1) * (readers - 1)}

    def __call__(self, weights: np.ndarray) -> dict[str, np.ndarray]:  # noqa: D102
        n, ratings, k2, total, of_cases, squares = (weights @ self.parts).T
        within = squares - of_cases
        found = {"b": (of_cases - total**2 / ratings) / (n - 1), "w": _over(within, ratings - n)}
        if self.crossed is not None:
            means = weights @ self.crossed.T / n[:, None]
            of_readers = n * ((means - means.mean(axis=1, keepdims=True)) ** 2).sum(axis=1)
            readers = len(self.crossed)
            found["r"] = of_readers / (readers - 1)
            found["e"] = (within - of_readers) / ((n - 1) * (readers - 1))
        found = {key: np.where(value > 1e-13, value, 0.0 * value) for key, value in found.items()}
        return {**found, "k": (ratings - k2 / ratings) / (n - 1), "n": n}


def _over(top: np.ndarray, bottom: np.ndarray) -> np.ndarray:
    """Their quotient, NaN where bottom is not above 0."""
    return np.divide(top, bottom, out=np.full(len(top), np.nan), where=bottom > 0)


def forms(
    b: np.ndarray, w: np.ndarray, k: np.ndarray, n: np.ndarray, r: np.ndarray | None = None, e: np.ndarray = 0
) -> dict[str, np.ndarray]:
    """{form: (R,)} from mean squares; the two-way forms where there is r. NaN where it is not estimable."""
    parts = {"ICC(1,1)": (b - w, b + (k - 1) * w), "ICC(1,k)": (b - w, b)}
    if r is not None:
        parts |= {
            "ICC(2,1)": (b - e, b + (k - 1) * e + k * (r - e) / n),
            "ICC(3,1)": (b - e, b + (k - 1) * e),
            "ICC(2,k)": (b - e, b + (r - e) / n),
            "ICC(3,k)": (b - e, b),
        }
    return {name: _over(top, bottom) for name, (top, bottom) in parts.items()}


def f_interval(name: str, found: dict[str, float], level: float) -> dict[str, Any]:
    """low, high and why, as `row` takes them: Shrout and Fleiss' interval of one form."""
    b, k, n = (found[key] for key in "bkn")
    error = found["w"] if name.startswith("ICC(1") else found["e"]
    if not error > 0:
        return {"why": EVEN}
    tail = (1 + level) / 2
    if name.startswith("ICC(2"):
        low, high = _absolute(found, tail)
        if np.isnan(low):
            return {"why": APART}
    else:
        freedom = n * (k - 1) if name.startswith("ICC(1") else (n - 1) * (k - 1)
        f = b / error
        lower = f / f_distribution.ppf(tail, n - 1, freedom)
        upper = f * f_distribution.ppf(tail, freedom, n - 1)
        low, high = ((ratio - 1) / (ratio + k - 1) for ratio in (lower, upper))
    if not name.endswith("k)"):
        return {"low": low, "high": high}
    if not 1 + (k - 1) * low > 1e-12:
        return {"why": EVEN_CASES + ", so there is no interval"}
    return dict(zip(("low", "high"), (k * end / (1 + (k - 1) * end) for end in (low, high))))


def generalised_interval(
    name: str, found: dict[str, np.ndarray], level: float, seed: int, drawn: np.ndarray | None = None
) -> dict[str, Any]:
    """low, high and why, as `row` takes them: of ICC(2,1) or ICC(2,k), from mean squares drawn anew.

    drawn: MSB and MSE, (2, draws); else they are drawn over chi-square, as MSR always is.
    """
    b, r, e, k, n = (found[key][0] for key in "brekn")
    rng, freedom = np.random.default_rng(seed), (n - 1) * (k - 1)
    if drawn is None:
        drawn = b * (n - 1) / rng.chisquare(n - 1, DRAWS), e * freedom / rng.chisquare(freedom, DRAWS)
    between, error = drawn
    readers = r * (k - 1) / rng.chisquare(k - 1, len(between))
    values = forms(between, error, k, n, np.maximum(readers, error), error)[name]
    told, estimate = values[np.isfinite(values)], forms(**found)[name][0]
    if len(told) < 0.95 * len(values):
        return {"why": UNDEFINED}
    if not np.ptp(told) > 1e-12:
        return {"why": EVEN}
    low, high = np.quantile(told, [(1 - level) / 2, (1 + level) / 2])
    return {"low": min(low, estimate), "high": max(high, estimate)}


def _absolute(found: dict[str, float], tail: float) -> tuple[float, float]:
    """The interval of ICC(2,1), with Satterthwaite's degrees of freedom; NaN where these are near 0."""
    b, r, e, k, n = (found[key] for key in "brekn")
    rho = (b - e) / (b + (k - 1) * e + k * (r - e) / n)
    ours, theirs = k * rho * r / e, n * (1 + (k - 1) * rho) - k * rho
    freedom = (k - 1) * (n - 1) * (ours + theirs) ** 2 / ((n - 1) * ours**2 + theirs**2)
    lower = f_distribution.ppf(tail, n - 1, freedom)
    upper = f_distribution.ppf(tail, freedom, n - 1)
    both = k * r + (k * n - k - n) * e
    low = n * (b / lower - e) / (both + n * b / lower)
    high = n * (upper * b - e) / (both + n * upper * b)
    return (low, high) if low <= rho <= high else (np.nan, np.nan)


def why_not_crossed(ratings: Ratings) -> str:
    """Why readers and cases are not crossed in full; empty where they are."""
    if (ratings.reader < 0).any():
        return ANONYMOUS
    if len(ratings.readers) < 2:
        return ONE_READER
    missing = np.argwhere(ratings.crossed < 0)
    if not len(missing):
        return ""
    reader, case = missing[0]
    return (
        f"reader {ratings.readers[reader]} did not rate case {ratings.cases[case]} ({len(missing)} of "
        f"{ratings.crossed.size} ratings are missing); leave such cases out, or use ICC(1)"
    )
