"""Fleiss' kappa: do many readers name the same category more often than chance would?

kappa = (pa - pe) / (1 - pe), pe = sum over k, l of w_kl pi_k pi_l

pi_k: the mean over cases of the share of a case's ratings in category k. Readers need no names, and cases may
have different numbers of ratings. The standard error is the general one, for the interval, not that under no
agreement.

Fleiss JL. Measuring nominal scale agreement among many raters. Psychol Bull 1971;76:378-82. Gwet KL.
Computing inter-rater reliability and its variance in the presence of high agreement. Br J Math Stat Psychol
2008;61:29-48.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from studykit.trust.agreement import Coefficient, Ratings


@dataclass(frozen=True)
class FleissKappa(Coefficient, name="fleiss_kappa"):
    """Agreement of many readers beyond chance; readers may differ from case to case."""

    title: ClassVar[str] = "Fleiss' kappa"
    question: ClassVar[str] = "Do many readers agree beyond chance, whoever they are?"

    def chance(self, ratings: Ratings, w: np.ndarray) -> tuple[float, np.ndarray]:  # noqa: D102
        shares = shares_by_case(ratings.counts)
        pi = shares.mean(axis=0)
        chance = pi @ w @ pi
        return chance, 2 * (shares @ w @ pi - chance)


def shares_by_case(counts: np.ndarray) -> np.ndarray:
    """The share of a case's ratings in each category, (cases, categories)."""
    return counts / counts.sum(axis=1, keepdims=True)
