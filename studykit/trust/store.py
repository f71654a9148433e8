"""The ratings store: every answer of every reader, kept once, in order, and never changed or removed."""

import json
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd
from sqlalchemy import Connection, func, insert, select, tuple_

from studykit.catalog import InputError, check_choice
from studykit.trust import chain
from studykit.trust.answered import QUESTION, READING, Answered
from studykit.trust.database import Database
from studykit.trust.event import Event
from studykit.trust.tables import COLUMNS, EVENTS, STUDIES

PORTION = 500  # events looked at together


@dataclass(frozen=True)
class Receipt:
    """An event is on the disk, as this link of the study's chain; `new` is False where it was already."""

    number: int
    hash: str
    new: bool


class Store:
    """Studies and their events, in SQLite (a path) or PostgreSQL ("postgresql://user@host/database").

    Made, and brought to this program's version, when first opened. wait: seconds to wait for a lock. All
    methods raise InputError with one sentence where the database cannot be used or the wish cannot be met;
    nothing is then half kept.
    """

    def __init__(self, address: str | Path, wait: float = 30.0):
        self.database = Database(address, wait)

    def close(self) -> None:
        """Give back the connections (before a fork, say); the next use opens new ones."""
        self.database.engine.dispose()

    def begin(self, name: str, protocol: str, simulated: bool = False) -> str:
        """Open a study under its protocol (JSON), which is frozen from now on; gives the protocol's sha256.

        The same again is fine; another protocol under a name that is taken is not.
        """
        if not chain.plain_text("name of a study", name, chain.LONGEST):
            raise InputError("A study needs a name.")
        _check_json(chain.plain_text("protocol of a study", protocol))
        row = {
            "name": name,
            "hash": chain.fingerprint(protocol),
            "protocol": protocol,
            "simulated": bool(simulated),
        }
        with self.database.writing(name) as connection:
            there = connection.execute(select(STUDIES).where(STUDIES.c.name == name)).mappings().first()
            if there is None:
                row["when"] = now()
                connection.execute(insert(STUDIES), row | {"link": chain.first_link(row)})
            elif any(there[key] != value for key, value in row.items()):
                raise InputError(
                    f"The study '{name}' stands under another protocol (sha256 {there['hash'][:12]}...) or "
                    "mark, and a protocol is frozen; give the changed study another name."
                )
        return row["hash"]

    def studies(self) -> pd.DataFrame:
        """A row a study: name, hash (of its protocol), simulated, when (it began), events (how many)."""
        shown = [STUDIES.c[name] for name in ("name", "hash", "simulated", "when")]
        last = select(func.max(EVENTS.c.number)).where(EVENTS.c.study == STUDIES.c.name).scalar_subquery()
        query = select(*shown, func.coalesce(last, 0).label("events")).order_by(shown[3], shown[0])
        with self.database.reading() as connection:
            found = connection.execute(query)
            return pd.DataFrame(found.all(), columns=list(found.keys()))

    def protocol(self, name: str) -> str:
        """The protocol under which the study stands, letter by letter."""
        return self.study(name)["protocol"]

    def is_simulated(self, name: str) -> bool:
        """Whether the study's readers are made up."""
        return self.study(name)["simulated"]

    def append(self, name: str, events: Sequence[Event]) -> list[Receipt]:
        """Keep events of a study, all or none, in this order; a receipt each, once they are on the disk.

        An event whose `client` is there with the same content is not kept twice: its first receipt comes
        again. Raises InputError where a question is answered again without correcting it, a correction does
        not name the current answer, or a first answer is locked. Where the clock was set back, the last
        stored time is kept and a warning says so.
        """
        rows, receipts = [chain.content(event) for event in events], []
        with self.database.writing(name) as connection:
            number, head, before = _end(connection, _study(connection, name))
            clock = now()
            for at in range(0, len(rows), PORTION):
                new = []
                for row, there in _with_known(connection, name, rows[at : at + PORTION]):
                    if there is None:
                        number += 1
                        row |= {"study": name, "number": number, "stored": max(clock, before)}
                        head = row["hash"] = chain.link(head, row)
                        new.append(row)
                    kept = there or row
                    receipts.append(Receipt(kept["number"], kept["hash"], new=there is None))
                if new:
                    connection.execute(insert(EVENTS), new)
        _tell_late(clock, before)
        return receipts

    def events(self, name: str) -> pd.DataFrame:
        """All events of a study in order: columns as in `tables.COLUMNS`.

        `rating` is what was given (number, text, true, false, None), `elapsed` in seconds; `time` (by the
        reader's clock) and `stored` (by the store's) are texts, ISO 8601.
        """
        with self.database.reading() as connection:
            _study(connection, name)
            query = select(*(EVENTS.c[column] for column in COLUMNS)).where(EVENTS.c.study == name)
            rows = connection.execute(query.order_by(EVENTS.c.number)).all()
        table = pd.DataFrame(rows, columns=list(COLUMNS))
        try:
            table = table.astype({"elapsed": float})
            given = [json.loads(text) for text in table["rating"]]
        except ValueError:
            self.verify(name)  # says where it was changed
            raise
        return table.assign(rating=pd.Series(given, index=table.index, dtype=object))

    def verify(self, name: str, head: str | None = None) -> chain.Verified:
        """Walk the study's chain from its beginning; the count of events, and the head to keep elsewhere.

        head: one that was kept elsewhere; shows that nothing up to it was cut off or written anew. Raises
        InputError naming the first link that is broken.
        """
        study = self.study(name)
        number, last = 0, study["link"]
        seen = head in (None, last)
        for row in chain.walk(study, self.rows(name)):
            number, last = row["number"], row["hash"]
            seen = seen or head == last
        if not seen:
            raise InputError(
                f"The ratings of '{name}' do not hold the head that was kept elsewhere ({head}): ratings at "
                "the end are missing, or all were written anew. Restore the last backup."
            )
        return chain.Verified(number, last)

    def study(self, name: str) -> dict[str, Any]:
        """The study's own row: name, hash, protocol, simulated, when, link (the first of its chain)."""
        with self.database.reading() as connection:
            return _study(connection, name)

    def rows(self, name: str) -> Iterator[dict[str, Any]]:
        """The rows of the study's events as they stand in the database, in order, a portion at a time."""
        with self.database.reading() as connection:
            yield from rows_of(connection, name)


def rows_of(connection: Connection, name: str) -> Iterator[dict[str, Any]]:
    """The rows of a study's events, in order, a portion at a time."""
    query, last = select(EVENTS).where(EVENTS.c.study == name).order_by(EVENTS.c.number).limit(PORTION), None
    while True:
        rest = query if last is None else query.where(EVENTS.c.number > last)
        rows = connection.execute(rest).mappings().all()
        if not rows:
            return
        yield from map(dict, rows)
        last = rows[-1]["number"]


def now() -> str:
    """The time by this machine's clock: ISO 8601, UTC, to the microsecond; its texts sort as times."""
    return datetime.now(UTC).isoformat(timespec="microseconds")


def _study(connection: Connection, name: str) -> dict[str, Any]:
    found = connection.execute(select(STUDIES).where(STUDIES.c.name == name)).mappings().first()
    if found is None:
        check_choice("study", name, connection.execute(select(STUDIES.c.name)).scalars().all())
    return dict(found)


def _end(connection: Connection, study: dict[str, Any]) -> tuple[int, str, str]:
    """(number, hash, stored time) of the study's last event, or of its beginning."""
    mine = select(EVENTS.c.number, EVENTS.c.hash, EVENTS.c.stored).where(EVENTS.c.study == study["name"])
    last = connection.execute(mine.order_by(EVENTS.c.number.desc()).limit(1)).first()
    return tuple(last) if last else (0, study["link"], study["when"])


def _with_known(
    connection: Connection, name: str, rows: list[dict[str, Any]]
) -> Iterator[tuple[dict[str, Any], dict[str, Any] | None]]:
    """(row, the row that is there by the same client id, or None) of each row, once it is found allowed."""
    mine = EVENTS.c.study == name
    sent = select(EVENTS).where(mine, EVENTS.c.client.in_([row["client"] for row in rows]))
    known = {row["client"]: row for row in connection.execute(sent).mappings()}
    readings = {tuple(row[part] for part in READING) for row in rows}
    stands = select(EVENTS.c.client, *(EVENTS.c[part] for part in QUESTION)).where(
        mine, tuple_(*(EVENTS.c[part] for part in READING)).in_(list(readings))
    )
    answered = Answered(connection.execute(stands.order_by(EVENTS.c.number)).mappings())
    for row in rows:
        there = known.get(row["client"])
        if there is None:
            answered.add(row)
            known[row["client"]] = row
        elif any(there[part] != row[part] for part in chain.KEPT):
            raise InputError(
                f"A rating with the client id '{row['client']}' is there with other content; "
                "a new rating needs a new id."
            )
        yield row, there


def _check_json(protocol: str) -> None:
    try:
        json.loads(protocol)
    except ValueError as why:
        raise InputError(f"The protocol of a study is a JSON text; this is none ({why}).") from None


def _tell_late(clock: str, before: str) -> None:
    """Warn where this machine's clock stands more than a second before the last stored time."""
    behind = (datetime.fromisoformat(before) - datetime.fromisoformat(clock)).total_seconds()
    if behind > 1:
        warnings.warn(
            f"The clock of this machine stands {behind:.0f} s before the last stored rating; the new ratings "
            f"are kept in their order under that time ({before}). Set the clock.",
            stacklevel=3,
        )
