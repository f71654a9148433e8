"""Into which parts a modality is cut: patches, groups of columns, whole words, or what a mask says.

The metric adds up what each part changes, so its value depends on how fine the parts are; they are therefore
always stated. A cut is a map of part numbers over the modality, -1 where nothing is ever taken away.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import torch
from torch import Tensor

from studykit.case import Modality
from studykit.catalog import InputError, Named, build, check_choice, is_spec, spec


@dataclass(frozen=True)
class Cut:
    """ids: (1 or N, *shape or what broadcasts to it) part numbers, -1 for none. names: of the parts."""

    ids: Tensor
    names: tuple[str, ...]

    def of(self, cases: Tensor) -> Tensor:
        """The map of these cases, (len(cases), ...), or the one that all cases share, (1, ...)."""
        return self.ids if len(self.ids) == 1 else self.ids[cases]


class Parts(Named):
    """A way to cut. `kinds`: the modalities that it can cut."""

    kinds: tuple[str, ...] = ("image", "volume", "table", "text")

    def cut(self, values: Tensor, modality: Modality) -> Cut:
        """The parts of the cases `values` (N, *shape)."""
        raise NotImplementedError


@dataclass(frozen=True)
class Whole(Parts, name="whole"):
    """The modality in one part; of a text, all its words."""

    def cut(self, values: Tensor, modality: Modality) -> Cut:  # noqa: D102
        ids = torch.zeros(1, *[1] * (values.ndim - 1), dtype=torch.long, device=values.device)
        if modality.kind == "text":
            ids = -(values == 0).long()
        return Cut(ids, (modality.name,))


@dataclass(frozen=True)
class Patches(Parts, name="patches"):
    """Tiles of a picture or volume, all its channels at once; the last tile of a row may be smaller.

    size: a tile's side in pixels (voxels), or one for each axis; None is an eighth of the longest side.
    """

    size: int | tuple[int, ...] | None = None

    kinds = ("image", "volume")

    def cut(self, values: Tensor, modality: Modality) -> Cut:  # noqa: D102
        space = values.shape[2:]
        sides = self.sides(space)
        counts = [-(-length // side) for length, side in zip(space, sides, strict=True)]
        ids = torch.zeros((), dtype=torch.long, device=values.device)
        for length, side, count in zip(space, sides, counts, strict=True):
            line = torch.arange(length, device=values.device) // side
            ids = ids[..., None] * count + line  # axis by axis to ([D,] H, W)
        corners = product(*(range(count) for count in counts))
        names = tuple(
            ", ".join(
                f"{axis} {at * side}-{min((at + 1) * side, length) - 1}"
                for axis, at, side, length in zip("zyx"[-len(space) :], corner, sides, space, strict=True)
            )
            for corner in corners
        )
        return Cut(ids[None, None], names)

    def sides(self, space: Sequence[int]) -> tuple[int, ...]:
        """A tile's side along each axis; InputError where it does not suit this space."""
        size = -(-max(space) // 8) if self.size is None else self.size
        one = isinstance(size, int | float)
        sides = tuple(min(size, length) for length in space) if one else tuple(size)
        whole = all(isinstance(side, int) for side in sides) and len(sides) == len(space)
        if not whole or any(not 1 <= side <= length for side, length in zip(sides, space)):
            raise InputError(
                f"Patches of {self.size} do not fit a picture of {tuple(space)}; "
                "give one whole number of pixels, or one for each axis."
            )
        return sides


@dataclass(frozen=True)
class Columns(Parts, name="columns"):
    """Groups of a table's columns, occluded together: by default those made from one source column.

    groups: {name: columns}, by name or by position; columns in none of them are never occluded.
    """

    groups: Mapping[str, Any] | None = None

    kinds = ("table",)

    def cut(self, values: Tensor, modality: Modality) -> Cut:  # noqa: D102
        groups = self.groups
        if groups is None:
            groups = modality.sources or {f"column {at}": [at] for at in range(values.shape[1])}
        if not isinstance(groups, Mapping) or not groups:
            raise InputError(f"'{modality.name}' is given no part; name at least one, with its columns.")
        ids = torch.full((1, values.shape[1]), -1, dtype=torch.long, device=values.device)
        for part, (name, columns) in enumerate(groups.items()):
            positions = [self._position(c, modality, values.shape[1]) for c in _listed(columns)]
            if not positions:
                raise InputError(f"The part '{name}' of '{modality.name}' has no columns; leave it out.")
            if (ids[0, positions] >= 0).any() or len(set(positions)) < len(positions):
                raise InputError(
                    f"A column of '{modality.name}' stands in the part '{name}' and before it; name it once."
                )
            ids[0, positions] = part
        return Cut(ids, tuple(str(name) for name in groups))

    def _position(self, column: Any, modality: Modality, count: int) -> int:
        if isinstance(column, str):
            check_choice(f"column of '{modality.name}'", column, modality.columns)
            return modality.columns.index(column)
        whole = isinstance(column, int) and not isinstance(column, bool)
        if not whole or not -count <= column < count:
            raise InputError(
                f"'{modality.name}' has {count} columns, counted from 0; there is no column {column}."
            )
        return int(column) % count


@dataclass(frozen=True)
class Words(Parts, name="words"):
    """Each word of a text; places that hold none (number `padding`) are no parts."""

    padding: int = 0

    kinds = ("text",)

    def cut(self, values: Tensor, modality: Modality) -> Cut:  # noqa: D102
        places = torch.arange(values.shape[1], device=values.device).expand(values.shape)
        ids = places.masked_fill((values == self.padding) | values.isnan(), -1)
        return Cut(ids, tuple(f"word {at + 1}" for at in range(values.shape[1])))


USUAL = {"image": Patches(), "volume": Patches(), "table": Columns(), "text": Words()}


def cut(wish: Any, values: Tensor, modality: Modality) -> Cut:
    """The parts that a person wishes for, of the cases `values` (N, *shape).

    wish: None (`USUAL`), Parts or their spec or name, a whole number (patches of that side), {name: columns}
    of a table, {name: bool mask} of a picture, or a Captum-style mask: whole numbers of a shape that
    broadcasts to one case's or to all cases'; equal numbers are one part, negative ones are never occluded.
    A number that also stands in another modality's mask is another part: parts never span modalities.
    Raises InputError for a part without pixels, and for masks and ways to cut that do not fit.
    """
    if tuple(values.shape[1:]) != tuple(modality.shape):
        raise InputError(
            f"The cases of '{modality.name}' are {tuple(values.shape)} and a case of it is "
            f"{tuple(modality.shape)}; give cases of that shape, or another Modality."
        )
    if wish is None:
        return USUAL[modality.kind].cut(values, modality)
    if isinstance(wish, Mapping) and not is_spec(wish):
        if modality.kind == "table":
            wish = Columns(dict(wish))
        else:
            return _regions(wish, values, modality)
    if isinstance(wish, int) and not isinstance(wish, bool):
        wish = Patches(wish)
    if not isinstance(wish, Parts | str | Mapping):
        return _masked(_numbers(wish, values, modality), values, modality)
    parts = wish if isinstance(wish, Parts) else build(Parts, wish)
    if modality.kind not in parts.kinds:
        raise InputError(
            f"'{modality.name}' is {modality.kind} and cannot be cut into {parts.name}; "
            f"{parts.name} are for {' and '.join(parts.kinds)}."
        )
    return parts.cut(values, modality)


def told(wish: Any, modality: Modality) -> Any:
    """The wish as it is written down: a spec, or in words where it was a mask."""
    if wish is None:
        return spec(USUAL[modality.kind])
    if isinstance(wish, int) and not isinstance(wish, bool):
        return spec(Patches(wish))
    if isinstance(wish, Parts | str) or is_spec(wish):
        return spec(wish if isinstance(wish, Parts) else build(Parts, wish))
    if isinstance(wish, Mapping) and modality.kind == "table":
        return spec(Columns({name: _listed(columns) for name, columns in wish.items()}))
    return "a mask that was given"


def _listed(columns: Any) -> list:
    """One column or several, NumPy's numbers as Python's."""
    several = isinstance(columns, Iterable) and not isinstance(columns, str)
    return [c.item() if hasattr(c, "item") else c for c in (columns if several else [columns])]


def _numbers(given: Any, values: Tensor, modality: Modality) -> Tensor:
    """What a person gave for a mask as a tensor."""
    try:
        return torch.as_tensor(given, device=values.device)
    except (TypeError, ValueError, RuntimeError):
        raise InputError(
            f"The parts of '{modality.name}' are neither a way to cut, nor a mask of numbers: {given!r:.80}."
        ) from None


def _masked(mask: Tensor, values: Tensor, modality: Modality) -> Cut:
    """A Captum-style mask as a cut."""
    if mask.is_floating_point() or mask.is_complex() or mask.dtype == torch.bool:
        raise InputError(
            f"The mask of '{modality.name}' holds {str(mask.dtype).split('.')[-1]} numbers; "
            "it holds the whole number of the part that each place belongs to."
        )
    ids = mask.long()
    if ids.ndim == values.ndim - 1:
        ids = ids[None]
    fits = ids.ndim == values.ndim and len(ids) in (1, len(values))
    if not fits or any(a not in (1, b) for a, b in zip(ids.shape[1:], values.shape[1:], strict=True)):
        raise InputError(
            f"The mask of '{modality.name}' is {tuple(mask.shape)} and its cases are {tuple(values.shape)}; "
            "give a mask of one case's shape, or of all cases'."
        )
    numbers = ids.unique()
    numbers = numbers[numbers >= 0]
    if not len(numbers):
        raise InputError(f"The mask of '{modality.name}' has no part: no number in it is 0 or more.")
    found = torch.searchsorted(numbers, ids.clamp(min=0))
    return Cut(torch.where(ids < 0, -1, found), tuple(f"part {int(n)}" for n in numbers))


def _regions(masks: Mapping[str, Any], values: Tensor, modality: Modality) -> Cut:
    """Named bool masks (*space, or N of them) of a picture as a cut."""
    if modality.kind == "text":
        raise InputError(
            f"'{modality.name}' is text, of which no regions can be named; give words or a mask."
        )
    found = None
    for part, (name, given) in enumerate(masks.items()):
        mask = _numbers(given, values, modality)
        if mask.dtype != torch.bool or mask.shape[-len(values.shape[2:]) :] != values.shape[2:]:
            raise InputError(
                f"The part '{name}' of '{modality.name}' is a mask of true and false of shape "
                f"{tuple(values.shape[2:])}, not {str(mask.dtype).split('.')[-1]} {tuple(mask.shape)}."
            )
        if not mask.any():
            raise InputError(f"The part '{name}' of '{modality.name}' has no pixels; leave it out.")
        mask = mask.reshape(-1, 1, *values.shape[2:])
        if len(mask) not in (1, len(values)):
            raise InputError(
                f"The masks of '{modality.name}' are of {len(mask)} cases, and there are {len(values)}."
            )
        if found is None:
            found = torch.full_like(mask, -1, dtype=torch.long)
        if (mask & (found >= 0)).any():
            raise InputError(f"The part '{name}' of '{modality.name}' overlaps one before it; part them.")
        found = torch.where(mask, part, found)
    if found is None:
        raise InputError(f"'{modality.name}' is given no part; name at least one.")
    return Cut(found, tuple(str(name) for name in masks))
