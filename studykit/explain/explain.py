"""Explain the held-out cases of runs and keep the result in their folders."""

import itertools
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from studykit.catalog import InputError, build, spec
from studykit.explain import store
from studykit.explain.explainer import Explainer, Explanation, key
from studykit.sweep import Stopped, sweep
from studykit.training.run import Run

TOGETHER = 64  # cases a worker is given at a time


def explain(
    run: Run,
    method: Explainer | dict[str, Any] | str,
    ids: Sequence[str] | None = None,
    watch: Callable[[Iterable], Iterable] = iter,
    size: int = 16,
    of: str = "usual",
    together: int = TOGETHER,
    stop: Callable[[], bool] | None = None,
) -> Explanation:
    """The explanation of a run's held-out cases (or of `ids`), read where it stands, else made and kept.

    method: an Explainer or its spec. size: cases worked on at once. of: the class explained, see `Explainer`.
    together, watch, stop: see `explained`. Raises InputError where the method does not suit the model or the
    data are not those of the run, and Stopped.
    """
    explainer = method if isinstance(method, Explainer) else build(Explainer, method)
    asked = {"of": of, "ids": ids, "size": size, "watch": watch, "together": together, "stop": stop}
    for _ in explained([run], [explainer], **asked):
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
    together: int = TOGETHER,
    stop: Callable[[], bool] | None = None,
) -> Iterator[tuple[Run, Explainer, int]]:
    """Each run with each method once its explanation stands, and how many cases were worked on for it.

    Only what is not there, or is of other weights, is made, and cases that are there stay; what a killed
    call had begun is gone on with. workers, scheduler: see `studykit.sweep`; a portion of so many cases
    (`together`) travels at a time, and no more than a few are in memory at once. watch: wraps a loop over the
    cases (a progress bar). stop: see `studykit.sweep`; the portions made until then are stored.
    Raises InputError where a method does not suit a run's model, or there is no case; Stopped.
    """
    methods = list({key(method, of): method for method in methods}.values())
    plan: deque[tuple[Run, Explainer, store.Begun | None]] = deque()
    try:
        for run, method in itertools.product(runs, methods):
            plan.append((run, method, _begun(run, method, of, run.test_ids if ids is None else list(ids))))
        jobs = [
            Portion(str(run.folder), spec(method), of, begun.missing[at : at + together], size)
            for run, method, begun in plan
            for at in range(0, len(begun.missing) if begun else 0, together)
        ]
        steps = iter(watch(range(sum(len(job.ids) for job in jobs))))
        next(steps, None)  # the first is begun; each further step says that one is done
        with closing(sweep(portion, jobs, workers=workers, scheduler=scheduler, stop=stop)) as results:
            while plan:
                run, method, begun = plan[0]
                worked = len(begun.missing) if begun else 0
                while begun and begun.missing:
                    made = next(results)
                    begun.add(made)
                    for _ in made.ids:
                        next(steps, None)
                if begun:
                    _finish(begun, run)
                plan.popleft()
                yield run, method, worked
    except Stopped:
        for run, _, begun in plan:
            if begun and begun.ids:
                _finish(begun, run)
        raise
    finally:
        for _, _, begun in plan:
            if begun:
                begun.forget()


def _begun(run: Run, method: Explainer, of: str, wanted: list[str]) -> store.Begun | None:
    """What is stored already, with the wanted cases missing; None where all of them are there."""
    if not wanted:
        raise InputError(f"There are no cases of {run.folder} to explain; name some.")
    about = {"of": of, "spec": spec(method), "weights": store.weights_digest(run)}
    there = store.ids_of(run, key(method, of), about)
    new = [case for case in dict.fromkeys(wanted) if case not in set(there)]
    if not new:
        return None
    run.check_data()
    begun = store.Begun(run, key(method, of), {"ids": [*there, *new], **about})
    for part in _stored(run, key(method, of), there[len(begun.ids) :]):
        begun.add(part)
    return begun


def _finish(begun: store.Begun, run: Run) -> None:
    """Let it stand, beside what another program has stored meanwhile."""
    about = {name: begun.about[name] for name in ("of", "spec", "weights")}
    late = [case for case in store.ids_of(run, begun.key, about) if case not in set(begun.ids)]
    begun.finish(_stored(run, begun.key, late))


def _stored(run: Run, name: str, ids: list[str]) -> Iterator[Explanation]:
    """What is stored of these cases, some at a time."""
    for start in range(0, len(ids), TOGETHER):
        yield store.read(run, name, ids[start : start + TOGETHER])


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
