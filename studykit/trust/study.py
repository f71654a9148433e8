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

    @property
    def planted(self) -> str:
        """What planted wrong aids mean for the numbers, in a sentence; empty where there are none."""
        wrong = self.aids.loc[self.aids["wrong"].fillna(False).astype(bool), "case"].nunique()
        return (
            f"{wrong} cases show a planted wrong aid: accuracy with the aid depends on that." if wrong else ""
        )

    def of_role(self, role: str) -> list[Item]:
        """The items of a role that somebody answered."""
        there = set(self.ratings["item"])
        return [item for item in self.items.values() if item.role == role and item.name in there]

    def table(self, item: str, condition: Any = None) -> pd.DataFrame:
        """An item's final ratings as statistics take them: a row a rating, columns as in `statistic.WORDS`.

        Beside the ratings stand `first`, `patient`, `truth`, `aid` and `wrong`. Of an item that is asked
        before the aid only, that answer is the rating. `elapsed` is the whole time of the two steps. Raises
        InputError for an unknown item.
        """
        asked = self._asked(item, condition)
        first = asked[asked["step"] == "first"].drop(columns="step")
        final = asked[asked["step"] == "final"].drop(columns="step")
        if self.items[item].asked == "first":
            final, first = pd.concat([first, final]), first.iloc[:0]
        if len(first) and not self.anonymous:
            before = first[[*SAME, "rating", "elapsed"]].rename(
                columns={"rating": "first", "elapsed": "spent"}
            )
            final = final.merge(before.assign(two=True), on=SAME, how="left")
            whole = final["elapsed"].astype(float) + final.pop("spent").astype(float)
            final["elapsed"] = final["elapsed"].astype(float).where(final.pop("two").isna(), whole)
        else:
            final = final.assign(first=np.nan)
        return self._known(final, item)

    def before(self, item: str, condition: Any = None) -> pd.DataFrame:
        """An item's answers before the aid, as `table`; each condition is called "X, before the aid"."""
        asked = self._asked(item, condition)
        first = asked[asked["step"] == "first"].drop(columns="step").assign(first=np.nan)
        known = self._known(first, item).assign(aid=np.nan, wrong=np.nan)
        return known.assign(condition=known["condition"].astype(str) + ", before the aid")

    def _asked(self, item: str, condition: Any) -> pd.DataFrame:
        check_choice("item", item, self.items)
        asked = self.ratings[self.ratings["item"] == item]
        if condition is not None:
            check_choice("condition", condition, self.conditions)
            asked = asked[asked["condition"] == condition]
        return asked

    def _known(self, ratings: pd.DataFrame, item: str) -> pd.DataFrame:
        """Ratings with what is known of their cases; words with an order are put in it."""
        if ratings["case"].notna().any():
            known = ratings.merge(self.cases, on="case", how="left")
            known = known.merge(self.aids, on=["case", "condition"], how="left")
        else:  # asked once a reader
            known = ratings.assign(**dict.fromkeys(("patient", "truth", "aid", "wrong"), np.nan))
        if self.items[item].graded:
            order = pd.CategoricalDtype(self.items[item].categories, ordered=True)
            known = known.astype({"rating": order, "first": order})
        return known
