"""Brennan and Prediger's kappa: agreement beyond what readers would reach who throw a die.

kappa = (pa - pe) / (1 - pe), pe = sum(w) / q^2; unweighted pe = 1 / q, of q categories

With more than two readers it is Randolph's free-marginal kappa. Ratings may be missing.

Brennan RL, Prediger DJ. Coefficient kappa: some uses, misuses, and alternatives. Educ Psychol Meas
1981;41:687-99. Randolph JJ. Free-marginal multirater kappa. Joensuu Learning and Instruction Symposium 2005.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from studykit.trust.agreement import Coefficient, Ratings
from studykit.trust.statistic import NotEstimable


@dataclass(frozen=True)
class BrennanPrediger(Coefficient, name="brennan_prediger"):
    """Agreement beyond chance where every category is taken to be as likely as any other by chance."""

    title: ClassVar[str] = "Brennan-Prediger kappa"
    question: ClassVar[str] = "Do readers agree more often than if each category were drawn by lot?"

    def chance(self, ratings: Ratings, w: np.ndarray) -> tuple[float, float]:  # noqa: D102
        return w.sum() / check_categories(ratings) ** 2, 0.0


def check_categories(ratings: Ratings) -> int:
    """How many categories there are; raises NotEstimable for one."""
    q = len(ratings.categories)
    if q < 2:
        raise NotEstimable(
            f"every rating is '{ratings.categories[0]}'; name all that could be chosen as `categories`"
        )
    return q
