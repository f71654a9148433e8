"""Pictures in files, each perhaps with outlines in files of their own: what the papers' 2D sets share."""

from pathlib import Path
from typing import ClassVar

import numpy as np

from studykit.case import Modality, Task
from studykit.catalog import InputError, unknown
from studykit.datasets.dataset import Dataset
from studykit.datasets.picture import read_mask, read_picture


class OutlinedScans(Dataset):
    """A data set says where its files are; reading and fitting them into a square is done here.

    gray: the pictures' mean brightness: what stands for one that shows nothing, and for what lies beside
        one. channels: 1 (gray) or 3 (colour). task: its name. known_classes: what `classes` may name.
    """

    gray: ClassVar[float]
    channels: ClassVar[int] = 1
    task: ClassVar[str] = "lesion"
    known_classes: ClassVar[tuple[str, ...]] = ("benign", "malignant", "normal")
    classes: tuple[str, ...]
    size: int

    def files_of(self, case: str) -> tuple[Path, list[Path]]:
        """The picture of a case and its outlines (perhaps none)."""
        raise NotImplementedError

    def check_classes(self) -> None:
        """InputError for a class that the data set does not have."""
        for name in self.classes:
            if name not in self.known_classes:
                raise InputError(unknown(f"class of {self.name}", name, self.known_classes))

    @property
    def tasks(self) -> tuple[Task, ...]:  # noqa: D102
        kind = "binary" if len(self.classes) == 2 else "multiclass"
        return (Task(self.task, kind, self.classes),)

    @property
    def pictures(self) -> tuple[Modality, ...]:  # noqa: D102
        return (Modality("image", "image", (self.channels, self.size, self.size), absent=self.gray),)

    def picture(self, case: str, modality: str = "image") -> np.ndarray:  # noqa: D102
        return read_picture(self.files_of(case)[0], self.size, self.gray, self.channels)

    def mask(self, case: str, modality: str = "image") -> np.ndarray:  # noqa: D102
        scan, outlines = self.files_of(case)
        return read_mask(outlines, scan, self.size)

    def sources(self, case: str, modality: str = "image") -> list[Path]:  # noqa: D102
        scan, outlines = self.files_of(case)
        return [scan, *outlines]
