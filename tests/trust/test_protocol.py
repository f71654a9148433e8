"""A protocol is a plan that can be carried out: balanced, kept apart, drawn once, and frozen by its hash."""

import hashlib
import json
from collections import Counter

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from studykit.catalog import InputError
from studykit.trust.item import Item
from studykit.trust.protocol import Condition, Protocol, drawn, read_protocol, write_protocol
from studykit.trust.reading_order import blocks

AIDED = [
    {"name": "no aid"},
    {"name": "prediction", "shows": "prediction"},
    {"name": "map", "shows": "prediction and map", "method": "grad_cam"},
]
ANSWER = {"name": "answer", "scale": "nominal", "role": "answer", "categories": ["b", "m"], "asked": "both"}


def plan(readers=4, cases=12, **changed):
    """A protocol as a person writes it; the model is wrong on every seventh case."""
    names = [f"c{k}" for k in range(cases)]
    truth = {name: "bm"[k % 2] for k, name in enumerate(names)}
    aids = {name: "mb"[k % 2] if k % 7 == 6 else "bm"[k % 2] for k, name in enumerate(names)}
    usual = {
        "name": "plan", "readers": [f"R{k}" for k in range(readers)], "cases": names, "conditions": AIDED,
        "items": [ANSWER], "two_step": True, "truth": truth, "aids": aids, "positive": "m",
    }  # fmt: skip
    return {**usual, **changed}


def ready(*counts, **changed):
    return drawn(Protocol.from_json(plan(*counts, **changed)))


def spread(counts, known):
    """The largest difference between how often things come."""
    return max(counts[one] for one in known) - min(counts[one] for one in known)


plans = st.fixed_dictionaries(
    {
        "readers": st.integers(1, 9),
        "cases": st.integers(1, 30),
        "conditions": st.integers(1, 5),
        "seed": st.integers(0, 99),
        "repeats": st.sampled_from([0.0, 0.1, 0.5, 1.0]),
        "wrong_aid": st.sampled_from([0.0, 0.2, 0.5]),
        "design": st.sampled_from(["crossed", "fully crossed", "split plot"]),
    }
)


@settings(max_examples=80, deadline=None)
@given(plans)
def test_every_plan_is_balanced_and_keeps_readings_apart(wish):
    readers, cases = wish.pop("readers"), wish.pop("cases")
    shows = [{"name": f"k{k}", "shows": "prediction"} for k in range(wish["conditions"])]
    groups = min(2, readers, cases)
    made = ready(readers, cases, **{**wish, "conditions": shows, "groups": groups})
    conditions = [condition.name for condition in made.conditions]
    every = wish["design"] != "crossed"
    by_case = Counter()
    for reader in made.readers:
        order = made.order(reader)
        first, again = order[order["repeat"] == 0], order[order["repeat"] == 1]
        own = len(set(first["case"]))
        assert not first.duplicated(["case", "condition"] if every else "case").any()
        assert len(first) == own * (len(conditions) if every else 1)
        assert spread(Counter(first["condition"]), conditions) <= 1
        planted = first[first["case"].isin(made.wrong)]
        assert spread(Counter(planted["condition"]), conditions) <= 1
        assert len(again) == round(wish["repeats"] * own)
        assert set(zip(again["case"], again["condition"])) <= set(zip(first["case"], first["condition"]))
        if len(again):
            assert spread(Counter(again["condition"]), set(again["condition"])) <= 1
        apart = own // (2 * len(conditions))
        for _, places in order.groupby("case").groups.items():
            assert len(places) == 1 or min(np.diff(sorted(places))) >= max(1, apart)
        by_case.update(zip(first["case"], first["condition"]))
    for case in made.cases:
        assert (
            max(by_case[case, one] for one in conditions) - min(by_case[case, one] for one in conditions) <= 1
        )
    read = Counter(case for case, _ in by_case.elements())
    assert set(read) == set(made.cases) if wish["design"] != "split plot" else set(read) <= set(made.cases)
    assert json.loads(made.text) == made.to_json() and Protocol.from_json(json.loads(made.text)) == made


@pytest.mark.parametrize("count", range(1, 9))
def test_blocks_are_a_williams_design(count):
    readers = 2 * count if count % 2 else count
    rows = [blocks(count, reader) for reader in range(readers)]
    places = [Counter(row[place] for row in rows) for place in range(count)]
    assert all(set(one.values()) == {readers // count} and len(one) == count for one in places)
    follows = Counter(pair for row in rows for pair in zip(row, row[1:]))
    assert len(follows) == count * (count - 1) and len(set(follows.values())) <= 1


@pytest.mark.parametrize("count", [2, 3, 4, 5])
def test_no_group_of_cases_is_tied_to_a_place_in_the_session(count):
    readers = count if count % 2 else 2 * count
    shows = [{"name": f"k{k}", "shows": "prediction"} for k in range(count)]
    made = ready(readers, 2 * count, conditions=shows)
    met = pd.concat([made.order(reader) for reader in made.readers])
    at = Counter(zip(met["case"], met["order"] // 2))
    assert set(at.values()) == {readers // count} and len(at) == 2 * count * count


def test_no_two_readings_of_a_case_are_close_in_a_usual_plan():
    made = ready(6, 40, design="fully crossed", repeats=0.1)
    for reader in made.readers:
        order = made.order(reader)
        assert set(order["session"]) == {1, 2, 3, 4} and (order.groupby("session")["order"].min() == 0).all()
        gaps = [min(np.diff(sorted(places))) for places in order.groupby("case").groups.values()]
        assert min(gaps) >= 8 and np.median(gaps) > 20


def test_planted_aids_are_wrong_where_the_model_was_right_and_of_each_class():
    made = ready(4, 100, wrong_aid=0.2)
    assert len(made.wrong) == 20
    assert all(made.aids[case] == made.truth[case] != said for case, said in made.wrong.items())
    assert Counter(made.truth[case] for case in made.wrong) == {"b": 10, "m": 10}
    case, said = next(iter(made.wrong.items()))
    assert made.shown(case, "prediction") == said and made.shown(case, "no aid") is None


def test_a_seed_draws_the_same_and_another_draws_otherwise():
    assert ready(seed=1) == ready(seed=1) and ready(seed=1).frozen != ready(seed=2).frozen
    with pytest.raises(InputError, match="drawn already; take 'orders' and 'wrong' out"):
        drawn(ready())


def test_the_file_is_the_plan(tmp_path):
    made = ready(title="Ein Plan für Müller", repeats=0.25, wrong_aid=0.2, patients={"c0": "p1"})
    write_protocol(made, tmp_path / "plan.json")
    again = read_protocol(tmp_path / "plan.json")
    assert again == made and again.frozen == made.frozen
    assert again.frozen == hashlib.sha256(made.text.encode()).hexdigest()
    written = json.loads((tmp_path / "plan.json").read_text())
    assert written == made.to_json() and "seed" not in written  # what is as usual is left out
    written["orders"]["R0"] = written["orders"]["R0"][::-1]
    assert Protocol.from_json(written).frozen != made.frozen
    (tmp_path / "named.json").write_text(json.dumps({k: v for k, v in plan().items() if k != "name"}))
    assert read_protocol(tmp_path / "named.json").name == "named"


def test_what_is_asked_when():
    items = [
        ANSWER,
        {"name": "guess", "asked": "first"},
        {"name": "helpful"},
        {"name": "sus1", "role": "questionnaire", "asked": "end"},
    ]
    made = Protocol.from_json(plan(items=items))
    told = {c: {s: [i.name for i in made.asked(c, s)] for s in made.steps(c)} for c in ("no aid", "map")}
    assert told["no aid"] == {"final": ["answer", "guess"]}
    assert told["map"] == {"first": ["answer", "guess"], "final": ["answer", "helpful"]}
    alone = Protocol(readers=("a",), cases=("1",), items=(Item("margin"),))
    assert [item.name for item in alone.asked("no aid", "final")] == ["margin"]
    one_step = Protocol.from_json(plan(two_step=False))
    assert one_step.steps("map") == ("final",)


WRONG = [
    ({"conditons": []}, "There is no setting of the protocol named 'conditons'; did you mean conditions"),
    ({"readers": []}, "names no readers"),
    ({"readers": ["a", "a"]}, "readers name 'a' twice"),
    ({"cases": [1, 2]}, "cases are named by texts"),
    ({"cases": ["x"]}, "no case (in 'truth') named 'c0'"),
    ({"name": "a/b"}, "cannot name a file"),
    ({"design": "crosed"}, "did you mean crossed"),
    ({"design": "split plot", "groups": 9}, "1 to 4 groups, not 9"),
    ({"repeats": 2}, "'repeats' is a share"),
    ({"repeats": "half"}, "'repeats' of the protocol is a number"),
    ({"wrong_aid": 1}, "asks for 12 planted wrong aids"),
    ({"wrong_aid": 0.1, "truth": {"c0": "b"}, "positive": "b"}, "need 'truth' of every case; 11 have none"),
    ({"aids": {}}, "need 'aids' of every case; 12 have none, as 'c0'"),
    ({"aids": []}, "'aids' of a protocol is a JSON object"),
    ({"aids": {"c0": [1]}}, "write a text or a number"),
    ({"positive": "x"}, "no class (as 'positive') named 'x'; there are: "),
    ({"truth": {"c0": "q"}, "positive": "q"}, "Cases are said to be 'q', but 'answer' is answered by b, m"),
    ({"aids": {f"c{k}": "q" for k in range(12)}}, "Cases are said to be 'q'"),
    ({"seed": -1}, "a whole number from 0 on"),
    ({"readers": ["x" * 121]}, "names of at most 120 letters"),
    ({"wrong": {"c0": "b"}}, "which is right"),
    ({"conditions": [{"name": "x", "shows": "map"}]}, "thing to show in the condition 'x'"),
    ({"conditions": [{"name": "x", "shows": "prediction and map"}]}, "a 'method' names the map"),
    ({"conditions": [{"shows": "nothing"}]}, "has a 'name'"),
    ({"conditions": "all"}, "is a list of JSON objects"),
    ({"conditions": [{"name": "x", "show": "nothing"}]}, "did you mean shows"),
    ({"items": []}, "names no items"),
    ({"items": [{**ANSWER, "role": "anser"}]}, "did you mean answer"),
    ({"items": [{**ANSWER, "asked": "final"}]}, "no item is asked in the step 'final'"),
    ({"items": [ANSWER, {"name": "aid shown"}]}, "No item can be named 'aid shown'"),
    ({"orders": {"R0": []}}, "not those of its readers"),
    ({"orders": {f"R{k}": [] for k in range(4)}}, "holds no reading"),
    ({"orders": {f"R{k}": 5 for k in range(4)}}, "is a list of readings, not 5"),
    ({"orders": {f"R{k}": [["c0", "map", 0, 0]] for k in range(4)}}, "holds ['c0', 'map', 0, 0]; a reading"),
    ({"conditions": AIDED[:1], "wrong_aid": 0.2}, "shows an aid, so none can be wrong"),
    ({"items": [ANSWER, {"name": "x", "low": 0}]}, "from 0 to None; give 'low' and 'high'"),
    ({"items": [ANSWER, {"name": "x", "low": 10, "high": 0}]}, "from 10 to 0; give 'low' and 'high'"),
    ({"items": [ANSWER, {"name": "x", "low": "a", "high": 5}]}, "from 'a' to 5; give 'low' and 'high'"),
    ({"items": [ANSWER, {"name": "x", "categories": [["a"], ["b"]]}]}, "has the category ['a']"),
    ({"items": [ANSWER, {"name": "x", "categories": ["a", None]}]}, "has the category None"),
    ({"items": [ANSWER, {"name": "x", "categories": ["a", "a"]}]}, "'x' names a category twice"),
    ({"items": [ANSWER, {"name": "x", "categories": [1, "1"]}]}, "'x' names a category twice; name"),
    ({"items": [ANSWER, {"name": "x", "categories": [1, True]}]}, "'x' names a category twice; name each"),
    ({"items": [ANSWER, {"name": "x", "role": "trust", "scale": "nominal", "categories": ["a", "b"]}]},
     "'x' (trust) is answered by words without an order"),
    ({"items": [ANSWER, {"name": "x", "role": "score", "scale": "text"}]}, "(score) is answered by words"),
    ({"items": [ANSWER, {"name": "x", "questionnaire": "icc"}]}, "(of the item 'x') named 'icc'"),
    ({"items": [ANSWER, {"name": "x", "questionnaire": "suss"}]}, "did you mean sus"),
    ({"orders": {f"R{k}": [["c0", "map", 1]] for k in range(4)}}, "a reading is"),
    ({"orders": {f"R{k}": [["c0", "mop", 1, 0]] for k in range(4)}}, "which is not there"),
    ({"orders": {f"R{k}": [["c0", "map", 1, 0], ["c0", "no aid", 1, 0]] for k in range(4)}}, "twice"),
]  # fmt: skip


@pytest.mark.parametrize(("change", "sentence"), WRONG, ids=[sentence[:30] for _, sentence in WRONG])
def test_what_cannot_be_is_one_sentence(change, sentence):
    with pytest.raises(InputError) as why:
        drawn(Protocol.from_json({**plan(), **change}))
    assert sentence in str(why.value) and "\n" not in str(why.value)


def test_one_class_has_no_wrong_one():
    told = {"c0": "b", "c1": "b"}
    item = {**ANSWER, "categories": ["b"]}
    one = plan(cases=2, items=[item], truth=told, aids=told, positive="b", wrong_aid=0.5)
    with pytest.raises(InputError, match="needs a second class"):
        drawn(Protocol.from_json(one))


def test_files_that_are_no_protocol(tmp_path):
    with pytest.raises(InputError, match="There is no protocol"):
        read_protocol(tmp_path / "x.json")
    (tmp_path / "x.json").write_text("{")
    with pytest.raises(InputError, match="cannot be read as JSON"):
        read_protocol(tmp_path / "x.json")
    (tmp_path / "x.json").write_text("[1]")
    with pytest.raises(InputError, match="at least"):
        read_protocol(tmp_path / "x.json")
    with pytest.raises(InputError, match="not drawn yet"):
        Protocol.from_json(plan()).order("R0")
    with pytest.raises(InputError, match="no reader named 'Q'"):
        ready().order("Q")
    assert Condition("x").shows == "nothing"
