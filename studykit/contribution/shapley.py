"""Each modality's fair part of the answer: it joins the others in every order, and its steps are averaged.

    phi_i = sum over S without i of |S|! (M - |S| - 1)! / M! (v(S + i) - v(S))
    I_ij  = sum over S without i and j of |S|! (M - |S| - 2)! / (M - 1)!
            (v(S + i + j) - v(S + i) - v(S + j) + v(S))

v(S) is the answer to a case when only the modalities S are there; M is their number. A modality's share is
mean |phi_i| over the cases, of the sum over modalities; |.| is summed over outputs. Where two modalities say
the same, each gets its half. For two modalities I = v(12) - v(1) - v(2) + v(0).

The interaction share (InterSHAP) lays half of I_ij on either side of a square table, phi_ij = phi_ji =
I_ij / 2, and on its diagonal what is left to each modality alone, phi_ii = phi_i - sum over j of phi_ij:

    interaction share = sum of mean |phi_ij| over i != j / sum of mean |phi_ij| over all i, j

The mean is taken after |.|, as in the authors' score of a single case: their score of a data set takes it
before, and cases whose interactions have opposite signs would cancel.

Shapley LS. A value for n-person games. 1953. Grabisch M, Roubens M. An axiomatic approach to the concept of
interaction among players in cooperative games. Int J Game Theory 1999. Wenderoth L et al. Measuring
cross-modal interactions in multimodal models. AAAI 2025, arXiv:2412.15828.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import comb

import numpy as np

from studykit.contribution.neighbour import Neighbour, share_rows, shares
from studykit.contribution.occlusion import STILL
from studykit.contribution.question import Question

MOST = 6  # modalities; each one more doubles what is asked

Worth = Mapping[frozenset[str], np.ndarray]  # what each subset of the modalities is worth


@dataclass(frozen=True)
class Shapley(Neighbour, name="shapley"):
    """No settings."""

    title = "Shapley value of each modality"
    asks = (
        "How much of the answer is owed to each modality, and how much to their interaction, "
        "when every combination of them is tried?"
    )
    cost = "N 2^M"

    def suits(self, question: Question) -> str:  # noqa: D102
        return super().suits(question) or too_many(question)

    def rows(self, question: Question) -> list[dict]:  # noqa: D102
        names = list(question.modalities)
        worth = {some: question.with_only(some)[0] for some in subsets(names)}  # (N, K) each
        phi = {name: shapley_value(worth, names, name) for name in names}
        rows = share_rows(question, "share", _sizes(worth, phi.values()))
        return rows + _interaction_rows(question, worth, phi)


def too_many(question: Question) -> str:
    """A sentence where the subsets of the modalities are too many to ask them all, else ""."""
    count = len(question.modalities)
    if count <= MOST:
        return ""
    return (
        f"it asks with every subset of the modalities, and {count} modalities have {2**count}; "
        f"ask of a model with {MOST} modalities or fewer, or take whole_occlusion."
    )


def subsets(players: Sequence[str]) -> list[frozenset[str]]:
    """All subsets, from none to all."""
    return [frozenset(some) for size in range(len(players) + 1) for some in combinations(players, size)]


def shapley_value(worth: Worth, players: Sequence[str], one: str) -> np.ndarray:
    """The value of one of the players, of the shape of what a subset is worth."""
    count, others = len(players), [player for player in players if player != one]
    return sum(
        (worth[some | {one}] - worth[some]) / (count * comb(count - 1, len(some))) for some in subsets(others)
    )


def interaction(worth: Worth, players: Sequence[str], one: str, other: str) -> np.ndarray:
    """The interaction index of two of the players, of the shape of what a subset is worth."""
    count, others = len(players), [player for player in players if player not in (one, other)]
    return sum(
        (worth[some | {one, other}] - worth[some | {one}] - worth[some | {other}] + worth[some])
        / ((count - 1) * comb(count - 2, len(some)))
        for some in subsets(others)
    )


def _sizes(worth: Worth, entries: Iterable[np.ndarray]) -> np.ndarray:
    """|.| of some entries (N, K) each, summed over outputs, (N, entries); 0 where it is but rounding."""
    least = STILL * np.max([np.abs(answers) for answers in worth.values()], axis=0)  # (N, K)
    return np.stack([np.where(abs(x) < least, 0.0, abs(x)).sum(axis=1) for x in entries], axis=1)


def _interaction_rows(question: Question, worth: Worth, phi: Mapping[str, np.ndarray]) -> list[dict]:
    """The interaction share of all pairs together and, where there are several, of each."""
    names, pairs = list(phi), list(combinations(phi, 2))
    both = {pair: interaction(worth, names, *pair) for pair in pairs}
    alone = [phi[name] - sum(both[pair] for pair in pairs if name in pair) / 2 for name in names]
    sizes = _sizes(worth, [*alone, *both.values()])  # of a pair, both halves at once
    parts = np.vstack([shares(sizes.mean(axis=0)), shares(question.weights @ sizes)])[:, len(names) :]
    groups = {"all": parts.sum(axis=1)}
    if len(pairs) > 1:
        groups |= {" and ".join(pair): parts[:, at] for at, pair in enumerate(pairs)}
    why = "nothing moved" if np.isnan(parts[0, 0]) else ""
    return [
        question.row("interaction share", group, values[0], values[1:], why)
        for group, values in groups.items()
    ]
