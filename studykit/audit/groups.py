"""Which cases belong to one patient? They stand on one side of every split."""

from collections.abc import Iterator
from dataclasses import dataclass

from studykit.audit.check import Check, Finding
from studykit.audit.looked import Looked, plural, some


@dataclass(frozen=True)
class Groups(Check, name="groups"):
    """A finding's value is the number of patients that it counts, or the most cases of one."""

    title = "Cases of one patient"

    def __call__(self, looked: Looked) -> Iterator[Finding]:  # noqa: D102
        groups = looked.cases["group"]
        without = groups.index[groups.isna() | groups.astype(str).str.strip().isin(["", "nan", "None"])]
        if len(without):
            says = f"{plural(len(without), 'case')} of no patient, {some(without)}: give each a group."
            yield Finding("problem", "group", says, without, len(without))
        counts = groups.value_counts()
        several = counts.index[counts > 1]
        if not len(several):
            yield Finding("fact", "group", "every case is a patient of its own.", groups.index, len(counts))
            return
        ids = groups.index[groups.isin(several)]
        says = f"{len(several)} of {plural(len(counts), 'patient')} have several cases"
        says += f" ({looked.counted(ids)}), at most {counts.max()}."
        yield Finding("fact", "group", says, ids, counts.max())
        for task in looked.dataset.tasks:
            labels = looked.cases[task.name].dropna()
            different = labels.groupby(groups.loc[labels.index]).nunique()
            mixed = different.index[different > 1]
            ids = labels.index[groups.loc[labels.index].isin(mixed)]
            if len(ids):
                says = f"{plural(len(mixed), 'patient')} with cases of different labels"
                says += f" ({plural(len(ids), 'case')}, {some(ids)})."
                yield Finding("note", task.name, says, ids, len(mixed))
