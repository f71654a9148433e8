"""Relevance mass accuracy: which share of the map's weight lies in the region?

RMA = sum of h in the region / sum of h over all places; h is what speaks for the class, what speaks against
it counting as 0. A map that knows nothing gets the region's share of the places, K / N.

Arras L, Osman A, Samek W. CLEVR-XAI: a benchmark dataset for the ground truth evaluation of neural network
explanations. Information Fusion 2022;81:14-40, arXiv 2003.07258.

What the scores of this room share about cases and places stands here, too: `counted`, `area`, `with_reasons`.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from studykit.catalog import InputError, check_choice
from studykit.quality.score import Asked, Score, Scored, speaking

SILENT = "nothing in the map speaks for the class"
NEGATIVES = ("cut", "shift", "absolute")


@dataclass(frozen=True)
class RelevanceMass(Score, name="relevance_mass"):
    """negative: what to do with what speaks against the class.

    cut: it counts as 0. shift: the map's minimum is taken off, so that nothing is below 0. absolute: it
    counts as much as what speaks for the class.
    """

    negative: str = "cut"

    title = "Relevance mass accuracy"
    asks = "Which share of the map's weight lies in the region?"
    wants_region = True

    def __post_init__(self):
        check_choice("'negative' of relevance_mass", self.negative, NEGATIVES)

    def scored(self, asked: Asked) -> dict[str, Scored]:  # noqa: D102
        heat = counted(asked)
        values = relevance_mass(heat, asked.region, self.negative)
        return {self.name: with_reasons(asked, heat, values, area(heat, asked.region))}


def relevance_mass(heat: np.ndarray, region: np.ndarray, negative: str = "cut") -> np.ndarray:
    """The share (B,) of the maps' weight that lies in the region (Arras et al. 2022).

    heat: (B, *space), NaN where there is no place; region: (B, *space) bool; negative: see `RelevanceMass`.
    NaN for an empty region and where the map has no weight. Raises InputError where the shapes differ.
    """
    return np.array([_mass(weight(h, negative), inside) for h, inside in by_case(heat, region)])


def _mass(h: np.ndarray, inside: np.ndarray) -> float:
    return (h * inside).sum() / h.sum() if inside.any() and h.any() else np.nan


def weight(heat: np.ndarray, negative: str) -> np.ndarray:
    """What counts of one case's values (N,), none below 0."""
    check_choice("way to treat what speaks against the class", negative, NEGATIVES)
    if negative == "cut":
        return speaking(heat)
    if negative == "shift":
        return heat - heat.min() if heat.size else heat
    return np.abs(heat)


def by_case(heat: np.ndarray, region: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Of each case the values of its places (N,), and which of these lie in the region (N,) bool."""
    heat, region = np.asarray(heat, dtype=np.float64), np.asarray(region, dtype=bool)
    if heat.shape != region.shape:
        raise InputError(
            f"The maps are {heat.shape} and the region is {region.shape}; give one of the same cases."
        )
    for h, inside in zip(heat, region, strict=True):
        there = ~np.isnan(h)
        yield h[there], inside[there]


def area(heat: np.ndarray, region: np.ndarray) -> np.ndarray:
    """The region's share (B,) of the places, K / N; NaN where it is empty."""
    return np.array([inside.mean() if inside.any() else np.nan for _, inside in by_case(heat, region)])


def counted(asked: Asked, heat: np.ndarray | None = None) -> np.ndarray:
    """The maps asked about (or `heat`) as (B, *space), NaN where nothing is to be counted.

    That is beyond the end of a text, all over a case that lacks the modality, and all over a map with a value
    that is no number.
    """
    heat = np.array(asked.heat if heat is None else heat, dtype=np.float64)
    broken = ~np.isfinite(heat).reshape(len(heat), -1).all(axis=1)
    heat[broken | lacking(asked)] = np.nan
    if asked.modality.kind == "text":
        heat[asked.batch.inputs[asked.modality.name].numpy() == 0] = np.nan
    return heat


def lacking(asked: Asked) -> np.ndarray:
    """Which cases (B,) have not got the modality."""
    x = asked.batch.inputs[asked.modality.name]
    return x.isnan().reshape(len(x), -1).all(dim=1).numpy()


def with_reasons(
    asked: Asked,
    heat: np.ndarray,
    values: np.ndarray,
    chance: np.ndarray | None = None,
    otherwise: str = SILENT,
    wants_region: bool = True,
) -> Scored:
    """The score of each case, with the reason where it is NaN; `heat` as `counted` gives it."""
    lacks, empty = lacking(asked), np.isnan(heat).reshape(len(heat), -1).all(axis=1)
    why = []
    for case, value in enumerate(values):
        if not np.isnan(value):
            why.append("")
        elif lacks[case]:
            why.append(f"the case has no {asked.modality.name}")
        elif empty[case]:
            why.append("the map holds values that are no numbers, or no place at all")
        elif wants_region and not (asked.region[case] & ~np.isnan(heat[case])).any():
            why.append("no region is known in this case")
        else:
            why.append(otherwise)
    return Scored(np.asarray(values, dtype=np.float64), chance, why)
