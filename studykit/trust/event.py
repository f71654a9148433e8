"""An event: one thing that happened in a reading, written once and never changed.

What a reader answers, takes back or is shown is an event of its own; the current answer is the last one.
"""

import json
import math
import uuid
from dataclasses import dataclass, field
from typing import Any

from studykit.catalog import InputError, check_choice

STEPS = ("first", "shown", "final", "end")
SHOWN = "aid shown"  # the item of an event of step "shown"


@dataclass(frozen=True)
class Event:
    """A rating, or the moment the aid was shown.

    step: "first" (the answer before the aid), "shown" (the aid came; locks the first answers), "final", or
    "end" (asked once a reader; case and condition are empty). rating: a number, a text, true or false, or
    None (skipped). elapsed: seconds from question to answer. time: when, by the reader's own clock (ISO
    8601, UTC); the store adds its own. model, map: fingerprints of what was shown. client: chosen by who
    sends, so that a repeated submit is one event. corrects: the client id of the event that this one
    corrects, with the reason.
    """

    reader: str
    case: str
    condition: str
    item: str
    rating: Any = None
    step: str = "final"
    repeat: int = 0
    order: int = 0
    session: str = ""
    elapsed: float | None = None
    time: str = ""
    model: str = ""
    map: str = ""
    client: str = field(default_factory=lambda: uuid.uuid4().hex)
    corrects: str = ""
    reason: str = ""

    def __post_init__(self):
        check_choice("step of an event", self.step, STEPS)
        for name in ("reader", "item", "client"):
            if not getattr(self, name):
                raise InputError(f"A rating needs a {name}; this one has none: {self}.")
        if bool(self.corrects) != bool(self.reason.strip()):
            raise InputError(
                "A correction names the rating that it corrects and the reason; one of them is missing."
            )
        if not isinstance(self.rating, str | int | float | bool | None) or (
            isinstance(self.rating, float) and not math.isfinite(self.rating)
        ):
            raise InputError(f"A rating is a number, a text, true, false or nothing, not {self.rating!r}.")

    @property
    def written(self) -> str:
        """The rating as the store keeps it: JSON, so that 1, 1.0, true and "1" stay what they are."""
        return json.dumps(self.rating, ensure_ascii=False)
