"""When the ground gives way: one sentence, the transaction undone, and what was acknowledged still there."""

import contextlib
import shutil
import sqlite3
import subprocess
import tempfile
import warnings
from pathlib import Path

import pytest
from sqlalchemy import event as happening
from sqlalchemy import text

from studykit.catalog import InputError
from studykit.trust import store as module
from studykit.trust.event import Event
from studykit.trust.store import Store
from studykit.trust.tables import VERSION_TABLE
from tests.trust import postgres


def rated(at, rating="x" * 400):
    return Event("r", f"c{at}", "map", "q", rating=rating, client=f"e{at}")


@pytest.fixture
def store(address):
    made = Store(address)
    made.begin("s", "{}")
    made.append("s", [rated(at) for at in range(5)])
    yield made
    made.close()


def filled(store, first=5, portion=20, size=400):
    """Append until it is refused: (acknowledged in all, the sentence)."""
    for at in range(first, 100_000, portion):
        try:
            store.append("s", [rated(at + more, "x" * size) for more in range(portion)])
        except InputError as why:
            return at, str(why)
    raise AssertionError("it was never full")


def test_a_full_disk_undoes_the_submit_and_the_same_can_be_sent_again(store, monkeypatch):
    full = []
    if store.database.file:

        def limit(connection, _record):
            if full:
                connection.execute(f"PRAGMA max_page_count = {full[0]}")

        happening.listen(store.database.engine, "connect", limit)
        full.append(60)
        store.close()
    else:
        raises = "RAISE EXCEPTION 'no space left' USING ERRCODE = 'disk_full'"
        make = f"CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {raises}; END $$"
        when = "CREATE TRIGGER full_disk BEFORE INSERT ON events FOR EACH ROW WHEN (NEW.number > 90)"
        with store.database.engine.begin() as connection:
            connection.execute(text(make))
            connection.execute(text(f"{when} EXECUTE FUNCTION full_disk()"))
    kept, said = filled(store)
    assert "the disk is full and nothing of this was kept; free some space, then send the same again" in said
    assert store.verify("s").events == kept
    if store.database.file:
        full.clear()
        store.close()
    else:
        with store.database.engine.begin() as connection:
            connection.execute(text("DROP TRIGGER full_disk ON events"))
    assert all(r.new for r in store.append("s", [rated(kept + more) for more in range(20)]))
    assert store.verify("s").events == kept + 20


@pytest.fixture
def small_disk():
    """A folder on a real disk of 2 MB, and a function that makes it larger."""
    folder = Path(tempfile.mkdtemp(prefix="studykit-disk-"))
    mount = ["mount", "-t", "tmpfs", "-o", "size=2m,mode=777", "tmpfs", str(folder)]
    try:
        if subprocess.run(mount, capture_output=True).returncode:
            pytest.skip("no right to mount a small disk")
        yield folder, lambda: subprocess.run(["mount", "-o", "remount,size=60m", str(folder)], check=True)
        subprocess.run(["umount", str(folder)], check=True)
    finally:
        folder.rmdir()


def test_a_disk_that_is_really_full_sqlite(small_disk):
    folder, larger = small_disk
    full_and_larger(Store(folder / "ratings.db"), larger)


def test_a_disk_that_is_really_full_postgresql(small_disk, postgres_server):
    folder, larger = small_disk
    place = folder / "space"
    place.mkdir(mode=0o700)
    shutil.chown(place, **{key: postgres_server.owner[key] for key in ("user", "group")})
    postgres_server.sql(f"CREATE TABLESPACE small LOCATION '{place}'", "CREATE SCHEMA small")
    options = "options=-csearch_path%3Dsmall%20-cdefault_tablespace%3Dsmall"
    try:
        full_and_larger(Store(f"{postgres_server.address('postgres')}&{options}"), larger)
    finally:
        postgres_server.sql("DROP SCHEMA small CASCADE", "DROP TABLESPACE small")


def full_and_larger(store, larger):
    store.begin("s", "{}")
    kept, said = filled(store, first=0, portion=200, size=1900)
    assert "the disk is full" in said and "nothing of this was kept" in said
    assert store.verify("s").events == kept > 0
    larger()
    store.append("s", [rated(kept + more) for more in range(200)])
    assert store.verify("s").events == kept + 200
    store.close()


def test_a_store_that_another_keeps_locked_says_so(store, address):
    other = Store(address, wait=0.2)
    with store.database.writing("s"), pytest.raises(InputError, match="another program keeps it locked"):
        other.append("s", [rated(9)])
    assert other.append("s", [rated(9)])[0].number == 6
    other.close()


def test_reading_goes_on_while_another_writes(store, address):
    other = Store(address, wait=0.2)
    with store.database.writing("s"):
        assert len(other.events("s")) == other.verify("s").events == 5
    other.close()


def test_a_store_of_a_later_studykit_is_not_touched(store, address):
    with store.database.engine.begin() as connection:
        connection.execute(text(f"UPDATE {VERSION_TABLE} SET version_num = '999'"))
    store.close()
    before = Path(address).read_bytes() if store.database.file else None
    with pytest.raises(InputError, match="made by a later studykit .*'999'.* nothing was touched"):
        Store(address)
    if store.database.file:
        assert Path(address).read_bytes() == before and len(list(Path(address).parent.iterdir())) == 1
    with store.database.engine.connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM events")).scalar() == 5


def test_another_programs_database_is_left_alone(address):
    if "://" in address:
        store = Store(address)
        with store.database.engine.begin() as connection:
            connection.execute(text(f"DROP TABLE {VERSION_TABLE}"))
    else:
        with contextlib.closing(sqlite3.connect(address)) as connection:
            connection.execute("CREATE TABLE bookmarks (a)")
            connection.execute("PRAGMA user_version = 7")
        before = Path(address).read_bytes()
    with pytest.raises(InputError, match="belongs to another program .*'(bookmarks|events)'"):
        Store(address)
    assert "://" in address or Path(address).read_bytes() == before


def test_a_clock_set_back_is_told_and_nothing_is_lost(store, monkeypatch):
    last = store.events("s")["stored"].max()
    for clock in ("2001-01-01T00:00:00.000000+00:00", last[:-8] + "1+00:00"):
        monkeypatch.setattr(module, "now", lambda clock=clock: clock)
        at = len(store.events("s"))
        if clock < "2002":
            with pytest.warns(UserWarning, match="clock of this machine stands .* Set the clock"):
                store.append("s", [rated(at)])
        else:
            with warnings.catch_warnings(action="error"):  # a breath is nothing to speak of
                store.append("s", [rated(at)])
    table = store.events("s")
    assert table["stored"].is_monotonic_increasing and table["stored"].iloc[5] == last
    assert store.verify("s").events == 7


def test_an_answer_that_was_kept_but_not_acknowledged_is_sent_again(store, monkeypatch):
    def lost(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(module, "_tell_late", lost)  # after the commit
        with pytest.raises(KeyboardInterrupt):
            store.append("s", [rated(5)])
    assert [(r.number, r.new) for r in store.append("s", [rated(5), rated(6)])] == [(6, False), (7, True)]


def test_a_program_that_fails_within_a_submit_keeps_nothing_of_it(store, monkeypatch):
    calls = []

    def broken(*given):
        calls.append(given)
        if len(calls) == 600:
            raise KeyboardInterrupt
        return link(*given)

    link = module.chain.link
    monkeypatch.setattr(module.chain, "link", broken)
    with pytest.raises(KeyboardInterrupt):  # in the second portion
        store.append("s", [rated(at) for at in range(10, 1000)])
    monkeypatch.undo()
    assert store.verify("s").events == 5 and store.append("s", [rated(5)])[0].number == 6


# PostgreSQL alone


@pytest.fixture
def on_server(postgres_server):
    made = Store(postgres_server.address())
    made.begin("s", "{}")
    yield made
    made.close()


def test_a_server_that_stops_and_starts_again(on_server, postgres_server):
    address = on_server.database.engine.url.render_as_string()
    on_server.append("s", [rated(0)])
    postgres_server.stop()
    try:
        for ask in (lambda: on_server.append("s", [rated(1)]), on_server.studies, lambda: Store(address)):
            with pytest.raises(InputError, match="cannot be reached"):
                ask()
    finally:
        postgres_server.start()
    assert [r.new for r in on_server.append("s", [rated(0), rated(1)])] == [False, True]
    postgres_server.restart("immediate")
    assert on_server.verify("s").events == 2  # the pool's connections were dead


def test_a_server_that_dies_in_the_middle_of_a_submit(on_server, postgres_server, monkeypatch):
    def now():
        postgres_server.restart("immediate")
        return clock()

    clock = module.now
    on_server.append("s", [rated(0)])
    with monkeypatch.context() as patch:
        patch.setattr(module, "now", now)
        with pytest.raises(InputError, match="does not answer.* send the same again, nothing is doubled"):
            on_server.append("s", [rated(1)])
    assert on_server.append("s", [rated(1)])[0].new and on_server.verify("s").events == 2


def test_a_password_is_in_no_message(postgres_server):
    right = postgres_server.address("postgres", "127.0.0.1", user=f"studykit:{postgres.PASSWORD}")
    Store(right).close()
    for wrong in (
        right.replace(postgres.PASSWORD, "sec%2Fret"), right.replace("127.0.0.1", "nowhere.invalid"),
        right.replace(f"studykit:{postgres.PASSWORD}@", "") + f"?user=studykit&password={postgres.PASSWORD}x",
        right.replace("studykit:", "nobody:"), right + "?nonsense=1", right.replace("postgresql", "mysql"),
        right.replace(postgres.PASSWORD, f"{postgres.PASSWORD}@secret"), right.replace("127.0.0.1:", "h:x"),
        right.replace(postgres.PASSWORD, f"{postgres.PASSWORD}@sec/ret"),
    ):  # fmt: skip
        with pytest.raises(InputError) as refused:
            Store(wrong)
        why = refused.value
        assert why.__cause__ is None and (why.__suppress_context__ or why.__context__ is None)
        seen = str(why)
        assert postgres.PASSWORD not in seen and "secret" not in seen and "sec/ret" not in seen, seen
