"""Where the evidence of a case is known to be: in its reference mask, or where a phantom planted it."""

from collections.abc import Sequence

import numpy as np

from studykit.case import Batch, Modality
from studykit.datasets import Prepared

KNOWN = ("mask", "planted")


def known_by(prepared: Prepared, ids: Sequence[str]) -> str:
    """What tells the region in this data set: "planted" for phantoms that say it, else "mask"."""
    return "planted" if any(prepared.dataset.evidence(case) for case in ids[:8]) else "mask"


def region(prepared: Prepared, batch: Batch, modality: Modality, known: str) -> np.ndarray | None:
    """(B, *space) bool, of a table (B, F), of a text (B, T); all False in a case where it is not known.

    batch: with its masks, where `known` is "mask". None where such a modality has no regions.
    """
    if known == "mask":
        return batch.masks[modality.name].numpy() if modality.name in batch.masks else None
    pictured = modality.kind in ("image", "volume")
    shape = modality.shape[1:] if pictured else modality.shape
    found = np.zeros((len(batch), *shape), dtype=bool)
    for row, case in enumerate(batch.ids):
        told = prepared.dataset.evidence(case).get(modality.name)
        if told is None:
            continue
        if modality.kind == "table":
            told = [at for column in told for at in modality.sources.get(column, ())]
        if pictured:
            found[row] = told
        else:
            found[row, list(told)] = True
    return found
