"""Free text as numbers: a vocabulary of whole words, learned on the training fold, and one number a word.

A word keeps its place: number t of a case is word t of `words(text)`, so what a model says of number t can be
laid on that very word. 0 stands behind the end, 1 for a word that the training fold does not know. A text
that is missing or holds no word is NaN all over, as every missing modality is.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd

from studykit.case import Modality

END, UNKNOWN = "[end]", "[unknown]"
WORD = re.compile(r"\[\w+\]|\w+(?:[.,'/-]\w+)*|[^\w\s]")


def words(text: object) -> list[str]:
    """The words, numbers and signs of a text, in small letters and in order; none where it is missing."""
    return [] if pd.isna(text) else [found.group().casefold() for found in WORD.finditer(str(text))]


def places(text: str) -> list[tuple[int, int]]:
    """Where each of `words(text)` begins and ends in the text itself."""
    return [found.span() for found in WORD.finditer(text)]


@dataclass(frozen=True)
class Text:
    """The fitted encoding. vocabulary: the word of each number; length: T, what is behind is cut off."""

    vocabulary: tuple[str, ...]
    length: int

    @classmethod
    def fit(cls, texts: Iterable[object], least: int = 2, longest: int = 128) -> "Text":
        """Learn from the training fold's texts.

        least: how many of its texts must hold a word. longest: the most words that a text may keep; the
        length is that of the longest training text, if that is shorter.
        """
        split = [words(text) for text in texts]
        counts = Counter(word for text in split for word in set(text))
        known = sorted(word for word, count in counts.items() if count >= least)
        return cls((END, UNKNOWN, *known), max(1, min(longest, max(map(len, split), default=1))))

    def modality(self, name: str) -> Modality:
        """The text modality that this encoding makes."""
        return Modality(name, "text", (self.length,), vocabulary=self.vocabulary)

    def encode(self, texts: Iterable[object]) -> np.ndarray:
        """The texts as (B, T) float32 whole numbers."""
        number = {word: index for index, word in enumerate(self.vocabulary)}
        split = [words(text)[: self.length] for text in texts]
        rows = np.zeros((len(split), self.length), dtype=np.float32)
        for row, text in zip(rows, split, strict=True):
            row[: len(text)] = [number.get(word, 1) for word in text]
            if not text:
                row[:] = np.nan
        return rows

    def to_json(self) -> dict[str, Any]:
        """Plain dictionaries and lists."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Text":
        """The encoding that `to_json` wrote."""
        return cls(tuple(data["vocabulary"]), data["length"])
