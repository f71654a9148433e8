"""What every explanation method of the catalogue must do; membership is enough to be tested here."""

import numpy as np
import pytest
import torch
from conftest import COHORT

from studykit.catalog import InputError, build, spec
from studykit.datasets import Dataset, Prepared
from studykit.explain import Explainer
from studykit.models import FusionModel

RESNET = {"name": "timm", "architecture": "resnet10t", "weights": "scratch", "stages": [1, 2]}


@pytest.fixture(scope="module")
def cases():
    dataset = build(Dataset, COHORT)
    return Prepared.fit(dataset, dataset.cases.index)


@pytest.fixture(scope="module", params=[(n, f) for n in sorted(Explainer.catalogue) for f in (True, False)])
def made(request, cases):
    """Each method on an untrained fusion model, its encoder frozen or not."""
    name, frozen = request.param
    torch.manual_seed(0)
    model = build(FusionModel, {"name": "concat", "image": {**RESNET, "frozen": frozen}}, cases.schema)
    explainer = build(Explainer, name)
    batch = cases.load(cases.dataset.cases.index[:4])
    return explainer, model, batch, explainer(model, batch)


def test_one_map_a_case_in_the_modalitys_shape(made):
    explainer, model, batch, found = made
    assert found.ids == batch.ids and found.spec == spec(explainer) and found.head == "lesion"
    assert found.maps and set(found.maps) == set(found.signed)
    for name, values in found.maps.items():
        assert values.shape == batch.inputs[name].shape and values.dtype == np.float32
        assert np.isfinite(values).all() and values.any()
        assert found.signed[name] or (values >= 0).all()


def test_a_batch_gives_what_its_single_cases_give(made):
    explainer, model, batch, found = made
    one = explainer(model, batch.take([2]))
    for name, values in found.maps.items():
        scale = np.abs(values[2]).max()
        np.testing.assert_allclose(one.maps[name][0], values[2], atol=1e-3 * scale)


def test_explaining_leaves_the_model_as_it_was(made):
    explainer, model, batch, _ = made
    before = {name: value.clone() for name, value in model.state_dict().items()}
    wants = [p.requires_grad for p in model.parameters()]
    explainer(model, batch)
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert [p.requires_grad for p in model.parameters()] == wants
    assert not any(batch.inputs[name].requires_grad for name in batch.inputs)


def test_an_unknown_head_gets_a_sentence(made):
    explainer, model, batch, _ = made
    with pytest.raises(InputError, match="no head 'age'; it has lesion"):
        explainer(model, batch, head="age")
