"""What the commands of reader studies do, `python -m studykit study ...`, and the study of the demo.

Each loads what it needs when it is called, so that `--help` and mistakes are answered at once.
"""

import argparse
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from studykit.catalog import InputError, check_choice

USUAL = "data/ratings.sqlite"
FILE = "ratings.sqlite"  # beside runs
MAP = "grad_cam"
SEED = 0  # by which the demo's cases and orders are drawn


def new(given: argparse.Namespace) -> None:
    """Draw a protocol from a table of cases."""
    from studykit.files.tables import read_listed
    from studykit.trust.protocol import Protocol, drawn, write_protocol

    if given.out.exists():
        raise InputError(f"{given.out} is there already; give the new protocol another name.")
    table = read_listed(given.cases, ["case"])
    told = {
        name: {case: cell for case, cell in zip(table["case"], table[column], strict=True) if cell}
        for name, column in (("truth", "truth"), ("aids", "aid"), ("patients", "patient"))
        if column in table
    }
    classes = sorted({*told.get("truth", {}).values(), *told.get("aids", {}).values()})
    positive = given.positive or (classes[-1] if classes else None)
    data = {
        "name": given.out.stem,
        "readers": _readers(given.readers),
        "cases": list(table["case"]),
        "conditions": [_condition(word) for word in given.conditions],
        "items": usual_items(classes, positive),
        "two_step": not given.one_step,
        "positive": positive,
        **{name: getattr(given, name) for name in ("design", "groups", "repeats", "wrong_aid", "seed")},
        **told,
    }
    protocol = drawn(Protocol.from_json(data))
    write_protocol(protocol, given.out)
    readings = [len(protocol.orders[reader]) for reader in protocol.readers]
    told = f"{min(readings)} to {max(readings)} readings each"
    print(f"{given.out}: {_count(protocol.readers, 'reader')}, {told}.")
    print("Change items and texts there before anybody answers; the first answer freezes it.")


def simulate(given: argparse.Namespace) -> None:
    """Let simulated readers carry out a protocol, or a study about a folder of runs."""
    from studykit.trust.protocol import drawn, read_protocol
    from studykit.trust.simulate import simulate
    from studykit.trust.store import Store

    if given.protocol.is_dir():
        simulate_about(given.protocol, given.ratings, given.seed)
        return
    protocol = read_protocol(given.protocol)
    protocol = protocol if protocol.orders else drawn(protocol)
    store = Store(given.ratings or _usual())
    simulate(protocol, store, given.seed)
    print(f"The study '{protocol.name}' stands in {store.database.where}, marked as simulated.")


def results(given: argparse.Namespace) -> None:
    """Print all that a study's ratings can answer."""
    from studykit.trust.recorded import MADE_UP, studied
    from studykit.trust.results import LACKING, results

    study = studied(_store(given.ratings), given.name)
    if study.simulated:
        print("SIMULATED: no person gave these ratings.\n")
    told = f"{_count(study.readers, 'reader')}, {_count(study.cases, 'case')}"
    print(f"{study.title or study.name}: {told}")
    for note in [*study.notes, *filter(None, [study.planted])]:
        if note != MADE_UP:
            print(f"note: {note}")
    table = results(study, given.section)
    for section in [given.section] if given.section else LACKING:
        print(f"\n{section}")
        part = table[table["section"] == section]
        if part.empty:
            print(LACKING[section])
            continue
        empty = [] if part["why"].astype(bool).any() else ["why"]
        shown = part.drop(columns=["section", "method", *empty])
        lines = shown.to_string(index=False, float_format="%.3f", na_rep="-").splitlines()
        print("\n".join(line.rstrip() for line in lines))


def verify(given: argparse.Namespace) -> None:
    """Walk the chains of a store's studies."""
    store = _store(given.ratings)
    if given.head and not given.name:
        raise InputError("--head is the head of one study; name the study, too.")
    for name in [given.name] if given.name else store.studies()["name"]:
        found = store.verify(name, given.head or None)
        mark = ", simulated" if store.is_simulated(name) else ""
        print(f"{name}: {found.events} events, unbroken{mark}; head {found.head}")


def backup(given: argparse.Namespace) -> None:
    """Copy a store into one file."""
    from studykit.trust.backup import backup

    print(f"Written to {backup(_store(given.ratings), given.file)}")


def restore(given: argparse.Namespace) -> None:
    """Make a store from a backup."""
    from studykit.trust.backup import restore

    store = restore(given.file, given.ratings or _usual())
    print(f"{', '.join(store.studies()['name']) or 'nothing'}: restored to {store.database.where}")


def export(given: argparse.Namespace) -> None:
    """Write a study's ratings as CSV or Parquet."""
    from studykit.trust.exchange import ANONYMOUS, CURRENT, export
    from studykit.trust.recorded import studied

    store = _store(given.ratings)
    study, protocol = studied(store, given.name), store.protocol(given.name)
    print(f"Written to {export(study, given.folder, given.kind, given.anonymous, protocol)}\n{CURRENT}")
    if given.anonymous:
        print(f"note: {ANONYMOUS}")


def import_(given: argparse.Namespace) -> None:
    """Put an export, or a table of ratings, into a store."""
    from studykit.trust.imported import imported, imported_table, read_about
    from studykit.trust.keep import events_of, keep
    from studykit.trust.protocol import Protocol, read_protocol
    from studykit.trust.store import Store

    if given.source.is_dir():
        study, text = imported(given.source), read_about(given.source)["protocol"]
        if not text:
            raise InputError(f"{given.source} was exported without its protocol and cannot be stored again.")
        Protocol.from_json(json.loads(text))
    elif given.protocol is None:
        raise InputError("A table of ratings needs --protocol: what was asked, of whom, about which cases.")
    else:
        protocol = read_protocol(given.protocol)
        columns = dict(_pair(wish) for wish in given.columns)
        study = imported_table(given.source, protocol.items, columns, protocol, protocol.name)
        text = protocol.text
    events = events_of(study)
    store = Store(given.ratings or _usual())
    count = keep(store, study.name, text, events, study.simulated)
    print(f"{study.name}: {count} of {len(events)} ratings are new in {store.database.where}")


def simulate_about(runs: Path, address: str = "", seed: int = 0) -> None:
    """A simulated study about held-out cases of the first explained run in a folder, unless it stands."""
    from studykit.trust.simulate import simulate
    from studykit.trust.store import Store

    address = address or os.environ.get("STUDYKIT_RATINGS") or str(runs / FILE)
    protocol, store = demo_protocol(runs), Store(address)
    stands, where = set(store.studies()["name"]), store.database.where
    if protocol.name in stands and store.protocol(protocol.name) != protocol.text:
        print(f"A study '{protocol.name}' about other runs stands in {where}; it was left as it is.")
        return
    simulate(protocol, store, seed)
    print(f"The simulated study '{protocol.name}' stands in {where}.")


def demo_protocol(runs: Path, readers: int = 8, cases: int = 40):
    """Eight readers, forty held-out cases, three conditions: no aid, prediction, prediction with a map.

    What the model got wrong is among the cases, as far as they go, so that readers meet wrong advice.
    """
    from studykit.trust.protocol import Protocol, drawn

    run, method = _explained(runs)
    task = run.schema.tasks[0]
    table = run.predictions[run.predictions["split"] == "test"]
    table = table[table[task.name].notna()].sample(frac=1, random_state=SEED)
    right = table[task.name] == table[f"{task.name}.predicted"]
    table = table.loc[right.sort_values(kind="stable").index]
    place = table.groupby(task.name).cumcount()  # classes in turn, as far as they go
    table = table.assign(place=place).sort_values("place", kind="stable").head(cases).sort_values("id")
    names = table["id"].astype(str).tolist()
    by_case = {
        name: dict(zip(names, table[column].astype(str), strict=True))
        for name, column in (("truth", task.name), ("aids", f"{task.name}.predicted"), ("patients", "group"))
    }
    data = {
        "name": "demo",
        "title": f"Demo: does the aid of '{run.recipe.name}' help? Simulated readers",
        "readers": _readers([str(readers)]),
        "cases": names,
        "conditions": [
            *map(_condition, ("nothing", "prediction")),
            {**_condition(f"map:{MAP}"), "method": method},
        ],
        "items": usual_items(task.classes, task.classes[-1]),
        "two_step": True,
        "repeats": 0.1,
        "wrong_aid": 0.15,
        "seed": SEED,
        "positive": task.classes[-1],
        **by_case,
    }
    return drawn(Protocol.from_json(data))


def _explained(runs: Path):
    """The first run with classes whose held-out cases have the map, and the map's key in the store.

    The usual map, else that of the class predicted. InputError where there is none.
    """
    from studykit.explain.store import methods
    from studykit.training import find_runs

    for run in find_runs(runs):
        for method in (MAP, f"{MAP},of=predicted"):
            if run.schema.tasks[0].kind in ("binary", "multiclass") and method in methods(run):
                return run, method
    raise InputError(
        f"No run in {runs} tells classes and has {MAP} maps; make them: "
        f"`python -m studykit explain {runs} --methods {MAP}`."
    )


def usual_items(classes: Sequence[Any], positive: Any) -> list[dict[str, Any]]:
    """What a first study asks: the answer, how likely, how sure, two opinions, a comment, and the SUS."""
    from dataclasses import asdict

    from studykit.trust.sus import Sus

    agree = {
        "scale": "ordinal",
        "categories": [1, 2, 3, 4, 5],
        "labels": ["strongly disagree", "disagree", "neither", "agree", "strongly agree"],
    }
    answer = {"name": "answer", "text": "What is it?", "scale": "nominal", "role": "answer", "asked": "both"}
    score = {"name": "score", "text": f"How likely is {positive}, in percent?", "scale": "interval"}
    sure = {"name": "confidence", "text": "How sure are you?", "role": "trust", "asked": "both"}
    levels = {"categories": [1, 2, 3, 4, 5], "labels": ["not at all", "little", "fairly", "very", "entirely"]}
    sus = [{key: value for key, value in asdict(item).items() if value} for item in Sus().asked()]
    told = [{**answer, "categories": list(classes)}] if classes else []
    if classes:
        told.append({**score, "role": "score", "low": 0, "high": 100, "asked": "both"})
    return [
        *told,
        {**sure, **levels},
        {"name": "helpful", "text": "What I was shown helped me.", **agree},
        {"name": "understandable", "text": "I understand why the aid says what it says.", **agree},
        {"name": "comment", "text": "Anything else?", "scale": "text", "role": "comment"},
        *sus,
    ]


def _readers(words: Sequence[str]) -> list[str]:
    """Names as given, or reader-1, reader-2, ... where a number is."""
    if len(words) == 1 and words[0].isdecimal():
        return [f"reader-{k:0{len(words[0])}d}" for k in range(1, int(words[0]) + 1)]
    return list(words)


def _count(things: Sequence[Any], what: str) -> str:
    return f"{len(things)} {what}{'' if len(things) == 1 else 's'}"


def _condition(word: str) -> dict[str, str]:
    """What "nothing", "prediction" or "map:METHOD" means."""
    shows, _, method = word.partition(":")
    check_choice(
        "condition (written nothing, prediction or map:METHOD)", shows, ("nothing", "prediction", "map")
    )
    if shows == "nothing":
        return {"name": "no aid"}
    if shows == "prediction":
        return {"name": "prediction", "shows": "prediction"}
    return {"name": f"prediction and {method or 'map'}", "shows": "prediction and map", "method": method}


def _pair(wish: str) -> tuple[str, str]:
    name, equals, column = wish.partition("=")
    if not equals or not name or not column:
        raise InputError(f"--columns is written NAME=COLUMN, as reader=Radiologist, not '{wish}'.")
    return name, column


def _usual() -> str:
    return os.environ.get("STUDYKIT_RATINGS") or USUAL


def _store(address: str):
    """The ratings store that is there; InputError where there is none, so that none is made by looking."""
    from studykit.trust.store import Store

    address = address or _usual()
    if "://" not in address and not Path(address).is_file():
        raise InputError(
            f"There are no ratings at {address}; give --ratings, or set STUDYKIT_RATINGS to where they stand."
        )
    return Store(address)
