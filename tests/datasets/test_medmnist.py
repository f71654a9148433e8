import io
import zipfile

import numpy as np
import pytest

from datasets import layouts_medmnist as layouts
from studykit.catalog import InputError, build, spec
from studykit.datasets import Dataset, Prepared, split
from studykit.datasets import medmnist as module
from studykit.datasets.medmnist import COLLECTIONS, MedMNIST
from studykit.training import Recipe, Run, train


def given(folder, flag="breastmnist", size=28, **changed):
    return MedMNIST(folder=str(layouts.medmnist(folder, flag, size, **changed)), flag=flag, size=size)


@pytest.mark.parametrize("flag", COLLECTIONS)
def test_what_each_collection_asks_and_shows_is_known_without_files(flag):
    dataset = build(Dataset, {"name": "medmnist", "flag": flag})
    (task,), (modality,) = dataset.tasks, dataset.pictures
    assert set(task.classes) == set(COLLECTIONS[flag].classes)
    assert (modality.kind == "volume") == flag.endswith("3d")
    assert spec(dataset) == {"name": "medmnist", "folder": "", "flag": flag, "size": 28}


def test_collections_ask_as_many_questions_as_published():
    counted = {flag: len(facts.classes) for flag, facts in COLLECTIONS.items()}
    assert counted == {
        "pathmnist": 9, "chestmnist": 14, "dermamnist": 7, "octmnist": 4, "pneumoniamnist": 2,
        "retinamnist": 5, "breastmnist": 2, "bloodmnist": 8, "tissuemnist": 8, "organamnist": 11,
        "organcmnist": 11, "organsmnist": 11, "organmnist3d": 11, "nodulemnist3d": 2, "adrenalmnist3d": 2,
        "fracturemnist3d": 3, "vesselmnist3d": 2, "synapsemnist3d": 2,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("flag", "size", "shape"),
    [
        ("breastmnist", 28, (1, 28, 28)),
        ("pneumoniamnist", 64, (1, 64, 64)),
        ("dermamnist", 28, (3, 28, 28)),
        ("organmnist3d", 28, (1, 28, 28, 28)),
    ],
)
def test_a_picture_is_its_row_of_the_file_whatever_form_it_has(tmp_path, flag, size, shape):
    dataset = given(tmp_path, flag, size)
    stored = layouts.arrays(flag, size)
    for case, part, row in ((f"{flag}-train-0003", "train", 3), (f"{flag}-test-0009", "test", 9)):
        one = stored[f"{part}_images"][row]
        values = dataset.picture(case, dataset.pictures[0].name)
        assert values.shape == dataset.pictures[0].shape == shape and values.dtype == np.float32
        for channel in range(shape[0]):
            expected = one[..., channel] if shape[0] == 3 else one
            assert np.array_equal(np.round(values[channel] * 255), expected)
        name = COLLECTIONS[flag].classes[stored[f"{part}_labels"][row, 0]]
        assert dataset.cases.loc[case, "label"] == name and dataset.cases.loc[case, "official_split"] == part
    assert len(dataset.cases) == 40 and not dataset.mask(f"{flag}-val-0000", dataset.pictures[0].name).any()


def test_a_finding_is_the_positive_class_also_where_the_file_counts_it_0(tmp_path):
    dataset = given(tmp_path)
    assert dataset.tasks[0].classes == ("normal or benign", "malignant")
    assert dataset.cases.loc["breastmnist-train-0000", "label"] == "malignant"
    targets = Prepared.fit(dataset, dataset.cases.index).cases(["breastmnist-train-0000"]).targets
    assert targets["label"].tolist() == [1.0]


def test_several_findings_at_once_become_a_row_of_zeros_and_ones(tmp_path):
    dataset = given(tmp_path, "chestmnist")
    labels = layouts.arrays("chestmnist")["val_labels"]
    ids = [f"chestmnist-val-{row:04d}" for row in range(len(labels))]
    batch = Prepared.fit(dataset, dataset.cases.index).load(ids)
    assert np.array_equal(batch.targets["label"].numpy(), labels)


def test_no_finding_is_known_and_not_missing(tmp_path):
    none = np.zeros((6, 14), np.uint8)
    dataset = given(tmp_path, "chestmnist", val_labels=none)
    ids = [f"chestmnist-val-{row:04d}" for row in range(6)]
    assert np.array_equal(Prepared.fit(dataset, ids).cases(ids).targets["label"].numpy(), none)


def test_exact_copies_share_a_group_also_across_the_official_split(tmp_path):
    images = layouts.arrays("breastmnist")
    copied = images["test_images"].copy()
    copied[4] = images["train_images"][2]
    dataset = given(tmp_path, test_images=copied)
    groups = dataset.cases["group"]
    assert groups["breastmnist-test-0004"] == groups["breastmnist-train-0002"]
    assert groups.nunique() == 39 and "1 exact copies" in dataset.notes()[0]
    parts = split(dataset.cases, "label", 4, 0, 0)
    assert parts["breastmnist-test-0004"] == parts["breastmnist-train-0002"]


def test_the_file_is_unpacked_once_for_all_cases(tmp_path, monkeypatch):
    dataset = given(tmp_path)
    load, opened = np.load, []
    monkeypatch.setattr(np, "load", lambda *args, **more: opened.append(args) or load(*args, **more))
    for case in dataset.cases.index:
        dataset.picture(case)
    assert len(opened) == 1


def test_the_fingerprint_follows_the_file_and_not_its_place(tmp_path):
    first, same = given(tmp_path / "a"), given(tmp_path / "b")
    assert first.files() == [tmp_path / "a" / "breastmnist.npz"]
    other = given(tmp_path / "c", val_labels=np.ones((6, 1), np.uint8))
    assert first.fingerprint == same.fingerprint != other.fingerprint


def test_unknown_collections_and_sizes_get_a_sentence():
    with pytest.raises(InputError, match="did you mean breastmnist"):
        MedMNIST(flag="breastmist")
    with pytest.raises(InputError, match="breastmnist is published in the sizes 28, 64, 128, 224, not in 32"):
        MedMNIST(size=32)
    with pytest.raises(InputError, match="organmnist3d is published in the sizes 28, 64, not in 128"):
        MedMNIST(flag="organmnist3d", size=128)


def test_a_missing_file_gets_the_command_that_fetches_it(tmp_path):
    layouts.medmnist(tmp_path)
    dataset = MedMNIST(folder=str(tmp_path), size=128)
    with pytest.raises(InputError, match=r"breastmnist_128\.npz is missing.*fetch medmnist .*--size 128"):
        dataset.cases  # noqa: B018


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"val_labels": None}, "has no 'val_labels'"),
        (
            {"val_images": np.zeros((6, 32, 32), np.uint8)},
            r"'val_images' of .* is \(6, 32, 32\) of uint8, not",
        ),
        ({"val_images": np.zeros((6, 28, 28))}, "of float64, not"),
        ({"val_images": np.full((6, 28, 28), None)}, "of object, not"),
        (
            {"val_labels": np.zeros((5, 1), np.uint8)},
            r"'val_labels' of .* is \(5, 1\) of uint8, not \(6, 1\)",
        ),
        ({"val_labels": np.full((6, 1), None)}, "of object, not"),
        ({"val_labels": np.array([[0], [1], [0], [7], [1], [0]])}, r"Row 3 of 'val_labels' .* is \[7\]"),
        ({"val_labels": np.array([[0], [-1], [0], [1], [1], [0]])}, r"Row 1 of 'val_labels' .* is \[-1\]"),
    ],
)
def test_members_of_another_form_get_a_sentence(tmp_path, changed, sentence):
    with pytest.raises(InputError, match=sentence):
        given(tmp_path, **changed).cases  # noqa: B018


def test_broken_files_get_a_sentence(tmp_path):
    path = layouts.medmnist(tmp_path) / "breastmnist.npz"
    whole = path.read_bytes()
    garbled = bytearray(whole)
    garbled[len(whole) // 3 : len(whole) // 3 + 40] = bytes(40)
    for content in (b"", b"no npz at all", whole[: len(whole) // 2], bytes(garbled)):
        path.write_bytes(content)
        with pytest.raises(
            InputError, match=r"breastmnist\.npz cannot be read as an npz file .*fetch it anew"
        ):
            MedMNIST(folder=str(tmp_path)).cases  # noqa: B018


def test_a_file_that_claims_too_much_is_refused_before_it_is_unpacked(tmp_path, monkeypatch):
    layouts.medmnist(tmp_path)
    path = tmp_path / "breastmnist.npz"
    claims = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        claims, {"descr": "|u1", "fortran_order": False, "shape": (10**7, 28, 28)}
    )
    labels = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        labels, {"descr": "|u1", "fortran_order": False, "shape": (10**7, 1)}
    )
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    members |= {"train_images.npy": claims.getvalue(), "train_labels.npy": labels.getvalue()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    monkeypatch.setattr(np, "load", lambda *args, **more: pytest.fail("it was unpacked"))
    with pytest.raises(InputError, match=r"claims 7\.3 GB of pictures, more than the 4 GB .* smaller 'size'"):
        MedMNIST(folder=str(tmp_path)).cases  # noqa: B018


def test_the_limit_counts_all_parts_together(tmp_path, monkeypatch):
    dataset = given(tmp_path)
    monkeypatch.setattr(module, "MEMORY", 40 * 28 * 28)
    assert len(dataset.cases) == 40
    monkeypatch.setattr(module, "MEMORY", 40 * 28 * 28 - 1)
    with pytest.raises(InputError, match="more than"):
        MedMNIST(folder=str(tmp_path)).cases  # noqa: B018


@pytest.mark.parametrize(("flag", "encoder"), [("breastmnist", "image"), ("fracturemnist3d", "volume")])
def test_a_model_is_trained_on_the_file_and_measured_on_its_held_out_cases(tmp_path, flag, encoder):
    folder = layouts.medmnist(tmp_path / "data", flag)
    recipe = {
        "name": "small",
        "dataset": {"name": "medmnist", "folder": str(folder), "flag": flag},
        "model": {"name": "alone", "modality": encoder},
        "training": {"epochs": 2, "augment": False},
        "folds": 3,
        "only": [0],
    }
    train(Recipe.from_json(recipe), tmp_path / "runs")
    run = Run(tmp_path / "runs" / "small" / "fold-0")
    parts = split(given(tmp_path / "again", flag).cases, "label", 3, 0, 0)
    assert sorted(run.test_ids) == sorted(parts.index[parts == "test"])
    scores = run.predictions.select_dtypes("number").to_numpy(dtype=float)
    assert scores.size and np.isfinite(scores).all()
