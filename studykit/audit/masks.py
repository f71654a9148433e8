"""How large is what the reference outlines, and is there an outline that cannot be right?"""

from collections.abc import Iterator
from dataclasses import dataclass

import pandas as pd

from studykit.audit.check import Check, Finding
from studykit.audit.looked import Looked, plural, some


@dataclass(frozen=True)
class Masks(Check, name="masks"):
    """Sizes are shares of the picture as the model sees it, borders included; a value is their median.

    least: an outline of fewer pixels (voxels) outlines next to nothing. most: one of a larger share of the
    picture outlines next to everything. Both are notes.
    """

    least: int = 10
    most: float = 0.9

    title = "Reference outlines"

    def __call__(self, looked: Looked) -> Iterator[Finding]:  # noqa: D102
        for modality in looked.dataset.pictures:
            rows = looked.pictures[looked.pictures["modality"] == modality.name].set_index("case")
            rows = rows[rows["outlined"].notna() & ~rows["absent"]]
            drawn = rows[rows["outlined"] > 0]
            if drawn.empty:
                if len(rows):
                    yield Finding("fact", modality.name, "no picture is outlined.", rows.index)
                continue
            yield self._sizes(modality.name, "all", drawn, len(rows))
            for task, classes in looked.members.items():
                for name, ids in classes.items():
                    of_class = rows.index.intersection(ids)
                    if len(of_class):
                        own = drawn.loc[drawn.index.intersection(ids)]
                        yield self._sizes(modality.name, f"{task} {name}", own, len(of_class))
            unit = "voxels" if modality.kind == "volume" else "pixels"
            tiny, all_over = drawn["outlined"] < self.least, drawn["share"] > self.most
            yield from _odd(modality.name, drawn[tiny], f"of fewer than {self.least} {unit}")
            yield from _odd(modality.name, drawn[all_over], f"of more than {self.most:.0%} of the picture")

    def _sizes(self, modality: str, of: str, drawn: pd.DataFrame, pictures: int) -> Finding:
        without = pictures - len(drawn)
        says = f"{of}: {len(drawn)} of {plural(pictures, 'picture')} are outlined"
        if without:
            says += f", {without} are not"
        if drawn.empty:
            return Finding("fact", modality, f"{says}.")
        middle, low, high = (getattr(drawn["share"], what)() for what in ("median", "min", "max"))
        says += f"; the outline covers {_percent(middle)} of the picture"
        says += f" (median; {_percent(low)} to {_percent(high)})."
        return Finding("fact", modality, says, drawn.index, middle)


def _odd(modality: str, rows: pd.DataFrame, what: str) -> Iterator[Finding]:
    if len(rows):
        says = f"{plural(len(rows), 'outline')} {what}: {some(rows.index)}; look whether they are right."
        yield Finding("note", modality, says, rows.index, rows["share"].median())


def _percent(share: float) -> str:
    return f"{100 * share:.3g}%"
