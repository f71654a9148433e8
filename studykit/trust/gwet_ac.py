"""Gwet's AC1 and AC2: agreement beyond chance where one category is rare and kappa falls for no good reason.

AC = (pa - pe) / (1 - pe), pe = sum(w) / (q (q - 1)) * sum over k of pi_k (1 - pi_k)

pi_k: the mean over cases of the share of a case's ratings in category k; q categories. AC1 is unweighted, AC2
weighted. Ratings may be missing.

Gwet KL. Computing inter-rater reliability and its variance in the presence of high agreement. Br J Math Stat
Psychol 2008;61:29-48. Gwet KL. Handbook of inter-rater reliability, 4th ed. 2014, chapter 5.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from studykit.trust.agreement import Coefficient, Ratings
from studykit.trust.brennan_prediger import check_categories
from studykit.trust.fleiss_kappa import shares_by_case
from studykit.trust.weights import with_weights


@dataclass(frozen=True)
class GwetAC(Coefficient, name="gwet_ac"):
    """Agreement beyond chance that does not fall when nearly all cases are of one category."""

    title: ClassVar[str] = "Gwet's AC"
    question: ClassVar[str] = "Do readers agree beyond chance, also where one category is rare?"

    @property
    def called(self) -> str:
        """AC1, or AC2 with the name of the weights."""
        return "Gwet's AC1" if self.weights == "unweighted" else with_weights("Gwet's AC2", self.weights)

    def chance(self, ratings: Ratings, w: np.ndarray) -> tuple[float, np.ndarray]:  # noqa: D102
        q = check_categories(ratings)
        shares = shares_by_case(ratings.counts)
        pi = shares.mean(axis=0)
        scale = w.sum() / (q * (q - 1))
        chance = scale * (pi * (1 - pi)).sum()
        return chance, 2 * (scale * shares @ (1 - pi) - chance)
