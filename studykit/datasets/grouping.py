"""Which pictures belong together, so that no split lays them on two sides.

Public sets repeat pictures under several names and seldom say who the patient is. Where an `index.csv`
(columns `file`, `group`) stands beside them, it says which ones belong together; else exact copies do.
"""

import hashlib
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from studykit.catalog import InputError
from studykit.files.picture import read_image
from studykit.files.places import shown
from studykit.files.tables import read_listed

INDEX = "index.csv"


@dataclass(frozen=True)
class Grouping:
    """groups: {case: group}. index: the file that gave them; None where only exact copies are joined."""

    groups: Mapping[str, str]
    index: Path | None = None

    @property
    def files(self) -> list[Path]:
        """The index, where there is one: the groups come from it."""
        return [self.index] if self.index else []

    def notes(self, name: str, root: Path) -> list[str]:
        """What a person should know where near-duplicates are not known; `name` is the data set's."""
        if self.index:
            return []
        extra = sum(count - 1 for count in Counter(self.groups.values()).values())
        return [
            f"{name} has no patient identifiers and no {INDEX} with groups stands in {root}: "
            f"{extra} exact duplicates are kept on one side of a split; near-duplicates are unknown."
        ]


def grouped(root: Path, pictures: Mapping[str, Path]) -> Grouping:
    """The groups of `pictures` ({case: file}), from the index in `root` or else from their pixels.

    Raises InputError for an index that leaves a picture out, and for a picture that cannot be read.
    """
    listed = listed_groups(root, pictures)
    return Grouping(exact_copies(pictures)) if listed is None else Grouping(listed, root / INDEX)


def listed_groups(root: Path, pictures: Mapping[str, Path]) -> dict[str, str] | None:
    """{case: group} by the index in `root`, joined by file name; None where none with groups stands there.

    Raises InputError for an index that cannot be read, that contradicts itself, or that leaves one out.
    """
    index = root / INDEX
    if not index.is_file():
        return None
    table = read_listed(index, ())
    if not {"file", "group"} <= set(table.columns):
        return None
    listed = named_groups(table, index, lambda file: file.name)
    for case, path in pictures.items():
        if path.name not in listed:
            raise InputError(f"{index} gives no group for '{case}'; add its row.")
    return {case: listed[path.name] for case, path in pictures.items()}


def named_groups(table: pd.DataFrame, index: Path, name_of: Callable[[Path], str]) -> dict[str, str]:
    """{name of a picture: group} by the rows of the `index` that have one; `name_of` gives a file's name.

    Raises InputError for an index that gives a picture two groups.
    """
    listed: dict[str, str] = {}
    for file, group in table.loc[table["group"] != "", ["file", "group"]].to_numpy():
        if listed.setdefault(name_of(Path(file)), group) != group:
            name = shown(Path(file).name, 20)
            raise InputError(f"{index} gives {name} two groups; keep one of its rows.")
    return listed


def exact_copies(pictures: Mapping[str, Path]) -> dict[str, str]:
    """{case: group} where pictures with the very same pixels are a group, whatever their files are called."""
    groups = {}
    for case, path in pictures.items():
        pixels = np.asarray(read_image(path).convert("RGB"))
        groups[case] = hashlib.sha256(str(pixels.shape).encode() + pixels.tobytes()).hexdigest()[:12]
    return groups
