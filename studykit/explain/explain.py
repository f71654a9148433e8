"""Explain the held-out cases of runs and keep the result in their folders."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from studykit.catalog import InputError, build, spec
from studykit.explain import store
from studykit.explain.explainer import Explainer, Explanation, key
from studykit.sweep import sweep
from studykit.training.run import Run

TOGETHER = 64  # cases a worker is given at a time


def explain(
    run: Run,
    method: Explainer | dict[str, Any] | str,
    ids: Sequence[str] | None = None,
    watch: Callable[[Iterable], Iterable] = iter,
    size: int = 16,
    of: str = "usual",
) -> Explanation:
    """The explanation of a run's held-out cases (or of `ids`), read where it stands, else made and kept.

    method: an Explainer or its spec. size: cases worked on at once. of: the class explained, see `Explainer`.
    Raises InputError where the method does not suit the model or the data are not those of the run.
    """
    explainer = method if isinstance(method, Explainer) else build(Explainer, method)
    for _ in explained([run], [explainer], of=of, ids=ids, size=size, watch=watch):
        pass
    return store.read(run, key(explainer, of), run.test_ids if ids is None else ids)


def explained(
    runs: Sequence[Run],
    methods: Sequence[Explainer],
    of: str = "usual",
    ids: Sequence[str] | None = None,
    size: int = 16,
    workers: int = 0,
    scheduler: str = "",
    watch: Callable[[Iterable], Iterable] = iter,
) -> Iterator[tuple[Run, Explainer, int]]:
    """Each run with each method once its explanation stands, and how many cases were worked on for it.

    Only what is not there, or is of other weights, is made, and cases that are there stay; what a stopped
    call had begun is gone on with. workers, scheduler: see `studykit.sweep`; a portion of 64 cases travels at
    a time, and no more than a few are in memory at once. Raises InputError where a method does not suit a
    run's model, or there is no case.
    """
    methods = list({key(method, of): method for method in methods}.values())
    plan: list[tuple[Run, Explainer, store.Begun | None, list[int]]] = []
    try:
        jobs = []
        for run in runs:
            wanted, checked = run.test_ids if ids is None else list(ids), False
            if not wanted:
                raise InputError(f"There are no cases of {run.folder} to explain; name some.")
            for method in methods:
                about = {"of": of, "spec": spec(method), "weights": store.weights_digest(run)}
                there = store.ids_of(run, key(method, of), about)
                new = [case for case in dict.fromkeys(wanted) if case not in set(there)]
                if not new:
                    plan.append((run, method, None, []))
                    continue
                if not checked:
                    run.check_data()
                    checked = True
                begun = store.Begun(run, key(method, of), {"ids": [*there, *new], **about})
                _take_over(begun, run, key(method, of), there)
                starts = range(len(there), len(there) + len(new), TOGETHER)
                missing = [start for start in starts if not begun.has(start)]
                plan.append((run, method, begun, missing))
                jobs += [
                    Portion(str(run.folder), spec(method), of, begun.about["ids"][at : at + TOGETHER], size)
                    for at in missing
                ]
        results = sweep(portion, jobs, workers=workers, scheduler=scheduler, watch=watch)
        for run, method, begun, missing in plan:
            worked = 0
            for start in missing:
                made = next(results)
                begun.add(start, start, made)
                worked += len(made.ids)
            if begun:
                begun.finish()
            yield run, method, worked
    finally:
        for _, _, begun, _ in plan:
            if begun:
                begun.forget()


def _take_over(begun: store.Begun, run: Run, name: str, ids: list[str]) -> None:
    """What is stored of other cases already stays."""
    for start in range(0, len(ids), TOGETHER):
        if not begun.has(start):
            begun.add(start, start, store.read(run, name, ids[start : start + TOGETHER]))


class Portion(NamedTuple):
    """Some cases of a run, to be explained by one method, wherever that is done."""

    folder: str
    method: dict[str, Any]
    of: str
    ids: list[str]
    size: int


def portion(job: Portion) -> Explanation:
    """The explanation of a portion of a run's cases."""
    run, model = opened(job.folder)
    explainer = build(Explainer, job.method)
    parts = [range(start, min(start + job.size, len(job.ids))) for start in range(0, len(job.ids), job.size)]
    batches = run.prepared.cases(job.ids).batches(parts, model.modalities)
    return joined([explainer(model, batch, of=job.of) for batch in batches])


def opened(folder: str) -> tuple[Run, torch.nn.Module]:
    """The run in this folder and its model, kept until its weights change."""
    path = Path(folder)
    changed = max((path / name).stat().st_mtime_ns for name in ("recipe.json", "weights.safetensors"))
    return _opened(folder, changed)


@lru_cache(maxsize=2)
def _opened(folder: str, changed: int) -> tuple[Run, torch.nn.Module]:
    run = Run(Path(folder))
    return run, run.model()


def joined(parts: Sequence[Explanation]) -> Explanation:
    """Explanations of several batches by one method as one."""
    first = parts[0]

    def stack(field: str) -> dict[str, np.ndarray]:
        names = getattr(first, field)
        return {n: np.concatenate([getattr(part, field)[n] for part in parts]) for n in names}

    return Explanation(
        [case for part in parts for case in part.ids],
        first.head,
        np.concatenate([part.targets for part in parts]),
        first.spec,
        stack("maps"),
        first.signed,
        stack("effects"),
        stack("checks"),
    )
