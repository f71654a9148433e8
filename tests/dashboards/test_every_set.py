"""Every data set of the catalogue: carried out by the command `run`, explained, and looked at."""

import json
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from datasets.test_contract import LAYOUTS, SMALL

from dashboards.seen import seen
from studykit.__main__ import main
from studykit.catalog import settings_of
from studykit.datasets import Dataset
from studykit.training import find_runs
from studykit.ui import CaseView, Session
from studykit.ui.plain import safe
from studykit.ui.serve import pages

RESIDUAL = {"name": "residual", "widths": [4, 8]}
MODEL = {"name": "concat", "image": RESIDUAL, "volume": RESIDUAL}
STAGED = {
    "busi", "breast_lesions_usg", "bus_bra", "pad_ufes_20", "ham10000", "covid_chestxray", "brain_tumor_mri",
    "iq_othnccd",
}  # fmt: skip
REAL_PAIR = {
    "name": "unrelated_pair",
    "first": {"name": "brain_tumor_mri", "size": 32},
    "second": {"name": "iq_othnccd", "size": 32},
}


def sets():
    """The real files where they are staged, a small layout or few drawn cases elsewhere."""
    for name, cls in sorted(Dataset.catalogue.items()):
        given = {"name": name, **SMALL.get(name, {})}
        if name in STAGED:
            yield pytest.param({"name": name, "size": 32}, id=name, marks=pytest.mark.real_data)
        else:
            yield pytest.param(given, id=name)
        assert name not in STAGED or "folder" in settings_of(cls)
    yield pytest.param(REAL_PAIR, id="unrelated_pair, real", marks=pytest.mark.real_data)


@pytest.mark.parametrize("dataset", sets())
def test_it_trains_is_explained_and_can_be_looked_at(dataset, tmp_path):
    if dataset["name"] in LAYOUTS and dataset["name"] not in STAGED:
        dataset = {**dataset, "folder": str(LAYOUTS[dataset["name"]](tmp_path / "d"))}
    training = {"epochs": 2, "batch": 64}
    recipe = {"dataset": dataset, "model": MODEL, "training": training, "folds": 3, "only": [0]}
    (tmp_path / "small.json").write_text(json.dumps(recipe))
    out = tmp_path / "out"
    assert main(["run", str(tmp_path / "small.json"), "--out", str(out)]) == 0
    (run,) = find_runs(out)
    history = pd.read_csv(run.folder / "history.csv")
    assert len(history) == 2 and np.isfinite(history["train_loss"]).all()
    if dataset["name"] in STAGED:
        root = Path(os.environ["STUDYKIT_DATA"]).resolve()
        assert all(root in path.resolve().parents for path in run.prepared.dataset.files())
    view = CaseView(Session(out))
    assert view.__panel__().get_root() is not None
    for case in view.session.cases["id"][:2]:
        view.session.case = case
        assert safe(case) in view.heading()
        for name, _ in view._pictures:
            under = seen(view._drawn[name].figures[name])
            assert under.picture.size > 1 and under.title
        for name in run.prepared.dataset.texts:
            text = run.prepared.dataset.cases.at[case, name]
            assert f"<b>{name}</b>" in view.texts()
            assert pd.isna(text) or text[:3] in view.texts()
    assert pages()["cases"].page(out).get_root() is not None
