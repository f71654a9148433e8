"""The record as numbers: what is fitted on the training fold, and how a case's row is written with it.

A number becomes (x - mean) / sd of the training fold. A word becomes one 0/1 column for each value
that the training fold knows; "a&b" sets both. Where a value is missing, its columns are 0 and a column
"source=missing" is 1, so that a model can tell "no" from "not known". A record of which nothing is known
is `absent`: every indicator 1, everything else 0.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd

from studykit.case import Modality
from studykit.catalog import InputError


@dataclass(frozen=True)
class Record:
    """The fitted encoding.

    numbers: {column: (mean, sd)}; words: {column: values}; missing: columns with an indicator.
    """

    numbers: dict[str, tuple[float, float]]
    words: dict[str, tuple[str, ...]]
    missing: tuple[str, ...]

    @classmethod
    def fit(cls, rows: pd.DataFrame) -> "Record":
        """Learn scaling, values and missingness from the training fold's rows."""
        numbers, words = {}, {}
        for column in rows:
            seen = rows[column].dropna()
            if pd.api.types.is_numeric_dtype(rows[column]):
                sd = float(seen.std(ddof=0)) if len(seen) else 0.0
                numbers[column] = (float(seen.mean()) if len(seen) else 0.0, sd or 1.0)
            else:
                words[column] = tuple(sorted({w for cell in seen for w in str(cell).split("&")}))
        missing = tuple(column for column in rows if rows[column].isna().any())
        return cls(numbers, words, missing)

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of the F columns that `encode` gives, in order."""
        named = list(self.numbers)
        named += [f"{column}={word}" for column, values in self.words.items() for word in values]
        return tuple(named + [f"{column}=missing" for column in self.missing])

    @property
    def modality(self) -> Modality:
        """The table modality "record" that this encoding makes."""
        absent = tuple(float(column.endswith("=missing")) for column in self.columns)
        return Modality("record", "table", (len(self.columns),), self.columns, absent)

    def encode(self, rows: pd.DataFrame) -> np.ndarray:
        """The rows as (B, F) float32; a value that the training fold never saw sets no column."""
        parts: list[np.ndarray] = []
        for column, (mean, sd) in self.numbers.items():
            values = pd.to_numeric(rows[column], errors="coerce").to_numpy(dtype=float)
            parts.append(np.nan_to_num((values - mean) / sd))
        for column, values in self.words.items():
            cells = [set() if pd.isna(cell) else set(str(cell).split("&")) for cell in rows[column]]
            parts += [np.array([word in cell for cell in cells]) for word in values]
        parts += [rows[column].isna().to_numpy() for column in self.missing]
        if not parts:
            raise InputError("The record has no columns; name at least one in the recipe's dataset.")
        return np.stack(parts, axis=1).astype(np.float32)

    def to_json(self) -> dict[str, Any]:
        """Plain dictionaries and lists."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Record":
        """The encoding that `to_json` wrote."""
        numbers = {column: (mean, sd) for column, (mean, sd) in data["numbers"].items()}
        words = {column: tuple(values) for column, values in data["words"].items()}
        return cls(numbers, words, tuple(data["missing"]))
