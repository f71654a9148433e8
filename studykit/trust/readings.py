"""Who read which case under which condition, what the truth was, and so which design the study has."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy.sparse.csgraph import connected_components

from studykit.trust.over_readers import coded, patients_of
from studykit.trust.statistic import NotEstimable, numbers


@dataclass(frozen=True, eq=False)
class Readings:
    """Ratings as arrays.

    ratings: (conditions, readers, cases), NaN where a case was not read; positive: (cases,) bool; patient:
    (cases,) whole numbers, whose case it is; unknown: how many cases were left out for want of a truth.
    """

    conditions: list
    readers: list
    ratings: np.ndarray
    positive: np.ndarray
    patient: np.ndarray
    unknown: int = 0

    @property
    def read(self) -> np.ndarray:
        """(conditions, readers, cases) bool: which case was read by whom, under which condition."""
        return ~np.isnan(self.ratings)


def readings(table: pd.DataFrame, positive: Any = None) -> Readings:
    """The arrays of a table with reader, case, condition, rating, truth and perhaps patient.

    A case has the truth that any of its rows tells.
    positive: the value of truth that is positive; None stands for 1. Words are ratings only where they are
    categories with an order. Raises NotEstimable, also where no case is positive.
    """
    told = table["truth"].notna()
    if not told.any():
        raise NotEstimable("no case has a truth")
    known = table[table["case"].isin(table.loc[told, "case"])]
    condition, conditions = coded(known["condition"])
    reader, readers = coded(known["reader"])
    case, cases = coded(known["case"])
    ratings = np.full((len(conditions), len(readers), len(cases)), np.nan)
    ratings[condition, reader, case] = _scores(known)
    truth = _truth(known["truth"], 1 if positive is None else positive, case, cases)
    unknown = table["case"].nunique() - len(cases)
    return Readings(conditions, readers, ratings, truth, patients_of(known, case, cases), unknown)


def _scores(table: pd.DataFrame) -> np.ndarray:
    ratings = table["rating"]
    if isinstance(ratings.dtype, pd.CategoricalDtype) and ratings.cat.ordered:
        return ratings.cat.codes.to_numpy(dtype=float)
    return numbers(table)


def _truth(truth: pd.Series, positive: Any, case: np.ndarray, cases: list) -> np.ndarray:
    """Which cases are positive, by the rows that tell it."""
    there = truth.notna().to_numpy()
    truth, case = truth[there], case[there]
    is_positive = np.array([value == positive for value in truth], dtype=bool)
    if not is_positive.any():
        told = ", ".join(map(str, pd.unique(truth)[:4]))
        raise NotEstimable(
            f"no case's truth is {positive} (positive); it is {told}; give the value that is positive"
        )
    several = truth.groupby(case, observed=True).nunique()
    if several.max() > 1:
        raise NotEstimable(f"the case {cases[several.idxmax()]} has two truths; a case has one")
    return np.bincount(case, weights=is_positive) > 0


@dataclass(frozen=True, eq=False)
class Design:
    """What kind of study: in words, and as far as the analysis needs it.

    blocks: (readers,) whole numbers; readers of different blocks share no patient. Where a block has one
    reader only, or all do, `blocks` is 0 throughout: then nothing can be learnt within blocks. alike: whether
    either all conditions show the same patients, or no two do.
    """

    words: str
    blocks: np.ndarray
    alike: bool


def design(read: np.ndarray, patient: np.ndarray) -> Design:
    """The design of readings (conditions, readers, cases) bool, of readers who each read something."""
    shown = seen(read, patient)
    nested = len(read) > 1 and (read.any(axis=2).sum(axis=0) == 1).all()
    by_reader = shown.any(axis=0).astype(int)
    count, own = connected_components(by_reader @ by_reader.T > 0, directed=False)
    split = count > 1 and not nested and np.bincount(own).min() > 1
    by_condition = shown.any(axis=1).astype(int)
    pairs = (by_condition @ by_condition.T > 0)[np.triu_indices(len(read), 1)]
    same = bool(pairs.all())
    if nested:
        words = "readers nested in conditions"
    elif split:
        words = f"split-plot: {count} blocks of readers, each with its own cases"
    elif count == read.shape[1] > 1:
        words = "cases nested in readers"
    else:
        words = "crossed"
    words = _with_missing(words, read, own, same) if not nested else words
    if len(pairs) and not pairs.any():
        words += "; cases nested in conditions"
    elif not same:
        words += "; the same cases in some conditions, others in others"
    return Design(words, own if split else np.zeros_like(own), same or not pairs.any())


def seen(read: np.ndarray, patient: np.ndarray) -> np.ndarray:
    """(..., patients) bool: of whom any case was read; read: (..., cases) bool."""
    found = np.zeros((*read.shape[:-1], patient.max() + 1), dtype=bool)
    np.logical_or.at(found, (..., patient), read)
    return found


def _with_missing(words: str, read: np.ndarray, own: np.ndarray, same: bool) -> str:
    """The words of a design of crossed readers, with how much of it was not read."""
    wanted = 0
    for block in range(own.max() + 1):
        of_block = read[:, own == block].any(axis=1)  # (conditions, cases)
        cases = len(read) * of_block.any(axis=0).sum() if same else of_block.sum()
        wanted += cases * (own == block).sum()
    missing = int(wanted - read.sum())
    if words == "crossed":
        words = (
            "fully crossed" if not missing else ("crossed" if missing <= 0.1 * wanted else "partly crossed")
        )
    return words + (f", {missing} of {wanted} readings not there" if missing else "")
