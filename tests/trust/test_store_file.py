"""The store in a file: where it may stand, files that are none, and files that go away."""

import contextlib
import os
import shutil
import sqlite3
import tempfile
from pathlib import Path

import pytest
from sqlalchemy import text

from studykit.catalog import InputError
from studykit.trust import store as module
from studykit.trust.event import Event
from studykit.trust.store import Store


def rated(at):
    return Event("r", f"c{at}", "map", "q", rating=at, client=f"e{at}")


@pytest.mark.parametrize(
    "address", ["", ":memory:", "sqlite://", "sqlite:///:memory:", "mysql://h/d", "a://b c://"]
)
def test_what_is_no_address(address, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="a path, sqlite:///path, or postgresql"):
        Store(address)
    assert not list(tmp_path.iterdir())


def test_paths_of_all_kinds(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    odd = tmp_path / "new folder" / "r?ä tings#1%20&.db"
    for address in (odd, str(odd), "near.db", "sqlite:///far.db", f"sqlite:///{tmp_path}/there.db"):
        store = Store(address)
        store.begin("s", "{}")
        store.append("s", [rated(0)])
        store.close()
    assert {"near.db", "far.db", "there.db", "new folder"} <= {path.name for path in tmp_path.iterdir()}
    assert [path.name for path in odd.parent.iterdir()] == [odd.name]
    with contextlib.closing(sqlite3.connect(odd)) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_a_connection_to_sqlite_waits_for_the_disk(tmp_path):
    store = Store(tmp_path / "a.db", wait=7)
    with store.database.reading() as connection:
        told = [
            connection.execute(text(f"PRAGMA {name}")).scalar() for name in ("synchronous", "foreign_keys")
        ]
        assert told == [2, 1] and connection.execute(text("PRAGMA busy_timeout")).scalar() == 7000


def test_a_file_that_is_no_store(tmp_path):
    note = tmp_path / "note.txt"
    note.write_text("no database " * 1000)
    with pytest.raises(InputError, match="note.txt: this is not a ratings store, or it is damaged"):
        Store(note)
    assert note.read_text() == "no database " * 1000
    with pytest.raises(InputError, match="another place"):
        Store(tmp_path)
    with pytest.raises(InputError, match="another place"):
        Store(note / "below.db")


def test_a_damaged_file_is_told(tmp_path):
    store = Store(tmp_path / "a.db")
    store.begin("s", "{}")
    store.append("s", [rated(at) for at in range(2000)])
    store.close()
    whole = (tmp_path / "a.db").read_bytes()
    for damaged in (whole[: len(whole) // 2], whole[:20000] + os.urandom(40000) + whole[60000:]):
        (tmp_path / "b.db").write_bytes(damaged)
        with pytest.raises(InputError, match="damaged|not as they were stored"):
            Store(tmp_path / "b.db").verify("s")


def test_a_file_removed_or_replaced_while_open_is_told(tmp_path, monkeypatch):
    here, away = tmp_path / "a.db", tmp_path / "b.db"
    store = Store(here)
    store.begin("s", "{}")
    here.rename(away)
    for ask in (lambda: store.append("s", [rated(0)]), store.studies):
        with pytest.raises(InputError, match="may not be opened"):
            ask()
    assert not here.exists()  # no empty one is made in its place
    away.rename(here)
    store.append("s", [rated(0), rated(1)])

    def now():
        here.rename(away)
        return clock()

    clock = module.now
    with monkeypatch.context() as patch:
        patch.setattr(module, "now", now)
        with pytest.raises(
            InputError, match="was moved, removed or replaced meanwhile, and this may be lost"
        ):
            store.append("s", [rated(2)])
    away.rename(here)
    assert store.append("s", [rated(2)])[0].number == 3
    with contextlib.closing(sqlite3.connect(here)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    here.rename(away)
    Store(here).begin("t", "{}")
    assert store.studies()["name"].tolist() == ["t"]  # the one that is there now
    assert Store(away).verify("s").events == 3


@pytest.fixture
def locked_folder():
    """A folder with a store in it that this user may read and not write."""
    folder = Path(tempfile.mkdtemp(prefix="studykit-locked-"))
    Store(folder / "a.db").close()
    (folder / "a.db").chmod(0o444)
    folder.chmod(0o555)
    root = os.geteuid() == 0
    if root:
        os.seteuid(65534)
    yield folder
    if root:
        os.seteuid(0)
    folder.chmod(0o700)
    shutil.rmtree(folder)


@pytest.mark.parametrize("name", ["a.db", "new.db", "new/a.db"])
def test_a_folder_that_may_not_be_written(locked_folder, name):
    with pytest.raises(InputError, match=f"{name}.*(made|written) there.*choose another place"):
        Store(locked_folder / name)
