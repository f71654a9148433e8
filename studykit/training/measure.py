"""How good predictions are: AUROC, balanced accuracy, Brier score, with patient-bootstrap intervals.

Patients are drawn with replacement, all cases of a patient together; the interval is the 2.5th to the
97.5th percentile. Two sets of predictions are compared on the same draws, so that the difference is
paired. With more than two classes AUROC is the mean over classes of one against the rest; with several
labels at once it is the mean over labels of with against without. Numbers are told by their mean absolute
error and R2.
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


def auroc_of_labels(truth: np.ndarray, p: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """The mean over labels that some cases have and some have not; truth and p are (N, labels)."""
    told = [k for k in range(p.shape[1]) if 0 < truth[:, k].sum() < len(truth)]
    each = [auroc(truth[:, k], np.stack([1 - p[:, k], p[:, k]], axis=1), weights) for k in told]
    return np.mean(each, axis=0) if each else np.full(len(weights), np.nan)


def brier_of_labels(truth: np.ndarray, p: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """The mean over labels and cases of (p - y)^2; arguments as `auroc_of_labels`."""
    return weights @ ((p - truth) ** 2).mean(axis=1) / weights.sum(axis=1)


def absolute_error(truth: np.ndarray, p: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """The mean of |value - truth|; truth (N,), p (N, 1)."""
    return weights @ np.abs(p[:, 0] - truth) / weights.sum(axis=1)


def r2(truth: np.ndarray, p: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """1 - squared error / squared distance from the mean; arguments as `absolute_error`."""
    mean = weights @ truth / weights.sum(axis=1)
    spread = (weights * (truth - mean[:, None]) ** 2).sum(axis=1)
    missed = weights @ (p[:, 0] - truth) ** 2
    return 1 - np.divide(missed, spread, out=np.full(len(weights), np.nan), where=spread > 0)


CLASSES: dict[str, Score] = {
    "AUROC": auroc,
    "balanced accuracy": balanced_accuracy,
    "Brier score": brier,
}
SCORES: dict[str, dict[str, Score]] = {
    "binary": CLASSES,
    "multiclass": CLASSES,
    "multilabel": {"AUROC": auroc_of_labels, "Brier score": brier_of_labels},
    "regression": {"mean absolute error": absolute_error, "R2": r2},
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
    kind: str = "multiclass",
    against: Sequence[str] = (),
    group: str = "group",
    label: str = "model",
    rival: str = "",
    resamples: int = 2000,
    seed: int = 0,
) -> pd.DataFrame:
    """Scores of predictions with intervals: statistic, group, estimate, low, high, n, why.

    truth: the column of class names ("a&b" for several labels, numbers for regression; NaN rows are left
    out); probabilities: one column a class, in the order of `classes`, or the one of the value; kind: of the
    task; group: the column of patients. With `against` (a rival's columns) follow the rival's scores and the
    paired difference, model minus rival.
    """
    table = table[table[truth].notna()]
    known = _known(table[truth], list(classes), kind)
    apart = len(np.unique(known, axis=0))
    if apart < 2:
        why = f"the cases are of {apart} class(es); two are needed"
        return not_estimable(label, why, len(table), kind)
    once, weights = np.ones((1, len(table))), draws(table[group], resamples, seed)
    p = table[list(probabilities)].to_numpy(dtype=float)
    q = table[list(against)].to_numpy(dtype=float) if against else None
    rows = []
    why = _lacking(known, list(classes), kind)
    for name, score in SCORES[kind].items():
        own = np.r_[score(known, p, once), score(known, p, weights)]
        rows.append(_row(name, label, own, len(table), why if np.isnan(own[0]) else ""))
        if q is not None:
            other = np.r_[score(known, q, once), score(known, q, weights)]
            gone = why if np.isnan(own[0] - other[0]) else ""
            rows.append(_row(name, rival, other, len(table), gone))
            rows.append(_row(name, f"{label} minus {rival}", own - other, len(table), gone))
    return pd.DataFrame(rows)


def not_estimable(group: str, why: str, n: int = 0, kind: str = "multiclass") -> pd.DataFrame:
    """The same table where nothing can be estimated, with the reason."""
    return pd.DataFrame([_row(name, group, [np.nan] * 3, n, why) for name in SCORES[kind]])


def _lacking(known: np.ndarray, classes: list[str], kind: str) -> str:
    """Which classes none of the cases is of, in words."""
    there = set(known) if kind in ("binary", "multiclass") else set(range(len(classes)))
    gone = [name for index, name in enumerate(classes) if index not in there]
    return f"no case of {', '.join(gone)} among these" if gone else "it cannot be computed from these cases"


def _known(column: pd.Series, classes: list[str], kind: str) -> np.ndarray:
    """The truth as the scores take it: class indices (N,), 0/1 rows (N, labels) or values (N,)."""
    if kind == "regression":
        return column.to_numpy(dtype=float)
    if kind == "multilabel":
        return np.array([[name in str(cell).split("&") for name in classes] for cell in column], dtype=int)
    return np.array([classes.index(name) for name in column], dtype=int)


def _row(statistic: str, group: str, values: Sequence[float], n: int, why: str = "") -> dict:
    """The first value is the estimate, the others the draws (those without a value are left out)."""
    drawn = np.asarray(values[1:])
    drawn = drawn[~np.isnan(drawn)]
    low, high = np.percentile(drawn, [2.5, 97.5]) if len(drawn) else (np.nan, np.nan)
    row = {"statistic": statistic, "group": group, "estimate": values[0], "low": low, "high": high}
    return {**row, "n": n, "why": why}
