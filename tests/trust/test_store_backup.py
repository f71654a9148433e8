"""A backup holds all, is checked on both ways, goes to either engine, and is put back whole or not at all."""

import gzip
import hashlib
import json

import pandas as pd
import pytest
from sqlalchemy import text

from studykit.catalog import InputError
from studykit.trust import backup as module
from studykit.trust.backup import backup, restore
from studykit.trust.event import Event
from studykit.trust.store import PORTION, Store


@pytest.fixture
def store(address):
    made = Store(address)
    made.begin("Ä", '{"title": "ü"}')
    made.begin("empty", "{}", simulated=True)
    made.begin("long", "{}")
    ratings = [0.1, None, True, 'é "', 10**20]
    made.append("Ä", [Event("r", f"c{at}", "m", "q", r, elapsed=at / 3) for at, r in enumerate(ratings)])
    made.append("long", [Event("r", f"c{at}", "m", "q", at / 7) for at in range(PORTION + 9)])
    yield made
    made.close()


@pytest.fixture(params=["sqlite", "postgresql"])
def other(request, tmp_path):
    """A second empty place."""
    if request.param == "sqlite":
        return str(tmp_path / "second.db")
    return request.getfixturevalue("postgres_server").address()


def same(one, two):
    pd.testing.assert_frame_equal(one.studies(), two.studies())
    for name in one.studies()["name"]:
        assert one.protocol(name) == two.protocol(name) and one.is_simulated(name) is two.is_simulated(name)
        pd.testing.assert_frame_equal(one.events(name), two.events(name))
        assert one.verify(name) == two.verify(name)


def test_from_either_engine_to_either(store, other, tmp_path):
    file = backup(store, tmp_path / "kept.gz")
    second = restore(file, other)
    same(store, second)
    assert second.append("long", [Event("r", "new", "m", "q")])[0].number == PORTION + 10
    assert (
        backup(restore(file, tmp_path / "third.db"), tmp_path / "again.gz").read_bytes() == file.read_bytes()
    )


def test_a_backup_by_address_of_an_empty_store(other, tmp_path):
    Store(other).close()
    file = backup(other, str(tmp_path / "new" / "kept.gz"))
    assert restore(str(file), tmp_path / "second store.db").studies().empty


def test_no_store_and_no_file_is_written_over(store, other, tmp_path):
    file = backup(store, tmp_path / "kept.gz")
    before = file.read_bytes()
    with pytest.raises(InputError, match="is there already"):
        backup(store, file)
    if store.database.file:
        with pytest.raises(InputError, match="is there already"):
            backup(store, store.database.file)
    full = Store(other)
    full.begin("mine", "{}")
    with pytest.raises(InputError, match="is not empty"):
        restore(file, other)
    assert full.studies()["name"].tolist() == ["mine"] and file.read_bytes() == before


def test_a_store_whose_chain_is_broken_makes_no_backup(store, tmp_path):
    with store.database.engine.begin() as connection:
        off = (
            "DROP TRIGGER events_no_update"
            if store.database.file
            else "ALTER TABLE events DISABLE TRIGGER USER"
        )
        connection.execute(text(off))
        connection.execute(text("UPDATE events SET rating = '9' WHERE number = 4"))
    with pytest.raises(InputError, match="'Ä' are not as they were stored: rating 4"):
        backup(store, tmp_path / "kept.gz")
    assert not list(tmp_path.glob("*kept*"))


def lines_of(file):
    return gzip.decompress(file.read_bytes()).splitlines(keepends=True)


def packed(lines, checked=True):
    """A backup of these lines, its checksum made to fit."""
    *body, last = lines
    if checked:
        last = json.dumps({"sha256": hashlib.sha256(b"".join(body)).hexdigest()}).encode() + b"\n"
    return gzip.compress(b"".join([*body, last]))


DAMAGES = {
    "cut": lambda whole, lines: whole[: len(whole) // 2],
    "one bit": lambda whole, lines: whole[:300] + bytes([whole[300] ^ 1]) + whole[301:],
    "empty": lambda whole, lines: b"",
    "a text": lambda whole, lines: b"no backup",
    "another gzip": lambda whole, lines: gzip.compress(b"hello"),
    "another JSON": lambda whole, lines: gzip.compress(b"[1]\n{}\n"),
    "a later form": lambda whole, lines: packed([lines[0].replace(b"1", b"2"), *lines[1:]]),
    "last line gone": lambda whole, lines: gzip.compress(b"".join(lines[:-1])),
    "a line more": lambda whole, lines: gzip.compress(b"".join([*lines, lines[-2]])),
    "a rating gone": lambda whole, lines: packed(lines[:4] + lines[5:], checked=False),
    "a rating gone, checksum made to fit": lambda whole, lines: packed(lines[:4] + lines[5:]),
    "changed, checksum made to fit": lambda whole, lines: packed([x.replace(b"0.1", b"0.2") for x in lines]),
    "study gone, checksum made to fit": lambda whole, lines: packed(lines[:1] + lines[2:]),
}  # fmt: skip


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_backup_is_refused_before_anything_is_made(tmp_path, damage):
    store = Store(tmp_path / "first.db")
    store.begin("s", "{}")
    store.append("s", [Event("r", f"c{at}", "m", "q", 0.1) for at in range(60)])
    file = backup(store, tmp_path / "kept.gz")
    file.write_bytes(DAMAGES[damage](file.read_bytes(), lines_of(file)))
    with pytest.raises(InputError, match="not a whole backup|not as they were stored"):
        restore(file, tmp_path / "second.db")
    assert not (tmp_path / "second.db").exists()


def test_a_restore_that_fails_half_way_leaves_an_empty_store(store, other, tmp_path, monkeypatch):
    file = backup(store, tmp_path / "kept.gz")
    calls = []

    def parts(path):
        calls.append(path)
        for number, part in enumerate(whole(path)):
            if len(calls) == 2 and number == 3:
                raise KeyboardInterrupt
            yield part

    whole = module._parts
    monkeypatch.setattr(module, "_parts", parts)
    with pytest.raises(KeyboardInterrupt):
        restore(file, other)
    assert Store(other).studies().empty
    monkeypatch.undo()
    same(store, restore(file, other))


def test_there_is_no_such_backup(tmp_path):
    with pytest.raises(InputError, match="There is no backup .*nowhere.gz"):
        restore(tmp_path / "nowhere.gz", tmp_path / "a.db")
