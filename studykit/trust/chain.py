"""The hash chain: each rating is kept with a hash over itself and all before it, so that changes are seen.

    hash of a rating = sha256(hash of the one before, newline, the rating as JSON with sorted names)

Before the first rating stands the study itself: its name, its protocol, whether it is simulated, and when it
began. Who changes a rating would have to write all later hashes anew; who keeps the last hash (the head)
elsewhere sees even that, and sees ratings cut off at the end. Nothing here knows a database.
"""

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, fields
from numbers import Integral, Real
from typing import Any

from studykit.catalog import InputError
from studykit.trust.event import Event

LONGEST = 120  # characters of a name: PostgreSQL's indexes hold that many of any alphabet
NAMES = ("reader", "case", "condition", "item", "client", "corrects")
WHOLE = ("repeat", "order")
_NO_LETTERS = re.compile("[\0\ud800-\udfff]")
KEPT = tuple(field.name for field in fields(Event))


@dataclass(frozen=True)
class Verified:
    """A chain without a break: how many ratings it holds, and its last hash, to be kept elsewhere."""

    events: int
    head: str


def content(event: Event) -> dict[str, Any]:
    """What is kept of an event, by column, the same on every engine; the rating as JSON.

    Raises InputError for what an engine could not give back as it was.
    """
    kept = {name: getattr(event, name) for name in KEPT} | {"rating": event.written}
    for name, value in kept.items():
        if name in WHOLE:
            if not isinstance(value, Integral) or isinstance(value, bool) or abs(value) >= 2**31:
                raise InputError(f"The {name} of a rating is a whole number below 2^31, not {value!r}.")
            kept[name] = int(value)
        elif name == "elapsed":
            kept[name] = _seconds(value)
        else:
            kept[name] = plain_text(f"{name} of a rating", value, LONGEST if name in NAMES else None)
    return kept


def plain_text(what: str, value: Any, longest: int | None = None) -> str:
    """`value`, if it is a text that both engines can keep; else InputError."""
    fits = isinstance(value, str) and (longest is None or len(value) <= longest)
    if not fits or _NO_LETTERS.search(value):
        size = f" of at most {longest} characters" if longest else ""
        raise InputError(f"The {what} is a readable text{size}, not {ascii(value):.80}.")
    return str(value)


def _seconds(value: Any) -> float | None:
    if value is None:
        return None
    if not isinstance(value, Real) or isinstance(value, bool) or not abs(value) < 1e300:
        raise InputError(f"The time that an answer took is a number of seconds or nothing, not {value!r}.")
    return float(value) + 0.0  # -0.0 is 0.0, as SQLite has it


def fingerprint(text: str) -> str:
    """The sha256 of a text."""
    return hashlib.sha256(text.encode()).hexdigest()


def link(before: str, row: Mapping[str, Any]) -> str:
    """The hash of a row (all its columns but `study` and `hash`) after the hash `before`."""
    told = {name: value for name, value in row.items() if name not in ("study", "hash")}
    return fingerprint(before + "\n" + json.dumps(told, sort_keys=True, ensure_ascii=False, default=repr))


def first_link(study: Mapping[str, Any]) -> str:
    """The hash that stands before a study's first rating."""
    return link("", {name: study[name] for name in ("name", "protocol", "simulated", "when")})


def walk(study: Mapping[str, Any], rows: Iterable[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    """The rows (in order of number), each given out once it is found to be as it was stored.

    study: its row. Raises InputError naming the first link that is broken.
    """
    told = f"The ratings of '{study['name']}' are not as they were stored"
    head = first_link(study)
    if head != study["link"] or fingerprint(study["protocol"]) != study["hash"]:
        raise InputError(f"{told}: the study's own row was changed (name, protocol, mark or time).")
    for number, row in enumerate(rows, 1):
        if row["number"] != number:
            raise InputError(f"{told}: rating {number} is missing. Restore the last backup.")
        head = link(head, row)
        if head != row["hash"]:
            raise InputError(
                f"{told}: rating {number} does not fit those before it; it was changed, moved or put in. "
                "Restore the last backup."
            )
        yield row
