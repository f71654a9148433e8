"""The shipped recipes of the three papers' models: trained in short, explained, opened on the Cases page."""

import json

import numpy as np
import pytest
from conftest import ROOT

from studykit.explain import explain
from studykit.training import Recipe, find_runs, train
from studykit.ui import CaseView, Session
from studykit.ui.serve import pages

RECIPES = [
    pytest.param("breast_drifa", ("image", "record"), marks=pytest.mark.real_data),
    pytest.param("breast_attention_gate", ("image", "record"), marks=pytest.mark.real_data),
    pytest.param("chest_mmcaf", ("volume", "record")),
]


@pytest.mark.parametrize(("name", "modalities"), RECIPES)
def test_a_papers_model_trains_is_explained_and_can_be_looked_at(name, modalities, tmp_path):
    recipe = json.loads((ROOT / "data" / "recipes" / f"{name}.json").read_text())
    recipe = {**recipe, "only": [0], "training": {**recipe["training"], "epochs": 2}}
    table = train(Recipe.from_json(recipe), tmp_path).set_index(["statistic", "group"])
    assert np.isfinite(table.loc[("AUROC", recipe["name"]), "estimate"])
    (run,) = find_runs(tmp_path)
    model = run.model()
    assert model.modalities == modalities
    p = run.predictions.filter(like=".").select_dtypes(float)
    assert np.allclose(p.sum(axis=1), 1)
    for method in ({"name": "integrated_gradients", "steps": 4}, "grad_cam"):
        made = explain(run, method, ids=run.test_ids[:6])
        assert made.head == run.schema.tasks[0].name
        assert all(np.abs(values).max() > 0 for values in made.maps.values())
    page = pages()["cases"].page(tmp_path)
    assert page.get_root() is not None
    view = CaseView(Session(tmp_path))
    assert recipe["name"] in view.session.runs
    assert view.__panel__().get_root() is not None
