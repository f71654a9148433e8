"""A mixed model: what a condition changes, when readers and cases are both samples and are crossed.

rating = mean of its condition + reader + case + rest, where reader, case and rest are normal with variances
s_r^2, s_c^2 and s^2 (a reader's own level, a case's own difficulty). Fitted by restricted maximum likelihood
(REML): with V = s^2 (I + a Z_r Z_r' + b Z_c Z_c'), a and b are sought that minimise

    (n - p) log(y' P y) + log|V / s^2| + log|X' V^-1 X|.

Cases are eliminated in closed form (I + b Z_c Z_c' is block diagonal), so that what is left has one row a
reader; cells may be missing. Patterson and Thompson, Biometrika 1971;58:545. Degrees of freedom:
Satterthwaite, Biometrics Bulletin 1946;2:110, from the curvature of the criterion.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations
from typing import Any, ClassVar

import numpy as np
import pandas as pd
from scipy import optimize, stats

from studykit.trust.holm import holm
from studykit.trust.over_readers import coded
from studykit.trust.statistic import NotEstimable, Statistic, numbers, row

PARTS = ("reader", "case", "rest")
LIMITS = {
    "variance of reader x condition": "not in this model: a condition is taken to change every reader alike; "
    "where readers differ in that, these intervals are too short; compare Friedman and Wilcoxon",
    "variance of case x condition": "not in this model: a condition is taken to change every case alike",
}
PATIENTS = "not in this model: cases of one patient are taken as independent, so intervals are too short"


@dataclass(frozen=True)
class MixedModel(Statistic, name="mixed_model"):
    """The mean of each condition and their differences, with readers and cases as crossed random effects.

    Differences are first condition minus second. Intervals are t intervals with Satterthwaite's degrees of
    freedom; those of variances are chi-square ones of the same kind. Ratings are taken as numbers with equal
    steps and normal rest; a variance at its bound of nought has no interval. What the model leaves out
    stands in its rows. n counts ratings. Sources: see the file.
    """

    title: ClassVar[str] = "Mixed model"
    question: ClassVar[str] = "How much does a condition change ratings, when readers and cases are samples?"
    wants: ClassVar[tuple[str, ...]] = ("reader", "case", "condition", "rating")
    kinds: ClassVar[tuple[str, ...]] = ("ordinal", "interval", "ratio")
    uses: ClassVar[tuple[str, ...]] = ("patient",)
    crossed: ClassVar[bool] = True

    def rows(self, table: pd.DataFrame) -> Iterator[dict[str, Any]]:
        """Means, differences, standard errors, degrees of freedom, p, variances and their shares, limits."""
        condition, conditions = coded(table["condition"])
        ratings = numbers(table)
        middle, unit = ratings.mean(), np.ptp(ratings)
        if unit == 0:
            raise NotEstimable("all ratings are the same, so nothing varies")
        crossed = Crossed(
            coded(table["reader"])[0], coded(table["case"])[0], condition, (ratings - middle) / unit
        )
        crossed.check()
        fit = fitted(crossed)
        k, n = len(conditions), len(ratings)
        wanted = {f"{name}": np.eye(k)[place] for place, name in enumerate(conditions)}
        for a, b in combinations(range(k), 2):
            wanted[f"{conditions[a]}, {conditions[b]}"] = np.eye(k)[a] - np.eye(k)[b]
        told = [one for group, of in wanted.items() for one in _effect(fit, of, middle, unit, n, group)]
        yield from told
        raw = [one for one in told if one["statistic"] == "p"]
        for one, adjusted in zip(raw, holm([one["estimate"] for one in raw]), strict=True):
            yield one | {"statistic": "p, Holm", "estimate": float(adjusted)}
        total = fit.variances.sum()
        for name, variance, width in zip(PARTS, fit.variances, fit.log_variances(), strict=True):
            yield _variance(name, variance * unit**2, width, n)
            yield row("share of variance", variance / total, n=n, group=name)
        for name, why in LIMITS.items():
            yield row(name, n=n, why=why)
        if "patient" in table:
            several = int((table.groupby("patient", observed=True)["case"].nunique() > 1).sum())
            yield row("patients with several cases", several, n=n, why=PATIENTS if several else "")


def _effect(
    fit: "Fit", contrast: np.ndarray, middle: float, unit: float, n: int, group: str
) -> Iterator[dict[str, Any]]:
    one, about = contrast.sum() > 0.5, {"n": n, "group": group}
    estimate, error, freedom = fit.contrast(contrast)
    width = stats.t.ppf(0.975, freedom) * error * unit
    at = estimate * unit + middle * one
    yield row("mean" if one else "difference of means", at, at - width, at + width, **about)
    yield row("standard error", error * unit, **about)
    yield row("degrees of freedom", freedom, **about)
    if not one:
        yield row("p", 2 * stats.t.sf(abs(estimate / error), freedom), **about)


def _variance(name: str, variance: float, spread: float, n: int) -> dict[str, Any]:
    """spread: the variance of its logarithm, NaN at the bound."""
    if np.isnan(spread):
        return row("variance", variance, n=n, group=name, why="it is at its bound of nought: no interval")
    freedom = 2 / spread
    low, high = freedom * variance / stats.chi2.ppf([0.975, 0.025], freedom)
    return row("variance", variance, low, high, n=n, group=name)


class Crossed:
    """Ratings of readers crossed with cases, and the criterion of REML as a function of the variances.

    reader, case, condition: (n,) places from 0; ratings: (n,).
    """

    def __init__(self, reader: np.ndarray, case: np.ndarray, condition: np.ndarray, ratings: np.ndarray):
        self.n, self.fixed = len(ratings), condition.max() + 1
        self.readers, self.cases = reader.max() + 1, case.max() + 1
        # columns: conditions, ratings, readers
        wide = np.zeros((self.n, self.fixed + 1 + self.readers))
        wide[np.arange(self.n), condition] = 1
        wide[:, self.fixed] = ratings
        wide[np.arange(self.n), self.fixed + 1 + reader] = 1
        self.inner = wide.T @ wide
        self.of_case = np.zeros((self.cases, wide.shape[1]))
        np.add.at(self.of_case, case, wide)
        self.count = np.bincount(case).astype(float)

    def check(self) -> None:
        """Raises NotEstimable where the three variances cannot be told apart."""
        if self.readers < 2 or self.cases < 2:
            raise NotEstimable(f"readers: {self.readers}, cases: {self.cases}; two of each are needed")
        if self.count.max() == 1:
            raise NotEstimable("every case was rated once, so cases cannot be told from chance")
        fixed = self._without_cases(1 / self.count)
        columns = np.r_[0 : self.fixed, self.fixed + 1 : len(fixed)]
        design, right = fixed[np.ix_(columns, columns)], fixed[columns, self.fixed]
        self.freedom = self.n - self.cases - np.linalg.matrix_rank(design, hermitian=True)
        if self.freedom < 1:
            raise NotEstimable("there are no more ratings than readers, cases and conditions explain")
        left = fixed[self.fixed, self.fixed] - right @ np.linalg.pinv(design, hermitian=True) @ right
        if left < 1e-12 * self.inner[self.fixed, self.fixed]:
            raise NotEstimable(
                "reader, case and condition explain every rating, so nothing is left to compare with"
            )

    def _without_cases(self, weight: np.ndarray) -> np.ndarray:
        """The inner products of all columns with (I - Z_c diag(weight) Z_c') between them."""
        return self.inner - (self.of_case * weight[:, None]).T @ self.of_case

    def reduced(self, of_reader: float, of_case: float) -> tuple[np.ndarray, float]:
        """Inner products of conditions and ratings under (V / s^2)^-1, and log|V / s^2|."""
        grown = 1 + of_case * self.count
        inner = self._without_cases(of_case / grown)
        few = self.fixed + 1
        readers = np.eye(self.readers) + of_reader * inner[few:, few:]
        across = inner[:few, few:]
        left = inner[:few, :few] - of_reader * across @ np.linalg.solve(readers, across.T)
        return left, np.log(grown).sum() + np.linalg.slogdet(readers)[1]

    def solved(self, of_reader: float, of_case: float) -> tuple[np.ndarray, np.ndarray, float, float]:
        """Means, (X' V^-1 X / s^2)^-1, the weighted squares left, and both determinants' logarithm."""
        left, log_v = self.reduced(of_reader, of_case)
        design, right = left[:-1, :-1], left[:-1, -1]
        inverse = np.linalg.inv(design)
        means = inverse @ right
        return means, inverse, left[-1, -1] - right @ means, log_v + np.linalg.slogdet(design)[1]

    def profile(self, roots: np.ndarray) -> float:
        """-2 log restricted likelihood at its best s^2, but for a constant; roots: of the two ratios."""
        _, _, squares, logs = self.solved(*np.square(roots))
        return (self.n - self.fixed) * np.log(squares) + logs

    def deviance(self, logs_of: np.ndarray, there: np.ndarray) -> float:
        """-2 log restricted likelihood, but for a constant; logs_of: log variances of the parts there."""
        variances = np.zeros(3)
        variances[there] = np.exp(logs_of)
        _, _, squares, logs = self.solved(*variances[:2] / variances[2])
        return (self.n - self.fixed) * np.log(variances[2]) + squares / variances[2] + logs


class Fit:
    """The variances of reader, case and rest at the optimum, and how sure they are."""

    def __init__(self, crossed: Crossed, ratios: np.ndarray):
        self.crossed = crossed
        _, _, squares, _ = crossed.solved(*ratios)
        rest = squares / (crossed.n - crossed.fixed)
        self.variances = np.array([*ratios, 1.0]) * rest
        self.there = np.flatnonzero(self.variances > 0)
        logs = np.log(self.variances[self.there])
        curved = _curvature(lambda at: crossed.deviance(at, self.there), logs)
        self.sure = 2 * np.linalg.pinv(curved, hermitian=True)  # covariance of the log variances

    def log_variances(self) -> np.ndarray:
        """The variance of each log variance; NaN at the bound."""
        told = np.full(3, np.nan)
        told[self.there] = np.where(np.diag(self.sure) > 0, np.diag(self.sure), np.nan)
        return told

    def contrast(self, of: np.ndarray) -> tuple[float, float, float]:
        """A contrast of the means, its standard error, Satterthwaite's degrees of freedom."""
        means, inverse, *_ = self.crossed.solved(*self.variances[:2] / self.variances[2])
        variance = self.variances[2] * of @ inverse @ of
        slope = np.array([self._moved(of, part) for part in self.there])
        unsure = slope @ self.sure @ slope
        freedom = 2 * variance**2 / unsure if unsure > 0 else self.crossed.freedom
        return of @ means, np.sqrt(variance), max(freedom, 1.0)

    def _moved(self, of: np.ndarray, part: int, step: float = 1e-4) -> float:
        """The slope of the contrast's variance in one log variance."""
        ends = []
        for sign in (1, -1):
            moved = self.variances * np.exp(sign * step * (np.arange(3) == part))
            ends.append(moved[2] * of @ self.crossed.solved(*moved[:2] / moved[2])[1] @ of)
        return (ends[0] - ends[1]) / (2 * step)


def fitted(crossed: Crossed) -> Fit:
    """The optimum of REML over the two ratios; a coarse net first, for it may have two valleys."""
    net = [0.0, 0.05, 0.2, 0.5, 1, 2, 5, 20]
    start = min(((a, b) for a in net for b in net), key=crossed.profile)
    found = optimize.minimize(
        crossed.profile,
        np.maximum(start, 1e-3),
        method="Nelder-Mead",
        bounds=[(0, 1e6)] * 2,
        options={"xatol": 1e-10, "fatol": 1e-12, "maxiter": 2000, "maxfev": 4000},
    )
    return Fit(crossed, np.where(found.x < 1e-3, 0, found.x) ** 2)


def _curvature(of, at: np.ndarray, step: float = 1e-3) -> np.ndarray:
    """The matrix of second derivatives, by central differences."""
    moves = np.eye(len(at)) * step
    told = np.empty((len(at), len(at)))
    for i, one in enumerate(moves):
        for j, other in enumerate(moves):
            ends = of(at + one + other) - of(at + one - other) - of(at - one + other) + of(at - one - other)
            told[i, j] = ends / (4 * step**2)
    return told
