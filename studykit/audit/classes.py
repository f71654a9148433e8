"""How many cases and patients of each class are there, and are they enough to learn and to test?"""

from collections.abc import Iterator
from dataclasses import dataclass

import pandas as pd

from studykit.audit.check import Check, Finding
from studykit.audit.looked import Looked, some
from studykit.case import Task


@dataclass(frozen=True)
class Classes(Check, name="classes"):
    """folds: a class with fewer patients cannot stand in every fold, which is a problem.

    ratio: a largest class of this many times the smallest one's patients is a note. A finding's value is the
    class's share of the labelled cases; of imbalance the ratio.
    """

    folds: int = 5
    ratio: float = 5.0

    title = "Cases and patients of each class"

    def __call__(self, looked: Looked) -> Iterator[Finding]:  # noqa: D102
        yield Finding("fact", "all", f"{looked.counted(looked.cases.index)}.", looked.cases.index)
        for task in looked.dataset.tasks:
            members, labelled = looked.members[task.name], looked.labelled(task.name)
            for name, ids in members.items():
                yield self._class(looked, f"{task.name}: {name}", ids, len(labelled))
            if not members:
                yield Finding("fact", task.name, _spread(looked, task, labelled), labelled)
            yield from self._others(looked, task, labelled)
            counts = {name: looked.patients(ids) for name, ids in members.items() if len(ids)}
            if counts and max(counts.values()) >= self.ratio * min(counts.values()):
                ratio = max(counts.values()) / min(counts.values())
                large, small = max(counts, key=counts.get), min(counts, key=counts.get)
                says = f"{large} has {ratio:.1f} times the patients of {small}: read balanced accuracy and "
                yield Finding("note", task.name, says + "each class's own numbers.", labelled, ratio)

    def _class(self, looked: Looked, subject: str, ids: pd.Index, labelled: int) -> Finding:
        share = len(ids) / labelled if labelled else 0.0
        if not len(ids):
            return Finding("problem", subject, "no case has it: leave the class out.", ids, share)
        says = f"{looked.counted(ids)}, {share:.0%} of those with a label"
        if looked.patients(ids) < self.folds:
            says += f": too few patients for {self.folds} folds; join the class with another or leave it out"
            return Finding("problem", subject, f"{says}.", ids, share)
        return Finding("fact", subject, f"{says}.", ids, share)

    def _others(self, looked: Looked, task: Task, labelled: pd.Index) -> Iterator[Finding]:
        """Cases without a label, and labels that the task does not declare."""
        without = looked.cases.index.difference(labelled, sort=False)
        if len(without):
            says = f"without a label: {looked.counted(without)}; they are looked at, never learned from."
            yield Finding("fact", task.name, says, without)
        if not task.classes:
            return
        cells = looked.cases.loc[labelled, task.name]
        multi = task.kind == "multilabel"
        words = [set(str(cell).split("&") if multi else [cell]) - {*task.classes, ""} for cell in cells]
        strange = labelled[[bool(found) for found in words]]
        if len(strange):
            names = sorted(map(str, set().union(*words)))
            says = f"{looked.counted(strange)} with what is no class of the task: {some(names)}."
            yield Finding("problem", task.name, says, strange)


def _spread(looked: Looked, task: Task, labelled: pd.Index) -> str:
    """How many cases have the number, its range and its quartiles."""
    says = f"a number, known of {looked.counted(labelled)}"
    if not len(labelled):
        return f"{says}."
    numbers = looked.cases.loc[labelled, task.name].astype(float)
    low, *quartiles, high = numbers.quantile([0, 0.25, 0.5, 0.75, 1])
    return f"{says}, from {low:g} to {high:g}; quartiles {', '.join(f'{q:g}' for q in quartiles)}."
