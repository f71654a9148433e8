"""The commands of reader studies as a person types them, and the study of the demo."""

import json
import shutil

import pandas as pd
import pytest

from studykit.__main__ import main
from studykit.trust.protocol import read_protocol
from studykit.trust.recorded import studied
from studykit.trust.results import LACKING
from studykit.trust.store import Store

NAMES = ["new", "simulate", "results", "verify", "backup", "restore", "export", "import"]


def said(capsys, *arguments):
    code = main(["study", *(str(a) for a in arguments)])
    out = capsys.readouterr()
    return code, out.out, out.err


@pytest.fixture
def planned(capsys, tmp_path):
    """A protocol drawn by the command, of 24 cases and 4 readers."""
    rows = [f"c{k},{'bm'[k % 2]},{'bm'[k % 2 if k % 5 else 1 - k % 2]},p{k // 2}" for k in range(24)]
    (tmp_path / "cases.csv").write_text("\n".join(["case,truth,aid,patient", *rows]))
    asked = ("--cases", tmp_path / "cases.csv", "--readers", "4", "--wrong-aid", "0.1", "--repeats", "0.1")
    code, out, _ = said(capsys, "new", tmp_path / "plan.json", *asked)
    assert code == 0 and "4 readers, 26 to 26 readings each" in out
    return tmp_path / "plan.json"


@pytest.mark.parametrize("name", NAMES)
def test_help_gives_an_example(capsys, name):
    with pytest.raises(SystemExit) as end:
        main(["study", name, "--help"])
    assert end.value.code == 0
    assert f"python -m studykit study {name}" in capsys.readouterr().out.split("example:")[1]


def test_from_a_table_of_cases_to_a_restored_store(capsys, tmp_path, planned):
    protocol = read_protocol(planned)
    assert [condition.name for condition in protocol.conditions] == [
        "no aid", "prediction", "prediction and grad_cam",
    ]  # fmt: skip
    assert protocol.positive == "m" and len(protocol.wrong) == 2 and protocol.patients["c3"] == "p1"
    assert protocol.readers == ("reader-1", "reader-2", "reader-3", "reader-4")
    store, copy = tmp_path / "r.sqlite", tmp_path / "copy.sqlite"
    code, out, _ = said(capsys, "simulate", planned, "--ratings", store, "--seed", 1)
    assert code == 0 and "marked as simulated" in out
    code, told, _ = said(capsys, "verify", "--ratings", store)
    assert code == 0 and "plan: " in told and "unbroken, simulated; head " in told
    head = told.split()[-1]
    assert said(capsys, "verify", "plan", "--head", head, "--ratings", store)[0] == 0
    assert said(capsys, "backup", tmp_path / "b.gz", "--ratings", store)[0] == 0
    code, out, _ = said(capsys, "restore", tmp_path / "b.gz", "--ratings", copy)
    assert code == 0 and out.startswith("plan: restored")
    assert said(capsys, "verify", "plan", "--ratings", copy)[1] == told
    pd.testing.assert_frame_equal(studied(Store(copy), "plan").ratings, studied(Store(store), "plan").ratings)


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_out_and_in_again_stays_simulated(capsys, tmp_path, planned, kind):
    store, other, folder = tmp_path / "r.sqlite", tmp_path / "other.sqlite", tmp_path / "out"
    said(capsys, "simulate", planned, "--ratings", store)
    code, out, _ = said(capsys, "export", "plan", folder, "--kind", kind, "--ratings", store)
    assert "are in a backup only" in out
    assert code == 0 and f"ratings.simulated.{kind}" in out
    code, _, err = said(capsys, "import", folder, "--ratings", store)  # where it came from
    assert code == 2 and "stands there already, answered; choose another store" in err
    code, out, _ = said(capsys, "import", folder, "--ratings", other)
    assert code == 0 and Store(other).is_simulated("plan")
    code, out, _ = said(capsys, "import", folder, "--ratings", other)
    assert code == 0 and "plan: 0 of " in out
    key = ["reader", "case", "condition", "item", "step", "repeat"]
    tables = [studied(Store(at), "plan").ratings.sort_values(key, ignore_index=True) for at in (store, other)]
    pd.testing.assert_frame_equal(*(table.drop(columns="when") for table in tables))
    hidden = tmp_path / "hidden"
    code, out, _ = said(capsys, "export", "plan", hidden, "--anonymous", "--ratings", store)
    assert code == 0 and "so do not pass the plan (protocol) on" in out
    assert "order and session left out" in (hidden / "study.json").read_text()
    code, _, err = said(capsys, "import", hidden, "--ratings", tmp_path / "x.sqlite")
    assert code == 2 and "exported without its protocol" in err
    table = folder / f"ratings.simulated.{kind}"
    code, out, _ = said(
        capsys, "import", table, "--protocol", planned, "--ratings", tmp_path / "by_table.sqlite"
    )
    assert code == 0 and Store(tmp_path / "by_table.sqlite").is_simulated("plan")


def test_a_table_of_ones_own_comes_into_a_store(capsys, tmp_path, planned, monkeypatch):
    protocol = read_protocol(planned)
    reading = protocol.orders["reader-1"][0]
    rows = f"Who,case,condition,item,rating\nreader-1,{reading.case},{reading.condition},answer,b\n"
    (tmp_path / "mine.csv").write_text(rows)
    monkeypatch.setenv("STUDYKIT_RATINGS", str(tmp_path / "mine.sqlite"))
    asked = ("import", tmp_path / "mine.csv", "--protocol", planned, "--columns")
    code, out, _ = said(capsys, *asked, "reader=Who")
    assert code == 0 and "1 of 1 ratings are new" in out
    store = Store(tmp_path / "mine.sqlite")
    assert not store.is_simulated("plan") and studied(store, "plan").table("answer")["rating"].tolist() == [
        "b"
    ]
    assert said(capsys, "verify")[0] == 0


def test_results_say_whose_ratings_they_are(capsys, tmp_path, planned):
    store = tmp_path / "r.sqlite"
    said(capsys, "simulate", planned, "--ratings", store)
    code, out, err = said(capsys, "results", "plan", "--section", "time", "--ratings", store)
    assert code == 0, err
    assert out.startswith("SIMULATED: no person gave these ratings.") and "\ntime\n" in out
    assert "plan: 4 readers, 24 cases" in out and out.count("no person gave these ratings") == 1
    plan = read_protocol(planned)  # nobody has answered
    Store(tmp_path / "empty.sqlite").begin("plan", plan.text)
    code, empty, _ = said(capsys, "results", "plan", "--ratings", tmp_path / "empty.sqlite")
    assert code == 0 and all(sentence in empty for sentence in LACKING.values())
    told = out.split("\ntime\n")[1]
    assert all(line == line.rstrip() for line in told.splitlines())


def test_one_reader_is_one_and_a_power_is_no_number(capsys, tmp_path):
    (tmp_path / "cases.csv").write_text("case\n1\n2\n")
    asked = ("--cases", tmp_path / "cases.csv", "--conditions", "nothing")
    code, out, _ = said(capsys, "new", tmp_path / "a.json", *asked, "--readers", "1")
    assert code == 0 and "a.json: 1 reader, 2 to 2 readings each" in out
    code, _, err = said(capsys, "new", tmp_path / "b.json", *asked, "--readers", "²")
    assert code == 0, err
    assert read_protocol(tmp_path / "b.json").readers == ("²",)


def test_no_password_is_printed(capsys, tmp_path, planned):
    address = f"sqlite:///{tmp_path / 'r.sqlite'}"
    said(capsys, "simulate", planned, "--ratings", address)
    said(capsys, "export", "plan", tmp_path / "out", "--ratings", address)
    said(capsys, "backup", tmp_path / "b.gz", "--ratings", address)
    for wish in (["simulate", planned], ["import", tmp_path / "out"], ["restore", tmp_path / "b.gz"]):
        address = f"sqlite:///{tmp_path / wish[0]}.sqlite"
        code, out, err = said(capsys, *wish, "--ratings", address)
        assert code == 0 and f"{wish[0]}.sqlite" in out and "sqlite://" not in out, err


def test_bad_input_is_one_sentence_and_makes_nothing(capsys, tmp_path, planned, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("STUDYKIT_RATINGS", raising=False)
    said(capsys, "simulate", planned, "--ratings", "r.sqlite")
    wrong = [
        (["results", "plan"], "There are no ratings at data/ratings.sqlite; give --ratings"),
        (["results", "pln", "--ratings", "r.sqlite"], "no study named 'pln'; did you mean plan"),
        (["results", "plan", "--section", "tim", "--ratings", "r.sqlite"], "did you mean time"),
        (["verify", "--head", "x", "--ratings", "r.sqlite"], "name the study, too"),
        (["verify", "plan", "--head", "x", "--ratings", "r.sqlite"], "kept elsewhere"),
        (["new", "plan.json", "--cases", "cases.csv", "--readers", "2"], "plan.json is there already"),
        (["new", "p.json", "--cases", "none.csv", "--readers", "2"], "none.csv cannot be read"),
        (["new", "p.json", "--cases", "cases.csv", "--readers", "a", "a"], "readers name 'a' twice"),
        (["new", "p.json", "--cases", "cases.csv", "--readers", "2", "--conditions", "maps"], "mean map"),
        (["new", "p.json", "--cases", "cases.csv", "--readers", "2", "--conditions", "map"], "a 'method'"),
        (["new", "p.json", "--cases", "cases.csv", "--readers", "2", "--conditions", "nothing",
          "--wrong-aid", "0.2"], "shows an aid, so none can be wrong"),
        (["simulate", "none.json"], "There is no protocol none.json"),
        (["simulate", tmp_path], "No run stands in"),
        (["import", "cases.csv"], "needs --protocol"),
        (["import", "cases.csv", "--protocol", "plan.json", "--columns", "x"], "is written NAME=COLUMN"),
        (["import", tmp_path], "is no export of a study"),
        (["export", "plan", tmp_path, "--ratings", "r.sqlite"], "is there already"),
        (["export", "plan", "e", "--kind", "xls", "--ratings", "r.sqlite"], "no kind of export named 'xls'"),
        (["restore", "none.gz", "--ratings", "new.sqlite"], "There is no backup none.gz"),
    ]  # fmt: skip
    before = sorted(path.name for path in tmp_path.iterdir())
    for arguments, sentence in wrong:
        code, _, err = said(capsys, *arguments)
        assert code == 2 and sentence in err and err.startswith("studykit: ") and err.count("\n") == 1, err
    assert sorted(path.name for path in tmp_path.iterdir()) == before


def test_the_demos_study_is_about_held_out_cases_and_stands_once(capsys, runs, tmp_path):
    folder = shutil.copytree(runs, tmp_path / "runs")
    for _ in range(2):
        code, out, _ = said(capsys, "simulate", folder)
        assert code == 0 and "The simulated study 'demo' stands in" in out
    store = Store(folder / "ratings.sqlite")
    study = studied(store, "demo")
    assert study.simulated and len(study.readers) == 8 and len(study.cases) == 20
    table = pd.read_parquet(runs / "fusion" / "fold-0" / "predictions.parquet").set_index("id")
    assert (table.loc[study.cases["case"], "split"] == "test").all()
    assert study.cases["truth"].tolist() == table.loc[study.cases["case"], "lesion"].tolist()
    natural = study.aids[~study.aids["wrong"].astype(bool)]
    assert natural["aid"].tolist() == table.loc[natural["case"], "lesion.predicted"].tolist()
    assert (
        study.conditions == ["no aid", "prediction", "prediction and grad_cam"]
        and study.positive == "malignant"
    )
    roles = {item.role for item in study.items.values() if item.name in set(study.ratings["item"])}
    assert roles == {"answer", "score", "trust", "opinion", "questionnaire", "comment"}
    plan = json.loads(store.protocol("demo"))
    assert len(plan["wrong"]) == 3 and study.aids["wrong"].sum() == 6
    events = store.studies()["events"].tolist()
    other = json.loads((folder / "fusion" / "fold-0" / "recipe.json").read_text())
    (folder / "fusion" / "fold-0" / "recipe.json").write_text(json.dumps({**other, "name": "another"}))
    code, out, _ = said(capsys, "simulate", folder)
    assert code == 0 and "left as it is" in out and store.studies()["events"].tolist() == events
