"""The controls: maps that know nothing of the model, against their definitions."""

import numpy as np
import pytest
import torch
from scipy import ndimage, stats

from explain.test_gradient_methods import RECORD, TASK, Formula, batch
from studykit.case import Modality, Schema
from studykit.catalog import InputError
from studykit.explain.edge_map import EdgeMap
from studykit.explain.explainer import drawing
from studykit.explain.random_map import RandomMap

PICTURE = Modality("image", "image", (3, 9, 8), absent=0.4)
VOLUME = Modality("volume", "volume", (1, 4, 6, 5), absent=0.1)
TEXT = Modality("report", "text", (6,), vocabulary=tuple("abcdefgh"))


def nothing(*modalities, sign=1.0):
    """A model that sums all it sees."""
    return Formula(
        Schema(modalities, TASK), formula=lambda **x: sign * sum(v.flatten(1).sum(1) for v in x.values())
    )


def cases(count=2):
    draw = torch.Generator().manual_seed(0)
    words = torch.tensor([3.0, 2, 5, 0, 0, 0]).repeat(count, 1)
    record = torch.randn(count, 3, generator=draw)
    pictures = {m.name: torch.rand(count, *m.shape, generator=draw) for m in (PICTURE, VOLUME)}
    return batch(count, **pictures, record=record, report=words)


ALL = (PICTURE, VOLUME, RECORD)


def slow_edges(picture):
    """Sobel by nested loops: along one axis the difference of the neighbours, along the others 1 2 1."""
    padded = np.pad(picture, 1, mode="symmetric")
    found = np.zeros(picture.shape)
    for place in np.ndindex(picture.shape):
        squares = []
        for axis in range(picture.ndim):
            slope = 0.0
            for step in np.ndindex((3,) * picture.ndim):
                weight = step[axis] - 1
                for other in range(picture.ndim):
                    weight *= 1 if other == axis else (0.25, 0.5, 0.25)[step[other]]
                slope += weight * padded[tuple(np.add(place, step))]
            squares.append(slope**2)
        found[place] = np.sqrt(np.mean(squares))
    return found


@pytest.mark.parametrize("modality", [PICTURE, VOLUME], ids=lambda m: m.kind)
def test_the_edge_map_is_sobels(modality):
    some = cases()
    found = EdgeMap()(nothing(modality), some).maps[modality.name]
    assert found.shape == (2, 1, *modality.shape[1:])
    gray = some.inputs[modality.name].double().mean(1).numpy()
    for case in range(2):
        np.testing.assert_allclose(found[case, 0], slow_edges(gray[case]), atol=1e-6)
        parts = [ndimage.sobel(gray[case], axis) for axis in range(gray[case].ndim)]
        whole = np.sqrt(np.mean(np.square(parts), axis=0)) / 4 ** (len(parts) - 1)
        np.testing.assert_allclose(found[case, 0], whole, atol=1e-6)


def test_an_edge_lies_where_the_picture_steps():
    step = torch.zeros(1, 3, 9, 8)
    step[..., 4:] = 1
    found = EdgeMap()(nothing(PICTURE), batch(1, image=step)).maps["image"][0, 0]
    assert (found[:, 3:5] == found.max()).all() and not found[:, :3].any() and not found[:, 5:].any()
    flat = batch(2, image=torch.stack([torch.ones(3, 9, 8), torch.full((3, 9, 8), torch.nan)]))
    assert not EdgeMap()(nothing(PICTURE), flat).maps["image"].any()


def test_a_record_has_no_edges():
    found = EdgeMap()(nothing(*ALL), cases())
    assert list(found.maps) == ["image", "volume"] and not any(found.signed.values())
    with pytest.raises(InputError, match="needs a picture and the model formula .*use random_map"):
        EdgeMap()(nothing(RECORD), cases())


@pytest.mark.parametrize("control", [RandomMap(), EdgeMap()], ids=lambda c: c.name)
def test_a_control_knows_nothing_of_the_model(control):
    one, other = (control(nothing(*ALL, sign=sign), cases()) for sign in (1.0, -3.0))
    assert control.control and "nothing of the model" in control.gives
    for name, values in one.maps.items():
        np.testing.assert_array_equal(values, other.maps[name])
    assert not one.effects


def test_a_random_map_is_uniform_between_0_and_1():
    found = RandomMap()(nothing(*ALL), cases(40))
    for values in found.maps.values():
        assert stats.kstest(values.ravel(), "uniform").pvalue > 0.01
    assert found.maps["image"].shape == (40, 1, 9, 8) and found.maps["record"].shape == (40, 3)
    area, share = 8 / 72, found.maps["image"][:, 0, :2, :4].sum((1, 2)) / found.maps["image"].sum((1, 2, 3))
    assert abs(share.mean() - area) < 3 * share.std(ddof=1) / np.sqrt(40)


def test_a_random_map_is_drawn_by_case_and_seed():
    some, model = cases(), nothing(PICTURE)
    found = RandomMap()(model, some).maps["image"]
    np.testing.assert_array_equal(RandomMap()(model, some.take([1, 0])).maps["image"], found[::-1])
    wanted = drawing("case 1", 0).random((1, 9, 8), dtype=np.float32)
    np.testing.assert_array_equal(found[1], wanted)
    assert abs(np.corrcoef(found[0].ravel(), found[1].ravel())[0, 1]) < 0.4
    assert (RandomMap(seed=1)(model, some).maps["image"] != found).all()


def test_where_nothing_stands_a_random_map_is_0():
    some = cases()
    some.inputs["image"][1] = torch.nan
    text = batch(3, report=torch.tensor([[3.0, 2, 5, 0, 0, 0], [0.0] * 6, [torch.nan] * 6]))
    found = RandomMap()(nothing(PICTURE, RECORD), some).maps["image"]
    assert found[0].all() and not found[1].any()
    model = nothing(TEXT)
    words = RandomMap().maps(model, text, model.heads[0], torch.ones(3))[0]["report"]
    assert words[0, :3].all() and not words[0, 3:].any() and not words[1:].any()
