"""What a reader has answered so far, and so what may still be answered or corrected."""

from collections.abc import Iterable, Mapping
from typing import Any

from studykit.catalog import InputError

READING = ("reader", "case", "condition", "repeat")  # one reader before one case under one condition
QUESTION = (*READING, "item", "step")
LOCKS = ("shown", "final")  # after one of these steps the first answers of a reading stand


class Answered:
    """The current answer to each question of some readings, and which of these are locked.

    events: rows with the columns QUESTION and `client`, in order of number; all of each reading concerned.
    """

    def __init__(self, events: Iterable[Mapping[str, Any]]):
        self._current: dict[tuple, str] = {}
        self._locked: set[tuple] = set()
        for row in events:
            self._note(row)

    def add(self, row: Mapping[str, Any]) -> None:
        """Note one more event. Raises InputError, and notes nothing, where it may not be."""
        question, reading = _part(row, QUESTION), _part(row, READING)
        current, corrects = self._current.get(question), row["corrects"]
        if row["step"] == "first" and reading in self._locked:
            raise InputError(
                f"The first answer of {_told(row)} is locked: the aid was shown or the final answer given."
            )
        if not corrects and current is not None:
            raise InputError(f"{_told(row)}: already answered; correct it with a reason.")
        if corrects and corrects != current:
            remedy = f"correct '{current}', the current one" if current else "there is none yet; answer first"
            raise InputError(f"{_told(row)}: '{corrects}' is not the current answer to this; {remedy}.")
        self._note(row)

    def _note(self, row: Mapping[str, Any]) -> None:
        self._current[_part(row, QUESTION)] = row["client"]
        if row["step"] in LOCKS:
            self._locked.add(_part(row, READING))


def _part(row: Mapping[str, Any], names: Iterable[str]) -> tuple:
    return tuple(row[name] for name in names)


def _told(row: Mapping[str, Any]) -> str:
    """The question in words."""
    words = [f"reader '{row['reader']}'"]
    words += [f"{name} '{row[name]}'" for name in ("case", "condition") if row[name]]
    repeat = f", repeat {row['repeat']}" if row["repeat"] else ""
    return f"{', '.join(words)}, item '{row['item']}' ({row['step']}{repeat})"
