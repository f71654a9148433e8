"""Whether readers are better under one condition than another, when readers and cases are samples.

Accuracy of reader j under condition i = mean_i + R_j + (TR)_ij + error_ij; errors vary together through the
cases that readers share (Obuchowski & Rockette 1995). Readers' differences of two conditions are a sample of
correlated numbers, and so are their accuracies under one condition. Where these have the mean square MS
within blocks of readers (quadratic form K with trace df), the covariance B from cases, and a mean with
weights w,
    excess = w'Bw / w'w - tr(KB) / df           what MS cannot see of the cases that readers share
    variance of the mean = w'w (MS + max(excess, 0))
    its degrees of freedom = (MS + max(excess, 0))^2 / (MS^2 / df)
In a crossed design excess is J (Cov2 - Cov3), or J Cov2 in one condition, which gives the F test and the
degrees of freedom of Hillis. As B is 0 between readers or conditions without common cases, the same lines
serve split-plot designs (Obuchowski, Gallas & Hillis 2012: blocks with cases of their own, MS within them),
cases nested in readers or in conditions, partly crossed readings, and, with w = 1/J_1 and -1/J_2, readers
nested in conditions (the marginal-mean analysis, Hillis 2014). With more conditions B and MS are means over
their pairs.

Obuchowski & Rockette, Commun Stat Simul 1995;24:285. Hillis, Stat Med 2007;26:596 and 2014;33:330.
Obuchowski, Gallas & Hillis, Acad Radiol 2012;19:1508.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import special, stats

from studykit.trust.reader_accuracy import Accuracy
from studykit.trust.readings import Readings, design
from studykit.trust.statistic import NotEstimable

ANALYSES = ("RRRC", "FRRC", "RRFC")  # readers and cases random, readers fixed, cases fixed
NOTHING = 1e-24  # a variance below this is rounding


@dataclass(frozen=True)
class Error:
    """How far a mean over readers may be off.

    ms, df: mean square within blocks of readers and its degrees of freedom. excess: as above. alone, shared:
    w'Bw / w'w of each reader alone, and of pairs of readers. own: tr(KB) / df, what ms holds of the cases.
    scale: what these are multiplied by to give the variance of the mean or the difference.
    """

    ms: float
    df: int
    excess: float
    alone: float
    shared: float
    own: float
    scale: float

    def term(self, analysis: str) -> tuple[float, float]:
        """The error term and its degrees of freedom; raises NotEstimable."""
        if analysis != "FRRC" and not self.df:
            raise NotEstimable("one reader alone does not tell how readers vary; see FRRC")
        term = {
            "RRRC": self.ms + max(self.excess, 0),
            "FRRC": self.alone + max(self.shared, 0),
            "RRFC": self.ms,
        }[analysis]
        if np.isnan(term):
            raise NotEstimable("some number rests on one case of a class, so what cases add is not known")
        if term < NOTHING:
            raise NotEstimable(f"{'no case moves' if analysis == 'FRRC' else 'readers do not differ in'} it")
        if analysis == "FRRC" or (analysis == "RRRC" and self.ms < NOTHING):
            return term, np.inf
        return term, self.df * (term / self.ms) ** 2

    def interval(self, estimate: float, analysis: str) -> tuple[float, float, float, float, float]:
        """Standard error, df, low, high (at 95 %) and p of being 0; raises NotEstimable."""
        term, df = self.term(analysis)
        error = np.sqrt(self.scale * term)
        width = special.stdtrit(df, 0.975) * error  # Student's t: as scipy.stats.t, without its overhead
        return error, df, estimate - width, estimate + width, 2 * special.stdtr(df, -abs(estimate) / error)

    def test(self, ms_conditions: float, conditions: int, analysis: str) -> tuple[float, int, float, float]:
        """F (chi-square for FRRC), numerator df, df, p of conditions with this MS(T); raises NotEstimable."""
        term, df = self.term(analysis)
        ratio, numerator = ms_conditions / term, conditions - 1
        fixed = ratio * numerator if analysis == "FRRC" else ratio
        if np.isinf(df):
            return fixed, numerator, df, stats.chi2.sf(ratio * numerator, numerator)
        return fixed, numerator, df, stats.f.sf(ratio, numerator, df)


def error(
    values: np.ndarray, among: np.ndarray, weights: np.ndarray, groups: np.ndarray, scale: float
) -> Error:
    """The error of a weighted mean over readers.

    values: (conditions, readers), of which the interaction counts, or one row; among: (readers, readers), B;
    groups: (readers,), the blocks. scale: 2 for the difference of two conditions, else 1.
    """
    rows = max(len(values) - 1, 1)
    left = values - values.mean(axis=0) if len(values) > 1 else values
    within = np.equal.outer(groups, groups) / np.bincount(groups)[groups]
    keep = np.eye(len(groups)) - within
    df = len(groups) - len(np.unique(groups))
    square = weights @ weights
    total = weights @ among @ weights / square
    alone = weights**2 @ among.diagonal() / square
    own = np.trace(keep @ among) / df if df else 0.0
    ms = ((left @ keep) ** 2).sum() / (rows * df) if df else 0.0
    return Error(ms, rows * df, total - own, alone, total - alone, own, scale * square)


@dataclass(frozen=True, eq=False)
class Comparison:
    """Some conditions compared; conditions: their places."""

    readings: Readings
    accuracy: Accuracy
    conditions: tuple[int, ...]

    @cached_property
    def _there(self) -> np.ndarray:
        return np.isfinite(self.accuracy.estimate[list(self.conditions)])

    @cached_property
    def nested(self) -> bool:
        """Whether each reader read under one condition only; raises NotEstimable where it is neither."""
        if self._there.all(axis=0).any():
            return False
        if (self._there.sum(axis=0) > 1).any() or not self._there.any(axis=1).all():
            raise NotEstimable("no reader has a number under all of these conditions")
        return len(self.conditions) > 1

    @cached_property
    def readers(self) -> np.ndarray:
        """Those who count."""
        return np.flatnonzero(self._there.any(axis=0) if self.nested else self._there.all(axis=0))

    @property
    def left_out(self) -> np.ndarray:
        """Readers with a number under some of the conditions who do not count."""
        return np.setdiff1d(np.flatnonzero(self._there.any(axis=0)), self.readers)

    @cached_property
    def design(self):
        """The design of what counts."""
        read = self.readings.read[np.ix_(self.conditions, self.readers)]
        read = read & np.isfinite(self.values)[:, :, None]
        return design(read[:, :, read.any(axis=(0, 1))], self.readings.patient[read.any(axis=(0, 1))])

    @cached_property
    def values(self) -> np.ndarray:
        """(conditions, readers): the accuracies of those who count."""
        return self.accuracy.estimate[np.ix_(self.conditions, self.readers)]

    @cached_property
    def covariance(self) -> np.ndarray:
        """(conditions, readers, conditions, readers)."""
        return self.accuracy.covariance[np.ix_(*(self.conditions, self.readers) * 2)]

    @cached_property
    def means(self) -> np.ndarray:
        """(conditions,): the mean over the readers who count."""
        return np.nanmean(self.values, axis=1)

    @cached_property
    def cases(self) -> int:
        """How many cases were read."""
        return int(self.readings.read[np.ix_(self.conditions, self.readers)].any(axis=(0, 1)).sum())

    @cached_property
    def among(self) -> np.ndarray:
        """(readers, readers): half the covariance of the differences, the mean over pairs of conditions."""
        by = self.covariance
        count = len(self.conditions)
        same = np.einsum("ijik->jk", by) / count
        other = (by.sum(axis=(0, 2)) - same * count) / (count * (count - 1))
        return same - other

    @cached_property
    def error(self) -> Error:
        """The error term of the test that all conditions are alike."""
        if self.nested:
            pairs = [self.nested_error(a, b) for a, b in zip(*np.triu_indices(len(self.conditions), 1))]
            first = pairs[0]
            mean = {
                name: np.mean([getattr(p, name) for p in pairs]) for name in ("excess", "alone", "shared")
            }
            return Error(first.ms, first.df, own=first.own, scale=first.scale, **mean)
        readers = len(self.readers)
        weights = np.full(readers, 1 / readers)
        return error(self.values, self.among, weights, self.design.blocks, scale=2)

    def nested_error(self, a: int, b: int) -> Error:
        """The error of the difference of two conditions that had different readers."""
        held = np.isfinite(self.values)
        condition = held.argmax(axis=0)
        at = (condition, np.arange(len(condition)))
        values = self.values[at][None]
        among = self.covariance[at[0][:, None], at[1][:, None], at[0][None], at[1][None]]
        size = np.bincount(condition)
        weights = np.where(condition == a, 1 / size[a], np.where(condition == b, -1 / size[b], 0))
        return error(values, among, weights, condition, scale=1)

    @cached_property
    def ms_conditions(self) -> float:
        """MS(T)."""
        size = np.isfinite(self.values).sum(axis=1)
        grand = np.average(self.means, weights=size)
        return float(size @ (self.means - grand) ** 2 / (len(self.means) - 1))

    @property
    def ms_readers(self) -> float:
        """MS(R), within blocks of readers."""
        return len(self.conditions) * self._of_readers[0]

    @property
    def var_readers(self) -> float:
        """The variance of readers' true accuracies that conditions have in common; may be below 0."""
        ms, own = self._of_readers
        return ms - own - (self.error.ms - self.error.own) / len(self.conditions)

    @cached_property
    def _of_readers(self) -> tuple[float, float]:
        """Mean square of the readers' means, and how much of it is due to cases."""
        by_reader = self.covariance.mean(axis=(0, 2))
        weights = np.full(len(self.readers), 1 / len(self.readers))
        made = error(self.values.mean(axis=0)[None], by_reader, weights, self.design.blocks, scale=1)
        return made.ms, made.own

    def test(self, analysis: str) -> tuple[float, int, float, float]:
        """`Error.test` that all conditions are alike; raises NotEstimable."""
        if not self.design.alike:
            raise NotEstimable(
                "some conditions have the same cases and others not, so no one test suits all; see the "
                "differences"
            )
        return self.error.test(self.ms_conditions, len(self.conditions), analysis)

    @cached_property
    def _pooled(self) -> bool:
        """Whether one error term suits all pairs of conditions."""
        try:
            return not self.nested and self.design.alike
        except NotEstimable:
            return False

    def pair(self, a: int, b: int) -> tuple[float, Error, int]:
        """The difference of two of the conditions, its error and the number of cases; raises NotEstimable.

        The error term is that of all conditions together where they are alike, as in Hillis; else the pair's.
        """
        if self._pooled:
            return self.means[a] - self.means[b], self.error, self.cases
        two = Comparison(self.readings, self.accuracy, (self.conditions[a], self.conditions[b]))
        return two.means[0] - two.means[1], two.error, two.cases


def of_condition(readings: Readings, accuracy: Accuracy, condition: int) -> tuple[float, Error, int]:
    """The mean over the readers of one condition, its error, and the number of cases; raises NotEstimable."""
    one = Comparison(readings, accuracy, (condition,))
    readers = len(one.readers)
    among = one.covariance[0, :, 0, :]
    made = error(one.values, among, np.full(readers, 1 / readers), one.design.blocks, scale=1)
    return one.means[0], made, one.cases
