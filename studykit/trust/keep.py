"""A whole study into a ratings store, checked before the store knows of it: a failure takes no name."""

import hashlib
import json
from collections.abc import Sequence
from typing import Any

from studykit.catalog import InputError
from studykit.trust.answered import QUESTION, Answered
from studykit.trust.chain import content
from studykit.trust.event import Event
from studykit.trust.study import SAME, Study


def keep(store, name: str, protocol: str, events: Sequence[Event], simulated: bool) -> int:
    """Begin the study and keep its events, all or none; how many are new.

    Raises InputError where they do not go together, or the study stands there with other answers.
    """
    alone = Answered(())
    for event in events:
        alone.add(content(event))
    if name in set(store.studies()["name"]):
        there, clients = store.events(name), {event.client for event in events}
        other = there.loc[~there["client"].isin(clients), list(QUESTION)]
        answered = set(other.itertuples(index=False, name=None))
        if any(tuple(getattr(event, part) for part in QUESTION) in answered for event in events):
            raise InputError(f"The study '{name}' stands there already, answered; choose another store.")
    store.begin(name, protocol, simulated=simulated)
    return sum(receipt.new for receipt in store.append(name, events))


def events_of(study: Study) -> list[Event]:
    """The study's ratings as events for a ratings store; the same ratings give the same client ids."""
    ratings = study.ratings.assign(later=study.ratings["step"] != "first")
    ratings = ratings.sort_values("later", kind="stable").drop(columns="later")
    events = []
    for row in ratings.astype(object).where(ratings.notna(), None).to_dict("records"):
        told = [row[name] for name in (*SAME, "step", "rating")]
        client = hashlib.sha256(json.dumps([study.name, *told], default=str).encode()).hexdigest()[:32]
        events.append(_event(row, client))
    return events


def _event(row: dict[str, Any], client: str) -> Event:
    rating = row["rating"].item() if hasattr(row["rating"], "item") else row["rating"]
    return Event(
        reader=row["reader"] or "",
        case=row["case"] or "",
        condition=(row["condition"] or "") if row["case"] else "",
        item=row["item"],
        rating=rating,
        step=row["step"] if row["case"] else "end",
        repeat=int(row["repeat"] or 0),
        order=int(row["order"] or 0),
        session=str(row["session"] or ""),
        elapsed=None if row["elapsed"] is None else float(row["elapsed"]),
        time=row["when"].isoformat() if row["when"] is not None else "",
        client=client,
    )
