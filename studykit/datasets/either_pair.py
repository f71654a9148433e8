"""Two modalities of which, in each case, exactly one tells the label: here the first, there the second.

The telling one shows the label's bit: a bright or a dark blob in a speckled picture or volume, or a marker
well above or below zero in a record. The other one shows nothing: speckle without a blob, or a marker near
zero, drawn alike for both classes. How much of a model's answers hangs on the first modality must follow the
share of cases that tell their label there, up to all or nothing at the ends.

A blob is smaller and clearer than in xor_phantom and redundant_pair: a patch of a quarter of the side holds
most of it. What is spread over many patches is not missed when one of them is taken away.

These are phantoms: no number measured on them says anything about patients.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from studykit.case import Task
from studykit.catalog import InputError
from studykit.datasets.card import Card
from studykit.datasets.xor_phantom import BitPair


@dataclass(frozen=True)
class EitherPair(BitPair, name="either_pair"):
    """The classes are balanced, to a case, among the cases told by the first and by the second modality.

    in_first: the share of cases whose label shows in the first modality, exact to half a case; the others
    show theirs in the second. label_noise: the share of cases whose given label is the wrong one; `truth`
    keeps the right one. Cohorts of one seed and different shares have the same labels and speckle, and blobs
    at the same places; the mask of a picture that shows none is empty.
    """

    in_first: float = 0.5
    label_noise: float = 0.0

    widths, least, height = (0.06, 0.08), 0.8, 0.5
    card = Card(
        title="Either-or pair, drawn by studykit: one modality or the other tells the label, never both",
        licence="none needed: no source, no patients",
        citation="drawn by studykit",
        label="planted: a bit in one of the modalities, dark or bright, a marker below or above zero",
        group="every case is a patient of its own",
        defects=(
            "where and how large a blob is, the speckle, a marker that tells nothing, age and side are drawn "
            "alike for both classes",
        ),
    )
    tasks = (Task("label", "binary", ("dark", "bright")),)

    def __post_init__(self):
        super().__post_init__()
        for name in ("in_first", "label_noise"):
            if not 0 <= getattr(self, name) <= 1:
                raise InputError(f"'{name}' is a share between 0 and 1, not {getattr(self, name)}.")

    @cached_property
    def cases(self) -> pd.DataFrame:
        """Besides the contract's columns: `truth` (label before noise), `evidence` (where it shows)."""
        wrong = np.random.default_rng([self.seed, 6]).random(self.count) < self.label_noise
        classes, bit = np.array(self.tasks[0].classes), self.bits[:, 0]
        holders = np.array(["first", "record" if self.record else "second"])
        where = holders[self.shown.argmax(axis=1)]
        rows = self.table("either", label=classes[bit ^ wrong], truth=classes[bit], evidence=where)
        if self.record:
            silent = np.random.default_rng([self.seed, 7]).uniform(-0.1, 0.1, self.count).round(3)
            rows["Marker"] = rows["Marker"].where(self.shown[:, 1], silent)
        return rows.drop(columns=["first_bit", "second_bit"])

    @cached_property
    def bits(self) -> np.ndarray:
        """(cases, 2), one bit twice, shown once."""
        bit = np.empty(self.count, dtype=int)
        bit[self._order] = np.arange(self.count) % 2
        return np.stack([bit, bit], axis=1)

    @cached_property
    def shown(self) -> np.ndarray:  # noqa: D102
        first = np.zeros(self.count, dtype=bool)
        first[self._order[: round(self.in_first * self.count)]] = True
        return np.stack([first, ~first], axis=1)

    @property
    def _order(self) -> np.ndarray:
        """The cases in random order, bits in turn; the first ones show theirs in the first modality."""
        return np.random.default_rng([self.seed, 1]).permutation(self.count)

    def evidence(self, case: str) -> Mapping[str, Any]:  # noqa: D102
        where = self.cases.at[case, "evidence"]
        return {where: super().evidence(case)[where]}

    def planted(self, case: str) -> str:  # noqa: D102
        return "{truth}, shown by {evidence} alone".format(**self.cases.loc[case])
