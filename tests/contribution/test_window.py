"""Windows of maps against the same network on whole pictures, in float64, and where they must give way."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from studykit.contribution import modality_contribution, window
from studykit.contribution.asking import Asking
from studykit.contribution.occlusion import Occlusion
from studykit.contribution.window import Window, occluded
from tests.contribution.twin import normal


def rows_of(*shape, rows=7, seed=0):
    """(cases, what is filled in, where, which case) for some rows, each with a small box of its own."""
    draw = torch.Generator().manual_seed(seed)
    here = torch.zeros(rows, 1, *shape[1:], dtype=torch.bool)
    for row in range(rows):
        corner = [int(torch.randint(0, length - 3, (1,), generator=draw)) for length in shape[1:]]
        here[(row, 0, *(slice(at, at + 2 + row % 2) for at in corner))] = True
    for axis, length in enumerate(shape[1:]):  # a row in each corner of the picture
        box = [slice(0, 2)] * len(shape[1:])
        box[axis] = slice(length - 2, length)
        here[axis] = False
        here[(axis, 0, *box)] = True
    return normal(3, *shape, seed=seed), normal(3, *shape, seed=seed + 1), here, torch.arange(rows) % 3


def weights(*shape):
    return normal(*shape, seed=9) / 5


def residual(x):
    y = F.conv2d(x, weights(4, 2, 3, 3), padding=1)
    y = F.relu_(F.batch_norm(y, weights(4), weights(4).abs() + 1, weights(4), weights(4)))
    short = F.conv2d(x, weights(4, 2, 1, 1), stride=2)
    y = F.conv2d(y, weights(4, 4, 3, 3), weights(4), stride=2, padding=1)
    y += short
    return F.gelu(y.contiguous(memory_format=torch.channels_last))


LOCAL = {
    "a convolution": ((2, 21, 17), lambda x: F.conv2d(x, weights(4, 2, 3, 3), weights(4), padding=1)),
    "strides, dilation, groups": (
        (2, 21, 17),
        lambda x: F.conv2d(x, weights(4, 1, 3, 5), None, (2, 3), (0, 4), (3, 2), groups=2),
    ),
    "a pointwise convolution that skips": ((2, 21, 17), lambda x: F.conv2d(x, weights(4, 2, 1, 1), stride=2)),
    "a large kernel": ((2, 40, 40), lambda x: F.conv2d(x, weights(4, 2, 7, 7), stride=2, padding=3)),
    "a maximum": ((2, 21, 17), lambda x: F.max_pool2d(x - 9, 3, 2, 1)),  # all below 0, so the edge matters
    "padding on one side": (
        (2, 21, 17),
        lambda x: F.conv2d(F.pad(x, (0, 3, 1, 0), value=0.5), weights(4, 2, 3, 3), stride=2),
    ),
    "a residual block": ((2, 31, 29), residual),
    "maps side by side": (
        (2, 31, 29),
        lambda x: torch.cat([F.conv2d(x, weights(4, 2, 5, 5), padding=2), F.max_pool2d(x, 3, 1, 1)], 1),
    ),
    "gray shown as colour": ((1, 21, 17), lambda x: (x.expand(-1, 3, -1, -1) - weights(1, 3, 1, 1)) / 2),
    "in place": ((2, 21, 17), lambda x: F.hardswish((x * 2).clamp_(-1).mul_(3), inplace=True)),
    "a line": ((2, 50), lambda x: F.max_pool1d(F.conv1d(x, weights(4, 2, 3), padding=1), 2)),
    "a volume": (
        (1, 12, 14, 16),
        lambda x: F.max_pool3d(F.conv3d(x, weights(4, 1, 3, 3, 3), padding=1).relu(), 3, (1, 2, 2), 1),
    ),
}


@pytest.mark.parametrize("name", LOCAL)
def test_local_operations_on_windows_give_the_whole_pictures_maps(name, monkeypatch):
    monkeypatch.setattr(window, "MOST", 1.0)
    shape, act = LOCAL[name]
    x, other, here, rows = rows_of(*shape)
    with torch.inference_mode():
        wanted = act(torch.where(here, other[rows], x[rows]))
        found = act(occluded(x, other, here, rows))
        assert isinstance(found, Window) and found.shape == wanted.shape
        assert np.prod(found.sides) < np.prod(found.space)
        torch.testing.assert_close(found.whole(), wanted, rtol=0, atol=1e-12)
        assert (wanted - act(x)[rows]).abs().max() > 1e-3  # else the boxes changed nothing


def test_a_window_is_just_where_nan_would_spread():
    """NaN put into a box shows which numbers of the next map depend on it."""
    for k, s, p, d in ((3, 1, 1, 1), (7, 2, 3, 1), (3, 2, 0, 2), (2, 2, 0, 1)):
        x, other, here, rows = rows_of(1, 41, 41, rows=12)
        for row in range(12):
            with torch.inference_mode():
                one = here[row : row + 1]
                spoiled = torch.where(one, torch.nan, x[:1])
                touched = F.conv2d(spoiled, torch.ones(1, 1, k, k).double(), None, s, p, d).isnan()[0, 0]
                found = F.conv2d(
                    occluded(x, other, one, rows[:1]), torch.ones(1, 1, k, k).double(), None, s, p, d
                )
            box = torch.zeros_like(touched)
            top, left = found.start[0]
            box[top : top + found.sides[0], left : left + found.sides[1]] = True
            assert (box | ~touched).all()
            if d == 1:  # a dilated kernel leaves holes
                assert torch.equal(box, touched)


def test_what_is_not_local_gets_the_whole_map():
    x, other, here, rows = rows_of(2, 40, 40)
    plain = torch.where(here, other[rows], x[rows])
    place = normal(1, 2, 40, 40)
    for act in (
        lambda x: x.flatten(1), lambda x: x.mean((2, 3)), lambda x: x[:, :, 3:], lambda x: x + place,
        lambda x: place + x, lambda x: F.conv2d(x, weights(4, 2, 39, 39)), lambda x: F.avg_pool2d(x, 2),
        lambda x: x * x.mean((2, 3), True), lambda x: (x * 1).add_(place).flatten(1),
        lambda x: x.sort(dim=1).values, lambda x: F.pad(x, (1, 1, 1, 1), mode="reflect"),
        lambda x: F.max_pool2d(x, 3, 2, ceil_mode=True),
    ):  # fmt: skip
        with torch.inference_mode():
            found, wanted = act(occluded(x, other, here, rows)), act(plain)
        assert type(found) is torch.Tensor
        torch.testing.assert_close(found, wanted, rtol=0, atol=1e-12)


def test_places_spread_over_the_picture_are_no_window():
    x, other, here, rows = rows_of(2, 21, 17)
    here[0, 0, 0, 0] = here[0, 0, -1, -1] = True
    assert occluded(x, other, here, rows) is None
    assert occluded(x, other, here[:, :, :1, :1], rows) is None  # one mask for the whole picture


class Network(nn.Module):
    """A convolution over the picture and its maps' mean, with the record; `odd` does something of its own."""

    def __init__(self, odd=None):
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.Sequential(
            nn.Conv2d(2, 6, 3, 2, 1), nn.BatchNorm2d(6), nn.ReLU(), nn.Conv2d(6, 6, 3, 1, 1), nn.ReLU()
        )
        self.linear, self.odd = nn.Linear(6 + 3, 4), odd
        self.double().eval()

    def forward(self, image, record):
        if self.odd is not None:
            image = self.odd(image)
        return self.linear(torch.cat([self.layers(image).mean((2, 3)), record], dim=1))


INPUTS = {"image": normal(3, 2, 24, 24, seed=1), "record": normal(3, 3, seed=2)}


def test_the_engine_gives_with_windows_what_it_gives_without(monkeypatch):
    made = []
    monkeypatch.setattr(
        "studykit.contribution.asking.occluded", lambda *given: made.append(occluded(*given)) or made[-1]
    )
    found = modality_contribution(Network(), INPUTS, {"image": 4}, size=5)
    assert sum(isinstance(one, Window) for one in made) > 20
    plain = modality_contribution(Network(), INPUTS, {"image": 4}, size=5, fold=False)
    for name, d in plain.differences.items():
        assert np.abs(d).max() > 1e-3
        np.testing.assert_allclose(found.differences[name], d, rtol=0, atol=1e-12)
    assert (found.forwards, found.encodings) == (plain.forwards, plain.encodings)


def test_a_model_that_cannot_take_windows_is_asked_with_whole_pictures():
    def through_numpy(image):
        return torch.from_numpy(image.numpy().copy())

    def forgetful(image):  # not what the whole picture gives
        return image.cases[image.row] if isinstance(image, Window) else image

    plain = modality_contribution(Network(), INPUTS, {"image": 4}, fold=False)
    for odd in (through_numpy, forgetful):
        asking = Asking(Network(odd), INPUTS, {"image": 4})
        assert asking.windowed == frozenset()
        occlusion = Occlusion(asking)
        occlusion.ask()
        np.testing.assert_allclose(
            occlusion.contribution().differences["image"], plain.differences["image"], rtol=0, atol=1e-12
        )
    assert Asking(Network(), INPUTS, {"image": 4}).windowed == {"image"}
    assert Asking(Network(), INPUTS, {"image": 4}, fold=False).windowed == frozenset()
