"""Two modalities that both always tell the whole label, so that either one alone suffices.

Each modality shows the same bit: a bright or a dark blob somewhere in a speckled picture or volume, or a
marker above or below zero in a record. Whatever method shares a case's answer out between the modalities
must not call either of them indispensable: a model without the one still has all it needs in the other.

These are phantoms: no number measured on them says anything about patients.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from studykit.case import Task
from studykit.catalog import InputError
from studykit.datasets.card import Card
from studykit.datasets.xor_phantom import BitPair


@dataclass(frozen=True)
class RedundantPair(BitPair, name="redundant_pair"):
    """The two classes are equally frequent where `count` is even.

    label_noise: the share of cases whose given label is the wrong one; `truth` keeps the right one.
    """

    label_noise: float = 0.0

    card = Card(
        title="Redundant pair, drawn by studykit: both modalities tell the whole label",
        licence="none needed: no source, no patients",
        citation="drawn by studykit",
        label="planted: the same bit in both modalities, dark or bright, a marker below or above zero",
        group="every case is a patient of its own",
        defects=(
            "where and how large a blob is, the speckle, age and side are drawn alike for both classes",
        ),
    )
    tasks = (Task("label", "binary", ("dark", "bright")),)

    def __post_init__(self):
        super().__post_init__()
        if not 0 <= self.label_noise <= 1:
            raise InputError(f"'label_noise' is a share between 0 and 1, not {self.label_noise}.")

    @cached_property
    def cases(self) -> pd.DataFrame:
        """Besides the contract's columns: `truth` (label before noise), `first_bit`, `second_bit`."""
        wrong = np.random.default_rng([self.seed, 6]).random(self.count) < self.label_noise
        classes, bit = np.array(self.tasks[0].classes), self.bits[:, 0]
        return self.table("pair", label=classes[bit ^ wrong], truth=classes[bit])

    @cached_property
    def bits(self) -> np.ndarray:
        """(cases, 2), one bit twice."""
        bit = np.random.default_rng([self.seed, 1]).permutation(np.arange(self.count) % 2)
        return np.stack([bit, bit], axis=1)

    def planted(self, case: str) -> str:  # noqa: D102
        second = self.pictures[1].name if len(self.pictures) > 1 else "record"
        return f"{self.cases.at[case, 'truth']}, shown by both first and {second}; either alone suffices"
