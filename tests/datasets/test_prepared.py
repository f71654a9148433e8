"""What is fitted, is fitted on the training cases and travels with the run."""

import json

import pandas as pd
import pytest
import torch

from studykit.datasets import OwnFolder, Prepared
from studykit.models import class_logit, probabilities
from studykit.training import Recipe, find_runs, train


@pytest.fixture
def folder(tmp_path):
    """Sixty cases of which age tells a number far from 0, and a text holds a word a case."""
    rows = [
        {
            "id": f"c{n:02d}", "patient": f"p{n}", "label": 500.0 + 3 * (n % 30) + n % 4,
            "age": 30.0 + n % 30,
            "note": f"seen in week {n} by the doctor on call with case{n}",
        }
        for n in range(60)
    ]  # fmt: skip
    pd.DataFrame(rows).to_csv(tmp_path / "cases.csv", index=False)
    return tmp_path


def test_nothing_of_the_other_cases_is_known(folder):
    dataset = OwnFolder(folder=str(folder))
    train_ids, other = dataset.cases.index[:40].tolist(), dataset.cases.index[40:].tolist()
    prepared = Prepared.fit(dataset, train_ids)
    rows = dataset.cases.loc[train_ids]
    assert prepared.record.numbers["age"] == pytest.approx((rows["age"].mean(), rows["age"].std(ddof=0)))
    assert prepared.schema.task("label").scale == pytest.approx(
        (rows["label"].mean(), rows["label"].std(ddof=0))
    )
    vocabulary = set(prepared.schema.modality("note").vocabulary)
    assert "doctor" in vocabulary and not any(f"case{n}" in vocabulary for n in range(40, 60))
    assert (prepared.cases(other).inputs["note"] == 1).any(dim=1).all(), "unknown words"


def test_it_is_written_down_and_read_back(folder):
    dataset = OwnFolder(folder=str(folder))
    prepared = Prepared.fit(dataset, dataset.cases.index[:40])
    again = Prepared.from_json(dataset, json.loads(json.dumps(prepared.to_json())))
    assert again.schema == prepared.schema
    one, other = (p.load(dataset.cases.index[38:44]) for p in (prepared, again))
    assert all(torch.equal(one.inputs[name], other.inputs[name]) for name in one.inputs)


def test_numbers_far_from_zero_are_learned_and_told_in_their_own_unit(folder, tmp_path):
    model = {"name": "alone", "modality": "record", "dropout": 0.0}
    dataset, training = {"name": "own_folder", "folder": str(folder)}, {"epochs": 60, "rate": 1e-2}
    recipe = {"dataset": dataset, "model": model, "training": training, "folds": 3, "only": [0]}
    table = train(Recipe.from_json(recipe), tmp_path / "out").set_index("statistic")["estimate"]
    assert table["R2"].iloc[0] > 0.8 and table["mean absolute error"].iloc[0] < 10
    (run,) = find_runs(tmp_path / "out")
    task, model = run.schema.tasks[0], run.model()
    logits = model(run.prepared.load(run.test_ids).inputs)["label"]
    told = run.predictions.set_index("id").loc[run.test_ids, "label.value"]
    assert probabilities(logits, task)[:, 0].tolist() == pytest.approx(told.tolist(), rel=1e-5)
    assert torch.equal(class_logit(logits, task, torch.zeros(len(logits))), probabilities(logits, task)[:, 0])


def test_a_number_that_no_training_case_has_keeps_its_own_scale(folder):
    dataset = OwnFolder(folder=str(folder))
    dataset.cases["label"] = float("nan")
    scale = Prepared.fit(dataset, dataset.cases.index).schema.task("label").scale
    assert scale == (0.0, 1.0)
