"""How good the maps of runs are: every score of every method on the held-out cases, kept in the run folder.

quality.parquet    one row a case, method, modality and score: `value`, what `chance` would get, and `why` it
                   is NaN; with the case's patient (group), label, prediction, and the size of its region
curves.parquet     one row a case, method, modality, curve and step
How they were made, and the digest of the weights, stand in the files' metadata.
"""

import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from studykit.catalog import InputError, build, spec
from studykit.explain import Explainer, key, store
from studykit.explain.explain import explained, joined, opened
from studykit.explain.told_table import told, write_told
from studykit.quality.dice import dice
from studykit.quality.region import known_by, region
from studykit.quality.score import Asked, Score, Scored, heat_of
from studykit.quality.threshold import tuned
from studykit.sweep import sweep
from studykit.training.run import Run

FILE, CURVES = "quality.parquet", "curves.parquet"
TOGETHER = 32  # cases a worker is given at a time
TUNING = 48  # validation cases that a threshold is tuned on
CUT = ("iou", "dice")  # scores that cut the map at a threshold
CURVE = ["case", "method", "modality", "curve", "step", "value"]


def quality(
    runs: Run | Sequence[Run],
    methods: Sequence[Explainer | Mapping[str, Any] | str] = (),
    scores: Sequence[Score | Mapping[str, Any] | str] = (),
    of: str = "predicted",
    cases: int = 0,
    seed: int = 0,
    workers: int = 0,
    scheduler: str = "",
    watch: Callable[[Iterable], Iterable] = iter,
    tell: Callable[[str], None] = warnings.warn,
) -> Iterator[tuple[Run, pd.DataFrame]]:
    """Each run with its table of scores, read where it stands, else made and kept; explains what is missing.

    methods: those that suit a run's model, with the controls always beside; by default what is explained
    already, else all that suit. scores: by default all but the dear ones. of: the class explained, see
    `Explainer`. cases: how many held-out cases, drawn; 0 for all. workers, scheduler: see `studykit.sweep`.
    tell: is told which run is left out because no method suits it. Only the methods and scores that are not
    there yet are computed; they are kept method by method. Raises InputError where no run is left.
    """
    runs = [runs] if isinstance(runs, Run) else list(runs)
    chosen = [_built(Score, score) for score in scores or usual_scores()]
    on = {"workers": workers, "scheduler": scheduler, "watch": watch}
    suited = 0
    for run in runs:
        try:
            asked = suiting(run, methods, of)
        except InputError as why:
            if run is runs[-1] and not suited:
                raise
            tell(f"{run.folder}: {why}")
            continue
        suited += 1
        about = {"weights": store.weights_digest(run), "of": of, "seed": seed}
        about["ids"] = _at_least(run, about, drawn(run, cases, seed))
        for _ in explained([run], asked, of, about["ids"], **on):
            pass
        for method in asked:
            _score(run, method, chosen, about, [key(one, of) for one in asked], on)
        yield run, read(run)


def _score(
    run: Run, method: Explainer, chosen: list[Score], about: dict, asked: list[str], on: Mapping[str, Any]
) -> None:
    """Compute what is missing of one method's scores, and keep it."""
    table, curves, done = _stored(run, about)
    name, ids = key(method, about["of"]), about["ids"]
    there = {pair.split(" | ")[0] for pair in done}
    beside = [one for one in dict.fromkeys([*asked, *sorted(there)]) if one in store.methods(run)]
    marks = {f"{name} | {named(s)}": key(s) + (f" beside {beside}" * s.wants_others) for s in chosen}
    missing = [s for s in chosen if done.get(f"{name} | {named(s)}") != marks[f"{name} | {named(s)}"]]
    if not missing:
        return
    work = partial(
        _portion, folder=str(run.folder), of=about["of"], seed=about["seed"], method=spec(method),
        scores=[spec(score) for score in missing],
        beside=beside if any(score.wants_others for score in missing) else [],
        thresholds=_thresholds(run, method, about["of"]) if any(s.name in CUT for s in missing) else {},
    )  # fmt: skip
    portions = [ids[start : start + TOGETHER] for start in range(0, len(ids), TOGETHER)]
    made = list(sweep(work, portions, **on))
    table = _in_place(table, [rows for rows, _ in made], ["method", "modality", "score"])
    curves = _in_place(curves, [rows for _, rows in made], ["method", "modality", "curve"])
    curves = curves.drop_duplicates(CURVE[:-1])  # several scores have one curve
    done |= {pair: mark for pair, mark in marks.items() if pair in {f"{name} | {named(s)}" for s in missing}}
    write_told(run.folder / CURVES, curves, about)
    write_told(run.folder / FILE, table, about | {"done": done})


def _in_place(held: pd.DataFrame, made: list[pd.DataFrame], names: list[str]) -> pd.DataFrame:
    """The rows held and made, but for those held of the same `names`."""
    new = pd.concat(made, ignore_index=True) if any(map(len, made)) else made[0]
    if not len(held) or not len(new):
        return new if len(new) else held
    replaced = set(map(tuple, new[names].drop_duplicates().to_numpy()))
    kept = [row not in replaced for row in map(tuple, held[names].to_numpy())]
    return pd.concat([held[kept], new], ignore_index=True)


def named(score: Score) -> str:
    """A score's name in the tables, with the settings that change what it means."""
    usual = spec(type(score)())
    changed = {name: value for name, value in spec(score).items() if value != usual[name]}
    return ",".join([score.name, *(f"{n}={v}" for n, v in changed.items() if n not in score.effort)])


def usual_scores() -> list[str]:
    """The names of all scores but the dear ones."""
    return [name for name, score in sorted(Score.catalogue.items()) if not score.dear]


def suiting(run: Run, methods: Sequence[Explainer | Mapping[str, Any] | str], of: str) -> list[Explainer]:
    """The methods that suit the run's model and the controls; where none is named, those explained already.

    Raises InputError where none of those that are named suits.
    """
    if not methods:
        stored = [store.read(run, name, []).spec for name in store.methods(run)]
        stored = [one for one in stored if one.get("name") in Explainer.catalogue]
        methods = [one for at, one in enumerate(stored) if one not in stored[:at]] or usual_methods()
    chosen, model, reasons = {}, opened(str(run.folder))[1], []
    for wish in methods:
        method = _built(Explainer, wish)
        reason = method.suits(model, run.schema)
        if reason:
            reasons.append(reason)
        else:
            chosen[key(method, of)] = method
    if not chosen:
        raise InputError(reasons[0])
    for control in (method() for _, method in sorted(Explainer.catalogue.items()) if method.control):
        if not control.suits(model, run.schema):
            chosen.setdefault(key(control, of), control)
    return list(chosen.values())


def usual_methods() -> list[str]:
    """The names of all methods but the controls."""
    return [name for name, method in sorted(Explainer.catalogue.items()) if not method.control]


def drawn(run: Run, cases: int, seed: int) -> list[str]:
    """So many of the run's held-out cases, in their order; all of them for 0."""
    ids = run.test_ids
    if cases < 0:
        raise InputError(f"'cases' is how many cases are drawn, or 0 for all, not {cases}.")
    some = np.random.default_rng(seed).permutation(len(ids))[: cases or None]
    return [ids[at] for at in sorted(some)]


def read(run: Run) -> pd.DataFrame:
    """The stored table; InputError, with what to run, where there is none of the weights that stand there."""
    about = told(run.folder / FILE)
    if about is None or about["weights"] != store.weights_digest(run):
        raise InputError(
            f"{run.folder} holds no scores of its maps; make them with "
            f"`python -m studykit quality {run.folder}`."
        )
    return pd.read_parquet(run.folder / FILE)


def read_curves(run: Run) -> pd.DataFrame:
    """The curves behind the scores: case, method, modality, curve, step, value; InputError as `read`."""
    read(run)
    about, held = told(run.folder / FILE), told(run.folder / CURVES)
    if held is None or any(held[name] != about[name] for name in held):
        raise InputError(
            f"The curves of {run.folder} are not those of its scores; make them again with "
            f"`python -m studykit quality {run.folder}`."
        )
    return pd.read_parquet(run.folder / CURVES)


def stamp(run: Run) -> int:
    """What changes when the scores are made anew."""
    path = run.folder / FILE
    return path.stat().st_mtime_ns if path.is_file() else 0


def _built(kind: type, wish: Any) -> Any:
    return wish if isinstance(wish, kind) else build(kind, wish)


def _at_least(run: Run, about: Mapping[str, Any], ids: list[str]) -> list[str]:
    """These cases, or those that are scored already, where they are among them."""
    held = told(run.folder / FILE) or {}
    same = all(held.get(name) == value for name, value in about.items())
    return held["ids"] if same and set(ids) <= set(held["ids"]) else ids


def _stored(run: Run, about: Mapping[str, Any]) -> tuple[pd.DataFrame, pd.DataFrame, dict[str, str]]:
    """What stands already of these very cases: the scores, the curves, and which were made, and how."""
    held, beside = told(run.folder / FILE), told(run.folder / CURVES)
    for one in (held, beside):
        if one is None or any(one.get(name) != value for name, value in about.items()):
            return pd.DataFrame(), pd.DataFrame(columns=CURVE), {}
    return pd.read_parquet(run.folder / FILE), pd.read_parquet(run.folder / CURVES), held["done"]


def _thresholds(run: Run, method: Explainer, of: str) -> dict[str, float]:
    """Where the method's maps of each picture are cut, tuned on validation cases."""
    table = run.predictions
    ids = table.loc[table["split"] == "val", "id"].tolist()[:TUNING]
    if not ids:
        return {}
    batch, model = run.prepared.load(ids), opened(str(run.folder))[1]
    parts = [range(start, min(start + 16, len(ids))) for start in range(0, len(ids), 16)]
    made, found = joined([method(model, batch.take(part), of=of) for part in parts]), {}
    known = known_by(run.prepared, ids)
    for name, values in made.maps.items():
        modality = run.schema.modality(name)
        where = region(run.prepared, batch, modality, known)
        with suppress(InputError):  # no validation case has a region and a map
            if where is not None:
                found[name] = tuned(heat_of(values, modality), where, dice)
    return found


def _portion(
    ids: list[str],
    folder: str,
    of: str,
    seed: int,
    method: dict,
    scores: list[dict],
    beside: list[str],
    thresholds: Mapping[str, float],
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """A method's scores and curves of a portion of a run's cases; runs in whatever process is given it."""
    run, model = opened(folder)
    batch = run.prepared.load(ids)
    batch.inputs = {name: batch.inputs[name] for name in model.modalities}
    explainer = build(Explainer, method)
    name, chosen = key(explainer, of), [build(Score, score) for score in scores]
    explanation = store.read(run, name, ids)
    others = {other: store.read(run, other, ids) for other in beside if other != name}
    facts, known = facts_of(run, ids), known_by(run.prepared, run.test_ids)
    rows, curves = [], []
    for modality in explanation.maps:
        where = region(run.prepared, batch, run.schema.modality(modality), known)
        asked = Asked(
            model, batch, explainer, explanation, run.schema.modality(modality), where,
            {other: e for other, e in others.items() if modality in e.maps},
            thresholds.get(modality, 0.5), seed,
        )  # fmt: skip
        about = {"method": name, "modality": modality, "control": explainer.control}
        about["size"] = _size(where, len(ids))
        for score in chosen:
            if score.suits(asked):
                continue
            unusual = named(score).removeprefix(score.name)
            for statistic, found in score(asked).items():
                rows.append(_rows(facts, about | {"score": statistic + unusual}, found))
                curves += _curve_rows(ids, name, modality, found, unusual)
    together = pd.concat(rows, ignore_index=True) if rows else pd.DataFrame()
    return together, pd.concat(curves, ignore_index=True) if curves else pd.DataFrame(columns=CURVE)


def facts_of(run: Run, ids: Sequence[str]) -> pd.DataFrame:
    """What is known of some cases: case, group (patient), label, predicted, right (none without a label)."""
    task = run.schema.tasks[0]
    table = run.predictions.set_index("id").loc[list(ids)]
    classed = f"{task.name}.predicted" in table
    said = table[f"{task.name}.predicted"] if classed else pd.Series(None, table.index, dtype=object)
    label = table[task.name].astype(object).where(table[task.name].notna(), None)
    right = (label == said).astype(object).where(label.notna() & classed, None)
    return pd.DataFrame(
        {"case": list(ids), "group": table["group"], "label": label, "predicted": said, "right": right}
    ).reset_index(drop=True)


def _size(where: np.ndarray | None, count: int) -> np.ndarray:
    """The region's share of the places, NaN where it is empty."""
    if where is None:
        return np.full(count, np.nan)
    share = where.reshape(count, -1).mean(axis=1)
    return np.where(share > 0, share, np.nan)


def _rows(facts: pd.DataFrame, about: Mapping[str, Any], found: Scored) -> pd.DataFrame:
    chance = np.full(len(facts), np.nan) if found.chance is None else found.chance
    why = found.why if found.why is not None else [""] * len(facts)
    return facts.assign(**about, value=found.values, chance=chance, why=list(why))


def _curve_rows(
    ids: list[str], method: str, modality: str, found: Scored, unusual: str
) -> list[pd.DataFrame]:
    return [
        pd.DataFrame(
            {
                "case": np.repeat(ids, values.shape[1]), "method": method, "modality": modality,
                "curve": name + unusual, "step": np.tile(found.steps, len(ids)), "value": values.ravel(),
            }
        )
        for name, values in found.curves.items()
    ]  # fmt: skip
