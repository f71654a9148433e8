import csv
import json
import shutil

import numpy as np
import pandas as pd
import pytest
from conftest import ROOT
from PIL import Image

from datasets import layouts
from datasets.layouts_records import colour, edit, pad_ufes_20, put
from studykit.catalog import InputError
from studykit.datasets import Prepared, split
from studykit.datasets.pad_ufes_20 import CANCERS, PADUFES20, QUESTIONNAIRE, WITHOUT_SHORTCUT
from studykit.training import Recipe, train


@pytest.fixture
def folder(tmp_path):
    return pad_ufes_20(tmp_path / "PAD-UFES-20")


def test_the_record_is_all_clinical_fields_and_missing_ones_are_missing(folder):
    dataset = PADUFES20(folder=str(folder))
    cases = dataset.cases
    assert len(dataset.record) == 21 and not {"biopsed", "diagnostic", "patient_id"} & set(dataset.record)
    assert cases["smoke"].isna().sum() == 12 and set(cases["smoke"].dropna()) == {"True", "False"}
    assert cases["background_father"].isna().all()  # UNK, or not asked
    assert cases["grew"].isna().sum() == 10  # every fifth of 48 is UNK
    assert cases["diameter_2"].dtype == float and set(cases["diameter_2"].dropna()) == {7.5}
    columns = Prepared.fit(dataset, cases.index).record.columns
    assert {"age", "fitspatrick", "region=FACE", "smoke=True", "smoke=missing", "grew=missing"} <= set(
        columns
    )
    assert "age=missing" not in columns


def test_rows_pictures_and_masks_are_joined_by_id_whatever_the_order(folder):
    before = PADUFES20(folder=str(folder), size=60)
    masks = {case: before.mask(case) for case in before.cases.index}
    edit(folder / "metadata.csv", lambda rows: rows.sample(frac=1, random_state=3))
    after = PADUFES20(folder=str(folder), size=60)
    assert after.cases.equals(before.cases)
    assert all((after.mask(case) == mask).all() for case, mask in masks.items())
    assert np.flatnonzero(after.mask("PAT_13_5_895").any(0)).tolist() == list(range(5, 17))
    assert after.cases.loc["PAT_13_5_895", ["age", "diagnosis", "group"]].tolist() == [35, "SEK", "PAT_13"]
    written = np.asarray(colour(5), dtype=np.float32).transpose(2, 0, 1) / 255
    assert np.allclose(after.picture("PAT_13_5_895")[:, 10:50], written, atol=1e-6)  # in colour, unscaled


@pytest.mark.parametrize("place", ["imgs_part_{}", "images/imgs_part_{}"])
def test_pictures_may_stand_in_the_three_parts_of_the_original(folder, place):
    before = PADUFES20(folder=str(folder))
    shutil.move(folder / "images", folder / "all")
    for position, image in enumerate(sorted((folder / "all").iterdir())):
        part = folder / place.format(1 + position % 3)
        part.mkdir(parents=True, exist_ok=True)
        shutil.move(image, part)
    after = PADUFES20(folder=str(folder))
    assert after.cases.equals(before.cases)


def test_outlines_are_an_addition_that_may_lack(folder):
    (folder / "masks" / "PAT_13_5_895_mask.png").unlink()
    dataset = PADUFES20(folder=str(folder))
    assert not dataset.mask("PAT_13_5_895").any() and dataset.mask("PAT_8_0_900").any()
    assert "1 of 48 cases of pad_ufes_20 have no outline" in dataset.notes()[-1]
    shutil.rmtree(folder / "masks")
    dataset = PADUFES20(folder=str(folder))
    assert not dataset.mask("PAT_8_0_900").any() and len(dataset.notes()) == 1
    assert dataset.sources("PAT_8_0_900") == [folder / "images" / "PAT_8_0_900.png"]


def test_the_shortcut_of_what_is_missing_is_told(folder):
    (note,) = PADUFES20(folder=str(folder)).notes()
    assert "12 of 48 cases" in note and "0% of them are cancers (BCC, MEL, SCC), of the others 67%" in note
    assert all(column in note for column in WITHOUT_SHORTCUT)
    shortcut = "missingness is a shortcut to the label: 804 of 2298"
    assert any(shortcut in sentence for sentence in PADUFES20.card.defects)
    no_cancer = PADUFES20(folder=str(folder), classes=("ACK", "NEV"))
    assert no_cancer.notes() == []  # nothing to tell apart
    with_one = PADUFES20(folder=str(folder), classes=("ACK", "BCC"))
    assert "4 of 16 cases" in with_one.notes()[0] and "of the others 67%" in with_one.notes()[0]


def test_two_questions_can_be_asked(folder):
    six = PADUFES20(folder=str(folder))
    assert six.tasks[0].kind == "multiclass" and six.cases["diagnosis"].nunique() == 6
    binary = PADUFES20(folder=str(folder), question="cancer")
    assert binary.tasks[0].kind == "binary" and binary.tasks[0].classes == ("other", "cancer")
    told = binary.cases.groupby("cancer")["diagnosis"].unique().map(sorted).to_dict()
    assert told == {"cancer": ["BCC", "MEL", "SCC"], "other": ["ACK", "NEV", "SEK"]}
    two = PADUFES20(folder=str(folder), question="cancer", classes=("MEL", "NEV"))
    assert two.cases["cancer"].value_counts().to_dict() == {"cancer": 8, "other": 8}
    with pytest.raises(InputError, match="no question of pad_ufes_20 named 'cancers'; did you mean cancer"):
        PADUFES20(question="cancers")


def test_an_index_joins_patients_but_never_parts_them(folder):
    edit(folder / "metadata.csv", put(3, "patient_id", "PAT_8"))  # lesions 0 and 1 are one patient's
    index = pd.DataFrame(
        {"file": ["images/PAT_9_1_899.png", "images/PAT_20_12_888.png"], "group": ["g", "g"]}
    )
    index.to_csv(folder / "index.csv", index=False)
    groups = PADUFES20(folder=str(folder)).cases["group"]
    assert groups["PAT_8_0_900"] == groups["PAT_9_1_899"] == groups["PAT_20_12_888"]
    assert groups.nunique() == 46


@pytest.mark.parametrize("column", sorted(PADUFES20.card.refused))
def test_columns_that_read_out_the_label_are_refused(column):
    with pytest.raises(InputError, match=f"'{column}' of PAD-UFES-20.* cannot be an input: .* Take it out"):
        PADUFES20(columns=("age", column))


def test_names_that_do_not_exist_are_refused():
    with pytest.raises(InputError, match="no column of pad_ufes_20 named 'fitzpatrick'; did you mean fitsp"):
        PADUFES20(columns=("fitzpatrick",))
    with pytest.raises(InputError, match="no class of pad_ufes_20 named 'BKL'"):
        PADUFES20(classes=("BCC", "BKL"))


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (put(4, "diagnostic", "BOD"), "Row 4 of metadata.csv gives 'BOD' as diagnostic; it is one of ACK"),
        (put(4, "age", "old"), "Row 4 of metadata.csv gives no number as age; write one"),
        (put(9, "diameter_1", "inf"), "Row 9 of metadata.csv gives no number as diameter_1; write one"),
        (put(5, "patient_id", ""), "Row 5 of metadata.csv has no patient_id"),
        (put(6, "img_id", "PAT_8_0_900.png"), "Row 6 of metadata.csv lists 'PAT_8_0_900.png' once more"),
        (
            put(6, "img_id", "PAT_0.png"),
            r"Row 6 of metadata.csv lists 'PAT_0\.png', but no \.png of that name stands",
        ),
        (lambda rows: rows.drop(columns="itch"), "no column in metadata.csv named 'itch'"),
        (lambda rows: rows[1:], r"PAT_8_0_900\.png has no row in metadata\.csv; add the row or remove"),
    ],
)
def test_bad_tables_get_a_sentence(folder, change, sentence):
    edit(folder / "metadata.csv", change)
    with pytest.raises(InputError, match=sentence):
        PADUFES20(folder=str(folder)).cases  # noqa: B018


def test_a_mask_of_another_size_gets_a_sentence(folder):
    layouts.square(size=(50, 40)).save(folder / "masks" / "PAT_8_0_900_mask.png")
    with pytest.raises(InputError, match=r"PAT_8_0_900_mask\.png is 50x40 .* 60x40; export"):
        PADUFES20(folder=str(folder)).mask("PAT_8_0_900")


@pytest.mark.real_data
def test_the_real_cases():
    dataset = PADUFES20(question="cancer")
    cases = dataset.cases
    counts = {"BCC": 146, "NEV": 136, "SEK": 98, "ACK": 86, "MEL": 32, "SCC": 16}
    assert cases["diagnosis"].value_counts().to_dict() == counts
    assert cases["cancer"].value_counts().to_dict() == {"other": 320, "cancer": 194}
    assert cases["group"].nunique() == 410
    assert cases["group"]["PAT_701_1321_156"] == cases["group"]["PAT_701_4056_457"]
    parts = split(cases, "diagnosis", 5, 0, 0)
    assert parts.groupby(cases["group"]).nunique().max() == 1
    files = dataset.files()
    assert len(files) == 2 + 2 * 514 and all(path.is_file() for path in files)


@pytest.mark.real_data
def test_the_real_shortcut_is_counted_right():
    dataset = PADUFES20()
    with (dataset._root / "metadata.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    silent = [row for row in rows if not any(row[column] for column in QUESTIONNAIRE)]
    cancers = sum(row["diagnostic"] in CANCERS for row in rows)
    assert len(silent) == 184 and not any(row["diagnostic"] in CANCERS for row in silent)
    (note,) = dataset.notes()
    assert note.startswith("184 of 514 cases") and ": 0% of them" in note
    assert f"of the others {round(100 * cancers / (514 - 184))}%" in note


@pytest.mark.real_data
def test_the_real_outlines_are_those_of_the_files():
    dataset = PADUFES20(size=176)  # the size of the staged pictures, so nothing is scaled
    index = pd.read_csv(dataset._root / "index.csv")
    assert set(index[["w", "h"]].values.ravel()) == {176}
    for file, share in index[["file", "mask_fraction"]].values[::3]:
        case = file.removeprefix("images/").removesuffix(".png")
        assert dataset.mask(case).mean() == pytest.approx(share, abs=1e-3)
        pixels = np.asarray(Image.open(dataset._root / file))
        assert (np.round(255 * dataset.picture(case)) == pixels.transpose(2, 0, 1)).all()
    means = [dataset.picture(case).mean() for case in dataset.cases.index[::5]]
    assert np.mean(means) == pytest.approx(dataset.gray, abs=0.02)


@pytest.mark.real_data
@pytest.mark.parametrize("settings", [{}, {"question": "cancer", "columns": [*WITHOUT_SHORTCUT]}])
def test_the_real_recipe_beats_chance(tmp_path, settings):
    recipe = json.loads((ROOT / "data" / "recipes" / "pad_ufes_20.json").read_text())
    dataset = {**recipe["dataset"], "size": 64, **settings}
    small = {"dataset": dataset, "training": {"epochs": 15}, "only": [0]}
    told = []
    scores = train(Recipe.from_json({**recipe, **small}), tmp_path, tell=told.append)
    auroc = scores[scores["statistic"] == "AUROC"].set_index("group").loc[recipe["name"]]
    assert auroc["low"] > 0.5 and auroc["n"] > 90
    assert "lack the whole questionnaire" in told[0]
