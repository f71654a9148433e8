"""How sure a number is when readers are the sample: other readers drawn, or a t interval over these.

Readings of one reader are alike, so whole readers are drawn with replacement (a cluster bootstrap), or
each reader gives one number and these have a t interval. All intervals are at 95 %.

The percentile interval is widened for few readers (Hesterberg, The American Statistician 2015;69:371): with
n readers its ends stand at the shares Phi(-+ sqrt(n / (n - 1)) t) of the draws, t of n - 1 degrees of
freedom, so that it is as wide as a t interval. Simulated shares of unlike readers: it covers 90 % with 5
readers, 93 to 96 % with 8 or more. Wilson's interval: J Am Stat Assoc 1927;22:209.
"""

from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from studykit.trust.statistic import NotEstimable

FEWEST = 5  # readers, below which drawing readers tells nothing
BY_READING = "so the interval is Wilson's over readings, taken as independent"


def coded(column: pd.Series) -> tuple[np.ndarray, list]:
    """Which value stands in each row, as its place, and the values in order; -1 where there is none."""
    found, values = pd.factorize(column)
    values = list(values)
    try:
        order = sorted(range(len(values)), key=values.__getitem__)
    except TypeError:  # words and numbers
        order = sorted(range(len(values)), key=lambda k: str(values[k]))
    place = np.full(len(values) + 1, -1)
    place[order] = np.arange(len(values))
    return place[found], [values[k] for k in order]


def patients_of(table: pd.DataFrame, case: np.ndarray, cases: list) -> np.ndarray:
    """(cases,): which patient each case is of; a case whose patient is not known is its own."""
    if "patient" not in table or table["patient"].isna().all():
        return np.arange(len(cases))
    code, names = coded(table["patient"])
    patient = np.full(len(cases), -1)
    patient[case] = code
    wrong = np.flatnonzero(patient[case] != code)
    if len(wrong):
        raise NotEstimable(f"case {cases[case[wrong[0]]]} is said to be of more than one patient")
    alone = patient < 0
    patient[alone] = len(names) + np.arange(alone.sum())
    return np.unique(patient, return_inverse=True)[1]


def percentiles(drawn: np.ndarray, clusters: int) -> tuple[float, float]:
    """The ends of the widened percentile interval; NaN where fewer than half of the draws have a value."""
    finite = drawn[np.isfinite(drawn)]
    if clusters < 2 or 2 * len(finite) < len(drawn):
        return np.nan, np.nan
    tail = stats.norm.cdf(-np.sqrt(clusters / (clusters - 1)) * stats.t.ppf(0.975, clusters - 1))
    low, high = np.quantile(finite, [tail, 1 - tail])
    return low, high


def mean_over_readers(values: np.ndarray, span: tuple[float, float] = (-np.inf, np.inf)) -> dict[str, Any]:
    """The mean of one number a reader, with its t interval, cut at the ends of the scale (span).

    Gives estimate, low, high, n, why.
    """
    values = values[np.isfinite(values)]
    n = len(values)
    if not n:
        return {"why": "no reader has a value", "n": 0}
    told = {"estimate": values.mean(), "n": n}
    if n == 1:
        return {**told, "why": "one reader gives no interval over readers"}
    width = stats.t.ppf(0.975, n - 1) * values.std(ddof=1) / np.sqrt(n)
    if not width > 1e-12 * np.abs(values).max():
        return {**told, "why": f"all {n} readers have the same value, which gives no interval"}
    low, high = np.clip(told["estimate"] + np.array([-width, width]), *span)
    return {**told, "low": low, "high": high}


def wilson(hits: float, tries: float) -> dict[str, Any]:
    """A share of independent readings with Wilson's interval: estimate, low, high, n, why."""
    if not tries:
        return {"why": "0 of 0", "n": 0}
    z, p = stats.norm.ppf(0.975), hits / tries
    middle = (p + z**2 / (2 * tries)) / (1 + z**2 / tries)
    width = z / (1 + z**2 / tries) * np.sqrt(p * (1 - p) / tries + z**2 / (4 * tries**2))
    return {"estimate": p, "low": max(0, middle - width), "high": min(1, middle + width), "n": int(tries)}


def share(
    hits: np.ndarray, tries: np.ndarray, readers: np.ndarray | None, cases: np.ndarray | None = None
) -> dict[str, Any]:
    """A share of readings with an interval over readers, or Wilson's where `why` says so.

    hits, tries: (readers, cases), counts; readers, cases: (draws, readers) and (draws, cases), how often each
    counts in each draw; no readers where they are anonymous. Gives estimate, low, high, n (readings), why.
    """
    told = wilson(hits.sum(), tries.sum())
    active = int((tries.sum(axis=1) > 0).sum())
    if not told["n"]:
        return told
    if readers is None or active < FEWEST:
        few = f"{active} reader{'s are' if active > 1 else ' is'} fewer than {FEWEST}"
        return {**told, "why": f"{'the readers are anonymous' if readers is None else few}, {BY_READING}"}
    above, below = (_drawn(counts, readers, cases) for counts in (hits, tries))
    drawn = np.divide(above, below, out=np.full(len(readers), np.nan), where=below > 0)
    low, high = percentiles(drawn, active)
    if high - low > 1e-12:
        return {**told, "low": low, "high": high}
    same = "all readers have the same share" if high == low else "most draws of readers have none"
    return {**told, "why": f"{same}, {BY_READING}"}


def _drawn(counts: np.ndarray, readers: np.ndarray, cases: np.ndarray | None) -> np.ndarray:
    """(draws,): the sum of the counts in each draw."""
    if cases is None:
        return readers @ counts.sum(axis=1)
    return ((readers @ counts) * cases).sum(axis=1)


def cell_means(values: np.ndarray, *codes: np.ndarray) -> np.ndarray:
    """The mean value of each cell, NaN where empty; codes: for each axis, a place a row (from `coded`)."""
    shape = tuple(code.max() + 1 for code in codes)
    flat = np.ravel_multi_index(codes, shape)
    count = np.bincount(flat, minlength=np.prod(shape))
    total = np.bincount(flat, weights=values, minlength=np.prod(shape))
    return np.divide(total, count, out=np.full(len(count), np.nan), where=count > 0).reshape(shape)
