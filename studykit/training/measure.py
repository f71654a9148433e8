"""How good predictions are: AUROC, balanced accuracy, Brier score, with patient-bootstrap intervals.

Patients are drawn with replacement, all cases of a patient together; the interval is the 2.5th to the
97.5th percentile. Two sets of predictions are compared on the same draws, so that the difference is
paired. With more than two classes AUROC is the mean over classes of one against the rest.
"""

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd

Score = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]


def auroc(truth: np.ndarray, p: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Mean over classes of P(score of a case of the class > score of another), ties counting half.

    truth: (N,) class indices; p: (N, classes); weights: (R, N), how often each case counts in each
    of R draws. Gives (R,), NaN where a draw lacks a class.
    """
    classes = range(p.shape[1]) if p.shape[1] > 2 else [1]
    each = []
    for one in classes:
        inside, outside = np.flatnonzero(truth == one), np.flatnonzero(truth != one)
        gap = p[inside, one][:, None] - p[outside, one][None, :]
        wins = (gap > 0) + 0.5 * (gap == 0)
        pairs = weights[:, inside].sum(1) * weights[:, outside].sum(1)
        won = np.einsum("ri,ij,rj->r", weights[:, inside], wins, weights[:, outside], optimize=True)
        each.append(np.divide(won, pairs, out=np.full(len(weights), np.nan), where=pairs > 0))
    return np.mean(each, axis=0)


def balanced_accuracy(truth: np.ndarray, p: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """The mean over classes of the share of its cases that are called right; arguments as `auroc`."""
    right = p.argmax(axis=1) == truth
    each = []
    for one in range(p.shape[1]):
        of_class = weights[:, truth == one]
        count = of_class.sum(1)
        hits = of_class @ right[truth == one]
        each.append(np.divide(hits, count, out=np.full(len(weights), np.nan), where=count > 0))
    return np.mean(each, axis=0)


def brier(truth: np.ndarray, p: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Mean squared distance of the probabilities from the truth; arguments as `auroc`.

    For two classes it is the usual (p - y)^2; for more, the sum over classes of (p - y)^2.
    """
    wanted = np.eye(p.shape[1])[truth]
    each = ((p - wanted) ** 2).sum(axis=1) / (2 if p.shape[1] == 2 else 1)
    return weights @ each / weights.sum(axis=1)


SCORES: dict[str, Score] = {
    "AUROC": auroc,
    "balanced accuracy": balanced_accuracy,
    "Brier score": brier,
}


def draws(groups: Sequence[str], resamples: int, seed: int) -> np.ndarray:
    """How often each case counts in each bootstrap draw of patients, (resamples, N)."""
    _, patient = np.unique(np.asarray(groups), return_inverse=True)
    count = patient.max() + 1
    rng = np.random.default_rng(seed)
    times = rng.multinomial(count, np.full(count, 1 / count), size=resamples)
    return times[:, patient].astype(float)


def measures(
    table: pd.DataFrame,
    truth: str,
    probabilities: Sequence[str],
    classes: Sequence[str],
    *,
    against: Sequence[str] = (),
    group: str = "group",
    label: str = "model",
    rival: str = "",
    resamples: int = 2000,
    seed: int = 0,
) -> pd.DataFrame:
    """Scores of predictions with intervals: statistic, group, estimate, low, high, n, why.

    truth: the column of class names (NaN rows are left out); probabilities: one column a class, in the
    order of `classes`; group: the column of patients. With `against` (a rival's columns) follow the
    rival's scores and the paired difference, model minus rival.
    """
    table = table[table[truth].notna()]
    index = np.array([list(classes).index(name) for name in table[truth]], dtype=int)
    if len(set(index)) < 2:
        why = f"the cases are of {len(set(index))} class(es); two are needed"
        return not_estimable(label, why, len(table))
    once, weights = np.ones((1, len(table))), draws(table[group], resamples, seed)
    p = table[list(probabilities)].to_numpy(dtype=float)
    q = table[list(against)].to_numpy(dtype=float) if against else None
    rows = []
    for name, score in SCORES.items():
        own = np.r_[score(index, p, once), score(index, p, weights)]
        rows.append(_row(name, label, own, len(table)))
        if q is not None:
            other = np.r_[score(index, q, once), score(index, q, weights)]
            rows.append(_row(name, rival, other, len(table)))
            rows.append(_row(name, f"{label} minus {rival}", own - other, len(table)))
    return pd.DataFrame(rows)


def not_estimable(group: str, why: str, n: int = 0) -> pd.DataFrame:
    """The same table where nothing can be estimated, with the reason."""
    return pd.DataFrame([_row(name, group, [np.nan] * 3, n, why) for name in SCORES])


def _row(statistic: str, group: str, values: Sequence[float], n: int, why: str = "") -> dict:
    """The first value is the estimate, the others the draws (those without a value are left out)."""
    drawn = np.asarray(values[1:])
    drawn = drawn[~np.isnan(drawn)]
    low, high = np.percentile(drawn, [2.5, 97.5]) if len(drawn) else (np.nan, np.nan)
    row = {"statistic": statistic, "group": group, "estimate": values[0], "low": low, "high": high}
    return {**row, "n": n, "why": why}
