"""DeLong's test: is one reader's area under the ROC curve larger under one condition than under another?

Each reader alone, the cases being a sample: AUC with its interval, and paired differences with
    z = (AUC_a - AUC_b) / sqrt(V_a + V_b - 2 C_ab),
V and C the covariances of placements over positive cases / m plus those over negative cases / n.

DeLong, DeLong & Clarke-Pearson, Biometrics 1988;44:837.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import pandas as pd

from studykit.trust.mrmc import WANTS, reader_differences, reader_rows
from studykit.trust.reader_accuracy import accuracy
from studykit.trust.readings import readings
from studykit.trust.statistic import Statistic


@dataclass(frozen=True)
class DeLong(Statistic, name="delong"):
    """Whether this one reader tells positive from negative cases better under one condition than another.

    positive: the value of truth that is positive; None stands for 1. Intervals and p hold for this reader and
    other cases, at 95 %, and are not corrected for several readers or pairs; `n` counts cases. Where cases of
    one patient were read they move together (Obuchowski 1997).
    """

    title: ClassVar[str] = "DeLong's test of AUCs"
    question: ClassVar[str] = "Does this reader find the disease better under one condition than another?"
    wants: ClassVar[tuple[str, ...]] = WANTS
    uses: ClassVar[tuple[str, ...]] = ("patient",)
    kinds: ClassVar[tuple[str, ...]] = ("ordinal", "interval", "ratio")
    crossed: ClassVar[bool] = True
    positive: Any = None

    def rows(self, table: pd.DataFrame) -> Iterator[dict[str, Any]]:
        """AUC of each reader under each condition, then each reader's differences with z and p."""
        read = readings(table, self.positive)
        found = accuracy(read, "auc", "delong")
        yield from reader_rows(read, found, "AUC")
        yield from reader_differences(read, found, "AUC")
