"""What is stored of how good the maps are and of what gates pass, the folds of a model together."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pandas as pd

from studykit.catalog import InputError
from studykit.explain.gates import FILE as GATES
from studykit.explain.gates import Gates, is_there, read_gates
from studykit.models.taps import Tap, taps
from studykit.quality import Score, grades, summary
from studykit.quality.quality import read, read_curves, stamp
from studykit.quality.summary import adjusted
from studykit.scores import draws
from studykit.training import Run
from studykit.ui.plain import listed
from studykit.ui.session import OF, Session, is_control, title_of

AGREEMENT = r"^(spearman|ssim|jaccard) with (.+)$"
RESAMPLES = 1000


@dataclass(frozen=True, eq=False)
class Measured:
    """The scores of a model's maps, its folds' held-out cases as one.

    table, curves: as `quality` keeps them. notes: what was not scored in every fold, in sentences.
    """

    table: pd.DataFrame
    curves: pd.DataFrame
    notes: tuple[str, ...]

    def methods(self, modality: str) -> list[str]:
        """Those that are scored on a modality, the controls last."""
        found = self.table.loc[self.table["modality"] == modality, "method"].unique()
        return sorted(sorted(found), key=is_control)

    @property
    def modalities(self) -> list[str]:
        """Those with scores."""
        return list(dict.fromkeys(self.table["modality"]))


def measured(session: Session, model: str) -> Measured | str:
    """What is stored of a model's maps; a sentence that says what to run, where nothing is."""
    runs = tuple(session.runs[model])
    found = _measured(runs, tuple((stamp(run), _trained(run)) for run in runs))
    if found is None:
        return (
            f"The maps of '{model}' are not scored yet. Run "
            f"`python -m studykit quality {session.folder}` and reload the page."
        )
    return found


@lru_cache(maxsize=32)
def _measured(runs: tuple[Run, ...], changed: tuple) -> Measured | str | None:
    tables, curves = {}, []
    for run, (made, _) in zip(runs, changed, strict=True):
        if not made:
            continue
        try:
            table = read(run)
        except InputError:  # of weights that are gone
            continue
        if len(table):
            tables[run.fold] = table
            curves.append(read_curves(run))
    if not tables:
        return None
    whole = pd.concat([table.assign(fold=fold) for fold, table in tables.items()], ignore_index=True)
    names = ["method", "modality", "score", "case"]
    if whole.duplicated(names).any():
        row = whole[whole.duplicated(names)].iloc[0]
        return (
            f"The case '{row['case']}' has {row['score']} of {row['method']} twice, in two folds or with two "
            "settings; score each case once."
        )
    some = pd.concat(curves, ignore_index=True)
    return Measured(whole, some, tuple(_differences(whole, [run.fold for run in runs])))


def _differences(table: pd.DataFrame, folds: list[int]) -> Iterable[str]:
    """How the folds were scored in different ways."""
    there = sorted(table["fold"].unique())
    if len(there) < len(folds):
        yield f"Only fold{'s' * (len(there) > 1)} {listed(there)} of {len(folds)} are scored."
    own = table[~table["score"].str.match(AGREEMENT)]
    own = own.assign(score=own["score"].str.partition(", ")[0])
    for column, title in (("method", title_of), ("score", score_title)):
        shown = own.groupby(column)["fold"].agg(set)
        by_folds: dict[tuple, list[str]] = {}
        for name, of in shown.items():
            if len(of) < len(there):
                by_folds.setdefault(tuple(sorted(of)), []).append(title(name))
        for of, names in by_folds.items():
            yield f"In fold{'s' * (len(of) > 1)} {listed(of)} alone: {listed(names)}."


@lru_cache(maxsize=128)
def summed(found: Measured, modality: str, by: str = "") -> pd.DataFrame:
    """`summary` of a modality's scores, without how far methods agree."""
    table = found.table[found.table["modality"] == modality]
    return summary(table[~table["score"].str.match(AGREEMENT)], by, resamples=RESAMPLES)


@lru_cache(maxsize=32)
def class_adjusted(found: Measured, modality: str) -> pd.DataFrame:
    """The degradation score by class, over all cases, and adjusted; see `adjusted`."""
    return adjusted(found.table[found.table["modality"] == modality], resamples=RESAMPLES)


@lru_cache(maxsize=32)
def graded(found: Measured, model: str) -> pd.DataFrame | str:
    """`grades` of a model on a phantom; a sentence where the score that they need is lacking."""
    try:
        return grades(found.table, model, resamples=RESAMPLES)
    except InputError as why:
        return str(why)


@lru_cache(maxsize=32)
def agreements(found: Measured, modality: str) -> dict[str, pd.DataFrame]:
    """{measure: mean over cases, a square table of methods}; empty where methods were not compared."""
    table = found.table[found.table["modality"] == modality]
    parts = table["score"].str.extract(AGREEMENT)
    rows = table.assign(measure=parts[0], other=parts[1]).dropna(subset=["measure"])
    methods, made = found.methods(modality), {}
    for measure, some in rows.groupby("measure", sort=False):
        square = some.pivot_table("value", "method", "other", "mean", dropna=False)
        made[measure] = square.reindex(index=methods, columns=methods)
    return {name: made[name] for name in ("spearman", "ssim", "jaccard") if name in made}


@lru_cache(maxsize=64)
def mean_curves(found: Measured, modality: str) -> pd.DataFrame:
    """curve, method, step, mean, low, high, n: means over cases, 95 % bootstrap intervals over patients."""
    groups = found.table.drop_duplicates("case").set_index("case")["group"]
    table, rows = found.curves[found.curves["modality"] == modality], []
    for (name, method), some in table.groupby(["curve", "method"], sort=False):
        values = some.pivot(index="case", columns="step", values="value").dropna()
        if not len(values):
            continue
        of, low, high = groups[values.index].to_numpy(), np.nan, np.nan
        if len(set(of)) > 1:
            weights = draws(of, RESAMPLES, 0)
            drawn = weights @ values.to_numpy() / weights.sum(axis=1, keepdims=True)
            low, high = np.percentile(drawn, [2.5, 97.5], axis=0)
        about = {"curve": name, "method": method, "step": values.columns, "mean": values.mean().to_numpy()}
        rows.append(pd.DataFrame({**about, "low": low, "high": high, "n": len(values)}))
    columns = ["curve", "method", "step", "mean", "low", "high", "n"]
    return pd.concat(rows, ignore_index=True) if rows else pd.DataFrame(columns=columns)


def score_title(statistic: str) -> str:
    """A statistic's name as a person knows it."""
    name, comma, way = statistic.partition(", ")
    title = Score.catalogue[name].title if name in Score.catalogue else name.replace("_", " ")
    return f"{title}{comma}{way}"


def method_titles(methods: Iterable[str]) -> tuple[dict[str, str], str]:
    """{method: its name}, and what all of them have in common: the class explained, said once."""
    keys = list(methods)
    tails = {key.rpartition(",")[2] for key in keys}
    if len(tails) == 1 and (tail := tails.pop()) in OF:
        return {key: title_of(key.removesuffix(f",{tail}")) for key in keys}, OF[tail]
    return {key: title_of(key) for key in keys}, ""


def gated(session: Session, model: str) -> dict[int, Gates]:
    """{fold: what the gates of a model pass}, of the folds where it is stored."""
    found = {}
    for run in session.runs[model]:
        path = run.folder / GATES
        changed = path.stat().st_mtime_ns if path.is_file() else 0
        if changed and (gates := _gates(run, changed, _trained(run))) is not None:
            found[run.fold] = gates
    return found


@lru_cache(maxsize=64)
def _gates(run: Run, changed: int, trained: int) -> Gates | None:
    return read_gates(run) if is_there(run) else None


def taps_of(run: Run) -> dict[str, Tap]:
    """The taps of a run's model by their place; empty where it has no attention."""
    return _taps(run, _trained(run))


@lru_cache(maxsize=128)
def _taps(run: Run, trained: int) -> dict[str, Tap]:
    return taps(run.model())


def _trained(run: Run) -> int:
    return (run.folder / "weights.safetensors").stat().st_mtime_ns
