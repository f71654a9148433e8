"""Whoever changes the database behind the store's back is found out, and where."""

import pytest
from sqlalchemy import text

from studykit.catalog import InputError
from studykit.trust.event import Event
from studykit.trust.store import PORTION, Store
from studykit.trust.tables import COLUMNS

MANY = PORTION + 20  # more than one portion


@pytest.fixture(scope="module")
def rows_kept():
    return [
        Event("r", f"c{at}", "map", "q", rating=at, elapsed=at / 3, client=f"e{at}") for at in range(MANY)
    ]


@pytest.fixture
def store(address, rows_kept):
    made = Store(address)
    made.begin("s", "{}")
    made.append("s", rows_kept)
    yield made
    made.close()


def tamper(store, *statements):
    """Run SQL with the triggers gone, as somebody could who owns the database."""
    with store.database.engine.begin() as connection:
        for table in ("events", "studies"):
            if store.database.file:
                for kind in ("update", "delete", "replace"):
                    connection.execute(text(f"DROP TRIGGER {table}_no_{kind}"))
            else:
                connection.execute(text(f"ALTER TABLE {table} DISABLE TRIGGER USER"))
        for statement in statements:
            connection.execute(text(statement))


CHANGES = {
    **dict.fromkeys([f'"{name}"' for name in COLUMNS if name != "number"], "'x'"),
    '"repeat"': 1, '"order"': 1, '"elapsed"': "elapsed + 1e-9",
}  # fmt: skip


@pytest.mark.parametrize("column", CHANGES)
def test_a_change_in_any_column_is_found(store, column):
    at = PORTION + 5
    tamper(store, f"UPDATE events SET {column} = {CHANGES[column]} WHERE number = {at}")
    with pytest.raises(InputError, match=f"rating {at} does not fit those before it; it was changed"):
        store.verify("s")


SWAP = (  # two ratings change places
    "UPDATE events SET number = -1 WHERE number = 7",
    "UPDATE events SET number = 7 WHERE number = 9",
    "UPDATE events SET number = 9 WHERE number = -1",
)
NAMES = ", ".join(f'"{name}"' for name in ("study", *COLUMNS))
NEW = NAMES.replace('"number"', "6").replace('"reader"', "'new'").replace('"client"', "'new'")
BROKEN = {
    "removed": (("DELETE FROM events WHERE number = 5",), "rating 5 is missing"),
    "the first removed": (("DELETE FROM events WHERE number = 1",), "rating 1 is missing"),
    "swapped": (SWAP, "rating 7 does not fit"),
    "another protocol": (("UPDATE studies SET protocol = '[]'",), "the study's own row was changed"),
    "another hash": (("UPDATE studies SET hash = 'x'",), "the study's own row was changed"),
    "no longer simulated": (("UPDATE studies SET simulated = true",), "the study's own row was changed"),
    "begun earlier": (("UPDATE studies SET \"when\" = 'x'",), "the study's own row was changed"),
    "another link": (("UPDATE studies SET link = 'x'",), "the study's own row was changed"),
    "removed and closed up": (
        (
            "DELETE FROM events WHERE number = 5",
            "UPDATE events SET number = -number WHERE number > 5",
            "UPDATE events SET number = -number - 1 WHERE number < 0",
        ),
        "rating 5 does not fit",
    ),
    "put in": (
        (
            "UPDATE events SET number = -number WHERE number > 5",
            "UPDATE events SET number = -number + 1 WHERE number < 0",
            f"INSERT INTO events ({NAMES}) SELECT {NEW} FROM events WHERE number = 5",
        ),
        "rating 6 does not fit",
    ),
}  # fmt: skip


@pytest.mark.parametrize("how", BROKEN)
def test_the_first_broken_link_is_named(store, how):
    statements, said = BROKEN[how]
    tamper(store, *statements)
    with pytest.raises(InputError, match=said):
        store.verify("s")


def test_a_tail_that_was_cut_off_is_found_by_a_head_kept_elsewhere(store):
    whole = store.verify("s")
    assert whole.events == MANY and store.verify("s", head=whole.head) == whole
    store.append("s", [Event("r", "later", "map", "q")])
    longer = store.verify("s", head=whole.head)  # grown since
    assert longer.events == MANY + 1 and longer.head != whole.head
    assert store.verify("s", head=store.study("s")["link"]) == longer
    tamper(store, f"DELETE FROM events WHERE number > {MANY - 3}")
    assert store.verify("s").events == MANY - 3
    with pytest.raises(InputError, match="head that was kept elsewhere .*end are missing"):
        store.verify("s", head=whole.head)


def test_events_that_cannot_be_read_say_where(store):
    tamper(store, "UPDATE events SET rating = 'no json' WHERE number = 3")
    with pytest.raises(InputError, match="rating 3 does not fit"):
        store.events("s")
