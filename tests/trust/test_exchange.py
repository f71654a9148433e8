"""What goes out comes back; no spreadsheet runs it; simulated stays simulated; mistakes have a row."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from studykit.catalog import InputError
from studykit.trust.exchange import anonymised, defused, export, flat, fused
from studykit.trust.imported import imported, imported_table
from studykit.trust.item import Item
from studykit.trust.keep import events_of, keep
from studykit.trust.learning import Learning
from studykit.trust.protocol import Protocol
from studykit.trust.recorded import recorded, studied
from studykit.trust.simulate import simulated_events
from studykit.trust.store import Store
from tests.trust.test_recorded import PLAN, USUAL, one
from tests.trust.test_simulate import ready

NASTY = [
    "=1+1",
    "+a",
    "-a",
    "@SUM(A1)",
    "\tx",
    "\rx",
    "'=x",
    "''+",
    "'plain",
    'a, "b"\nc\r\nd',
    "Müller 患者",
    "-",
]
ANSWERS = (
    Item("answer", scale="nominal", role="answer", categories=("b", "m"), labels=("benign", "malignant")),
)
SCORE = Item("score", scale="ratio", role="score", low=0, high=100)
GRADE = Item("grade", categories=(1, 2, 3))


def same(left, right):
    """Whether two studies hold the same; cells are compared by value."""
    for name in ("name", "title", "source", "simulated", "positive", "notes", "items"):
        assert getattr(left, name) == getattr(right, name), name
    for name in ("ratings", "cases", "aids"):
        tables = [getattr(one, name).astype(object) for one in (left, right)]
        tables = [table.where(table.notna(), None).reset_index(drop=True) for table in tables]
        pd.testing.assert_frame_equal(*tables, check_dtype=False, check_column_type=False)


@pytest.fixture(scope="module")
def study():
    protocol = ready(4, 24, repeats=0.1)
    return recorded(protocol, simulated_events(protocol, 1))


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_what_goes_out_comes_back(tmp_path, study, kind):
    path = export(study, tmp_path / "out", kind)
    assert path == tmp_path / "out" / f"ratings.{kind}"
    same(imported(tmp_path / "out"), study)


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_nasty_texts_come_back_and_no_cell_is_a_formula(tmp_path, kind):
    items = (
        Item("note", scale="text", role="comment"),
        Item("kind", scale="nominal", categories=tuple(NASTY)),
    )
    plan = Protocol(readers=tuple(NASTY), cases=tuple(NASTY), items=items, truth={}, name="nasty")
    events = [
        one("note", text, "final", f"n{k}", reader=text, case=text, condition="no aid", session=text)
        for k, text in enumerate(NASTY)
    ]
    events += [replace(event, item="kind", client=f"k{k}") for k, event in enumerate(events)]
    study = recorded(plan, events)
    path = export(study, tmp_path / "out", kind)
    same(imported(tmp_path / "out"), study)
    if kind == "csv":
        cells = pd.read_csv(path, dtype=str, keep_default_na=False).to_numpy().ravel()
        assert not [cell for cell in cells if cell[:1] in ("=", "+", "-", "@", "\t", "\r")]


@given(st.text(max_size=8) | st.sampled_from(NASTY))
def test_defusing_is_undone_whatever_the_text(text):
    safe = defused(text)
    assert safe[:1] not in tuple("=+-@\t\r") and fused(safe) == text
    assert safe == text or safe == f"'{text}"


def test_numbers_stay_numbers(tmp_path):
    study = recorded(PLAN, USUAL)
    ratings = study.ratings.assign(rating=study.ratings["rating"].replace(20, -3.5))
    items = {**study.items, "score": replace(study.items["score"], low=-100.0)}
    path = export(replace(study, ratings=ratings, items=items), tmp_path / "out")
    assert ",-3.5," in path.read_text() and "'-" not in path.read_text()
    assert -3.5 in imported(tmp_path / "out").ratings["rating"].tolist()


@pytest.mark.parametrize("kind", ["csv", "parquet"])
@pytest.mark.parametrize("anonymous", [False, True])
def test_the_mark_of_a_simulated_study_stands_everywhere(tmp_path, study, kind, anonymous):
    path = export(replace(study, simulated=True), tmp_path / "out", kind, anonymous=anonymous)
    assert "simulated" in path.name
    table = pd.read_csv(path) if kind == "csv" else pd.read_parquet(path)
    assert table["simulated"].all() and len(table)
    if kind == "parquet":
        assert json.loads(pq.read_schema(path).metadata[b"studykit"]) == {"simulated": True}
    assert json.loads((tmp_path / "out" / "study.json").read_text())["simulated"] is True
    assert imported(tmp_path / "out").simulated
    by_itself = imported_table(path, study.items.values())
    assert by_itself.simulated
    again = export(by_itself, tmp_path / "again", kind)
    assert "simulated" in again.name


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_one_mark_is_enough(tmp_path, study, kind):
    path = export(replace(study, simulated=True), tmp_path / "out", kind)
    plain = tmp_path / f"mine.{kind}"
    plain.write_bytes(path.read_bytes())  # renamed: column and metadata are left
    assert imported_table(plain, study.items.values()).simulated
    read = pd.read_csv(path, dtype=str, keep_default_na=False) if kind == "csv" else pd.read_parquet(path)
    table = read.drop(columns="simulated")
    named = tmp_path / f"a.simulated.{kind}"  # the column dropped: the name is left
    table.to_csv(named, index=False) if kind == "csv" else table.to_parquet(named)
    assert imported_table(named, study.items.values()).simulated
    table.to_csv(tmp_path / "b.csv", index=False)
    assert not imported_table(tmp_path / "b.csv", study.items.values()).simulated


def test_a_changed_export_is_not_read(tmp_path, study):
    path = export(replace(study, simulated=True), tmp_path / "out")
    about = tmp_path / "out" / "study.json"
    whole, text = about.read_text(), path.read_text()
    path.write_text(text.replace("True", "False"))
    with pytest.raises(InputError, match="ratings.simulated.csv was changed since it was exported"):
        imported(tmp_path / "out")
    path.write_text(text)
    about.write_text(whole.replace('"simulated": true', '"simulated": false'))
    with pytest.raises(InputError, match="study.json was changed"):
        imported(tmp_path / "out")
    about.write_text(whole[:40])
    with pytest.raises(InputError, match="no export of a study"):
        imported(tmp_path / "out")
    about.write_text(whole)
    path.unlink()
    with pytest.raises(InputError, match="no export of a study"):
        imported(tmp_path / "out")


def test_anonymous(tmp_path, study):
    hidden = anonymised(replace(study, notes=("3 ratings ... (the first: reader R0, ...)",)))
    assert hidden.readers == ["R01", "R02", "R03", "R04"] and "comment" not in hidden.items
    assert "comment" not in set(hidden.ratings["item"]) and "R0," not in " ".join(hidden.notes)
    assert set(hidden.ratings["when"].dropna().astype(str)) == {"2024-01-01 00:00:00+00:00"}
    assert "do not pass the plan" in hidden.notes[0] and hidden.notes[1] == "3 ratings ..."
    kept = study.ratings[study.ratings["item"] != "comment"]
    told = [table.assign(rating=table["rating"].astype(str)) for table in (kept, hidden.ratings)]
    key = ["condition", "case", "item", "repeat", "step", "rating"]
    old, new = ({reader: own[key] for reader, own in table.groupby("reader")} for table in told)
    same_as = [
        [one for one, own in old.items() if own.sort_values(key).to_numpy().tolist() == rows.sort_values(key)
         .to_numpy().tolist()]
        for rows in new.values()
    ]  # fmt: skip
    assert sorted(same_as) == [["R0"], ["R1"], ["R2"], ["R3"]]
    export(study, tmp_path / "out", anonymous=True, protocol="R0 reads first")
    text = (tmp_path / "out" / "study.json").read_text() + (tmp_path / "out" / "ratings.csv").read_text()
    assert not any(f'"{reader}"' in text for reader in study.readers) and "R0 reads" not in text


def test_neither_names_nor_rows_nor_patients_tell_who_read(study):
    cases = study.cases.assign(patient=["Ann", "Bea", "Cem", None] * 6)
    study = replace(study, cases=cases)
    drawn = [anonymised(study) for _ in range(12)]
    wanted = study.ratings[(study.ratings["reader"] == "R0") & (study.ratings["elapsed"] > 0)].iloc[0]
    names = set()
    for hidden in drawn:
        rows = hidden.ratings
        assert rows["order"].isna().all() and set(rows["session"]) == {""}
        by = rows[["reader", "condition", "case", "item", "repeat", "step"]].map(str)
        assert by.equals(by.sort_values(list(by)))
        found = rows[
            (rows["case"] == wanted["case"])
            & (rows["item"] == wanted["item"])
            & (rows["elapsed"] == round(wanted["elapsed"]))
        ]
        names.update(found["reader"])
        assert set(hidden.cases["patient"].dropna()) == {"P01", "P02", "P03"}
        assert hidden.cases["patient"].isna().tolist() == cases["patient"].isna().tolist()
    assert len(names) > 1  # the name is drawn anew each time
    table = drawn[0].table("answer")
    why = Learning()(table[table["repeat"] == 0])["why"].iloc[0]
    assert why == "no reading has a place in the session"


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_a_label_spelt_like_a_category_changes_nothing(tmp_path, kind):
    likert = Item("likert", categories=(0, 1, 2, 3, 4), labels=("1", "2", "3", "4", "5"), asked="final")
    words = Item("words", scale="nominal", categories=("a", "b"), labels=("b", "a"))
    plan = Protocol(readers=("Ada",), cases=tuple("01234"), items=(likert, words), name="labels")
    events = [one("likert", k, "final", f"{k}", case=str(k), condition="no aid") for k in range(5)]
    events += [one("words", "a", "final", "w", case="1", condition="no aid")]
    study = recorded(plan, events)
    path = export(study, tmp_path / "out", kind)
    same(imported(tmp_path / "out"), study)
    by_itself = imported_table(path, plan.items)
    assert by_itself.ratings["rating"].tolist() == [0, 1, 2, 3, 4, "a"]
    labelled = imported_table(write(tmp_path, "reader,case,item,rating\nAda,1,likert,5\n"), plan.items)
    assert labelled.ratings["rating"].tolist() == [4]


MARKS = ["True", "TRUE", "WAHR", "VRAI", "1", "1.0", "yes", " True", "x"]


@pytest.mark.parametrize("header", ["simulated", "Simulated", " simulated"])
def test_a_mark_is_seen_however_it_is_written(tmp_path, header):
    text = "reader,case,item,rating,{}\nAda,1,answer,b,{}\n"
    for mark in MARKS:
        assert imported_table(write(tmp_path, text.format(header, mark)), ANSWERS).simulated, mark
    for mark in ["", "False", "FALSCH", "faux", "0", "no", " "]:
        assert not imported_table(write(tmp_path, text.format(header, mark)), ANSWERS).simulated, mark
    named = write(tmp_path, text.format("other", ""), "A.Simulated.csv")
    assert imported_table(named, ANSWERS).simulated
    mapped = write(tmp_path, text.format("drawn", "yes"))
    assert imported_table(mapped, ANSWERS, {"simulated": "drawn"}).simulated


def test_an_import_that_cannot_be_takes_no_name(tmp_path):
    store = Store(tmp_path / "r.sqlite")
    late = [one("answer", "m", "final"), one("answer", "b", "first")]
    with pytest.raises(InputError, match="locked"):
        keep(store, "small", PLAN.text, late, simulated=False)
    assert not len(store.studies())
    store.begin("small", PLAN.text)
    store.append("small", USUAL)
    with pytest.raises(InputError, match="'small' stands there already, answered; choose another store"):
        keep(store, "small", PLAN.text, events_of(recorded(PLAN, USUAL)), simulated=False)
    other = recorded(PLAN, [one(step="final", reader="Ben")])  # of another reader: they go together
    assert keep(store, "small", PLAN.text, events_of(other), simulated=False) == 1


def test_a_long_text_comes_back(tmp_path):
    items = (Item("note", scale="text", role="comment"),)
    plan = Protocol(readers=("Ada",), cases=("1",), items=items, name="long")
    study = recorded(plan, [one("note", "x" * 200_000, "final", condition="no aid")])
    export(study, tmp_path / "out")
    same(imported(tmp_path / "out"), study)


def test_a_row_a_reading_holds_questionnaires_too(tmp_path):
    text = "reader,case,condition,answer,sus1\nAda,1,aid,b,\nAda,,,,4\n"
    study = imported_table(write(tmp_path, text), PLAN.items, protocol=PLAN)
    assert study.ratings[["case", "item", "rating"]].astype(object).fillna("").to_numpy().tolist() == [
        ["1", "answer", "b"],
        ["", "sus1", 4],
    ]


def test_an_import_stands_in_a_store_once(tmp_path, study):
    export(study, tmp_path / "out")
    back = imported(tmp_path / "out")
    protocol = ready(4, 24, repeats=0.1)
    store = Store(tmp_path / "r.sqlite")
    store.begin("plan", protocol.text)
    for _ in range(2):
        store.append("plan", events_of(back))
    again = studied(store, "plan")
    key = ["reader", "case", "condition", "item", "step", "repeat"]
    order = [table.ratings.sort_values(key, ignore_index=True) for table in (again, study)]
    same(replace(again, ratings=order[0]), replace(study, ratings=order[1]))


def write(tmp_path, text, name="mine.csv"):
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return path


def test_a_table_of_ones_own_with_columns_mapped(tmp_path):
    text = "Radiologist;Fall;item;Wert;truth\nAda;1;answer;benign;b\nAda;2;answer;m;m\nBen;1;grade;3.0;b\n"
    columns = {"reader": "Radiologist", "case": "Fall", "rating": "Wert"}
    study = imported_table(write(tmp_path, text), [*ANSWERS, GRADE], columns)
    assert study.ratings["rating"].tolist() == ["b", "m", 3] and study.readers == ["Ada", "Ben"]
    assert study.conditions == ["no aid"] and study.cases["truth"].tolist() == ["b", "m"]
    assert study.table("answer")["truth"].tolist() == ["b", "m"] and study.name == "mine"


def test_a_column_an_item(tmp_path):
    text = "reader,case,condition,answer,score,aid,wrong\nAda,1,aid,b,20,m,true\nAda,2,aid,m,,m,\n"
    study = imported_table(write(tmp_path, text), [*ANSWERS, SCORE])
    assert study.table("answer")["aid"].tolist() == ["m", "m"] and study.table("answer")[
        "wrong"
    ].tolist() == [True, False]
    assert study.table("score")["rating"].iloc[0] == 20 and study.table("score")["rating"].isna().iloc[1]


def test_parquet_of_numbers(tmp_path):
    table = pd.DataFrame(
        {"reader": ["a", "b"], "case": [1, 1], "item": "grade", "rating": [1.0, np.nan], "truth": 1}
    )
    table.to_parquet(tmp_path / "t.parquet")
    study = imported_table(tmp_path / "t.parquet", [GRADE])
    assert study.ratings["case"].tolist() == ["1", "1"] and study.table("grade")["truth"].tolist() == [1, 1]
    assert study.ratings["rating"].iloc[0] == 1 and pd.isna(study.ratings["rating"].iloc[1])


def test_a_table_for_a_protocol(tmp_path):
    text = "reader,case,condition,item,step,rating\nAda,1,aid,answer,final,b\nAda,1,aid,answer,first,m\n"
    study = imported_table(write(tmp_path, text), PLAN.items, protocol=PLAN, name="small")
    row = study.table("answer").iloc[0]
    assert (row["first"], row["rating"], row["aid"], row["truth"], row["wrong"]) == ("m", "b", "m", "b", True)
    assert [event.step for event in events_of(study)] == [
        "first",
        "final",
    ]  # or the store would refuse the first


HEAD = "reader,case,condition,item,step,repeat,elapsed,when,rating\n"
STEP = "Ada,1,aid,score,final,0"
WRONG = [
    ("reader,kase,item,rating\na,1,answer,b\n", "no column of mine.csv named 'case'; did you mean kase"),
    ("reader,case,item\na,1,answer\n", "neither a column 'rating' nor one named after an item"),
    (
        HEAD + f"{STEP},,,5\nAda,2,aid,answr,final,0,,,b\n",
        "no item (row 3 of mine.csv, column 'item') named 'answr'; did you mean answer",
    ),
    (HEAD + "Ada,1,aid,answer,final,0,,,x\n", "Row 2 of mine.csv, column 'rating': 'answer' is answered by"),
    (HEAD + f"{STEP},,,many\n", "Row 2 of mine.csv, column 'rating': a number is wanted, not 'many'"),
    (HEAD + f"{STEP},,,101\n", "column 'rating': 'score' is answered by a number from 0 to 100"),
    (HEAD + f"{STEP},,,inf\n", "a number is wanted, not 'inf'"),
    (HEAD + f"{STEP},soon,,5\n", "Row 2 of mine.csv, column 'elapsed': a number"),
    (HEAD + f"{STEP},,noon,5\n", "Row 2 of mine.csv, column 'when'"),
    (HEAD + "Ada,1,aid,score,middle,0,,,5\n", "no step (row 2 of mine.csv, column 'step') named 'middle'"),
    (HEAD + "Eda,1,aid,score,final,0,,,5\n", "column 'reader') named 'Eda'; did you mean Ada"),
    (HEAD + "Ada,7,aid,score,final,0,,,5\n", "no case (row 2"),
    (HEAD + "Ada,1,ad,score,final,0,,,5\n", "no condition (row 2"),
    (HEAD + f"{STEP},,,5\n{STEP},,,6\n", "Row 3 of mine.csv answers once more"),
    (HEAD + ",1,aid,score,final,0,,,5\n", "Row 2 of mine.csv, column 'reader' is empty; every rating"),
    ("case,item,rating\n1,answer,b\n", "no column of mine.csv named 'reader'"),
    (HEAD + "Ada,,aid,score,final,0,,,5\n", "Row 2 of mine.csv, column 'case' is empty; an item not asked"),
    (HEAD + "Ada,1,aid\n", "row 2 has 3 cells, the header 9"),
    ("", "no column of mine.csv named 'case'"),
    ('reader,case\n"a', "are no table"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "sentence"), WRONG, ids=[sentence[:40] for _, sentence in WRONG])
def test_mistakes_are_named_by_row_and_column(tmp_path, text, sentence):
    with pytest.raises(InputError) as why:
        imported_table(write(tmp_path, text), PLAN.items, protocol=PLAN)
    assert sentence in str(why.value) and "\n" not in str(why.value)


def test_files_that_are_no_table(tmp_path):
    path = tmp_path / "x.csv"
    path.write_bytes("reader,case,item,rating\nMüller,1,answer,b".encode("latin-1"))
    with pytest.raises(InputError, match="save it as CSV in UTF-8"):
        imported_table(path, ANSWERS)
    (tmp_path / "x.parquet").write_bytes(b"nonsense")
    with pytest.raises(InputError, match="are no table"):
        imported_table(tmp_path / "x.parquet", ANSWERS)
    for name in ("none.csv", "none.parquet"):
        with pytest.raises(InputError, match="cannot be read"):
            imported_table(tmp_path / name, ANSWERS)
    with pytest.raises(InputError, match="no kind of table named '.xlsx'"):
        imported_table(tmp_path / "x.xlsx", ANSWERS)
    with pytest.raises(InputError, match="did you mean reader"):
        imported_table(write(tmp_path, "a,b\n1,2\n"), ANSWERS, {"raeder": "a"})
    with pytest.raises(InputError, match="no column of mine.csv \\(meant as reader\\) named 'z'"):
        imported_table(write(tmp_path, "a,b\n1,2\n"), ANSWERS, {"reader": "z"})
    with pytest.raises(InputError, match="no kind of export named 'xls'"):
        export(recorded(PLAN, USUAL), tmp_path / "out", "xls")
    with pytest.raises(InputError, match="is there already"):
        export(recorded(PLAN, USUAL), tmp_path)


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from(["1", "=2"]), st.floats(0, 100)), max_size=12)
)
def test_any_scores_come_back(tmp_path_factory, rows):
    rows = list({row[:2]: row for row in rows}.values())
    plan = Protocol(readers=("a", "b"), cases=("1", "=2"), items=(SCORE,))
    about = {"condition": "no aid"}
    events = [one("score", v, "final", f"{r}{c}", reader=r, case=c, **about) for r, c, v in rows]
    study = recorded(plan, events)
    for kind in ("csv", "parquet"):
        folder = tmp_path_factory.mktemp("any") / "out"
        export(study, folder, kind)
        same(imported(folder), study)
    assert list(flat(study).columns)[-1] == "simulated"
