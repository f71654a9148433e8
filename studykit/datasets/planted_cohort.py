"""Drawn patients of whom it is known where their label shows: in one modality, in another, or in both."""

from collections.abc import Mapping
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from studykit.catalog import InputError
from studykit.datasets.dataset import Dataset

WARNING = "The cohort is simulated; it shows how methods behave, not how patients do."


class PlantedCohort(Dataset):
    """A data set draws its pictures and says what a patient tells; who has what is decided here.

    count, seed: how many cases, and which. label_noise: the share of cases whose given label is the
    wrong one. in_NAME, after the names of the two `holders`: the shares of cases whose label shows there.
    evidence_columns: the columns of the record that can show it.
    """

    simulated = True
    evidence_columns: tuple[str, ...]
    count: int
    label_noise: float
    seed: int

    @property
    def holders(self) -> tuple[str, str]:
        """The two modalities that can show the label; by default the picture and the record."""
        return self.pictures[0].name, "record"

    def told(self, draw: np.random.Generator, positive: bool, shown: bool) -> dict[str, object]:
        """A patient's record and report; where the second holder does not show the label, drawn alike."""
        return {}

    def region(self, case: str, modality: str) -> np.ndarray | tuple[int, ...]:
        """What of a picture (bool), or which words of a text, could show the label; drawn alike."""
        raise NotImplementedError

    def shows(self, case: str, modality: str) -> bool:
        """Whether this holder shows the label of this case."""
        return self.cases.at[case, "evidence"] in (modality, "both")

    def check_shares(self) -> None:
        """InputError for shares that are none, or that leave some cases without evidence."""
        names = (*(f"in_{holder}" for holder in self.holders), "label_noise")
        for name in names:
            if not 0 <= getattr(self, name) <= 1:
                raise InputError(f"'{name}' is a share between 0 and 1, not {getattr(self, name)}.")
        first, second = (getattr(self, name) for name in names[:2])
        if first + second < 1:
            raise InputError(
                f"'{names[0]}' and '{names[1]}' sum to {first + second:g}: some cases would "
                "show their label nowhere; let them sum to 1 or more, and use 'label_noise' for doubt."
            )

    def planted(self, case: str) -> str:  # noqa: D102
        row = self.cases.loc[case]
        both = "both {} and {}".format(*self.holders)
        return f"{row['truth']}, shown by {both if row['evidence'] == 'both' else 'the ' + row['evidence']}"

    def evidence(self, case: str) -> Mapping[str, Any]:  # noqa: D102
        shown = [holder for holder in self.holders if self.shows(case, holder)]
        return {
            holder: self.evidence_columns if holder == "record" else self.region(case, holder)
            for holder in shown
        }

    def notes(self) -> list[str]:  # noqa: D102
        return [WARNING]

    @cached_property
    def cases(self) -> pd.DataFrame:
        """Besides the contract's columns: `truth` (label before noise), `evidence` (where it shows)."""
        draw = np.random.default_rng([self.seed, 1])
        patients: list[int] = []
        while len(patients) < self.count:
            patients += [len(set(patients))] * (2 if draw.random() < 0.2 else 1)
        patients = patients[: self.count]
        rows = pd.DataFrame([self._patient(patient) for patient in patients])
        rows["group"] = [f"patient-{patient:04d}" for patient in patients]
        rows.index = pd.Index([f"phantom-{case:04d}" for case in range(self.count)], name="id")
        wrong = draw.random(self.count) < self.label_noise
        task = self.tasks[0]
        flipped = rows["truth"].map(dict(zip(task.classes, reversed(task.classes), strict=True)))
        rows[task.name] = rows["truth"].where(~wrong, flipped)
        return rows

    def _patient(self, patient: int) -> dict[str, object]:
        draw = np.random.default_rng([self.seed, 2, patient])
        positive, where = bool(draw.random() < 0.5), draw.random()
        one, other = self.holders
        in_one = where < getattr(self, f"in_{one}")
        in_other = where >= 1 - getattr(self, f"in_{other}")
        return {
            "truth": self.tasks[0].classes[positive],
            "evidence": "both" if in_one and in_other else one if in_one else other,
            **self.told(draw, positive, in_other),
        }
