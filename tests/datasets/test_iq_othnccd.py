import numpy as np
import pandas as pd
import pytest

from datasets import layouts_folders
from studykit.catalog import InputError
from studykit.datasets import split
from studykit.datasets.iq_othnccd import IQOTHNCCD
from studykit.files.picture import read_picture
from studykit.training import Recipe, train

INNER = "The IQ-OTHNCCD lung cancer dataset"


@pytest.fixture
def folder(tmp_path):
    return layouts_folders.iq_othnccd(tmp_path / "iq")


def test_classes_have_plain_names_whatever_their_folders_are_called(folder):
    dataset = IQOTHNCCD(folder=str(folder), size=32)
    assert dataset.cases["lesion"].value_counts().to_dict() == {"benign": 8, "malignant": 8, "normal": 8}
    assert dataset.cases.at["Bengin case (3)", "lesion"] == "benign"
    path = folder / INNER / "Bengin cases" / "Bengin case (3).jpg"
    assert np.array_equal(dataset.picture("Bengin case (3)"), read_picture(path, 32, dataset.gray))
    assert dataset.tasks[0].classes == ("benign", "malignant", "normal")
    with pytest.raises(InputError, match="did you mean benign"):
        IQOTHNCCD(folder=str(folder), classes=("bengin", "normal"))


def test_groups_behind_each_class_are_told_where_they_are_known(folder):
    dataset = IQOTHNCCD(folder=str(folder))
    assert len(dataset.notes()) == 1 and "near-duplicates are unknown" in dataset.notes()[0]
    names = sorted(path.relative_to(folder) for path in folder.rglob("*.jpg"))
    pd.DataFrame({"file": names, "group": [f"g{n // 4}" for n in range(24)]}).to_csv(folder / "index.csv")
    told = IQOTHNCCD(folder=str(folder)).notes()
    assert told == [
        "Groups of iq_othnccd by class: benign 2, malignant 2, normal 2; the largest holds 4 of 24 pictures, "
        "so a single fold says little."
    ]


def test_a_missing_class_folder_gets_a_sentence(folder):
    (folder / INNER / "Bengin cases").rename(folder / INNER / "Benign cases")
    with pytest.raises(InputError, match="Bengin cases of IQ-OTHNCCD is missing; restore it"):
        IQOTHNCCD(folder=str(folder)).cases  # noqa: B018
    assert len(IQOTHNCCD(folder=str(folder), classes=("normal", "malignant")).cases) == 16


@pytest.mark.real_data
def test_the_real_pictures():
    dataset = IQOTHNCCD()
    counts = {"malignant": 165, "normal": 164, "benign": 88}
    assert dataset.cases["lesion"].value_counts().to_dict() == counts
    assert dataset.cases["group"].nunique() == 44
    assert all(path.is_file() for path in dataset.files()) and len(dataset.files()) == 417 + 1
    assert "benign 18, malignant 8, normal 18; the largest holds 54 of 417" in dataset.notes()[0]
    bright = [dataset.picture(case).mean() for case in dataset.cases.index[::10]]
    assert np.mean(bright) == pytest.approx(dataset.gray, abs=0.02)
    parts = split(dataset.cases, "lesion", 5, 0, 0)
    assert parts.groupby(dataset.cases["group"]).nunique().max() == 1


@pytest.mark.real_data
def test_training_ends_and_the_interval_over_few_groups_is_wide(tmp_path):
    recipe = {"dataset": {"name": "iq_othnccd", "size": 64}, "training": {"epochs": 5}, "only": [0]}
    table = train(Recipe.from_json(recipe), tmp_path).set_index(["statistic", "group"])
    own = table.loc[("AUROC", "recipe")]
    assert own["n"] == 103 and own["low"] < own["estimate"] < own["high"]
    assert own["high"] - own["low"] > 0.2
