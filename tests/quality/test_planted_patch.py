"""What maps should show is known here: one small patch, whose stripes decide the class."""

import numpy as np
import pytest
import torch

from studykit.catalog import build
from studykit.datasets import PlantedPatch, Prepared
from studykit.explain import Explainer
from studykit.models import FusionModel
from studykit.quality import Asked
from studykit.quality.randomisation import Randomisation
from studykit.quality.relevance_mass import RelevanceMass
from studykit.training.controls import accuracy
from studykit.training.fit import Training, fit, predicted

CASES = 40  # that maps are scored on
MODELS = {
    "concat": {"name": "concat", "image": {"name": "residual", "widths": [8, 16]}},
    "attention_gate": {
        "name": "attention_gate", "backbone": "test_resnet", "receptive_field": 9,
        "local_widths": [8, 16, 16, 32],
    },
}  # fmt: skip
EPOCHS = {"concat": 8, "attention_gate": 8}


@pytest.fixture(scope="module")
def cohort():
    dataset = PlantedPatch(count=360, size=96)
    prepared = Prepared.fit(dataset, dataset.cases.index[:220])
    return prepared, prepared.load(dataset.cases.index)


@pytest.fixture(scope="module")
def learned(cohort):
    """Each model with the cases that it is asked about."""
    (prepared, batch), found = cohort, {}
    train, val, test = (batch.take(range(*ends)) for ends in ((0, 220), (220, 260), (260, 360)))
    for name, model in MODELS.items():
        torch.manual_seed(0)
        made = build(FusionModel, model, prepared.schema)
        settings = {"epochs": EPOCHS[name], "batch": 25, "rate": 3e-3, "encoder_rate": 1.0, "augment": False}
        fit(made, train, val, Training(**settings, patience=EPOCHS[name]), seed=0)
        assert accuracy(predicted(made, test)["stripes"], test.targets["stripes"]) >= 0.95
        found[name] = made
    return found, test.take(range(CASES))


def asked(model, batch, method):
    explainer = build(Explainer, method)
    explanation = explainer(model, batch, of="predicted")
    region = batch.masks["image"].numpy()
    return Asked(model, batch, explainer, explanation, model.schema.modality("image"), region)


@pytest.mark.parametrize(("model", "method"), [("concat", "grad_cam"), ("attention_gate", "class_evidence")])
def test_the_mass_lies_in_the_patch(learned, model, method):
    models, batch = learned
    found = RelevanceMass()(asked(models[model], batch, method))["relevance_mass"]
    assert 0.01 < found.chance.mean() <= 0.02
    assert np.nanmean(found.values) >= 5 * found.chance.mean()


def test_a_random_map_stays_at_chance(learned):
    models, batch = learned
    found = RelevanceMass()(asked(models["concat"], batch, "random_map"))["relevance_mass"]
    error = found.values.std(ddof=1) / np.sqrt(CASES)
    assert abs(found.values.mean() - found.chance.mean()) <= 3 * error


TEN = Randomisation(redraws=10)


@pytest.mark.parametrize(("model", "method"), [("concat", "grad_cam"), ("attention_gate", "class_evidence")])
def test_maps_of_a_model_that_has_forgotten_are_other_maps(learned, model, method):
    models, batch = learned
    found = TEN(asked(models[model], batch.take(range(20)), method))
    assert abs(np.nanmean(found["randomisation"].values)) < 0.1


@pytest.mark.parametrize("method", ["integrated_gradients", "gradient_x_input"])
def test_methods_that_multiply_by_the_input_still_show_the_picture(learned, method):
    models, batch = learned
    found = Randomisation(redraws=3)(asked(models["concat"], batch.take(range(10)), method))
    assert np.nanmean(found["randomisation, of sizes"].values) > 0.25


def test_an_edge_detector_is_caught(learned):
    models, batch = learned
    found = Randomisation(redraws=2)(asked(models["concat"], batch.take(range(4)), "edge_map"))
    assert (found["randomisation"].values == 1).all() or np.allclose(found["randomisation"].values, 1)
