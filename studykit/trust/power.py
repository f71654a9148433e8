"""How many readers and cases a planned study needs to find a difference of AUC.

From a pilot (Hillis, Obuchowski & Berbaum 2011): the variance of readers' effects stays, what is due to cases
shrinks by pilot cases / planned cases = q. With d the difference, J readers, c = max(Cov2 - Cov3, 0),
    error = Var(TR) + q (Var - Cov1 + (J - 1) c),  Var(TR) = MS(TR) - Var + Cov1 + c, at least 0
    noncentrality = J d^2 / 2 / error,  df = error^2 / ((Var(TR) + q (Var - Cov1 - c))^2 / (J - 1))
    power = P(F(1, df, noncentrality) > the F that is exceeded by chance with probability alpha).
FRRC leaves out Var(TR) and takes chi-square; RRFC leaves out c's readers. From nothing but assumptions:
studies simulated by Roe and Metz's model, each analysed as it will be, and counted.

Hillis, Obuchowski & Berbaum, Acad Radiol 2011;18:129. Hillis & Schartz, J Med Imaging 2018;5:045503.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
import pandas as pd
from scipy import special, stats

from studykit.catalog import InputError, check_choice
from studykit.trust.mrmc import Mrmc, covariances
from studykit.trust.obuchowski_rockette import ANALYSES, Comparison
from studykit.trust.reader_accuracy import accuracy
from studykit.trust.readings import Readings, readings
from studykit.trust.roe_metz import reader_variance, simulated
from studykit.trust.statistic import NotEstimable, cleaned, renamed

MOST_CASES = 100_000


@dataclass(frozen=True)
class Pilot:
    """What a study tells about the next one: how many cases a reader read, and the variances of AUCs."""

    cases: int
    ms_tr: float
    var: float
    cov1: float
    cov2: float
    cov3: float

    @property
    def between(self) -> float:
        """Cov2 - Cov3, at least 0: what two readers' differences share."""
        return max(self.cov2 - self.cov3, 0)

    @property
    def var_tr(self) -> float:
        """Variance of readers' own differences, at least 0."""
        return max(self.ms_tr - self.var + self.cov1 + self.between, 0)


def pilot(table: pd.DataFrame, positive: Any = None, covariance: str = "jackknife", **columns: str) -> Pilot:
    """The variances of a study of two conditions or more whose readers read under all of them.

    Raises InputError for a missing column, NotEstimable for a study that does not tell them.
    """
    asked = Mrmc(covariance=covariance, positive=positive)
    read = readings(cleaned(renamed(table, asked, columns), asked), positive)
    found = accuracy(read, "auc", covariance)
    whole = Comparison(read, found, tuple(range(len(read.conditions))))
    if len(read.conditions) < 2 or whole.nested or not whole.error.df or not whole.design.alike:
        raise NotEstimable("a pilot needs two readers or more who read under the same two conditions or more")
    means = covariances(read, found)
    if whole.design.words.startswith("partly") or not means["Cov2"][1]:
        raise NotEstimable("readers of a pilot read the same cases, all together or in blocks; these do not")
    told = [mean if pairs else 0.0 for mean, pairs in means.values()]
    cases = round(read.read[np.isfinite(found.estimate)].sum(axis=1).mean())
    return Pilot(cases, float(whole.error.ms), *map(float, told))


def planned_power(
    pilot: Pilot,
    difference: float,
    readers: Sequence[int],
    cases: Sequence[int],
    analysis: str = "RRRC",
    alpha: float = 0.05,
) -> pd.DataFrame:
    """Power for each number of readers and cases, by the equations above.

    Gives readers, cases, power, df, noncentrality and the assumptions: analysis, difference, alpha. The share
    of positive cases is taken to be the pilot's, and two conditions. Raises InputError.
    """
    check_choice("analysis", analysis, ANALYSES)
    _check(alpha, readers, cases)
    if not np.isfinite(difference):
        raise InputError(f"The difference of AUC to be found is a number; it is {difference}.")
    rows = []
    for count, planned in product(readers, cases):
        found = _power(pilot, difference, count, planned, analysis, alpha)
        rows.append((count, planned, *found, analysis, difference, alpha))
    columns = ["readers", "cases", "power", "df", "noncentrality", "analysis", "difference", "alpha"]
    return pd.DataFrame(rows, columns=columns)


def _check(alpha: float, readers: Sequence[int], cases: Sequence[int]) -> None:
    if not 0 < alpha < 1:
        raise InputError(f"The significance level lies between 0 and 1; it is {alpha}.")
    counts = (*readers, *cases)
    if not len(readers) or not len(cases) or not all(2 <= count < np.inf for count in counts):
        raise InputError("A planned study has two readers and two cases or more.")


def _power(
    pilot: Pilot, difference: float, readers: int, cases: int, analysis: str, alpha: float
) -> tuple[float, float, float]:
    """Power, degrees of freedom, noncentrality."""
    shrunk = pilot.cases / cases
    alone = pilot.var - pilot.cov1
    ms = pilot.var_tr + shrunk * max(alone - pilot.between, 0)
    error = {
        "RRRC": ms + shrunk * readers * pilot.between,
        "FRRC": shrunk * (alone + (readers - 1) * pilot.between),
        "RRFC": ms,
    }[analysis]
    if not error > 0:
        return np.nan, np.nan, np.nan
    beyond = readers * difference**2 / 2 / error
    if analysis == "FRRC" or not ms:
        return 1 - special.chndtr(stats.chi2.isf(alpha, 1), 1, beyond), np.inf, beyond
    df = (readers - 1) * (error / ms) ** 2
    return 1 - special.ncfdtr(1, df, beyond, stats.f.isf(alpha, 1, df)), df, beyond


def sample_size(
    pilot: Pilot,
    difference: float,
    readers: Sequence[int],
    power: float = 0.8,
    analysis: str = "RRRC",
    alpha: float = 0.05,
) -> pd.DataFrame:
    """The fewest cases that reach the power, for each number of readers; columns as of `planned_power`.

    Where 100,000 cases do not reach it, cases and power are those, and `reached` is False: more readers are
    needed, not more cases.
    """
    check_choice("analysis", analysis, ANALYSES)
    _check(alpha, readers, [MOST_CASES])
    if not 0 < power < 1:
        raise InputError(f"Power lies between 0 and 1; it is {power}.")
    if not np.isfinite(difference) or not difference:
        raise InputError(f"No number of cases finds a difference of {difference}; give the one to be found.")
    parts = []
    for count in readers:
        low, high = 2, MOST_CASES
        while low < high:
            middle = (low + high) // 2
            enough = _power(pilot, difference, count, middle, analysis, alpha)[0] >= power
            low, high = (low, middle) if enough else (middle + 1, high)
        parts.append(planned_power(pilot, difference, [count], [low], analysis, alpha))
    told = pd.concat(parts, ignore_index=True)
    return told.assign(wanted=power, reached=told["power"] >= power)


def simulated_power(
    readers: Sequence[int],
    cases: Sequence[int],
    auc: Sequence[float] = (0.8, 0.85),
    structure: str = "HL",
    prevalence: float = 0.5,
    design: str = "crossed",
    blocks: int = 1,
    analysis: str = "RRRC",
    covariance: str = "jackknife",
    alpha: float = 0.05,
    repeats: int = 500,
    seed: int = 0,
) -> pd.DataFrame:
    """The share of simulated studies in which the test of all conditions has p < alpha.

    cases: in all (a split-plot study's blocks share them out). Gives readers, cases, power, low, high
    (Clopper and Pearson, 95 %, of the simulation), refused (studies without a test, counted as not
    significant), and every assumption: the true AUC of each condition, structure, Var(R), prevalence, design,
    blocks, analysis, covariance, alpha, repeats, seed. Each line starts from the same seed. Raises
    InputError.
    """
    check_choice("analysis", analysis, ANALYSES)
    _check(alpha, readers, cases)
    if not 0 < prevalence < 1 or not 1 <= repeats < np.inf or len(auc) < 2:
        raise InputError("Simulated power needs a prevalence between 0 and 1, a repeat and two conditions.")
    assumed = {
        "auc": ", ".join(f"{area:g}" for area in auc), "structure": structure,
        "reader_variance": reader_variance(structure, auc), "prevalence": prevalence, "design": design,
        "blocks": blocks, "analysis": analysis, "covariance": covariance, "alpha": alpha, "repeats": repeats,
        "seed": seed,
    }  # fmt: skip
    sets = blocks * (len(auc) if design == "cases nested" else 1)
    rows = []
    for count, planned in product(readers, cases):
        rng = np.random.default_rng(seed)
        positive = round(planned * prevalence / sets)
        made = (count, positive, round(planned / sets) - positive, auc, structure, design, blocks)
        p = np.array([_p(simulated(rng, *made), analysis, covariance) for _ in range(repeats)])
        told = {"readers": count, "cases": planned, **_share(int((p < alpha).sum()), repeats)}
        rows.append({**told, "refused": int(np.isnan(p).sum()), **assumed})
    return pd.DataFrame(rows)


def _share(hits: int, repeats: int) -> dict[str, float]:
    ends = stats.binomtest(hits, repeats).proportion_ci(method="exact")
    return {"power": hits / repeats, "low": ends.low, "high": ends.high}


def _p(read: Readings, analysis: str, covariance: str) -> float:
    """The p of the test of all conditions; NaN where there is none."""
    found = accuracy(read, "auc", covariance)
    try:
        return Comparison(read, found, tuple(range(len(read.conditions)))).test(analysis)[3]
    except NotEstimable:
        return np.nan
