"""Drawn patients of whom it is known where their label shows: in the picture, in the record, or in both."""

from functools import cached_property

import numpy as np
import pandas as pd

from studykit.catalog import InputError
from studykit.datasets.dataset import Dataset

WARNING = "The cohort is simulated; it shows how methods behave, not how patients do."


class PlantedCohort(Dataset):
    """A data set draws its one picture and says what a patient tells; who has what is decided here.

    count, seed: how many cases, and which. label_noise: the share of cases whose given label is the
    wrong one. in_record, and in_NAME after the picture's name: the shares of cases whose label shows there.
    evidence_columns: the columns of the record that can show it.
    """

    simulated = True
    evidence_columns: tuple[str, ...]
    count: int
    in_record: float
    label_noise: float
    seed: int

    def told(self, draw: np.random.Generator, positive: bool, shown: bool) -> dict[str, object]:
        """A patient's record; where the label is not `shown` in it, drawn alike for both classes."""
        raise NotImplementedError

    def check_shares(self) -> None:
        """InputError for shares that are none, or that leave some cases without evidence."""
        names = (f"in_{self._seen}", "in_record", "label_noise")
        for name in names:
            if not 0 <= getattr(self, name) <= 1:
                raise InputError(f"'{name}' is a share between 0 and 1, not {getattr(self, name)}.")
        seen, told = (getattr(self, name) for name in names[:2])
        if seen + told < 1:
            raise InputError(
                f"'{names[0]}' and 'in_record' sum to {seen + told:g}: some cases would "
                "show their label nowhere; let them sum to 1 or more, and use 'label_noise' for doubt."
            )

    @property
    def _seen(self) -> str:
        return self.pictures[0].name

    def planted(self, case: str) -> str:  # noqa: D102
        row = self.cases.loc[case]
        both = f"both {self._seen} and record"
        return f"{row['truth']}, shown by {both if row['evidence'] == 'both' else 'the ' + row['evidence']}"

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
        seen = where < getattr(self, f"in_{self._seen}")
        told = where >= 1 - self.in_record
        return {
            "truth": self.tasks[0].classes[positive],
            "evidence": "both" if seen and told else self._seen if seen else "record",
            **self.told(draw, positive, told),
        }
