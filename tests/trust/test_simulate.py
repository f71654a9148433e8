"""Simulated readers are what they are said to be, the same for the same seed, and marked as simulated."""

import json
from dataclasses import asdict

import numpy as np
import pandas as pd
import pytest

from studykit.catalog import InputError
from studykit.trust.item import Item
from studykit.trust.protocol import Protocol, drawn
from studykit.trust.recorded import recorded, studied
from studykit.trust.reliance import Reliance
from studykit.trust.simulate import COMMENTS, Crowd, expected, on_scale, simulate, simulated_events
from studykit.trust.store import Store
from studykit.trust.sus import Sus
from tests.trust.test_protocol import ANSWER, plan

ITEMS = [
    ANSWER,
    {"name": "score", "scale": "ratio", "role": "score", "low": 0, "high": 100, "asked": "both"},
    {"name": "confidence", "role": "trust", "categories": [1, 2, 3, 4, 5], "asked": "both"},
    {"name": "helpful", "categories": [1, 2, 3, 4, 5]},
    {"name": "comment", "scale": "text", "role": "comment"},
    {"name": "sus1", "role": "questionnaire", "categories": [1, 2, 3, 4, 5], "asked": "end"},
]


def ready(readers=4, cases=24, **changed):
    return drawn(Protocol.from_json(plan(readers, cases, **{"items": ITEMS, "wrong_aid": 0.25, **changed})))


def found(protocol, seed, crowd):
    """Accuracy and reliance by condition, counted by a loop over the ratings."""
    table = recorded(protocol, simulated_events(protocol, seed, crowd)).table("answer")
    rows = {}
    for row in table[table["repeat"] == 0].to_dict("records"):
        told = rows.setdefault(
            row["condition"], {"accuracy": [], "first accuracy": [], "RAIR": [], "RSR": []}
        )
        told["accuracy"].append(row["rating"] == row["truth"])
        if row["aid"] != row["aid"]:
            continue
        first_right, aid_right = row["first"] == row["truth"], row["aid"] == row["truth"]
        told["first accuracy"].append(first_right)
        if not first_right and aid_right:
            told["RAIR"].append(row["rating"] == row["truth"])
        if first_right and not aid_right:
            told["RSR"].append(row["rating"] == row["truth"])
    return rows


@pytest.mark.parametrize("two_step", [True, False])
def test_reliance_and_accuracy_are_what_they_are_said_to_be(two_step):
    protocol = ready(12, 240, two_step=two_step)
    crowd = Crowd(follows_right=0.7, follows_wrong=0.2)
    rows = found(protocol, 3, crowd)
    wanted = expected(protocol, 3, crowd)
    assert set(wanted["condition"]) == {"no aid", "prediction", "map"} and len(wanted) == 9
    for condition, statistic, value in wanted.itertuples(index=False):
        values = rows[condition][statistic]
        if not two_step and statistic != "accuracy":
            continue
        assert len(values) > 60
        error = np.sqrt(value * (1 - value) / len(values))
        assert abs(np.mean(values) - value) < 3.5 * error, (condition, statistic)
    if two_step:  # and the statistic itself says so
        table = recorded(protocol, simulated_events(protocol, 3, crowd)).table("answer")
        told = Reliance()(table[table["aid"].notna()]).set_index(["statistic", "group"])
        for condition, statistic, value in wanted[wanted["statistic"].isin(["RAIR", "RSR"])].to_numpy():
            row = told.loc[(statistic, f"condition {condition}")]
            assert row["low"] < value < row["high"]
            assert row["estimate"] == pytest.approx(np.mean(rows[condition][statistic]))
    by = wanted.set_index(["condition", "statistic"])["value"]
    assert (
        by["map", "RAIR"] > by["prediction", "RAIR"] > 0.6
        and by["map", "RSR"] > by["prediction", "RSR"] > 0.7
    )


def test_settings_move_what_they_name():
    protocol = ready(6, 60)
    usual, skilled = (expected(protocol, 0, Crowd(skill=skill)) for skill in (1.0, 3.0))
    assert (skilled["value"] > usual["value"])[skilled["statistic"] == "accuracy"].all()
    blind = expected(
        protocol, 0, Crowd(follows_right=0.999, follows_wrong=0.999, follows_spread=0, map_helps=0)
    )
    by = blind.set_index(["condition", "statistic"])["value"]
    assert by["map", "RAIR"] > 0.99 and by["map", "RSR"] < 0.01


def test_answers_fit_their_items_and_go_together():
    protocol = ready(6, 60, repeats=0.1)
    study = recorded(protocol, simulated_events(protocol, 1), simulated=True)
    assert study.notes == ("simulated: no person gave these ratings",) and study.simulated
    ratings = study.ratings
    for item in study.items.values():
        assert not any(item.refused(rating) for rating in ratings.loc[ratings["item"] == item.name, "rating"])
    assert ratings.loc[ratings["item"] == "answer", "rating"].notna().all()
    assert 0 < ratings.loc[ratings["item"] == "helpful", "rating"].isna().mean() < 0.1
    assert set(ratings.loc[ratings["item"] == "comment", "rating"].dropna()) <= set(COMMENTS)
    score, answer, sure = (study.table(name) for name in ("score", "answer", "confidence"))
    both = score.merge(answer, on=["reader", "case", "condition", "repeat"])
    both = both[both["rating_x"].notna()]
    assert ((both["rating_x"] >= 50) == (both["rating_y"] == "m")).mean() > 0.99
    right = sure.merge(answer, on=["reader", "case", "condition", "repeat"])
    right = right.assign(right=right["rating_y"] == right["truth_y"]).dropna(subset="rating_x")
    means = right.groupby("right")["rating_x"].apply(lambda values: values.astype(float).mean())
    assert means[True] > means[False] + 0.2
    helpful = study.table("helpful").dropna(subset="rating").groupby("condition")["rating"]
    means = helpful.apply(lambda values: values.astype(float).mean())
    assert set(means.index) == {"prediction", "map"} and means["map"] > means["prediction"]
    assert (answer["repeat"] == 1).sum() == 36


def test_readers_get_quicker_and_the_clock_goes_forward():
    protocol = ready(8, 60, design="fully crossed")
    table = recorded(protocol, simulated_events(protocol, 2)).table("answer")
    early, late = table[table["order"] < 20]["elapsed"], table[table["order"] >= 40]["elapsed"]
    assert np.median(early) > 1.1 * np.median(late) and np.median(table["elapsed"]) == pytest.approx(
        20, rel=0.4
    )
    for _, own in table.groupby("reader"):
        when = own.sort_values(["session", "order"])["when"]
        assert when.is_monotonic_increasing and (when.max() - when.min()).days >= 28


def test_the_same_seed_gives_the_same_events_and_another_does_not():
    protocol = ready()
    assert simulated_events(protocol, 5) == simulated_events(protocol, 5)
    other = simulated_events(protocol, 6)
    assert other != simulated_events(protocol, 5)
    clients = [event.client for event in [*other, *simulated_events(protocol, 5)]]
    assert len(set(clients)) == len(clients)


def test_it_stands_in_the_store_once_and_is_marked(tmp_path):
    store, protocol = Store(tmp_path / "r.sqlite"), ready()
    for _ in range(2):
        assert simulate(protocol, store, 5) == "plan"
    events = simulated_events(protocol, 5)
    assert store.studies()["events"].tolist() == [len(events)] and store.is_simulated("plan")
    study = studied(store, "plan")
    assert study.simulated
    pd.testing.assert_frame_equal(study.ratings, recorded(protocol, events).ratings)
    assert json.loads(store.protocol("plan"))["orders"]


def test_a_simulation_that_fails_takes_no_name_and_another_seed_says_what_to_do(tmp_path):
    store = Store(tmp_path / "r.sqlite")
    with pytest.raises(InputError, match="need the truth"):
        simulate(drawn(Protocol.from_json(plan(conditions=[{"name": "no aid"}], truth={}))), store)
    assert not len(store.studies())
    simulate(ready(), store, 4)
    with pytest.raises(InputError, match="'plan' stands there already, answered; choose another store"):
        simulate(ready(), store, 5)


def test_more_than_two_classes():
    names = [f"c{k}" for k in range(30)]
    truth = {name: "abc"[k % 3] for k, name in enumerate(names)}
    answer = {**ANSWER, "categories": ["a", "b", "c"]}
    protocol = ready(6, 30, items=[answer], truth=truth, aids=truth, positive="c")
    assert set(protocol.wrong.values()) == {"a", "b", "c"}
    rows, wanted = found(protocol, 0, Crowd()), expected(protocol)
    assert wanted["value"].between(0, 1).all() and set(rows) == {"no aid", "prediction", "map"}


def test_classes_that_are_numbers_stay_whole_numbers():
    truth = {f"c{k}": k % 2 for k in range(24)}
    answer = {**ANSWER, "categories": [0, 1]}
    protocol = ready(4, 24, items=[answer], truth=truth, aids=truth, positive=1)
    events = simulated_events(protocol)
    assert {type(event.rating) for event in events} == {int}
    study = recorded(protocol, events)
    assert set(study.table("answer")["aid"].dropna()) == {0, 1} and study.notes == ()


def test_simulated_readers_need_truth():
    with pytest.raises(InputError, match="need the truth of every case; 'c0' has none"):
        simulated_events(drawn(Protocol.from_json(plan(conditions=[{"name": "no aid"}], truth={}))))


def test_questionnaires_are_answered_by_readers_of_one_mind():
    items = [{key: value for key, value in asdict(item).items() if value} for item in Sus().asked()]
    protocol = ready(30, 24, items=[ANSWER, *items])
    study = recorded(protocol, simulated_events(protocol, 0, Crowd(skips=0)))
    grid = study.ratings[study.ratings["item"].str.startswith("sus_")]
    grid = grid.pivot(index="reader", columns="item", values="rating").astype(float)
    correlated = grid.corr()
    assert correlated.loc["sus_1", "sus_3"] > 0.3 and correlated.loc["sus_1", "sus_2"] < -0.3
    assert grid["sus_1"].mean() > 3 > grid["sus_2"].mean()


def test_on_scale():
    assert [on_scale(Item("x", categories=(1, 2, 3)), share) for share in (0.0, 0.5, 1.0)] == [1, 2, 3]
    assert on_scale(Item("x", scale="ratio", low=0, high=10), 0.52) == 5
    assert on_scale(Item("x", scale="interval", low=0, high=1), 0.5) == 0.5
    assert on_scale(Item("x", scale="ratio"), 0.5) == 50
