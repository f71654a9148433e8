"""Time on task: how long does a reading take, and does an aid change that?

Times are skewed and change by factors, so their logarithms are compared: each reader's mean log time gives a
geometric mean a condition, and the mean over readers of the differences gives the ratio of two conditions. A
repeated reading is compared with the first of the same case, since a case is known by then.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations
from typing import Any, ClassVar

import numpy as np
import pandas as pd

from studykit.trust.over_readers import cell_means, coded, mean_over_readers
from studykit.trust.statistic import NotEstimable, Statistic, numbers, row


@dataclass(frozen=True)
class TimeOnTask(Statistic, name="time_on_task"):
    """The geometric mean time of each condition, in seconds, and ratios of conditions, with t intervals.

    Only first readings (the lowest `repeat` of each) enter these; "second reading to first" is the ratio of
    a repetition to the first reading of the same reader, case and condition. A ratio is first condition to
    second. Readers count alike, however many readings they have. n counts readers.
    """

    title: ClassVar[str] = "geometric mean time"
    question: ClassVar[str] = "How long does a reading take under each condition?"
    wants: ClassVar[tuple[str, ...]] = ("reader", "case", "condition", "elapsed")
    uses: ClassVar[tuple[str, ...]] = ("repeat",)
    crossed: ClassVar[bool] = True

    def rows(self, table: pd.DataFrame) -> Iterator[dict[str, Any]]:
        """Means, ratios of conditions, ratio of repetitions, readings left out."""
        seconds = numbers(table, "elapsed")
        timed = (seconds > 0) & np.isfinite(seconds)
        if not timed.any():
            raise NotEstimable("no reading has a time above nought")
        known, logs = table[timed], np.log(seconds[timed])
        reader, readers = coded(known["reader"])
        condition, conditions = coded(known["condition"])
        case, _ = coded(known["case"])
        repeat = np.nan_to_num(numbers(known, "repeat")) if "repeat" in known else np.zeros(len(known))
        _, reading = np.unique(np.stack([reader, case, condition]), axis=1, return_inverse=True)
        reading = reading.ravel()
        earliest = np.full(reading.max() + 1, np.inf)
        np.minimum.at(earliest, reading, repeat)
        first = repeat == earliest[reading]
        means = cell_means(logs[first], reader[first], condition[first])
        for k, name in enumerate(conditions):
            yield row(self.title, **of_logs(means[:, k]), group=name)
        for a, b in combinations(range(len(conditions)), 2):
            ratio = of_logs(means[:, a] - means[:, b])
            yield row("ratio of times", **ratio, group=f"{conditions[a]}, {conditions[b]}")
        yield _repeated(logs, reader, reading, first)
        yield row("readings without a time", len(table) - timed.sum(), n=len(readers))


def of_logs(logs: np.ndarray) -> dict[str, Any]:
    """The mean over readers as a time or ratio, with its interval."""
    told = mean_over_readers(logs)
    return told | {name: np.exp(told[name]) for name in ("estimate", "low", "high") if name in told}


def _repeated(logs: np.ndarray, reader: np.ndarray, reading: np.ndarray, first: np.ndarray) -> dict[str, Any]:
    before = cell_means(logs[first], reading[first])
    if first.all():
        return row("ratio of times, second reading to first", why="no reading was repeated")
    change = cell_means(logs[~first] - before[reading[~first]], reader[~first])
    return row("ratio of times, second reading to first", **of_logs(change))
