"""Reliance: do readers take good advice and leave bad advice?

Each reading has an answer before the aid (locked), what the aid said, and the final answer:

    RAIR = (first wrong, aid right, final right) / (first wrong, aid right)     relative AI reliance
    RSR  = (first right, aid wrong, final right) / (first right, aid wrong)     relative self-reliance

Under-reliance is 1 - RAIR, over-reliance 1 - RSR. The switch fraction is how often a reader who first
disagreed with the aid ends with its answer; the agreement fraction, how often the final answer is the aid's.
Schemmer et al., Intelligent User Interfaces 2023, arXiv 2302.02187; Zhang et al., FAT* 2020, arXiv
2001.02114.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pandas as pd

from studykit.catalog import check_choice
from studykit.scores import draws
from studykit.trust.agreement import check_settings
from studykit.trust.over_readers import coded, share, wilson
from studykit.trust.statistic import NotEstimable, Statistic, row

OVER = ("readers", "readers and cases")
# {share: (of which readings, which of these count, why there may be none)}
SHARES = {
    "RAIR": ("good advice", "right", "no reading was first wrong with a right aid"),
    "RSR": ("bad advice", "right", "no reading was first right with a wrong aid"),
    "under-reliance": ("good advice", "wrong", "no reading was first wrong with a right aid"),
    "over-reliance": ("bad advice", "wrong", "no reading was first right with a wrong aid"),
    "switch fraction": ("disagreed", "with the aid", "no reader first disagreed with the aid"),
    "agreement fraction": ("answered", "with the aid", "no reading has an answer before and after an aid"),
}


@dataclass(frozen=True)
class Reliance(Statistic, name="reliance"):
    """How often readers take right advice (RAIR) and leave wrong advice (RSR), with all counts.

    Over all readings, in each condition and for each reader. `rating` is the final answer; answers count as
    right where they equal the truth, so both must be written alike. Intervals are of drawn readers (with
    over="readers and cases", cases, or patients where told, are drawn as well), or Wilson's where fewer than
    five readers count, where all have one share, and for single readers. n is the denominator.
    Sources: see the file.
    """

    title: ClassVar[str] = "RAIR"
    question: ClassVar[str] = "Do readers follow the aid when it is right and resist it when it is wrong?"
    wants: ClassVar[tuple[str, ...]] = ("reader", "case", "condition", "first", "aid", "rating", "truth")
    uses: ClassVar[tuple[str, ...]] = ("patient",)
    kinds: ClassVar[tuple[str, ...]] = ("nominal", "ordinal")

    over: str = "readers"
    resamples: int = 2000
    seed: int = 0

    def __post_init__(self):
        check_choice("sample to draw from", self.over, OVER)
        check_settings(self)

    def rows(self, table: pd.DataFrame) -> Iterator[dict[str, Any]]:
        """Six shares with numerator and denominator for each group; see the class."""
        marks = _marks(table)
        readers, cases = self._draws(table)
        reader, names = coded(table["reader"])
        case, all_cases = coded(table["case"])
        shape = (max(len(names), 1), len(all_cases))

        def counted(which: np.ndarray) -> np.ndarray:
            flat = np.ravel_multi_index((np.maximum(reader, 0)[which], case[which]), shape)
            return np.bincount(flat, minlength=np.prod(shape)).reshape(shape).astype(float)

        condition, conditions = coded(table["condition"])
        groups = {"all": np.ones(len(table), bool)}
        groups |= {f"condition {name}": condition == k for k, name in enumerate(conditions)}
        for group, inside in groups.items():
            for name, (of, counting, why) in SHARES.items():
                tries = inside & marks[of]
                told = share(counted(tries & marks[counting]), counted(tries), readers, cases)
                yield from _told(name, group, told, (tries & marks[counting]).sum(), tries.sum(), why)
        for k, person in enumerate(names):
            for name, (of, counting, why) in SHARES.items():
                tries = (reader == k) & marks[of]
                hits = (tries & marks[counting]).sum()
                yield from _told(name, f"reader {person}", wilson(hits, tries.sum()), hits, tries.sum(), why)
        for name in ("first", "aid", "truth"):
            yield row(f"readings without {name}", table[name].isna().sum(), n=len(table))

    def _draws(self, table: pd.DataFrame) -> tuple[np.ndarray | None, np.ndarray | None]:
        """(draws, readers) and, where cases are drawn too, (draws, cases); no readers where anonymous."""
        _, names = coded(table["reader"])
        if table["reader"].isna().any():
            return None, None
        readers = draws(np.arange(len(names)), self.resamples, self.seed)
        if self.over == "readers":
            return readers, None
        case, cases = coded(table["case"])
        patient = np.arange(len(cases))
        if "patient" in table:
            whose, _ = coded(table["patient"])
            patient[case] = np.where(whose < 0, case + len(table), whose)
        return readers, draws(patient, self.resamples, self.seed + 1)


def _told(name: str, group: str, told: dict, hits: int, tries: int, none: str) -> Iterator[dict[str, Any]]:
    yield row(name, **(told if tries else {"n": 0, "why": none}), group=group)
    yield row(f"{name}, numerator", hits, n=tries, group=group)
    yield row(f"{name}, denominator", tries, n=tries, group=group)


def _marks(table: pd.DataFrame) -> dict[str, np.ndarray]:
    """{what a reading is: (n,)}; raises NotEstimable where answers are written unlike truths."""
    truth = table["truth"]
    check_alike(truth, table["first"], table["aid"], table["rating"])
    first, aid, right = (equal(table[name], truth) for name in ("first", "aid", "rating"))
    answered = (table["first"].notna() & table["aid"].notna()).to_numpy()
    judged = answered & truth.notna().to_numpy()
    return {
        "answered": answered,
        "disagreed": answered & ~equal(table["first"], table["aid"]),
        "with the aid": equal(table["rating"], table["aid"]),
        "good advice": judged & ~first & aid,
        "bad advice": judged & first & ~aid,
        "right": right,
        "wrong": ~right,
    }


def check_alike(truth: pd.Series, *answers: pd.Series) -> None:
    """NotEstimable where answers and truths are most likely written in two ways, as 1 and "1"."""
    truths, given = set(truth.dropna()), [set(one.astype(object).dropna()) for one in answers]
    unlike = [own for own in given if own and _in_words(own) != _in_words(truths)]
    if not set().union(*given) & truths:
        unlike = [set().union(*given)]
    if truths and unlike and unlike[0]:
        told = (", ".join(sorted(map(str, values))[:3]) for values in (unlike[0], truths))
        raise NotEstimable("no answer ever equals a truth ({} against {}); write both alike".format(*told))


def _in_words(values: set) -> bool:
    return all(isinstance(value, str) for value in values)


def equal(one: pd.Series, other: pd.Series) -> np.ndarray:
    """(n,): whether two answers are the same, both being there."""
    mine, yours = one.astype(object), other.astype(object)
    both = (mine.notna() & yours.notna()).to_numpy()
    same = np.zeros(len(mine), bool)
    same[both] = [a == b for a, b in zip(mine[both], yours[both], strict=True)]
    return same
