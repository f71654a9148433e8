"""Coding of free text: do two coders call the same texts the same?

Each coder gives each text any number of codes of a codebook, so each code is a yes or no on each text:
Cohen's kappa, percent agreement and prevalence are told code by code, since a rare code can hide behind a
common one.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pandas as pd

from studykit.trust.agreement import bootstrapped, check_settings
from studykit.trust.cohen_kappa import CohenKappa
from studykit.trust.over_readers import coded, wilson
from studykit.trust.statistic import NotEstimable, Statistic, cleaned, renamed, row


@dataclass(frozen=True)
class FreeText(Statistic, name="free_text"):
    """Agreement of two coders on all codes together, on whole texts, and code by code.

    A text is a case, or a case with the reader who wrote on it. A row is one code that one coder gave to one
    text; a text that a coder read and gave no code is a row with an empty code, and a text without a row of a
    coder is one he has not read, which is left out. codes: the codebook's (`Codebook.names`), of which others
    are left out and named; empty: all that were used. Kappa over all codes draws texts. n counts texts.
    """

    title: ClassVar[str] = "Cohen's kappa"
    question: ClassVar[str] = "Do two coders find the same in free texts?"
    wants: ClassVar[tuple[str, ...]] = ("coder", "case", "code")
    uses: ClassVar[tuple[str, ...]] = ("reader",)
    kinds: ClassVar[tuple[str, ...]] = ("nominal",)

    codes: tuple[str, ...] = ()
    resamples: int = 2000
    seed: int = 0

    def __post_init__(self):
        check_settings(self)

    def rows(self, table: pd.DataFrame) -> Iterator[dict[str, Any]]:
        """All codes, whole texts, each code, and what was left out."""
        coding = Coding(table, self.codes)
        one, other = coding.given  # (texts, codes) each
        texts = len(one)
        yield row(self.title, **self._together(one, other), n=texts, group="all codes")
        yield row("texts coded alike", **wilson((one == other).all(axis=1).sum(), texts), group="all codes")
        for k, code in enumerate(coding.codes):
            told = CohenKappa()(_as_ratings(one[:, k], other[:, k])).iloc[0]
            about = {"n": texts, "group": code}
            yield row(self.title, told["estimate"], told["low"], told["high"], why=told["why"], **about)
            yield row("percent agreement", **wilson((one[:, k] == other[:, k]).sum(), texts), group=code)
            yield row("prevalence", (one[:, k].mean() + other[:, k].mean()) / 2, **about)
        yield row("texts of one coder only, left out", coding.alone, n=texts)
        if coding.alien:
            named = ", ".join(coding.alien[:10])
            yield row("codes outside the codebook, left out", len(coding.alien), n=texts, why=named)

    def _together(self, one: np.ndarray, other: np.ndarray) -> dict[str, Any]:
        """Kappa over all decisions: estimate, low, high, why."""
        cells = np.stack([(one & other), (one & ~other), (~one & other), (~one & ~other)]).sum(axis=2)

        def kappa(times: np.ndarray) -> np.ndarray:
            both, first, second, none = (times @ cells.T).T
            total = both + first + second + none
            chance = ((both + first) * (both + second) + (none + first) * (none + second)) / total**2
            found = ((both + none) / total - chance) / (1 - chance)
            return np.where(chance < 1 - 1e-12, found, np.nan)

        estimate = kappa(np.ones((1, len(one))))[0]
        if np.isnan(estimate):
            return {"why": "both coders gave every code to every text, or none to any"}
        return {
            "estimate": estimate,
            **bootstrapped(kappa, np.arange(len(one)), 0.95, self.resamples, self.seed),
        }


class Coding:
    """Two coders' codes on the texts that both read.

    coders: two names; codes: names; texts: a row a text, its case (and reader); given: two arrays (texts,
    codes) of whether a coder gave a code; alone: texts of one coder only; alien: codes outside the codebook.
    """

    def __init__(self, table: pd.DataFrame, codes: tuple[str, ...] = ()):
        coder, self.coders = coded(table["coder"])
        if len(self.coders) != 2:
            raise NotEstimable(f"there are {len(self.coders)} coders; two are compared at a time")
        text, texts = self._texts(table)
        read = np.zeros((2, len(texts)), bool)
        read[coder, text] = True
        both = read.all(axis=0)
        self.alone = int((~both).sum())
        if not both.any():
            raise NotEstimable("no text was read by both coders")
        code, used = coded(table["code"].map(str, na_action="ignore"))
        self.codes = list(codes) or used
        if not self.codes:
            raise NotEstimable("no text was given a code")
        self.alien = [name for name in used if name not in self.codes]
        place = np.array([self.codes.index(name) if name in self.codes else -1 for name in used] + [-1])[code]
        given = np.zeros((2, len(texts), len(self.codes)), bool)
        kept = place >= 0
        given[coder[kept], text[kept], place[kept]] = True
        self.given = given[:, both]
        self.texts = texts[both].reset_index(drop=True)

    def _texts(self, table: pd.DataFrame) -> tuple[np.ndarray, pd.DataFrame]:
        case, cases = coded(table["case"])
        reader, readers = coded(table["reader"]) if "reader" in table else (np.zeros(len(table), int), [None])
        pairs, text = np.unique(np.stack([reader, case]), axis=1, return_inverse=True)
        told = pd.DataFrame({"reader": [readers[k] if k >= 0 else None for k in pairs[0]],
                             "case": [cases[k] for k in pairs[1]]}, dtype=object)  # fmt: skip
        return text.ravel(), told if "reader" in table else told[["case"]]


def disagreements(table: pd.DataFrame, codes: tuple[str, ...] = (), **columns: str) -> pd.DataFrame:
    """What the coders have to talk about: a row for each code that one of them gave to a text and the other
    not.

    Columns: reader (where the table has one), case, code, given by, not by. codes, columns: as of `FreeText`.
    No rows where there are not two coders with a text in common. Raises InputError for a missing column.
    """
    statistic = FreeText(codes)
    try:
        coding = Coding(cleaned(renamed(table, statistic, columns), statistic), codes)
    except NotEstimable:
        return pd.DataFrame(columns=["case", "code", "given by", "not by"])
    one, other = coding.given
    text, code = np.nonzero(one != other)
    first = one[text, code]
    by = np.array(coding.coders, dtype=object)[np.stack([~first, first]).astype(int)]
    named = np.array(coding.codes, dtype=object)[code]
    found = coding.texts.iloc[text].reset_index(drop=True)
    return found.assign(**{"code": named, "given by": by[0], "not by": by[1]})


def _as_ratings(one: np.ndarray, other: np.ndarray) -> pd.DataFrame:
    """A code's decisions as two readers' ratings of the texts."""
    n = len(one)
    given = np.concatenate([one, other]).astype(int)
    return pd.DataFrame(
        {"reader": np.repeat(["1", "2"], n), "case": np.tile(np.arange(n), 2), "rating": given}
    )
