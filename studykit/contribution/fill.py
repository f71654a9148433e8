"""What stands where a part is taken away. The metric's value depends on it, so it is always stated.

A fill gives a whole stand-in for the cases, (N, *shape); where a part is occluded, its values are the
stand-in's.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from scipy.ndimage import gaussian_filter
from torch import Tensor

from studykit.case import Modality
from studykit.catalog import InputError, Named, build, is_spec, spec

UNKNOWN = 1.0  # the number of a word that the vocabulary lacks


class Fill(Named):
    """A way to fill. `kinds`: the modalities that it can fill."""

    kinds: tuple[str, ...] = ("image", "volume", "table", "text")

    def filled(self, values: Tensor, modality: Modality, reference: Tensor | None) -> Tensor:
        """The stand-in (N, *shape), or what broadcasts to it; reference: training cases (R, *shape)."""
        raise NotImplementedError


@dataclass(frozen=True)
class Absent(Fill, name="absent"):
    """What stands for the modality's absence in its data set; in a text, no word."""

    def filled(self, values, modality, reference):  # noqa: D102
        return torch.as_tensor(modality.absent, dtype=torch.float64)


@dataclass(frozen=True)
class Value(Fill, name="value"):
    """One number everywhere."""

    value: float = 0.0

    def filled(self, values, modality, reference):  # noqa: D102
        return torch.as_tensor(self.value, dtype=torch.float64)


@dataclass(frozen=True)
class SampleMean(Fill, name="sample_mean"):
    """The mean over all of the case's own pixels and channels (the authors' choice for pictures)."""

    kinds = ("image", "volume")

    def filled(self, values, modality, reference):  # noqa: D102
        return values.flatten(1).mean(dim=1).view(-1, *[1] * (values.ndim - 1))


@dataclass(frozen=True)
class ChannelMean(Fill, name="channel_mean"):
    """The mean over the case's own pixels, channel by channel."""

    kinds = ("image", "volume")

    def filled(self, values, modality, reference):  # noqa: D102
        return values.flatten(2).mean(dim=2).view(*values.shape[:2], *[1] * (values.ndim - 2))


@dataclass(frozen=True)
class TrainingMean(Fill, name="training_mean"):
    """The mean over training cases, pixel by pixel and column by column."""

    kinds = ("image", "volume", "table")

    def filled(self, values, modality, reference):  # noqa: D102
        if reference is None:
            raise InputError(
                f"The fill training_mean of '{modality.name}' needs training cases; give them as reference."
            )
        mean = reference.to(values).nanmean(dim=0)
        if mean.isnan().any():
            raise InputError(
                f"The fill training_mean of '{modality.name}' needs training cases that have it; "
                "some of its numbers are in none of the reference."
            )
        return mean


@dataclass(frozen=True)
class Blur(Fill, name="blur"):
    """The case itself, blurred: what is fine is gone, what is coarse is kept.

    sigma: the Gaussian's standard deviation in pixels; 0 is an eighth of the longest side.
    """

    sigma: float = 0.0

    kinds = ("image", "volume")

    def filled(self, values, modality, reference):  # noqa: D102
        space = values.shape[2:]
        if self.sigma < 0:
            raise InputError(
                f"The fill blur of '{modality.name}' has no sigma of {self.sigma}; give 0 or more."
            )
        widths = (0, 0, *[self.sigma or max(space) / 8] * len(space))
        return torch.from_numpy(gaussian_filter(values.cpu().numpy(), widths)).to(values)


@dataclass(frozen=True)
class OtherCase(Fill, name="other_case"):
    """The same place of another case that has the modality, one drawn for each case: of the reference, else
    of these cases.

    What is put in is as real as what is taken away, but says something of its own.
    """

    seed: int = 0

    def filled(self, values, modality, reference):  # noqa: D102
        draw = torch.Generator().manual_seed(self.seed)
        others = values if reference is None else reference.to(values)
        having = (~others.flatten(1).isnan().all(dim=1)).nonzero().flatten()
        if len(having) < (2 if reference is None else 1):
            raise InputError(
                f"The fill other_case of '{modality.name}' needs other cases that have it; give a reference."
            )
        if reference is not None:
            return others[having[torch.randint(len(having), (len(values),), generator=draw)]]
        order = having[torch.randperm(len(having), generator=draw)]
        partner = torch.arange(len(values))
        partner[order] = order.roll(1)  # nobody is their own partner
        return values[partner]


@dataclass(frozen=True)
class Mask(Fill, name="mask"):
    """The number of a word that stands for no word in particular; studykit's unknown word is 1."""

    token: float = UNKNOWN

    kinds = ("text",)

    def filled(self, values, modality, reference):  # noqa: D102
        return torch.as_tensor(self.token, dtype=torch.float64)


def fill_of(wish: Any, modality: Modality) -> Fill | Tensor:
    """The fill that a person wishes for: a Fill, its name or spec, a number, or a tensor that stands in."""
    if isinstance(wish, int | float) and not isinstance(wish, bool):
        return Value(float(wish))
    if isinstance(wish, Tensor | np.ndarray):
        return torch.as_tensor(wish)
    fill = wish if isinstance(wish, Fill) else build(Fill, wish)
    if modality.kind not in fill.kinds:
        raise InputError(
            f"'{modality.name}' is {modality.kind} and cannot be filled by {fill.name}; "
            f"{fill.name} is for {' and '.join(fill.kinds)}."
        )
    return fill


def filled(fill: Fill | Tensor, values: Tensor, modality: Modality, reference: Tensor | None) -> Tensor:
    """The stand-in as (N, *shape)."""
    reference = None if reference is None else torch.as_tensor(reference)
    found = fill if isinstance(fill, Tensor) else fill.filled(values, modality, reference)
    if not values.is_floating_point() and not torch.equal(found, found.round()):
        raise InputError(
            f"The fill of '{modality.name}' is a fraction and its numbers are whole; give one such."
        )
    try:
        found = found.to(values).expand(values.shape)
    except RuntimeError:
        raise InputError(
            f"The fill of '{modality.name}' is {tuple(found.shape)} and its cases are {tuple(values.shape)}; "
            "give one number, or values of one case's shape."
        ) from None
    return found


def told(fill: Fill | Tensor) -> Any:
    """The fill as it is written down."""
    return "values that were given" if isinstance(fill, Tensor) else spec(fill)


def usual(wish: Any, name: str) -> Any:
    """The wish for the modality `name`, where some are given by modality; the others get "absent"."""
    if isinstance(wish, Mapping) and not is_spec(wish):
        return wish.get(name, "absent")
    return wish
