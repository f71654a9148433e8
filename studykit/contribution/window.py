"""Without a patch, only a window of a network's early maps changes: what is local runs on that window alone.

A convolution or pooling with kernel k, stride s, padding p and dilation d carries a change at a..b along an
axis to

    ceil((a + p - d (k - 1)) / s) .. floor((b + p) / s)

and gives elsewhere what it gave of the untouched case. A `Window` is a tensor that knows this: it passes
through any network, and becomes the whole map at the first operation that is not known to be local, or once
it would be most of the map. Its numbers are the whole picture's; nothing is approximated.

Nakandala S, Kumar A, Papakonstantinou Y. Incremental and approximate inference for faster occlusion-based
deep CNN explanations. SIGMOD 2019 (there with rules for each of three networks).
"""

from collections.abc import Callable, Mapping, Sequence
from math import prod
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_map

MOST = 0.5  # of a map: cutting a larger window out and putting it back costs what it saves

aten = torch.ops.aten
CONVOLUTIONS = {aten.conv1d, aten.conv2d, aten.conv3d}
MAXIMA = {aten.max_pool1d, aten.max_pool2d, aten.max_pool3d}
EACH = {  # these work on each number by itself, although torch does not mark them so
    aten.contiguous, aten.clone, aten.detach, aten.alias, aten.to, aten._to_copy, aten.hardswish,
    aten.hardswish_, aten.prelu,
}  # fmt: skip


def occluded(x: Tensor, other: Tensor, here: Tensor, rows: Tensor) -> "Window | None":
    """The cases `rows` (B,) of x (N, C, *space), with the values of `other` where `here` (B, 1 or C, *space).

    None where a row's places are spread over most of the picture.
    """
    space = x.shape[2:]
    if here.shape[2:] != space:
        return None
    axes = range(1, here.ndim)
    lines = [here.any(dim=[other for other in axes if other != axis]).int() for axis in axes[1:]]
    low = torch.stack([line.argmax(dim=1) for line in lines], dim=1)
    high = torch.tensor(space) - torch.stack([line.flip(1).argmax(dim=1) for line in lines], dim=1)
    start, sides = _frame(low, high, space)
    if prod(sides) > MOST * prod(space):
        return None
    gone = _cut(here, torch.arange(len(rows)), start, sides)
    window = torch.where(gone, _cut(other, rows, start, sides), _cut(x, rows, start, sides))
    known, row = rows.unique(return_inverse=True)
    cases = x[known]
    if cases.ndim == 4:
        cases = cases.contiguous(memory_format=torch.channels_last)
    return Window(window, start, cases, row)


class Window(Tensor):
    """Rows (B, C, *space), each a known case but for a window.

    window: (B, C, *sides). start: (B, axes), where each begins. cases: (M, C, *space), the cases untouched.
    row: (B,), which of them each row is.
    """

    __torch_function__ = torch._C._disabled_torch_function_impl

    @staticmethod
    def __new__(cls, window: Tensor, start: Tensor, cases: Tensor, row: Tensor):  # noqa: D102
        shape = (len(window), window.shape[1], *cases.shape[2:])
        return Tensor._make_wrapper_subclass(cls, shape, dtype=window.dtype, device=window.device)

    def __init__(self, window: Tensor, start: Tensor, cases: Tensor, row: Tensor):
        self.window, self.start, self.cases, self.row = window, start, cases, row

    @property
    def space(self) -> tuple[int, ...]:
        """The map's sides."""
        return tuple(self.cases.shape[2:])

    @property
    def sides(self) -> tuple[int, ...]:
        """The window's sides."""
        return tuple(self.window.shape[2:])

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):  # noqa: D102
        kwargs = kwargs or {}
        found = _locally(func, args, kwargs)
        if found is None:
            found = func(*tree_map(_whole, args), **tree_map(_whole, kwargs))
        if not (func._schema.is_mutable and isinstance(args[0], Window)):
            return found
        changed = args[0]  # in place
        if not isinstance(found, Window):
            found = Window(found, torch.zeros_like(changed.start), found, torch.arange(len(found)))
        changed.window, changed.start = found.window, found.start
        changed.cases, changed.row = found.cases, found.row
        return changed

    def crop(self, start: Tensor, sides: Sequence[int], outside: float = 0.0) -> Tensor:
        """The rows from `start` (B, axes) on, (B, C, *sides); what lies outside of the map is `outside`."""
        if tuple(sides) == self.sides and torch.equal(start, self.start):
            return self.window
        lines = _lines(start, sides)
        kept = [line.clamp(0, length - 1) for line, length in zip(lines, self.space, strict=True)]
        found = _pixels(self.cases).index_select(0, _places(self.row, kept, self.space))
        beyond = ~_inside(lines, self.space)
        if beyond.any():
            found.index_fill_(0, beyond.nonzero().flatten(), outside)
        lines = _lines(self.start - start, self.sides)
        to, fits = _places(torch.arange(len(start)), lines, sides), _inside(lines, sides)
        window = _pixels(self.window)
        if not fits.all():
            to, window = to[fits], window[fits]
        found.index_copy_(0, to, window)
        return found.view(len(start), *sides, -1).movedim(-1, 1)

    def whole(self) -> Tensor:
        """The rows as a plain tensor."""
        return self.crop(torch.zeros_like(self.start), self.space)


def _locally(func: Any, args: Sequence, kwargs: Mapping) -> Window | None:
    """What an operation makes of windows; None where it is not known to be local."""
    op, x = func.overloadpacket, args[0]
    if op is aten.cat and args[1:] == (1,) and all(isinstance(part, Window) for part in x):
        return _each(lambda *parts: func(parts, 1), x) if _by_pixel(x) else None
    if not isinstance(x, Window) or any(isinstance(value, Tensor) for value in kwargs.values()):
        return None
    if op in CONVOLUTIONS:
        return _convolved(func, *args, **kwargs)
    if op in MAXIMA:
        return _pooled(func, *args, **kwargs)
    if op is aten.pad:
        return _padded(func, *args, **kwargs)
    if op is aten.expand and len(args[1]) == x.ndim:
        return _each(func, (x, [-1, args[1][1], *[-1] * len(x.space)]))
    resting = (op is aten.dropout and not args[2]) or (op is aten.batch_norm and not args[5])
    if resting or op in EACH or (torch.Tag.pointwise in func.tags and _by_pixel(args)):
        return _each(func, args, kwargs)
    return None


def _by_pixel(args: Sequence) -> bool:
    """Whether the windows are of one map, and what else there is is the same for all rows and places."""
    windows = [x for x in args if isinstance(x, Window)]
    for x in args:
        if isinstance(x, Window):
            if x.space != windows[0].space or not torch.equal(x.row, windows[0].row):
                return False
        elif isinstance(x, Tensor):
            shape = (*[1] * (windows[0].ndim - x.ndim), *x.shape)
            if any(length > 1 for axis, length in enumerate(shape) if axis != 1):
                return False
    return True


def _each(func: Callable, args: Sequence, kwargs: Mapping | None = None) -> Window:
    """A function of each number by itself, on the windows and on the cases."""
    aligned = iter(_aligned([x for x in args if isinstance(x, Window)]))
    args = [next(aligned) if isinstance(x, Window) else x for x in args]
    window = func(*[x.window if isinstance(x, Window) else x for x in args], **kwargs or {})
    cases = func(*[x.cases if isinstance(x, Window) else x for x in args], **kwargs or {})
    return Window(window, args[0].start, cases, args[0].row)


def _aligned(windows: Sequence[Window]) -> list[Window]:
    """The same rows over windows that hold all of theirs."""
    first = windows[0]
    if all(x.sides == first.sides and torch.equal(x.start, first.start) for x in windows):
        return list(windows)
    low = torch.stack([x.start for x in windows]).amin(dim=0)
    high = torch.stack([x.start + torch.tensor(x.sides) for x in windows]).amax(dim=0)
    start, sides = _frame(low, high, first.space)
    return [Window(x.crop(start, sides), start, x.cases, x.row) for x in windows]


def _padded(func, x, pad, mode="constant", value=None) -> Window | None:
    before = [*pad[::2], *[0] * (len(x.space) - len(pad) // 2)][::-1]  # `pad` begins at the last axis
    if mode != "constant" or min(pad) < 0 or len(before) > len(x.space):
        return None
    return Window(x.window, x.start + torch.tensor(before), func(x.cases, pad, mode, value), x.row)


def _convolved(func, x, weight, bias=None, stride=(1,), padding=(0,), dilation=(1,), groups=1):
    def act(values: Tensor, padding: Sequence[int]) -> Tensor:
        return func(values, weight, bias, stride, padding, dilation, groups)

    if isinstance(padding, str):
        return None
    return _local(act, x, weight.shape[2:], stride, padding, dilation, 0.0)


def _pooled(func, x, kernel, stride=(), padding=(0,), dilation=(1,), ceil_mode=False):
    def act(values: Tensor, padding: Sequence[int]) -> Tensor:
        return func(values, kernel, stride, padding, dilation)

    return None if ceil_mode else _local(act, x, kernel, stride or kernel, padding, dilation, float("-inf"))


def _local(act: Callable, x: Window, *settings: Any) -> Window | None:
    """A convolution or pooling, `act(values, padding)`, by the equation above.

    settings: kernel, stride, padding and dilation by axis, and what lies outside of the map.
    """
    axes = len(x.space)
    k, s, p, d = (torch.tensor([*by] * (axes if len(by) == 1 else 1)) for by in settings[:4])
    reach = d * (k - 1)
    space = (torch.tensor(x.space) + 2 * p - reach - 1) // s + 1
    low = torch.minimum((-(-(x.start + p - reach) // s)).clamp(min=0), space - 1)
    high = torch.minimum((x.start + torch.tensor(x.sides) - 1 + p) // s + 1, space)
    start, sides = _frame(low, torch.maximum(high, low + 1), space)
    if prod(sides) > MOST * prod(space.tolist()):
        return None
    needed = ((torch.tensor(sides) - 1) * s + reach + 1).tolist()
    window = act(x.crop(start * s - p, needed, settings[4]), [0] * axes)
    return Window(window, start, act(x.cases, settings[2]), x.row)


def _frame(low: Tensor, high: Tensor, space: Any) -> tuple[Tensor, tuple[int, ...]]:
    """Windows of one size inside the map that hold low..high (B, axes): where they begin, their sides."""
    sides = (high - low).amax(dim=0)
    return torch.minimum(low, torch.as_tensor(space) - sides), tuple(sides.tolist())


def _lines(start: Tensor, sides: Sequence[int]) -> list[Tensor]:
    """The places of windows along each axis, (B, side) an axis."""
    return [start[:, [axis]] + torch.arange(side) for axis, side in enumerate(sides)]


def _places(row: Tensor, lines: Sequence[Tensor], space: Sequence[int]) -> Tensor:
    """The windows' pixels, one after another, as numbers of the pixels of maps (rows, *space)."""
    found = row
    for axis, (line, length) in enumerate(zip(lines, space, strict=True)):
        found = found[..., None] * length + line.view(len(line), *[1] * axis, -1)
    return found.flatten()


def _inside(lines: Sequence[Tensor], space: Sequence[int]) -> Tensor:
    """Which of the windows' pixels, in the order of `_places`, lie in the map."""
    found = torch.ones(len(lines[0]), dtype=torch.bool)
    for axis, (line, length) in enumerate(zip(lines, space, strict=True)):
        found = found[..., None] & ((line >= 0) & (line < length)).view(len(line), *[1] * axis, -1)
    return found.flatten()


def _cut(x: Tensor, row: Tensor, start: Tensor, sides: Sequence[int]) -> Tensor:
    """Windows (B, C, *sides) of some rows of x, however it lies in memory."""
    axes, index = len(sides), []
    for axis, line in enumerate(_lines(start, sides)):
        index.append(line.view(len(line), *[1] * axis, -1, *[1] * (axes - axis - 1)))
    return x[(row.view(-1, *[1] * axes), slice(None), *index)].movedim(-1, 1)


def _pixels(x: Tensor) -> Tensor:
    """(B, C, *space) as (pixels, C)."""
    return x.movedim(1, -1).reshape(-1, x.shape[1])


def _whole(x: Any) -> Any:
    return x.whole() if isinstance(x, Window) else x
