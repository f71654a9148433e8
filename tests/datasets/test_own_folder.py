import nibabel
import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from datasets import own_files
from datasets.own_files import own, used
from studykit.catalog import InputError, build, spec
from studykit.datasets import BreastLesionsUSG, Dataset
from studykit.datasets.own_folder import OwnFolder
from studykit.files.volume import read_volume
from studykit.training.recipe import Recipe
from studykit.training.train import train


@pytest.fixture
def photos(tmp_path):
    return own_files.photos(tmp_path / "own")


@pytest.fixture
def rows():
    return own_files.record_rows()


def test_pictures_record_and_texts_are_found_without_a_word(photos):
    dataset = own(photos, size=32)
    assert [(m.name, m.kind, m.shape) for m in dataset.pictures] == [("photo", "image", (1, 32, 32))]
    assert dataset.record == ("age", "sex") and dataset.texts == ("report",) and not dataset.refused
    assert dataset.tasks[0].classes == ("no", "yes") and dataset.notes() == []
    cases = dataset.cases
    assert cases["age"].dtype == float and np.isnan(cases["age"]["c03"]) and cases["group"]["c03"] == "p03"
    table = pd.read_csv(photos / "cases.csv", index_col="id")
    for column in ("age", "sex", "label", "report"):
        assert cases[column].tolist() == pytest.approx(table[column].tolist(), nan_ok=True)
    with Image.open(photos / "photos" / "4.png") as image:
        small = np.asarray(image.resize((32, 21), Image.Resampling.BILINEAR))
    assert np.array_equal(dataset.picture("c04", "photo")[0, 5:26], small.astype(np.float32) / 255)
    assert dataset.mask("c04", "photo").sum() == pytest.approx(64 * (32 / 30) ** 2, rel=0.15)


def test_colours_are_seen(tmp_path):
    assert own(own_files.photos(tmp_path / "own", 8, colour=True)).pictures[0].shape == (3, 128, 128)


def test_a_case_may_lack_its_picture_its_outline_or_its_label(photos):
    table = pd.read_csv(photos / "cases.csv", dtype=str, keep_default_na=False)
    table.loc[2, ["photo", "photo_mask"]] = ""
    table.loc[4, ["photo_mask", "label", "report"]] = ""
    table.to_csv(photos / "cases.csv", index=False)
    dataset = own(photos, size=32)
    assert np.isnan(dataset.picture("c02", "photo")).all() and dataset.picture("c02", "photo").shape == (
        1,
        32,
        32,
    )
    assert not dataset.mask("c02", "photo").any() and not dataset.mask("c04", "photo").any()
    with pytest.raises(KeyError):
        dataset.picture("stranger", "photo")
    assert dataset.sources("c02", "photo") == [] and len(dataset.sources("c04", "photo")) == 1
    batch, _, _ = used(dataset)
    assert torch.isnan(batch.targets["label"][4]) and torch.isnan(batch.inputs["photo"][2]).all()


def test_the_order_of_rows_changes_nothing(photos):
    before = own(photos, size=16)
    cases, masks = before.cases, {case: before.mask(case, "photo") for case in before.cases.index}
    table = pd.read_csv(photos / "cases.csv", dtype=str, keep_default_na=False)
    table.sample(frac=1, random_state=1).to_csv(photos / "cases.csv", index=False)
    after = own(photos, size=16)
    pd.testing.assert_frame_equal(after.cases, cases)
    assert all(np.array_equal(after.mask(case, "photo"), mask) for case, mask in masks.items())


@pytest.mark.parametrize("name", ["cases.tsv", "cases.xlsx", "cases.parquet"])
def test_other_tables_say_the_same(photos, name):
    expected = own(photos).cases
    table = pd.read_csv(photos / "cases.csv", dtype={"patient": str})
    (photos / "cases.csv").unlink()
    path = photos / name
    if name.endswith("tsv"):
        table.to_csv(path, sep="\t", index=False)
    else:
        table.to_excel(path, index=False) if name.endswith("xlsx") else table.to_parquet(path)
    pd.testing.assert_frame_equal(own(photos).cases, expected)


@pytest.mark.parametrize(
    ("labels", "kind", "first"),
    [
        (["a&b", "b", "c & a", ""], "multilabel", [1.0, 1.0, 0.0]),
        (["c", "a", "b", ""], "multiclass", 2.0),
        ([f"{n}.25" for n in range(20)], "regression", 0.25),
    ],
)
def test_every_kind_of_task_reaches_the_batch(tmp_path, rows, labels, kind, first):
    for n, row in enumerate(rows):
        row["label"] = labels[n % len(labels)]
    dataset = own(own_files.write(tmp_path / "own", rows))
    assert dataset.tasks[0].kind == kind
    batch, _, _ = used(dataset)
    assert batch.targets["label"][0].tolist() == first
    if "" in labels:
        assert torch.isnan(batch.targets["label"][3]).all()


def test_none_is_a_label_and_an_empty_cell_is_not(tmp_path, rows):
    for n, row in enumerate(rows):
        row["label"] = ("a&b", "b", "None", "")[n % 4]
    dataset = own(own_files.write(tmp_path / "own", rows))
    assert dataset.tasks[0].classes == ("a", "b")
    assert dataset.cases["label"].tolist()[:3] == ["a&b", "b", ""] and pd.isna(dataset.cases["label"]["c03"])
    assert used(dataset)[0].targets["label"][2].tolist() == [0, 0]
    told = {"tasks": {"label": {"kind": "multilabel", "classes": ["b", "a"]}}}
    settled = own(own_files.write(tmp_path / "own", rows, told))
    assert settled.tasks[0].classes == ("b", "a") and settled.cases["label"].iloc[2] == ""


def test_texts_may_stand_in_files(tmp_path, rows):
    folder = tmp_path / "own"
    (folder / "reports").mkdir(parents=True)
    for n, row in enumerate(rows):
        (folder / "reports" / f"{n}.txt").write_text(f"Größe {n} mm.\nNo more.", encoding="utf-8")
        row["report"] = "" if n == 1 else f"reports/{n}.txt"
    dataset = own(own_files.write(folder, rows))
    assert dataset.texts == ("report",) and dataset.cases["report"]["c00"] == "Größe 0 mm.\nNo more."
    assert pd.isna(dataset.cases["report"]["c01"])
    (folder / "reports" / "2.txt").write_bytes(b"Gr\xf6\xdfe")
    with pytest.raises(
        InputError, match=r"Row 4 of cases.csv, column 'report', names .*2.txt, which is no text"
    ):
        own(folder).cases  # noqa: B018
    (folder / "reports" / "2.txt").write_text("\n")
    assert own(folder).cases["report"]["c02"] is None  # nothing stands in it
    rows[5]["report"] = "Mrs Doe has none"
    with pytest.raises(InputError, match="Row 7 of cases.csv, column 'report', names no .txt file") as told:
        own(own_files.write(folder, rows)).cases  # noqa: B018
    assert "Doe" not in str(told.value)


def test_volumes_and_their_outlines_are_fitted_alike(tmp_path):
    folder = own_files.scans(tmp_path / "own")
    dataset = own(folder, depth=6, volume_size=14)
    assert dataset.pictures[0].shape == (1, 6, 14, 14) and dataset.pictures[0].kind == "volume"
    values, mask = dataset.picture("s01", "ct")[0], dataset.mask("s01", "ct")
    assert values.shape == mask.shape == (6, 14, 14) and mask.sum() == 32
    hounsfield = read_volume(folder / "ct" / "1.nii.gz").values
    assert hounsfield.min() == -1000  # so that the window is that of CT
    inside = hounsfield[read_volume(folder / "masks" / "1.nii.gz").values > 0]
    assert np.allclose(np.sort(values[mask]), np.sort((inside + 1000) / 1400), atol=1e-5)
    assert values[mask].mean() > values[~mask].mean() + 0.1


def test_the_window_can_be_given_and_is_else_the_volumes_own(tmp_path):
    ramp = np.arange(1000.0).reshape(10, 10, 10)
    own_files.nifti(tmp_path / "own" / "1.nii", ramp, (1, 1, 1))
    own_files.nifti(tmp_path / "own" / "2.nii", np.full((10, 10, 10), 7.0), (1, 1, 1))
    rows = [{"id": str(n), "label": "ab"[n % 2], "mr": f"{n % 2 + 1}.nii"} for n in range(6)]
    folder = own_files.write(tmp_path / "own", rows)
    plain = own(folder, depth=10, volume_size=10)
    low, high = np.percentile(ramp, [0.5, 99.5])
    expected = np.clip((np.sort(ramp.ravel()) - low) / (high - low), 0, 1)
    assert np.allclose(np.sort(plain.picture("0", "mr").ravel()), expected, atol=1e-6)
    assert (plain.picture("1", "mr") == 0).all()  # the same everywhere
    wide = own(folder, depth=10, volume_size=10, window=(0.0, 500.0)).picture("0", "mr")
    assert np.allclose(np.sort(wide.ravel()), np.clip(np.sort(ramp.ravel()) / 500, 0, 1), atol=1e-6)
    framed = own(folder, depth=12, volume_size=12, spacing=1.0, absent=0.5).picture("0", "mr")
    assert np.allclose(framed[0, 0], 0.5) and np.allclose(framed[0, :, :, -1], 0.5)


def test_folders_of_dicom_slices_are_volumes(tmp_path):
    draw = np.random.default_rng(0)
    folder = tmp_path / "own"
    volumes = draw.integers(-1000, 400, (8, 3, 6, 6))
    for n, values in enumerate(volumes):
        own_files.dicom(folder / "ct" / f"case {n}", values)
    rows = [{"id": f"c{n}", "label": "ab"[n % 2], "ct": f"ct/case {n}"} for n in range(8)]
    dataset = own(own_files.write(folder, rows), depth=3, volume_size=6)
    assert dataset.pictures[0].kind == "volume"
    expected = (volumes[1].clip(-1000, 400) + 1000) / 1400
    assert np.allclose(dataset.picture("c1", "ct")[0], expected, atol=1e-6)
    assert len(dataset.sources("c1", "ct")) == 3 and len(dataset.files()) == 1 + 24
    (folder / "ct" / "case 4" / "slice0.dcm").unlink()
    (folder / "ct" / "case 4" / "slice0.dcm").symlink_to(tmp_path / "own" / "cases.csv")
    with pytest.raises(
        InputError, match=r"Row 6 of cases.csv, column 'ct', names 'case 4', where 'slice0.dcm'"
    ):
        own(folder).cases  # noqa: B018
    for path in (folder / "ct" / "case 4").iterdir():
        path.unlink()
    with pytest.raises(InputError, match="Row 6 .* names 'ct/case 4', a folder without files"):
        own(folder).cases  # noqa: B018


@pytest.mark.parametrize(
    ("affine", "apart"),
    [
        (np.diag([-1.0, -1, 2, 1]), "17.0"),  # mirrored twice: 13 voxels aside and 11 back
        (np.diag([1.0, 1, 3, 1]), "2.5"),  # five steps of 3 mm instead of 2
        (np.array([[1.0, 0, 0, 0.2], [0, 1, 0, 0], [0, 0, 2, 0], [0, 0, 0, 1]]), "0.2"),  # moved
    ],
)
def test_an_outline_that_lies_elsewhere_gets_a_sentence(tmp_path, affine, apart):
    folder = own_files.scans(tmp_path / "own", 8)
    drawn = np.ones((14, 12, 6), dtype=np.float32)
    nibabel.save(nibabel.Nifti1Image(drawn, affine), folder / "masks" / "3.nii.gz")
    sentence = rf"masks/3.nii.gz lies elsewhere than its volume 3.nii.gz, by up to {apart} voxels; export"
    with pytest.raises(InputError, match=sentence):
        own(folder).mask("s03", "ct")


def test_an_outline_may_be_stored_in_another_orientation_than_its_volume(tmp_path):
    folder, values = tmp_path / "own", np.full((4, 6, 6), 40)
    drawn = np.zeros((4, 6, 6))
    drawn[1, 2:4, 0:2] = 1
    values[drawn > 0] = 300
    rows = []
    for n in range(8):
        own_files.dicom(folder / f"ct{n}", values)
        affine = np.diag([-0.7, -0.7, 2.5, 1])  # the slices' own grid, to the right, front and head
        mask = nibabel.Nifti1Image(drawn.transpose(2, 1, 0).astype(np.float32), affine)
        if n % 2:
            mask = nibabel.as_closest_canonical(mask)
        nibabel.save(mask, folder / f"mask{n}.nii.gz")
        rows.append({"id": f"c{n}", "label": "ab"[n // 4], "ct": f"ct{n}", "ct_mask": f"mask{n}.nii.gz"})
    dataset = own(own_files.write(folder, rows), depth=4, volume_size=6, window=(40.0, 300.0))
    for case in ("c0", "c1"):
        assert dataset.mask(case, "ct").sum() == 4
        assert np.array_equal(dataset.mask(case, "ct"), dataset.picture(case, "ct")[0] > 0.5)


def test_images_have_no_window(photos):
    assert own(photos, window=(0.0, 1.0)).window_of("photo") == ()


def test_a_column_of_volumes_is_seen_in_one_window(tmp_path):
    folder, draw, rows = tmp_path / "own", np.random.default_rng(0), []
    for n in range(8):
        values = draw.normal(40, 20, (6, 6, 6))
        if n not in (2, 5, 6):  # three were cut without air
            values[0] = -1000
        own_files.nifti(folder / f"{n}.nii", values, (1, 1, 1))
        own_files.nifti(folder / f"mr{n}.nii", values if n == 3 else values.clip(0), (1, 1, 1))
        rows.append({"id": f"c{n}", "label": "ab"[n % 2], "ct": f"{n}.nii", "mr": f"mr{n}.nii"})
    dataset = own(own_files.write(folder, rows), depth=6, volume_size=6)
    assert dataset.window_of("ct") == (-1000.0, 400.0) and dataset.window_of("mr") == ()
    soft = read_volume(folder / "2.nii").values
    assert np.allclose(dataset.picture("c2", "ct")[0], (soft + 1000) / 1400, atol=1e-5)
    assert "Column 'ct': seen from -1000 to 400 (Hounsfield units)." in dataset.notes()
    assert "Column 'mr': each volume is seen from its own 0.5 to its own 99.5 percentile." in dataset.notes()
    assert "Column 'mr': seen from 0 to 50." in own(folder, window=(0.0, 50.0)).notes()
    (folder / "0.nii").write_bytes(b"")  # a broken one is told where it is seen, and decides nothing
    broken = own(folder, depth=6, volume_size=6)
    assert broken.window_of("ct") == (-1000.0, 400.0)
    with pytest.raises(InputError, match=r"0\.nii cannot be read"):
        broken.picture("c0", "ct")


def test_an_outline_on_another_grid_gets_a_sentence(tmp_path):
    folder = own_files.scans(tmp_path / "own", 8)
    own_files.nifti(folder / "masks" / "3.nii.gz", np.ones((4, 5, 6)))
    with pytest.raises(InputError, match=r"masks/3.nii.gz has 6x5x4 voxels and its volume 3.nii.gz 6x12x14"):
        own(folder).mask("s03", "ct")


def test_missing_folders_and_tables_get_a_sentence(tmp_path, rows):
    with pytest.raises(InputError, match="own_folder needs a 'folder'"):
        OwnFolder().cases  # noqa: B018
    with pytest.raises(InputError, match="There is no folder .*/nowhere"):
        own(tmp_path / "nowhere").cases  # noqa: B018
    with pytest.raises(InputError, match="No table stands in"):
        own(tmp_path).cases  # noqa: B018
    own_files.write(tmp_path, rows)
    own_files.write(tmp_path, rows, name="cases.tsv")
    with pytest.raises(InputError, match=r"Several tables stand in .* \(cases.csv, cases.tsv\)"):
        own(tmp_path).cases  # noqa: B018
    assert len(own(tmp_path, table="cases.csv").cases) == 20
    (tmp_path / "cases.json").write_text("{")
    with pytest.raises(InputError, match="cases.json cannot be read as JSON"):
        own(tmp_path, table="cases.csv").cases  # noqa: B018


@pytest.mark.parametrize(
    "wrong",
    [
        {"size": 0},
        {"depth": -1},
        {"absent": 2.0},
        {"spacing": -1.0},
        {"window": (5.0, 5.0)},
        {"window": (1.0,)},
    ],
)
def test_settings_that_cannot_be_meant_get_a_sentence(wrong):
    with pytest.raises(InputError, match="of own_folder"):
        OwnFolder(**wrong)


def test_broken_pictures_are_named(photos):
    (photos / "photos" / "20.png").write_bytes(b"")
    with pytest.raises(InputError, match="photos/20.png cannot be read"):
        used(own(photos))
    (photos / "photos" / "0.png").write_bytes(b"")
    with pytest.raises(InputError, match="photos/0.png cannot be read"):
        own(photos).pictures  # noqa: B018


def test_the_spec_makes_it_again(photos):
    dataset = own(photos, size=16, window=(0.0, 1.0))
    assert build(Dataset, spec(dataset)) == dataset


def test_a_model_learns_from_an_own_folder(tmp_path):
    folder = own_files.photos(tmp_path / "own", 30)
    recipe = Recipe.from_json(
        {
            "name": "own", "dataset": {"name": "own_folder", "folder": str(folder), "size": 32},
            "model": {"name": "concat", "image": {"name": "residual", "widths": [4, 8]}},
            "training": {"epochs": 2}, "folds": 3, "only": [0],
        }
    )  # fmt: skip
    metrics = train(recipe, tmp_path / "runs", tell=lambda sentence: None)
    assert {"estimate"} <= set(metrics) and len(metrics)
    predictions = pd.read_parquet(tmp_path / "runs" / "own" / "fold-0" / "predictions.parquet")
    assert sorted(predictions["id"]) == sorted(own(folder).cases.index)
    assert predictions[["label.no", "label.yes"]].sum(axis=1).to_numpy() == pytest.approx(1)


@pytest.mark.real_data
def test_real_cases_read_as_an_own_folder_are_the_same_cases(tmp_path):
    published = BreastLesionsUSG(size=64)
    chosen, rows = published.cases.index[:12], []
    for case in chosen:
        scan, outlines = published.files_of(case)
        row = {"id": case, "label": published.cases["lesion"][case], "age": published.cases["Age"][case]}
        for column, source in (("scan", scan), ("scan_mask", outlines[0])):
            (tmp_path / source.name).write_bytes(source.read_bytes())
            row[column] = source.name
        rows.append(row)
    mine = own(own_files.write(tmp_path, rows), size=64, absent=published.gray)
    for case in chosen:
        assert np.array_equal(mine.picture(case, "scan"), published.picture(case))
        assert np.array_equal(mine.mask(case, "scan"), published.mask(case))
    assert mine.cases["label"].to_dict() == published.cases["lesion"][chosen].to_dict()
    assert mine.cases["age"].tolist() == pytest.approx(published.cases["Age"][chosen].tolist(), nan_ok=True)
