"""Batch norms folded into convolutions: the same answers, or the model as it is."""

import copy

import pytest
import torch
from torch import nn

from studykit.contribution import modality_contribution
from studykit.contribution.fold import folded
from tests.contribution.twin import normal

X = normal(4, 2, 9, 9, seed=1)


class Net(nn.Module):
    """`layers`, then a mean over space and a linear layer, in float64, with norms as training leaves them."""

    def __init__(self, *layers, width=4, forward=None):
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.Sequential(*layers)
        self.last = nn.Linear(width, 3)
        self.special = forward
        for module in self.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm) and module.track_running_stats:
                nn.init.normal_(module.running_mean)
                nn.init.uniform_(module.running_var, 0.3, 3.0)
                if module.affine:
                    nn.init.normal_(module.weight)
                    nn.init.normal_(module.bias)
        self.double().eval()

    def forward(self, x):
        found = self.special(self.layers, x) if self.special else self.layers(x)
        return self.last(found.flatten(2).mean(dim=2))


def fold(model, x=X):
    """(whether it was folded, the model that will be asked)."""
    with torch.inference_mode():
        made, _ = folded(model, {}, lambda asked, _: asked(x))
        torch.testing.assert_close(made(x), model(x), rtol=1e-9, atol=1e-9)
        other = 3 * x.flip(0) - 1  # not the cases that were compared
        torch.testing.assert_close(made(other), model(other), rtol=1e-9, atol=1e-9)
    return made is not model, made


def norms_left(model):
    """How many batch norms still compute something."""
    return sum(
        isinstance(m, nn.modules.batchnorm._BatchNorm) and "forward" not in vars(m) for m in model.modules()
    )


def conv(**settings):
    return nn.Conv2d(2, 4, 3, **settings)


@pytest.mark.parametrize(
    "layers",
    [
        (conv(), nn.BatchNorm2d(4)),
        (conv(bias=False), nn.BatchNorm2d(4), nn.ReLU()),
        (conv(), nn.BatchNorm2d(4, affine=False)),
        (conv(groups=2, dilation=2, stride=2), nn.BatchNorm2d(4, eps=0.1)),
        (conv(), nn.BatchNorm2d(4), nn.ReLU(inplace=True), nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4)),
    ],
    ids=range(5),
)
def test_what_follows_a_convolution_is_folded(layers):
    changed, made = fold(Net(*layers))
    assert changed and norms_left(made) == 0


@pytest.mark.parametrize("dims", [1, 3])
def test_of_any_dimension(dims):
    x = normal(3, 2, *[6] * dims, seed=2)
    convolution, norm = (getattr(nn, f"{kind}{dims}d") for kind in ("Conv", "BatchNorm"))
    changed, made = fold(Net(convolution(2, 4, 3), norm(4)), x)
    assert changed and norms_left(made) == 0


@pytest.mark.parametrize(
    ("layers", "forward"),
    [
        ((conv(), nn.ReLU(), nn.BatchNorm2d(4)), None),  # not straight after
        (
            (nn.Conv2d(2, 2, 3, padding=1), nn.BatchNorm2d(2), nn.Conv2d(2, 4, 1)),
            lambda net, x: net[2](net[1](net[0](net[1](net[0](x))))),
        ),
        ((conv(), nn.BatchNorm2d(4)), lambda net, x: net[1](net[0](x)) + net[0](x)),  # asked twice
        ((conv(), nn.BatchNorm2d(4, track_running_stats=False)), None),
        ((nn.Linear(9, 9), nn.BatchNorm2d(2), conv()), None),
        ((nn.ConvTranspose2d(2, 4, 3), nn.BatchNorm2d(4)), None),
    ],
    ids=["relu between", "shared", "asked twice", "no running statistics", "linear", "transposed"],
)
def test_what_is_no_pair_stays(layers, forward):
    model = Net(*layers, forward=forward)
    _, made = fold(model)
    assert norms_left(made) == norms_left(model)


@pytest.mark.parametrize(
    "forward",
    [
        lambda net, x: (lambda said: net[1](said) + said)(net[0](x)),  # its output serves elsewhere, too
        lambda net, x: net[1](nn.functional.relu_(net[0](x))),  # the same tensor, changed in between
        lambda net, x: net[1](net[0](x)) + net[0].weight.mean(),  # its weight is read
    ],
)
def test_where_a_fold_would_change_the_answer_the_model_stays_as_it_is(forward):
    model = Net(conv(), nn.BatchNorm2d(4), forward=forward)
    changed, made = fold(model)
    assert not changed and made is model


def test_what_cannot_be_copied_is_asked_as_it_is():
    class Alone(Net):
        def __deepcopy__(self, memo):
            raise RuntimeError("one of a kind")

    changed, _ = fold(Alone(conv(), nn.BatchNorm2d(4)))
    assert not changed


def test_the_model_itself_is_not_touched():
    model = Net(conv(), nn.BatchNorm2d(4))
    before = copy.deepcopy(model.state_dict())
    fold(model)
    assert norms_left(model) == 1
    for name, values in model.state_dict().items():
        assert torch.equal(values, before[name]) and values.is_contiguous()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_folded_or_not_the_contribution_is_the_same(dtype):
    model = Net(conv(bias=False), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 4, 3), nn.BatchNorm2d(4)).to(
        dtype
    )
    x, b = X.to(dtype), normal(4, 3, seed=3).to(dtype)

    def both(**settings):
        class Both(nn.Module):
            def __init__(self):
                super().__init__()
                self.inside = model

            def forward(self, x, b):
                return self.inside(x) * (1 + b)

        return modality_contribution(Both().eval(), {"x": x, "b": b}, {"x": 3}, **settings)

    one, other = both(), both(fold=False)
    within = 2e-5 if dtype == torch.float32 else 1e-12
    assert one.share() == pytest.approx(other.share(), abs=within)
    assert one.forwards == other.forwards == 4 * (1 + 9 + 3)
    for name, d in one.differences.items():
        torch.testing.assert_close(
            torch.from_numpy(d), torch.from_numpy(other.differences[name]), rtol=within, atol=within
        )
