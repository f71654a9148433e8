"""Each modality's fair part of how good the answers are, and what the modalities achieve only together.

    phi_i       = Shapley value of i, where a subset S of the modalities is worth v(S): the score of the
                  model's answers when only S is there
    cooperation = v(all) - v(none) - sum over i of (v(i) - v(none))

The phi_i sum to v(all) - v(none). Cooperation is above 0 where the modalities need each other and below 0
where they say the same. Of an error the fall counts, so that more is always better. v(none) is the score of
the model's answers to nothing; where the fill is the same for all cases, its AUROC is 1/2.

Hu P, Li X, Zhou Y. SHAPE: an unified approach to evaluate the contribution and cooperation of individual
modalities. IJCAI 2022, arXiv:2205.00302. The abstract alone could be read: the cooperation is that of the
authors of InterSHAP (their SHAPE.py), who put the share of the commonest class for v(none).
"""

from dataclasses import dataclass

from studykit.contribution.missing import chosen, scored, scored_row
from studykit.contribution.neighbour import Neighbour
from studykit.contribution.question import Question
from studykit.contribution.shapley import shapley_value, subsets, too_many
from studykit.scores import ERRORS


@dataclass(frozen=True)
class ShapeScore(Neighbour, name="shape_score"):
    """Score: one that suits the task; empty is the task's first."""

    score: str = ""

    title = "SHAPE: Shapley value of performance"
    asks = (
        "How much of the quality of the answers is owed to each modality, and how much to their cooperation?"
    )
    cost = "N 2^M"
    labels = True

    def suits(self, question: Question) -> str:  # noqa: D102
        return super().suits(question) or too_many(question)

    def rows(self, question: Question) -> list[dict]:  # noqa: D102
        score, names = chosen(question, self.score), list(question.modalities)
        sign = -1 if score in ERRORS else 1
        worth = {some: sign * scored(question, some, score) for some in subsets(names)}  # (1 + R,) each
        nothing, everything = worth[frozenset()], worth[frozenset(names)]
        together = everything - nothing - sum(worth[frozenset([name])] - nothing for name in names)
        told = f"lower {score}" if score in ERRORS else score
        rows = [
            scored_row(question, f"contribution to {told}", name, shapley_value(worth, names, name))
            for name in names
        ]
        return [*rows, scored_row(question, f"cooperation for {told}", "all", together)]
