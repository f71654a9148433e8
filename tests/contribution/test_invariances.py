"""What must not change the shares, and Captum, which must find the same differences."""

import numpy as np
import pytest
import torch
from captum.attr import FeatureAblation
from captum.attr import Occlusion as CaptumOcclusion

from studykit.contribution import modality_contribution
from tests.contribution.twin import Mixed, normal, tiles

CLOSE = {"rtol": 0, "atol": 1e-12}
INPUTS = {
    "image": normal(6, 2, 6, 6, seed=1),
    "volume": normal(6, 1, 4, 4, 4, seed=2),
    "record": normal(6, 5, seed=3),
}
PARTS = {"image": 3, "volume": 2}
MODEL = Mixed(INPUTS, 3)


def found(model=MODEL, inputs=INPUTS, **settings):
    return modality_contribution(model, inputs, **{"parts": PARTS, **settings})


def same(one, other, within=1e-12):
    for aggregation in ("ratio_of_means", "mean_of_ratios", "per_class"):
        assert one.share(aggregation) == pytest.approx(other.share(aggregation), abs=within)


@pytest.mark.parametrize(("alpha", "c"), [(3.0, 0.0), (-0.2, 5.0), (1e3, -1.0)])
def test_scaling_and_shifting_the_output(alpha, c):
    same(found(output=lambda said: alpha * said + c), found(), 1e-11)


def test_the_order_of_classes():
    turned = found(output=lambda said: said[:, [2, 0, 1]])
    same(turned, found())
    np.testing.assert_allclose(turned.per_class(), found().per_class().iloc[:, [2, 0, 1]], **CLOSE)


def test_the_order_of_cases():
    order = [3, 0, 5, 1, 4, 2]
    turned = found(inputs={name: x[order] for name, x in INPUTS.items()})
    same(turned, found())
    np.testing.assert_allclose(turned.per_case(), found().per_case().iloc[order], **CLOSE)


def test_each_case_twice():
    twice = found(inputs={name: torch.cat([x, x]) for name, x in INPUTS.items()})
    same(twice, found())
    assert twice.table()["estimate"].to_numpy() == pytest.approx(found().table()["estimate"].to_numpy())


def test_the_order_of_modalities():
    turned = found(inputs=dict(reversed(INPUTS.items())))
    assert turned.modalities == tuple(reversed(found().modalities))
    same(turned, found())


@pytest.mark.parametrize("size", [1, 2, 7, 1000])
def test_the_batch_size(size):
    for name, d in found(size=size).differences.items():
        np.testing.assert_allclose(d, found().differences[name], **CLOSE)


def test_a_case_alone_and_among_others():
    alone = found(inputs={name: x[4:5] for name, x in INPUTS.items()})
    assert alone.per_case().iloc[0].tolist() == pytest.approx(found().per_case().iloc[4].tolist(), abs=1e-12)


def test_two_classes_instead_of_one_probability():
    """p and 1 - p doubles every difference."""
    two = found(output=lambda said: torch.cat([1 - said[:, :1], said[:, :1]], dim=1))
    one = found(output=lambda said: said[:, :1])
    same(two, one)
    np.testing.assert_allclose(two.sizes["image"].sum(axis=1), 2 * one.sizes["image"][:, 0], **CLOSE)


@pytest.mark.parametrize("settings", [{"output": "softmax"}, {"parts": {"image": 2}}, {"fill": 0.3}], ids=str)
def test_link_parts_and_fill_do_change_them(settings):
    assert abs(found(**settings).share()["image"] - found().share()["image"]) > 1e-3


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("size", [0, 1, 3, 64])
def test_what_a_model_never_looks_at_is_exactly_0(dtype, size):
    torch.manual_seed(0)
    layers = torch.nn.Sequential(
        torch.nn.Flatten(), torch.nn.Linear(72, 40), torch.nn.Tanh(), torch.nn.Linear(40, 3)
    ).to(dtype)

    def model(image, volume, record):
        return layers(image)

    asked = found(model, {name: x.to(dtype) for name, x in INPUTS.items()}, output="softmax", size=size)
    assert asked.share() == {"image": 1.0, "volume": 0.0, "record": 0.0}
    assert asked.per_part("record").eq(0.0).all() and asked.collapse() == "image"


def test_captums_feature_ablation_finds_the_same():
    """Its numbers are kept distinct over tensors; g(x) = sum over c of w_c |f(x) - p0| asks all classes."""
    names, masks, offset = list(INPUTS), [], 0
    ours = {
        "image": tiles((2, 6, 6), (3, 3)),
        "volume": tiles((1, 4, 4, 4), (2, 2, 2)),
        "record": torch.arange(5),
    }
    for name in names:
        masks.append(ours[name][None] + offset)
        offset = int(masks[-1].max()) + 1
    asked = found()
    theirs = FeatureAblation(lambda *x: MODEL(**dict(zip(names, x))))
    for output in range(3):
        given = theirs.attribute(tuple(INPUTS.values()), feature_mask=tuple(masks), target=output)
        for name, attribution in zip(names, given, strict=True):
            d = asked.differences[name][..., output]
            wanted = np.take_along_axis(d, ours[name].expand(6, *ours[name].shape).reshape(6, -1).numpy(), 1)
            np.testing.assert_allclose(-attribution.flatten(1), wanted, **CLOSE)
    p0 = MODEL(**INPUTS)
    every = FeatureAblation(lambda *x: (MODEL(**dict(zip(names, x))) - p0).abs().sum(dim=1))
    given = every.attribute(tuple(INPUTS.values()), feature_mask=tuple(masks))
    for name, attribution in zip(names, given, strict=True):
        sizes = np.abs(asked.differences[name]).sum(axis=2)
        wanted = np.take_along_axis(sizes, ours[name].expand(6, *ours[name].shape).reshape(6, -1).numpy(), 1)
        np.testing.assert_allclose(-attribution.flatten(1), wanted, **CLOSE)
    masked = found(parts=dict(zip(names, masks)))  # Captum's masks as they are
    for name in names:
        np.testing.assert_array_equal(masked.differences[name], asked.differences[name])


def test_captums_occlusion_with_steps_of_its_window_finds_the_same():
    """It rounds its attributions to float32, so what it asks the model is compared in float64, too."""
    names, said = list(INPUTS), []

    def forward(*x):
        said.append(MODEL(**dict(zip(names, x))).detach())
        return said[-1]

    windows = ((2, 3, 3), (1, 2, 2, 2), (1,))
    asked = found(fill=0.25)
    given = CaptumOcclusion(forward).attribute(
        tuple(INPUTS.values()), windows, strides=windows, baselines=(0.25,) * 3, target=1
    )
    for name, attribution in zip(names, given, strict=True):
        painted = np.broadcast_to(asked.painted(name, asked.outputs[1]), attribution.shape)
        np.testing.assert_allclose(-attribution, painted, rtol=1e-6, atol=1e-8)
    d = []  # Captum walks along the first axis first
    for name, counts in zip(names, ((2, 2), (2, 2, 2), (5,)), strict=True):
        axes = (0, *range(len(counts), 0, -1), len(counts) + 1)
        d.append(asked.differences[name].reshape(6, *counts, 3).transpose(axes).reshape(6, -1, 3))
    d = np.concatenate(d, axis=1)
    assert len(said) == 1 + d.shape[1]
    np.testing.assert_allclose(np.stack([p - said[0] for p in said[1:]], axis=1), d, **CLOSE)
