"""What a run's model leans on: modality contribution of its held-out cases, kept in the run folder.

contributions.parquet   one row a case, modality, part and output (see `Contribution.to_frame`); how it was
                        made, and the digest of the weights, in the file's metadata
neighbours.csv          the other measures (see `studykit.contribution.neighbour`)
"""

import io
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet
import torch

from studykit.catalog import InputError, build, check_choice, is_spec, unknown
from studykit.contribution import (
    Contribution,
    Fill,
    Neighbour,
    Parts,
    Question,
    beside,
    joined,
    modality_contribution,
)
from studykit.explain.store import weights_digest
from studykit.explain.told_table import told, write_told
from studykit.sweep import sweep
from studykit.training.run import Run
from studykit.whole import write_whole

FILE, BESIDE = "contributions.parquet", "neighbours.csv"
TOGETHER = 32  # cases a worker is given at a time
REFERENCE = 200  # training cases that fills may draw on


@dataclass(frozen=True)
class Occluding:
    """How contributions are computed, as `modality_contribution` takes it; parts and fill in JSON.

    Parts and fills of modalities that a run has not are left aside, so that one setting serves many runs.
    """

    parts: Mapping[str, Any] = field(default_factory=dict)
    fill: Any = "absent"
    output: str = "probability"
    head: str = ""
    sampled: int = 0
    seed: int = 0

    def __post_init__(self):
        check_choice("output", self.output, ("probability", "logit"))
        for wish in self.parts.values():
            if isinstance(wish, str) or is_spec(wish):
                build(Parts, wish)
        for wish in self.fills():
            if not isinstance(wish, int | float):
                build(Fill, wish)

    def fills(self) -> list[Any]:
        """The fills that are wished for."""
        by_modality = isinstance(self.fill, Mapping) and not is_spec(self.fill)
        return list(self.fill.values()) if by_modality else [self.fill]

    def check_names(self, known: Iterable[str]) -> None:
        """InputError where parts or a fill are given for a modality that is none of these."""
        known = set(known)
        for wish in (self.parts, self.fill if isinstance(self.fill, Mapping) else {}):
            for name in wish if not is_spec(wish) else ():
                if name not in known:
                    raise InputError(unknown("modality here", name, sorted(known)))

    def of(self, names: Iterable[str]) -> dict[str, Any]:
        """The settings for these modalities."""
        names = list(names)
        settings = asdict(self)
        settings["parts"] = {name: wish for name, wish in self.parts.items() if name in names}
        if isinstance(self.fill, Mapping) and not is_spec(self.fill):
            settings["fill"] = {name: wish for name, wish in self.fill.items() if name in names}
        return settings


def contributions(
    runs: Run | Sequence[Run],
    occluding: Occluding | None = None,
    workers: int = 0,
    scheduler: str = "",
    watch: Callable[[Iterable], Iterable] = iter,
) -> Iterator[tuple[Run, Contribution]]:
    """Each run with the contributions of its held-out cases, read where they stand, else made and kept.

    workers, scheduler: see `studykit.sweep`; a run's cases go in portions of 32, so that several may be at
    work on them. Raises InputError where parts do not fit or a run's data are not those it was made on.
    """
    occluding = occluding or Occluding()
    runs = [runs] if isinstance(runs, Run) else list(runs)
    occluding.check_names(m.name for run in runs for m in run.schema.modalities)
    portions, weights = {}, {}
    for run in dict.fromkeys(runs):
        if not is_current(run, occluding):
            run.check_data()
            portions[run], weights[run] = _portions(run), weights_digest(run)
    jobs = [job for ours in portions.values() for job in ours]
    work = partial(_portion, occluding=occluding)
    results = sweep(work, jobs, workers=workers, scheduler=scheduler, watch=watch)
    for run in runs:
        if run not in portions:
            yield run, read(run)
            continue
        made = joined([next(results) for _ in portions.pop(run)])
        _write(run, made, occluding, weights[run])
        yield run, made


def contribution(run: Run, **settings: Any) -> Contribution:
    """The contributions of one run's held-out cases; settings as `Occluding` takes them."""
    return next(contributions(run, Occluding(**settings)))[1]


def neighbours(
    run: Run,
    names: Sequence[str] = (),
    occluding: Occluding | None = None,
    cases: int = 100,
    watch: Callable[[Iterable], Iterable] = iter,
) -> pd.DataFrame:
    """The table of `beside` for a run, on a drawn sample of its held-out cases; read where it stands.

    names: of measures (all by default).
    """
    occluding = occluding or Occluding()
    chosen = [build(Neighbour, name) for name in names or Neighbour.catalogue]
    about = {"settings": _settings(run, occluding), "cases": cases, "weights": weights_digest(run)}
    stored = _stored_neighbours(run)
    known = stored[1] if stored and stored[0] == json.loads(json.dumps(about)) else None
    new = [one for one in chosen if known is None or one.title not in set(known["measure"])]
    if new:
        run.check_data()
        ids = list(np.random.default_rng(occluding.seed).permutation(run.test_ids)[:cases])
        made = beside(question(run, ids, occluding), new, watch)
        known = made if known is None else pd.concat([known, made], ignore_index=True)
        write_whole(run.folder / BESIDE, f"# {json.dumps(about)}\n{known.to_csv(index=False)}")
    return known[known["measure"].isin([one.title for one in chosen])].reset_index(drop=True)


def question(run: Run, ids: Sequence[str], occluding: Occluding | None = None, **settings: Any) -> Question:
    """Some cases of a run, ready for the neighbours; settings as `Question` takes them."""
    model, occluding = run.model(), occluding or Occluding()
    asked = occluding.of(model.modalities)
    batch = next(run.prepared.cases(ids).batches([range(len(ids))], model.modalities))
    head = next(h for h in model.heads if asked["head"] in ("", h.name))
    for name in ("sampled", "seed"):
        asked.pop(name)
    return Question(
        model, batch.inputs, targets=batch.targets[head.task.name], ids=batch.ids, groups=batch.groups,
        reference=_reference(run, occluding), **asked, **settings,
    )  # fmt: skip


def _stored_neighbours(run: Run) -> tuple[dict, pd.DataFrame] | None:
    path = run.folder / BESIDE
    if not path.is_file():
        return None
    first, _, rest = path.read_text().partition("\n")
    try:
        about = json.loads(first.removeprefix("# "))
    except json.JSONDecodeError:
        return None
    table = pd.read_csv(io.StringIO(rest), keep_default_na=True, na_filter=True)
    for column in ("group", "why"):
        table[column] = table[column].astype(object).fillna("")
    return about, table


def read_neighbours(run: Run) -> pd.DataFrame | None:
    """The stored table, or None where there is none of the weights that stand there now."""
    stored = _stored_neighbours(run)
    return stored[1] if stored and stored[0].get("weights") == weights_digest(run) else None


def read(run: Run) -> Contribution:
    """The stored contributions; InputError, with what to run, where there are none."""
    path = run.folder / FILE
    if not path.is_file():
        raise InputError(
            f"{run.folder} holds no contributions; make them with "
            f"`python -m studykit contributions {run.folder}`."
        )
    table = pyarrow.parquet.read_table(path)
    about = json.loads(table.schema.metadata[b"studykit"])
    found = Contribution.from_frame(table.to_pandas(), about["about"])
    found.forwards, found.encodings = about["forwards"], about["encodings"]
    return found


def is_there(run: Run) -> bool:
    """Whether contributions are stored for the weights that stand there now."""
    about = told(run.folder / FILE)
    return bool(about) and about["weights"] == weights_digest(run)


def is_current(run: Run, occluding: Occluding) -> bool:
    """Whether what is stored was made so, for the weights and held-out cases that stand there now."""
    about = told(run.folder / FILE)
    wanted = {"weights": weights_digest(run), "settings": _settings(run, occluding), "ids": run.test_ids}
    return bool(about) and {key: about[key] for key in wanted} == json.loads(json.dumps(wanted))


def stamp(run: Run) -> int:
    """What changes when the contributions are made anew."""
    path = run.folder / FILE
    return path.stat().st_mtime_ns if path.is_file() else 0


def _write(run: Run, made: Contribution, occluding: Occluding, weights: str) -> None:
    about = {
        "about": made.about, "forwards": made.forwards, "encodings": made.encodings, "ids": run.test_ids,
        "settings": _settings(run, occluding), "weights": weights,
    }  # fmt: skip
    write_told(run.folder / FILE, made.to_frame(), about)


def _settings(run: Run, occluding: Occluding) -> dict[str, Any]:
    """The settings as they are stored: those for the run's modalities."""
    return occluding.of(m.name for m in run.schema.modalities)


def _portions(run: Run) -> list[tuple[str, int, list[str]]]:
    """The jobs of one run: its folder, the number of the portion, its cases."""
    ids = run.test_ids
    starts = range(0, len(ids), TOGETHER)
    return [(str(run.folder), at, ids[start : start + TOGETHER]) for at, start in enumerate(starts)]


def _portion(job: tuple[str, int, list[str]], occluding: Occluding) -> Contribution:
    """The contributions of a portion of a run's cases; runs in whatever process is given it."""
    folder, number, ids = job
    run = _opened(folder, (Path(folder) / "recipe.json").stat().st_mtime_ns)
    model = _model(run, weights_digest(run))
    settings = occluding.of(model.modalities)
    settings["seed"] += number
    batch = next(run.prepared.cases(ids).batches([range(len(ids))], model.modalities))
    made = modality_contribution(
        model, batch.inputs, ids=batch.ids, groups=batch.groups,
        reference=_reference(run, occluding), **settings,
    )  # fmt: skip
    made.cuts = {}
    return made


@lru_cache(maxsize=8)
def _opened(folder: str, changed: int) -> Run:
    return Run(Path(folder))


@lru_cache(maxsize=2)
def _model(run: Run, weights: str) -> torch.nn.Module:
    return run.model()


def _reference(run: Run, occluding: Occluding) -> dict[str, torch.Tensor] | None:
    """Training cases for the fills that draw on them, or None where none does."""
    names = {wish["name"] if isinstance(wish, Mapping) else wish for wish in occluding.fills()}
    drawn = names & {"training_mean", "other_case"}
    return _training_cases(run, weights_digest(run)) if drawn else None


@lru_cache(maxsize=2)
def _training_cases(run: Run, weights: str) -> dict[str, torch.Tensor]:
    table = run.predictions
    ids = table.loc[table["split"] == "train", "id"].to_numpy()
    some = list(np.random.default_rng(0).permutation(ids)[:REFERENCE])
    model = _model(run, weights)
    batch = next(run.prepared.cases(some).batches([range(len(some))], model.modalities))
    return batch.inputs
