"""A phantom's cases without the evidence planted in them, or with nothing but it.

What is erased becomes "absent": a region of a picture the data set's absent value, the columns of the record
missing, a word unknown. A model that has learned a phantom must fail on the first and hold on the second;
this is how the phantom's own claim of where its label shows is put to the test.
"""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from studykit.case import Batch, Modality
from studykit.catalog import InputError
from studykit.datasets import Prepared

UNKNOWN = 1.0  # the number of a word that the vocabulary lacks


def erased(batch: Batch, prepared: Prepared, keep: bool) -> Batch:
    """The same cases with their evidence erased or, with `keep`, with all but their evidence erased.

    Raises InputError where none of the cases holds evidence, as cases of real patients do not.
    """
    known = [prepared.dataset.evidence(case) for case in batch.ids]
    if not any(known):
        raise InputError(
            f"Nobody knows where the label shows in the data set {prepared.dataset.name}; "
            "choose a phantom with planted evidence."
        )
    inputs = {}
    for name, values in batch.inputs.items():
        modality = prepared.schema.modality(name)
        cases = [_erased(*case, modality, keep) for case in zip(values, (k.get(name) for k in known))]
        inputs[name] = torch.stack(cases)
    return Batch(batch.ids, batch.groups, inputs, batch.targets, batch.masks)


def _erased(values: Tensor, evidence: Any, modality: Modality, keep: bool) -> Tensor:
    """One case's values of one modality; `evidence` is None where this modality does not show its label."""
    absent = torch.tensor(modality.absent, dtype=values.dtype).expand(values.shape)
    if evidence is None:
        return absent.clone() if keep else values
    if modality.kind == "text":
        absent = UNKNOWN * (values > 0)
    return torch.where(_where(evidence, modality) ^ keep, absent, values)


def _where(evidence: Any, modality: Modality) -> Tensor:
    """The evidence as bool of the modality's shape."""
    if modality.kind == "table":
        return _marked((at for name in evidence for at in modality.sources.get(name, ())), modality)
    if modality.kind == "text":
        return _marked((at for at in evidence if at < modality.shape[0]), modality)
    return torch.from_numpy(evidence).expand(modality.shape)


def _marked(positions: Iterable[int], modality: Modality) -> Tensor:
    found = torch.zeros(modality.shape, dtype=torch.bool)
    found[list(positions)] = True
    return found
