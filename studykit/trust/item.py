"""An item: one question that readers answer, and on which scale."""

from dataclasses import dataclass
from typing import Any

import pandas as pd

from studykit.catalog import InputError, check_choice

SCALES = ("nominal", "ordinal", "interval", "ratio", "text")
ROLES = {
    "answer": "what the case is; compared with the truth",
    "score": "how likely the positive class is; for ROC curves",
    "trust": "how sure the reader is, or how far the aid is trusted; compared with being right",
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
    questionnaire: the name of the Statistic that it belongs to.
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
