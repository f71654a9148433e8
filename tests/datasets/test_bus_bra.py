import json
import shutil

import numpy as np
import pandas as pd
import pytest
from conftest import ROOT

from datasets import layouts
from datasets.layouts_records import bus_bra, edit, put
from studykit.catalog import InputError
from studykit.datasets import Prepared, split
from studykit.datasets.bus_bra import BUSBRA
from studykit.datasets.outlined_scans import joined
from studykit.training import Recipe, train


@pytest.fixture
def folder(tmp_path):
    return bus_bra(tmp_path / "BUS-BRA")


def table(folder):
    return folder / "BUSBRA" / "bus_data.csv"


def test_two_views_of_a_patient_are_one_group(folder):
    cases = BUSBRA(folder=str(folder)).cases
    assert len(cases) == 35 and cases["group"].nunique() == 20
    assert cases.loc[["bus_0001-l", "bus_0001-r"], "group"].tolist() == ["1", "1"]
    assert cases["lesion"]["bus_0001-l"] == "malignant" and cases["lesion"]["bus_0004-s"] == "benign"


def test_the_inner_folder_alone_serves_as_well(folder):
    inner = BUSBRA(folder=str(folder / "BUSBRA"))
    assert inner.cases.equals(BUSBRA(folder=str(folder)).cases)
    assert inner.mask("bus_0003-r").any()


def test_rows_pictures_and_masks_are_joined_by_id_whatever_the_order(folder):
    columns = ("Side", "Device")
    before = BUSBRA(folder=str(folder), columns=columns, size=60)
    masks = {case: before.mask(case) for case in before.cases.index}
    edit(table(folder), lambda rows: rows.sample(frac=1, random_state=3))
    after = BUSBRA(folder=str(folder), columns=columns, size=60)
    assert after.cases.equals(before.cases)
    assert all((after.mask(case) == mask).all() for case, mask in masks.items())
    # case 7's square stands at column 7; the picture of 60 x 40 lies in the square from row 10 on
    assert np.flatnonzero(after.mask("bus_0007-l").any(0)).tolist() == list(range(7, 19))
    assert np.flatnonzero(after.mask("bus_0007-l").any(1)).tolist() == list(range(18, 30))


def test_side_and_device_are_used_only_when_named(folder):
    assert BUSBRA().record == ()
    dataset = BUSBRA(folder=str(folder), columns=("Device",))
    encoded = Prepared.fit(dataset, dataset.cases.index).record.columns
    assert encoded == ("Device=GE Logiq 7 @10-14MHz", "Device=U-Systems @10-14MHz")


@pytest.mark.parametrize("column", ["BIRADS", "Histology", "Pathology", "BBOX", "Width", "ID", "Case"])
def test_columns_that_read_out_the_label_are_refused(column):
    with pytest.raises(InputError, match=f"'{column}' of BUS-BRA.* cannot be an input: .* Take it out"):
        BUSBRA(columns=("Side", column))


def test_names_that_do_not_exist_are_refused():
    with pytest.raises(InputError, match="no column of bus_bra named 'Devise'; did you mean Device"):
        BUSBRA(columns=("Devise",))
    with pytest.raises(InputError, match="no class of bus_bra named 'normal'"):
        BUSBRA(classes=("benign", "normal"))
    with pytest.raises(InputError, match="'columns' of bus_bra names 'Side' twice"):
        BUSBRA(columns=("Side", "Side"))
    with pytest.raises(InputError, match="'classes' of bus_bra names 'benign' twice"):
        BUSBRA(classes=("benign", "benign"))


def test_an_index_joins_near_duplicates_of_other_patients(folder):
    names = ["bus_0002-l", "bus_0003-r", "bus_0003-l", "bus_0005-l"]
    index = pd.DataFrame({"file": [f"Images/{name}.png" for name in names], "group": [*"aabb"]})
    index.to_csv(folder / "index.csv", index=False)
    dataset = BUSBRA(folder=str(folder))
    groups = dataset.cases["group"]
    assert groups.nunique() == 18  # 2, 3 and 5 have become one
    assert groups["bus_0002-r"] == groups["bus_0003-r"] == groups["bus_0005-r"] != groups["bus_0001-l"]
    assert {folder / "index.csv", table(folder)} < set(dataset.files())
    edit(folder / "index.csv", put(2, "group", ""))
    assert BUSBRA(folder=str(folder)).cases["group"].nunique() == 19  # 2 has left, an empty group is none
    edit(folder / "index.csv", put(2, "file", "bus_0005-l.png"))
    edit(folder / "index.csv", put(2, "group", "c"))
    with pytest.raises(InputError, match=r"index\.csv gives .*bus_0005-l\.png' two groups"):
        BUSBRA(folder=str(folder)).cases  # noqa: B018


def test_joined_groups_follow_the_links_to_their_end():
    rng = np.random.default_rng(0)
    first, second = (pd.Series(rng.integers(0, 20, 30)).map(lambda n: f"{n:02d}") for _ in range(2))
    second[::3] = np.nan
    slow = first.copy()
    while True:  # one pair at a time
        links = [
            (a, b)
            for a in range(30)
            for b in range(30)
            if slow[a] < slow[b] and (first[a] == first[b] or second[a] == second[b])
        ]
        if not links:
            break
        slow[links[0][1]] = slow[links[0][0]]
    assert joined(first, second).equals(slow)
    assert 1 < slow.nunique() < first.nunique()


def test_pictures_and_rows_without_each_other_get_a_sentence(folder):
    image = folder / "BUSBRA" / "Images" / "bus_0001-r.png"
    image.unlink()
    with pytest.raises(InputError, match=r"Row 3 of bus_data.csv lists 'bus_0001-r', but no \.png of that"):
        BUSBRA(folder=str(folder)).cases  # noqa: B018
    layouts.picture(1).save(image)
    layouts.picture(1).save(image.with_name("bus_0900-l.png"))
    with pytest.raises(InputError, match=r"bus_0900-l\.png has no row in bus_data\.csv"):
        BUSBRA(folder=str(folder)).cases  # noqa: B018
    image.with_name("bus_0900-l.png").unlink()
    (folder / "BUSBRA" / "Masks" / "mask_0002-l.png").unlink()
    with pytest.raises(InputError, match=r"bus_0002-l \(Row 4 of bus_data\.csv\) has no mask; .*mask_0002-l"):
        BUSBRA(folder=str(folder)).cases  # noqa: B018


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (put(5, "Pathology", "benignn"), "Row 5 of bus_data.csv gives 'benignn' as Pathology; it is one of"),
        (
            put(5, "Pathology", "of Mrs Doe " * 9),
            "Row 5 of bus_data.csv gives 'of Mrs Doe of Mrs...' as Pathology;",
        ),
        (put(5, "ID", "Doe Jane " * 9), r"Row 5 of bus_data.csv lists 'Doe Jane Doe Jane...', but no \.png"),
        (put(6, "Case", ""), "Row 6 of bus_data.csv has no Case"),
        (put(7, "ID", "bus_0001-l"), "Row 7 of bus_data.csv lists 'bus_0001-l' once more"),
        (lambda rows: rows.drop(columns="Device"), "no column in bus_data.csv named 'Device'"),
        (lambda rows: rows.rename(columns={"Side": "Device"}), "two columns 'Device'"),
    ],
)
def test_bad_tables_get_a_sentence(folder, change, sentence):
    edit(table(folder), change)
    with pytest.raises(InputError, match=sentence):
        BUSBRA(folder=str(folder), columns=("Device",)).cases  # noqa: B018


def test_bad_files_get_a_sentence(folder, tmp_path):
    written = table(folder).read_text()
    table(folder).write_text(written.replace("cyst", "cisto simples, mamária"))
    with pytest.raises(InputError, match=r"Row 2 of bus_data\.csv has 11 cells, the header 10"):
        BUSBRA(folder=str(folder)).cases  # noqa: B018
    table(folder).write_bytes(written.replace("cyst", "maligno (mamária)").encode("latin-1"))
    with pytest.raises(InputError, match=r"Row 2 of bus_data\.csv .*save it as 'CSV UTF-8'"):
        BUSBRA(folder=str(folder)).cases  # noqa: B018
    table(folder).unlink()
    with pytest.raises(InputError, match=r"No table stands in .*; put BUSBRA/bus_data\.csv or bus_data\.csv"):
        BUSBRA(folder=str(folder)).cases  # noqa: B018
    with pytest.raises(InputError, match="BUS-BRA is not here"):
        BUSBRA(folder=str(tmp_path / "nowhere")).cases  # noqa: B018


def test_rows_are_counted_as_in_the_file_though_some_are_empty(folder):
    lines = table(folder).read_text().splitlines()
    table(folder).write_text("\n".join([*lines[:3], "", *lines[3:], ""]), encoding="utf-8-sig")
    assert len(BUSBRA(folder=str(folder)).cases) == 35
    (folder / "BUSBRA" / "Images" / "bus_0002-l.png").unlink()
    with pytest.raises(InputError, match="Row 5 of bus_data.csv lists 'bus_0002-l'"):
        BUSBRA(folder=str(folder)).cases  # noqa: B018


def test_a_picture_without_a_label_is_kept_to_look_at(folder):
    edit(table(folder), put(2, "Pathology", ""))
    cases = BUSBRA(folder=str(folder)).cases
    assert cases["lesion"].isna().sum() == 1 and pd.isna(cases["lesion"]["bus_0001-l"])


def test_a_mask_of_another_size_gets_a_sentence(folder):
    layouts.square(size=(50, 40)).save(folder / "BUSBRA" / "Masks" / "mask_0002-l.png")
    with pytest.raises(InputError, match=r"mask_0002-l\.png is 50x40 .* bus_0002-l\.png 60x40; export"):
        BUSBRA(folder=str(folder)).mask("bus_0002-l")


def test_a_picture_that_stands_twice_gets_a_sentence(folder):
    shutil.copytree(folder / "BUSBRA" / "Images", folder / "Images")
    with pytest.raises(InputError, match=r"Images/bus_0001-l\.png stands also in .*BUSBRA/Images"):
        BUSBRA(folder=str(folder)).cases  # noqa: B018


@pytest.mark.real_data
def test_the_real_cases():
    dataset = BUSBRA(columns=("Side", "Device"))
    cases = dataset.cases
    assert cases["lesion"].value_counts().to_dict() == {"benign": 327, "malignant": 152}
    assert cases["group"].nunique() == 273 and dataset.notes() == []
    assert cases["Side"].value_counts().to_dict() == {"left": 206, "right": 206, "single": 67}
    parts = split(cases, "lesion", 5, 0, 0)
    assert parts.groupby(cases["group"]).nunique().max() == 1
    files = dataset.files()
    assert len(files) == 2 + 2 * 479 and all(path.is_file() for path in files)


@pytest.mark.real_data
def test_the_real_outlines_lie_where_the_table_says():
    dataset = BUSBRA(size=256)
    boxes = dataset._table[["BBOX", "Width", "Height"]]
    for case, (box, width, height) in boxes.iterrows():
        assert max(int(width), int(height)) == 256  # so nothing is scaled here
        left, top, wide, high = json.loads(box)
        left, top = left + (256 - int(width)) // 2, top + (256 - int(height)) // 2
        mask = dataset.mask(case)
        down, right = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        found = [right[0], down[0], right[-1] - right[0] + 1, down[-1] - down[0] + 1]
        assert np.abs(np.subtract(found, [left, top, wide, high])).max() <= 3, case
    means = [dataset.picture(case).mean() for case in boxes.index[::5]]
    assert np.mean(means) == pytest.approx(dataset.gray, abs=0.02)


@pytest.mark.real_data
def test_the_real_recipe_beats_chance(tmp_path):
    recipe = json.loads((ROOT / "data" / "recipes" / "bus_bra.json").read_text())
    small = {"dataset": {**recipe["dataset"], "size": 64}, "training": {"epochs": 15}, "only": [0]}
    scores = train(Recipe.from_json({**recipe, **small}), tmp_path)
    auroc = scores[scores["statistic"] == "AUROC"].set_index("group").loc[recipe["name"]]
    assert auroc["low"] > 0.5 and auroc["n"] == 96
