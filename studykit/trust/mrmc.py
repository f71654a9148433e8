"""Diagnostic accuracy of several readers on several cases, with and without an aid: is there a difference?

The area under the ROC curve of each reader under each condition, its mean over readers, and the difference
of conditions, with intervals that hold for other readers and other cases (RRRC), for these readers and other
cases (FRRC), or for other readers and these cases (RRFC). Equations in `obuchowski_rockette.py`, covariances
in `reader_accuracy.py`.

Obuchowski & Rockette, Commun Stat Simul 1995;24:285. Hillis, Stat Med 2007;26:596 and 2014;33:330.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import combinations
from typing import Any, ClassVar

import numpy as np
import pandas as pd

from studykit.catalog import check_choice
from studykit.trust.holm import holm
from studykit.trust.obuchowski_rockette import ANALYSES, Comparison, Error, of_condition
from studykit.trust.reader_accuracy import COVARIANCES, Accuracy, accuracy, shared
from studykit.trust.readings import Readings, design, readings
from studykit.trust.statistic import NotEstimable, Statistic, row

SPANS = {"Youden's index": (-1, 1)}  # of measures that do not go from 0 to 1
WANTS = ("reader", "case", "condition", "rating", "truth")


@dataclass(frozen=True)
class Mrmc(Statistic, name="mrmc"):
    """Whether readers tell positive from negative cases better under one condition than another, by AUC.

    covariance: jackknife, delong or bootstrap (`resamples` draws of patients from `seed`). positive: the
    value of truth that is positive; None stands for 1. `n` counts cases. Readers with an AUC under some of
    the conditions only are left out of comparisons. Where all conditions have the same cases, or no two
    have, the error of a difference is pooled over conditions; else each pair has its own. Of more than two
    conditions p of each pair stands twice, as it is and adjusted by Holm; intervals are not adjusted.
    """

    title: ClassVar[str] = "Multi-reader multi-case AUC"
    question: ClassVar[str] = "Do readers find the disease better under one condition than under another?"
    wants: ClassVar[tuple[str, ...]] = WANTS
    uses: ClassVar[tuple[str, ...]] = ("patient",)
    kinds: ClassVar[tuple[str, ...]] = ("ordinal", "interval", "ratio")
    crossed: ClassVar[bool] = True
    covariance: str = "jackknife"
    positive: Any = None
    resamples: int = 1000
    seed: int = 0

    def __post_init__(self):
        check_choice("covariance of readers' accuracies", self.covariance, COVARIANCES)

    def rows(self, table: pd.DataFrame) -> Iterator[dict[str, Any]]:
        """Design, tests, differences, means, each reader, mean squares, covariances."""
        read = readings(table, self.positive)
        yield from study_rows(read)
        found = accuracy(read, "auc", self.covariance, self.resamples, self.seed)
        each = reader_rows(read, found, "AUC")
        yield from accuracy_rows(read, found, "AUC", self.covariance, each)


def study_rows(read: Readings) -> Iterator[dict[str, Any]]:
    """What kind of study it is; the estimate of the row "design" is the number of blocks of readers."""
    cases = len(read.positive)
    plan = design(read.read, read.patient)
    yield row("design", plan.blocks.max() + 1, n=cases, group=plan.words)
    yield row("readers", len(read.readers), n=cases)
    yield row("cases", read.positive.sum(), n=cases, group="positive")
    yield row("cases", (~read.positive).sum(), n=cases, group="negative")
    if read.unknown:
        yield row("cases", read.unknown, n=read.unknown, group="truth unknown", why="left out: no truth")


def accuracy_rows(
    read: Readings, found: Accuracy, name: str, method: str, each: Iterable[dict[str, Any]]
) -> Iterator[dict[str, Any]]:
    """All that is told of one measure, called `name`; `method` names how its covariances were found.

    each: the rows of the readers under each condition.
    """
    if not np.isfinite(found.estimate).any():
        yield row(name, why="no reader rated cases of the classes that it needs", n=len(read.positive))
        return
    whole = Comparison(read, found, tuple(range(len(read.conditions))))
    yield from _tests(whole, name)
    yield from with_holm(_differences(whole, name))
    yield from _means(read, found, name)
    yield from each
    yield from reader_differences(read, found, name)
    yield from _mean_squares(whole, name)
    yield from _covariances(read, found, f"{name}, {method}")


def _tests(whole: Comparison, name: str) -> Iterator[dict[str, Any]]:
    """Whether all conditions are alike."""
    about = {"group": name, "n": len(whole.readings.positive)}
    if len(whole.conditions) < 2:
        yield row("F (RRRC)", why="there is one condition only, with nothing to compare it with", **about)
        return
    try:
        left = [str(whole.readings.readers[j]) for j in whole.left_out]
    except NotEstimable as why:
        yield row("F (RRRC)", why=str(why), **about)
        return
    if left:
        why = f"they have no {name} under some condition"
        yield row("readers left out", len(left), group=", ".join(left), why=why, n=about["n"])
    yield from test_rows(whole.test, {"group": name, "n": whole.cases})


def test_rows(test: Callable[[str], tuple], about: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """What `test(analysis)` tells, as `Error.test` does, of each of the three analyses."""
    for analysis in ANALYSES:
        ratio = f"{'chi2' if analysis == 'FRRC' else 'F'} ({analysis})"
        try:
            value, numerator, df, p = test(analysis)
        except NotEstimable as why:
            yield row(ratio, why=str(why), **about)
            continue
        yield row(ratio, value, **about)
        yield row(f"numerator df ({analysis})", numerator, **about)
        if analysis != "FRRC":
            infinite = "" if np.isfinite(df) else "infinite, as readers do not differ beyond their cases"
            yield row(f"df ({analysis})", df, why=infinite, **about)
        yield row(f"p ({analysis})", p, **about)


def _differences(whole: Comparison, name: str) -> Iterator[dict[str, Any]]:
    """Each pair of conditions."""
    names = whole.readings.conditions
    for a, b in combinations(range(len(names)), 2):
        group = f"{names[a]} - {names[b]}"
        try:
            estimate, error, cases = whole.pair(a, b)
        except NotEstimable as why:
            yield row(f"{name} difference (RRRC)", why=str(why), group=group)
            continue
        yield from estimate_rows(f"{name} difference", estimate, error, {"n": cases, "group": group})


def with_holm(differences: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """The rows of differences; where there are several, then their p adjusted by Holm."""
    rows = list(differences)
    yield from rows
    for analysis in ANALYSES:
        own = [one for one in rows if one["statistic"].startswith("p of") and analysis in one["statistic"]]
        if len(own) > 1:
            for one, p in zip(own, holm(np.array([one["estimate"] for one in own])), strict=True):
                yield {**one, "statistic": f"{one['statistic']}, Holm", "estimate": p}


def _means(read: Readings, found: Accuracy, name: str) -> Iterator[dict[str, Any]]:
    for place, condition in enumerate(read.conditions):
        try:
            estimate, error, cases = of_condition(read, found, place)
        except NotEstimable:
            yield row(f"mean {name} (RRRC)", why="no reader has a number under it", group=condition)
            continue
        about = {"n": cases, "group": condition}
        yield from estimate_rows(f"mean {name}", estimate, error, about, SPANS.get(name, (0, 1)))


def estimate_rows(
    name: str, estimate: float, error: Error, about: dict[str, Any], span: tuple[float, float] | None = None
) -> Iterator[dict[str, Any]]:
    """A mean, whose interval stays within its span, or a difference, with p, under each analysis."""
    for analysis in ANALYSES:
        told = f"{name} ({analysis})"
        try:
            off, _, low, high, p = error.interval(estimate, analysis)
        except NotEstimable as why:
            yield row(told, estimate, why=f"no interval: {why}", **about)
            continue
        yield row(told, estimate, *_within((low, high), span), **about)
        yield row(f"standard error of {told}", off, **about)
        if not span:
            yield row(f"p of {told}", p, **about)


def _within(ends: tuple[float, float], span: tuple[float, float] | None) -> tuple[float, float]:
    return (max(ends[0], span[0]), min(ends[1], span[1])) if span else ends


def reader_rows(read: Readings, found: Accuracy, name: str) -> Iterator[dict[str, Any]]:
    """Each reader under each condition, with an interval for this reader and other cases."""
    for j, i in np.ndindex(found.estimate.T.shape):
        about = {"n": read.read[i, j].sum(), "group": f"{read.readers[j]}, {read.conditions[i]}"}
        if np.isnan(found.estimate[i, j]):
            if about["n"]:
                yield row(name, why="this reader has no cases of a class that it needs", **about)
            continue
        variance = found.covariance[i, j, i, j]
        yield from _normal(name, found.estimate[i, j], variance, about, SPANS.get(name, (0, 1)))


def reader_differences(read: Readings, found: Accuracy, name: str) -> Iterator[dict[str, Any]]:
    """Each reader's differences of conditions, with z and p, for this reader and other cases."""
    by = found.covariance
    for j, reader in enumerate(read.readers):
        there = np.flatnonzero(np.isfinite(found.estimate[:, j]))
        for a, b in combinations(there, 2):
            group = f"{reader}: {read.conditions[a]} - {read.conditions[b]}"
            about = {"n": read.read[[a, b], j].any(axis=0).sum(), "group": group}
            variance = by[a, j, a, j] + by[b, j, b, j] - 2 * by[a, j, b, j]
            difference = found.estimate[a, j] - found.estimate[b, j]
            yield from _normal(f"{name} difference", difference, variance, about)


def _normal(
    name: str,
    estimate: float,
    variance: float,
    about: dict[str, Any],
    span: tuple[float, float] | None = None,
) -> Iterator[dict[str, Any]]:
    """One reader's number with a normal interval, and z and p of a difference."""
    alone = Error(ms=0.0, df=0, excess=0.0, alone=variance, shared=0.0, own=0.0, scale=1.0)
    try:
        off, _, low, high, p = alone.interval(estimate, "FRRC")
    except NotEstimable as why:
        yield row(name, estimate, why=f"no interval: {why}", **about)
        return
    yield row(name, estimate, *_within((low, high), span), **about)
    yield row(f"standard error of {name}", off, **about)
    if not span:
        yield row(f"z of {name}", estimate / off, **about)
        yield row(f"p of {name}", p, **about)


def _mean_squares(whole: Comparison, name: str) -> Iterator[dict[str, Any]]:
    """MS(T), MS(R), MS(TR) and the variances of the readers' effects, which may be below 0."""
    if len(whole.conditions) < 2:
        return
    try:
        error = whole.error
    except NotEstimable:
        return
    about = {"n": whole.cases, "group": name}
    yield row("MS(T)", whole.ms_conditions, **about)
    if whole.design.blocks.any():
        about["group"] += ", within blocks of readers"
    if not error.df:
        yield row("MS(TR)", why="there is one reader only", **about)
    elif whole.nested:
        yield row("MS(R)", error.ms, **{**about, "group": f"{name}, within conditions"})
    else:
        yield row("MS(R)", whole.ms_readers, **about)
        yield row("MS(TR)", error.ms, **about)
        for effect, variance in (("Var(R)", whole.var_readers), ("Var(TR)", error.ms - error.own)):
            less = "below 0: readers differ less than cases alone would make them, by chance"
            yield row(effect, variance, why=less if variance < 0 else "", **about)


def _covariances(read: Readings, found: Accuracy, group: str) -> Iterator[dict[str, Any]]:
    """Var and the three covariances, each the mean over the pairs of numbers that share cases."""
    for name, (value, pairs) in covariances(read, found).items():
        why = "" if pairs else "there is no such pair with cases in common"
        why = "some number rests on one case of a class" if pairs and np.isnan(value) else why
        yield row(name, value, n=len(read.positive), group=group, why=why)


def covariances(read: Readings, found: Accuracy) -> dict[str, tuple[float, int]]:
    """{Var, Cov1, Cov2, Cov3: (mean, number of pairs)}, over pairs of numbers that share a patient.

    Cov1: one reader, two conditions; Cov2: two readers, one condition; Cov3: both differ.
    """
    shape = found.estimate.shape
    condition, reader = (np.indices(shape)[axis].ravel() for axis in (0, 1))
    there = np.isfinite(found.estimate).ravel()
    both = np.outer(there, there) & shared(read).reshape(there.size, -1)
    by = found.covariance.reshape(there.size, -1)
    same_condition, same_reader = (np.equal.outer(code, code) for code in (condition, reader))
    kinds = {
        "Var": same_reader & same_condition,
        "Cov1": same_reader & ~same_condition,
        "Cov2": ~same_reader & same_condition,
        "Cov3": ~same_reader & ~same_condition,
    }
    chosen = {name: by[kind & both] for name, kind in kinds.items()}
    return {name: (some.mean() if some.size else np.nan, some.size) for name, some in chosen.items()}
