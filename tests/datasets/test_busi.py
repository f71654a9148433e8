import shutil

import pandas as pd
import pytest

from datasets import layouts
from studykit.catalog import InputError
from studykit.datasets import BUSI, split


@pytest.fixture
def folder(tmp_path):
    return layouts.busi(tmp_path / "BUSI")


def class_folder(folder, name="benign"):
    return folder / "Dataset_BUSI_with_GT" / name


def test_benign_against_malignant_by_default_and_three_classes_on_request(folder):
    assert set(BUSI(folder=str(folder)).cases["lesion"]) == {"benign", "malignant"}
    three = BUSI(folder=str(folder), classes=("benign", "malignant", "normal"))
    assert three.tasks[0].kind == "multiclass" and len(three.cases) == 24


def test_all_masks_of_a_case_are_joined(folder):
    one = BUSI(folder=str(folder), size=60)
    before = one.mask("benign (1)").sum()
    layouts.square(left=40, top=20).save(class_folder(folder) / "benign (1)_mask_1.png")
    one = BUSI(folder=str(folder), size=60)
    assert one.mask("benign (1)").sum() == 2 * before
    assert one.mask("benign (2)").sum() == before


def test_exact_duplicates_share_a_group_and_the_doubt_is_told(folder):
    inner = class_folder(folder)
    shutil.copy(inner / "benign (1).png", inner / "benign (5).png")
    dataset = BUSI(folder=str(folder))
    groups = dataset.cases["group"]
    assert groups["benign (1)"] == groups["benign (5)"] != groups["benign (2)"]
    assert "near-duplicates are unknown" in dataset.notes()[0] and "1 exact" in dataset.notes()[0]


def test_an_index_beside_the_pictures_gives_the_groups(folder):
    names = [f"{c}/{c} ({n}).png" for c in ("benign", "malignant", "normal") for n in range(1, 9)]
    groups = [f"g{position // 2}" for position in range(len(names))]
    pd.DataFrame({"file": names, "group": groups}).to_csv(folder / "index.csv", index=False)
    dataset = BUSI(folder=str(folder))
    assert dataset.notes() == [] and dataset.files()[0] == folder / "index.csv"
    assert dataset.cases["group"].tolist()[:4] == ["g0", "g0", "g1", "g1"]


def test_bad_folders_get_a_sentence(folder, monkeypatch, tmp_path):
    monkeypatch.delenv("STUDYKIT_DATA", raising=False)
    monkeypatch.chdir(tmp_path / "BUSI")
    with pytest.raises(InputError, match="BUSI is not here .*STUDYKIT_DATA"):
        BUSI().cases  # noqa: B018
    (class_folder(folder) / "benign (3)_mask.png").unlink()
    with pytest.raises(InputError, match=r"benign \(3\)\.png has no mask; add 'benign \(3\)_mask\.png'"):
        BUSI(folder=str(folder)).cases  # noqa: B018
    (class_folder(folder) / "benign (3).png").unlink()
    layouts.square().save(class_folder(folder) / "benign (99)_mask.png")
    with pytest.raises(InputError, match=r"benign \(99\)_mask\.png has no image"):
        BUSI(folder=str(folder)).cases  # noqa: B018


def test_a_mask_of_another_size_gets_a_sentence(folder):
    layouts.square(size=(50, 40)).save(class_folder(folder) / "benign (2)_mask.png")
    with pytest.raises(InputError, match=r"benign \(2\)_mask\.png is 50x40 .* 60x40; export"):
        BUSI(folder=str(folder)).mask("benign (2)")


def test_an_unreadable_image_gets_a_sentence(folder):
    path = class_folder(folder) / "benign (4).png"
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(InputError, match=r"benign \(4\)\.png cannot be read"):
        BUSI(folder=str(folder)).picture("benign (4)")


@pytest.mark.real_data
def test_the_real_pictures():
    dataset = BUSI()
    assert dataset.cases["lesion"].value_counts().to_dict() == {"benign": 328, "malignant": 158}
    assert dataset.notes() == []
    assert dataset.mask("benign (1)").any()
    parts = split(dataset.cases, "lesion", 5, 0, 0)
    assert parts.groupby(dataset.cases["group"]).nunique().max() == 1
