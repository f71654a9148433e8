"""Pictures sorted into folders by what they show, without outline or record: the folder is the label."""

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import ClassVar

import pandas as pd

from studykit.catalog import InputError
from studykit.datasets.dataset import find_folder
from studykit.datasets.grouping import Grouping, grouped
from studykit.datasets.outlined_scans import OutlinedScans

PICTURES = (".jpg", ".jpeg", ".png")


class GroupedScans(OutlinedScans):
    """Pictures of which an index, or else their pixels, say which belong together.

    home: the name of the data set's folder. _scans: {case: (picture, what else is known of it)}.
    """

    home: ClassVar[str]
    folder: str
    _scans: Mapping[str, tuple[Path, object]]

    def __post_init__(self):
        self.check_classes()

    @cached_property
    def _root(self) -> Path:
        return find_folder(self.folder, self.home)

    @cached_property
    def _grouping(self) -> Grouping:
        return grouped(self._root, {case: path for case, (path, _) in self._scans.items()})

    def notes(self) -> list[str]:  # noqa: D102
        return self._grouping.notes(self.home, self._root)

    def files(self) -> list[Path]:  # noqa: D102
        return [*self._grouping.files, *super().files()]


class ClassFolders(GroupedScans):
    """A data set says what its folders are called; a case's id is its file's name without the ending.

    places: the folders in it that hold class folders. named: {class: the name of its folder}.
    """

    places: ClassVar[tuple[str, ...]]
    named: ClassVar[Mapping[str, str]]

    @cached_property
    def _scans(self) -> dict[str, tuple[Path, str]]:
        """{case: (picture, class)}; InputError for a class without pictures and for a name used twice."""
        found: dict[str, tuple[Path, str]] = {}
        for place in self.places:
            for name in self.classes:
                for path in _pictures(self._root / place / self.named[name], self.home):
                    if path.stem in found:
                        raise InputError(
                            f"Two pictures of {self.home} are named '{path.stem}' ({found[path.stem][0]} "
                            f"and {path}); give one another name."
                        )
                    found[path.stem] = (path, name)
        return found

    def files_of(self, case: str) -> tuple[Path, list[Path]]:  # noqa: D102
        return self._scans[case][0], []

    @cached_property
    def cases(self) -> pd.DataFrame:  # noqa: D102
        groups = self._grouping.groups
        rows = [{"id": c, "group": groups[c], self.task: name} for c, (_, name) in self._scans.items()]
        return pd.DataFrame(rows).set_index("id")

    def notes(self) -> list[str]:  # noqa: D102
        told = super().notes()
        mixed = self.cases.groupby("group")[self.task].nunique() > 1
        if mixed.any():
            told.append(
                f"{mixed.sum()} of {len(mixed)} groups of {self.home} hold pictures of more than one class."
            )
        return told


def _pictures(folder: Path, home: str) -> list[Path]:
    """The pictures in one class folder, by name."""
    if not folder.is_dir():
        raise InputError(f"The class folder {folder} of {home} is missing; restore it.")
    found = sorted(path for path in folder.glob("[!.]*") if path.suffix.lower() in PICTURES)
    if not found:
        raise InputError(f"The class folder {folder} of {home} holds no .jpg or .png; restore its pictures.")
    return found
