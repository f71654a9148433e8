"""How does modality contribution move when the same case is cut into coarser or finer parts?

Modality contribution adds up what each part changes, so the finer a picture is cut, the more parts are added.
The same number is told here for pictures whole, in halves of their longest side, quarters and so on, records
by column and reports by word; and first with every modality whole. In a model that adds up its pixels, a
picture's size can only grow from one cut to a finer one inside it:

    |sum over parts of d| <= sum over parts of |d|

Where a case has more parts than `sampled`, so many are drawn and stand for all.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from studykit.catalog import InputError
from studykit.contribution.asking import Asking
from studykit.contribution.few_cases import FewCases, check_least
from studykit.contribution.neighbour import Neighbour, shares
from studykit.contribution.occlusion import Occlusion
from studykit.contribution.parts import Patches, Whole
from studykit.contribution.question import Question


@dataclass(frozen=True)
class Granularity(Neighbour, name="granularity"):
    """sides: into how many parts the longest side of a picture or volume is cut. sampled: so many parts are
    asked of a case and modality at most; 0 asks all. cases: so many at most, drawn by the question's seed.
    """

    sides: tuple[int, ...] = (1, 2, 4, 8, 16)
    sampled: int = 64
    cases: int = 100

    title = "Modality contribution by fineness"
    asks = "Is the contribution another number when the same pictures and records are cut more finely?"
    cost = "N (1 + h) for each fineness"

    def __post_init__(self):
        check_least("granularity", "cases", self.cases, 1)
        check_least("granularity", "sampled", self.sampled, 0)
        if not self.sides or any(type(side) is not int or side < 1 for side in self.sides):
            raise InputError(
                f"'sides' of granularity are whole numbers of 1 or more, such as (1, 2, 4), not {self.sides}."
            )

    def rows(self, question: Question) -> list[dict]:  # noqa: D102
        few, rows = FewCases(question, self.cases), []
        for label, parts in self.cuts(question).items():
            sizes = self.sizes(question, few, parts)
            own, drawn = shares(sizes.mean(axis=0)), shares(few.weights @ sizes)
            why = "nothing moved" if np.isnan(own).any() else ""
            rows += [
                few.row(f"share, {label}", name, own[at], drawn[:, at], why)
                for at, name in enumerate(question.modalities)
            ]
        return rows

    def cuts(self, question: Question) -> dict[str, dict[str, Any]]:
        """{how fine: {modality: how it is cut}}, from whole to fine; what would be the same stands once."""
        kinds = {name: modality.kind for name, modality in question.modalities.items()}
        longest = {
            name: max(question.asking.inputs[name].shape[2:])
            for name, kind in kinds.items()
            if kind in ("image", "volume")
        }
        words = {"table": "by column", "text": "by word"}
        found = {"everything whole": dict.fromkeys(kinds, Whole())}
        for side in sorted(self.sides) if longest else []:
            sizes = {name: -(-length // side) for name, length in longest.items()}
            label = ", ".join(
                f"{name} whole" if size == longest[name] else f"{name} in {size} px patches"
                for name, size in sizes.items()
            )
            found[label] = {name: Patches(size) for name, size in sizes.items()}
        if not longest:
            found[", ".join(f"{name} {words[kind]}" for name, kind in kinds.items())] = {}
        return found

    def sizes(self, question: Question, few: FewCases, parts: Mapping[str, Any]) -> np.ndarray:
        """What taking away each part changes, added up, (n, modalities), of the modalities so cut."""
        asking, at = question.asking, few.at
        inputs = {name: x[at] for name, x in asking.inputs.items()}
        again = Asking(
            question.model,
            list(inputs.values()) if asking.in_order else inputs,
            parts,
            {name: x[at] for name, x in asking.filled.items()},
            asking.output,
            head=asking.head,
            modalities=asking.modalities,
            ids=[asking.ids[case] for case in at],
            size=asking.size,
            fold=False,
        )
        again.answers = asking.answers  # as fast, and counted there
        occlusion = Occlusion(again, self.sampled, question.seed)
        occlusion.ask()
        return np.stack([a.sum(axis=1) for a in occlusion.contribution().sizes.values()], axis=1)
