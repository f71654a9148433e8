import json
import shutil

import numpy as np
import pandas as pd
import pytest
import torch

from studykit.catalog import InputError
from studykit.models import probabilities
from studykit.training import Recipe, Run, find_runs, train
from studykit.training.run import FILES


def test_a_run_folder_is_complete(run):
    assert {path.name for path in run.folder.iterdir()} == {*FILES, "explanations.zarr"}
    about = json.loads((run.folder / "recipe.json").read_text())
    assert about["fold"] == 0 and about["fingerprint"] == run.prepared.dataset.fingerprint
    assert {"torch", "timm", "captum", "studykit"} <= set(about["versions"])
    history = pd.read_csv(run.folder / "history.csv")
    assert history["best"].any() and list(history["epoch"]) == list(range(1, len(history) + 1))
    assert (run.folder.parent / "metrics.csv").is_file()


def test_the_stored_model_gives_the_stored_predictions(run):
    table = run.predictions.set_index("id")
    ids = run.test_ids
    batch = run.prepared.load(ids)
    with torch.no_grad():
        logits = run.model()(batch.inputs)["lesion"]
    p = probabilities(logits, run.schema.tasks[0]).numpy()
    assert np.allclose(p[:, 1], table.loc[ids, "lesion.malignant"], atol=1e-4)
    assert set(table["split"]) == {"train", "val", "test"}
    assert (
        table["lesion.predicted"] == np.where(table["lesion.malignant"] > 0.5, "malignant", "benign")
    ).all()


def test_the_split_is_written_down_by_patient(run):
    sides = run.predictions.groupby("group")["split"].nunique()
    assert sides.max() == 1 and len(run.predictions) == 100


def test_the_metrics_stand_beside_logistic_regression(runs):
    table = pd.read_csv(runs / "fusion" / "metrics.csv")
    assert list(table.columns) == ["statistic", "group", "estimate", "low", "high", "n", "why"]
    rival = "logistic regression on the record"
    assert set(table["group"]) == {"fusion", rival, f"fusion minus {rival}"}
    auroc = table[table["statistic"] == "AUROC"].set_index("group")
    assert auroc.loc[rival, "low"] <= auroc.loc[rival, "estimate"] <= auroc.loc[rival, "high"]
    assert auroc.loc["fusion", "estimate"] > 0.9


def test_a_finished_recipe_is_not_done_again_and_another_is_not_overwritten(runs, run):
    before = (run.folder / "weights.safetensors").stat().st_mtime_ns
    again = train(run.recipe, runs)
    assert (run.folder / "weights.safetensors").stat().st_mtime_ns == before
    assert again.equals(pd.read_csv(runs / "fusion" / "metrics.csv"))
    train(Recipe.from_json({**run.recipe.to_json(), "explain": ["grad_cam"]}), runs)
    assert (run.folder / "weights.safetensors").stat().st_mtime_ns == before
    other = Recipe.from_json({**run.recipe.to_json(), "seed": 5})
    with pytest.raises(InputError, match="holds a run of another recipe"):
        train(other, runs)


def test_a_stored_model_is_made_without_the_packaged_weights(run, monkeypatch):
    monkeypatch.setattr("studykit.models.weights._packaged", lambda architecture: 1 / 0)
    assert run.model().encoders["image"].width == 352


def test_damaged_folders_get_a_sentence(run, tmp_path):
    with pytest.raises(InputError, match="No run stands in"):
        find_runs(tmp_path)
    with pytest.raises(InputError, match="There is no folder"):
        find_runs(tmp_path / "nowhere")
    copy = shutil.copytree(run.folder, tmp_path / "copy")
    weights = (copy / "weights.safetensors").read_bytes()
    (copy / "weights.safetensors").write_bytes(weights[: len(weights) // 2])
    with pytest.raises(InputError, match="weights.safetensors does not fit the recipe"):
        Run(copy).model()
    (copy / "history.csv").unlink()
    with pytest.raises(InputError, match="history.csv is missing"):
        find_runs(tmp_path)


def test_data_that_have_changed_get_a_sentence(run, tmp_path):
    copy = shutil.copytree(run.folder, tmp_path / "copy")
    about = json.loads((copy / "recipe.json").read_text())
    (copy / "recipe.json").write_text(json.dumps({**about, "fingerprint": "another"}))
    with pytest.raises(InputError, match="have changed since"):
        Run(copy).check_data()


def test_data_of_one_class_get_a_sentence_and_leave_nothing(tmp_path):
    from datasets import layouts

    table = layouts.breast(tmp_path / "b") / "clinical-data.csv"
    rows = pd.read_csv(table, keep_default_na=False).assign(Classification="benign")
    rows.to_csv(table, index=False)
    data = {"name": "breast_lesions_usg", "folder": str(tmp_path / "b")}
    with pytest.raises(InputError, match="All labelled cases are of one class"):
        train(Recipe.from_json({"dataset": data}), tmp_path / "out")
    assert not (tmp_path / "out").exists()
