"""Of all that happened, the ratings that count: last corrections and locked first answers."""

import sqlite3
from contextlib import closing
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from studykit.catalog import InputError
from studykit.trust.event import SHOWN, Event
from studykit.trust.protocol import Protocol
from studykit.trust.reading_order import Reading
from studykit.trust.recorded import recorded, studied
from studykit.trust.store import Store

PLAN = Protocol.from_json(
    {
        "name": "small", "title": "A small study", "readers": ["Ada", "Ben"], "cases": ["1", "2"],
        "conditions": [{"name": "no aid"}, {"name": "aid", "shows": "prediction"}], "two_step": True,
        "items": [
            {"name": "answer", "scale": "nominal", "role": "answer", "categories": ["b", "m"],
             "asked": "both"},
            {"name": "score", "scale": "ratio", "role": "score", "low": 0, "high": 100, "asked": "both"},
            {"name": "sus1", "role": "questionnaire", "categories": [1, 2, 3, 4, 5], "asked": "end"},
        ],
        "truth": {"1": "b", "2": "m"}, "aids": {"1": "m", "2": "m"}, "positive": "m", "wrong": {"1": "m"},
        "patients": {"1": "p"},
    }
)  # fmt: skip


def one(item="answer", rating="b", step="first", client="", **more):
    about = {"reader": "Ada", "case": "1", "condition": "aid", "elapsed": 9.0, **more}
    return Event(item=item, rating=rating, step=step, client=client or f"{item} {step}", **about)


USUAL = [
    one(time="2024-01-08T09:00:00+00:00"),
    one("score", 20),
    one(SHOWN, "m", "shown"),
    one("answer", "m", "final"),
    one("score", 70, "final"),
]


def rating(study, item, step="final"):
    found = study.ratings[(study.ratings["item"] == item) & (study.ratings["step"] == step)]
    assert len(found) == 1
    return found.iloc[0]


def test_a_study_as_statistics_take_it():
    study = recorded(PLAN, USUAL)
    assert (study.name, study.title, study.positive, study.simulated) == (
        "small",
        "A small study",
        "m",
        False,
    )
    assert study.notes == () and len(study.ratings) == 4 and SHOWN not in set(study.ratings["item"])
    row = study.table("answer").iloc[0]
    assert [row[name] for name in ("first", "rating", "truth", "aid", "wrong", "patient")] == [
        "b", "m", "b", "m", True, "p",
    ]  # fmt: skip
    assert rating(study, "answer", "first")["when"] == pd.Timestamp("2024-01-08T09:00:00Z")
    assert study.cases.to_dict("list") == {"case": ["1", "2"], "patient": ["p", "2"], "truth": ["b", "m"]}
    assert study.aids["condition"].tolist() == ["aid", "aid"] and study.aids["wrong"].tolist() == [
        True,
        False,
    ]


def test_the_last_correction_counts_and_the_time_of_the_first_answer():
    fixes = [
        one("score", 60, "final", "fix 1", elapsed=1.0, corrects="score final", reason="typed wrong"),
        one("score", 65, "final", "fix 2", elapsed=2.0, corrects="fix 1", reason="again"),
    ]
    for given in (fixes, [fixes[0], replace(fixes[1], corrects="score final")]):
        found = rating(recorded(PLAN, [*USUAL, *given]), "score")
        assert found["rating"] == 65 and found["elapsed"] == 9.0
    taken_back = one("score", None, "final", "fix 3", corrects="fix 2", reason="not sure at all")
    study = recorded(PLAN, [*USUAL, *fixes, taken_back])
    assert pd.isna(rating(study, "score")["rating"]) and study.notes == ()


def test_a_correction_may_name_another_case():
    moved = one("score", 70, "final", "fix", case="2", corrects="score final", reason="wrong case")
    study = recorded(PLAN, [*USUAL, moved])
    assert rating(study, "score")["case"] == "2" and study.notes == ()


def test_a_first_answer_is_locked_once_the_aid_was_shown():
    late = one("answer", "m", "first", "late", corrects="answer first", reason="changed my mind")
    study = recorded(PLAN, [*USUAL, late])
    assert rating(study, "answer", "first")["rating"] == "b"
    assert study.notes == (
        "1 ratings came as first answers when the aid was shown already; they are left out "
        "(the first: reader Ada, case 1, item answer)",
    )
    other = replace(late, condition="no aid", corrects="", reason="")  # another reading is not locked by it
    assert recorded(PLAN, [*USUAL, other]).notes == ()


def test_a_second_answer_that_corrects_nothing_does_not_count():
    study = recorded(PLAN, [*USUAL, one("answer", "b", "final", "again")])
    assert rating(study, "answer")["rating"] == "m"
    assert "had been answered before" in study.notes[0]


def test_skipped_and_refused_ratings_are_missing():
    study = recorded(
        PLAN, [one("score", None), one("answer", "x"), one("sus1", 9, "end", case="", condition="")]
    )
    assert study.ratings["rating"].isna().all() and len(study.ratings) == 3
    assert len(study.notes) == 1 and study.notes[0].startswith("2 ratings are no answers to their items")


def test_what_the_protocol_does_not_name_is_left_out_with_a_note():
    strange = [
        one(reader="Eve"),
        one(case="9"),
        one(condition="x"),
        one("size", 3),
        one(case="", condition=""),
    ]
    strange = [replace(event, client=str(k)) for k, event in enumerate(strange)]
    study = recorded(PLAN, [*strange, one()])
    assert len(study.ratings) == 1 and "5 ratings are about what the protocol does not name" in study.notes[0]


ORDERED = replace(
    PLAN,
    orders={
        "Ada": (Reading("1", "aid", 1, 0), Reading("2", "no aid", 1, 0)),
        "Ben": (Reading("1", "no aid", 1, 0), Reading("2", "aid", 1, 0)),
    },
)


def test_only_planned_readings_and_asked_questions_count():
    usual = [*USUAL, one("sus1", 4, "end", case="", condition="")]
    study = recorded(ORDERED, usual)
    assert study.notes == () and len(study.ratings) == 5
    unplanned = [
        one(step="final", condition="no aid"),
        one(step="first", repeat=5),
        one(SHOWN, "m", "shown", case="2"),
    ]
    unasked = [
        one("answer", "m", "first", case="2", condition="no aid"),
        one("answer", "m", "end", case="", condition=""),
        one("sus1", 4, "final"),
        one("sus1", 4, "end"),
        one(SHOWN, "m", "shown", case="2", condition="no aid"),
    ]
    more = [replace(event, client=f"x{k}") for k, event in enumerate([*unplanned, *unasked])]
    again = recorded(ORDERED, [*usual, *more])
    pd.testing.assert_frame_equal(again.ratings, study.ratings)
    assert [note.split(";")[0] for note in again.notes] == [
        "3 ratings are of readings that were not planned",
        "5 ratings answer what is not asked in that step",
    ]


def test_a_time_below_nothing_is_missing():
    study = recorded(PLAN, [one(elapsed=-5.0), one("score", 3, elapsed=2.0)])
    assert study.ratings["elapsed"].isna().tolist() == [True, False] and study.ratings["rating"].notna().all()
    assert study.notes[0].startswith("1 ratings took less than no time; how long counts as missing")


def test_a_changed_mark_is_seen(tmp_path):
    store = Store(tmp_path / "r.sqlite")
    store.begin("small", PLAN.text, simulated=True)
    with closing(sqlite3.connect(tmp_path / "r.sqlite")) as file:
        file.execute("drop trigger studies_no_update")
        file.execute("update studies set simulated = 0")
        file.commit()
    with pytest.raises(InputError, match="the study's own row was changed"):
        studied(store, "small")


def test_the_questionnaire_at_the_end_has_no_case():
    study = recorded(PLAN, [*USUAL, one("sus1", 4, "end", case="", condition="")])
    found = study.table("sus1")
    assert found["rating"].tolist() == [4] and found["case"].isna().all()
    assert study.conditions == ["aid"]


def test_conditions_come_in_the_protocols_order():
    events = [one(step="final"), one(step="final", condition="no aid", client="x")]
    assert recorded(PLAN, events).conditions == ["no aid", "aid"]


def test_no_ratings_at_all():
    study = recorded(PLAN, [])
    assert len(study.ratings) == 0 and study.readers == [] and study.conditions == []


@pytest.mark.parametrize("simulated", [False, True])
def test_from_a_store(tmp_path, simulated):
    store = Store(tmp_path / "r.sqlite")
    assert store.begin("small", PLAN.text, simulated=simulated) == PLAN.frozen
    fix = one("score", 60, "final", "fix", corrects="score final", reason="typed wrong")
    store.append("small", [*USUAL, fix])
    study = studied(store, "small")
    told = recorded(PLAN, [*USUAL, fix]).ratings
    pd.testing.assert_frame_equal(study.ratings.drop(columns="when"), told.drop(columns="when"))
    assert told["when"].isna().sum() == 3 and study.ratings["when"].notna().all()  # the store's own clock
    assert study.simulated is simulated and (len(study.notes) == 1) is simulated
    with pytest.raises(InputError, match="no study named 'smal'"):
        studied(store, "smal")


def test_against_a_slow_twin():
    """Random answers and corrections, told in order by a loop."""
    rng = np.random.default_rng(0)
    events, current = [], {}
    for number in range(400):
        key = ("Ada", str(rng.integers(1, 3)), rng.choice(["no aid", "aid"]), rng.choice(["answer", "score"]))
        value = str(rng.choice(["b", "m"])) if key[3] == "answer" else int(rng.integers(0, 101))
        old = current.get(key)
        mends = old is not None and rng.random() < 0.6
        about = {"corrects": old[0], "reason": "so"} if mends else {}
        reader, case, condition, item = map(str, key)
        events.append(Event(reader, case, condition, item, value, client=f"e{number}", **about))
        if old is None or mends:
            current[key] = (f"e{number}", value)
    found = recorded(PLAN, events).ratings
    told = {
        tuple(row[:4]): row[4] for row in found[["reader", "case", "condition", "item", "rating"]].to_numpy()
    }
    assert told == {key: value for key, (_, value) in current.items()}
