"""What is missing, and does its being missing give the label away?

A model sees that something is missing. Where one class lacks it more often than the others, the model can
answer from that alone (of PAD-UFES-20's questionnaire, say, which no cancer lacks) and looks right for a
reason that no clinic shares.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import pandas as pd
from scipy.stats import fisher_exact

from studykit.audit.check import LEVELS, Check, Finding
from studykit.audit.looked import Looked, some
from studykit.datasets.text import words

STANDS_FOR_MISSING = {"?", "-", "--", "n/a", "na", "nan", "none", "null", "unk", "unknown", "not available",
                      "not known", "not specified", "missing"}  # fmt: skip


@dataclass(frozen=True)
class Missing(Check, name="missing"):
    """The rule, for each class against all others, counted in patients.

    A patient lacks a thing where any of their cases does. By chance the shares lacking it would differ as
    much as they do with the probability p (Fisher's exact test, times the number of comparisons).

    problem: p is below `certain`, and the shares differ by `gap` or more, or one is 0 or 1.
    note: p is below `likely`, and the shares differ by `slight` or more.

    A finding's value is the difference d of the shares, class minus others; as a score, being missing alone
    has an AUROC of (1 + |d|) / 2. Columns that are missing in the very same cases are told together.
    """

    gap: float = 0.25
    slight: float = 0.1
    certain: float = 0.001
    likely: float = 0.01

    title = "What is missing, and whether that gives the label away"

    def __call__(self, looked: Looked) -> Iterator[Finding]:  # noqa: D102
        lacks = absences(looked)
        whole = [name for name, lack in lacks.items() if not lack.any()]
        if whole:
            subject = "all" if len(whole) == len(lacks) else "all others"
            yield Finding("fact", subject, f"nothing is missing in {some(whole, 50)}.", (), 0.0)
        together: dict[bytes, list[str]] = {}
        for name, lack in lacks.items():
            if lack.any():
                together.setdefault(lack.to_numpy(dtype=bool).tobytes(), []).append(name)
        for names in together.values():
            yield from self._tell(looked, names, lacks[names[0]])
        for column in looked.dataset.record:
            cells = looked.cases[column].dropna()
            hidden = cells.index[cells.map(lambda cell: str(cell).strip().casefold() in STANDS_FOR_MISSING)]
            if len(hidden):
                says = f"a word that means missing is read as a value in {looked.counted(hidden)}."
                yield Finding("note", column, says, hidden)

    def _tell(self, looked: Looked, names: list[str], lack: pd.Series) -> Iterator[Finding]:
        """The findings of things that are missing together: one a task with classes, else one."""
        ids, subject = lack.index[lack], some(names, 1)
        says = f"missing in {looked.counted(ids)} ({len(ids) / len(lack):.1%} of the cases)"
        if len(names) > 1:
            says = f"{', '.join(names)}: {says}, always together"
        tasks = [task.name for task in looked.dataset.tasks if task.classes]
        if not tasks:
            yield Finding("fact", subject, f"{says}.", ids)
        for task in tasks:
            counts = {
                name: patients_lacking(looked, lack, members)
                for name, members in looked.members[task].items()
            }
            by_class = [f"{name} {without} of {of}" for name, (without, of) in counts.items() if of]
            told = f"{says}; patients by {task}: {', '.join(by_class) or 'none is labelled'}."
            level, name, difference = self._judged(looked, task, lack)
            if level != "fact":
                told += f" Being missing alone speaks {'for' if difference > 0 else 'against'} {name}"
                told += "; leave it out, or keep to cases that have it." if level == "problem" else "."
            yield Finding(level, subject, told, ids, difference)

    def _judged(self, looked: Looked, task: str, lack: pd.Series) -> tuple[str, str, float]:
        """The level, the class whose patients lack it most unlike the others, and by how much."""
        found, sides = [("fact", "", 0.0)], looked.told_apart(task)
        for name, (ids, others) in sides.items():
            (of_class, size), (of_others, rest) = (
                patients_lacking(looked, lack, side) for side in (ids, others)
            )
            if not size or not rest:
                continue
            difference = of_class / size - of_others / rest
            table = [[of_class, size - of_class], [of_others, rest - of_others]]
            p = fisher_exact(table).pvalue * len(sides)
            plain = abs(difference) >= self.gap or of_class in (0, size) or of_others in (0, rest)
            noted = p < self.likely and abs(difference) >= self.slight
            level = "problem" if p < self.certain and plain else "note" if noted else "fact"
            found.append((level, name, difference))
        return max(found, key=lambda one: (-LEVELS.index(one[0]), abs(one[2])))


def patients_lacking(looked: Looked, lack: pd.Series, ids: pd.Index) -> tuple[int, int]:
    """How many patients lack it in any of the cases `ids`, and how many patients these are of."""
    by_patient = lack.loc[ids].groupby(looked.cases.loc[ids, "group"]).any()
    return int(by_patient.sum()), len(by_patient)


def absences(looked: Looked) -> dict[str, pd.Series]:
    """Of each picture, column of the record and text: whether a case lacks it, by case id."""
    seen = looked.pictures
    found = {}
    for modality in looked.dataset.pictures:
        rows = seen[seen["modality"] == modality.name]
        found[modality.name] = pd.Series(rows["absent"].to_numpy(dtype=bool), index=rows["case"])
    for column in looked.dataset.record:
        found[column] = looked.cases[column].isna()
    for column in looked.dataset.texts:
        found[column] = looked.cases[column].map(lambda text: not words(text)).astype(bool)
    return found
