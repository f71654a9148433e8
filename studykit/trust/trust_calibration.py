"""Trust calibration: are readers surer where they are right?

A trust or confidence rating is compared with whether the answer (or the aid) was right: AUROC, the chance
that a right one got the higher rating; and, with the rating written as a chance c from 0 to 1, the expected
calibration error, sum over bins of n_b / n |mean c_b - share right_b|, and the Brier score, mean (c -
right)^2. Naeini et al., AAAI 2015 (calibration error); Brier, Monthly Weather Review 1950;78:1.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pandas as pd

from studykit.catalog import InputError
from studykit.scores import draws
from studykit.trust.agreement import check_settings
from studykit.trust.over_readers import FEWEST, coded, mean_over_readers, percentiles, share
from studykit.trust.statistic import NotEstimable, Statistic, cleaned, numbers, renamed, row

AT_ONCE = 4_000_000  # cells of draws by ratings held at a time


@dataclass(frozen=True)
class TrustCalibration(Statistic, name="trust_calibration"):
    """Whether trust or confidence goes with being right: AUROC, calibration error, Brier score.

    Over all ratings and, where there are several, in each condition.
    low, high: the ends of the scale, which become 0 and 1; AUROC needs none. bins: how many of equal width;
    a scale with no more distinct ratings than that has one bin a rating. "AUROC within readers" is the mean
    over readers with both right and wrong answers, untouched by how each uses the scale. Intervals draw
    readers, or cases where readers are fewer than five or anonymous (`why` says so). The calibration error
    is never below nought, so in few readings it is too large, and so are its draws. n counts ratings.
    """

    title: ClassVar[str] = "AUROC"
    question: ClassVar[str] = "Are readers surer where they are right?"
    wants: ClassVar[tuple[str, ...]] = ("reader", "case", "rating", "correct")
    uses: ClassVar[tuple[str, ...]] = ("condition",)
    kinds: ClassVar[tuple[str, ...]] = ("ordinal", "interval", "ratio")

    low: float = 0.0
    high: float = 1.0
    bins: int = 10
    resamples: int = 2000
    seed: int = 0

    def __post_init__(self):
        if not self.low < self.high:
            raise InputError(f"A scale goes from low to high, not from {self.low:g} to {self.high:g}.")
        if self.bins < 1:
            raise InputError("There must be at least one bin.")
        check_settings(self)

    def rows(self, table: pd.DataFrame) -> Iterator[dict[str, Any]]:
        """AUROC, calibration error, Brier score and what they stand on; of all, then of each condition."""
        known, correct = _judged(table)
        yield from self._of(known, correct, "all")
        condition, conditions = coded(known["condition"]) if "condition" in known else (None, [])
        if len(conditions) > 1:
            for k, name in enumerate(conditions):
                part = known[condition == k].reset_index(drop=True)
                yield from self._of(part, correct[condition == k], f"condition {name}")

    def _of(self, known: pd.DataFrame, correct: np.ndarray, group: str) -> Iterator[dict[str, Any]]:
        values, value = np.unique(numbers(known), return_inverse=True)
        anonymous = known["reader"].isna().any()
        (reader, readers), why = coded(known["reader"]), ""
        cluster, clusters = reader, len(readers)
        if anonymous or clusters < FEWEST:
            few = "readers are anonymous" if anonymous else f"fewer than {FEWEST} readers"
            why = f"{few}, so cases were drawn for the interval"
            cluster, cases = coded(known["case"])
            clusters = len(cases)
        right, wrong = (_counts(cluster[of], value[of], clusters, len(values)) for of in (correct, ~correct))
        here, drawn = self._scores(values, right, wrong)
        about = {"n": len(known), "group": group}
        for name, score in here.items():
            yield row(name, **self._told(name, score[0], drawn[name], clusters, why), **about)
        within = {"why": "the readers are anonymous"} if anonymous else _within(reader, value, correct)
        yield row("AUROC within readers", **{**within, **about})

    def _told(self, name: str, at: float, drawn: np.ndarray, clusters: int, why: str) -> dict[str, Any]:
        """estimate, low, high, why."""
        if np.isnan(at):
            outside = (
                f"ratings lie outside {self.low:g} to {self.high:g}; give low and high, the scale's ends"
            )
            return {"why": "all answers are right, or all wrong" if name == "AUROC" else outside}
        low, high = percentiles(drawn, clusters)
        if not high - low > 1e-12:
            return {"estimate": at, "why": "the draws show no spread, which gives no interval"}
        return {"estimate": at, "low": low, "high": high, "why": why}

    def _scores(self, values: np.ndarray, right: np.ndarray, wrong: np.ndarray) -> tuple[dict, dict]:
        """{score: (1,)} of all ratings and {score: (draws,)}; right, wrong: (clusters, distinct ratings)."""
        chance, place = self.chances(values), self.binned(values)

        def of(times: np.ndarray) -> dict[str, np.ndarray]:
            return scores(times @ right, times @ wrong, chance, place)

        times = draws(np.arange(len(right)), self.resamples, self.seed)
        parts = [of(part) for part in np.array_split(times, -(-len(times) * len(values) // AT_ONCE))]
        drawn = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
        return of(np.ones((1, len(right)))), drawn

    def chances(self, values: np.ndarray) -> np.ndarray:
        """Ratings as 0 to 1; all NaN where one lies outside the scale."""
        inside = self.low <= values.min() and values.max() <= self.high
        return (values - self.low) / (self.high - self.low) if inside else np.full(len(values), np.nan)

    def binned(self, values: np.ndarray) -> np.ndarray:
        """The bin of each of the distinct ratings, in order."""
        if len(values) <= self.bins:
            return np.arange(len(values))
        place = np.floor((values - self.low) / (self.high - self.low) * self.bins)
        return np.clip(np.nan_to_num(place), 0, self.bins - 1).astype(int)


def scores(
    right: np.ndarray, wrong: np.ndarray, chance: np.ndarray, place: np.ndarray
) -> dict[str, np.ndarray]:
    """Each score in each draw, {score: (draws,)}.

    right, wrong: (draws, distinct ratings in rising order), how often each occurs. chance: (ratings,), what a
    rating says from 0 to 1; place: (ratings,), its bin.
    """
    n, hits, misses = (right + wrong).sum(axis=1), right.sum(axis=1), wrong.sum(axis=1)
    below = np.cumsum(wrong, axis=1) - wrong / 2
    pairs = hits * misses
    bins = np.arange(place.max() + 1) == place[:, None]  # (ratings, bins)
    gap = np.abs(((right + wrong) * chance) @ bins - right @ bins)
    return {
        "AUROC": np.divide((right * below).sum(axis=1), pairs, out=np.full(len(n), np.nan), where=pairs > 0),
        "expected calibration error": gap.sum(axis=1) / n,
        "Brier score": (right @ (1 - chance) ** 2 + wrong @ chance**2) / n,
        "mean rating, 0 to 1": (right + wrong) @ chance / n,
        "overconfidence": ((right + wrong) @ chance - hits) / n,
        "share right": hits / n,
    }


def reliability(
    table: pd.DataFrame, statistic: TrustCalibration | None = None, **columns: str
) -> pd.DataFrame:
    """How often readers are right at each rating, for a reliability diagram: a row a bin.

    Columns: rating (mean), chance (the same from 0 to 1), share (right), low, high, n, why. statistic: with
    its scale, bins, resamples and seed; columns: as in calling it. No rows where there are no usable
    ratings. Raises InputError for a missing column.
    """
    statistic = statistic or TrustCalibration()
    told: list[dict[str, Any]] = []
    try:
        known, correct = _judged(cleaned(renamed(table, statistic, columns), statistic))
        ratings = numbers(known)
    except NotEstimable:
        return pd.DataFrame(told, columns=["rating", "chance", "share", "low", "high", "n", "why"])
    values, value = np.unique(ratings, return_inverse=True)
    chance, place = statistic.chances(values)[value], statistic.binned(values)[value]
    reader, readers = coded(known["reader"])
    named = not known["reader"].isna().any()
    times = draws(np.arange(len(readers)), statistic.resamples, statistic.seed) if named else None
    for k in np.unique(place):
        here = place == k
        tries, hits = (
            np.bincount(np.maximum(reader, 0)[of], minlength=max(len(readers), 1))[:, None].astype(float)
            for of in (here, here & correct)
        )
        found = share(hits, tries, times)
        mean = {"rating": ratings[here].mean(), "chance": chance[here].mean()}
        told.append({**mean, "why": "", **found, "share": found["estimate"]})
    return pd.DataFrame(told, columns=["rating", "chance", "share", "low", "high", "n", "why"])


def _judged(table: pd.DataFrame) -> tuple[pd.DataFrame, np.ndarray]:
    """The ratings whose answer is known to be right or wrong, and which; raises NotEstimable."""
    known = table[table["correct"].notna()].reset_index(drop=True)
    if not len(known):
        raise NotEstimable("it is not known of any answer whether it was right")
    correct = numbers(known, "correct")
    if not np.isin(correct, (0, 1)).all():
        raise NotEstimable("'correct' is told by true and false, or 1 and 0")
    return known, correct == 1


def _counts(cluster: np.ndarray, value: np.ndarray, clusters: int, values: int) -> np.ndarray:
    """(clusters, distinct ratings), how often."""
    flat = np.bincount(cluster * values + value, minlength=clusters * values)
    return flat.reshape(clusters, values).astype(float)


def _within(reader: np.ndarray, value: np.ndarray, correct: np.ndarray) -> dict[str, Any]:
    """The mean over readers of each one's AUROC: estimate, low, high, why."""
    size = reader.max() + 1, value.max() + 1
    right, wrong = (_counts(reader[of], value[of], *size) for of in (correct, ~correct))
    each = scores(right, wrong, np.zeros(size[1]), np.zeros(size[1], int))["AUROC"]
    told = mean_over_readers(each, (0, 1))
    return told if told["n"] else {"why": "no reader has both right and wrong answers"}
