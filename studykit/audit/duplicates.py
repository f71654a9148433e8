"""Which pictures are the same pixel for pixel, and do they stand in one group with one label?"""

from collections.abc import Iterator
from dataclasses import dataclass

import pandas as pd

from studykit.audit.check import Check, Finding
from studykit.audit.looked import Looked, plural, some


@dataclass(frozen=True)
class Duplicates(Check, name="duplicates"):
    """Pictures are compared as the model sees them; near-duplicates are not looked for.

    shown: the most sets of copies that a sentence names.

    Copies of one patient's picture are a fact; of different patients, or with different labels, a problem.
    A finding's value is the number of pictures that have copies.
    """

    shown: int = 20

    title = "Pictures that are the same pixel for pixel"

    def __call__(self, looked: Looked) -> Iterator[Finding]:  # noqa: D102
        for modality in looked.dataset.pictures:
            same = copies(looked, modality.name)
            if not same:
                yield Finding("fact", modality.name, "no two pictures are the same.", (), 0)
            apart = [ids for ids in same if looked.patients(ids) != 1]
            together = [ids for ids in same if looked.patients(ids) == 1]
            says = "stand in one group, so no split parts them."
            yield from self._told("fact", modality.name, together, says)
            says = (
                "belong to different patients, so a split may part them; give them one group, or remove them."
            )
            yield from self._told("problem", modality.name, apart, says)
            for task in looked.dataset.tasks:
                differ = [ids for ids in same if looked.cases.loc[ids, task.name].nunique() > 1]
                says = f"have different labels of {task.name}; find out which is right, or remove them."
                yield from self._told("problem", modality.name, differ, says)

    def _told(self, level: str, modality: str, same: list[list[str]], says: str) -> Iterator[Finding]:
        if same:
            ids = [case for cases in same for case in cases]
            sets = [" = ".join(cases) for cases in same]
            says = f"copies of {plural(len(same), 'picture')} {says} They are {some(sets, self.shown)}."
            yield Finding(level, modality, says, ids, len(same))


def copies(looked: Looked, modality: str) -> list[list[str]]:
    """The cases whose pictures are the same, a list for each picture that has copies; blank ones left out."""
    rows = looked.pictures
    rows = rows[(rows["modality"] == modality) & (rows["digest"] != "")]
    groups: list[pd.Series] = [cases for _, cases in rows.groupby("digest", sort=False)["case"]]
    return [cases.tolist() for cases in groups if len(cases) > 1]
