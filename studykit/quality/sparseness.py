"""Sparseness: is the map's weight on a few places, or spread over all?

G = 1 - 2 sum_k (|h|_(k) / sum |h|) (N - k + 1/2) / N, the Gini index, |h|_(1) <= ... <= |h|_(N) the sizes of
the map's values. 0: the same everywhere; 1 - 1/N: all on one place. A sparse map is easier to read; it is no
truer for that, so neither more nor less is better.

Hurley N, Rickard S. Comparing measures of sparsity. IEEE Trans Inf Theory 2009;55:4723-41.
Chalasani P et al. Concise explanations of neural networks using adversarial training. ICML 2020.
"""

from dataclasses import dataclass

import numpy as np

from studykit.quality.relevance_mass import by_case, counted, with_reasons
from studykit.quality.score import Asked, Score, Scored


@dataclass(frozen=True)
class Sparseness(Score, name="sparseness"):
    """No settings: the size of each value counts, for or against the class."""

    title = "Sparseness (Gini index)"
    asks = "Is the map's weight on a few places, or spread over all?"
    better = ""

    def scored(self, asked: Asked) -> dict[str, Scored]:  # noqa: D102
        heat = counted(asked)
        return {self.name: with_reasons(asked, heat, gini(heat), None, "the map is 0 everywhere", False)}


def gini(heat: np.ndarray) -> np.ndarray:
    """The Gini index (B,) of the sizes of the maps' values (Hurley and Rickard 2009).

    heat: (B, *space), NaN where there is no place. NaN where the map is 0 everywhere.
    """
    found = []
    for h, _ in by_case(heat, np.zeros(np.shape(heat), dtype=bool)):
        sizes = np.sort(np.abs(h))
        behind = (sizes.size - np.arange(sizes.size) - 0.5) / max(sizes.size, 1)  # (N - k + 1/2) / N
        found.append(1 - 2 * (sizes * behind).sum() / sizes.sum() if sizes.any() else np.nan)
    return np.array(found)
