"""Simulated reader studies whose true difference is known: the model of Roe and Metz.

A rating is the sum of normal effects, each drawn anew for positive and for negative cases t:
    X = mu_i [positive] + R_jt + C_kt + (TR)_ijt + (TC)_ikt + (RC)_jkt + E_ijkt
of condition i, reader j, case k. Var(R) = Var(TR); C + TC + RC + E = 1. Over readers and cases
    AUC_i = Phi(mu_i / sqrt(2 + 2 Var(R) + 2 Var(TR))), so mu_i is chosen for the AUC that is wanted.
Structures: the first letter is high or low correlation of cases, the second high or low variance of readers.

Roe & Metz, Acad Radiol 1997;4:298 (table 1). Equation of AUC: Hillis, Acad Radiol 2012;19:1518.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy import stats

from studykit.catalog import InputError, check_choice
from studykit.trust.readings import Readings

# {first letter: Var of C, TC, RC, E}
CASES = {"H": (0.3, 0.3, 0.2, 0.2), "L": (0.1, 0.1, 0.2, 0.6)}
# {second letter: Var(R) where the AUC is about .702, .855, .962}
READERS = {"H": (0.011, 0.03, 0.056), "L": (0.0055, 0.0055, 0.0055)}
LEVELS = (0.702, 0.855, 0.962)
STRUCTURES = ("HH", "HL", "LH", "LL")
DESIGNS = ("crossed", "split-plot", "cases nested", "readers nested")


def reader_variance(structure: str, auc: Sequence[float]) -> float:
    """Var(R) = Var(TR) of a structure, as Roe and Metz chose it for the AUC nearest to the mean of these."""
    check_choice("structure of Roe and Metz", structure, STRUCTURES)
    return READERS[structure[1]][int(np.argmin([abs(np.mean(auc) - level) for level in LEVELS]))]


def simulated(
    rng: np.random.Generator,
    readers: int,
    positive: int,
    negative: int,
    auc: Sequence[float] = (0.855, 0.855),
    structure: str = "HL",
    design: str = "crossed",
    blocks: int = 1,
    binned: bool = False,
) -> Readings:
    """One study; `roe_metz` says what the arguments are."""
    check_choice("design of a simulated study", design, DESIGNS)
    _check(readers, positive, negative, auc, design, blocks)
    variance = reader_variance(structure, auc)
    own = len(auc) if design in ("cases nested", "readers nested") else blocks  # sets of readers or of cases
    many = readers * (own if design == "readers nested" else 1)
    each = np.repeat([True, False], [positive, negative])
    truth = np.tile(each, own if design in ("cases nested", "split-plot") else 1)
    ratings = _latent(rng, (len(auc), many, len(truth)), truth, variance, CASES[structure[0]])
    heights = stats.norm.ppf(auc) * np.sqrt(2 + 4 * variance)
    ratings += heights[:, None, None] * truth
    if binned:
        ratings = np.digitize(ratings, np.linspace(0, heights.mean(), 4)) + 1.0
    condition, reader, case = np.ogrid[: len(auc), :many, : len(truth)]
    there = {
        "crossed": True,
        "cases nested": case // len(each) == condition,
        "readers nested": reader // readers == condition,
        "split-plot": case // len(each) == reader * blocks // readers,
    }[design]
    ratings[~np.broadcast_to(there, ratings.shape)] = np.nan
    return Readings(
        _names("condition", len(auc)), _names("reader", many), ratings, truth, np.arange(len(truth))
    )


def _check(
    readers: int, positive: int, negative: int, auc: Sequence[float], design: str, blocks: int
) -> None:
    if min(readers, positive, negative, blocks, len(auc)) < 1:
        raise InputError("A simulated study needs a reader, a condition, a positive and a negative case.")
    if not all(0 < area < 1 for area in auc):
        raise InputError("The true AUC of a simulated study lies between 0 and 1.")
    if (design == "split-plot") != (blocks > 1) or readers % blocks:
        raise InputError(
            "A split-plot study has two blocks or more, of as many readers each; others have one."
        )


def _latent(
    rng: np.random.Generator, shape: tuple[int, int, int], truth: np.ndarray, reader: float, cases: tuple
) -> np.ndarray:
    """Ratings without their means: effects of readers are drawn for each truth, of cases for each case."""
    i, j, k = shape
    for_truth = truth.astype(int)
    of_readers = rng.normal(size=(1, j, 2)) + rng.normal(size=(i, j, 2))
    ratings = np.sqrt(reader) * of_readers[:, :, for_truth]
    for variance, size in zip(cases, ((1, 1, k), (i, 1, k), (1, j, k), (i, j, k)), strict=True):
        ratings = ratings + np.sqrt(variance) * rng.normal(size=size)
    return ratings


def _names(what: str, count: int) -> list[str]:
    return [f"{what} {k + 1:0{len(str(count))}d}" for k in range(count)]


def roe_metz(
    readers: int = 5,
    positive: int = 50,
    negative: int = 50,
    auc: Sequence[float] = (0.855, 0.855),
    structure: str = "HL",
    seed: int = 0,
    design: str = "crossed",
    blocks: int = 1,
    binned: bool = False,
) -> pd.DataFrame:
    """A simulated study: reader, condition, case, truth (1 positive), rating.

    auc: the true AUC of each condition, over all readers and cases. structure: HH, HL, LH or LL. design:
    crossed; split-plot (readers and their own cases in `blocks`, all conditions); cases nested (other cases
    in each condition); readers nested (other readers in each). positive, negative: cases in each block or
    set; readers: in all, or in each condition where they are nested. binned: ratings 1 to 5 cut at fixed
    places, which lowers AUC a little (the difference of equal conditions stays 0). Raises InputError.
    """
    rng = np.random.default_rng(seed)
    study = simulated(rng, readers, positive, negative, auc, structure, design, blocks, binned)
    return long_table(study)


def long_table(read: Readings) -> pd.DataFrame:
    """A row a reading: reader, condition, case, truth, rating."""
    i, j, k = np.nonzero(read.read)
    cases = np.array(_names("case", len(read.positive)))
    return pd.DataFrame(
        {
            "reader": np.array(read.readers)[j],
            "condition": np.array(read.conditions)[i],
            "case": cases[k],
            "truth": read.positive[k].astype(int),
            "rating": read.ratings[i, j, k],
        }
    )
