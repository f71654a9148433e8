"""Two data sets laid side by side by index: each case is two pictures of two different people.

This is what DRIFA-Net was trained on (Dhar et al., WACV 2025): a picture of one data set and a picture of
another, with one task each. Nobody has both, so neither picture can complete what the other says; a model
that gains from the pair gains from being trained on two tasks, or from leakage.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from studykit.case import Modality, Task
from studykit.catalog import InputError
from studykit.datasets.breast_phantom import BreastPhantom
from studykit.datasets.card import Card
from studykit.datasets.dataset import Dataset


@dataclass(frozen=True)
class UnrelatedPair(Dataset, name="unrelated_pair"):
    """The first picture and the first task of two data sets, named "first" and "second".

    count: how many cases; 0 takes all that can be joined, about as many as the smaller data set has.
    seed: who is joined with whom.

    Whole patients are joined with whole patients, as many as give about equally many cases on both sides,
    and together they are one group. So no patient of either data set stands on two sides of a split; what
    one side has too many is left out.
    """

    first: Dataset = BreastPhantom(in_image=1.0, in_record=0.0)
    second: Dataset = BreastPhantom(in_image=1.0, in_record=0.0, seed=1)
    count: int = 0
    seed: int = 0

    card = Card(
        title="Two data sets joined by index: each case is two different people",
        citation="as DRIFA-Net was trained: Dhar et al. WACV 2025; and those of the two sources",
        licence="those of the two sources",
        label="one task of each source",
        group="whole patients of one side joined with whole patients of the other",
        defects=(
            "nobody has both pictures, and complementary evidence cannot exist",
            "those of the two sources",
        ),
    )
    record = ()

    def __post_init__(self):
        for name, source in self._sources.items():
            if not isinstance(source, Dataset):
                raise InputError(f"'{name}' of unrelated_pair is a data set's spec, not {source!r}.")
        one, other = (
            [getattr(s, key, None) for key in ("name", "folder", "seed")] for s in self._sources.values()
        )
        if one == other:
            raise InputError(self._same_people)
        if self.count < 0:
            raise InputError(f"'count' of unrelated_pair is 0 (all) or more, not {self.count}.")

    @property
    def _same_people(self) -> str:
        return (
            f"Both data sets of unrelated_pair hold the same people ({self.first.name}), who would then "
            "stand on two sides of a split; choose another data set, folder or seed for 'second'."
        )

    @property
    def _sources(self) -> dict[str, Dataset]:
        return {"first": self.first, "second": self.second}

    @property
    def simulated(self) -> bool:  # noqa: D102
        return any(source.simulated for source in self._sources.values())

    @property
    def tasks(self) -> tuple[Task, ...]:  # noqa: D102
        firsts = {name: source.tasks[0] for name, source in self._sources.items()}
        return tuple(replace(task, name=f"{name}_{task.name}") for name, task in firsts.items())

    @property
    def pictures(self) -> tuple[Modality, ...]:  # noqa: D102
        return tuple(replace(source.pictures[0], name=name) for name, source in self._sources.items())

    @cached_property
    def cases(self) -> pd.DataFrame:
        """Besides the contract's columns: `first_case` and `second_case`, the sources' ids."""
        first, second = ({path.resolve() for path in source.files()} for source in self._sources.values())
        if first & second:
            raise InputError(self._same_people)
        draw = np.random.default_rng([self.seed])
        piles = [_by_group(source.cases["group"], draw) for source in self._sources.values()]
        rows = pd.DataFrame(_joined(*piles), columns=["group", "first_case", "second_case"])
        if len(rows) < self.count:
            raise InputError(
                f"Of {self.first.name} and {self.second.name} only {len(rows)} cases can be joined, "
                f"not {self.count}; ask for fewer, or for all with 'count' 0."
            )
        rows = rows.iloc[: self.count or None]
        rows.index = pd.Index([f"pair-{case:04d}" for case in range(len(rows))], name="id")
        for (name, source), task in zip(self._sources.items(), self.tasks, strict=True):
            labels = source.cases[source.tasks[0].name]
            rows[task.name] = labels.loc[rows[f"{name}_case"]].to_numpy()
        return rows

    def picture(self, case: str, modality: str) -> np.ndarray:  # noqa: D102
        source, own = self._own(case, modality)
        return source.picture(own, source.pictures[0].name)

    def pixels(self, case: str, modality: str) -> np.ndarray:  # noqa: D102
        source, own = self._own(case, modality)
        return source.pixels(own, source.pictures[0].name)

    def mask(self, case: str, modality: str) -> np.ndarray:  # noqa: D102
        source, own = self._own(case, modality)
        return source.mask(own, source.pictures[0].name)

    def _own(self, case: str, modality: str) -> tuple[Dataset, str]:
        """The source of a picture, and the case's id there."""
        return self._sources[modality], self.cases.at[case, f"{modality}_case"]

    def planted(self, case: str) -> str:  # noqa: D102
        owned = {name: self._own(case, name) for name in self._sources}
        told = {name: source.planted(own) for name, (source, own) in owned.items()}
        return "; ".join(f"{name}: {words}" for name, words in told.items() if words)

    def evidence(self, case: str) -> Mapping[str, Any]:  # noqa: D102
        owned = {name: self._own(case, name) for name in self._sources}
        told = {name: source.evidence(own) for name, (source, own) in owned.items()}
        firsts = {name: source.pictures[0].name for name, source in self._sources.items()}
        return {name: told[name][first] for name, first in firsts.items() if first in told[name]}

    def sources(self, case: str, modality: str) -> list[Path]:  # noqa: D102
        source, own = self._own(case, modality)
        return source.sources(own, source.pictures[0].name)

    def notes(self) -> list[str]:  # noqa: D102
        own = "Each case is two different people joined by index: complementary evidence cannot exist."
        return list(dict.fromkeys([own, *self.first.notes(), *self.second.notes()]))

    def files(self) -> list[Path]:  # noqa: D102
        return [*self.first.files(), *self.second.files()]

    @cached_property
    def fingerprint(self) -> str:
        """A hash of the sources' fingerprints and of who is joined with whom."""
        digest = hashlib.sha256(json.dumps([self.first.fingerprint, self.second.fingerprint]).encode())
        digest.update(self.cases.to_csv().encode())
        return digest.hexdigest()[:16]


def _by_group(groups: pd.Series, draw: np.random.Generator) -> list[list[str]]:
    """Each group's cases; groups, whatever their size, and cases within a group in random order."""
    mixed = groups.iloc[draw.permutation(len(groups))]
    piles = [rows.index.tolist() for _, rows in mixed.groupby(mixed, sort=True)]
    return [piles[at] for at in draw.permutation(len(piles))]


def _joined(first: list[list[str]], second: list[list[str]]) -> list[tuple[str, str, str]]:
    """Rows (group, case of the first, case of the second); uses the groups up, the last ones first."""
    rows: list[tuple[str, str, str]] = []
    number = 0
    while first and second:
        one, other = first.pop(), second.pop()
        short, more = (one, first) if len(one) < len(other) else (other, second)
        while len(short) < max(len(one), len(other)) and more:
            short += more.pop()
        rows += [(f"pair-{number:04d}", *pair) for pair in zip(one, other, strict=False)]
        number += 1
    return rows
