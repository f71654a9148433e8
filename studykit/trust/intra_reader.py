"""Intra-reader agreement: does a reader who sees a case again give the same answer?

Each reader's readings of the same cases are compared as if by two readers: by Cohen's kappa (nominal), kappa
with quadratic weights (ordinal) or ICC(2,1) (interval, ratio). Beside kappa stands how often they are the
same, beside ICC how far apart they are: the within-reader standard deviation s, the root of the mean square
within cases, and the limits of agreement +-1.96 sqrt(2) s, between which 95 % of differences of two readings
lie.

Bland JM, Altman DG. Measurement error. BMJ 1996;313:744.
Landis JR, Koch GG. Biometrics 1977;33:159-74. Kottner J et al. Guidelines for Reporting Reliability and
Agreement Studies (GRRAS). J Clin Epidemiol 2011;64:96-106.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pandas as pd
from scipy.stats import chi2

from studykit.catalog import check_choice
from studykit.trust.agreement import Ratings, categorised, check_settings, percent_agreement, ratings_of
from studykit.trust.cohen_kappa import CohenKappa
from studykit.trust.icc import Icc
from studykit.trust.over_readers import mean_over_readers
from studykit.trust.statistic import KINDS, NotEstimable, Statistic, numbers, parted, row
from studykit.trust.weights import measurable

ONCE = "no case was read twice (`repeat` is the same everywhere)"
NOT_ALL = "no case was read every time"
MEASURED = ("interval", "ratio")  # scales


@dataclass(frozen=True)
class IntraReader(Statistic, name="intra_reader"):
    """Agreement of each reader with himself, and its mean over readers; all intervals at 95 %.

    scale: nominal, ordinal, interval or ratio. categories: all that could be chosen, in order; empty: those
    seen. n: cases read twice, of the mean: readers. Of three readings or more, kappa is told for each two,
    and ICC takes the cases that have them all.
    """

    scale: str = "ordinal"
    categories: tuple = ()

    title: ClassVar[str] = "Intra-reader agreement"
    question: ClassVar[str] = "Does a reader give the same answer when the same case comes again?"
    wants: ClassVar[tuple[str, ...]] = ("reader", "case", "repeat", "rating")
    uses: ClassVar[tuple[str, ...]] = ("patient",)
    crossed: ClassVar[bool] = True

    def __post_init__(self):
        check_choice("scale", self.scale, KINDS)
        check_settings(self)

    def rows(self, table: pd.DataFrame) -> Iterator[dict[str, Any]]:  # noqa: D102
        if table["repeat"].isna().any():
            raise NotEstimable("some ratings have no repeat; number a reader's readings of a case from 0")
        if table["repeat"].nunique() < 2:
            raise NotEstimable(ONCE)
        measured = self.scale in MEASURED
        if measured:
            table = table.assign(rating=measurable(numbers(table)))
        asked, name = self._asked(table["rating"])
        of_readers = []
        for reader, own in parted(table, "reader"):
            if own["repeat"].nunique() < 2:
                yield row(name, group=str(reader), why="this reader read no case twice")
                continue
            readings = own.assign(reader=own["repeat"])  # as if each reading were another reader's
            kept = _whole(readings) if measured else readings
            told = asked(kept) if len(kept) else pd.DataFrame([row(name, why=NOT_ALL)])
            told = told[told["statistic"] == name] if (told["statistic"] == name).any() else told[:1]
            of_readers.append(told["estimate"].mean())
            for found in told.to_dict("records"):
                many = not measured and own["repeat"].nunique() > 2 and found["group"] != "all"
                group = f"{reader}, readings {found['group']}" if many else str(reader)
                yield {**found, "statistic": name, "group": group, "why": _of_readings(found["why"])}
            if measured:
                yield from _repeatability(ratings_of(readings), str(reader))
            else:
                yield {**percent_agreement(ratings_of(readings), 0.95), "group": str(reader)}
        yield row(name, group="mean over readers", **mean_over_readers(np.array(of_readers), (-1, 1)))

    def _asked(self, ratings: pd.Series) -> tuple[Statistic, str]:
        """The statistic that compares readings on this scale, and the name of its row."""
        if self.scale in MEASURED:
            return Icc(), "ICC(2,1)"
        weights = "quadratic" if self.scale == "ordinal" else "unweighted"
        _, seen, ordered = categorised(ratings)  # by any reader
        known = seen if ordered or self.scale == "nominal" else ()
        kappa = CohenKappa(weights=weights, categories=self.categories or tuple(known))
        return kappa, kappa.called


def _whole(readings: pd.DataFrame) -> pd.DataFrame:
    """The cases that have every reading."""
    count = readings.groupby("case", observed=True)["rating"].transform("size")
    return readings[count == readings["repeat"].nunique()]


def _of_readings(why: str) -> str:
    """What was said of readers, of whom each stood for a reading."""
    return why.replace("reader", "reading")


def _repeatability(ratings: Ratings, group: str) -> Iterator[dict[str, Any]]:
    """Within-reader standard deviation, its interval from chi-square, and the limits of agreement."""
    name = "within-reader standard deviation"
    x, case = np.array(ratings.categories)[ratings.code], ratings.case
    count = np.bincount(case)
    freedom = len(x) - len(count)
    if not freedom:
        yield row(name, group=group, why="this reader read no case twice")
        return
    left = x - (np.bincount(case, x) / count)[case]
    spread = np.sqrt((left**2).sum() / freedom)
    about = {"n": (count > 1).sum(), "group": group}
    if ratings.patient.max() + 1 < len(count):
        yield row(name, spread, **about, why="some cases are of one patient, so there is no interval")
    elif not spread > 1e-12 * np.abs(x).max():
        yield row(name, 0, **about, why="every case was read alike, so there is no interval")
    else:
        low, high = spread * np.sqrt(freedom / chi2.ppf([0.975, 0.025], freedom))
        yield row(name, spread, low, high, **about)
    yield row("limits of agreement, plus or minus", 1.96 * np.sqrt(2) * spread, **about)
