"""How many diseased cases readers find, and how many healthy ones they leave in peace.

Sensitivity = positive cases answered positive / positive cases; specificity = negative cases answered
negative / negative cases; accuracy = cases answered rightly / cases; Youden's index = sensitivity +
specificity - 1. Each reader has one number under each condition; means and differences are analysed as AUCs
are (`mrmc`): Obuchowski-Rockette with Hillis' degrees of freedom, covariances from the cases that count for
the measure.

Wilson, J Am Stat Assoc 1927;22:209. Clopper & Pearson, Biometrika 1934;26:404. Hillis, Stat Med 2007;26:596.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import pandas as pd
from scipy import stats

from studykit.catalog import check_choice
from studykit.trust.mrmc import WANTS, accuracy_rows, reader_rows, study_rows
from studykit.trust.over_readers import wilson
from studykit.trust.reader_accuracy import COVARIANCES, accuracy
from studykit.trust.readings import Readings, readings
from studykit.trust.statistic import NotEstimable, Statistic, numbers, row

INTERVALS = ("wilson", "clopper_pearson")
CLUSTERED = "the interval takes cases as independent, and some are of one patient, so it may be too short"
SHARES = ("sensitivity", "specificity", "accuracy")


@dataclass(frozen=True)
class SensitivitySpecificity(Statistic, name="sensitivity_specificity"):
    """Whether readers' yes-or-no answers are right more often under one condition than under another.

    positive: the value of truth that is positive; None stands for 1. answer: the answer that means positive;
    None stands for the same value. at_least: instead, the rating from which on an answer is positive.
    interval: of each reader's share, wilson or clopper_pearson. covariance, resamples, seed: as in mrmc. `n`
    counts cases.
    """

    title: ClassVar[str] = "Sensitivity and specificity of several readers"
    question: ClassVar[str] = (
        "Do readers find more disease, or raise fewer false alarms, under one condition?"
    )
    wants: ClassVar[tuple[str, ...]] = WANTS
    uses: ClassVar[tuple[str, ...]] = ("patient",)
    kinds: ClassVar[tuple[str, ...]] = ("nominal",)
    crossed: ClassVar[bool] = True
    positive: Any = None
    answer: Any = None
    at_least: float | None = None
    interval: str = "wilson"
    covariance: str = "jackknife"
    resamples: int = 1000
    seed: int = 0

    def __post_init__(self):
        check_choice("interval of a share", self.interval, INTERVALS)
        check_choice("covariance of readers' accuracies", self.covariance, COVARIANCES)

    def rows(self, table: pd.DataFrame) -> Iterator[dict[str, Any]]:
        """The design, then for each measure what `mrmc` tells of AUC."""
        read = readings(table.assign(rating=self._positive_answers(table)), self.positive)
        yield from study_rows(read)
        for name in (*SHARES, "Youden's index"):
            counts = {"sensitivity": read.positive, "specificity": ~read.positive}.get(name)
            if counts is None or counts.any():
                yield from self._of(_only(read, counts), name)
            else:
                yield row(name, why="no case is negative", n=len(read.positive))

    def _of(self, read: Readings, name: str) -> Iterator[dict[str, Any]]:
        measure = name if name in SHARES else "youden"
        found = accuracy(read, measure, self.covariance, self.resamples, self.seed)
        each = self._shares(read, name) if name in SHARES else reader_rows(read, found, name)
        yield from accuracy_rows(read, found, name, self.covariance, each)

    def _positive_answers(self, table: pd.DataFrame) -> np.ndarray:
        """1 where the answer is positive, else 0; raises NotEstimable where it is not clear which one is."""
        if self.at_least is not None:
            return (numbers(table) >= self.at_least).astype(float)
        wanted = next((one for one in (self.answer, self.positive) if one is not None), 1)
        answers = pd.unique(table["rating"])
        told = ", ".join(map(str, answers[:6]))
        if self.answer is not None:
            if len(answers) > 1 and not any(one == self.answer for one in answers):
                raise NotEstimable(f"nobody answered '{self.answer}' (answer); the answers are {told}")
        else:
            known = [wanted, *pd.unique(table["truth"].dropna()), *([0] if wanted == 1 else [])]
            if len(answers) > 2 or not all(any(one == word for word in known) for one in answers):
                raise NotEstimable(
                    f"the answers are {told}; give the one that is positive (answer) or the rating from "
                    "which on it is (at_least)"
                )
        return np.array([one == wanted for one in table["rating"]], dtype=float)

    def _shares(self, read: Readings, name: str) -> Iterator[dict[str, Any]]:
        """Each reader's share of right answers, by itself."""
        why = CLUSTERED if len(np.unique(read.patient)) < len(read.patient) else ""
        right = (read.ratings == read.positive).sum(axis=2)
        tries = read.read.sum(axis=2)
        for j, i in np.ndindex(tries.T.shape):
            if tries[i, j]:
                group = f"{read.readers[j]}, {read.conditions[i]}"
                yield row(name, **self._share(int(right[i, j]), int(tries[i, j])), group=group, why=why)

    def _share(self, hits: int, tries: int) -> dict[str, Any]:
        if self.interval == "wilson":
            return wilson(hits, tries)
        low = stats.beta.ppf(0.025, hits, tries - hits + 1) if hits else 0.0
        high = stats.beta.ppf(0.975, hits + 1, tries - hits) if hits < tries else 1.0
        return {"estimate": hits / tries, "low": low, "high": high, "n": tries}


def _only(read: Readings, cases: np.ndarray | None) -> Readings:
    """The readings of some cases, by readers and under conditions that may then have none."""
    if cases is None:
        return read
    return replace(
        read, ratings=read.ratings[:, :, cases], positive=read.positive[cases], patient=read.patient[cases]
    )
