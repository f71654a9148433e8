"""Modality contribution itself, as a line of the table beside its neighbours."""

from dataclasses import dataclass

import numpy as np

from studykit.contribution.neighbour import Neighbour, share_rows
from studykit.contribution.question import Question


@dataclass(frozen=True)
class OcclusionByPart(Neighbour, name="occlusion"):
    """The question's own parts, fill and output."""

    title = "Modality contribution"
    asks = "How much do the answer's changes add up to when each part is taken away alone?"
    cost = "N (1 + h)"

    def rows(self, question: Question) -> list[dict]:  # noqa: D102
        sizes = [a.sum(axis=1) for a in question.contribution.sizes.values()]
        return share_rows(question, "share", np.stack(sizes, axis=1))
