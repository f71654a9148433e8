"""The filter of cases against its definition, case by case; the table that shows what passes."""

import io

import numpy as np
import pandas as pd
import panel_material_ui as pmui
import pytest

from studykit.case import Task
from studykit.ui import CaseFilter, CaseTable, Keys, Session
from studykit.ui import read_cases as reading
from studykit.ui.case_filter import ANY, CHOSEN, READ
from studykit.ui.case_table import ROWS
from studykit.ui.saved_filters import SavedFilters

HOSTILE = "<img src=x onerror=window.hacked=1>"
CLASSES = ("benign", "malignant")


def cases(count, folds=3, seed=0):
    """A table as Session.cases has it."""
    draw = np.random.default_rng(seed)
    p = draw.random(count)
    entropy = -(p * np.log(p) + (1 - p) * np.log(1 - p)) / np.log(2)
    label = pd.Series(draw.choice(CLASSES, count)).where(draw.random(count) > 0.1)
    said = pd.Series(np.where(p >= 0.5, "malignant", "benign"))
    ids, groups = [f"Case-{k:05d}" for k in range(count)], [f"patient-{k // 2:05d}" for k in range(count)]
    table = pd.DataFrame({"id": ids, "group": groups, "label": label, "predicted": said, "p": p})
    wrong = label.notna() & (label != said)
    return table.assign(wrong=wrong, uncertainty=entropy, fold=np.arange(count) % folds)


def seeing(runs, *tables):
    """A session whose models have these cases."""
    session = Session(runs)
    found = dict(zip(session.runs, [*tables, *[tables[-1]] * len(session.runs)]))
    session.cases_of = found.__getitem__
    session._offer()
    return session


def passes(row, chosen, quarter, read):
    """The definition, for one case."""
    told = isinstance(row["label"], str)
    if chosen["label"] != ANY and row["label"] != chosen["label"]:
        return False
    if chosen["predicted"] != ANY and row["predicted"] != chosen["predicted"]:
        return False
    if chosen["fold"] != ANY and str(row["fold"]) != chosen["fold"]:
        return False
    if chosen["find"].lower() not in row["id"].lower() and chosen["find"].lower() not in row["group"].lower():
        return False
    if chosen["doubt"] and not row["uncertainty"] >= chosen["doubt"]:
        return False
    shown = {
        "all cases": True,
        "wrong predictions": told and row["label"] != row["predicted"],
        "right predictions": told and row["label"] == row["predicted"],
        "unlabelled": not told,
        "most doubtful": row["uncertainty"] >= quarter,
    }
    return shown.get(chosen["show"], row["id"] in read)


@pytest.mark.parametrize("show", CaseFilter.param.show.objects)
def test_what_is_kept_is_what_the_definition_keeps(runs, show, monkeypatch):
    table, draw = cases(200), np.random.default_rng(7)
    read = frozenset(table["id"].iloc[10:90])
    monkeypatch.setattr(reading, "ready", lambda session: dict.fromkeys(READ, read))
    chosen = CaseFilter(seeing(runs, table))
    quarter, some = np.percentile(table["uncertainty"], 75), 0
    for _ in range(25):
        asked = {
            "show": show,
            "label": draw.choice([ANY, *CLASSES]),
            "predicted": draw.choice([ANY, *CLASSES]),
            "fold": draw.choice([ANY, ANY, "0", "2"]),
            "find": draw.choice(["", "", "case-0001", "PATIENT-0000", "7", "nobody"]),
            "doubt": float(draw.choice([0, 0, 0.3, 0.95])),
        }
        assert chosen.ask({name: str(one) if name != "doubt" else one for name, one in asked.items()}) == []
        wanted = [row["id"] for _, row in table.iterrows() if passes(row, asked, quarter, read)]
        assert chosen.kept()["id"].tolist() == wanted
        assert chosen.told().startswith(f"{len(wanted)} of 200 cases: " if chosen.asked else "200 cases")
        some += 0 < len(wanted) < 200
    assert some > 5, "filters that keep all or nothing prove nothing"


def test_the_ready_sets_have_the_names_of_the_readers_own():
    assert set(READ) == {reading.DISAGREE, reading.FOLLOW, reading.BELIEVE}


def test_what_a_model_does_not_offer_is_put_back_at_once(runs):
    session = seeing(runs, cases(60), cases(40, folds=1))
    chosen, seen = CaseFilter(session, fold="2", label="benign"), []
    assert 0 < len(chosen.kept()) < 60
    chosen.param.watch(lambda event: seen.append(event.new), "chosen")
    session.model = list(session.runs)[1]
    assert (chosen.fold, chosen.label) == (ANY, "benign") and list(chosen.param.fold.objects) == [ANY, "0"]
    assert [one[0] for one in seen] == [session.model], "one change, for what fits together"
    assert set(chosen.kept()["label"]) == {"benign"} and len(session.cases) == 40


def test_one_class_of_several(runs, monkeypatch):
    table = cases(6).assign(
        label=["a", "a & b", "none", None, "bb", "b&a"], predicted=["", "b", "a&b", "a", "", "a"]
    )
    monkeypatch.setattr(CaseFilter, "_task", Task("found", "multilabel", ("a", "b", "bb")))
    chosen = CaseFilter(seeing(runs, table), label="a")
    assert chosen.kept().index.tolist() == [0, 1, 5]
    chosen.ask({"predicted": "b"})
    assert chosen.kept().index.tolist() == [1, 2]


def test_numbers_have_neither_classes_nor_doubt(numbers):
    table = CaseTable(Session(numbers))
    assert not (table.filter._classes or table.filter._doubts or table.filter._folds)
    table.filter.show = "most doubtful"
    assert "Doubt is told where a model chooses" in table._empty.object and table._empty.visible
    assert table.table.hidden_columns == ["p", "uncertainty", "fold"]
    assert table.download().read().startswith("id,")


def test_doubt_is_put_back_on_a_model_that_tells_none(runs):
    session = seeing(runs, cases(60), cases(40).assign(uncertainty=np.nan))
    chosen, (one, other, *_) = CaseFilter(session, doubt=0.5), session.runs
    assert 0 < len(chosen.kept()) < 60
    session.model = other
    assert chosen.doubt == 0 and len(chosen.kept()) == 40 and chosen.asked == {}
    assert chosen.ask({"doubt": 0.5}) == ["doubt"] and chosen.ask({"doubt": 0}) == []
    chosen.doubt = 0.5  # by an address
    assert len(chosen.kept()) == 40
    session.model = one
    assert chosen.ask({"doubt": 0.5}) == [] and 0 < len(chosen.kept()) < 60


def test_an_empty_choice_says_what_to_run(runs, monkeypatch):
    session = seeing(runs, cases(20).assign(wrong=False))
    table = CaseTable(session)
    for show in READ:
        table.filter.show = show
        assert "python -m studykit study simulate" in table._empty.object and table._empty.visible
    monkeypatch.setattr(reading, "ready", lambda session: dict.fromkeys(READ, frozenset()))
    assert table.filter.why() == READ[table.filter.show]
    table.filter.show = "wrong predictions"
    assert "wrong in none" in table._empty.object
    table.filter.ask({"find": HOSTILE})
    assert "Clear the filter" in table._empty.object and "<img" not in table._count.object
    table.filter.clear()
    assert not table._empty.visible and table.filter.asked == {} and len(table.seen) == 20


def test_a_saved_filter_may_hold_anything(runs):
    chosen = CaseFilter(seeing(runs, cases(30)))
    kept = SavedFilters(chosen)
    sent = []
    kept._send_msg = sent.append
    kept._handle_msg(
        {"show": "unlabelled", "label": HOSTILE, "doubt": 7, "find": 3, "session": None, "x": []}
    )
    assert chosen.asked == {"show": "unlabelled"}
    assert all(name in sent[0]["note"] for name in ("label", "doubt", "find", "session", "x"))
    kept._handle_msg("present")
    kept._handle_msg("nonsense")
    assert chosen.asked == {} and sent[1:] == [{"present": {"show": "unlabelled"}}, {"note": ""}]
    kept._handle_msg({"doubt": True, "fold": "1"})
    assert chosen.asked == {"fold": "1"}


def test_only_a_page_of_the_rows_travels(runs):
    session = seeing(runs, cases(10_000))
    table = CaseTable(session)
    model = table.table.get_root()
    assert len(model.source.data["id"]) == ROWS and model.max_page == -(-10_000 // ROWS)
    table.filter.label = "benign"
    kept = session.cases["label"] == "benign"
    assert set(model.source.data["label"]) == {"benign"} and len(model.source.data["id"]) == ROWS
    assert model.max_page == -(-kept.sum() // ROWS) and "0 of" not in table._count.object[:30]
    session.case = wanted = session.cases.loc[kept, "id"].iloc[5000 // 2]
    at = model.source.selected.indices
    assert len(at) == 1 and model.source.data["id"][at[0]] == wanted and table.table.page == 2500 // ROWS + 1


def test_next_goes_on_through_the_pages_in_the_order_that_is_seen(runs):
    session = seeing(runs, cases(100))
    table = CaseTable(session)
    model = table.table.get_root()
    table.filter.show = "wrong predictions"
    table.table.sorters = [{"field": "uncertainty", "dir": "desc"}]
    wrong = session.cases[session.cases["wrong"]]
    order = wrong.sort_values("uncertainty", ascending=False)["id"].tolist()
    assert len(order) > 2 * ROWS and table.seen["id"].tolist() == order
    session.case = order[0]
    for wanted in [*order[1:], order[0], order[1]]:
        table.step(+1)
        at = model.source.selected.indices
        assert session.case == wanted and [model.source.data["id"][k] for k in at] == [wanted]
    table.step(-1)
    table.step(-1)
    assert session.case == order[-1] and table.table.page == model.max_page
    table.table.sorters = []
    assert table.table.page == 1, "whoever sorts sees what comes first"
    session.case = session.cases.loc[~session.cases["wrong"], "id"].iloc[0]  # not among those that are seen
    assert table.table.selection == []
    table.step(-1)
    assert session.case == wrong["id"].iloc[-1]


def test_another_model_brings_its_own_cases(runs):
    larger, smaller = cases(100), cases(20, folds=1, seed=1)
    session = seeing(runs, larger, smaller)
    table, (one, other, *_) = CaseTable(session), session.runs
    model = table.table.get_root()
    session.case = larger["id"].iloc[97]
    table.filter.fold = "1"
    session.case = larger["id"].iloc[94]
    for chosen, mine in [(other, smaller), (one, larger), (other, smaller)]:
        session.model = chosen
        assert table.seen["id"].tolist() == mine["id"].tolist() and (
            "fold" in table.table.hidden_columns
        ) == (chosen == other)
        at = model.source.selected.indices
        assert [model.source.data["id"][k] for k in at] == [session.case] and session.case in set(mine["id"])
        assert model.source.data["p"][at[0]] == mine.set_index("id").at[session.case, "p"]


def test_a_page_with_keys_leaves_the_steps_out(runs):
    def labels(table):
        return {button.label for button in table.__panel__().select(pmui.Button)}

    with_steps, without = labels(CaseTable(Session(runs))), labels(CaseTable(Session(runs), steps=False))
    assert with_steps - without == {"Previous", "Next"} and without


def test_a_click_opens_the_row_that_is_seen(runs):
    from panel.models.tabulator import CellClickEvent

    session = seeing(runs, cases(100))
    table = CaseTable(session)
    model = table.table.get_root()
    table.table.sorters = [{"field": "p", "dir": "asc"}]
    table.table.page = 3
    wanted = model.source.data["id"][4]
    for _ in range(2):
        table.table._process_event(CellClickEvent(model, column="id", row=4))
        assert session.case == wanted and model.source.selected.indices == [4]


def test_the_file_holds_what_is_seen(runs):
    mine = cases(50).assign(group="=1+1")
    session = seeing(runs, mine)
    table = CaseTable(session)
    table.filter.ask({"show": "right predictions", "predicted": "benign"})
    table.table.sorters = [{"field": "p", "dir": "desc"}]
    told = pd.read_csv(io.StringIO(table.download().read()))
    right = mine[(mine["label"] == mine["predicted"]) & (mine["predicted"] == "benign")]
    assert told["id"].tolist() == right.sort_values("p", ascending=False)["id"].tolist()
    assert set(told["group"]) == {"'=1+1"} and set(told["model"]) == {session.model}
    assert {"p", "wrong", "uncertainty", "fold", "label"} <= set(told)


def test_what_the_address_carries_is_all_of_the_filter(runs):
    chosen = CaseFilter(seeing(runs, cases(30)))
    asked = {
        "show": "unlabelled",
        "label": "benign",
        "predicted": "malignant",
        "fold": "1",
        "find": "c",
        "doubt": 0.5,
    }
    assert chosen.ask(asked) == [] and chosen.asked == asked and list(asked) == list(CHOSEN)
    assert chosen.told(3) == (
        "3 of 30 cases: unlabelled, label benign, predicted malignant, held out in fold 1, named like 'c', "
        "doubt 0.5 or more"
    )


def test_keys_call_what_they_were_given():
    gone = []
    keys = Keys(on_next=lambda: gone.append("next"), on_previous=lambda: gone.append("previous"))
    for sent in ("next", "previous", "next", "elsewhere", {"next": 1}, None):
        keys._handle_msg(sent)
    assert gone == ["next", "previous", "next"] and keys.answered == 6
    assert not keys.everywhere, "in a notebook cell keys are not taken from others"
    assert keys.steps and not Keys().steps
