"""A person's own cases: a folder with a table, a row each, and the pictures that the table names.

FOLDER/cases.csv (or .tsv, .xlsx, .parquet) has the columns `id` (one name a case), `patient` (whose cases
stay on one side of a split; without it each case counts as a patient), `label` (what is to be predicted) and
any more. A cell of a picture's column is a path below FOLDER, empty where the case lacks the picture: .png,
.jpg or .tif is an image; .nii, .nii.gz, .dcm or a folder of DICOM slices a volume. A column `X_mask` (or
`mask`, where there is one picture) names the outline of picture X. Columns of long texts, or of paths to .txt
files, are texts. What remains is the record: numbers and categories ("a&b" is both). A label is the name of
a class, "a&b" for several ("none" for none of them), or a number; empty for a case that is only looked at.

What each column is for is inferred; what looks like an identifier or reads out the label is left out.
`inferred(folder)` tells it with reasons; FOLDER/cases.json confirms or overrules it (see own_columns.py).
Nothing outside of FOLDER is opened.
"""

from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from studykit.case import Modality, Task
from studykit.catalog import InputError, check_choice
from studykit.datasets.card import Card
from studykit.datasets.dataset import Dataset
from studykit.datasets.own_columns import PICTURES, Columns
from studykit.datasets.own_table import OwnTable, read_own
from studykit.files.picture import fractions, read_mask, read_pixels, shows_colour
from studykit.files.places import files_in
from studykit.files.volume import Volume, apart, fitted, read_volume, windowed

LOOKED = 8  # pictures that decide whether a column shows colours, or CT
AIR = -500.0  # a volume with values below it is CT in Hounsfield units, and seen in this window:
CT = (-1000.0, 400.0)
NEAR = 0.1  # voxels that the corners of a volume and of its outline may lie apart


@dataclass(frozen=True)
class OwnFolder(Dataset, name="own_folder"):
    """Your own cases: FOLDER/cases.csv and the files that it names.

    folder: where it stands. table: its table's name, where there is more than one.
    classes: of the main task, only these (all by default).
    size: pixels of an image's sides; what lies beside it is `absent`, and so is the image of a case without.
    depth, volume_size: slices of a volume and pixels of their sides. spacing: mm between them in all
        directions; 0 fits the whole volume into the sides.
    window: the (low, high) values of a volume that become black and white. By default -1000 to 400 for a
        column where most of the first volumes have values below -500 (CT in Hounsfield units), else each
        volume's own 0.5 and 99.5 percentiles.
    """

    folder: str = ""
    table: str = ""
    classes: tuple[str, ...] = ()
    size: int = 128
    depth: int = 16
    volume_size: int = 64
    spacing: float = 0.0
    window: tuple[float, ...] = ()
    absent: float = 0.0

    card = Card(
        title="Your own folder of cases",
        citation="whoever collected the cases",
        licence="what the patients and the ethics committee agreed to; nothing is sent anywhere",
        label="the column 'label', or the tasks that cases.json names",
        group="the column 'patient'; without it each case counts as a patient of its own",
        defects=("columns' kinds may be inferred: confirm them with 'python -m studykit check FOLDER'",),
    )

    def __post_init__(self):
        for name in ("size", "depth", "volume_size"):
            if getattr(self, name) < 1:
                raise InputError(f"'{name}' of own_folder is 1 or more, not {getattr(self, name)}.")
        if not 0 <= self.absent <= 1 or not 0 <= self.spacing < np.inf:
            raise InputError("'absent' of own_folder lies between 0 and 1, and 'spacing' is 0 or some mm.")
        if self.window and (len(self.window) != 2 or not self.window[0] < self.window[1]):
            raise InputError(f"'window' of own_folder is [low, high] or empty, not {list(self.window)}.")

    @cached_property
    def _own(self) -> OwnTable:
        return read_own(self.folder, self.table)

    @property
    def settled(self) -> Columns:
        """What each column of the table is for."""
        return self._own.columns

    @property
    def refused(self) -> dict[str, str]:
        """The columns that are not used, and why."""
        return dict(self.settled.refused)

    @cached_property
    def tasks(self) -> tuple[Task, ...]:  # noqa: D102
        first, *others = self.settled.tasks
        if not self.classes:
            return (first, *others)
        if first.kind not in ("binary", "multiclass"):
            raise InputError(f"'classes' of own_folder cannot choose: '{first.name}' is {first.kind}.")
        for name in self.classes:
            check_choice(f"class of '{first.name}'", name, first.classes)
        return (Task(first.name, "binary" if len(self.classes) == 2 else "multiclass", self.classes), *others)

    @cached_property
    def pictures(self) -> tuple[Modality, ...]:  # noqa: D102
        return tuple(self._modality(column) for column in self.settled.of_kind(*PICTURES))

    @property
    def record(self) -> tuple[str, ...]:  # noqa: D102
        return self.settled.of_kind("number", "category")

    @property
    def texts(self) -> tuple[str, ...]:  # noqa: D102
        return self.settled.of_kind("text")

    @cached_property
    def cases(self) -> pd.DataFrame:  # noqa: D102
        own, kinds = self._own, self.settled.kinds
        found = {"group": own.groups}
        for task in self.tasks:
            read = {"regression": own.numbers, "multilabel": own.labels}.get(task.kind, own.words)
            found[task.name] = read(task.name)
        for column in self.record:
            found[column] = own.numbers(column) if kinds[column] == "number" else own.words(column)
        found.update({column: own.texts(column) for column in self.texts})
        own.paths  # noqa: B018 - a path that cannot be is told here, with its row
        cases = pd.DataFrame(found).sort_index()
        first = cases[self.tasks[0].name]
        return cases[first.isna() | first.isin(self.classes)] if self.classes else cases

    def picture(self, case: str, modality: str) -> np.ndarray:  # noqa: D102
        return fractions(self.pixels(case, modality))

    def pixels(self, case: str, modality: str) -> np.ndarray:  # noqa: D102
        about, path = self._about[modality], self._own.paths[modality][case]
        if path is None:
            return np.full(about.shape, np.nan, dtype=np.float32)
        if about.kind == "image":
            return read_pixels(path, self.size, self.absent, about.shape[0])
        volume = read_volume(path)
        low, high = self.window_of(modality) or _percentiles(volume.values)
        fill = low + self.absent * (high - low)
        return windowed(fitted(volume, about.shape[1:], self.spacing, fill), low, high)[None]

    def window_of(self, modality: str) -> tuple[float, ...]:  # noqa: D102
        return (self.window or self._windows[modality]) if self._about[modality].kind == "volume" else ()

    def mask(self, case: str, modality: str) -> np.ndarray:  # noqa: D102
        about, outline = self._about[modality], self._outline(case, modality)
        if outline is None:
            return np.zeros(about.shape[1:], dtype=bool)
        path = self._own.paths[modality][case]
        if about.kind == "image":
            return read_mask([outline], path, self.size)
        volume, drawn = read_volume(path), read_volume(outline)
        if drawn.values.shape != volume.values.shape:
            raise InputError(
                f"The mask {outline} has {_sides(drawn)} voxels and its volume {path.name} {_sides(volume)}; "
                "export the mask on the grid of the volume."
            )
        distance = apart(volume, drawn)
        if distance > NEAR:
            raise InputError(
                f"The mask {outline} lies elsewhere than its volume {path.name}, by up to {distance:.1f} "
                "voxels; export the mask on the grid of the volume."
            )
        inside = Volume((drawn.values > 0).astype(np.float32), volume.spacing)
        return fitted(inside, about.shape[1:], self.spacing, order=0) > 0.5

    def sources(self, case: str, modality: str) -> list[Path]:  # noqa: D102
        named = (self._own.paths[modality][case], self._outline(case, modality))
        found = [files_in(path, case) if path.is_dir() else [path] for path in named if path]
        return [file for files in found for file in files]

    def files(self) -> list[Path]:  # noqa: D102
        return [self._own.file, *self._own.settled, *super().files()]

    def notes(self) -> list[str]:  # noqa: D102
        told, file = [], self._own.file.name
        if not self.settled.patient:
            told.append(
                f"{file} names no patients, so each case counts as one; two cases of one person may stand on "
                "both sides of a split."
            )
        if self.refused:
            listed = "; ".join(f"'{column}': {why}" for column, why in self.refused.items())
            told.append(f"Columns of {file} that are not used: {listed}.")
        for column in self.settled.of_kind("volume"):
            window = self.window_of(column)
            seen = "each volume is seen from its own 0.5 to its own 99.5 percentile"
            if window:
                units = " (Hounsfield units)" if window == CT else ""
                seen = f"seen from {window[0]:g} to {window[1]:g}{units}"
            told.append(f"Column '{column}': {seen}.")
        return told

    @cached_property
    def _about(self) -> dict[str, Modality]:
        return {modality.name: modality for modality in self.pictures}

    def _outline(self, case: str, modality: str) -> Path | None:
        column = self.settled.outline(modality)
        return self._own.paths[column][case] if column else None

    def _modality(self, column: str) -> Modality:
        kind = self.settled.kinds[column]
        if kind == "volume":
            shape = (1, self.depth, self.volume_size, self.volume_size)
            steps = (float(self.spacing),) * 3 if self.spacing else ()
            return Modality(column, "volume", shape, absent=self.absent, spacing=steps)
        colour = kind == "colour image"
        if kind == "image":
            first = [shows_colour(path) for path in self._first(column)]
            colour = 2 * sum(first) > len(first)  # some scanners tint some of their gray pictures
        return Modality(column, "image", (3 if colour else 1, self.size, self.size), absent=self.absent)

    @cached_property
    def _windows(self) -> dict[str, tuple[float, ...]]:
        """{column of volumes: CT, or () for each volume's own}, as most of the first readable ones are."""
        found = {}
        for column in self.settled.of_kind("volume"):
            air = []
            for path in self._first(column):
                with suppress(InputError):  # a broken one is told where it is to be seen
                    air.append(read_volume(path).values.min() < AIR)
            found[column] = CT if 2 * sum(air) > len(air) else ()
        return found

    def _first(self, column: str) -> list[Path]:
        """The pictures that decide what the whole column is like."""
        return [path for _, path in sorted(self._own.paths[column].items()) if path][:LOOKED]


def inferred(folder: Path | str, table: str = "") -> dict[str, Any]:
    """What cases.json of the folder would hold: what it holds already, and a proposal for the rest.

    "reasons" and "refused" say of each column why. Raises InputError as the data set does.
    """
    own = OwnFolder(folder=str(folder), table=table)
    told = own.settled.to_json()
    for modality in own.pictures:
        if modality.kind == "image":
            told["columns"][modality.name] = f"{'colour' if modality.shape[0] == 3 else 'gray'} image"
    return told


def _percentiles(values: np.ndarray) -> tuple[float, float]:
    """See `OwnFolder.window`; of about a million voxels."""
    low, high = np.percentile(values.ravel()[:: values.size // 2**20 | 1], [0.5, 99.5])
    return float(low), float(high) if high > low else float(low) + 1


def _sides(volume: Volume) -> str:
    return "x".join(map(str, volume.values.shape))
