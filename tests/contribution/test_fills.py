"""What stands in for a part, each by its slow definition, seen by a model that says its input."""

import math

import numpy as np
import pytest
import torch

from studykit.case import Modality
from studykit.catalog import InputError, build
from studykit.contribution import Fill, modality_contribution
from studykit.contribution.fill import Blur, Mask, OtherCase, Value
from tests.contribution.twin import laid_bare, normal

IMAGE, VOLUME, TABLE = normal(4, 2, 6, 5, seed=1), normal(4, 1, 3, 4, 5, seed=2), normal(4, 6, seed=3)
TEXT = torch.tensor([[3, 5, 4, 8], [9, 2, 7, 6]])
PICTURES = pytest.mark.parametrize("x", [IMAGE, VOLUME], ids=["image", "volume"])
ANY = pytest.mark.parametrize("x", [IMAGE, VOLUME, TABLE], ids=["image", "volume", "table"])


def stood_in(x, fill, **settings):
    """(N, *shape): what the parts together were replaced by."""
    _, d = laid_bare(x, fill=fill, **{"parts": "whole", **settings})
    return (x + d[:, 0]).numpy()


def close(found, wanted):
    np.testing.assert_allclose(found, np.broadcast_to(wanted, found.shape), rtol=0, atol=1e-12)


@ANY
def test_absent_is_0_where_nothing_is_said(x):
    close(stood_in(x, "absent"), 0.0)
    assert laid_bare(x)[0].about["fill"] == {"x": {"name": "absent"}}


def test_absent_is_the_modalitys_own():
    air = Modality("x", "volume", (1, 3, 4, 5), absent=-1.5)
    close(stood_in(VOLUME, "absent", modalities={"x": air}), -1.5)
    columns = Modality("x", "table", (6,), absent=(0.0, 1.0, 2.0, 3.0, 4.0, 5.0))
    close(stood_in(TABLE, "absent", modalities={"x": columns}), np.arange(6.0))


@ANY
def test_a_number_and_a_tensor(x):
    close(stood_in(x, 0.3), 0.3)
    close(stood_in(x, Value(-2.0)), -2.0)
    close(stood_in(x, {"name": "value", "value": 7}), 7.0)
    close(stood_in(x, x[1]), x[1])  # of one case's shape
    close(stood_in(x, x + 1), x + 1)  # of all cases'
    close(stood_in(x, torch.tensor(4)), 4.0)
    assert laid_bare(x, fill=x[1])[0].about["fill"] == {"x": "values that were given"}
    assert laid_bare(x, fill=0.3)[0].about["fill"] == {"x": {"name": "value", "value": 0.3}}


@PICTURES
def test_sample_mean_is_one_number_a_case(x):
    close(
        stood_in(x, "sample_mean"),
        np.array([float(sum(c.flatten())) / c.numel() for c in x]).reshape(-1, *[1] * (x.ndim - 1)),
    )


@PICTURES
def test_channel_mean_is_one_number_a_channel(x):
    found = stood_in(x, "channel_mean")
    for case in range(len(x)):
        for channel in range(x.shape[1]):
            close(found[case, channel], float(sum(x[case, channel].flatten())) / x[case, channel].numel())


@ANY
def test_training_mean_is_that_of_the_reference_place_by_place(x):
    reference = torch.stack([x[0] + 1, x[1] * 2, x[2] - x[3], torch.full_like(x[0], torch.nan)])
    close(stood_in(x, "training_mean", reference={"x": reference}), sum(reference[:3]) / 3)


@ANY
def test_other_case_is_always_another(x):
    drawn = set()
    for seed in range(20):
        found = stood_in(x, OtherCase(seed))
        partners = [next(k for k in range(4) if np.allclose(case, x[k])) for case in found]
        assert sorted(partners) == [0, 1, 2, 3] and all(a != b for a, b in enumerate(partners))
        drawn.add(tuple(partners))
    assert len(drawn) > 1
    close(stood_in(x, "other_case"), stood_in(x, OtherCase(0)))  # the seed decides


@ANY
def test_other_case_of_a_reference_is_one_of_these(x):
    reference = torch.stack([x[0] + 10, x[1] + 20, torch.full_like(x[0], torch.nan)])
    drawn = {
        next(k for k in range(2) if np.allclose(case, reference[k]))
        for seed in range(5)
        for case in stood_in(x, OtherCase(seed), reference={"x": reference})
    }
    assert drawn == {0, 1}
    close(stood_in(x[:1], "other_case", reference={"x": reference[:1]}), reference[:1])


@ANY
def test_no_one_is_filled_from_a_case_that_lacks_the_modality(x):
    x = x.clone()
    x[2] = torch.nan
    for seed in range(10):
        asked = modality_contribution(
            lambda x: x.flatten(1).nan_to_num(-99.0), {"x": x}, {"x": "whole"}, {"x": OtherCase(seed)}
        )
        assert asked.same["x"].ravel().tolist() == [False, False, True, False]
        found = x.flatten(1).nan_to_num(-99.0) + torch.from_numpy(asked.differences["x"][:, 0])
        partners = [next(k for k in (0, 1, 3) if torch.allclose(found[a], x[k].flatten())) for a in (0, 1, 3)]
        assert sorted(partners) == [0, 1, 3] and all(a != b for a, b in zip((0, 1, 3), partners))


@pytest.mark.parametrize(("sigma", "used"), [(1.0, 1.0), (0.0, 6 / 8)])
def test_blur_weighs_neighbours_by_a_gaussian_mirrored_at_the_edge(sigma, used):
    found = stood_in(IMAGE, Blur(sigma))

    def weights(length):
        """(length, length): how much each place takes of each other, along one axis."""
        reach, rows = int(4 * used + 0.5), np.zeros((length, length))
        kernel = [math.exp(-(step**2) / (2 * used**2)) for step in range(-reach, reach + 1)]
        for at in range(length):
            for step, weight in zip(range(-reach, reach + 1), kernel, strict=True):
                there = (at + step) % (2 * length)
                rows[at, min(there, 2 * length - 1 - there)] += weight / sum(kernel)
        return rows

    down, across = weights(6), weights(5)
    for case in range(4):
        for channel in range(2):
            close(found[case, channel], down @ IMAGE[case, channel].numpy() @ across.T)
    flat = torch.full((1, 1, 6, 6), 2.5, dtype=torch.float64)
    close(stood_in(flat, "blur"), 2.5)


def test_a_volume_is_blurred_along_its_depth_too_and_never_across_cases():
    one = torch.zeros(2, 1, 9, 9, 9, dtype=torch.float64)
    one[0, 0, 4, 4, 4] = 1.0
    found = stood_in(one, Blur(1.0))
    assert (
        found[0, 0, 3, 4, 4] == pytest.approx(found[0, 0, 4, 4, 3], rel=1e-9) and found[0, 0, 3, 4, 4] > 0.02
    )
    assert (found[1] == 0).all()


def test_words():
    close(stood_in(TEXT, "absent"), 0)
    close(stood_in(TEXT, "mask"), 1)
    close(stood_in(TEXT, Mask(9)), 9)
    close(stood_in(TEXT, 6), 6)
    close(stood_in(TEXT, "other_case"), TEXT.flip(0))
    floating = Modality("x", "text", (4,))
    close(stood_in(TEXT.float(), "mask", modalities={"x": floating}), 1)


def test_only_the_part_is_filled():
    _, d = laid_bare(IMAGE, parts=3, fill="sample_mean")
    assert torch.equal(d[:, 0, :, :3, :3] != 0, torch.ones(4, 2, 3, 3, dtype=torch.bool))
    assert (d[:, 0, :, 3:] == 0).all() and (d[:, 0, :, :, 3:] == 0).all()
    close(d[:, 0, :, :3, :3].numpy(), (IMAGE.flatten(1).mean(1).view(4, 1, 1, 1) - IMAGE)[:, :, :3, :3])


def test_one_fill_by_modality_and_absent_for_the_others():
    asked = modality_contribution(
        lambda a, b: a + b, {"a": TABLE, "b": TABLE}, fill={"b": 1.5}, parts={"a": "whole", "b": "whole"}
    )
    close(asked.differences["a"][:, 0], -TABLE)
    close(asked.differences["b"][:, 0], 1.5 - TABLE)


@pytest.mark.parametrize("name", sorted(Fill.catalogue))
@pytest.mark.parametrize("x", [IMAGE, VOLUME, TABLE, TEXT], ids=["image", "volume", "table", "text"])
def test_every_fill_fills_the_kinds_that_it_names_and_refuses_the_others(name, x):
    kind = {4: "image", 5: "volume"}.get(x.ndim, "table" if x.is_floating_point() else "text")
    fill = build(Fill, name)
    if kind in fill.kinds:
        found = stood_in(x, name, reference={"x": x.flip(0)})
        assert found.shape == x.shape and np.isfinite(found).all()
    else:
        with pytest.raises(InputError, match=f"'x' is {kind} and cannot be filled by {name}"):
            stood_in(x, name)


def test_the_callers_cases_are_not_changed():
    before = IMAGE.clone()
    for fill in ("absent", "other_case", "blur", 3):
        laid_bare(IMAGE, parts=2, fill=fill)
    assert torch.equal(IMAGE, before)
