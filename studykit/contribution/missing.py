"""How good the answers are when a modality is missing, and when it is all there is.

The score with all modalities, with all but one, and with one alone; and how far the latter two are from the
first. Such a change is paired: both scores are taken on the same draws of patients. What stands for a
missing modality is the question's fill; a model that never met it in training may do badly for that alone.
"""

from dataclasses import dataclass

import numpy as np

from studykit.catalog import check_choice
from studykit.contribution.neighbour import Neighbour
from studykit.contribution.question import Question


@dataclass(frozen=True)
class Missing(Neighbour, name="missing"):
    """Score: one that suits the task; empty is the task's first."""

    score: str = ""

    title = "Score with a modality missing"
    asks = "How good are the answers without each modality, and with each modality alone?"
    cost = "at most N (1 + 2 M)"
    labels = True

    def rows(self, question: Question) -> list[dict]:  # noqa: D102
        score, names = chosen(question, self.score), set(question.modalities)
        there = {f"without {name}": names - {name} for name in question.modalities}
        there |= {f"{name} alone": {name} for name in question.modalities}
        everything = scored(question, names, score)
        found = {group: scored(question, some, score) for group, some in there.items()}
        rows = [scored_row(question, score, "everything", everything)]
        rows += [scored_row(question, score, group, values) for group, values in found.items()]
        return rows + [
            scored_row(question, f"change of {score}", group, values - everything)
            for group, values in found.items()
        ]


def chosen(question: Question, score: str) -> str:
    """The score's name, or that of the task's first; InputError for one that does not suit the task."""
    score = score or question.scores[0]
    check_choice(f"score of a {question.task.kind} task", score, question.scores)
    return score


def scored(question: Question, names: set[str] | frozenset[str], score: str) -> np.ndarray:
    """A score when only these modalities are there, and then its bootstrap draws, (1 + R,)."""
    own, drawn = question.score(score, question.with_only(names)[1])
    return np.r_[own, drawn]


def scored_row(question: Question, statistic: str, group: str, values: np.ndarray, why: str = "") -> dict:
    """A line of a table whose n counts the labelled cases; values: (1 + R,), the estimate and the draws."""
    if np.isnan(values[0]) and not why:
        why = _lacking(question)
    row = question.row(statistic, group, values[0], values[1:], why)
    return {**row, "n": int(question.known.sum())}


def _lacking(question: Question) -> str:
    """Why a score cannot be computed of the labelled cases."""
    if question.task.kind in ("binary", "multiclass"):
        there = set(question.targets[question.known].tolist())
        gone = [name for index, name in enumerate(question.task.classes) if index not in there]
        if gone:
            return f"no labelled case is {' or '.join(gone)}"
    return "the labelled cases are all alike"
