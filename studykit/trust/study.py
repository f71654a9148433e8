"""A study: who rated what, when, with which aid, and what was so; recorded, published or simulated."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from studykit.catalog import check_choice
from studykit.trust.item import Item

RATINGS = [
    "reader", "case", "condition", "item", "step", "repeat", "rating", "order", "session", "elapsed", "when",
]  # fmt: skip
SAME = ["reader", "case", "condition", "item", "repeat"]  # one question to one reader about one case


@dataclass(frozen=True, eq=False)
class Study:
    """Ratings and what they are about, joined by case id.

    ratings: a row a current rating, columns RATINGS; step is "first" (before the aid, locked) or "final".
    `reader` is missing where readers are anonymous, `case` where an item is asked once a reader.
    cases: case, patient, truth (missing where unknown). aids: case, condition, aid, wrong (planted wrong).
    positive: the class that scores speak of. source: citation and licence of published ratings.
    """

    name: str
    ratings: pd.DataFrame
    items: Mapping[str, Item]
    cases: pd.DataFrame
    aids: pd.DataFrame = field(
        default_factory=lambda: pd.DataFrame(columns=["case", "condition", "aid", "wrong"])
    )
    positive: Any = 1
    title: str = ""
    source: str = ""
    simulated: bool = False
    notes: tuple[str, ...] = ()

    @property
    def readers(self) -> list:
        """Those who rated, sorted; empty where they are anonymous."""
        return sorted(self.ratings["reader"].dropna().unique())

    @property
    def conditions(self) -> list:
        """In the order in which they first appear."""
        return list(self.ratings["condition"].dropna().unique())

    @property
    def anonymous(self) -> bool:
        """Whether ratings have no reader's name."""
        return bool(self.ratings["reader"].isna().any())

    def of_role(self, role: str) -> list[Item]:
        """The items of a role that somebody answered."""
        there = set(self.ratings["item"])
        return [item for item in self.items.values() if item.role == role and item.name in there]

    def table(self, item: str, condition: Any = None) -> pd.DataFrame:
        """An item's final ratings as statistics take them: a row a rating, columns as in `statistic.WORDS`.

        Beside the ratings stand `first`, `patient`, `truth`, `aid` and `wrong`. Raises InputError for an
        unknown item.
        """
        check_choice("item", item, self.items)
        asked = self.ratings[self.ratings["item"] == item]
        if condition is not None:
            check_choice("condition", condition, self.conditions)
            asked = asked[asked["condition"] == condition]
        final = asked[asked["step"] == "final"].drop(columns="step")
        first = asked[asked["step"] == "first"]
        if len(first) and not self.anonymous:
            final = final.merge(
                first[[*SAME, "rating"]].rename(columns={"rating": "first"}), on=SAME, how="left"
            )
        else:
            final = final.assign(first=np.nan)
        known = final.merge(self.cases, on="case", how="left")
        return known.merge(self.aids, on=["case", "condition"], how="left")
