"""Attention and class evidence as pictures: the right place, the right size, the model's own numbers."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from studykit.case import Batch, Modality, Schema, Task
from studykit.catalog import InputError, build
from studykit.explain.attention import Attention
from studykit.explain.class_evidence import ClassEvidence, enlarged
from studykit.models import FusionModel, hold, taps, watch
from studykit.models.bagnet import BagNet

IMAGE = Modality("image", "image", (1, 40, 64), absent=0.3)
SCAN = Modality("scan", "volume", (1, 8, 32, 64), absent=0.2)
RECORD = Modality("record", "table", (4,), ("Age", "Signs=lump", "Signs=pain", "BMI"), (0.0,) * 4)
REPORT = Modality("report", "text", (6,), vocabulary=("[end]", "[unknown]", *"abcdefgh"))
TASKS = {
    "binary": Task("lesion", "binary", ("benign", "malignant")),
    "multiclass": Task("lesion", "multiclass", ("a", "b", "c")),
    "regression": Task("lesion", "regression", scale=(5.0, 2.0)),
}
NET = {"name": "residual", "widths": [4, 8]}
GATE = {"name": "attention_gate", "backbone": "resnet10t", "local_widths": [4, 8, 8, 16], "volume": NET,
        "receptive_field": 9}  # fmt: skip
CROSS = {"name": "cross_attention", "image": NET, "volume": NET, "width": 8, "heads": 2}
MMCAF = {"name": "mmcaf", "widths": [4, 6, 8]}


def made(spec, *modalities, kind="binary"):
    torch.manual_seed(0)
    return build(FusionModel, spec, Schema(modalities, (TASKS[kind],))).eval()


def batch(model, count=2):
    draw = torch.Generator().manual_seed(0)
    inputs = {m.name: torch.rand(count, *m.shape, generator=draw) for m in model.schema.modalities}
    if "report" in inputs:
        inputs["report"] = torch.tensor([[3.0, 2, 5, 0, 0, 0], [2.0, 4, 9, 8, 0, 0]])[:count]
    names = [str(k) for k in range(count)]
    return Batch(names, names, inputs, {"lesion": torch.zeros(count)})


def middle(heat):
    """Where a map (*space) is highest; the middle of the places that share this, in pixels."""
    return np.argwhere(heat >= heat.max() - 1e-6).mean(axis=0)


@pytest.mark.parametrize("picture", [IMAGE, SCAN], ids=["image", "volume"])
def test_the_gate_is_shown_at_the_pictures_size(picture):
    model = made(GATE, picture, RECORD)
    many = batch(model)
    with watch(model) as seen:
        model(many.inputs)
    alpha = seen["fusion.mix.alpha"]
    found = Attention()(model, many)
    mode = "bilinear" if picture is IMAGE else "trilinear"
    large = F.interpolate(alpha, size=picture.shape[1:], mode=mode)
    assert list(found.maps) == [picture.name] and found.signed == {picture.name: False}
    assert found.maps[picture.name].dtype == np.float32 and found.effects == {}
    np.testing.assert_allclose(found.maps[picture.name], large.numpy(), atol=1e-6)
    assert 0 <= found.maps[picture.name].min() < found.maps[picture.name].max() <= 1 + 1e-6


def test_a_constant_gate_shows_nothing_and_a_held_place_shows_itself():
    found = Attention()((model := made({**GATE, "gate": "constant"}, IMAGE)), batch(model))
    np.testing.assert_allclose(found.maps["image"], 1, atol=1e-6)
    model = made(GATE, SCAN, RECORD)
    with watch(model) as seen:
        model(batch(model).inputs)
    sides = seen["fusion.mix.alpha"].shape[2:]
    one = torch.zeros(1, 1, *sides)
    one[0, 0, 1, 2, 5] = 1.0
    with hold(model, {"fusion.mix.alpha": one}):
        shown = Attention()(model, batch(model)).maps["scan"][1, 0]
    wanted = [(at + 0.5) * size / side - 0.5 for at, size, side in zip((1, 2, 5), SCAN.shape[1:], sides)]
    assert np.abs(middle(shown) - wanted).max() <= 0.5


def test_what_a_token_gets_is_the_mean_over_heads_and_askers():
    """Cross-attention of a picture, a record and a text: each tap weighs the tokens of the other two."""
    model = made(CROSS, IMAGE, RECORD, REPORT)
    many = batch(model)
    features = model.encode(many.inputs)
    sides = model.sides(features)["image"]
    with watch(model) as seen:
        model(many.inputs)
    places = sides[0] * sides[1]
    of_report = seen["taps.report"]  # (B, K, 7, places + 3)
    assert of_report.shape == (2, 2, 7, places + 3)
    found = Attention(tap="taps.report")(model, many)
    assert set(found.maps) == {"image", "record"}
    for case in range(2):
        got = np.zeros(places + 3)
        for head in range(2):
            for asking in range(7):
                got += of_report[case, head, asking].numpy() / 14
        large = F.interpolate(torch.tensor(got[:places]).view(1, 1, *sides), size=(40, 64), mode="bilinear")
        np.testing.assert_allclose(found.maps["image"][case, 0], large[0, 0], atol=1e-6)
        record = found.maps["record"][case]
        np.testing.assert_allclose([record[0], record[1:3].sum(), record[3]], got[places:], atol=1e-6)
        assert record[1] == record[2]
    usual = Attention()(model, many)
    assert set(usual.maps) == {"image", "record", "report"}
    np.testing.assert_array_equal(usual.maps["image"], found.maps["image"])
    asked = seen["taps.record"].mean(dim=(1, 2))  # (B, places + 7), the last tap that weighs the text
    words = asked[:, places + 1 :] * torch.tensor([[1, 1, 1, 0, 0, 0], [1, 1, 1, 1, 0, 0]])
    np.testing.assert_allclose(usual.maps["report"], words.numpy(), atol=1e-6)


@pytest.mark.parametrize("tap", ["fusion.table_asks.0", "fusion.table_asks.2"])
def test_the_scans_tokens_stand_at_their_places(tap):
    model = made(MMCAF, SCAN, RECORD)
    many, (d, h, w) = batch(model), model.places
    with watch(model) as seen:
        model(many.inputs)
    assert seen[tap].shape[-1] == d * h * w and len({d, h, w}) == 3
    for at in [(0, 1, 2), (d - 1, h - 1, 0)]:
        one = torch.zeros(d * h * w)
        one[(at[0] * h + at[1]) * w + at[2]] = 1.0
        with hold(model, {tap: one}):
            shown = Attention(tap=tap)(model, many).maps["scan"][0, 0]
        edges = np.array(SCAN.shape[1:]) / (d, h, w)
        assert (np.floor(middle(shown) / edges) == at).all()


def test_every_tap_with_a_place_gives_maps_and_the_last_ones_are_shown():
    model = made(MMCAF, SCAN, RECORD)
    many = batch(model)
    showing = {name: tap for name, tap in taps(model).items() if tap.weighs}
    assert len(showing) == 3 + 2 + 6  # spatial attention, agreement of scales, two directions at three scales
    for name, tap in showing.items():
        found = Attention(tap=name)(model, many)
        assert tuple(found.maps) == tap.weighs
        for modality, values in found.maps.items():
            assert values.shape == (2, *many.inputs[modality].shape[1:])
            assert 0 <= values.min() <= values.max() <= 1 + 1e-6
    usual = Attention()(model, many).maps
    for modality, tap in {"scan": "fusion.table_asks.2", "record": "fusion.image_asks.2"}.items():
        np.testing.assert_array_equal(usual[modality], Attention(tap=tap)(model, many).maps[modality])


@pytest.mark.filterwarnings("ignore:With tokens")
def test_one_token_a_side_has_no_place_but_the_encoders_attention_has():
    model = made({**MMCAF, "preset": "faithful"}, SCAN, RECORD)
    assert list(Attention()(model, batch(model)).maps) == ["scan"]
    with pytest.raises(InputError, match="'fusion.table_asks.0' weighs what has no place; choose one of enc"):
        Attention(tap="fusion.table_asks.0")(model, batch(model))


def test_fetched_windows_are_shown_at_their_middles():
    model = made({**GATE, "fusion": "cross_attention"}, IMAGE)
    many = batch(model)
    with watch(model) as seen:
        model(many.inputs)
    weights = seen["fusion.mix.fetch.alpha"]  # (B, N, 4 x 7 windows of 9 pixels)
    assert weights.shape[-1] == 4 * 7
    one = torch.zeros(28)
    one[2 * 7 + 3] = 1.0
    with hold(model, {"fusion.mix.fetch.alpha": one}):
        shown = Attention()(model, many).maps["image"]
    assert middle(shown[0, 0]).tolist() == [2 * 8 + 4, 3 * 8 + 4] and shown.max() == 1


def test_who_has_no_attention_says_so_and_unknown_taps_are_listed():
    gate, concat = made(GATE, IMAGE), made({"name": "concat", "image": NET}, IMAGE, RECORD)
    with pytest.raises(InputError, match="There is no tap .*'nowhere'; there are: fusion.mix.alpha"):
        Attention(tap="nowhere")(gate, batch(gate))
    with pytest.raises(InputError, match="concat has no attention; use grad_cam or integrated_gradients"):
        Attention()(concat, batch(concat))
    film = made({"name": "film", "image": NET}, IMAGE, RECORD)
    with pytest.raises(InputError, match="film weighs only what has no place"):
        Attention()(film, batch(film))
    for name in ("fusion.mix.alpha", ""):
        assert Attention(tap=name).suits(gate, gate.schema) == ""


def test_a_case_that_lacks_a_modality_breaks_nothing_and_a_batch_gives_what_its_cases_give():
    models = ((CROSS, (IMAGE, RECORD, REPORT)), (MMCAF, (SCAN, RECORD)), (GATE, (IMAGE, RECORD)))
    for spec, modalities in models:
        model = made(spec, *modalities)
        for lacking in modalities:
            many = batch(model)
            many.inputs[lacking.name][1] = torch.nan
            found, one = Attention()(model, many), Attention()(model, many.take([1]))
            for name, values in found.maps.items():
                assert np.isfinite(values).all()
                np.testing.assert_allclose(one.maps[name][0], values[1], atol=1e-5)


# Class evidence


@pytest.mark.parametrize("picture", [IMAGE, SCAN], ids=["image", "volume"])
@pytest.mark.parametrize("kind", TASKS)
def test_class_evidence_by_its_equation(picture, kind):
    """w_k . F(u) + b_k, place by place; for benign the sign turns, a number is in its own unit."""
    model = made(GATE, picture, RECORD, kind=kind)
    many = batch(model)
    found = ClassEvidence()(model, many)
    features, layer = model.encode(many.inputs)[model.close], model.logits["lesion_local"]
    for case in range(2):
        k = found.targets[case] if kind == "multiclass" else 0
        slow = torch.zeros(1, 1, *features.shape[2:])
        for place in np.ndindex(*features.shape[2:]):
            slow[(0, 0, *place)] = layer.weight[k] @ features[(case, slice(None), *place)] + layer.bias[k]
        slow = 5 + 2 * slow if kind == "regression" else slow
        large = enlarged(slow.detach(), picture.shape[1:], model.encoders[model.close])
        np.testing.assert_allclose(found.maps[picture.name][case], large[0].numpy(), rtol=1e-4, atol=1e-4)
        said = model(many.inputs)["lesion_local"][case, k].item()
        said = 5 + 2 * said if kind == "regression" else said
        np.testing.assert_allclose(slow.mean().item(), said, rtol=1e-4, atol=1e-4)
    assert found.signed == {picture.name: True} and found.effects == {}
    assert np.abs(found.checks["evidence_logit_gap"]).max() < 1e-4
    assert np.isfinite(found.maps[picture.name]).all() and found.maps[picture.name].shape[1] == 1


def test_class_evidence_against_malignant_speaks_for_benign():
    model = made(GATE, IMAGE)
    many = batch(model)
    benign = ClassEvidence().maps(model, many, model.heads[0], torch.tensor([0, 1]))[0]["image"]
    usual = ClassEvidence()(model, many).maps["image"]
    np.testing.assert_array_equal(benign[0], -usual[0])
    np.testing.assert_array_equal(benign[1], usual[1])
    for head in ("lesion", "lesion_local", "lesion_global"):
        np.testing.assert_array_equal(ClassEvidence()(model, many, head=head).maps["image"], usual)


def test_class_evidence_of_two_pictures_is_of_the_local_networks():
    close = Modality("close", "image", (1, 24, 33), absent=0.1)
    model = made(GATE, IMAGE, close)
    found = ClassEvidence()(model, batch(model))
    assert list(found.maps) == ["close"] and found.maps["close"].shape == (2, 1, 24, 33)
    concat = made({"name": "concat", "image": NET}, IMAGE)
    with pytest.raises(InputError, match="concat has no network that sees single windows; use"):
        ClassEvidence()(concat, batch(concat))


@pytest.mark.parametrize("window", [9, 17, 33])
def test_a_window_stands_where_it_looked(window):
    """The one window with evidence, and the pixels of the picture that change its evidence."""
    torch.manual_seed(0)
    net = BagNet(window, 1, 2, (4, 8, 8, 16), classes=1).eval()
    x = torch.rand(1, 1, 65, 57, requires_grad=True)
    evidence = net.evidence_map(x)
    place = (evidence.shape[2] - 2, 1)
    (slope,) = torch.autograd.grad(evidence[(0, 0, *place)], x)
    looked = np.argwhere(slope[0, 0].numpy() != 0)
    one = torch.zeros_like(evidence)
    one[(0, 0, *place)] = 1.0
    shown = enlarged(one, (65, 57), SimpleNamespace(modules=net.modules))[0, 0].numpy()
    assert middle(shown).tolist() == ((looked.min(axis=0) + looked.max(axis=0)) / 2).tolist()
