"""How sparse and how complete maps are: closed forms, slow twins, and a model whose answer is known."""

import numpy as np
import pytest
import torch

from studykit.case import Batch, Modality, Schema, Task
from studykit.catalog import build
from studykit.explain import GradCAM, IntegratedGradients
from studykit.models import FusionModel
from studykit.quality import Asked
from studykit.quality.completeness import Completeness, completeness
from studykit.quality.sparseness import Sparseness, gini

IMAGE = Modality("image", "image", (1, 16, 16), absent=0.4)
RECORD = Modality("record", "table", (3,), ("a", "b", "b=missing"), (0.0, 0.0, 1.0))
TEXT = Modality("report", "text", (6,), vocabulary=tuple("abcdefgh"))
SMALL = {"name": "concat", "image": {"name": "residual", "widths": [4, 8]}, "dropout": 0.0}
LINEAR = {"name": "alone", "modality": "record", "table": {"name": "columns", "width": 0}, "dropout": 0.0}


def test_the_gini_index_is_half_the_mean_difference_over_the_mean():
    heat = np.random.default_rng(0).normal(size=(4, 5, 6))
    for h, found in zip(np.abs(heat).reshape(4, -1), gini(heat), strict=True):
        difference = np.mean([[abs(a - b) for a in h] for b in h])
        assert found == pytest.approx(difference / (2 * h.mean()), abs=1e-12)


def test_even_maps_have_gini_0_and_one_place_has_1_less_1_over_n(asked_of):
    heat = np.zeros((3, 2, 5))
    heat[0], heat[1, 0, 3] = -2.0, -3.0
    found = Sparseness()(asked_of(heat, heat > 9))["sparseness"]  # no region known, and none wanted
    assert found.values[:2] == pytest.approx([0, 0.9], abs=1e-12)
    assert np.isnan(found.values[2]) and found.why == ["", "", "the map is 0 everywhere"]
    # 1, 2, 3, 4: mean difference 1.25 over twice the mean 2.5
    assert gini(np.array([[4.0, 1, 3, 2]]))[0] == pytest.approx(0.25, abs=1e-12)


def test_padding_makes_no_text_sparse(asked_of):
    words = np.array([[3.0, 4, 5, 0, 0, 0]], dtype=np.float32)
    heat = np.array([[1.0, 1, 1, 0, 0, 0]])
    assert Sparseness()(asked_of(heat, kind="text", inputs=words))["sparseness"].values[0] == pytest.approx(0)


def network(spec, *modalities, task=None):
    torch.manual_seed(0)
    task = task or Task("t", "binary", ("n", "y"))
    return build(FusionModel, spec, Schema(modalities, (task,))).eval()


def drawn(count=5):
    draw = torch.Generator().manual_seed(0)
    words = torch.tensor([[3.0, 2, 5, 5, 0, 0], [2.0, 4, 0, 0, 0, 0], [7.0] * 6, [2.0, 3, 4, 5, 6, 0]])
    return {
        "image": torch.rand(count, 1, 16, 16, generator=draw),
        "record": torch.randn(count, 3, generator=draw),
        "report": torch.cat([words, words])[:count],
    }


def asked(model, explainer, modality, count=5, **inputs):
    given = {name: x for name, x in (drawn(count) | inputs).items() if name in model.modalities}
    names = [str(at) for at in range(count)]
    batch = Batch(names, names, given, {})
    return Asked(model, batch, explainer, explainer(model, batch), modality)


def test_the_error_by_its_closed_form():
    found = completeness([3.0, 1.0, -1.0, 2.0], [2.0, 1.0, 1.0, 0.0])
    assert found[:3].tolist() == [0.5, 0.0, 2.0] and np.isnan(found[3])


def test_integrated_gradients_of_a_linear_model_are_complete():
    question = asked(network(LINEAR, IMAGE, RECORD), IntegratedGradients(steps=4), RECORD)
    found = Completeness()(question)
    assert list(found) == ["completeness"] and found["completeness"].values.max() < 1e-6
    question.explanation.effects["record"] = question.explanation.effects["record"] * 1.25
    off = Completeness()(question)["completeness"].values
    np.testing.assert_allclose(off, 0.25, atol=1e-5)


@pytest.mark.parametrize("task", [None, Task("t", "multiclass", ("a", "b", "c"))], ids=["binary", "several"])
def test_the_error_by_the_models_own_answers(task):
    """The check that integrated gradients carry, divided by the model's move: found anew from the model."""
    model = network(SMALL, IMAGE, RECORD, task=task)
    image = drawn()["image"]
    image[2] = torch.nan  # a case without a picture
    question = asked(model, IntegratedGradients(steps=8), IMAGE, image=image)
    given, told = question.batch.inputs, question.explanation
    absent = {"image": torch.full((5, 1, 16, 16), 0.4), "record": torch.tensor([[0.0, 0, 1]] * 5)}
    with torch.no_grad():
        logits = [model(x)["t"].double().numpy() for x in (given, absent)]
    there, start = (x[:, 0] if task is None else x[np.arange(5), told.targets] for x in logits)
    gap = told.effects["image"].astype(float) + told.effects["record"] - (there - start)
    found = Completeness()(question)["completeness"].values
    np.testing.assert_allclose(found, np.abs(gap) / np.abs(there - start), atol=1e-5)
    np.testing.assert_allclose(found * np.abs(there - start), np.abs(told.checks["completeness"]), atol=1e-5)


def test_a_text_is_complete_from_where_the_walk_between_its_words_starts():
    model = network(SMALL, IMAGE, TEXT)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    question = asked(model, IntegratedGradients(steps=128), TEXT, count=4)
    found = Completeness()(question)
    assert list(found) == ["completeness", "completeness from silent words"]
    silent = found["completeness from silent words"].values
    assert silent.max() < 0.02
    # A model that sees that there are words at all: from no words the same maps are not complete.
    assert np.nanmax(found["completeness"].values) > 5 * silent.max()
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert not any(layer._forward_hooks for layer in model.word_layers().values())


def test_where_completeness_cannot_be_told_there_is_a_reason():
    model = network(SMALL, IMAGE, RECORD)
    found = Completeness()(asked(model, GradCAM(), IMAGE))["completeness"]
    assert np.isnan(found.values).all()
    assert found.why == ["the method says nothing of how much image and record added"] * 5
    for nearly in (0.0, 1e-6):  # a move no larger than single precision's rounding is none
        absent = {"image": torch.full((5, 1, 16, 16), 0.4), "record": torch.tensor([[nearly, 0, 1]] * 5)}
        found = Completeness()(asked(model, IntegratedGradients(steps=4), IMAGE, **absent))["completeness"]
        assert np.isnan(found.values).all()
        assert found.why == ["the model's answer is as for an absent case"] * 5
