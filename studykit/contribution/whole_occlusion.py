"""Each modality taken away as one piece: how much does the answer change?

m_i = mean |f(all without i) - f(all)| / sum over modalities of the same. It does not depend on how fine the
parts are, and like modality contribution it sees nothing where another modality says the same.
"""

from dataclasses import dataclass

import numpy as np

from studykit.contribution.neighbour import Neighbour, share_rows
from studykit.contribution.question import Question


@dataclass(frozen=True)
class WholeOcclusion(Neighbour, name="whole_occlusion"):
    """No settings."""

    title = "Whole-modality occlusion"
    asks = "How much does the answer change when a whole modality is taken away?"
    cost = "N (1 + M)"

    def rows(self, question: Question) -> list[dict]:  # noqa: D102
        everything = question.with_only(question.modalities)[0]
        sizes = [
            np.abs(question.with_only(set(question.modalities) - {name})[0] - everything).sum(axis=1)
            for name in question.modalities
        ]
        return share_rows(question, "share", np.stack(sizes, axis=1))
