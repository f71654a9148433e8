"""Each reader's accuracy under each condition, and how these vary together through the cases they share.

A number that is a mean of one value a case, or AUC with its placements, is moved by (value - mean) / m by
each of its m cases of a class. The covariance of two numbers is the sum of the products of their moves over
the patients that both have; where they share none it is 0. The methods differ in one factor: with c patients
in a class and t in all,
    DeLong     c / (c - 1)                        each class by itself (unbiased for means)
    jackknife  c^2 / (c - 1)^2 (t - 1) / t        leaving out one patient at a time
    bootstrap  the covariance over draws of patients, of each class and block as many as there are.
Cases of one patient move together (Obuchowski, Biometrics 1997;53:567).
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from studykit.scores import draws
from studykit.trust.auc import placements, weighted_auc
from studykit.trust.readings import Readings, design, seen

COVARIANCES = ("jackknife", "delong", "bootstrap")


@dataclass(frozen=True, eq=False)
class Accuracy:
    """estimate: (conditions, readers), NaN where a reader has none; covariance: twice that shape."""

    estimate: np.ndarray
    covariance: np.ndarray


def accuracy(
    readings: Readings, measure: str, covariance: str, resamples: int = 1000, seed: int = 0
) -> Accuracy:
    """The readers' accuracies. Sensitivity and its like take ratings of 0 and 1.

    A covariance is NaN where a number rests on one patient of a class.
    """
    shape = readings.ratings.shape
    estimate, drawn = np.full(shape[:2], np.nan), covariance == "bootstrap"
    weights = _draws(readings, resamples, seed) if drawn else None
    moved = np.zeros((*shape[:2], resamples if drawn else readings.patient.max() + 1))
    for i, j in np.ndindex(*shape[:2]):
        there = readings.read[i, j]
        ratings, positive = readings.ratings[i, j, there], readings.positive[there]
        parts = _parts(measure, ratings, positive)
        if any(not len(values) for _, values in parts):
            continue
        estimate[i, j] = _together(measure, [values.mean() for _, values in parts])
        if drawn:
            moved[i, j] = _drawn(measure, ratings, positive, weights[:, there])
        else:
            moved[i, j] = _moves(parts, readings.patient[there], covariance, moved.shape[2])
    if drawn:
        moved = _deviations(moved)
    together = np.einsum("ijp,klp->ijkl", moved, moved, optimize=True)
    return Accuracy(estimate, np.where(shared(readings), together, 0.0))


def _parts(measure: str, ratings: np.ndarray, positive: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """What a measure is the mean of: pairs of (which cases, their values)."""
    if measure == "auc":
        if positive.all() or not positive.any():
            return [(positive, np.empty(0))]
        return list(
            zip((positive, ~positive), placements(ratings[positive], ratings[~positive]), strict=True)
        )
    right = (ratings == positive).astype(float)
    classes = {
        "sensitivity": [positive],
        "specificity": [~positive],
        "accuracy": [np.full(len(positive), True)],
        "youden": [positive, ~positive],
    }
    return [(of_class, right[of_class]) for of_class in classes[measure]]


def _together(measure: str, means: list):
    """The measure from the means of its parts."""
    return sum(means[1:], means[0]) - 1 if measure == "youden" else means[0]


def _moves(parts: list, patient: np.ndarray, covariance: str, patients: int) -> np.ndarray:
    """(patients,): how far the number is moved by each patient."""
    total = len(np.unique(np.concatenate([patient[cases] for cases, _ in parts])))
    moved = np.zeros(patients)
    for cases, values in parts:
        count = len(np.unique(patient[cases]))
        if count < 2:
            return np.full(patients, np.nan)
        factor = count / (count - 1)
        if covariance == "jackknife":
            factor *= factor * (total - 1) / total
        by_patient = np.bincount(patient[cases], weights=values - values.mean(), minlength=patients)
        moved += np.sqrt(factor) * by_patient / len(values)
    return moved


def _drawn(measure: str, ratings: np.ndarray, positive: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """(draws,): the number in each draw, NaN in those without cases of a class."""
    if measure == "auc":
        return weighted_auc(ratings, positive, weights)
    means = []
    for cases, values in _parts(measure, ratings, positive):
        count = weights[:, cases].sum(axis=1)
        hits = weights[:, cases] @ values
        means.append(np.divide(hits, count, out=np.full(len(weights), np.nan), where=count > 0))
    return _together(measure, means)


def _deviations(moved: np.ndarray) -> np.ndarray:
    """Draws about their mean, so that sums of products are covariances; without those that lack a number."""
    whole = moved[:, :, np.isfinite(moved).all(axis=(0, 1))]
    if 2 * whole.shape[2] < max(moved.shape[2], 4):
        return np.full_like(moved, np.nan)
    return (whole - whole.mean(axis=2, keepdims=True)) / np.sqrt(whole.shape[2] - 1)


def _draws(readings: Readings, resamples: int, seed: int) -> np.ndarray:
    """(resamples, cases): how often each case counts; drawn are patients, within class and block."""
    weights = np.ones((resamples, len(readings.positive)))
    for place, cases in enumerate(_strata(readings)):
        weights[:, cases] = draws(readings.patient[cases], resamples, seed + place)
    return weights


def _strata(readings: Readings) -> Iterator[np.ndarray]:
    """The cases of each stratum; all cases of a patient are in one."""
    blocks = design(readings.read, readings.patient).blocks
    block = np.array([blocks[who.argmax()] for who in readings.read.any(axis=0).T])
    per_patient = np.stack([readings.positive, ~readings.positive, block]).T.astype(int)
    signature = np.zeros((readings.patient.max() + 1, 3), dtype=int)
    np.maximum.at(signature, readings.patient, per_patient)
    _, stratum = np.unique(signature, axis=0, return_inverse=True)
    for number in range(stratum.max() + 1):
        cases = np.flatnonzero(stratum.ravel()[readings.patient] == number)
        if len(cases):
            yield cases


def shared(readings: Readings) -> np.ndarray:
    """(conditions, readers, conditions, readers): whether two numbers share a patient."""
    shape = readings.ratings.shape[:2]
    shown = seen(readings.read, readings.patient).reshape(shape[0] * shape[1], -1).astype(float)
    return (shown @ shown.T > 0).reshape(shape * 2)
