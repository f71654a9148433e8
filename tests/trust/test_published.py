"""The published studies are read as they were printed: counts, designs and the numbers of others."""

import os

import numpy as np
import pandas as pd
import pytest

from studykit.catalog import InputError, build, spec
from studykit.scores import auroc
from studykit.trust.published import Published, published_studies

KUNDEL = ["Screen-film", "Soft-copy computed radiogram", "Hard-copy computed radiogram"]
NAMES = sorted(Published.catalogue)


@pytest.fixture(scope="module")
def studies():
    return {name: one.study() for name, one in published_studies().items()}


def mean_auc(study, condition):
    """The mean over readers of the trapezoid area."""
    table = study.table(study.of_role("score")[0].name, condition)
    each = []
    for _, own in table.groupby("reader"):
        score = own["rating"].to_numpy(dtype=float)
        truth = (own["truth"] == study.positive).to_numpy(dtype=int)
        each.append(auroc(truth, np.stack([-score, score], axis=1), np.ones((1, len(own))))[0])
    return np.mean(each)


def icc_agreement(study):
    """ICC(A,1) from the mean squares (McGraw and Wong 1996)."""
    grid = (
        study.table("rating").pivot(index="case", columns="reader", values="rating").astype(float).to_numpy()
    )
    n, k = grid.shape
    rows = k * ((grid.mean(1) - grid.mean()) ** 2).sum() / (n - 1)
    columns = n * ((grid.mean(0) - grid.mean()) ** 2).sum() / (k - 1)
    rest = grid - grid.mean(1, keepdims=True) - grid.mean(0) + grid.mean()
    error = (rest**2).sum() / ((n - 1) * (k - 1))
    return (rows - error) / (rows + (k - 1) * error + k * (columns - error) / n)


def test_each_says_what_a_person_must_know():
    for name, one in Published.catalogue.items():
        assert all(isinstance(getattr(one, word), str) and getattr(one, word) for word in
                   ("title", "citation", "licence", "about", "file")), name  # fmt: skip
        assert isinstance(one.defects, tuple) and one.__doc__
    assert (
        len(NAMES) == 9
        and build(Published, spec(build(Published, {"name": "viper", "days": 365}))).days == 365
    )


def test_absent_files_get_a_sentence(tmp_path, monkeypatch):
    for one in Published.catalogue.values():
        with pytest.raises(
            InputError, match="is not here .* set STUDYKIT_DATA to the folder that holds readers/"
        ):
            one(folder=str(tmp_path)).study()
    monkeypatch.setenv("STUDYKIT_DATA", str(tmp_path))
    assert published_studies() == {}
    with pytest.raises(InputError, match="did you mean screeningLowP"):
        build(Published, {"name": "viper", "part": "screeningLoP"})
    with pytest.raises(InputError, match="number of days"):
        build(Published, {"name": "viper", "days": 100})


@pytest.mark.real_data
@pytest.mark.parametrize(
    ("name", "ratings", "readers", "cases", "conditions"),
    [
        ("van_dyke", 1140, 5, 114, ["treatment 1", "treatment 2"]),
        ("kundel", 1140, 4, 190, KUNDEL),
        ("viper", 13822, 20, 419, ["FFDM", "SFM"]),
        ("lidc", 45081, 0, 1958, ["CT"]),
        ("diagnoses", 180, 6, 30, ["no aid"]),
        ("video", 80, 4, 20, ["no aid"]),
        ("vision", 14954, 2, 7477, ["no aid"]),
        ("hair", 785, 5, 157, ["no aid"]),
        ("xai_preference", 240, 15, 4, ["GradCAM", "BPT", "LIME", "AA"]),
    ],
)  # fmt: skip
def test_all_is_there(studies, name, ratings, readers, cases, conditions):
    study = studies[name]
    assert (len(study.ratings), len(study.readers), len(study.cases)) == (ratings, readers, cases)
    assert study.conditions == conditions and study.anonymous is (name == "lidc")
    assert not study.cases["case"].duplicated().any() and set(study.ratings["case"]) == set(
        study.cases["case"]
    )
    for item in study.items.values():
        answers = study.ratings.loc[study.ratings["item"] == item.name, "rating"]
        assert len(answers) and not any(item.refused(answer) for answer in answers.unique())
    assert (
        study.simulated is (name == "video")
        and study.source
        and study.notes == Published.catalogue[name].defects
    )


@pytest.mark.real_data
def test_printed_areas(studies):
    printed = {
        ("van_dyke", "treatment 1"): 0.897, ("van_dyke", "treatment 2"): 0.941,
        ("kundel", "Screen-film"): 0.829, ("kundel", "Soft-copy computed radiogram"): 0.804,
        ("kundel", "Hard-copy computed radiogram"): 0.841,
    }  # fmt: skip
    for (name, condition), value in printed.items():
        assert round(mean_auc(studies[name], condition), 3) == value
    parts = {
        "challengeMedP": (0.654, 0.678),
        "screeningLowP": (0.702, 0.727),
        "screeningMedP": (0.724, 0.730),
    }
    for part, values in parts.items():
        study = build(Published, {"name": "viper", "part": part}).study()
        assert tuple(round(mean_auc(study, condition), 3) for condition in ("FFDM", "SFM")) == values
    assert mean_auc(build(Published, {"name": "viper", "days": 365}).study(), "SFM") != mean_auc(study, "SFM")


@pytest.mark.real_data
def test_viper_is_a_split_plot_and_its_recall_is_the_score(studies):
    study = studies["viper"]
    both = study.table("score").merge(study.table("recall"), on=["reader", "case", "condition"])
    assert len(both) == 6911 and ((both["rating_x"] > 100) == (both["rating_y"] == 1)).all()
    groups = study.table("recall").groupby("reader")["group"].nunique()
    assert (groups == 2).all() and study.cases["group"].nunique() == 4
    assert study.cases["truth"].value_counts().to_dict()[1] < 100


@pytest.mark.real_data
def test_printed_agreement(studies):
    table = studies["diagnoses"].table("rating")
    counts = pd.crosstab(table["case"], table["rating"]).to_numpy()
    observed = ((counts * (counts - 1)).sum(1) / 30).mean()
    chance = ((counts.sum(0) / counts.sum()) ** 2).sum()
    assert round((observed - chance) / (1 - chance), 3) == 0.430
    assert round(icc_agreement(studies["video"]), 3) == 0.157
    assert round(icc_agreement(studies["hair"]), 3) == 0.757


@pytest.mark.real_data
def test_stuarts_table_of_eyes(studies):
    """Biometrika 1953;40:105, the diagonal of the 4 x 4 table."""
    eyes = studies["vision"].table("rating").pivot(index="case", columns="reader", values="rating")
    table = pd.crosstab(eyes["right eye"], eyes["left eye"]).to_numpy()
    assert np.diag(table).tolist() == [1520, 1512, 1772, 492] and table.sum() == 7477


@pytest.mark.real_data
def test_lidc_has_patients_and_no_readers(studies):
    study = studies["lidc"]
    assert study.cases["patient"].nunique() == 642 and study.ratings["reader"].isna().all()
    assert len(study.items) == 9 and study.cases["truth"].isna().all()
    four = study.table("malignancy").groupby("case").size()
    assert (four == 4).sum() == 608


@pytest.mark.real_data
def test_every_rank_is_given_once(studies):
    ranks = studies["xai_preference"].table("rank")
    assert (ranks.groupby(["reader", "case"])["rating"].apply(sorted).map(tuple) == (1, 2, 3, 4)).all()
    assert os.environ["STUDYKIT_DATA"]
