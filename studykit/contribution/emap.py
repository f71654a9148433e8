"""How much of the answer needs the modalities together, rather than the sum of what each says alone?

Every case's modality is shown with every other case's rest, f(i, j), and the sum of a part of each that comes
nearest to all these answers is

    f'(i, j) = mean over k of f(i, k) + mean over k of f(k, j) - mean of f

What it leaves over, sum (f - f')^2 / sum (f - mean of f)^2 over all pairs (i, j) and outputs, needs no
labels: 0 for a model that adds up, 1 for one in which no modality says anything alone. With labels, the
score of f' on the cases as they are, (i, i), stands beside the model's own; the gap, the model's less that of
f', is what interaction brings.

f is the logit of the task (of several classes, less the mean over the classes, which no probability sees),
or the question's output where no task is known. Drawing patients, the share renews f' and the gap keeps it.

Hessel J, Lee L. Does my multimodal model learn cross-modal interactions? It's harder to tell than you might
think! EMNLP 2020.
"""

from copy import copy
from dataclasses import dataclass

import numpy as np
import torch

from studykit.catalog import InputError
from studykit.contribution.answers import reader
from studykit.contribution.few_cases import FewCases, check_least
from studykit.contribution.missing import chosen
from studykit.contribution.neighbour import Neighbour
from studykit.contribution.occlusion import STILL
from studykit.contribution.question import Question
from studykit.scores import SCORES


@dataclass(frozen=True)
class EMAP(Neighbour, name="emap"):
    """cases: so many at most are mixed with each other. score: of the task's; its first where empty.

    A foreign model whose encoders are not known runs as a whole for each of the n^2 pairs; lower `cases`.
    """

    cases: int = 200
    score: str = ""

    title = "EMAP"
    asks = (
        "How much of the answer, and of its quality, is more than the sum of what each modality says alone?"
    )
    cost = "N^2 fusions (M N^2 where M > 2)"

    def __post_init__(self):
        check_least("emap", "cases", self.cases, 2)

    def rows(self, question: Question) -> list[dict]:  # noqa: D102
        few, asked, names = FewCases(question, self.cases), _on_logits(question), list(question.modalities)
        groups = {name: f"{name} and the rest" for name in names}
        if len(names) == 2:
            groups = {names[0]: " and ".join(names)}
        rows = []
        for name, group in groups.items():
            f = mixtures(asked, few.at, name)
            left = left_over(f, np.vstack([np.ones(len(few)), few.weights]))
            still = f.std(axis=(0, 1)).max() <= STILL * np.abs(f).max()
            estimate, why = (np.nan, "the answer is the same for all cases") if still else (left[0], "")
            rows.append(few.row("share that adding up leaves over", group, estimate, left[1:], why))
            scores = self._scores(few, f, group)
            rows += scores if name == names[0] else scores[-2:]  # the model's own once
        return rows

    def _scores(self, few: FewCases, f: np.ndarray, group: str) -> list[dict]:
        """The model's score, that of the sum, and the gap."""
        question, labelled = few.question, few.question.known[few.at]
        if question.task is None:
            return [few.row("score gap", group, np.nan, why="a score needs to know the task; give 'task'")]
        if not labelled.any():
            why = "a score needs labels and none of these cases has one; give 'targets'"
            return [few.row("score gap", group, np.nan, why=why)]
        name = chosen(question, self.score)
        own, sums = (_scored(few, name, logits) for logits in (f.diagonal().T, projected(f)))
        why = f"the labelled cases do not allow a {name}" if np.isnan(own[0]) else ""
        told = {(name, "everything"): own, (f"{name} of the sum", group): sums}
        told[f"{name} gap", group] = own - sums
        rows = [few.row(*at, values[0], values[1:], why) for at, values in told.items()]
        return [{**row, "n": int(labelled.sum())} for row in rows]


def mixtures(question: Question, at: np.ndarray, name: str) -> np.ndarray:
    """Answers f (n, n, K) with modality `name` of case at[i] and all others of case at[j]."""
    own, other = np.repeat(at, len(at)), np.tile(at, len(at))
    f = question.asked({n: own if n == name else other for n in question.modalities})[0]
    if not np.isfinite(f).all():
        raise InputError(
            "EMAP: an answer to mixed cases is not a number; look at the inputs and the weights."
        )
    if question.task is not None and question.task.kind == "multiclass":
        f = f - f.mean(axis=1, keepdims=True)
    return f.reshape(len(at), len(at), -1)


def projected(f: np.ndarray) -> np.ndarray:
    """The sums f' (n, K) of the cases as they are, from f (n, n, K)."""
    return f.mean(axis=1) + f.mean(axis=0) - f.mean(axis=(0, 1))


def left_over(f: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """What f' leaves over of the spread of f (n, n, K), (R,), under weightings of the cases (R, n).

    The sums of squares of the two parts and of what is left add up to the whole.
    """
    u = weights / weights.sum(axis=1, keepdims=True)
    left, whole = np.zeros(len(u)), np.zeros(len(u))
    for one in np.moveaxis(f - f.mean(axis=(0, 1)), 2, 0):
        first, second = u @ one.T, u @ one  # (R, n)
        mean = (u * first).sum(axis=1, keepdims=True)
        total = ((u @ one**2) * u).sum(axis=1) - mean[:, 0] ** 2
        alone = (u * ((first - mean) ** 2 + (second - mean) ** 2)).sum(axis=1)
        left, whole = left + total - alone, whole + total
    share = np.divide(left, whole, out=np.full(len(u), np.nan), where=whole > 0)
    return np.clip(share, 0.0, 1.0)


def _on_logits(question: Question) -> Question:
    """The same question, answered by the logits of its task where that is known."""
    if question.task is None:
        return question
    twin, twin.asking = copy(question), copy(question.asking)
    twin.asking.read = reader("logit", question.task, question.asking.head)
    return twin


def _scored(few: FewCases, name: str, logits: np.ndarray) -> np.ndarray:
    """A score of logits (n, K) of these cases, and then its bootstrap draws, (1 + R,)."""
    question, known = few.question, few.question.known[few.at]
    p = question.probabilities(torch.from_numpy(np.ascontiguousarray(logits)))[known]
    truth = question.targets.numpy()[few.at][known]
    if question.task.kind != "regression":
        truth = truth.astype(int)
    weights = np.vstack([np.ones(len(few)), few.weights])[:, known]
    return SCORES[question.task.kind][name](truth, p, weights)
