"""How is the answer shared out fairly among all parts of a case, and how much of that falls to each modality?

    phi_l = mean over orders of (answer before part l is taken away - answer after), all earlier parts gone
    share = sum over parts l of the modality of |phi_l| / the same over all parts

of a case (|.| summed over outputs), then the mean over cases, as the paper has it. The parts, their fill and
the output are the question's, so that it stands beside modality contribution, which takes one part away at a
time: this measure also sees what two parts say twice. Orders are drawn by the question's seed and the case's
id, each with its reverse. What few orders leave uncertain, |.| counts as size; more `permutations` tell.

Many parts cost much: an order asks as many answers as the case has parts. Parts that are what they would be
filled with are left out; their phi is 0.

Parcalabescu L, Frank A. MM-SHAP: a performance-agnostic metric for measuring multimodal contributions in
vision and language models & tasks. ACL 2023.
"""

from dataclasses import dataclass
from zlib import crc32

import numpy as np
import torch

from studykit.catalog import InputError
from studykit.contribution.few_cases import FewCases, check_least
from studykit.contribution.neighbour import Neighbour, shares
from studykit.contribution.occlusion import STILL
from studykit.contribution.question import Question


@dataclass(frozen=True)
class MMSHAP(Neighbour, name="mm_shap"):
    """permutations: orders a case, reverses included. cases: so many at most, drawn by the seed."""

    permutations: int = 4
    cases: int = 50

    title = "MM-SHAP"
    asks = "When the answer is shared out fairly among all parts of a case, how much falls to each modality?"
    cost = "N R h, R orders"

    def __post_init__(self):
        check_least("mm_shap", "cases", self.cases, 1)
        check_least("mm_shap", "permutations", self.permutations, 2)
        if self.permutations % 2:
            raise InputError(
                f"'permutations' of mm_shap is even, for each order comes with its reverse, not "
                f"{self.permutations}."
            )

    def rows(self, question: Question) -> list[dict]:  # noqa: D102
        few = FewCases(question, self.cases)
        sizes = np.zeros((len(few), len(question.modalities)))
        for row, case in enumerate(few.at):
            draw = np.random.default_rng([question.seed, crc32(question.asking.ids[case].encode())])
            phi = parts_shapley(question, int(case), self.permutations, draw)
            sizes[row] = [np.abs(values).sum() for values in phi.values()]
        if not np.isfinite(sizes).all():
            raise InputError("MM-SHAP: an answer is not a number; look at the inputs and the weights.")
        ratios = shares(sizes)
        moved = ~np.isnan(ratios[:, 0])
        own, *drawn = (_mean(ratios[moved], w[moved]) for w in [np.ones(len(few)), *few.weights])
        drawn, why = np.reshape(drawn, (-1, len(own))), "" if moved.any() else "nothing moved"
        return [
            few.row("share", name, own[at], drawn[:, at], why) for at, name in enumerate(question.modalities)
        ]


def parts_shapley(
    question: Question, case: int, permutations: int, draw: np.random.Generator
) -> dict[str, np.ndarray]:
    """phi: {modality: (h, K)} of one case, over `permutations` / 2 orders and their reverses."""
    names = list(question.modalities)
    same = [question.asking.same[name][case] for name in names]
    ends, everything = np.cumsum([len(parts) for parts in same])[:-1], ~np.concatenate(same)
    half = [draw.permutation(np.flatnonzero(everything)) for _ in range(permutations // 2)]
    orders, steps = half + [order[::-1] for order in half], max(everything.sum() - 1, 0)
    gone = [np.zeros_like(everything), everything]
    for order in orders:
        for step in range(steps):
            gone.append(np.zeros_like(everything))
            gone[-1][order[: step + 1]] = True
    by_modality = zip(names, np.split(np.stack(gone), ends, axis=1), strict=True)
    found = question.without_parts(
        torch.full((len(gone),), case), {name: torch.from_numpy(parts) for name, parts in by_modality}
    )
    phi = np.zeros((len(everything), found.shape[1]))
    for at, order in enumerate(orders):
        way = np.concatenate([found[:1], found[2 + at * steps :][:steps], found[1:2]])
        lost = way[:-1] - way[1:]
        lost[np.abs(lost) <= STILL * np.abs(found).max()] = 0.0
        phi[order] += lost[: len(order)] / len(orders)
    return dict(zip(names, np.split(phi, ends), strict=True))


def _mean(ratios: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """The weighted mean over cases of ratios (n, modalities), NaN where no case counts."""
    return weights @ ratios / weights.sum() if weights.sum() else np.full(ratios.shape[1], np.nan)
