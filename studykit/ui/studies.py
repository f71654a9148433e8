"""Which reader studies are there, read once for all visitors; and which of them one visitor looks at."""

import io
import json
import os
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path

import pandas as pd
import param

from studykit.catalog import InputError
from studykit.trust import Item, Study
from studykit.trust.exchange import defused
from studykit.trust.protocol import Protocol
from studykit.trust.published import Published, published_studies
from studykit.trust.results import SECTIONS, results

FILE = "ratings.sqlite"  # the store beside the runs
ALL = "all conditions"
NONE = "no study"
_WORKER = ThreadPoolExecutor(1, "results")  # one question after the other, so that pages stay awake


class Studies(param.Parameterized):
    """Made once a visitor, from a folder of runs, from studies at hand, or from both.

    folder: its store of ratings is RUNS/ratings.sqlite, or stands at the address in STUDYKIT_RATINGS; to
    these come the published studies under STUDYKIT_DATA. What is shown stands still until the page is loaded
    again, though readers may go on answering.
    """

    study = param.Selector(check_on_set=True, doc="the key of a study")
    item = param.Selector(check_on_set=True, doc="the name of an item that somebody answered")
    condition = param.Selector(check_on_set=True, doc="a condition, or all of them")
    shown = param.Tuple(default=("", "", ""), doc="study, item and condition once they fit together")

    def __init__(self, *at_hand: Study, folder: Path | None = None, **params):
        self.folder, self.why = folder, ""  # why the store cannot be read
        self._recorded, self._at_hand = {}, {study.name: study for study in at_hand}
        published: dict[str, Published] = {}
        if folder is not None:
            try:
                self._recorded = stored(address(folder))
            except InputError as why:
                self.why = str(why)
            published = published_studies()
        self._published = {f"published {name}": one for name, one in published.items()}
        there = {name: name for name in [*self._at_hand, *self._recorded]}
        there |= {one.title: key for key, one in self._published.items()}
        self.param.study.objects = there or {NONE: ""}
        super().__init__(**{"study": next(iter(there.values()), ""), **params})
        self._offer()

    @property
    def found(self) -> Study | str:
        """The chosen study; a sentence that says what to run, where there is none."""
        if self.study in self._at_hand:
            return self._at_hand[self.study]
        try:
            if self.study in self._recorded:
                return _recorded(address(self.folder), self.study, *self._recorded[self.study])
            if self.study in self._published:
                one = self._published[self.study]
                return _published(one, one.path, one.path.stat().st_mtime_ns)
        except (InputError, OSError) as why:
            return str(why)
        return (
            f"{self.why} There is no reader study here yet. Run `python -m studykit study simulate "
            f"{self.folder}` for one with simulated readers, and reload the page."
        ).strip()

    @param.depends("study", watch=True)
    def _offer(self) -> None:
        """Offer the study's items and conditions; keep those chosen where it has them, too."""
        found = self.found
        items = [] if isinstance(found, str) else answered(found)
        conditions = [] if isinstance(found, str) else found.conditions
        self.param.item.objects = {called(item): item.name for item in items} or {"no item": ""}
        self.param.condition.objects = [ALL, *map(str, conditions)]
        chosen = {}
        for name in ("item", "condition"):
            offered = list(self.param[name].objects)
            chosen[name] = getattr(self, name) if getattr(self, name) in offered else offered[0]
        self.param.update(**chosen)
        self._show()

    @param.depends("item", "condition", watch=True)
    def _show(self) -> None:
        if self.item in self.param.item.objects and self.condition in self.param.condition.objects:
            self.shown = (self.study, self.item, self.condition)

    def asked(self, section: str) -> Future:
        """The chosen study's `results` of a section, computed once for all visitors, beside the page."""
        return _asked(self.found, section)

    @property
    def maps(self) -> dict[str, str]:
        """{condition of the chosen study: the explanation whose map is shown}; of recorded studies only."""
        if self.study not in self._recorded or isinstance(self.found, str):
            return {}
        plan = _protocol(address(self.folder), self.study, self._recorded[self.study][0])
        return {condition.name: condition.method for condition in plan.conditions if condition.method}

    def table(self) -> pd.DataFrame:
        """`results` of all sections, to be downloaded: every row says which study, and whose ratings."""
        found = self.found
        tables = [self.asked(section).result() for section in SECTIONS]
        whole = pd.concat([table for table in tables if len(table)] or tables[:1], ignore_index=True)
        return whole.assign(study=found.name, ratings=kind(found))


def as_csv(table: pd.DataFrame) -> io.StringIO:
    """A table as a file that a spreadsheet can open: what would be a formula there is defused."""
    text = table.map(defused) if len(table) else table
    return io.StringIO(text.to_csv(index=False))


def answered(study: Study) -> list[Item]:
    """The items that somebody answered, in the study's order."""
    there = set(study.ratings["item"])
    return [item for item in study.items.values() if item.name in there]


def called(item: Item) -> str:
    """An item as a list of items has it: its name, and its text where that says more."""
    told = item.text if len(item.text) < 70 else f"{item.text[:67]}..."
    return f"{item.name}: {told}" if told and told != item.name else item.name


def kind(study: Study) -> str:
    """Whose ratings these are."""
    return "simulated" if study.simulated else "published" if study.source else "recorded here"


def address(folder: Path) -> str:
    """Where the ratings of the runs in a folder stand."""
    return os.environ.get("STUDYKIT_RATINGS") or str(folder / FILE)


def stored(where: str) -> dict[str, tuple[str, int]]:
    """{name: its protocol's hash, number of events} of a store's studies; empty where there is no store."""
    if "://" not in where and not Path(where).is_file():
        return {}
    table = _store(where).studies()
    return {row.name: (row.hash, row.events) for row in table.itertuples(index=False)}


def study_about(folder: Path, cases: Iterable[str]) -> Study | None:
    """The study recorded beside the runs that shares most of these cases; None where none shares any.

    Published studies are about others' cases, whatever these are called. Raises InputError, or OSError, where
    the store or the study cannot be read.
    """
    where, cases = address(folder), set(cases)
    there = stored(where)
    shared = {name: len(cases & set(_protocol(where, name, of).cases)) for name, (of, _) in there.items()}
    most = max(shared, key=shared.get, default="")
    return _recorded(where, most, *there[most]) if shared.get(most) else None


# What all visitors share is cached here, bounded; a study by the number of its events.
@lru_cache(maxsize=8)
def _store(where: str):
    from studykit.trust.store import Store

    return Store(where)


@lru_cache(maxsize=16)
def _recorded(where: str, name: str, protocol: str, events: int) -> Study:
    from studykit.trust.recorded import studied

    return studied(_store(where), name)


@lru_cache(maxsize=64)
def _protocol(where: str, name: str, protocol: str) -> Protocol:
    return Protocol.from_json(json.loads(_store(where).protocol(name)))


@lru_cache(maxsize=16)
def _published(one: Published, path: Path, changed: int) -> Study:
    return one.study()


@lru_cache(maxsize=128)
def _asked(study: Study, section: str) -> Future:
    return _WORKER.submit(results, study, section)
