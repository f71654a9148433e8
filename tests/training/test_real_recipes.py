"""The shipped recipes on the real cases: five folds, better than chance, honest beside the rival."""

import json

import pytest
from conftest import ROOT

from studykit.training import Recipe, find_runs, train
from studykit.training.logistic import NAME

pytestmark = pytest.mark.real_data


@pytest.mark.parametrize(("name", "cases"), [("breast", 190), ("busi", 486)])
def test_a_real_recipe_beats_chance(name, cases, tmp_path):
    recipe = json.loads((ROOT / "data" / "recipes" / f"{name}.json").read_text())
    table = train(Recipe.from_json(recipe), tmp_path)
    auroc = table[table["statistic"] == "AUROC"].set_index("group")
    own = auroc.loc[recipe["name"]]
    assert own["low"] > 0.5 and own["n"] == cases
    rival = auroc.loc[NAME]
    if name == "breast":
        assert 0.65 < rival["estimate"] < 0.85
        gap = auroc.loc[f"{recipe['name']} minus {NAME}"]
        assert gap["estimate"] == pytest.approx(own["estimate"] - rival["estimate"])
        assert gap["low"] < gap["estimate"] < gap["high"]
    else:
        assert rival["why"] == "busi has no record"
    runs = find_runs(tmp_path)
    tested = [case for run in runs for case in run.test_ids]
    assert len(runs) == 5 and len(tested) == len(set(tested)) == cases
