"""The protocol of a reader study: who reads which cases with which aid, what is asked, and in which order.

It is a small JSON file. `drawn` completes it: the cases with a planted wrong aid and every reader's order are
drawn once and stand in the file, so that the file is the plan. Its hash freezes it at the first answer.
"""

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from studykit.catalog import InputError, check_choice, configured
from studykit.trust.item import Item
from studykit.trust.protocol_checks import check_classes, check_items, check_names, check_orders, mapped
from studykit.trust.reading_order import Reading, orders
from studykit.whole import write_whole

SHOWS = ("nothing", "prediction", "prediction and map")


@dataclass(frozen=True)
class Condition:
    """What readers are shown beside the case; method: the explanation whose map is shown."""

    name: str
    shows: str = "nothing"
    method: str = ""

    def __post_init__(self):
        check_choice(f"thing to show in the condition '{self.name}'", self.shows, SHOWS)
        if ("map" in self.shows) != bool(self.method):
            raise InputError(
                f"The condition '{self.name}' shows {self.shows}; a 'method' names the map that is shown, "
                "and goes with 'prediction and map' only."
            )


@dataclass(frozen=True)
class Protocol:
    """The plan of a study.

    two_step: answer, locked, then the aid, then the answer again. design: see DESIGNS; groups: of a split
    plot. repeats: the share of a reader's cases that are read twice. wrong_aid: the share of cases whose aid
    is planted wrong, drawn among those where the model is right. truth, aids, patients: by case; an aid is
    the class that the model said. positive: the class that scores speak of. wrong (case: class shown) and
    orders (reader: readings) are what `drawn` adds. Raises InputError for what cannot be carried out.
    """

    name: str = "study"
    title: str = ""
    readers: tuple[str, ...] = ()
    cases: tuple[str, ...] = ()
    conditions: tuple[Condition, ...] = (Condition("no aid"),)
    items: tuple[Item, ...] = ()
    two_step: bool = False
    design: str = "crossed"
    groups: int = 2
    repeats: float = 0.0
    wrong_aid: float = 0.0
    seed: int = 0
    truth: Mapping[str, Any] = field(default_factory=dict)
    aids: Mapping[str, Any] = field(default_factory=dict)
    positive: Any = None
    patients: Mapping[str, str] = field(default_factory=dict)
    wrong: Mapping[str, Any] = field(default_factory=dict)
    orders: Mapping[str, tuple[Reading, ...]] = field(default_factory=dict)

    def __post_init__(self):
        for name in ("readers", "cases", "conditions", "items"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        check_names(self)
        check_items(self)
        check_classes(self)
        check_orders(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Protocol":
        """What a person wrote, checked; InputError, with the nearest names, for what does not exist."""
        if not isinstance(data, Mapping) or "cases" not in data or "readers" not in data:
            raise InputError('A protocol is a JSON object with at least "readers", "cases" and "items".')
        given = dict(data)
        for name, kind in (("conditions", Condition), ("items", Item)):
            if name in given:
                given[name] = [_named(kind, one, name) for one in _listed(given[name], name)]
        read = mapped(given.get("orders", {}), "orders").items()
        given["orders"] = {reader: _readings(readings, reader) for reader, readings in read}
        return configured(cls, given, "the protocol")

    def to_json(self) -> dict[str, Any]:
        """Plain dictionaries and lists, ready for JSON; what is as usual is left out."""
        return json.loads(json.dumps(_written(self)))

    @property
    def text(self) -> str:
        """The protocol as the ratings store keeps it: the same text for the same plan."""
        return json.dumps(self.to_json(), sort_keys=True, separators=(",", ":"), ensure_ascii=False)

    @property
    def frozen(self) -> str:
        """The hash (SHA-256) of the text: what ratings are tied to."""
        return hashlib.sha256(self.text.encode()).hexdigest()

    @property
    def classes(self) -> list:
        """What a case can be, sorted: of the truth, the aids and the answers."""
        said = [*self.truth.values(), *self.aids.values()]
        for item in self.items:
            said += item.categories if item.role == "answer" else ()
        return sorted(set(said), key=lambda one: (str(type(one)), one))

    def condition(self, name: str) -> Condition:
        """The condition of that name; InputError where there is none."""
        by_name = {condition.name: condition for condition in self.conditions}
        check_choice("condition", name, by_name)
        return by_name[name]

    def shown(self, case: str, condition: str) -> Any:
        """The class that the reader is shown, planted wrong or not; None where no aid is shown."""
        if self.condition(condition).shows == "nothing":
            return None
        return self.wrong.get(case, self.aids[case])

    def steps(self, condition: str) -> tuple[str, ...]:
        """The steps in which a case is answered in this condition."""
        two = self.two_step and self.condition(condition).shows != "nothing"
        return ("first", "final") if two else ("final",)

    def asked(self, condition: str, step: str) -> list[Item]:
        """The items asked in a step ("first" or "final") of a condition.

        Without an aid there is one step, with all that is asked before an aid; where the study has no aids at
        all, with all that is asked about cases.
        """
        aided = any(one.shows != "nothing" for one in self.conditions)
        when = {"both", step}
        if self.condition(condition).shows == "nothing":
            when = {"both", "first"} if aided else {"both", "first", "final"}
        return [item for item in self.items if item.asked in when]

    def order(self, reader: str) -> pd.DataFrame:
        """One reader's readings: session, order (in it, from 0), case, condition, repeat, aid (as shown)."""
        check_choice("reader", reader, self.readers)
        if not self.orders:
            raise InputError(f"The orders of '{self.name}' are not drawn yet; complete it with drawn().")
        table = pd.DataFrame(self.orders[reader], columns=Reading._fields)
        table["order"] = table.groupby("session").cumcount()
        shown = [self.shown(*pair) for pair in zip(table["case"], table["condition"], strict=True)]
        table["aid"] = pd.Series(shown, dtype=object)
        return table[["session", "order", "case", "condition", "repeat", "aid"]]


def drawn(protocol: Protocol) -> Protocol:
    """The protocol with its wrong aids and orders drawn by its seed.

    Raises InputError where they are drawn already: another draw is another protocol.
    """
    if protocol.orders:
        raise InputError(
            f"The orders of '{protocol.name}' are drawn already; take 'orders' and 'wrong' out to draw anew."
        )
    rng = np.random.default_rng(protocol.seed)
    wrong = protocol.wrong or _planted(protocol, rng)

    def stratum(case: str) -> tuple:
        """Cases that each condition gets as many of: planted aids, the model's own mistakes, classes."""
        right = protocol.aids.get(case) == protocol.truth.get(case)
        return case not in wrong, right, str(protocol.truth.get(case))

    shuffled = [protocol.cases[i] for i in rng.permutation(len(protocol.cases))]
    made = orders(
        protocol.readers,
        sorted(shuffled, key=stratum),
        [condition.name for condition in protocol.conditions],
        protocol.design != "crossed",
        protocol.groups if protocol.design == "split plot" else 1,
        protocol.repeats,
        rng,
    )
    return replace(protocol, wrong=wrong, orders=made)


def _planted(protocol: Protocol, rng: np.random.Generator) -> dict[str, Any]:
    """Cases with the wrong class that their aid shows: of each true class by its share of the cases."""
    count = round(protocol.wrong_aid * len(protocol.cases))
    if not count:
        return {}
    right = [case for case in protocol.cases if protocol.aids[case] == protocol.truth[case]]
    if len(protocol.classes) < 2:
        raise InputError(
            "A wrong aid needs a second class; the truth, the aids and the answers know one only."
        )
    if count > len(right):
        raise InputError(
            f"'wrong_aid' asks for {count} planted wrong aids, but the model is right on {len(right)} cases "
            "only; ask for a smaller share."
        )
    by_class = sorted(
        [right[i] for i in rng.permutation(len(right))], key=lambda case: str(protocol.truth[case])
    )
    start = rng.random()
    chosen = [by_class[math.floor((k + start) * len(right) / count)] for k in range(count)]
    others = {case: [one for one in protocol.classes if one != protocol.truth[case]] for case in chosen}
    return {case: classes[rng.integers(len(classes))] for case, classes in others.items()}


def read_protocol(path: Path) -> Protocol:
    """The protocol in a JSON file; its name is the file's unless it gives one."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(
            f"There is no protocol {path}; make one with `python -m studykit study new`."
        ) from None
    except (json.JSONDecodeError, UnicodeDecodeError, OSError) as why:
        raise InputError(f"The protocol {path} cannot be read as JSON ({why}); mend it.") from None
    return Protocol.from_json({"name": path.stem, **data} if isinstance(data, dict) else data)


def write_protocol(protocol: Protocol, path: Path) -> None:
    """The protocol as a JSON file, a line an entry."""
    lines = []
    for name, value in protocol.to_json().items():
        told = json.dumps(value, ensure_ascii=False)
        if isinstance(value, list) and value and isinstance(value[0], dict):
            told = "[\n  " + ",\n  ".join(json.dumps(one, ensure_ascii=False) for one in value) + "]"
        elif name == "orders":
            rows = [f"{json.dumps(k)}: {json.dumps(v, ensure_ascii=False)}" for k, v in value.items()]
            told = "{\n  " + ",\n  ".join(rows) + "}"
        lines.append(f"{json.dumps(name)}: {told}")
    write_whole(path, "{\n " + ",\n ".join(lines) + "\n}\n")


def _listed(value: Any, what: str) -> list:
    if not isinstance(value, list | tuple) or not all(isinstance(one, Mapping) for one in value):
        raise InputError(f"'{what}' of a protocol is a list of JSON objects, not {value!r}.")
    return value


def _named(kind: type, data: Mapping[str, Any], what: str) -> Any:
    """A condition or an item from its JSON object."""
    given = dict(data)
    name = given.pop("name", None)
    if not isinstance(name, str) or not name:
        raise InputError(f"Each of a protocol's {what} has a 'name', a text; {data!r} has none.")
    return configured(partial(kind, name), given, f"'{name}' (one of the {what})")


def _readings(data: Any, reader: str) -> tuple[Reading, ...]:
    """A reader's order from its JSON; sessions count from 1, repeats from 0."""
    if not isinstance(data, list | tuple):
        raise InputError(f"The order of '{reader}' is a list of readings, not {data!r}.")
    for one in data:
        kinds = [type(part) for part in one] if isinstance(one, list | tuple) else []
        if kinds != [str, str, int, int] or one[2] < 1 or one[3] < 0:
            raise InputError(
                f"The order of '{reader}' holds {one!r}; a reading is [case, condition, session, repeat]."
            )
    return tuple(Reading(*one) for one in data)


def _written(thing: Any) -> Any:
    """A dataclass as its fields that differ from their defaults; all else as it is."""
    if isinstance(thing, tuple) and not isinstance(thing, Reading):
        return [_written(one) for one in thing]
    if not isinstance(thing, Protocol | Condition | Item):
        return thing
    usual = {f.name: f.default if f.default is not MISSING else f.default_factory for f in fields(thing)}
    usual = {name: value() if value is dict else value for name, value in usual.items()}
    given = {name: getattr(thing, name) for name in usual}
    return {name: _written(value) for name, value in given.items() if value != usual[name]}
