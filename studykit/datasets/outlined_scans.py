"""Pictures in files, each perhaps with outlines in files of their own: what the papers' 2D sets share."""

from functools import cached_property
from pathlib import Path
from typing import ClassVar

import numpy as np
import pandas as pd

from studykit.case import Modality, Task
from studykit.catalog import InputError, check_choice
from studykit.datasets.dataset import Dataset, find_folder
from studykit.datasets.grouping import INDEX, named_groups
from studykit.files.picture import fractions, read_mask, read_pixels
from studykit.files.places import shown
from studykit.files.tables import read_listed

ROW = " row"  # where in its file a row stands; cells are stripped, so no column of a file is called this


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
            check_choice(f"class of {self.name}", name, self.known_classes)
            if self.classes.count(name) > 1:
                raise InputError(f"'classes' of {self.name} names '{name}' twice; name it once.")

    @property
    def tasks(self) -> tuple[Task, ...]:  # noqa: D102
        kind = "binary" if len(self.classes) == 2 else "multiclass"
        return (Task(self.task, kind, self.classes),)

    @property
    def pictures(self) -> tuple[Modality, ...]:  # noqa: D102
        return (Modality("image", "image", (self.channels, self.size, self.size), absent=self.gray),)

    def picture(self, case: str, modality: str = "image") -> np.ndarray:  # noqa: D102
        return fractions(self.pixels(case, modality))

    def pixels(self, case: str, modality: str = "image") -> np.ndarray:  # noqa: D102
        return read_pixels(self.files_of(case)[0], self.size, self.gray, self.channels)

    def mask(self, case: str, modality: str = "image") -> np.ndarray:  # noqa: D102
        scan, outlines = self.files_of(case)
        return read_mask(outlines, scan, self.size)

    def sources(self, case: str, modality: str = "image") -> list[Path]:  # noqa: D102
        scan, outlines = self.files_of(case)
        return [scan, *outlines]


class ListedScans(OutlinedScans):
    """Outlined scans listed in a CSV table, a row each; rows, pictures, outlines and groups meet by id.

    home: the data set's folder. tables: where its table may stand there. places: where the pictures may
        stand, folders or patterns. ending: the pictures' file ending.
    key, label, together: the table's columns that name the picture (its id), its class, and what keeps
        pictures on one side of a split; an `index.csv` in the folder (columns `file`, `group`) joins more.
    known_columns: what `columns` may name. numbers: those that are numbers. missing: what stands for none.
    all_outlined: whether every picture must have an outline.
    """

    home: ClassVar[str]
    tables: ClassVar[tuple[str, ...]]
    places: ClassVar[tuple[str, ...]]
    ending: ClassVar[str] = ".png"
    key: ClassVar[str]
    label: ClassVar[str]
    together: ClassVar[str]
    known_columns: ClassVar[tuple[str, ...]]
    numbers: ClassVar[tuple[str, ...]] = ()
    missing: ClassVar[tuple[str, ...]] = ("",)
    all_outlined: ClassVar[bool] = False
    folder: str
    columns: tuple[str, ...]

    def __post_init__(self):
        self.check_classes()
        self.card.check_columns(self.columns)
        for column in self.columns:
            check_choice(f"column of {self.name}", column, self.known_columns)
            if self.columns.count(column) > 1:
                raise InputError(f"'columns' of {self.name} names '{column}' twice; name it once.")

    def outline_of(self, scan: Path) -> Path:
        """Where the outline of the picture `scan` would stand."""
        raise NotImplementedError

    @property
    def record(self) -> tuple[str, ...]:  # noqa: D102
        return self.columns

    @cached_property
    def _root(self) -> Path:
        return find_folder(self.folder, self.home)

    @cached_property
    def _table_file(self) -> Path:
        found = [self._root / name for name in self.tables if (self._root / name).is_file()]
        if not found:
            raise InputError(f"No table stands in {self._root}; put {' or '.join(self.tables)} there.")
        return found[0]

    @cached_property
    def _scans(self) -> dict[str, Path]:
        """{id: picture}, all that stand there."""
        found: dict[str, Path] = {}
        for place in self.places:
            for path in sorted(self._root.glob(f"{place}/[!.]*{self.ending}")):
                if path.stem in found:
                    raise InputError(f"{path} stands also in {found[path.stem].parent}; remove one of them.")
                found[path.stem] = path
        return found

    @cached_property
    def _table(self) -> pd.DataFrame:
        """The table's cells as text by id, with ROW; every row has its picture and a known class."""
        table = read_listed(self._table_file, (self.key, self.label, self.together, *self.columns))
        table.insert(0, ROW, [f"Row {row} of {self._table_file.name}" for row in table.index])
        table.index = pd.Index([name.removesuffix(self.ending) for name in table[self.key]], name="id")
        twice = table.index.duplicated()
        if twice.any():
            row = table[twice].iloc[0]
            name = shown(row[self.key], 20)
            raise InputError(f"{row[ROW]} lists {name} once more; remove one of its rows.")
        for case, row in table.iterrows():
            self._check_row(str(case), row)
        for case in sorted(self._scans.keys() - set(table.index)):
            raise InputError(
                f"The image {self._scans[case]} has no row in {self._table_file.name}; "
                "add the row or remove the image."
            )
        return table.sort_index()

    def _check_row(self, case: str, row: pd.Series) -> None:
        if case not in self._scans:
            raise InputError(
                f"{row[ROW]} lists {shown(row[self.key], 20)}, but no {self.ending} of that name stands in "
                f"{' or '.join(self.places)} of {self._root}; restore the image or remove the row."
            )
        if self.all_outlined and not self.outline_of(self._scans[case]).is_file():
            raise InputError(
                f"The image {case} ({row[ROW]}) has no mask; restore {self.outline_of(self._scans[case])}."
            )
        if row[self.label] not in ("", *self.known_classes):
            raise InputError(
                f"{row[ROW]} gives {shown(row[self.label], 20)} as {self.label}; it is one of "
                f"{', '.join(self.known_classes)}, or nothing where not known."
            )
        if not row[self.together]:
            raise InputError(f"{row[ROW]} has no {self.together}; fill it in, folds are made by it.")

    def _values(self, column: str) -> pd.Series:
        """A column of the record: numbers or words, NaN where missing."""
        cells = self._table[column]
        cells = cells.mask(cells.isin(self.missing))
        if column not in self.numbers:
            return cells
        values = pd.to_numeric(cells, errors="coerce").astype(float)
        wrong = cells.notna() & ~np.isfinite(values)
        if wrong.any():
            row = self._table[wrong].iloc[0]
            raise InputError(
                f"{row[ROW]} gives no number as {column}; write one, or nothing where not known."
            )
        return values

    @property
    def _index_file(self) -> Path:
        return self._root / INDEX

    @property
    def _groups(self) -> pd.Series:
        groups = self._table[self.together]
        if not self._index_file.is_file():
            return groups
        index = read_listed(self._index_file, ("file", "group"))
        listed = named_groups(index, self._index_file, lambda file: file.stem)
        return joined(groups, groups.index.to_series().map(listed))

    @cached_property
    def cases(self) -> pd.DataFrame:  # noqa: D102
        labels = self._table[self.label]
        record = {column: self._values(column) for column in self.columns}
        cases = pd.DataFrame({"group": self._groups, **record, self.task: labels.mask(labels == "")})
        return cases[labels.isin(("", *self.classes))]

    def files_of(self, case: str) -> tuple[Path, list[Path]]:  # noqa: D102
        scan = self._scans[case]
        outline = self.outline_of(scan)
        return scan, [outline] if outline.is_file() else []

    def files(self) -> list[Path]:  # noqa: D102
        index = [self._index_file] if self._index_file.is_file() else []
        return [self._table_file, *index, *super().files()]

    def notes(self) -> list[str]:  # noqa: D102
        without = sum(not self.files_of(case)[1] for case in self.cases.index)
        if without in (0, len(self.cases)):
            return []
        return [f"{without} of {len(self.cases)} cases of {self.name} have no outline: an empty mask."]


def joined(first: pd.Series, second: pd.Series) -> pd.Series:
    """One group for all that share a value of either, directly or through others; NaN shares with none.

    Each group is called by its smallest value of `first`.
    """
    while True:
        wider = first.groupby(second).transform("min").fillna(first).groupby(first).transform("min")
        if wider.equals(first):
            return first
        first = wider
