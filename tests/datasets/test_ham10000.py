import json
import shutil

import numpy as np
import pandas as pd
import pytest
from conftest import ROOT
from PIL import Image

from datasets import layouts
from datasets.layouts_records import edit, ham10000, put
from studykit.catalog import InputError
from studykit.datasets import Prepared, split
from studykit.datasets.ham10000 import HAM10000, OUTLINES
from studykit.training import Recipe, train

METADATA = "HAM10000_metadata.csv"


@pytest.fixture
def folder(tmp_path):
    return ham10000(tmp_path / "HAM10000")


def test_unknown_is_missing(folder):
    dataset = HAM10000(folder=str(folder))
    cases = dataset.cases
    assert cases["age"].dtype == float and cases["age"].isna().sum() == 6
    assert cases["sex"].isna().sum() == 18 and set(cases["sex"].dropna()) == {"female", "male"}
    assert cases["localization"].isna().sum() == 14
    columns = ["age", "sex=female", "sex=male", "localization=back"]
    columns += ["age=missing", "sex=missing", "localization=missing"]
    assert list(Prepared.fit(dataset, cases.index).record.columns) == columns


def test_rows_pictures_and_masks_are_joined_by_id_whatever_the_order(folder):
    before = HAM10000(folder=str(folder), size=60)
    masks = {case: before.mask(case) for case in before.cases.index}
    edit(folder / METADATA, lambda rows: rows.sample(frac=1, random_state=3))
    after = HAM10000(folder=str(folder), size=60)
    assert after.cases.equals(before.cases)
    assert all((after.mask(case) == mask).all() for case, mask in masks.items())
    assert np.flatnonzero(after.mask("ISIC_0024311").any(0)).tolist() == list(range(5, 17))
    assert after.cases.loc["ISIC_0024311", ["group", "age", "sex"]].isna().tolist() == [False, False, True]
    assert after.cases["diagnosis"]["ISIC_0024311"] == "nv"


def test_the_publishers_table_without_an_ending_and_with_its_extra_column_serves(folder):
    before = HAM10000(folder=str(folder)).cases
    edit(folder / METADATA, lambda rows: rows.assign(dataset="vidir_modern"))
    (folder / METADATA).rename(folder / "HAM10000_metadata")
    assert HAM10000(folder=str(folder)).cases.equals(before)


def test_pictures_of_a_lesion_stay_together_and_an_index_joins_more(folder):
    edit(folder / METADATA, put(3, "lesion_id", "HAM_0000000"))
    assert HAM10000(folder=str(folder)).cases["group"].nunique() == 55
    files = [f"HAM10000_images_part_1/ISIC_002430{n}.jpg" for n in (7, 9)]
    pd.DataFrame({"file": files, "group": ["g", "g"]}).to_csv(folder / "index.csv", index=False)
    groups = HAM10000(folder=str(folder)).cases["group"]
    assert groups["ISIC_0024306"] == groups["ISIC_0024307"] == groups["ISIC_0024309"]
    assert groups.nunique() == 54


def test_outlines_may_lack(folder):
    (folder / OUTLINES / "ISIC_0024306_segmentation.png").unlink()
    dataset = HAM10000(folder=str(folder))
    assert not dataset.mask("ISIC_0024306").any() and dataset.mask("ISIC_0024307").any()
    assert dataset.notes() == ["1 of 56 cases of ham10000 have no outline: an empty mask."]
    shutil.rmtree(folder / OUTLINES)
    assert HAM10000(folder=str(folder)).notes() == []


def test_a_choice_of_diagnoses(folder):
    two = HAM10000(folder=str(folder), classes=("nv", "mel"))
    assert two.tasks[0].kind == "binary" and set(two.cases["diagnosis"]) == {"nv", "mel"}
    with pytest.raises(InputError, match="no class of ham10000 named 'scc'; did you mean bcc"):
        HAM10000(classes=("nv", "scc"))


@pytest.mark.parametrize("column", sorted(HAM10000.card.refused))
def test_columns_that_read_out_the_label_are_refused(column):
    with pytest.raises(InputError, match=f"'{column}' of HAM10000.* cannot be an input: .* Take it out"):
        HAM10000(columns=("age", column))


def test_columns_that_do_not_exist_are_refused():
    with pytest.raises(InputError, match="no column of ham10000 named 'location'; did you mean localization"):
        HAM10000(columns=("location",))


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (put(4, "dx", "scc"), "Row 4 of HAM10000_metadata.csv gives 'scc' as dx; it is one of akiec"),
        (put(4, "age", "4O"), "Row 4 of HAM10000_metadata.csv gives no number as age; write one"),
        (put(5, "lesion_id", ""), "Row 5 of HAM10000_metadata.csv has no lesion_id"),
        (put(6, "image_id", "ISIC_0024306"), "Row 6 of HAM10000_metadata.csv lists 'ISIC_0024306' once more"),
        (
            put(7, "image_id", "ISIC_9"),
            r"Row 7 .* lists 'ISIC_9', but no \.jpg of that name stands in .*_part_1 or",
        ),
        (lambda rows: rows[1:], r"ISIC_0024306\.jpg has no row in HAM10000_metadata\.csv"),
        (lambda rows: rows.drop(columns="sex"), "no column in HAM10000_metadata.csv named 'sex'"),
    ],
)
def test_bad_tables_get_a_sentence(folder, change, sentence):
    edit(folder / METADATA, change)
    with pytest.raises(InputError, match=sentence):
        HAM10000(folder=str(folder)).cases  # noqa: B018


def test_a_mask_of_another_size_gets_a_sentence(folder):
    layouts.square(size=(50, 40)).save(folder / OUTLINES / "ISIC_0024306_segmentation.png")
    with pytest.raises(InputError, match=r"ISIC_0024306_segmentation\.png is 50x40 .* 60x40; export"):
        HAM10000(folder=str(folder)).mask("ISIC_0024306")


@pytest.mark.real_data
def test_the_real_cases():
    dataset = HAM10000()
    cases = dataset.cases
    counts = {"nv": 450, "bkl": 248, "mel": 248, "bcc": 195, "akiec": 150, "vasc": 106, "df": 86}
    assert cases["diagnosis"].value_counts().to_dict() == counts
    assert cases["group"].nunique() == 1030 and dataset.notes() == []
    assert cases[["age", "sex", "localization"]].isna().sum().tolist() == [5, 8, 30]
    parts = split(cases, "diagnosis", 5, 0, 0)
    assert parts.groupby(cases["group"]).nunique().max() == 1
    files = dataset.files()
    assert len(files) == 2 + 2 * 1483 and all(path.is_file() for path in files)


@pytest.mark.real_data
def test_the_real_outlines_are_those_of_the_files():
    dataset = HAM10000(size=200)  # the width of the staged pictures, so nothing is scaled
    for case in dataset.cases.index[::7]:
        written = np.asarray(Image.open(dataset.sources(case)[1]).convert("L")) > 127
        mask = dataset.mask(case)
        assert (mask[25:175] == written).all() and mask.sum() == written.sum() > 0
    means = [dataset.picture(case)[:, 25:175].mean() for case in dataset.cases.index[::20]]
    assert np.mean(means) == pytest.approx(dataset.gray, abs=0.02)


@pytest.mark.real_data
def test_the_real_recipe_beats_chance(tmp_path):
    recipe = json.loads((ROOT / "data" / "recipes" / "ham10000.json").read_text())
    small = {"dataset": {**recipe["dataset"], "size": 64}, "training": {"epochs": 15}, "only": [0]}
    scores = train(Recipe.from_json({**recipe, **small}), tmp_path)
    auroc = scores[scores["statistic"] == "AUROC"].set_index("group")
    own = auroc.loc[recipe["name"]]
    assert own["low"] > 0.5 and own["n"] > 250
    assert (
        auroc.loc[f"{recipe['name']} minus logistic regression on the record", "low"] > 0
    )  # the picture tells
