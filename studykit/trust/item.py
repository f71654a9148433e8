"""An item: one question that readers answer, and on which scale."""

import math
from dataclasses import dataclass
from numbers import Real
from typing import Any

import pandas as pd

from studykit.catalog import InputError, check_choice

SCALES = ("nominal", "ordinal", "interval", "ratio", "text")
ROLES = {
    "answer": "what the case is; compared with the truth",
    "score": "how likely the positive class is; for ROC curves",
    "trust": "how sure the reader is of the answer; compared with its being right",
    "trust in the aid": "how far the aid is trusted; compared with its being right",
    "opinion": "what the reader thinks of an aid or a map",
    "questionnaire": "one question of a questionnaire, asked once a reader",
    "comment": "free text",
}


@dataclass(frozen=True)
class Item:
    """One question.

    scale: nominal, ordinal, interval, ratio or text; categories: the answers that can be given, in order (of
    nominal and ordinal scales); labels: their words, where categories are numbers. role: see ROLES. asked:
    "first" (before the aid only), "final" (with the aid only), "both", or "end" (once a reader, no case).
    questionnaire: the name of the Statistic that it belongs to. low, high: the ends of a scale without
    categories, both or neither. Raises InputError for what cannot be answered or counted.
    """

    name: str
    text: str = ""
    scale: str = "ordinal"
    role: str = "opinion"
    categories: tuple[Any, ...] = ()
    labels: tuple[str, ...] = ()
    low: float | None = None
    high: float | None = None
    asked: str = "final"
    questionnaire: str = ""

    def __post_init__(self):
        check_choice("scale of an item", self.scale, SCALES)
        check_choice("role of an item", self.role, ROLES)
        check_choice("time to ask an item", self.asked, ("first", "final", "both", "end"))
        for name in ("categories", "labels"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        if self.labels and len(self.labels) != len(self.categories):
            raise InputError(
                f"The item '{self.name}' has {len(self.categories)} categories and {len(self.labels)} labels."
            )
        self._check_categories()
        ends = self.low, self.high
        numbers = [one for one in ends if _is_number(one)]
        if ends != (None, None) and (len(numbers) < 2 or numbers[0] >= numbers[1]):
            raise InputError(
                f"The item '{self.name}' goes from {self.low!r} to {self.high!r}; give 'low' and 'high' as "
                "numbers, the lower one first, or neither."
            )

    def _check_categories(self) -> None:
        for one in self.categories:
            if not isinstance(one, str) and not _is_number(one) and not isinstance(one, bool):
                raise InputError(
                    f"The item '{self.name}' has the category {one!r}; a category is a text or a number."
                )
        if min(len(set(self.categories)), len(set(map(str, self.categories)))) < len(self.categories):
            raise InputError(f"The item '{self.name}' names a category twice; name each once.")
        words = self.scale == "text" or any(isinstance(one, str) for one in self.categories)
        if self.role in ("score", "trust", "trust in the aid") and words and self.scale != "ordinal":
            raise InputError(
                f"The item '{self.name}' ({self.role}) is answered by words without an order; make its scale "
                '"ordinal", or its categories numbers.'
            )

    @property
    def graded(self) -> bool:
        """Whether its answers are words with an order."""
        return self.scale == "ordinal" and any(isinstance(one, str) for one in self.categories)

    @property
    def ends(self) -> tuple[float, float]:
        """Where the scale begins and ends as numbers; words with an order count 1, 2, ..."""
        if self.graded:
            return 1.0, float(len(self.categories))
        if self.categories:
            return float(min(self.categories)), float(max(self.categories))
        return float(self.low or 0.0), float(1.0 if self.high is None else self.high)

    def label(self, rating: Any) -> str:
        """A rating in words."""
        if self.labels and rating in self.categories:
            return self.labels[self.categories.index(rating)]
        return str(rating)

    def refused(self, rating: Any) -> str:
        """Why a rating cannot be an answer to this item; empty where it can."""
        if rating is None or rating is pd.NA or rating != rating:
            return ""
        if self.scale == "text":
            return "" if isinstance(rating, str) else f"'{self.name}' is answered in words, not by {rating!r}"
        if self.categories:
            told = ", ".join(map(str, self.categories))
            return (
                "" if rating in self.categories else f"'{self.name}' is answered by {told}, not by {rating!r}"
            )
        if isinstance(rating, bool) or not isinstance(rating, int | float):
            return f"'{self.name}' is answered by a number, not by {rating!r}"
        if (self.low is not None and rating < self.low) or (self.high is not None and rating > self.high):
            return (
                f"'{self.name}' is answered by a number from {self.low:g} to {self.high:g}, not by {rating!r}"
            )
        return ""


def _is_number(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value)
