"""What every explanation method of the catalogue must do; membership is enough to be tested here."""

import re
from dataclasses import replace

import numpy as np
import pytest
import torch

from studykit.case import Schema, Task
from studykit.catalog import InputError, build, settings_of, spec
from studykit.datasets import Dataset, Prepared
from studykit.explain import (  # noqa: F401
    Explainer,
    edge_map,
    grad_cam_plus_plus,
    gradient_x_input,
    occlusion,
    random_map,
    smooth_grad,
)
from studykit.models import FusionModel

RESNET = {"name": "timm", "architecture": "resnet10t", "weights": "scratch", "stages": [1, 2]}
SMALL = {"name": "residual", "widths": [4, 8]}
FEW = {"steps": 8, "samples": 8}  # for settings of these names, where a method has them
BREAST = {"name": "breast_phantom", "count": 20, "size": 32}
SEEN = {  # a data set, and a small model that has not learned
    "image and record": (BREAST, {"name": "concat", "image": {**RESNET, "frozen": False}}),
    "frozen encoder": (BREAST, {"name": "concat", "image": {**RESNET, "frozen": True}}),
    "two streams": (
        BREAST,
        {
            "name": "attention_gate",
            "backbone": "resnet10t",
            "receptive_field": 17,
            "local_widths": [4, 8, 8, 8],
        },
    ),
    "volume and record": (
        {"name": "chest_phantom", "count": 20, "depth": 8, "size": 32},
        {"name": "concat", "volume": SMALL},
    ),
    "image and report": (
        {"name": "report_phantom", "count": 20, "size": 32},
        {"name": "concat", "image": SMALL},
    ),
    "RGB and three classes": (
        {"name": "report_phantom", "count": 20, "size": 32},
        {"name": "concat", "image": SMALL},
    ),
}


def is_sentence(said):
    """A capital, more than four words, a full stop (or what `unknown` ends with)."""
    return bool(re.fullmatch(r"[A-Z].*[.?]", said)) and len(said.split()) > 4


def in_colour(schema, batch):
    """The same cases with RGB films and three classes; one has no label."""
    image = replace(schema.modality("image"), shape=(3, *schema.modality("image").shape[1:]))
    others = tuple(m for m in schema.modalities if m.name != "image")
    task = Task("opacity", "multiclass", ("none", "left", "right"))
    batch.inputs["image"] = batch.inputs["image"] * torch.tensor([1.0, 0.8, 0.6]).view(3, 1, 1)
    batch.targets["opacity"] = torch.tensor([2.0, 0.0, torch.nan])
    return Schema((image, *others), (task,)), batch


def cases_and_model(name):
    """Three cases of both classes, and the model that is to be explained on them."""
    data, model = SEEN[name]
    dataset = build(Dataset, data)
    prepared = Prepared.fit(dataset, dataset.cases.index)
    labels = dataset.cases[dataset.tasks[0].name]
    classes = dataset.tasks[0].classes
    ids = [labels.index[labels == classes[at]][number] for at, number in ((0, 0), (1, 0), (0, 1))]
    schema, batch = prepared.schema, prepared.load(ids)
    if "RGB" in name:
        schema, batch = in_colour(schema, batch)
    return schema, batch, model


@pytest.fixture(scope="module", params=SEEN)
def seen(request):
    return cases_and_model(request.param)


@pytest.fixture(scope="module", params=sorted(Explainer.catalogue))
def made(request, seen):
    """Each method on an untrained fusion model."""
    schema, batch, settings = seen
    few = {name: n for name, n in FEW.items() if name in settings_of(Explainer.catalogue[request.param])}
    model, explainer = untrained(settings, schema), build(Explainer, {"name": request.param, **few})
    reason = explainer.suits(model, schema)
    if reason:
        assert is_sentence(reason)
        with pytest.raises(InputError, match=re.escape(reason)):
            explainer(model, batch)
        pytest.skip(reason)
    return explainer, model, batch, explainer(model, batch)


def untrained(settings, schema, seed=0):
    torch.manual_seed(seed)
    return build(FusionModel, settings, schema).eval()


def test_one_map_a_case_in_the_modalitys_shape(made):
    explainer, model, batch, found = made
    assert found.ids == batch.ids and found.spec == spec(explainer) and found.head == model.heads[0].name
    assert (found.maps or found.effects) and set(found.maps) == set(found.signed)
    assert set(found.maps) | set(found.effects) <= set(model.modalities)
    for name, values in found.maps.items():
        shape = batch.inputs[name].shape
        pictured = model.schema.modality(name).kind in ("image", "volume")
        assert values.shape == shape or (pictured and values.shape == (shape[0], 1, *shape[2:]))
        assert values.dtype == np.float32 and np.isfinite(values).all() and values.any()
        assert found.signed[name] or (values >= 0).all()
    for values in (*found.effects.values(), *found.checks.values()):
        assert values.shape == (len(batch),) and np.isfinite(values).all()


def test_what_is_said_of_a_method_is_said(made):
    explainer = made[0]
    assert explainer.title and explainer.unit and len(explainer.gives.split()) > 4


def test_a_batch_gives_what_its_single_cases_give(made):
    explainer, model, batch, found = made
    one = explainer(model, batch.take([2]))
    for name, values in found.maps.items():
        scale = np.abs(values[2]).max()
        np.testing.assert_allclose(one.maps[name][0], values[2], atol=1e-3 * scale)
    for name, values in found.effects.items():
        scale = max(np.abs(effect).max() for effect in found.effects.values())
        np.testing.assert_allclose(one.effects[name][0], values[2], atol=1e-3 * scale)


def test_explaining_leaves_the_model_as_it_was(made):
    explainer, model, batch, _ = made
    before = {name: value.clone() for name, value in model.state_dict().items()}
    given = {name: x.clone() for name, x in batch.inputs.items()}
    wants = [p.requires_grad for p in model.parameters()]
    explainer(model, batch)
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert [p.requires_grad for p in model.parameters()] == wants
    assert all(p.grad is None for p in model.parameters()) and not model.training
    assert not any(m._forward_hooks or m._forward_pre_hooks or m._backward_hooks for m in model.modules())
    for name, x in batch.inputs.items():
        assert torch.equal(x, given[name]) and not x.requires_grad


def test_an_unknown_head_gets_a_sentence(made):
    explainer, model, batch, found = made
    with pytest.raises(InputError, match=f"no head 'age'; it has {found.head}"):
        explainer(model, batch, head="age")


def test_the_class_that_is_asked_for_is_explained(made):
    explainer, model, batch, found = made
    head = model.heads[0]
    with torch.no_grad():
        logits = model(batch.inputs)[head.name]
    said = (logits[:, 0] > 0).long() if head.task.kind == "binary" else logits.argmax(1)
    truth = batch.targets[head.task.name]
    by_label = explainer(model, batch, of="true")
    assert by_label.targets.tolist() == torch.where(truth.isnan(), said, truth).tolist()
    assert explainer(model, batch, of="predicted").targets.tolist() == said.tolist()
    if head.task.kind != "binary" or explainer.control or not all(found.signed.values()):
        return
    turned = np.where(by_label.targets == 1, 1, -1)  # the one class's logit is the other's, turned
    assert set(turned) == {-1, 1}
    for part in ("maps", "effects"):
        for name, values in getattr(found, part).items():
            wanted = values * turned.reshape(-1, *[1] * (values.ndim - 1))
            atol = 1e-3 * np.abs(values).max()
            np.testing.assert_allclose(getattr(by_label, part)[name], wanted, atol=atol)


def test_a_missing_modality_breaks_nothing(made):
    explainer, model, batch, found = made
    for missing in model.modalities:
        some = batch.take(range(len(batch)))
        some.inputs[missing][1] = torch.nan
        told = explainer(model, some)
        assert set(told.maps) == set(found.maps) and set(told.effects) == set(found.effects)
        for values in (*told.maps.values(), *told.effects.values(), *told.checks.values()):
            assert np.isfinite(values).all()


def test_only_a_control_knows_nothing_of_the_model(made, seen):
    explainer, _, batch, found = made
    schema, _, settings = seen
    other = explainer(untrained(settings, schema, seed=1), batch)
    pairs = [
        (values, getattr(other, part)[name])
        for part in ("maps", "effects")
        for name, values in getattr(found, part).items()
    ]
    assert all(np.array_equal(*pair) for pair in pairs) == explainer.control
