"""Taps: identity modules that attention passes through, so that it can be read or held from outside.

    with watch(model) as seen:
        model(inputs)
    seen["gate.tap"]                     # the coefficients of this very pass, (B, ...)

Control: with `hold`, a gate keeps one value for all cases. If nothing gets worse, it was decoration.

A tap says what its coefficients are `of`, so that a picture can be made of them without knowing the model:

    "channels"  each belongs to a channel or a number, which has no place (the usual)
    "places"    (B, C, *S): each place of the map of the stream in `weighs`
    "tokens"    (B, ..., N, N'): how much each of N tokens takes from each of N'; the latter are those of the
                streams in `weighs`, one stream behind the other. A record has one token a source column, a
                text one for its start and one a word, a picture one a place of the map whose sides
                `FusionModel.sides` tells.

A module that knows no streams leaves `weighs` empty, and the model that it stands in fills it. A stream is a
modality unless the model's `sources` says otherwise. With `weighs` empty there is no map.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from studykit.catalog import InputError, check_choice

OF = ("channels", "places", "tokens")


class Tap(nn.Identity):
    """Coefficients pass here once a forward pass; `says` tells a person what they are.

    of, weighs: see the file. Raises InputError for an `of` that is none of OF.
    """

    def __init__(self, says: str, of: str = "channels", weighs: tuple[str, ...] = ()):
        super().__init__()
        check_choice("kind of coefficients", of, OF)
        self.says, self.of, self.weighs = says, of, weighs


def taps(model: nn.Module) -> dict[str, Tap]:
    """The model's taps by their place in it; empty where it has no attention."""
    return {name: module for name, module in model.named_modules() if isinstance(module, Tap)}


@contextmanager
def watch(model: nn.Module, *names: str) -> Iterator[dict[str, Tensor]]:
    """What passes the taps `names` (all of them by default) while the block runs, detached.

    Raises InputError for a tap that is not there, and where the model has none at all.
    """
    chosen, seen = _chosen(model, names), {}

    def reader(name: str):
        def read(module, given, passed):
            seen[name] = passed.detach()

        return read

    handles = [tap.register_forward_hook(reader(name)) for name, tap in chosen.items()]
    try:
        yield seen
    finally:
        for handle in handles:
            handle.remove()


@contextmanager
def hold(model: nn.Module, values: Mapping[str, Tensor | float]) -> Iterator[None]:
    """Let each tap named in `values` pass that value (it must broadcast) instead of its own.

    Raises InputError for a tap that is not there.
    """
    chosen = _chosen(model, tuple(values))

    def holder(value: Tensor | float):
        def give(module, given, passed):
            return torch.zeros_like(passed) + value  # in the passed shape

        return give

    handles = [tap.register_forward_hook(holder(values[name])) for name, tap in chosen.items()]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _chosen(model: nn.Module, names: tuple[str, ...]) -> dict[str, Tap]:
    there = taps(model)
    if not there:
        raise InputError(
            f"The model {getattr(model, 'name', type(model).__name__)} has no attention to read."
        )
    for name in names:
        check_choice("tap", name, there)
    return {name: there[name] for name in names or there}
