"""How good predictions are, as plain functions that take many weightings of the cases at once.

A score takes truth, p and weights (R, N), how often each case counts in each of R draws, and gives (R,)
values; patients drawn with replacement (`draws`) so become an interval. With more than two classes AUROC is
the mean over classes of one against the rest; with several labels at once it is the mean over labels of with
against without.
"""

from collections.abc import Callable, Sequence

import numpy as np

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


def accuracy(truth: np.ndarray, p: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """The share of cases whose likeliest class is the true one; arguments as `auroc`."""
    count = weights.sum(axis=1)
    right = weights @ (p.argmax(axis=1) == truth)
    return np.divide(right, count, out=np.full(len(weights), np.nan), where=count > 0)


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
ERRORS = ("Brier score", "mean absolute error")  # less is better


def draws(groups: Sequence[str], resamples: int, seed: int) -> np.ndarray:
    """How often each case counts in each bootstrap draw of patients, (resamples, N)."""
    _, patient = np.unique(np.asarray(groups), return_inverse=True)
    count = patient.max() + 1
    rng = np.random.default_rng(seed)
    times = rng.multinomial(count, np.full(count, 1 / count), size=resamples)
    return times[:, patient].astype(float)
