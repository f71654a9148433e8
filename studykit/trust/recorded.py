"""From the events of a study to the ratings that count: the last correction of each answer, and nothing else.

An answer given before the aid is locked once the aid was shown; what claims to be one afterwards does
not count, nor does what was never planned. Nothing is dropped in silence: the study's notes say what was left
out, and how often.
"""

import json
from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

import numpy as np
import pandas as pd

from studykit.trust.answered import LOCKS, READING
from studykit.trust.chain import walk
from studykit.trust.event import SHOWN, Event
from studykit.trust.protocol import Protocol
from studykit.trust.study import RATINGS, SAME, Study

MADE_UP = "simulated: no person gave these ratings"
FIRST = " (the first: "  # behind it a note names a reader
MEASURED = [
    "order",
    "session",
    "elapsed",
    "when",
]  # of the first answer; a correction changes the rating only


def studied(store, name: str) -> Study:
    """The study of that name in a ratings store, as it stands now.

    Raises InputError where there is none, or its own row (protocol, mark, time) was changed.
    """
    row = store.study(name)
    list(walk(row, []))  # compares the row with the first link of its chain
    protocol = Protocol.from_json(json.loads(row["protocol"]))
    return recorded(protocol, store.events(name), simulated=row["simulated"])


def recorded(protocol: Protocol, events: pd.DataFrame | Iterable[Event], simulated: bool = False) -> Study:
    """The study that these events make.

    events: as a ratings store gives them, or Events in the order in which they came. A skipped rating is
    missing; so is one that its item refuses.
    """
    table = _in_order(events)
    notes = [MADE_UP] if simulated else []
    table = _left(table, _unknown(table, protocol), "are about what the protocol does not name", notes)
    if protocol.orders:
        table = _left(table, _unplanned(table, protocol), "are of readings that were not planned", notes)
    table = _left(table, _after_the_aid(table), "came as first answers when the aid was shown already", notes)
    if protocol.orders:
        table = _left(table, _unasked(table, protocol), "answer what is not asked in that step", notes)
    ratings = _current(table[table["step"] != "shown"], notes)
    refused = _refused(ratings, protocol)
    if refused.any():
        notes.append(_told(ratings, refused, "are no answers to their items and count as missing"))
    ratings["rating"] = ratings["rating"].mask(refused, np.nan)
    backwards = pd.to_numeric(ratings["elapsed"]) < 0
    if backwards.any():
        notes.append(_told(ratings, backwards, "took less than no time; how long counts as missing"))
    ratings["elapsed"] = ratings["elapsed"].mask(backwards, np.nan)
    ratings["step"] = ratings["step"].replace("end", "final")
    places = {condition.name: place for place, condition in enumerate(protocol.conditions)}
    ratings = ratings.sort_values("condition", key=lambda names: names.map(places), kind="stable")
    return Study(
        name=protocol.name,
        ratings=ratings[RATINGS].reset_index(drop=True),
        items={item.name: item for item in protocol.items},
        cases=cases_of(protocol),
        aids=aids_of(protocol),
        positive=protocol.positive,
        title=protocol.title,
        simulated=simulated,
        notes=tuple(notes),
    )


def _in_order(events: pd.DataFrame | Iterable[Event]) -> pd.DataFrame:
    """The events by number, empty cases and conditions missing, with `when`."""
    if not isinstance(events, pd.DataFrame):
        told = [asdict(event) for event in events]
        columns = list(Event.__dataclass_fields__)
        events = pd.DataFrame(told, columns=columns).assign(number=range(len(told)), stored="")
    table = events.sort_values("number", ignore_index=True)
    for name in ("case", "condition"):
        table[name] = table[name].astype(object).where(table[name].fillna("") != "", np.nan)
    table["rating"] = pd.Series(list(table["rating"]), dtype=object)
    times = [
        pd.to_datetime(table[name], utc=True, errors="coerce", format="ISO8601")
        for name in ("time", "stored")
    ]
    table["when"] = times[0].dt.as_unit("us").fillna(times[1].dt.as_unit("us"))
    return table


def _unknown(table: pd.DataFrame, protocol: Protocol) -> pd.Series:
    """Which events name a reader, case, condition or item that the protocol does not."""
    items = {item.name for item in protocol.items}
    conditions = {condition.name for condition in protocol.conditions}
    known = table["reader"].isin(protocol.readers) & (table["item"].isin(items) | (table["step"] == "shown"))
    asked_once = table["step"] == "end"
    known &= table["case"].isin(protocol.cases) | (asked_once & table["case"].isna())
    known &= table["condition"].isin(conditions) | (asked_once & table["condition"].isna())
    return ~known


def _unplanned(table: pd.DataFrame, protocol: Protocol) -> pd.Series:
    """Which events are about a case that the reader was not to read so (condition, repeat)."""
    planned = {
        (reader, reading.case, reading.condition, reading.repeat)
        for reader, readings in protocol.orders.items()
        for reading in readings
    }
    of_a_case = table[table["case"].notna()]
    out = [part not in planned for part in of_a_case[list(READING)].itertuples(index=False, name=None)]
    return pd.Series(out, of_a_case.index, dtype=bool).reindex(table.index, fill_value=False)


def _unasked(table: pd.DataFrame, protocol: Protocol) -> pd.Series:
    """Which events answer, in their step, what is not asked there, or show an aid where none is shown."""
    asked = {("", "end", item.name) for item in protocol.items if item.asked == "end"}
    for condition in protocol.conditions:
        for step in protocol.steps(condition.name):
            asked |= {(condition.name, step, item.name) for item in protocol.asked(condition.name, step)}
        if condition.shows != "nothing":
            asked.add((condition.name, "shown", SHOWN))
    where = table["condition"].where(table["case"].notna(), "")
    items = table["item"].where(table["step"] != "shown", SHOWN)
    told = zip(where, table["step"], items, strict=True)
    return pd.Series([one not in asked for one in told], table.index, dtype=bool)


def _after_the_aid(table: pd.DataFrame) -> pd.Series:
    """Which events change or give a first answer after the aid of that reading was shown."""
    locked = table[table["step"].isin(LOCKS)].groupby(list(READING))["number"].min().rename("locked")
    since = table.merge(locked, left_on=list(READING), right_index=True, how="left")["locked"]
    return (table["step"] == "first") & (table["number"] > since.to_numpy())


def _current(table: pd.DataFrame, notes: list[str]) -> pd.DataFrame:
    """One rating a question: of an answer and its corrections the last, of two answers the first."""
    corrected = dict(zip(table["client"], table["corrects"].fillna(""), strict=True))

    def root(client: str) -> str:
        """The client id of the answer at the beginning of a chain of corrections."""
        seen = set()
        while corrected.get(client) in corrected and client not in seen:
            seen.add(client)
            client = corrected[client]
        return client

    table = table.assign(root=[root(client) for client in table["client"]])
    last = table.drop_duplicates("root", keep="last").set_index("root")
    begun = table.drop_duplicates("root", keep="first").set_index("root")
    last[MEASURED] = begun[MEASURED]
    last["number"] = begun["number"]
    once = last.sort_values("number").reset_index(drop=True)
    twice = once.duplicated([*SAME, "step"])
    return _left(
        once, twice, "answer a question that had been answered before, and are no corrections", notes
    )


def _refused(ratings: pd.DataFrame, protocol: Protocol) -> pd.Series:
    items = {item.name: item for item in protocol.items}
    pairs = zip(ratings["item"], ratings["rating"], strict=True)
    return pd.Series([bool(items[item].refused(rating)) for item, rating in pairs], ratings.index, dtype=bool)


def _left(table: pd.DataFrame, out: pd.Series, why: str, notes: list[str]) -> pd.DataFrame:
    """The table without the rows that are `out`, with a note where there are any."""
    if out.any():
        notes.append(_told(table, out, f"{why}; they are left out"))
    return table[~out.to_numpy()].reset_index(drop=True)


def _told(table: pd.DataFrame, which: pd.Series, why: str) -> str:
    first: dict[str, Any] = table[which.to_numpy()].iloc[0].to_dict()
    named = ", ".join(
        f"{name} {first[name]}" for name in ("reader", "case", "item") if first[name] == first[name]
    )
    return f"{int(which.sum())} ratings {why}{FIRST}{named})"


def cases_of(protocol: Protocol) -> pd.DataFrame:
    """A protocol's cases: case, patient, truth."""
    table = pd.DataFrame({"case": protocol.cases}, dtype=object)
    table["patient"] = [protocol.patients.get(case, case) for case in protocol.cases]
    table["truth"] = pd.Series([protocol.truth.get(case, np.nan) for case in protocol.cases], dtype=object)
    return table


def aids_of(protocol: Protocol) -> pd.DataFrame:
    """What a protocol's conditions show: case, condition, aid, wrong (planted)."""
    shown = [condition.name for condition in protocol.conditions if condition.shows != "nothing"]
    rows = [
        (case, condition, protocol.shown(case, condition), case in protocol.wrong)
        for condition in shown
        for case in protocol.cases
    ]
    return pd.DataFrame(rows, columns=["case", "condition", "aid", "wrong"])
