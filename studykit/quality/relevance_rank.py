"""Relevance rank accuracy: of the K highest places of the map, how many lie in the region of K places?

RRA = |top-K(h) and region| / K, K the region's number of places, h the map with its signs. Places that tie at
the K-th value share what is left of K evenly: that is the expectation over all orders, and the raster order
does not matter. A map that knows nothing, a map that is the same everywhere too, gets K / N.

Arras L, Osman A, Samek W. CLEVR-XAI: a benchmark dataset for the ground truth evaluation of neural network
explanations. Information Fusion 2022;81:14-40, arXiv 2003.07258.
"""

from dataclasses import dataclass

import numpy as np

from studykit.quality.relevance_mass import area, by_case, counted, with_reasons
from studykit.quality.score import Asked, Score, Scored


@dataclass(frozen=True)
class RelevanceRank(Score, name="relevance_rank"):
    """No settings: only the order of the places counts."""

    title = "Relevance rank accuracy"
    asks = "Of the places ranked highest, as many as the region has, which share lies in it?"
    wants_region = True

    def scored(self, asked: Asked) -> dict[str, Scored]:  # noqa: D102
        heat = counted(asked)
        values = relevance_rank(heat, asked.region)
        return {self.name: with_reasons(asked, heat, values, area(heat, asked.region))}


def relevance_rank(heat: np.ndarray, region: np.ndarray) -> np.ndarray:
    """The share (B,) of the top K places that lie in the region of K places (Arras et al. 2022).

    heat: (B, *space), NaN where there is no place; region: (B, *space) bool. NaN for an empty region. Raises
    InputError where the shapes differ.
    """
    found = []
    for h, inside in by_case(heat, region):
        size = np.count_nonzero(inside)
        found.append((top(h, size) * inside).sum() / size if size else np.nan)
    return np.array(found)


def top(h: np.ndarray, count: int) -> np.ndarray:
    """How much of each place (N,) is among the `count` highest: 1, 0, or an even share where places tie."""
    last = np.partition(h, h.size - count)[h.size - count]
    above, tied = h > last, h == last
    return above + tied * ((count - above.sum()) / tied.sum())
