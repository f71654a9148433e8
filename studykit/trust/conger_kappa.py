"""Conger's kappa: Cohen's kappa for more than two readers, each with his own habits.

kappa = (pa - pe) / (1 - pe), pe = the mean over pairs of readers g, h of the sum over k, l of w_kl p_gk p_hl

p_gk: how often reader g chose category k, of the cases that he rated. With two readers who rated all cases it
is Cohen's kappa. Ratings may be missing.

Conger AJ. Integration and generalization of kappas for multiple raters. Psychol Bull 1980;88:322-8. Gwet KL.
Handbook of inter-rater reliability, 4th ed. 2014, chapter 5 (missing ratings).
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from studykit.trust.agreement import ONE_READER, Coefficient, Ratings
from studykit.trust.statistic import NotEstimable


@dataclass(frozen=True)
class CongerKappa(Coefficient, name="conger_kappa"):
    """Agreement of several readers beyond chance, when the same readers rate all cases."""

    title: ClassVar[str] = "Conger's kappa"
    question: ClassVar[str] = "Do these readers agree beyond chance, given how often each uses each category?"
    wants: ClassVar[tuple[str, ...]] = ("reader", "case", "rating")
    uses: ClassVar[tuple[str, ...]] = ("patient",)
    crossed: ClassVar[bool] = True

    def chance(self, ratings: Ratings, w: np.ndarray) -> tuple[float, np.ndarray]:  # noqa: D102
        x = ratings.crossed
        readers, cases = x.shape
        if readers < 2:
            raise NotEstimable(ONE_READER)
        there = x >= 0
        rated = there.sum(axis=1, keepdims=True)
        used = np.stack([(x == k).sum(axis=1) for k in range(len(w))], axis=1) / rated  # p_gk
        others = (used.sum(axis=0) - used) @ w  # what the other readers' habits make of each category
        pairs = readers * (readers - 1)
        own = np.take_along_axis(others, np.maximum(x, 0), axis=1) - (used * others).sum(
            axis=1, keepdims=True
        )
        return (used * others).sum() / pairs, 2 / pairs * (own * there * cases / rated).sum(axis=0)
