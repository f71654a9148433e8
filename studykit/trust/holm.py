"""Holm's adjustment: p-values of several comparisons, so that the chance of any false alarm stays at 5 %.

The k-th smallest of m p-values is multiplied by m - k + 1, never falls below the one before it, and is at
most 1. Holm, Scandinavian Journal of Statistics 1979;6:65.
"""

import numpy as np


def holm(p: np.ndarray) -> np.ndarray:
    """The adjusted p-values, in the order given; those that are NaN stay NaN and are not counted."""
    p = np.asarray(p, dtype=float)
    order = np.argsort(p)[: int(np.isfinite(p).sum())]  # NaN is sorted last
    adjusted = np.full(len(p), np.nan)
    steps = p[order] * np.arange(len(order), 0, -1)
    adjusted[order] = np.minimum(1, np.maximum.accumulate(steps))
    return adjusted
