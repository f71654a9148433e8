"""What all questionnaires share: answers become scores by one published rule, and unanswered items are told.

A scale's score is (mean of its items - zero) * unit, where a reversed item counts as lowest + highest -
answer.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pandas as pd

from studykit.catalog import InputError, check_choice
from studykit.trust.item import Item
from studykit.trust.over_readers import cell_means, coded, mean_over_readers
from studykit.trust.statistic import NotEstimable, Statistic, numbers, row

MISSING = {
    "refuse": "a reader who left out an item has no score",
    "mean": "the mean of the items answered stands for those left out, where at least half are answered",
    "middle": "an item left out counts as the middle of the scale, where at least half are answered",
}


@dataclass(frozen=True)
class Questionnaire(Statistic):
    """Scores of each reader and their mean over readers (t interval).

    Items are named as `items` says, the questionnaire's name and a number from 1. missing: "refuse" (no
    score for a reader who left out an item), or, where at least half are answered, "mean" (of these) or
    "middle" (of the scale, for those left out). n counts readers, or for one reader the items answered.
    Cronbach's alpha is a statistic of its own.
    """

    wants: ClassVar[tuple[str, ...]] = ("reader", "item", "rating")
    kinds: ClassVar[tuple[str, ...]] = ("ordinal", "interval")
    crossed: ClassVar[bool] = True
    scales: ClassVar[dict[str, tuple[int, ...]]]  # {name: numbers of its items}
    opposed: ClassVar[tuple[int, ...]] = ()  # numbers of reversed items
    lowest: ClassVar[int] = 1
    highest: ClassVar[int] = 5
    zero: ClassVar[float] = 0.0
    unit: ClassVar[float] = 1.0
    wording: ClassVar[tuple[str, ...]] = ()  # empty where it may not be shipped: a slot
    source: ClassVar[str]  # where the wording is, and under which licence

    missing: str = "refuse"

    def __post_init__(self):
        check_choice("rule for unanswered items", self.missing, MISSING)

    @property
    def span(self) -> tuple[float, float]:
        """The lowest and the highest score."""
        return (self.lowest - self.zero) * self.unit, (self.highest - self.zero) * self.unit

    @property
    def items(self) -> tuple[str, ...]:
        """The names of the items, in order."""
        return tuple(f"{self.name}_{k}" for k in sorted(sum(self.scales.values(), ())))

    def asked(self, texts: Sequence[str] = ()) -> tuple[Item, ...]:
        """The items to put into a study, asked at its end.

        texts: their wording; without, that of `wording`, or none where it may not be shipped (see `source`).
        Raises InputError where there are not as many texts as items.
        """
        texts = tuple(texts) or self.wording or ("",) * len(self.items)
        if len(texts) != len(self.items):
            raise InputError(f"{self.title} has {len(self.items)} items, but {len(texts)} texts were given.")
        answers = tuple(range(self.lowest, self.highest + 1))
        about = {"role": "questionnaire", "categories": answers, "asked": "end", "questionnaire": self.name}
        return tuple(Item(name, text, **about) for name, text in zip(self.items, texts, strict=True))

    def rows(self, table: pd.DataFrame) -> Iterator[dict[str, Any]]:
        """For each scale its mean, each reader's score, and how many answers are missing."""
        known = table[table["item"].isin(self.items)].reset_index(drop=True)
        if not len(known):
            raise NotEstimable(f"no item {self.items[0]} to {self.items[-1]} was answered")
        reader, readers = coded(known["reader"])
        place = known["item"].map({name: k for k, name in enumerate(self.items)}).to_numpy(dtype=int)
        answers = numbers(known)
        self._check(known, answers)
        grid = np.full((len(readers), len(self.items)), np.nan)
        found = cell_means(answers, reader, place)
        grid[:, : found.shape[1]] = found
        for name, score in self.scores(grid).items():
            told = mean_over_readers(score, self.span)
            if not told["n"]:
                told["why"] = f"no reader answered enough items ({MISSING[self.missing]})"
            yield row(name, **told)
            empty = np.isnan(grid[:, self._places(name)]).sum(axis=1)
            for person, value, lost in zip(readers, score, empty, strict=True):
                left = f"{lost} item{'' if lost == 1 else 's'} unanswered; {MISSING[self.missing]}"
                why = left if np.isnan(value) else ""
                yield row(name, value, n=len(self.scales[name]) - lost, group=f"reader {person}", why=why)
            why = MISSING[self.missing] if empty.any() else ""
            yield row(f"{name}, unanswered items", empty.sum(), n=len(readers), why=why)
        yield from self._others(table)

    def scores(self, grid: np.ndarray) -> dict[str, np.ndarray]:
        """{scale: (readers,)} of answers (readers, items), NaN where an item is unanswered."""
        places = np.array([int(name.rsplit("_", 1)[1]) for name in self.items])
        keyed = np.where(np.isin(places, self.opposed), self.lowest + self.highest - grid, grid)
        told = {}
        for name in self.scales:
            mine = keyed[:, self._places(name)]
            there = ~np.isnan(mine)
            answered, items = there.sum(axis=1), mine.shape[1]
            mean = np.where(there, mine, 0).sum(axis=1) / np.maximum(answered, 1)
            if self.missing == "middle":
                mean += (1 - answered / items) * ((self.lowest + self.highest) / 2 - mean)
            enough = answered == items if self.missing == "refuse" else 2 * answered >= items
            told[name] = np.where(enough, (mean - self.zero) * self.unit, np.nan)
        return told

    def keyed(self, table: pd.DataFrame, scale: str) -> pd.DataFrame:
        """The answers to a scale's items, opposed ones turned round, as Cronbach's alpha wants them."""
        opposed = {f"{self.name}_{k}": k in self.opposed for k in self.scales[scale]}
        own = table[table["item"].isin(opposed)]
        answers = pd.to_numeric(own["rating"], errors="coerce")
        turned = own["item"].map(opposed).astype(bool)
        return own.assign(rating=answers.where(~turned, self.lowest + self.highest - answers))

    def _places(self, scale: str) -> list[int]:
        return [self.items.index(f"{self.name}_{k}") for k in self.scales[scale]]

    def _check(self, known: pd.DataFrame, answers: np.ndarray) -> None:
        outside = ~((self.lowest <= answers) & (answers <= self.highest))
        if outside.any():
            first = known[outside].iloc[0]
            told = f"reader {first['reader']} answered {first['rating']} to {first['item']}"
            raise NotEstimable(f"{told}; answers go from {self.lowest} to {self.highest}")

    def _others(self, table: pd.DataFrame) -> Iterator[dict[str, Any]]:
        """Items that look like the questionnaire's and are not."""
        names = {str(item) for item in table["item"]} - set(self.items)
        alien = sorted(name for name in names if name.startswith(f"{self.name}_"))
        if alien:
            yield row("items left out", len(alien), n=len(alien), why=f"{', '.join(alien[:5])}: no such item")
