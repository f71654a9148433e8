"""Every model of the catalogue: what is asked the quick way is what algorithm 1 finds a case at a time."""

import numpy as np
import pytest
import torch
from torch import nn

from studykit.case import Task
from studykit.catalog import build, settings_of
from studykit.contribution import modality_contribution
from studykit.models import FusionModel
from studykit.models.fusion import Head
from tests.contribution.twin import algorithm_1, several, tiles
from tests.models.test_contract import SHAPES as SHAPES_OF
from tests.models.test_contract import batch, schema, small

SIDES = {"image": (16, 24), "volume": (8, 16, 32)}
TINY = {"mmcaf": {"widths": [4, 8, 16]}}
SHAPES = ("image and record", "two images", "volume and record", "image and text")


def wanted():
    """Every model and preset, on shapes in turn; one of them on all."""
    turn = 0
    for name, cls in sorted(FusionModel.catalogue.items()):
        for preset in ("repaired", "faithful") if "preset" in settings_of(cls) else ("",):
            suited = [shape for shape in SHAPES if not cls.suits(schema(shape))]
            turn += 1
            for shape in suited if name == "concat" else [suited[turn % len(suited)]]:
                yield pytest.param(name, preset, shape, id=f"{name} {preset} {shape}")


def made(name, preset, shape, kind="multiclass"):
    """In float64, with weights and norms as no start leaves them."""
    torch.manual_seed(0)
    extra = {"preset": preset} if preset else {}
    given = small(
        name,
        **extra,
        **TINY.get(name, {}),
        **({"modality": SHAPES_OF[shape][0].name} if name == "alone" else {}),
    )
    model = build(FusionModel, given, schema(shape, kind))
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                module.running_mean.normal_(0, 0.2)
                module.running_var.uniform_(0.5, 1.5)
        for p in model.parameters():
            p.add_(0.02 * torch.randn(p.shape))
    return model.double().eval()


def cases(model, count=3):
    """(inputs, ids, filled); the second case lacks the last modality."""
    inputs = {name: batch(model, count).inputs[name].double() for name in model.modalities}
    if len(inputs) > 1:
        inputs[model.modalities[-1]][1] = torch.nan
    ids, filled = {}, {}
    for name, x in inputs.items():
        modality = model.schema.modality(name)
        if modality.kind in SIDES:
            ids[name] = several(tiles(modality.shape, SIDES[modality.kind]), count)
        elif modality.kind == "table":
            sources = list(modality.sources)
            ids[name] = several(
                torch.tensor([sources.index(c.split("=")[0]) for c in modality.columns]), count
            )
        else:
            ids[name] = torch.arange(x.shape[1]).expand(count, -1).masked_fill(x == 0, -1)
        lacking = x.flatten(1).isnan().all(dim=1).view(-1, *[1] * (x.ndim - 1))
        absent = torch.tensor(modality.absent, dtype=torch.float64).expand(x.shape)
        filled[name] = torch.where(lacking, x, absent)
    return inputs, ids, filled


@pytest.mark.filterwarnings("ignore:With tokens='vector'")
@pytest.mark.parametrize(("name", "preset", "shape"), list(wanted()))
def test_the_engine_finds_what_algorithm_1_finds(name, preset, shape):
    model = made(name, preset, shape)
    inputs, ids, filled = cases(model)
    d, m = algorithm_1(lambda **x: model(x)["lesion"], inputs, ids, filled)
    kinds = {n: model.schema.modality(n).kind for n in inputs}
    parts = {n: {"name": "patches", "size": SIDES[kind]} for n, kind in kinds.items() if kind in SIDES}
    parts = {
        n: {**p, "size": [min(a, b) for a, b in zip(p["size"], inputs[n].shape[2:])]}
        for n, p in parts.items()
    }
    moved = max(float(found.abs().max()) for found in d.values())
    assert moved > 1e-6  # the answers hang on something
    for fold in (True, False):
        asked = modality_contribution(model, inputs, parts, output="logit", fold=fold)
        for n, found in d.items():
            np.testing.assert_allclose(asked.differences[n], found, rtol=1e-8, atol=1e-9 * moved)
        assert asked.share() == pytest.approx(m, abs=1e-8)
    single = modality_contribution(
        model.float(), {n: x.float() for n, x in inputs.items()}, parts, output="logit"
    )
    assert single.share() == pytest.approx(m, rel=2e-5, abs=2e-5)
    if len(inputs) > 1:
        last = list(inputs)[-1]
        assert asked.same[last][1].all() and (asked.differences[last][1] == 0).all()
        assert asked.per_case().iloc[1][last] == 0


@pytest.mark.parametrize(
    ("kind", "link", "outputs"),
    [
        ("binary", torch.sigmoid, ("malignant",)),
        ("multiclass", lambda z: z.softmax(dim=1), ("a", "b", "c")),
        ("multilabel", torch.sigmoid, ("a", "b", "c")),
        ("regression", lambda z: 40 + 12 * z, ("output",)),
    ],
)
def test_probabilities_by_the_kind_of_task(kind, link, outputs):
    model = made("concat", "", "two images", kind)
    if kind == "regression":
        scaled = Task("lesion", "regression", scale=(40.0, 12.0))
        model.heads = (Head("lesion", scaled),)
    inputs, ids, filled = cases(model)
    d, m = algorithm_1(lambda **x: link(model(x)["lesion"]), inputs, ids, filled)
    parts = {name: {"name": "patches", "size": [16, 24]} for name in inputs}
    asked = modality_contribution(model, dict(reversed(inputs.items())), parts)
    assert asked.share() == pytest.approx(m, abs=1e-9)
    assert len(asked.outputs) == len(outputs) and asked.about["output"] == "probability"
    if kind != "regression":
        assert asked.outputs == outputs


def test_the_fusion_is_asked_once_a_part_and_an_encoder_once_a_part_of_its_own(monkeypatch):
    model, rows = made("concat", "", "image and record"), {"fuse": 0}
    inputs, _, _ = cases(model, 4)
    for name, encoder in model.encoders.items():
        rows[name] = 0
        encoder.register_forward_hook(lambda _, __, said, n=name: rows.update({n: rows[n] + len(said)}))
    fuse = type(model).fuse

    def counting(self, features):
        rows["fuse"] += len(next(iter(features.values())))
        return fuse(self, features)

    monkeypatch.setattr(type(model), "fuse", counting)
    present = {"image": inputs["image"], "record": torch.rand(4, 3).double() + 0.1}
    for size in (0, 1, 3):
        rows.update(dict.fromkeys(rows, 0))
        asked = modality_contribution(model, present, {"image": 8}, size=size, fold=False)
        assert rows == {"fuse": 4 * (1 + 16 + 2), "image": 4 + 4 * 16, "record": 4 + 4 * 2}
        assert asked.forwards == rows["fuse"] and asked.encodings == {n: rows[n] for n in present}
    rows.update(dict.fromkeys(rows, 0))
    asked = modality_contribution(model, inputs, {"image": 8}, fold=False)  # the second lacks its record
    assert rows == {"fuse": 4 * 19 - 2, "image": 4 + 4 * 16, "record": 4 + 4 * 2 - 2}
    assert asked.forwards == rows["fuse"] and asked.encodings == {n: rows[n] for n in present}


def test_in_float32_what_a_model_never_looks_at_is_exactly_0():
    model = made("concat", "", "image and record").float()
    width = model.encoders["image"].width
    with torch.no_grad():
        for linear in model.modules():
            if isinstance(linear, nn.Linear) and linear.in_features > width:
                linear.weight[:, width:] = 0  # the record's columns
    for count, size in ((66, 0), (5, 1)):
        inputs = {name: x.float() for name, x in batch(model, count).inputs.items()}
        asked = modality_contribution(model, inputs, {"image": 16}, size=size)
        assert asked.share() == {"image": 1.0, "record": 0.0}
