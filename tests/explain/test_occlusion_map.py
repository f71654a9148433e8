"""Occlusion against windows moved by hand, words taken away by hand, and what its settings promise."""

import numpy as np
import pytest
import torch

from explain.test_gradient_methods import IMAGE, RECORD, TASK, TEXT, Formula, batch
from studykit.case import Modality, Schema
from studykit.catalog import InputError, build
from studykit.datasets import LungPETCTDx
from studykit.explain.occlusion import Occlusion
from studykit.models import FusionModel

RGB = Modality("image", "image", (3, 10, 13), absent=0.4)
VOLUME = Modality("image", "volume", (1, 5, 7, 6), absent=0.1)


def fusion(modality, record=RECORD):
    """A small model in double precision, and two cases."""
    torch.manual_seed(0)
    spec = {"name": "concat", modality.kind: {"name": "residual", "widths": [4, 8]}}
    model = build(FusionModel, spec, Schema((modality, record), TASK)).eval().double()
    image = torch.rand(2, *modality.shape, dtype=torch.float64)
    return model, batch(2, image=image, record=torch.randn(2, 3, dtype=torch.float64))


def answer(model, inputs):
    with torch.no_grad():
        return model(inputs)["t"][:, 0].numpy()


def slow(model, cases, window, stride, absent):
    """(B, *space): the mean, over the windows that cover a pixel, of what the logit loses."""
    x = cases.inputs["image"]
    space = x.shape[2:]
    total, count = np.zeros((len(x), *space)), np.zeros(space)
    steps = [range(0, max(1, side - window + stride), stride) for side in space]
    for corner in np.array(np.meshgrid(*steps)).reshape(len(space), -1).T:
        inside = tuple(slice(begin, begin + window) for begin in corner)
        gone = x.clone()
        gone[(slice(None), slice(None), *inside)] = absent
        lost = answer(model, cases.inputs) - answer(model, {**cases.inputs, "image": gone})
        total[(slice(None), *inside)] += lost.reshape(-1, *[1] * len(space))
        count[inside] += 1
    assert count.min() >= 1
    return total / count


@pytest.mark.parametrize("window, stride", [(4, 3), (4, 0), (3, 3), (1, 0), (12, 5), (99, 0)])
def test_a_pixel_gets_the_mean_over_the_windows_that_cover_it(window, stride):
    model, cases = fusion(RGB)
    found = Occlusion(window=window, stride=stride)(model, cases)
    wanted = slow(model, cases, window, stride or max(1, window // 2), 0.4)
    assert found.maps["image"].shape == (2, 1, 10, 13)  # one number a pixel, whatever its channels
    np.testing.assert_allclose(found.maps["image"][:, 0], wanted, atol=1e-6)


@pytest.mark.parametrize("window, stride", [(3, 2), (4, 0)])
def test_a_voxel_does_too(window, stride):
    model, cases = fusion(VOLUME)
    found = Occlusion(window=window, stride=stride)(model, cases)
    wanted = slow(model, cases, window, stride or window // 2, 0.1)
    np.testing.assert_allclose(found.maps["image"][:, 0], wanted, atol=1e-6)


def test_single_precision_and_few_rows_at_a_time_change_nothing(monkeypatch):
    model, cases = fusion(RGB)
    wanted = slow(model, cases, 4, 2, 0.4)
    monkeypatch.setattr("studykit.explain.occlusion.ROWS", 6)
    found = Occlusion(window=4)(model, cases)
    np.testing.assert_allclose(found.maps["image"][:, 0], wanted, atol=1e-6)
    found = Occlusion(window=4)(model.float(), cases.map_tensors(lambda x: x.float()))
    np.testing.assert_allclose(found.maps["image"][:, 0], wanted, atol=1e-5)


def test_the_columns_of_a_source_go_together_and_their_sum_is_what_it_took():
    model, cases = fusion(RGB)
    found = Occlusion()(model, cases)
    full = answer(model, cases.inputs)
    for columns in ([0], [1, 2]):
        gone = cases.inputs["record"].clone()
        gone[:, columns] = torch.tensor(RECORD.absent, dtype=gone.dtype)[columns]
        lost = full - answer(model, {**cases.inputs, "record": gone})
        taken = found.maps["record"][:, columns]
        np.testing.assert_allclose(taken.sum(axis=1), lost, atol=1e-6)
        assert (taken == taken[:, :1]).all()


def test_columns_without_names_go_one_by_one():
    model, cases = fusion(RGB, Modality("record", "table", (3,)))
    found = Occlusion()(model, cases).maps["record"]
    for column in range(3):
        gone = cases.inputs["record"].clone()
        gone[:, column] = 0.0
        lost = answer(model, cases.inputs) - answer(model, {**cases.inputs, "record": gone})
        np.testing.assert_allclose(found[:, column], lost, atol=1e-6)


def test_an_effect_is_what_the_whole_modality_takes_along():
    model, cases = fusion(RGB)
    found, full = Occlusion()(model, cases), answer(model, cases.inputs)
    for name in ("image", "record"):
        gone = torch.tensor(model.schema.modality(name).absent).expand(cases.inputs[name].shape)
        lost = full - answer(model, {**cases.inputs, name: gone.double()})
        np.testing.assert_allclose(found.effects[name], lost, atol=1e-6)
    whole = Occlusion(window=13)(model, cases)
    np.testing.assert_allclose(whole.maps["image"][:, 0, 4, 4], whole.effects["image"], atol=1e-6)


def test_words_are_taken_away_one_by_one():
    torch.manual_seed(0)
    model = build(FusionModel, {"name": "alone", "modality": "report"}, Schema((TEXT,), TASK)).eval()
    words = torch.tensor([[3.0, 2, 5, 5, 0, 0], [2.0, 4, 0, 0, 0, 0], [torch.nan] * 6, [0.0] * 6])
    found = Occlusion()(model, batch(4, report=words)).maps["report"]
    for case, count in enumerate([4, 2]):
        for place in range(count):
            gone = words[[case]].clone()
            gone[0, place] = 0
            lost = answer(model, {"report": words[[case]]}) - answer(model, {"report": gone})
            assert found[case, place] == pytest.approx(lost[0], abs=1e-6) and lost[0] != 0
        assert not found[case, count:].any()
    assert not found[2:].any()


class TwoStreams(Formula):
    """One picture shown to two encoders."""

    def __init__(self, schema, formula):
        super().__init__(schema, formula)
        self.encoders["again"] = torch.nn.Identity()
        self.sources = {"again": "image"}


def test_a_picture_that_two_networks_see_is_covered_for_both():
    def formula(image, again):
        return (image + 2 * again).flatten(1).sum(1)

    cases = batch(2)
    found = Occlusion(window=1)(TwoStreams(Schema((IMAGE,), TASK), formula=formula), cases)
    wanted = 3 * (cases.inputs["image"] - 0.4).sum(1).numpy()
    np.testing.assert_allclose(found.maps["image"][:, 0], wanted, atol=1e-6)
    np.testing.assert_allclose(found.effects["image"], wanted.sum((1, 2)), atol=1e-6)


@pytest.mark.parametrize("side", range(5, 12))
def test_whatever_the_sides_everything_is_covered(side):
    """Where each pixel adds 1 beyond absent, a window takes as many as it covers."""
    modality = Modality("image", "image", (1, side, 7), absent=0.0)
    model = Formula(Schema((modality,), TASK), formula=lambda image: image.flatten(1).sum(1))
    for window, stride in ((4, 4), (4, 3), (5, 1), (8, 0)):
        found = Occlusion(window, stride)(model, batch(1, image=torch.ones(1, 1, side, 7))).maps["image"]
        assert found.min() >= 1 and found.max() <= min(window, side) * min(window, 7)


def test_what_stays_is_encoded_once():
    model, cases = fusion(RGB)
    rows = {"image": 0, "record": 0}

    def count(name):
        def add(module, given, out):
            rows[name] += len(given[0])

        return add

    for name in rows:
        model.encoders[name].register_forward_hook(count(name))
    Occlusion(window=5, stride=5)(model, cases)
    # Two cases: the features once, each method's own start, whole and absent, and 2 x 3 windows of the
    # picture (10 x 13), or two sources of the record; of two classes the one explained is known unasked.
    assert rows == {"image": 2 * (1 + 1 + 2 + 6), "record": 2 * (1 + 1 + 2 + 2)}


def test_a_missing_modality_takes_nothing_and_the_others_do_as_before():
    model, cases = fusion(RGB)
    for name, other in (("image", "record"), ("record", "image")):
        inputs = {**cases.inputs, name: cases.inputs[name].clone()}
        inputs[name][1] = torch.nan
        found = Occlusion(window=6)(model, batch(2, **inputs))
        assert not found.maps[name][1].any() and found.effects[name][1] == 0
        absent = torch.tensor(model.schema.modality(name).absent, dtype=torch.float64)
        inputs[name] = torch.where(inputs[name].isnan(), absent.expand(inputs[name].shape), inputs[name])
        stood = Occlusion(window=6)(model, batch(2, **inputs))
        np.testing.assert_allclose(found.maps[other], stood.maps[other], atol=1e-6)


def test_millimetres_become_pixels_where_the_spacing_is_known():
    volume = Modality("image", "volume", (1, 10, 40, 40), spacing=(5.0, 0.8, 0.8))
    assert Occlusion(millimetres=10.0).windows(volume) == ((2, 12, 12), (1, 6, 6))
    assert Occlusion(millimetres=10.0, stride=4).windows(volume) == ((2, 12, 12), (2, 4, 4))
    assert Occlusion(millimetres=0.1).windows(volume) == ((1, 1, 1), (1, 1, 1))
    assert Occlusion(millimetres=1000.0).windows(volume)[0] == (10, 40, 40)
    assert Occlusion(window=16).windows(volume) == ((10, 16, 16), (5, 8, 8))
    spaced = Modality("image", "image", RGB.shape, absent=0.4, spacing=(2.0, 2.0))
    (model, cases), pixels = fusion(spaced), fusion(RGB)
    found = Occlusion(millimetres=8.0)(model, cases).maps["image"]
    np.testing.assert_array_equal(found, Occlusion(window=4)(*pixels).maps["image"])


def test_millimetres_that_nobody_knows_get_a_sentence():
    model, cases = fusion(RGB)
    with pytest.raises(InputError, match="count millimetres in 'image', .*set 'millimetres' to 0"):
        Occlusion(millimetres=8.0)(model, cases)
    assert not Occlusion(millimetres=0.0).suits(model, model.schema)


def test_the_lung_scans_know_their_spacing_where_it_is_set():
    assert LungPETCTDx(spacing=2).pictures[0].spacing == (2.0, 2.0, 2.0)
    assert LungPETCTDx().pictures[0].spacing == ()


@pytest.mark.parametrize(
    "settings, said",
    [
        ({"window": 0}, "'window' of occlusion is 1 pixel or more, not 0"),
        ({"window": 4, "stride": 5}, "'stride' of occlusion is at most its window .4., .*not 5"),
        ({"stride": -1}, "'stride' of occlusion .*not -1; 0 takes half"),
        ({"millimetres": -2.0}, "'millimetres' of occlusion is the window's side in mm, .*not -2"),
        ({"millimetres": float("inf")}, "'millimetres' of occlusion"),
    ],
)
def test_settings_that_mean_nothing_get_a_sentence(settings, said):
    with pytest.raises(InputError, match=said):
        Occlusion(**settings)


def test_the_window_that_holds_the_evidence_stands_out():
    """One pixel decides: what lies a window away from it takes nothing."""
    model = Formula(Schema((IMAGE,), TASK), formula=lambda image: 3 * image[:, 0, 1, 2])
    found = Occlusion(window=2, stride=1)(model, batch(1, image=torch.ones(1, *IMAGE.shape))).maps["image"][
        0, 0
    ]
    assert found[1, 2] == pytest.approx(3 * 0.6) and found.max() == found[1, 2]
    assert not found[3:].any() and not found[:, 0].any()
