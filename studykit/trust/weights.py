"""How bad a disagreement is: calling 1 what is 5 may weigh more than calling it 2.

Agreement weights w(k, l) lie between 0 and 1 and are 1 on the diagonal; x is a category's number:
unweighted w = [k = l]; linear w = 1 - |x_k - x_l| / (x_max - x_min); quadratic w = 1 - that share squared;
ordinal (Gwet) w = 1 - m(m-1)/2 / (q(q-1)/2), with m the number of categories from k to l, both counted.
Categories that are words have their places as numbers. Gwet's ordinal weights are not Krippendorff's ordinal
metric, which looks at how often each category between k and l was used.

Cohen J. Weighted kappa. Psychol Bull 1968;70:213-20. Gwet KL. Handbook of inter-rater reliability, 4th ed.
Gaithersburg: Advanced Analytics; 2014, chapter 3.
"""

from collections.abc import Sequence
from numbers import Real
from typing import Any

import numpy as np

from studykit.catalog import InputError, check_choice
from studykit.trust.statistic import NotEstimable

WEIGHTS = ("unweighted", "linear", "quadratic", "ordinal")
FAR = 1e150  # its square is still a number
MANY = 1000  # categories, beyond which they are measurements


def agreement_weights(weights: str | tuple, categories: Sequence[Any]) -> np.ndarray:
    """The agreement weights (q, q) of q categories in order.

    weights: a name of WEIGHTS, or disagreement weights d as rows of rows (`check_weights`), as in Cohen 1968:
    w = 1 - d / max(d). Raises NotEstimable where they do not fit the categories.
    """
    q = len(categories)
    if q > MANY:
        raise NotEstimable(
            f"there are {q} different ratings; for measurements use ICC or Krippendorff's alpha"
        )
    if not isinstance(weights, str):
        if len(weights) != q:
            raise NotEstimable(
                f"the matrix of weights is for {len(weights)} categories and the ratings have {q}; name all, "
                "in order, as `categories`"
            )
        matrix = np.asarray(weights, dtype=float)
        return 1 - matrix / matrix.max()
    if weights == "unweighted" or q == 1:
        return np.eye(q)
    if weights == "ordinal":
        apart = np.abs(np.arange(q)[:, None] - np.arange(q))
        return 1 - apart * (apart + 1) / (q * (q - 1))
    x = places(categories)
    apart = np.abs(x[:, None] - x) / np.ptp(x)
    return 1 - (apart if weights == "linear" else apart**2)


def places(categories: Sequence[Any]) -> np.ndarray:
    """The number (q,) that each category stands at: its own, or its place where some are words."""
    if not all(isinstance(category, Real) for category in categories):
        return np.arange(len(categories), dtype=float)
    return measurable(np.array(categories, dtype=float))


def measurable(x: np.ndarray) -> np.ndarray:
    """The numbers themselves; raises NotEstimable where their squares would be no numbers."""
    size = np.abs(x)
    if not (size < FAR).all() or (size.max() > 0 and size.max() < 1 / FAR):
        raise NotEstimable(f"some ratings are infinite, or all lie beyond {FAR:g} or below {1 / FAR:g}")
    return x


def check_weights(weights: str | tuple) -> None:
    """InputError where `weights` is neither a name of WEIGHTS nor a matrix of disagreement weights."""
    if isinstance(weights, str):
        check_choice("weights", weights, WEIGHTS)
        return
    try:
        matrix = np.array(weights, dtype=float)
    except (TypeError, ValueError):
        matrix = np.empty(0)
    square = matrix.ndim == 2 and matrix.shape[0] == matrix.shape[1] >= 2
    fits = square and np.isfinite(matrix).all() and (matrix >= 0).all() and matrix.max() > 0
    if not fits or (matrix != matrix.T).any() or np.diag(matrix).any():
        raise InputError(
            "Own weights are disagreement weights, a square of numbers of 0 or more, 0 on the diagonal and "
            f"the same on both sides of it; not {weights!r}."
        )


def with_weights(name: str, weights: str | tuple) -> str:
    """A coefficient's name with that of its weights."""
    told = weights if isinstance(weights, str) else "own"
    return name if told == "unweighted" else f"{name} ({told} weights)"
