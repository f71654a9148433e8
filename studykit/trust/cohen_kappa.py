"""Cohen's kappa: how far two readers agree beyond what their habits alone would give.

kappa = (po - pe) / (1 - pe), po = sum over k, l of w_kl p_kl, pe = sum over k, l of w_kl p_k. p_.l

p_kl: the share of cases that the first reader put in category k and the second in l. SE is the standard error
for the interval, SE0 the one under no agreement, for the test z = kappa / SE0. Prevalence index
(n_11 - n_22) / n and bias index (n_12 - n_21) / n, of two categories, say why kappa is low where po is high.

Cohen J. Educ Psychol Meas 1960;20:37-46, and Psychol Bull 1968;70:213-20 (weights). Fleiss JL, Cohen J,
Everitt BS. Large sample standard errors of kappa and weighted kappa. Psychol Bull 1969;72:323-7. Byrt T,
Bishop J, Carlin JB. Bias, prevalence and kappa. J Clin Epidemiol 1993;46:423-9.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any, ClassVar

import numpy as np
import pandas as pd
from scipy.stats import norm

from studykit.trust.agreement import (
    ONE_READER,
    Coefficient,
    Corrected,
    check_cases,
    corrected,
    percent_row,
    ratings_of,
    told_rows,
)
from studykit.trust.statistic import NotEstimable, row

NOT_ALONE = "cases of one patient are alike, and the test by chance takes them as independent"


@dataclass(frozen=True)
class CohenKappa(Coefficient, name="cohen_kappa"):
    """Agreement of two readers beyond chance; of more, every pair by itself. n: cases that both rated."""

    title: ClassVar[str] = "Cohen's kappa"
    question: ClassVar[str] = "Do two readers agree beyond chance?"
    wants: ClassVar[tuple[str, ...]] = ("reader", "case", "rating")
    uses: ClassVar[tuple[str, ...]] = ("patient",)
    crossed: ClassVar[bool] = True

    def rows(self, table: pd.DataFrame) -> Iterator[dict[str, Any]]:  # noqa: D102
        ratings, w, refused = ratings_of(table), None, ""
        if len(ratings.readers) < 2:
            raise NotEstimable(ONE_READER)
        try:
            ratings, w = self.weighed(ratings)
        except NotEstimable as why:
            refused = str(why)
        for a, b in combinations(range(len(ratings.readers)), 2):
            group = f"{ratings.readers[a]}, {ratings.readers[b]}"
            both = (ratings.crossed[[a, b]] >= 0).all(axis=0)
            x, y = ratings.crossed[a, both], ratings.crossed[b, both]
            patient = np.unique(ratings.patient[both], return_inverse=True)[1]
            try:
                check_cases(len(x))
                if refused:
                    raise NotEstimable(refused)
                found = cohen(x, y, w, patient)
                yield from told_rows(self.called, found, self.level, n=len(x), group=group)
                yield from _tested(found, x, y, w, group)
            except NotEstimable as why:
                yield row(self.called, n=len(x), group=group, why=str(why))
            yield percent_row((x == y).astype(float), patient, self.level, group)
            yield from _habits(x, y, ratings.categories, (ratings.readers[a], ratings.readers[b]), group)


def cohen(x: np.ndarray, y: np.ndarray, w: np.ndarray, patient: np.ndarray) -> Corrected:
    """Kappa of two readers' categories x and y (cases,), with the standard error of Fleiss et al. 1969.

    patient: (cases,), as in Ratings. Raises NotEstimable.
    """
    p, q = _shares(x, y, len(w))
    chance = p @ w @ q
    found = corrected(w[x, y], chance, (w @ q)[x] + (p @ w)[y] - 2 * chance, patient)
    return replace(found, error=found.error * np.sqrt(1 - 1 / found.patients))  # theirs divides by n


def error_under_chance(x: np.ndarray, y: np.ndarray, w: np.ndarray) -> float:
    """SE0 of kappa, were x and y (cases,) independent."""
    p, q = _shares(x, y, len(w))
    chance = p @ w @ q
    apart = w - (w @ q)[:, None] - p @ w
    return np.sqrt(max(0.0, p @ apart**2 @ q - chance**2) / len(x)) / (1 - chance)


def _shares(x: np.ndarray, y: np.ndarray, categories: int) -> tuple[np.ndarray, np.ndarray]:
    """How often each reader chose each category, (categories,) each."""
    return tuple(np.bincount(one, minlength=categories) / len(one) for one in (x, y))


def _tested(found: Corrected, x: np.ndarray, y: np.ndarray, w: np.ndarray, group: str) -> Iterator[dict]:
    """SE0, and z and p of no agreement beyond chance."""
    names, about = ("standard error under chance", "z", "p"), {"n": len(x), "group": group}
    if found.patients < len(x):
        yield from (row(name, **about, why=NOT_ALONE) for name in names)
        return
    error = error_under_chance(x, y, w)
    z = found.estimate / error if error > 0 else np.nan
    yield from (row(name, value, **about) for name, value in zip(names, (error, z, 2 * norm.sf(abs(z)))))


def _habits(x: np.ndarray, y: np.ndarray, categories: list, readers: tuple, group: str) -> Iterator[dict]:
    """Both readers' marginals, the prevalence index and the bias index."""
    about = {"n": len(x), "group": group}
    if not len(x):
        return
    shares = _shares(x, y, len(categories))
    for reader, share in zip(readers, shares):
        for category, value in zip(categories, share):
            yield row(f"share of '{category}', {reader}", value, **about)
    if len(categories) == 2:
        p, q = shares
        yield row("prevalence index", (p[0] - q[1]), **about)
        yield row("bias index", p[0] - q[0], **about)
    else:
        why = f"it is of two categories, here are {len(categories)}"
        yield from (row(name, **about, why=why) for name in ("prevalence index", "bias index"))
