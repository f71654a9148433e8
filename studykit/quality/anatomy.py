"""Anatomical specificity: on which muscle, or other named region, does the map's weight fall?

mass = share of the map's weight in the region, area = the region's share of the places, lift = mass / area. A
lift of 1 is what a map gets that knows nothing of the anatomy.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from studykit.catalog import InputError
from studykit.datasets import Dataset
from studykit.quality.relevance_mass import area, relevance_mass

ELSEWHERE = "elsewhere"


def by_region(
    heat: np.ndarray,
    regions: Mapping[str, np.ndarray],
    ids: Sequence[str] | None = None,
    negative: str = "cut",
) -> pd.DataFrame:
    """One row a case and region: case, region, mass, area, lift, and for all places in none of them
    "elsewhere".

    heat: (B, *space); regions: {name: (B, *space) bool}; ids: (B,) the cases' names, else 0, 1, ...;
    negative: as in `RelevanceMass`. mass and lift are NaN where the map has no weight, all three in a case
    without the region. Raises InputError where shapes or numbers of cases differ.
    """
    names = [str(at) for at in range(len(heat))] if ids is None else list(ids)
    if len(names) != len(heat):
        raise InputError(f"There are {len(heat)} maps and {len(names)} names of cases; give one name a map.")
    regions = {name: np.asarray(where, dtype=bool) for name, where in regions.items()}
    covered = np.logical_or.reduce([np.zeros(np.shape(heat), dtype=bool), *regions.values()])
    parts = []
    for name, where in {**regions, ELSEWHERE: ~covered}.items():
        mass, share = relevance_mass(heat, where, negative), area(heat, where)
        about = {"case": names, "region": name, "mass": mass, "area": share, "lift": mass / share}
        parts.append(pd.DataFrame(about))
    return pd.concat(parts, ignore_index=True)


def muscles(
    dataset: Dataset, ids: Sequence[str], heat: np.ndarray, modality: str, negative: str = "cut"
) -> pd.DataFrame:
    """`by_region` for the muscles, bones and fat of a phantom that knows them, with a column modality.

    ids: (B,) the cases of the maps heat (B, H, W), in their order; the compartments are found by these names.
    Raises InputError where the data set knows no compartments or does not have the modality at this size.
    """
    if not hasattr(dataset, "compartments"):
        raise InputError(
            f"The data set {dataset.name} does not know which muscle is where; choose leg_phantom."
        )
    shapes = {one.name: one.shape[1:] for one in dataset.pictures}
    if shapes.get(modality) != np.shape(heat)[1:]:
        raise InputError(
            f"Maps of {np.shape(heat)[1:]} are none of '{modality}'; {dataset.name} has "
            f"{', '.join(f'{name} {shape}' for name, shape in shapes.items())}."
        )
    if len(ids) != len(heat):
        raise InputError(f"There are {len(heat)} maps and {len(ids)} names of cases; give one name a map.")
    found = [dataset.compartments(case) for case in ids]
    regions = {name: np.array([one[name] for one in found]) for name in (found[0] if found else ())}
    return by_region(heat, regions, ids, negative).assign(modality=modality)
