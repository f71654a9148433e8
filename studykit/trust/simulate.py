"""Readers who do not exist, carrying out a protocol: for workshops, for the demo, and to test statistics.

A reader r sees a case with the margin m = (skill_r + learning * share of the session read) / 2 - difficulty
of the case -+ bias_r (minus where the truth is the positive class) and is right where m + noise > 0, the
noise N(0, 1): with probability Phi(m). An aid that says something else is followed with a chance that depends
on the reader, on whether the aid is right, and on whether a map is shown. So reliance and accuracy are known
(`expected`).
Nothing here says anything about people.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import expit, logit, ndtr

from studykit.catalog import InputError
from studykit.trust.event import SHOWN, Event
from studykit.trust.item import Item
from studykit.trust.keep import keep
from studykit.trust.protocol import Protocol
from studykit.trust.statistic import Statistic

BEGIN = datetime(2024, 1, 8, 9, tzinfo=UTC)
APART = timedelta(days=14)  # between two sessions
COMMENTS = (
    "The map points at the lesion.",
    "The map points beside the lesion.",
    "I would have said the same without help.",
    "The picture is too noisy to say.",
    "The record decided it.",
)


@dataclass(frozen=True)
class Crowd:
    """How simulated readers are: means over readers, and standard deviations between them.

    skill: the distance between two classes, in noise. follows_right, follows_wrong: the chance of taking over
    an aid that contradicts the reader, where the aid is right and where it is wrong (RAIR; 1 - RSR);
    map_helps: the log odds by which a map raises the first and lowers the second. seconds: the median time of
    an answer; quicker: how much less its log is at the end of a session. opinion: how much better a map makes
    opinions, in noise. skips: the share of questions, other than the answer, that are left open.
    """

    skill: float = 1.8
    skill_spread: float = 0.4
    bias_spread: float = 0.3
    difficulty_spread: float = 0.5
    learning: float = 0.3
    follows_right: float = 0.6
    follows_wrong: float = 0.35
    follows_spread: float = 0.5
    map_helps: float = 0.6
    seconds: float = 20.0
    seconds_spread: float = 0.4
    quicker: float = 0.3
    opinion: float = 0.6
    skips: float = 0.02


USUAL = Crowd()


def simulate(protocol: Protocol, store, seed: int = 0, crowd: Crowd = USUAL) -> str:
    """Write a simulated study into a ratings store, under the protocol's name, marked as simulated.

    Done again with the same seed, it writes nothing new. Gives the name. Raises InputError, and takes no
    name, where the protocol cannot be simulated or the study stands there by another seed.
    """
    keep(store, protocol.name, protocol.text, simulated_events(protocol, seed, crowd), simulated=True)
    return protocol.name


def simulated_events(protocol: Protocol, seed: int = 0, crowd: Crowd = USUAL) -> list[Event]:
    """All that simulated readers answer, reader by reader, in the order of their readings."""
    return [event for events in _by_reader(protocol, seed, crowd) for event in events]


def expected(protocol: Protocol, seed: int = 0, crowd: Crowd = USUAL) -> pd.DataFrame:
    """What statistics should find, up to noise: condition, statistic, value; of these very readers and cases.

    statistic: "accuracy" of the final answers, "first accuracy" (before the aid), "RAIR" and "RSR".
    """
    rows, readings = [], _readings(protocol, seed, crowd)
    for condition in [condition.name for condition in protocol.conditions]:
        table = readings[(readings["repeat"] == 0) & (readings["condition"] == condition)]
        right, follows = ndtr(table["margin"]), table["follows"]
        aided, told = table["aid"].notna(), table["aid"] == table["truth"]
        final = right.where(~aided, np.where(told, right + (1 - right) * follows, right * (1 - follows)))
        rows.append((condition, "accuracy", final.mean()))
        if aided.any():
            rows.append((condition, "first accuracy", right.mean()))
            rows.append((condition, "RAIR", _share((1 - right)[told], follows[told])))
            rows.append((condition, "RSR", _share(right[~told], 1 - follows[~told])))
    return pd.DataFrame(rows, columns=["condition", "statistic", "value"])


def _share(weights: pd.Series, values: pd.Series) -> float:
    return float((weights * values).sum() / weights.sum()) if len(weights) else np.nan


def _readings(protocol: Protocol, seed: int, crowd: Crowd) -> pd.DataFrame:
    """A row a reading: what is shown and so, the margin, the chance to follow the aid, the reader's ways."""
    missing = [case for case in protocol.cases if case not in protocol.truth]
    if missing:
        raise InputError(f"Simulated readers need the truth of every case; '{missing[0]}' has none.")
    rng = np.random.default_rng([seed, 0])
    readers = pd.DataFrame(rng.normal(size=(len(protocol.readers), 5)), index=list(protocol.readers))
    readers.columns = ["skill", "bias", "trust", "pace", "mood"]
    hard = pd.Series(rng.normal(size=len(protocol.cases)), index=list(protocol.cases))
    table = pd.concat([protocol.order(reader).assign(reader=reader) for reader in protocol.readers])
    table = table.join(readers, on="reader").reset_index(drop=True)
    table["truth"] = [protocol.truth[case] for case in table["case"]]
    shown = {condition.name: condition for condition in protocol.conditions}
    table["method"] = [shown[name].method for name in table["condition"]]
    length = table.groupby(["reader", "session"])["order"].transform("max").clip(lower=1)
    table["read"] = table["order"] / length
    side = np.where(table["truth"] == protocol.positive, 1, -1)
    skill = crowd.skill + crowd.skill_spread * table["skill"] + crowd.learning * table["read"]
    hardness = crowd.difficulty_spread * table["case"].map(hard)
    table["margin"] = skill / 2 - hardness - side * crowd.bias_spread * table["bias"]
    told = table["aid"] == table["truth"]
    odds = np.where(told, logit(crowd.follows_right), logit(crowd.follows_wrong))
    by_map = np.where(told, 1, -1) * crowd.map_helps * (table["method"] != "")
    table["follows"] = expit(odds + crowd.follows_spread * table["trust"] + by_map)
    return table


def _by_reader(protocol: Protocol, seed: int, crowd: Crowd) -> Iterator[list[Event]]:
    """Each reader's events."""
    readings = _answered(_readings(protocol, seed, crowd), protocol, np.random.default_rng([seed, 1]))
    for number, reader in enumerate(protocol.readers):
        own = readings[readings["reader"] == reader]
        person = _Reader(protocol, crowd, seed, number, mood=float(own["mood"].iloc[0]))
        for reading in own.to_dict("records"):
            person.read(reading)
        for item in protocol.items:
            if item.asked == "end":
                person.answer(item, {"reader": reader, "case": "", "condition": ""}, "end")
        yield person.events


def _answered(table: pd.DataFrame, protocol: Protocol, rng: np.random.Generator) -> pd.DataFrame:
    """The readings with the answers before and after the aid, and the evidence for the positive class."""
    seen = table["margin"] + rng.normal(size=len(table))
    others = {one: [other for other in protocol.classes if other != one] or [one] for one in protocol.classes}
    mistaken = [others[truth][rng.integers(len(others[truth]))] for truth in table["truth"]]
    table["first"] = table["truth"].where(seen > 0, pd.Series(mistaken, table.index))
    aided, agreed = table["aid"].notna(), table["aid"] == table["first"]
    switched = aided & ~agreed & (rng.random(len(table)) < table["follows"])
    table["final"] = table["first"].where(~switched, table["aid"])
    strength = np.abs(seen)
    table["first evidence"] = np.where(table["first"] == protocol.positive, 1, -1) * strength
    after = strength.where(
        ~aided, np.where(switched, 0.6 * strength, np.where(agreed, strength + 0.7, 0.8 * strength))
    )
    table["final evidence"] = np.where(table["final"] == protocol.positive, 1, -1) * after
    table["agreed"] = agreed
    return table


class _Reader:
    """One reader at work: what was answered so far, and the clock."""

    def __init__(self, protocol: Protocol, crowd: Crowd, seed: int, number: int, mood: float):
        self.protocol, self.crowd, self.mood = protocol, crowd, mood
        self.rng = np.random.default_rng([seed, 2, number])
        self.key = f"{protocol.frozen}/{seed}/{number}"
        self.session, self.clock = 1, BEGIN
        self.events: list[Event] = []

    def read(self, reading: dict[str, Any]) -> None:
        """Answer all that is asked about one case."""
        if reading["session"] != self.session:
            self.session, self.clock = reading["session"], BEGIN + (reading["session"] - 1) * APART
        for step in self.protocol.steps(reading["condition"]):
            if step == "final" and reading["aid"] is not None:
                self.note(SHOWN, reading["aid"], reading, "shown", 0.0)
            for item in self.protocol.asked(reading["condition"], step):
                self.answer(item, reading, step)

    def answer(self, item: Item, reading: dict[str, Any], step: str) -> None:
        """Answer one question."""
        rating = self.rating(item, reading, step)
        if item.role != "answer" and self.rng.random() < self.crowd.skips:
            rating = None
        seconds = self.crowd.seconds if item.role == "answer" else self.crowd.seconds / 5
        pace = 0.3 * reading.get("pace", 0.0) - self.crowd.quicker * reading.get("read", 0.0)
        elapsed = seconds * np.exp(pace + self.crowd.seconds_spread * self.rng.normal())
        self.note(item.name, rating, reading, step, round(float(elapsed), 2))

    def rating(self, item: Item, reading: dict[str, Any], step: str) -> Any:
        """What the reader answers."""
        if item.scale == "text":
            return COMMENTS[self.rng.integers(len(COMMENTS))] if self.rng.random() < 0.3 else None
        evidence, noise = reading.get(f"{step} evidence", 0.0), self.rng.normal()
        if item.role == "answer" and reading[step] in (item.categories or self.protocol.classes):
            return reading[step]
        if item.role in ("answer", "score"):
            return on_scale(item, ndtr(evidence))
        if item.role in ("trust", "trust in the aid"):
            return on_scale(item, ndtr(abs(evidence) - 0.8 + 0.3 * self.mood + 0.5 * noise))
        if item.role == "questionnaire":
            liking = 0.4 + 0.8 * self.mood + 0.6 * noise
            return on_scale(item, ndtr(-liking if _opposed(item) else liking))
        by_map = self.crowd.opinion * bool(reading.get("method"))
        return on_scale(item, ndtr(0.4 * self.mood + by_map + 0.4 * reading.get("agreed", 0) + 0.8 * noise))

    def note(self, item: str, rating: Any, reading: dict[str, Any], step: str, elapsed: float) -> None:
        """Write an event, with the time and an id that follow from the seed."""
        self.clock += timedelta(seconds=elapsed)
        name = f"{self.key}/{len(self.events)}"
        aided = step != "first" and reading.get("aid") is not None
        event = Event(
            reader=reading["reader"],
            case=reading["case"],
            condition=reading["condition"],
            item=item,
            rating=rating,
            step=step,
            repeat=reading.get("repeat", 0),
            order=reading.get("order", 0),
            session=str(self.session),
            elapsed=elapsed if step != "shown" else None,
            time=self.clock.isoformat(timespec="milliseconds"),
            model="simulated" if aided else "",
            map=reading["method"] if aided else "",
            client=hashlib.sha256(name.encode()).hexdigest()[:32],
        )
        self.events.append(event)


def _opposed(item: Item) -> bool:
    """Whether agreeing with a questionnaire's item speaks against what is rated."""
    of = Statistic.catalogue.get(item.questionnaire)
    number = item.name.rpartition("_")[2]
    return number.isdigit() and int(number) in getattr(of, "opposed", ())


def on_scale(item: Item, share: float) -> Any:
    """The answer that stands at this share (0 to 1) of an item's scale."""
    if item.categories:
        return item.categories[min(int(share * len(item.categories)), len(item.categories) - 1)]
    low = item.low if item.low is not None else 0
    high = item.high if item.high is not None else low + 100
    value = low + share * (high - low)
    return round(value) if high - low >= 10 else round(float(value), 3)
