"""Does a split keep patients and copies of a picture on one side, and every class on each side?"""

from collections.abc import Iterator
from dataclasses import dataclass

from studykit.audit.check import Check, Finding
from studykit.audit.duplicates import copies
from studykit.audit.looked import PARTS, Looked, plural, some


@dataclass(frozen=True)
class Split(Check, name="split"):
    """Made where a split is given. A patient, or a picture with its copies, on two sides is a problem.

    So is a class that a part lacks; where one patient alone stands for it, it is a note. Cases without a
    label are only looked at and tear nothing. A finding's value is the number of patients, pictures or cases
    that it counts.
    """

    title = "The split: who trains and who tests"

    def __call__(self, looked: Looked) -> Iterator[Finding]:  # noqa: D102
        if looked.parts is None:
            yield Finding("fact", "split", "no split was given, so none was looked at.")
            return
        parts = looked.parts[looked.parts.index.isin(looked.learned)]
        groups = looked.cases.loc[parts.index, "group"]
        sides = parts.groupby(groups).nunique()
        torn = groups.index[groups.isin(sides.index[sides > 1])]
        if len(torn):
            count = int((sides > 1).sum())
            says = f"on two sides: {plural(count, 'patient')} ({plural(len(torn), 'case')}, {some(torn)});"
            yield Finding("problem", "patients", f"{says} split by patient.", torn, count)
        else:
            yield Finding("fact", "patients", "every patient stands on one side.", parts.index, 0)
        others = looked.parts.index.difference(parts.index, sort=False)
        trained = others[looked.cases.loc[others, "group"].isin(groups[parts != "test"])]
        if len(trained):
            says = f"without a label, of patients that train: {looked.counted(trained)}; only looked at."
            yield Finding("fact", "patients", says, trained, len(trained))
        for modality in looked.dataset.pictures:
            kept = [[c for c in ids if c in parts.index] for ids in copies(looked, modality.name)]
            torn = [ids for ids in kept if parts.loc[ids].nunique() > 1]
            if torn:
                ids = [case for cases in torn for case in cases]
                says = f"on two sides as exact copies: {plural(len(torn), 'picture')}, "
                says += some((" = ".join(cases) for cases in torn), 20)
                yield Finding("problem", modality.name, f"{says}; give them one group.", ids, len(torn))
        yield from self._classes(looked)

    def _classes(self, looked: Looked) -> Iterator[Finding]:
        for task, members in looked.members.items():
            for part in PARTS:
                ids = looked.parts.index[looked.parts == part]
                held = {name: ids[ids.isin(cases)] for name, cases in members.items()}
                if not held:
                    continue
                told = ", ".join(f"{name} {looked.counted(cases)}" for name, cases in held.items())
                lacks = [name for name, cases in held.items() if not len(cases)]
                if lacks:
                    says = f"no case of {some(lacks)} in {part} ({told}); use fewer folds or leave it out."
                    yield Finding("problem", f"{task}: {part}", says, ids, len(ids))
                elif few := [name for name, cases in held.items() if looked.patients(cases) == 1]:
                    says = f"one patient alone stands for {some(few)} in {part} ({told})."
                    yield Finding("note", f"{task}: {part}", says, ids, len(ids))
                else:
                    yield Finding("fact", f"{task}: {part}", f"{told}.", ids, len(ids))
