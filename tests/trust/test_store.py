"""The ratings store on both engines: what is kept, what is refused, and that nothing is ever changed."""

import hashlib
import json
import threading
from dataclasses import asdict, replace

import pandas as pd
import pytest
from sqlalchemy import exc, inspect, text

from studykit.catalog import InputError
from studykit.trust import store as module
from studykit.trust.event import SHOWN, Event
from studykit.trust.store import Store
from studykit.trust.tables import COLUMNS, VERSIONS

PROTOCOL = json.dumps({"readers": ["Änne", "Bo"], "title": "двое 👩‍⚕️"}, ensure_ascii=False)


@pytest.fixture
def store(address):
    made = Store(address)
    made.begin("s", PROTOCOL)
    yield made
    made.close()


def rated(case="c", rating=1, **more):
    return Event("Bo", case, "map", "q", rating=rating, **more)


def test_a_study_stands_under_its_protocol(store, address):
    frozen = hashlib.sha256(PROTOCOL.encode()).hexdigest()
    assert store.begin("s", PROTOCOL) == frozen and store.protocol("s") == PROTOCOL
    store.begin("made up", "{}", simulated=True)
    with pytest.raises(InputError, match="another protocol"):
        store.begin("s", PROTOCOL + " ")
    with pytest.raises(InputError, match="mark"):
        store.begin("s", PROTOCOL, simulated=True)
    store.append("s", [rated("c1"), rated("c2")])
    again = Store(address)
    assert again.is_simulated("made up") is True and again.is_simulated("s") is False
    table = again.studies()
    assert list(table.columns) == ["name", "hash", "simulated", "when", "events"]
    assert table.drop(columns="when").values.tolist() == [
        ["s", frozen, False, 2], ["made up", hashlib.sha256(b"{}").hexdigest(), True, 0],
    ]  # fmt: skip
    assert pd.to_datetime(table["when"]).dt.tz is not None
    again.close()


@pytest.mark.parametrize("name", ["", "x" * 121, "a\0b", 3])
def test_a_study_has_a_name_and_a_protocol_in_json(store, name):
    with pytest.raises(InputError, match="name"):
        store.begin(name, "{}")
    with pytest.raises(InputError, match="JSON"):
        store.begin("t", "{")
    for ask in (
        store.protocol,
        store.is_simulated,
        store.events,
        store.verify,
        lambda n: store.append(n, []),
    ):
        with pytest.raises(InputError, match="no study named 'S'"):
            ask("S")


RATINGS = [1, 1.0, True, "1", None, "", 0.1, 1e-320, 10**30, -7, 'Ä 👩‍⚕️ "q"\n\t\\', "=1+1", "a\0b", False, 0]


def test_what_was_given_comes_back_as_it_was(store):
    times = [None, 0, 0.1, 1 / 3, 5, 1e-320, 1.7976931348623157e299, -0.0, 12345.6789]
    given = [rated(f"c{at}", r, elapsed=times[at % 9], order=at) for at, r in enumerate(RATINGS)]
    given.append(Event(*["😀" * 120] * 4, client="👩" * 120, repeat=2**31 - 1, order=-(2**31) + 1))
    given.append(rated("end", "x" * 100_000, session="s1", time="2026-01-01T00:00:00Z", model="m", map="h"))
    receipts = store.append("s", given)
    assert [(r.number, r.new) for r in receipts] == [(at, True) for at in range(1, len(given) + 1)]
    table = store.events("s")
    assert tuple(table.columns) == COLUMNS and table["rating"].dtype == object
    assert [repr(r) for r in table["rating"]] == [repr(event.rating) for event in given]
    assert table["hash"].tolist() == [r.hash for r in receipts]
    for row, event in zip(table.to_dict("records"), given, strict=True):
        kept = {**row, "elapsed": None if pd.isna(row["elapsed"]) else row["elapsed"]}
        assert kept == kept | asdict(event)
    assert store.verify("s").events == len(given)
    store.begin("😀" * 120, "{}")
    assert store.append("😀" * 120, [given[-2]])[0].new
    store.begin("empty", "{}")
    assert tuple(store.events("empty").columns) == COLUMNS and store.append("empty", []) == []


BAD = [
    {"reader": 3}, {"case": None}, {"condition": "a\0b"}, {"item": "\ud800"}, {"session": b"x"},
    {"model": 1.0}, {"rating": "\udfff"}, {"client": "x" * 121}, {"reader": "é" * 121}, {"case": "x" * 121},
    {"time": None}, {"repeat": 2**31}, {"repeat": True}, {"order": 1.5}, {"order": "1"}, {"repeat": -(2**31)},
    {"elapsed": float("nan")}, {"elapsed": float("inf")}, {"elapsed": "3"}, {"elapsed": True},
    {"elapsed": 10**400},
]  # fmt: skip


@pytest.mark.parametrize("bad", BAD, ids=lambda bad: ascii(bad)[:30])
def test_what_an_engine_could_not_give_back_is_refused_whole(store, bad):
    with pytest.raises(InputError, match=f"{next(iter(bad))}|seconds"):
        store.append("s", [rated("good"), replace(rated("bad"), **bad)])
    assert store.verify("s").events == 0


def test_a_repeated_submit_is_one_event(store):
    events = [rated("c1", elapsed=1 / 3), rated("c2", True)]
    first = store.append("s", events)
    again = store.append("s", [events[1], rated("c3"), events[0], events[0]])
    assert [r.new for r in again] == [False, True, False, False]
    assert (again[0].hash, again[2].hash, again[3].hash) == (first[1].hash, first[0].hash, first[0].hash)
    twice = rated("c4")
    assert [(r.number, r.new) for r in store.append("s", [twice, twice])] == [(4, True), (4, False)]
    for change in ({"rating": 1}, {"elapsed": 0.5}, {"time": "later"}):
        with pytest.raises(InputError, match="with other content"):
            store.append("s", [rated("c9"), replace(events[1], **change)])
    assert store.verify("s").events == 4
    store.begin("other", "{}")  # client ids are of one study
    assert store.append("other", events)[0].new


def test_a_question_is_answered_once_and_corrected_with_a_reason(store):
    first = rated(rating=1)
    store.append("s", [first])
    with pytest.raises(
        InputError, match="'Bo', case 'c', condition 'map', item 'q' .* correct it with a reason"
    ):
        store.append("s", [rated("x"), rated(rating=2)])
    second = rated(rating=2, corrects=first.client, reason="slipped")
    store.append("s", [second])
    with pytest.raises(InputError, match=f"'{first.client}' is not the current .* '{second.client}'"):
        store.append("s", [rated(rating=3, corrects=first.client, reason="slipped")])
    for other in ({"case": "d"}, {"repeat": 1}, {"step": "end"}):
        with pytest.raises(InputError, match="none yet; answer first"):
            store.append("s", [replace(rated(corrects=second.client, reason="r"), **other)])
    third = rated(rating=3, corrects=second.client, reason="again")
    store.append("s", [third, rated(rating=4, corrects=third.client, reason="in one submit")])
    assert store.events("s")["rating"].tolist() == [1, 2, 3, 4]
    store.append("s", [rated(repeat=1), rated(step="end"), replace(rated(), reader="Al"), rated("x")])


@pytest.mark.parametrize("step", ["shown", "final"])
def test_a_first_answer_is_locked_once_the_aid_was_shown_or_the_final_given(store, step):
    first = rated(step="first")
    changed = rated(rating=2, step="first", corrects=first.client, reason="before the aid")
    lock = Event("Bo", "c", "map", SHOWN if step == "shown" else "q2", step=step)
    store.append("s", [first, changed, lock])
    late = rated(rating=3, step="first", corrects=changed.client, reason="after the aid")
    new = Event("Bo", "c", "map", "q3", rating=1, step="first")
    for event in (late, new):
        with pytest.raises(InputError, match="first answer of reader 'Bo', case 'c'.* is locked"):
            store.append("s", [event])
    assert not store.append("s", [changed])[0].new  # a repeated submit is no new answer
    elsewhere = [{"case": "d"}, {"condition": "none"}, {"repeat": 1}, {"reader": "Al"}]
    store.append("s", [replace(new, client=f"n{at}", **where) for at, where in enumerate(elsewhere)])
    store.append("s", [rated(rating=4)])  # the final answer may be given


def test_many_at_once_and_one_by_one_are_the_same(store, monkeypatch):
    monkeypatch.setattr(module, "now", lambda: "2030-01-01T00:00:00.000000+00:00")
    events = [rated(f"c{at // 3}", at, repeat=at % 3, client=f"e{at}") for at in range(1200)]
    events[700] = replace(
        events[700], case="c1", repeat=1, client="corrected", corrects="e4", reason="far back"
    )
    store.begin("a", "{}")
    store.append("a", events)
    assert [r.new for r in store.append("a", events)] == [False] * 1200
    for event in events[:20]:
        store.append("s", [event])
    store.append("s", events[20:])
    a, b = (store.events(name).drop(columns="hash") for name in ("a", "s"))
    pd.testing.assert_frame_equal(a, b)


def test_both_engines_give_the_same_hashes_and_these_follow_the_definition(store, monkeypatch):
    monkeypatch.setattr(module, "now", lambda: "2030-01-01T00:00:00.000000+00:00")
    store.begin("fixed", PROTOCOL, simulated=True)
    events = [
        Event("Änne", f"c{at}", "map", "q", rating, elapsed=elapsed, client=f"e{at}", order=at)
        for at, (rating, elapsed) in enumerate([(0.1, 1 / 3), ("ü", -0.0), (True, None), (None, 7)])
    ]
    receipts = store.append("fixed", events)
    time = "2030-01-01T00:00:00.000000+00:00"
    study = {"name": "fixed", "protocol": PROTOCOL, "simulated": True, "when": time}
    before = hashlib.sha256(
        ("\n" + json.dumps(study, sort_keys=True, ensure_ascii=False)).encode()
    ).hexdigest()
    assert store.study("fixed")["link"] == before
    for number, (event, receipt) in enumerate(zip(events, receipts, strict=True), 1):
        row = asdict(event) | {
            "number": number,
            "stored": time,
            "rating": json.dumps(event.rating, ensure_ascii=False),
        }
        row["elapsed"] = None if event.elapsed is None else abs(float(event.elapsed))
        line = before + "\n" + json.dumps(row, sort_keys=True, ensure_ascii=False)
        before = hashlib.sha256(line.encode()).hexdigest()
        assert receipt.hash == before


def test_nothing_is_changed_or_removed_by_anybody(store):
    correct = rated("c1", corrects="e1", reason="r", client="e2")
    store.append("s", [rated("c1", client="e1"), correct, rated("c2", client="e3")])
    statements = [
        "UPDATE events SET rating = '5'", "UPDATE events SET rating = '5' WHERE number = 1",
        "DELETE FROM events", "DELETE FROM events WHERE number = 3", "DELETE FROM studies",
        "UPDATE studies SET protocol = '[]'", "UPDATE studies SET simulated = true",
    ]  # fmt: skip
    if store.database.file:
        statements.append("INSERT OR REPLACE INTO studies SELECT * FROM studies")
        names = ", ".join(f'"{name}"' for name in ("study", *COLUMNS))
        for change in (
            {},
            {"number": 4, "reader": "'n'"},
            {"number": 4, "client": "'n'"},
        ):  # every unique key, one at a time
            for number in (1, 2, 3):
                values = names
                for name, value in change.items():
                    values = values.replace(f'"{name}"', str(value))
                copy = f"SELECT {values} FROM events WHERE number = {number}"
                statements.append(f"INSERT OR REPLACE INTO events ({names}) {copy}")
    else:
        statements += ["TRUNCATE events", "TRUNCATE studies CASCADE", "TRUNCATE events, studies"]
        statements.append(
            "INSERT INTO studies SELECT * FROM studies ON CONFLICT (name) DO UPDATE SET link = ''"
        )
    for statement in statements:
        with pytest.raises(exc.DBAPIError, match="append-only"), store.database.engine.begin() as connection:
            connection.execute(text(statement))
    assert store.verify("s").events == 3


@pytest.mark.parametrize("double", ["client", "answer", "correction", "number", "study"])
def test_the_database_itself_keeps_events_unique(store, double):
    store.append("s", [rated(client="e1"), rated(rating=2, corrects="e1", reason="r", client="e2")])
    row = next(store.rows("s")) | {"number": 3, "client": "new"}
    row |= {
        "client": {"client": "e1", "corrects": "e9"}, "answer": {}, "number": {"number": 1, "corrects": "e9"},
        "correction": {"corrects": "e1"}, "study": {"study": "none", "corrects": "e9"},
    }[double]  # fmt: skip
    columns = ", ".join(f'"{name}"' for name in row)
    insert = text(f"INSERT INTO events ({columns}) VALUES ({', '.join(f':{name}' for name in row)})")
    with pytest.raises(exc.IntegrityError), store.database.engine.begin() as connection:
        connection.execute(insert, row)
    assert store.verify("s").events == 2


def test_threads_share_a_store(store):
    said = []

    def write(reader):
        try:
            for at in range(10):
                store.append("s", [replace(rated(f"c{at}"), reader=f"r{reader}", client=f"{reader}-{at}")])
        except InputError as why:
            said.append(why)

    threads = [threading.Thread(target=write, args=(reader,)) for reader in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not said and store.verify("s").events == 60


def test_the_columns_have_their_own_names_in_the_database(store):
    found = inspect(store.database.engine)
    assert {column["name"] for column in found.get_columns("events")} == {"study", *COLUMNS}
    assert {column["name"] for column in found.get_columns("studies")} == {*store.study("s")}


def test_the_program_knows_every_version_of_the_tables():
    from alembic.script import ScriptDirectory

    import studykit.trust.migrations as migrations

    steps = ScriptDirectory(list(migrations.__path__)[0]).walk_revisions()
    assert [step.revision for step in steps][::-1] == list(VERSIONS)
