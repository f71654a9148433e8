import shutil

import numpy as np
import pandas as pd
import pytest

from datasets import layouts_folders
from studykit.catalog import InputError
from studykit.datasets import split
from studykit.datasets.brain_tumor_mri import BrainTumorMRI
from studykit.files.picture import read_picture
from studykit.training import Recipe, train

CLASSES = ["glioma", "meningioma", "notumor", "pituitary"]


@pytest.fixture
def folder(tmp_path):
    return layouts_folders.brain_tumor_mri(tmp_path / "brain")


def test_both_parts_of_the_official_split_are_read_and_the_folder_is_the_label(folder):
    (folder / "Training" / "glioma" / "._Tr-gl_0001.jpg").write_bytes(b"what a Mac leaves behind")
    dataset = BrainTumorMRI(folder=str(folder), size=32)
    assert dataset.tasks[0].kind == "multiclass" and len(dataset.cases) == 2 * 4 * 4
    assert dataset.cases["tumour"].value_counts().to_dict() == dict.fromkeys(CLASSES, 8)
    assert dataset.cases.at["Te-no_0003", "tumour"] == "notumor"
    path = folder / "Testing" / "notumor" / "Te-no_0003.jpg"
    assert dataset.sources("Te-no_0003") == [path]
    assert np.array_equal(dataset.picture("Te-no_0003"), read_picture(path, 32, dataset.gray))
    assert dataset.mask("Te-no_0003").shape == (32, 32) and not dataset.mask("Te-no_0003").any()


def test_classes_can_be_chosen(folder):
    two = BrainTumorMRI(folder=str(folder), classes=("notumor", "glioma"))
    assert two.tasks[0].kind == "binary" and set(two.cases["tumour"]) == {"notumor", "glioma"}
    with pytest.raises(InputError, match="no class of brain_tumor_mri named 'gliom'; did you mean glioma"):
        BrainTumorMRI(folder=str(folder), classes=("notumor", "gliom"))


def test_the_leak_of_the_official_split_is_counted_and_closed(folder):
    for n in (1, 2):
        source = folder / "Training" / "glioma" / f"Tr-gl_000{n}.jpg"
        shutil.copy(source, folder / "Testing" / "glioma" / f"Te-gl_000{n}.jpg")
    shutil.copy(source, folder / "Training" / "pituitary" / "Tr-pi_0001.jpg")
    dataset = BrainTumorMRI(folder=str(folder))
    groups = dataset.cases["group"]
    assert groups["Tr-gl_0001"] == groups["Te-gl_0001"] != groups["Tr-gl_0002"] == groups["Tr-pi_0001"]
    leak, unknown, mixed = dataset.notes()
    assert "2 of 29 groups have pictures in both Training and Testing (2 of 16 Testing pictures)" in leak
    assert "3 exact duplicates" in unknown and mixed.startswith("1 of 29 groups of brain-tumor-mri")


def test_an_index_gives_the_groups_and_is_one_of_the_files(folder):
    names = sorted(path.relative_to(folder) for path in folder.rglob("*.jpg"))
    pd.DataFrame({"file": names, "group": [f"g{n // 4}" for n in range(32)]}).to_csv(folder / "index.csv")
    dataset = BrainTumorMRI(folder=str(folder))
    assert dataset.cases["group"].nunique() == 8 and dataset.notes()[1:] == []
    assert "0 of 8 groups" in dataset.notes()[0]
    assert dataset.files()[0] == folder / "index.csv" and len(dataset.files()) == 33


def test_a_missing_or_empty_class_folder_gets_a_sentence(folder):
    inner = folder / "Testing" / "pituitary"
    for path in inner.iterdir():
        path.unlink()
    with pytest.raises(
        InputError, match=r"class folder .*Testing/pituitary of brain-tumor-mri holds no \.jpg"
    ):
        BrainTumorMRI(folder=str(folder)).cases  # noqa: B018
    inner.rmdir()
    with pytest.raises(InputError, match=r"Testing/pituitary of brain-tumor-mri is missing; restore it"):
        BrainTumorMRI(folder=str(folder)).cases  # noqa: B018


def test_a_name_used_twice_gets_a_sentence(folder):
    shutil.copy(folder / "Training/glioma/Tr-gl_0001.jpg", folder / "Testing/notumor/Tr-gl_0001.JPG")
    with pytest.raises(InputError, match=r"Two pictures .* named 'Tr-gl_0001' .*give one another name"):
        BrainTumorMRI(folder=str(folder)).cases  # noqa: B018


def test_a_broken_picture_gets_a_sentence(folder):
    dataset = BrainTumorMRI(folder=str(folder))
    assert len(dataset.cases) == 32
    path = folder / "Training" / "glioma" / "Tr-gl_0002.jpg"
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(InputError, match=r"Tr-gl_0002\.jpg cannot be read"):
        dataset.picture("Tr-gl_0002")


@pytest.mark.real_data
def test_the_real_pictures():
    dataset = BrainTumorMRI()
    counts = {"meningioma": 289, "glioma": 288, "notumor": 288, "pituitary": 288}
    assert dataset.cases["tumour"].value_counts().to_dict() == counts
    assert dataset.cases["group"].nunique() == 692
    assert all(path.is_file() for path in dataset.files()) and len(dataset.files()) == 1153 + 1
    assert dataset.notes() == [
        "The official split of brain-tumor-mri is not used: 101 of 692 groups have pictures in both Training "
        "and Testing (131 of 255 Testing pictures).",
        "2 of 692 groups of brain-tumor-mri hold pictures of more than one class.",
    ]
    bright = [dataset.picture(case).mean() for case in dataset.cases.index[::20]]
    assert np.mean(bright) == pytest.approx(dataset.gray, abs=0.03)
    parts = split(dataset.cases, "tumour", 5, 0, 0)
    assert parts.groupby(dataset.cases["group"]).nunique().max() == 1


@pytest.mark.real_data
def test_tumours_are_told_apart_with_groups_kept_together(tmp_path):
    recipe = {"dataset": {"name": "brain_tumor_mri", "size": 64}, "training": {"epochs": 6}, "only": [0]}
    table = train(Recipe.from_json(recipe), tmp_path).set_index(["statistic", "group"])
    own = table.loc[("AUROC", "recipe")]
    assert own["low"] > 0.5 and own["n"] == 231
