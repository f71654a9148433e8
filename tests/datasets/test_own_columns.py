import json

import pandas as pd
import pytest

from datasets import own_files
from datasets.own_files import own
from studykit.catalog import InputError
from studykit.datasets.own_folder import inferred


@pytest.fixture
def photos(tmp_path):
    return own_files.photos(tmp_path / "own")


@pytest.fixture
def rows():
    return own_files.record_rows()


def test_the_proposal_can_be_written_down_and_says_the_same(photos):
    before, proposal = own(photos), inferred(photos)
    before.fingerprint  # noqa: B018
    assert proposal["columns"] == {
        "age": "number", "sex": "category", "photo": "gray image", "photo_mask": "mask of photo",
        "report": "text",
    }  # fmt: skip
    assert proposal["tasks"] == {"label": {"kind": "binary", "classes": ["no", "yes"]}}
    assert set(proposal["reasons"]) == {*proposal["columns"], "label"} and proposal["patient"] == "patient"
    (photos / "cases.json").write_text(json.dumps(proposal))
    after = own(photos)
    pd.testing.assert_frame_equal(after.cases, before.cases)
    assert after.pictures == before.pictures and after.tasks == before.tasks
    assert inferred(photos) == proposal
    assert photos / "cases.json" in after.files() and after.fingerprint != before.fingerprint


def test_cases_json_overrules_what_is_inferred(photos):
    settled = {
        "patient": "", "columns": {"age": "category", "report": "ignore", "photo": "colour image"},
        "refused": {"sex": "it is read off the same picture"}, "missing": ["42"],
        "tasks": {"label": {"kind": "binary", "classes": ["yes", "no"]}},
    }  # fmt: skip
    (photos / "cases.json").write_text(json.dumps(settled))
    dataset = own(photos, size=16)
    assert dataset.record == ("age",) and dataset.texts == () and dataset.pictures[0].shape == (3, 16, 16)
    assert dataset.tasks[0].classes == ("yes", "no")
    assert dataset.cases["group"].tolist() == dataset.cases.index.tolist()
    assert "42" not in set(dataset.cases["age"]) and {"40", "44"} <= set(dataset.cases["age"])
    told = " ".join(dataset.notes())
    assert "'sex': it is read off the same picture" in told and "names no patients" in told


def test_columns_that_name_or_betray_are_left_out_unless_settled(tmp_path, rows):
    for n, row in enumerate(rows):
        row["surname"], row["born"], row["outcome"] = (
            f"N{n % 4}",
            f"19{50 + n}-01-02",
            "dl"[row["label"] == "yes"],
        )
    folder = own_files.write(tmp_path / "own", rows)
    dataset = own(folder)
    assert dataset.record == ("age", "sex") and list(dataset.refused) == ["surname", "born", "outcome"]
    told = dataset.notes()[0]
    for word in (
        "'surname': its name looks like an identifier",
        "'born': it holds dates",
        "reads out 'label'",
    ):
        assert word in told
    own_files.write(folder, rows, {"columns": {"outcome": "category"}})
    assert own(folder).record == ("age", "sex", "outcome")


def test_codes_that_stand_for_patients_are_left_out(tmp_path, rows):
    for n, row in enumerate(rows):
        row["patient"], row["code"] = f"p{n % 7}", "tuvwxyz"[n % 7]
    folder = own_files.write(tmp_path / "own", rows)
    assert "'code': it looks like an identifier" in own(folder).notes()[0]
    own_files.write(folder, rows, {"patient": ""})
    assert "code" in own(folder).record  # each case is a patient, so that a code is of several


def test_a_column_with_decimal_commas_is_told_where_nothing_else_is_there(tmp_path):
    rows = [{"id": str(n), "label": "ab"[n % 2], "size": f"{n % 5},5"} for n in range(12)]
    with pytest.raises(
        InputError, match=r"nothing to learn .*\('size': it looks like .* decimal commas \(row 2"
    ):
        own(own_files.write(tmp_path / "own", rows)).cases  # noqa: B018


def test_the_cases_may_be_their_own_patients(tmp_path, rows):
    cases = own(own_files.write(tmp_path / "own", rows, {"patient": "id"})).cases
    assert cases["group"].tolist() == cases.index.tolist()


def test_several_tasks_come_in_the_order_of_cases_json(tmp_path, rows):
    for n, row in enumerate(rows):
        row["grade"], row["days"] = "123"[n % 3], str(n * 7)
    settled = {"tasks": {"grade": {}, "label": {}, "days": {"kind": "regression"}}}
    dataset = own(own_files.write(tmp_path / "own", rows, settled))
    told = [(task.name, task.kind) for task in dataset.tasks]
    assert told == [("grade", "multiclass"), ("label", "binary"), ("days", "regression")]
    assert dataset.record == ("age", "sex") and dataset.cases["days"].tolist() == [7.0 * n for n in range(20)]
    two = own(tmp_path / "own", classes=("3", "1"))
    assert two.tasks[0].kind == "binary" and set(two.cases["grade"]) == {"1", "3"} and len(two.cases) == 13
    with pytest.raises(InputError, match="no class of 'grade' named '4'"):
        own(tmp_path / "own", classes=("4", "1")).tasks  # noqa: B018


def broken(rows, **changes):
    """The rows with some cells changed, {column_row: cell}."""
    for key, cell in changes.items():
        column, _, row = key.rpartition("_")
        rows[int(row) - 2][column] = cell
    return rows


@pytest.mark.parametrize(
    ("changes", "settled", "sentence"),
    [
        ({"id_5": "c00"}, None, "Rows 2 and 5 of cases.csv have the same id, 'c00'; give each case its own"),
        ({"id_5": ""}, None, "Row 5 of cases.csv, column 'id', is empty"),
        ({"patient_7": "NA"}, None, "Row 7 of cases.csv, column 'patient', is empty"),
        ({"age_4": "4o"}, {"columns": {"age": "number"}}, "Row 4 of cases.csv, .* 'age', holds no number"),
        ({"age_4": "2,5"}, {"columns": {"age": "number"}}, "Row 4 .* 'age', holds '2,5', which is no number"),
        ({"age_4": "17.5.61"}, {"columns": {"age": "number"}}, "Row 4 .* 'age', holds no number"),
        ({"age_4": "Mrs Doe would not say it"}, {"columns": {"age": "number"}}, "Row 4 .* holds no number"),
        ({}, {"columns": {"agee": "number"}}, "no column in cases.csv named 'agee'; did you mean age"),
        ({}, {"columns": {"age": "nummer"}}, "no kind of column .* named 'nummer'; did you mean number"),
        ({}, {"columns": {"age": "mask of photo"}}, "no column of pictures in cases.csv named 'photo'"),
        ({}, {"columns": {"label": "number"}}, "uses the column 'label' of cases.csv in two ways"),
        ({}, {"columns": {"age": "number"}, "refused": {"age": "no"}}, "uses the column 'age' .* two ways"),
        ({}, {"colums": {}}, "no part of cases.json named 'colums'; did you mean columns"),
        ({}, {"columns": ["age"]}, "The part 'columns' of .*cases.json is an object, not"),
        ({}, {"columns": {"age": 7}}, "The part 'columns' of .*cases.json holds texts, not '7'"),
        ({}, {"id": "case"}, "no column in cases.csv named 'case'"),
        ({}, {"patient": "person"}, "no column in cases.csv named 'person'"),
        ({}, {"tasks": {"lable": {}}}, "no column in cases.csv named 'lable'; did you mean label"),
        ({}, {"tasks": {"label": {"kinds": "binary"}}}, "no setting of the task 'label' .* named 'kinds'"),
        ({}, {"tasks": {"label": "binary"}}, "The task 'label' in cases.json is written"),
        ({}, {"tasks": {"label": {"kind": "two"}}}, "no kind of task named 'two'"),
        ({}, {"tasks": {"label": {"kind": "regression", "classes": ["a"]}}}, "needs numbers .* no classes"),
        ({}, {"columns": {"age": "mask of photo", "sex": "mask of photo"}}, "no column of pictures"),
        ({}, {"tasks": {"label": {"kind": "regression"}}}, "Row 2 .* column 'label', holds no number; write"),
        ({}, {"patient": "label"}, "cases.json uses the column 'label' of cases.csv in two ways; decide"),
        ({}, {"id": "label"}, "cases.json uses the column 'label' of cases.csv in two ways; decide"),
        ({}, {"tasks": {"patient": {}}}, "cases.json uses the column 'patient' of cases.csv in two ways"),
        ({"label_9": "told by Mrs Doe on Monday"}, {"tasks": {"label": {"classes": ["no", "yes"]}}},
         r"Row 9 of cases.csv holds 'told by Mrs Doe o\.\.\.' as 'label'"),
        ({"label_9": "no & none"}, {"tasks": {"label": {"kind": "multilabel"}}},
         "Row 9 of cases.csv, column 'label', joins 'none' with a class; keep one"),
        ({}, {"tasks": {"label": {"classes": ["no", "maybe", "yes"]}}}, "the class 'maybe' .* although no"),
        ({}, {"tasks": {"label": {"classes": ["no", "yes", "no"]}}}, "lists the class 'no' of 'label' twice"),
        ({"label_9": "perhaps"}, {"tasks": {"label": {"classes": ["no", "yes"]}}},
         "Row 9 of cases.csv holds 'perhaps' as 'label', but cases.json lists the classes no, yes"),
        ({}, {"refused": {"age": "a", "sex": "b"}}, r"nothing to learn from .*\('age': a; 'sex': b\)"),
        ({}, [], "cases.json is an object like"),
    ],
)  # fmt: skip
def test_what_cannot_be_used_gets_a_sentence_that_names_it(tmp_path, rows, changes, settled, sentence):
    folder = own_files.write(tmp_path / "own", broken(rows, **changes), settled)
    with pytest.raises(InputError, match=sentence) as told:
        own(folder).cases  # noqa: B018
    assert "\n" not in str(told.value) and str(told.value).endswith((".", "?"))


@pytest.mark.parametrize("dropped", ["id", "label"])
def test_missing_columns_get_a_sentence(tmp_path, rows, dropped):
    folder = own_files.write(
        tmp_path / "own", [{k: v for k, v in row.items() if k != dropped} for row in rows]
    )
    with pytest.raises(InputError, match=f"cases.csv has no column '{dropped}'.*cases.json"):
        own(folder).cases  # noqa: B018


@pytest.mark.parametrize("name", ["type", "keys", "a.b", "record", "group", "x/y"])
def test_names_that_a_picture_cannot_have_get_a_sentence(tmp_path, name):
    folder = own_files.photos(tmp_path / "own", 8)
    table = pd.read_csv(folder / "cases.csv", dtype=str).rename(columns={"photo": name})
    table.drop(columns="photo_mask").to_csv(folder / "cases.csv", index=False)
    assert "rename the column" in own(folder).refused[name]
    (folder / "cases.json").write_text(json.dumps({"columns": {name: "image"}}))
    with pytest.raises(
        InputError, match=f"The column '{name}' of cases.csv cannot be used as image: .* rename"
    ):
        own(folder).cases  # noqa: B018


def test_a_picture_has_one_column_of_outlines(photos):
    (photos / "cases.json").write_text(json.dumps({"columns": {"age": "mask of photo"}}))
    with pytest.raises(InputError, match="Two columns of cases.csv are the mask of photo; join them"):
        own(photos).cases  # noqa: B018
    (photos / "cases.json").write_text("{}")
    table = pd.read_csv(photos / "cases.csv", dtype=str).rename(columns={"photo_mask": "mask"})
    table.to_csv(photos / "cases.csv", index=False)
    assert inferred(photos)["columns"]["mask"] == "mask of photo"  # the only picture there is
    table.assign(other=table["photo"]).to_csv(photos / "cases.csv", index=False)
    assert "of which picture is not known" in own(photos).refused["mask"]


def test_an_outline_without_a_picture_is_named(photos):
    table = pd.read_csv(photos / "cases.csv", dtype=str)
    table.loc[6, "photo"] = ""
    table.to_csv(photos / "cases.csv", index=False)
    with pytest.raises(InputError, match="Row 8 of cases.csv, column 'photo_mask', names an outline, but"):
        own(photos).cases  # noqa: B018
