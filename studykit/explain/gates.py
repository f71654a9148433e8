"""Is a model's attention more than decoration? What its gates pass, and what is lost where they stand still.

Each tap of the model (see `models.taps`) is read for some held-out cases; then it is held and the same cases
are answered again:

    "mean over cases"  each coefficient at its mean over the cases: it is the same for every case
    "one number"       all coefficients at their common mean: no case, place or channel counts more

If neither costs anything, the answer does not hang on that attention. Stored in the run folder:

attention.parquet  coefficients, one row a tap and case; how they were made, and the digest of the weights, in
                   the file's metadata
ablation.csv       one row a tap, way of holding and score; the same in its first line
"""

import io
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet
import torch
from torch import Tensor

from studykit.case import Batch, Task
from studykit.catalog import InputError
from studykit.explain.store import weights_digest
from studykit.explain.told_table import write_told
from studykit.models import FusionModel, hold, probabilities, taps
from studykit.models import watch as reading
from studykit.scores import SCORES, draws
from studykit.training.run import Run
from studykit.whole import write_whole

FILE, ABLATION = "attention.parquet", "ablation.csv"
HELD = ("mean over cases", "one number")
ALL = "all taps"
TOGETHER = 16  # cases that go through the model at once


@dataclass
class Gates:
    """What the taps of a model pass, and what holding them costs.

    coefficients: id, tap, mean, sd, min, max of a case's coefficients. ablation: tap ("all taps" for all at
    once), says and of (as the tap has them), held, change (how far the probabilities moved, 0 to 1, mean over
    the cases; for regression, the value), statistic, score, score_held, difference (score - score_held) with
    its 95 % interval over patients (low, high), n labelled cases, and why, where something is missing.
    """

    coefficients: pd.DataFrame
    ablation: pd.DataFrame


def gates(
    run: Run,
    cases: int = 200,
    seed: int = 0,
    resamples: int = 1000,
    watch: Callable[[Iterable], Iterable] = iter,
) -> Gates:
    """The gates of a run's model on a drawn sample of its held-out cases, read where they stand, else made.

    cases: of the sample. resamples: of the bootstrap over patients. watch: wraps the loops over cases.
    Raises InputError where the model has no taps, or the data are not those of the run.
    """
    about = _about(run, cases, seed, resamples)
    if not is_current(run, cases, seed, resamples):
        run.check_data()
        model, ids = run.model(), about["ids"]
        parts = [range(start, min(start + TOGETHER, len(ids))) for start in range(0, len(ids), TOGETHER)]

        def batches() -> Iterable[Batch]:
            return run.prepared.cases(ids).batches(watch(parts), model.modalities)

        _write(run, gates_of(model, batches, resamples, seed), about)
    return read_gates(run)


def gates_of(
    model: FusionModel, batches: Callable[[], Iterable[Batch]], resamples: int = 1000, seed: int = 0
) -> Gates:
    """The gates of a model on the cases that `batches()` gives, each time it is called.

    The scores are those of the model's first head. Raises InputError where the model has no taps.
    """
    if not taps(model):
        raise InputError(
            f"The model {model.name} has no gates and no attention to hold; what it leans on is told by its "
            "modality contribution."
        )
    model.eval()
    seen = _Seen(model)
    for batch in batches():
        seen.add(batch)
    ways = _ways(seen.means())
    answers: dict[tuple[str, str], list[np.ndarray]] = {way: [] for way in ways}
    for batch in batches():
        for way, p in _answers_held(model, batch, ways):
            answers[way].append(p)
    known = _Scores(seen, resamples, seed)
    about = {name: {"says": tap.says, "of": tap.of} for name, tap in taps(model).items()}
    about[ALL] = {"says": "all of them at once", "of": ""}
    rows = [
        {"tap": tap, **about[tap], "held": held, **row}
        for (tap, held), p in answers.items()
        for row in known.rows(np.concatenate(p))
    ]
    return Gates(pd.DataFrame(seen.coefficients), pd.DataFrame(rows))


class _Seen:
    """What passed the taps, and what the model said, while nothing was held; it grows batch by batch."""

    def __init__(self, model: FusionModel):
        self.model, self.task = model, model.heads[0].task
        self.coefficients: list[dict] = []
        self.groups: list[str] = []
        self.p: list[np.ndarray] = []
        self.truth: list[np.ndarray] = []
        self.sums: dict[str, Tensor] = {}
        self.dtypes: dict[str, torch.dtype] = {}

    @torch.no_grad()
    def add(self, batch: Batch) -> None:
        """These cases, too."""
        with reading(self.model) as passed:
            logits = self.model(batch.inputs)
        self.p.append(_probabilities(self.model, logits))
        self.truth.append(batch.targets[self.task.name].numpy())
        self.groups += batch.groups
        for tap, values in passed.items():
            self.sums[tap] = self.sums.get(tap, 0) + values.double().sum(dim=0, keepdim=True)
            self.dtypes[tap] = values.dtype
            flat = values.double().flatten(1)
            of_case = zip(
                batch.ids,
                flat.mean(1).tolist(),
                flat.std(1, correction=0).tolist(),
                flat.amin(1).tolist(),
                flat.amax(1).tolist(),
                strict=True,
            )
            names = ("id", "mean", "sd", "min", "max")
            self.coefficients += [{"tap": tap, **dict(zip(names, row, strict=True))} for row in of_case]

    def means(self) -> dict[str, Tensor]:
        """{tap: the mean of each coefficient over the cases (1, ...)}."""
        count = len(self.groups)
        return {tap: (total / count).to(self.dtypes[tap]) for tap, total in self.sums.items()}


def _ways(means: Mapping[str, Tensor]) -> dict[tuple[str, str], dict[str, Tensor]]:
    """What is held, by tap (and all of them) and way."""
    values = {HELD[0]: means, HELD[1]: {tap: mean.mean() for tap, mean in means.items()}}
    found = {(tap, held): {tap: values[held][tap]} for tap in means for held in HELD}
    if len(means) > 1:
        found |= {(ALL, held): dict(values[held]) for held in HELD}
    return found


@torch.no_grad()
def _answers_held(
    model: FusionModel, batch: Batch, ways: Mapping[tuple[str, str], Mapping[str, Tensor]]
) -> Iterable[tuple[tuple[str, str], np.ndarray]]:
    """Each way with what the model then says; the encoders run again only where their own gates are held."""
    features = model.encode({name: batch.inputs[name] for name in model.modalities})
    for way, values in ways.items():
        inside = any(tap.startswith("encoders.") for tap in values)
        with hold(model, values):
            logits = model(batch.inputs) if inside else model.fuse(features)
        yield way, _probabilities(model, logits)


def _probabilities(model: FusionModel, logits: Mapping[str, Tensor]) -> np.ndarray:
    head = model.heads[0]
    return probabilities(logits[head.name], head.task).double().numpy()


class _Scores:
    """The first head's scores as the model stands, to be compared with those of held gates, case by case."""

    def __init__(self, seen: _Seen, resamples: int, seed: int):
        self.task, self.free = seen.task, np.concatenate(seen.p)
        truth = np.concatenate(seen.truth)
        self.known = ~np.isnan(truth.reshape(len(truth), -1)).any(axis=1)
        self.truth = truth[self.known] if self.task.kind == "regression" else truth[self.known].astype(int)
        groups = np.asarray(seen.groups)[self.known]
        self.several = len(set(groups)) > 1
        self.weights = np.ones((1, len(groups)))  # the first draw is the cases as they are
        if self.several:
            self.weights = np.concatenate([self.weights, draws(groups, resamples, seed)])
        self.why = "" if len(np.unique(self.truth, axis=0)) > 1 else "these cases are not of two classes"
        self.own = {name: self._scored(name, self.free) for name in SCORES[self.task.kind]}

    def rows(self, held: np.ndarray) -> list[dict[str, Any]]:
        """One row a score of these answers (N, classes)."""
        change, found = float(_apart(self.free, held, self.task).mean()), []
        for name, own in self.own.items():
            other = self._scored(name, held)
            difference = (own - other)[1:]
            drawn = difference[~np.isnan(difference)]
            low, high = np.percentile(drawn, [2.5, 97.5]) if len(drawn) else (np.nan, np.nan)
            row = {"change": change, "statistic": name, "score": own[0], "score_held": other[0]}
            row |= {"difference": own[0] - other[0], "low": low, "high": high, "n": int(self.known.sum())}
            lost = "" if self.several else "all of these cases are one patient's, so there is no interval"
            nothing = "a class has no case among these" if np.isnan(own[0]) else lost
            found.append({**row, "why": self.why or nothing})
        return found

    def _scored(self, name: str, p: np.ndarray) -> np.ndarray:
        """The score of the cases as they are, then of each draw."""
        if self.why:
            return np.full(1, np.nan)
        return SCORES[self.task.kind][name](self.truth, p[self.known], self.weights)


def _apart(p: np.ndarray, q: np.ndarray, task: Task) -> np.ndarray:
    """How far the answers (N, classes) to each case are apart (N,).

    Of classes that exclude each other, the probability that changed sides; of labels, the mean over them.
    """
    gap = np.abs(p - q)
    return gap.sum(axis=1) / 2 if task.kind in ("binary", "multiclass") else gap.mean(axis=1)


def read_gates(run: Run) -> Gates:
    """The stored gates; InputError, with what to do, where there are none."""
    stored = _stored(run)
    if stored is None:
        raise InputError(
            f"{run.folder} holds no table of its gates; make it with "
            f"`python -m studykit quality {run.folder} --attention`."
        )
    return stored[1]


def is_there(run: Run) -> bool:
    """Whether gates are stored for the weights that stand there now."""
    stored = _stored(run)
    return stored is not None and stored[0]["weights"] == weights_digest(run)


def is_current(run: Run, cases: int = 200, seed: int = 0, resamples: int = 1000) -> bool:
    """Whether what is stored was made so, for the weights and held-out cases that stand there now."""
    stored = _stored(run)
    return stored is not None and stored[0] == _about(run, cases, seed, resamples)


def _about(run: Run, cases: int, seed: int, resamples: int) -> dict[str, Any]:
    """What tells these gates from others."""
    if cases < 1 or resamples < 1:
        raise InputError(f"'cases' and 'resamples' of gates are 1 or more, not {cases} and {resamples}.")
    ids = [str(case) for case in np.random.default_rng(seed).permutation(run.test_ids)[:cases]]
    settings = {"cases": cases, "seed": seed, "resamples": resamples}
    return {"weights": weights_digest(run), "settings": settings, "ids": ids}


def _write(run: Run, made: Gates, about: Mapping[str, Any]) -> None:
    write_whole(run.folder / ABLATION, f"# {json.dumps(about)}\n{made.ablation.to_csv(index=False)}")
    write_told(run.folder / FILE, made.coefficients, about)


def _stored(run: Run) -> tuple[dict[str, Any], Gates] | None:
    """How what is stored was made, and what; None where it is missing, damaged, or not of one making."""
    try:
        table = pyarrow.parquet.read_table(run.folder / FILE)
        about = json.loads(table.schema.metadata[b"studykit"])
        first, _, rest = (run.folder / ABLATION).read_text().partition("\n")
        if json.loads(first.removeprefix("# ")) != about:
            return None
    except (FileNotFoundError, pa.ArrowInvalid, KeyError, TypeError, ValueError):
        return None
    ablation = pd.read_csv(io.StringIO(rest))
    for column in ("says", "of", "why"):
        ablation[column] = ablation[column].astype(object).fillna("")
    return about, Gates(table.to_pandas(), ablation)
