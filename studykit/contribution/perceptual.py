"""How much worse the answers get when each case is shown another case's modality.

    perceptual score of i = (accuracy - mean over R permutations of accuracy with i permuted over cases) / Z

Z is the model's accuracy, or ("task") 1 - the share of the commonest class. Unlike a fill, what is shown is
real, but pairs come about that no patient has. The labelled cases are permuted among themselves; intervals
are over patients, with the permutations held. Accuracy is the paper's (right where the likeliest class is
the true one), not the balanced one. Where a case has not one class, the task's first score stands for it and
is named: AUROC for several labels, and for numbers the mean absolute error, whose growth counts.

Gat I, Schwartz I, Schwing A. Perceptual score: what data modalities does your model perceive? NeurIPS 2021,
arXiv:2110.14375.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from studykit.catalog import InputError, check_choice
from studykit.contribution.missing import scored_row
from studykit.contribution.neighbour import Neighbour
from studykit.contribution.question import Question
from studykit.scores import ERRORS, accuracy

NORMALISERS = ("model", "task")


@dataclass(frozen=True)
class Perceptual(Neighbour, name="perceptual"):
    """Repeats: R. normaliser: Z."""

    repeats: int = 5
    normaliser: str = "model"

    title = "Perceptual score"
    asks = "How much of the answers' accuracy is lost when a modality is exchanged between the cases?"
    cost = "N (1 + R M)"
    labels = True

    def __post_init__(self):
        check_choice("normaliser of the perceptual score", self.normaliser, NORMALISERS)
        if self.repeats < 1:
            raise InputError(f"The perceptual score needs 1 permutation or more, not {self.repeats}.")

    def suits(self, question: Question) -> str:  # noqa: D102
        reason = super().suits(question)
        if not reason and self.normaliser == "task" and not _of_classes(question):
            return "the normaliser 'task' is for cases of one class each; choose 'model'."
        return reason

    def rows(self, question: Question) -> list[dict]:  # noqa: D102
        score = "accuracy" if _of_classes(question) else question.scores[0]
        own = _scored(question, question.with_only(question.modalities)[1])
        whole, why = self._normaliser(question, own)
        orders, rows = _orders(question, self.repeats), []
        for name in question.modalities:
            permuted = np.mean([_scored(question, _exchanged(question, name, o)) for o in orders], axis=0)
            lost = permuted - own if score in ERRORS else own - permuted
            values = np.divide(lost, whole, out=np.full_like(lost, np.nan), where=whole > 0)
            rows.append(scored_row(question, f"perceptual score ({score})", name, values, why))
        return rows

    def _normaliser(self, question: Question, own: np.ndarray) -> tuple[np.ndarray, str]:
        """Z and its draws, (1 + R,), and why it is nothing, where it is."""
        if self.normaliser == "model":
            return own, "the model's own score is 0" if own[0] == 0 else ""
        truth, weights = _labelled(question)
        count = np.stack([weights[:, truth == one].sum(axis=1) for one in np.unique(truth)])
        whole = 1 - count.max(axis=0) / np.maximum(weights.sum(axis=1), 1)
        return whole, "the labelled cases are all of one class" if whole[0] == 0 else ""


def _of_classes(question: Question) -> bool:
    return question.task.kind in ("binary", "multiclass")


def _labelled(question: Question) -> tuple[np.ndarray, np.ndarray]:
    """The labelled cases' truth, and how often each counts: (1 + R, n), once in the first row."""
    truth, weights = question.targets.numpy()[question.known], question.weights[:, question.known]
    return truth.astype(int), np.vstack([np.ones(len(truth)), weights])


def _scored(question: Question, p: np.ndarray) -> np.ndarray:
    """Accuracy, or the task's first score, of all cases' probabilities, and its draws (1 + R,)."""
    if not _of_classes(question):
        own, drawn = question.score(question.scores[0], p)
        return np.r_[own, drawn]
    truth, weights = _labelled(question)
    return accuracy(truth, p[question.known], weights)


def _orders(question: Question, repeats: int) -> list[np.ndarray]:
    """Permutations (N,) of the labelled cases; by id, so that the order of the cases does not matter."""
    labelled = np.flatnonzero(question.known)
    labelled = labelled[np.argsort(np.asarray(question.asking.ids)[labelled], kind="stable")]
    draw, found = np.random.default_rng(question.seed), []
    for _ in range(repeats):
        order = np.arange(question.count)
        order[labelled] = draw.permutation(labelled)
        found.append(order)
    return found


def _exchanged(question: Question, name: str, order: np.ndarray) -> np.ndarray:
    """Probabilities (N, classes) of the cases, each with the modality `name` of the case order[k]."""
    rows: Mapping[str, np.ndarray] = dict.fromkeys(question.modalities, np.arange(question.count))
    return question.asked({**rows, name: order})[1]
