"""Learning: does the session itself change accuracy, time or ratings, whatever the condition?

Within each reader (and condition and sitting, which are held fixed by centring) the outcome is regressed on
the place of the case in the session; the mean of the readers' slopes has a t interval. The second half of
each sitting is compared with the first in the same way.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pandas as pd

from studykit.trust.over_readers import cell_means, coded, mean_over_readers
from studykit.trust.reliance import check_alike, equal
from studykit.trust.statistic import NotEstimable, Statistic, numbers, row
from studykit.trust.time_on_task import of_logs


@dataclass(frozen=True)
class Learning(Statistic, name="learning"):
    """How accuracy, time (as a ratio) and ratings change per 10 cases, and from first half to second.

    Accuracy needs `rating` and `truth`, time needs `elapsed`; ratings that are no numbers have no slope.
    Where the order of cases is not random, harder cases at the end look like tiring. n counts readers.
    """

    title: ClassVar[str] = "change over the session"
    question: ClassVar[str] = "Do readers get better or faster over the session?"
    wants: ClassVar[tuple[str, ...]] = ("reader", "case", "condition", "order")
    uses: ClassVar[tuple[str, ...]] = ("rating", "truth", "elapsed", "session")
    crossed: ClassVar[bool] = True

    def rows(self, table: pd.DataFrame) -> Iterator[dict[str, Any]]:
        """For accuracy, time and rating: change per 10 cases, second half against first."""
        order = numbers(table, "order")
        if not np.isfinite(order).any():
            raise NotEstimable("no reading has a place in the session")
        reader, readers = coded(table["reader"])
        sitting = _within(reader, table.get("session"))
        cell = _within(sitting, table["condition"])
        late = _late(order, sitting)
        for name, (values, why) in _outcomes(table).items():
            what, against = ("time ratio", "to") if name == "time" else (f"change in {name}", "minus")
            labels = f"{what} per 10 cases", f"{what}, second half {against} first"
            for label, moved in zip(labels, (order / 10, late), strict=True):
                each = slopes(moved, values, reader, cell, len(readers))
                told = of_logs(each) if name == "time" else mean_over_readers(each)
                if not told["n"]:
                    told["why"] = why or "no reader has two readings in different places"
                yield row(label, **told)


def _within(group: np.ndarray, column: pd.Series | None) -> np.ndarray:
    """Groups, each parted by a column; a missing value is a part of its own."""
    if column is None:
        return group
    place, values = coded(column)
    return np.unique(group * (len(values) + 1) + place + 1, return_inverse=True)[1]


def _late(order: np.ndarray, sitting: np.ndarray) -> np.ndarray:
    """1 in the second half of a sitting, 0 in the first, NaN in the very middle."""
    late = np.full(len(order), np.nan)
    for k in np.unique(sitting):
        here = (sitting == k) & np.isfinite(order)
        if here.any():
            middle = np.median(order[here])
            late[here] = np.where(order[here] == middle, np.nan, order[here] > middle)
    return late


def _outcomes(table: pd.DataFrame) -> dict[str, tuple[np.ndarray, str]]:
    """{outcome: its values (n,), NaN where unknown, and why there are none}."""
    made = {"accuracy": _accuracy, "time": _log_time, "rating": numbers}
    needs = {"accuracy": ("rating", "truth"), "time": ("elapsed",), "rating": ("rating",)}
    told = {}
    for name, columns in needs.items():
        empty = [column for column in columns if column not in table or table[column].isna().all()]
        try:
            told[name] = (made[name](table), "") if not empty else (None, f"there is no {' or '.join(empty)}")
        except NotEstimable as why:
            told[name] = None, str(why)
    nothing = np.full(len(table), np.nan)
    return {name: (nothing if values is None else values, why) for name, (values, why) in told.items()}


def _accuracy(table: pd.DataFrame) -> np.ndarray:
    check_alike(table["truth"], table["rating"])
    known = (table["rating"].notna() & table["truth"].notna()).to_numpy()
    return np.where(known, equal(table["rating"], table["truth"]), np.nan)


def _log_time(table: pd.DataFrame) -> np.ndarray:
    seconds = numbers(table, "elapsed")
    return np.log(np.where(seconds > 0, seconds, np.nan))


def slopes(moved: np.ndarray, values: np.ndarray, reader: np.ndarray, cell: np.ndarray, readers: int):
    """(readers,): the least-squares slope within each reader's cells; NaN where there is none."""
    there = np.isfinite(moved) & np.isfinite(values)
    if not there.any():
        return np.full(readers, np.nan)
    x, y, cell, reader = moved[there], values[there], cell[there], reader[there]
    x, y = (of - cell_means(of, cell)[cell] for of in (x, y))
    spread = np.bincount(reader, x**2, minlength=readers)
    together = np.bincount(reader, x * y, minlength=readers)
    return np.divide(together, spread, out=np.full(readers, np.nan), where=spread > 1e-12)
