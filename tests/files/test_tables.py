import datetime
import io
import math
import re
import zipfile

import openpyxl
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from studykit.catalog import InputError
from studykit.files import tables
from studykit.files.tables import read_table


def written(folder, text, name="cases.csv", encoding="utf-8"):
    path = folder / name
    path.write_bytes(text.encode(encoding))
    return path


def test_cells_are_texts_and_rows_keep_their_numbers(tmp_path):
    path = written(tmp_path, 'id,age,report\nc1, 007 ,"two\nlines, and a comma"\n\n,,\nc2,5.0,\n')
    table = read_table(path)
    assert table.columns.tolist() == ["id", "age", "report"] and table.index.tolist() == [2, 5]
    assert table.loc[2].tolist() == ["c1", "007", "two\nlines, and a comma"]
    assert table.loc[5].tolist() == ["c2", "5.0", None]


@pytest.mark.parametrize("mark", [",", ";", "\t"])
@pytest.mark.parametrize("name", ["cases.csv", "cases.tsv", "cases.CSV"])
def test_the_mark_between_cells_is_found(tmp_path, mark, name):
    text = "\r\n".join(mark.join(row) for row in (["id", "größe"], ["c1", '"1,5;2\t3"'], ["c2", "x"]))
    table = read_table(written(tmp_path, text, name, "utf-8-sig"))
    assert table["größe"].tolist() == ["1,5;2\t3", "x"]


@pytest.mark.parametrize("word", ["", "NA", "n/a", "NaN", "null", ".", "#N/A", "-9", "unknown"])
def test_words_for_missing_are_missing(tmp_path, word):
    table = read_table(written(tmp_path, f"id,a\nc1,{word}\nc2,None\n"), missing=("-9", "unknown"))
    assert table["a"].tolist() == [None, "None"]  # "None" may be a finding


def test_all_kinds_of_files_say_the_same(tmp_path):
    day = datetime.datetime(2020, 5, 17)
    rows = [["c1", 7, 1.5, True, day, "ü"], ["c2", None, 3.0, False, None, "NA"]]
    frame = pd.DataFrame(rows, columns=["id", "n", "x", "yes", "day", "word"])
    frame.to_parquet(tmp_path / "cases.parquet")
    frame.to_excel(tmp_path / "cases.xlsx", index=False)
    written(tmp_path, "id,n,x,yes,day,word\nc1,7,1.5,TRUE,2020-05-17,ü\nc2,,3,FALSE,,NA\n")
    expected = read_table(tmp_path / "cases.csv")
    assert expected.loc[2].tolist() == ["c1", "7", "1.5", "TRUE", "2020-05-17", "ü"]
    for name in ("cases.parquet", "cases.xlsx"):
        pd.testing.assert_frame_equal(read_table(tmp_path / name), expected)


def test_a_named_index_in_parquet_is_a_column_and_an_unnamed_one_is_none(tmp_path):
    pd.DataFrame({"a": [1, 2]}, index=pd.Index(["c1", "c2"], name="id")).to_parquet(tmp_path / "a.parquet")
    assert read_table(tmp_path / "a.parquet")["id"].tolist() == ["c1", "c2"]
    pd.DataFrame({"a": [1, 2]}, index=["c1", "c2"]).to_parquet(tmp_path / "b.parquet")
    assert read_table(tmp_path / "b.parquet").columns.tolist() == ["a"]


def book(path, rows, title="Sheet", second=None):
    made = openpyxl.Workbook()
    made.active.title = title
    for row in rows:
        made.active.append(row)
    if second:
        for row in second:
            made.create_sheet("cases") if "cases" not in made.sheetnames else None
            made["cases"].append(row)
    made.save(path)
    return path


def test_the_sheet_cases_is_read_or_the_first(tmp_path):
    first, second = [["id", "a"], ["c1", 1]], [["id", "b"], ["c2", 2]]
    assert read_table(book(tmp_path / "a.xlsx", first))["a"].tolist() == ["1"]
    assert read_table(book(tmp_path / "b.xlsx", first, second=second))["b"].tolist() == ["2"]


def test_rows_of_a_sheet_may_end_early(tmp_path):
    path = book(tmp_path / "a.xlsx", [["id", "a", "b"], ["c1", 1, None], ["c2", None, 2], ["c3"]])
    assert read_table(path)["b"].tolist() == [None, "2", None]


def test_a_formula_is_its_computed_value_or_a_sentence(tmp_path):
    path = book(tmp_path / "a.xlsx", [["id", "a"], ["c1", 1], ["c2", "=B2+41"]])
    with pytest.raises(InputError, match="Row 3 of a.xlsx holds a formula without a computed value; open"):
        read_table(path)
    uncomputed = path.read_bytes()
    for computed, expected in (
        (b'<c r="B3"><f>=B2+41</f><v>42</v>', "42"),
        (b'<c r="B3" t="str"><f>""</f><v/>', None),
    ):
        out = io.BytesIO()
        with zipfile.ZipFile(io.BytesIO(uncomputed)) as old, zipfile.ZipFile(out, "w") as new:
            for name in old.namelist():
                new.writestr(name, re.sub(rb'<c r="B3">.*?<v ?/>', computed, old.read(name)))
        path.write_bytes(out.getvalue())  # as Excel saves it
        assert read_table(path)["a"].tolist() == ["1", expected]


def test_errors_of_excel_are_told(tmp_path):
    path = book(tmp_path / "a.xlsx", [["id", "a"], ["c1", "#N/A"], ["c2", "#DIV/0!"]])
    with pytest.raises(InputError, match=r"Row 3 of a.xlsx holds the error #DIV/0!"):
        read_table(path)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "is empty; its first row names the columns"),
        ("\n\nid\n", "is empty; its first row"),
        ("id,age\n", "has no rows below its header"),
        ("id,age\n,\n\n", "has no rows below its header"),
        ("id,age,age\nc1,2,3\n", "cases.csv has two columns 'age'"),
        ("id,age\nc1,2\nc2,3,4\n", "Row 3 of cases.csv has 3 cells, the header 2; mend the row"),
        ("id,age\nc1,2\n\nc2\n", "Row 4 of cases.csv has 1 cells, the header 2"),
        ('id,age\nc1,2\nc2,"3\n', "Row 3 of cases.csv cannot be read .*; check its quotation marks"),
        ('id,age\nc1,"2"x\n', "Row 2 of cases.csv cannot be read"),
        ("id,age\nc1,2\0\n", "Row 2 of cases.csv holds letters that are not written in UTF-8"),
    ],
)
def test_what_is_no_table_gets_a_sentence(tmp_path, text, sentence):
    with pytest.raises(InputError, match=sentence):
        read_table(written(tmp_path, text))


def test_a_column_without_a_name_is_called_by_its_number(tmp_path):
    table = read_table(written(tmp_path, ",id,,age\n0,c1,2,3\n"))
    assert table.columns.tolist() == ["column 1", "id", "column 3", "age"]


def test_empty_cells_behind_the_last_column_are_none(tmp_path):
    table = read_table(written(tmp_path, "id,age,,\nc1,2,,\nc2,3,\n"))
    assert table.columns.tolist() == ["id", "age"] and table["age"].tolist() == ["2", "3"]


def test_names_of_columns_stand_on_one_line(tmp_path):
    assert read_table(written(tmp_path, 'id," age\n\u00a0at  scan "\nc1,2\n')).columns[1] == "age at scan"


@pytest.mark.parametrize("encoding", ["latin-1", "utf-16", "utf-16-le", "cp1252"])
def test_another_encoding_is_named_with_its_row(tmp_path, encoding):
    text = 'id,size\nc1,"1\n2"\nc2,grö\xdfe\n'
    row = {"utf-16": 1, "utf-16-le": 1}.get(encoding, 3)
    with pytest.raises(
        InputError, match=rf"Row {row} of cases.csv holds .* \(byte \d+ .*save it as 'CSV UTF-8'"
    ):
        read_table(written(tmp_path, text, encoding=encoding))


@pytest.mark.parametrize("name", ["cases.xlsx", "cases.parquet"])
def test_broken_files_get_a_sentence(tmp_path, name):
    path = tmp_path / name
    frame = pd.DataFrame({"id": [f"c{n}" for n in range(50)], "a": range(50)})
    frame.to_parquet(path) if name.endswith("parquet") else frame.to_excel(path, index=False)
    whole = path.read_bytes()
    for data in (b"", b"id,a\nc1,2\n", whole[:100], whole[: len(whole) // 2], whole[:-20]):
        path.write_bytes(data)
        with pytest.raises(InputError, match=f"The table .*{name} is broken or of another kind"):
            read_table(path)


def test_lists_in_cells_are_refused(tmp_path):
    pd.DataFrame({"id": ["c1"], "a": [[1, 2]]}).to_parquet(tmp_path / "cases.parquet")
    with pytest.raises(InputError, match="The column 'a' of cases.parquet holds list"):
        read_table(tmp_path / "cases.parquet")


def test_files_that_grow_when_unpacked_are_refused(tmp_path, monkeypatch):
    packed = tmp_path / "cases.xlsx"
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("xl/worksheets/sheet1.xml", b"0" * (2**20))
    monkeypatch.setattr(tables, "MOST_BYTES", 2**19)
    assert packed.stat().st_size < 2**12
    with pytest.raises(InputError, match=r"The table .*cases.xlsx is larger than"):
        read_table(packed)
    pd.DataFrame({"id": ["c" * 1000] * 5000}).to_parquet(tmp_path / "cases.parquet")
    monkeypatch.setattr(tables, "MOST_CELLS", 4000)
    with pytest.raises(InputError, match=r"The table .*cases.parquet is larger than"):
        read_table(tmp_path / "cases.parquet")
    with pytest.raises(InputError, match=r"The table .*cases.csv is larger than"):
        read_table(written(tmp_path, "id\n" + "c\n" * 2**19))


def test_a_cell_far_away_does_not_make_a_huge_table(tmp_path, monkeypatch):
    made = openpyxl.Workbook()
    made.active["A1"], made.active["A2"], made.active["B1048576"] = "id", "c1", 1
    made.save(tmp_path / "cases.xlsx")
    monkeypatch.setattr(tables, "MOST_CELLS", 10_000)
    with pytest.raises(InputError, match="is larger than"):
        read_table(tmp_path / "cases.xlsx")


def test_missing_files_and_other_kinds_get_a_sentence(tmp_path):
    with pytest.raises(InputError, match=r"no kind of table named '.xls'; did you mean .xlsx"):
        read_table(tmp_path / "cases.xls")
    with pytest.raises(InputError, match=r"The table .*cases.csv cannot be read \(No such file"):
        read_table(tmp_path / "cases.csv")


@settings(max_examples=150, deadline=None, derandomize=True, database=None)
@given(st.one_of(st.binary(max_size=80), st.text('abc,;"\n\r\t ü', max_size=80).map(str.encode)))
def test_any_bytes_give_a_table_or_a_sentence(tmp_path_factory, data):
    path = tmp_path_factory.getbasetemp() / "bytes.csv"
    path.write_bytes(data)
    try:
        table = read_table(path)
    except InputError as why:
        assert "bytes.csv" in str(why)
    else:
        assert len(table) and table.columns.is_unique and table.index.min() >= 2
        assert all(cell is None or cell for cell in table.to_numpy().ravel())


@settings(max_examples=60, deadline=None, derandomize=True, database=None)
@given(st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(10**15), 10**15))
def test_numbers_lose_nothing(number):
    assert math.isclose(float(tables._text(number)), number, rel_tol=0, abs_tol=0)
