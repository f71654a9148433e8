"""Explain the held-out cases of a run and keep the result in its folder."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from studykit.catalog import build
from studykit.explain import store
from studykit.explain.explainer import Explainer, Explanation, key
from studykit.training.run import Run


def explain(
    run: Run,
    method: Explainer | dict[str, Any] | str,
    ids: Sequence[str] | None = None,
    watch: Callable[[Iterable], Iterable] = iter,
    size: int = 16,
) -> Explanation:
    """The explanation of a run's held-out cases (or of `ids`), read where it stands, else made and kept.

    method: an Explainer or its spec. size: cases worked on at once. Raises InputError where the method
    does not suit the model or the data are not those of the run.
    """
    explainer = method if isinstance(method, Explainer) else build(Explainer, method)
    ids, name = list(run.test_ids if ids is None else ids), key(explainer)
    if store.is_current(run, name, ids):
        return store.read(run, name)
    run.check_data()
    model = run.model()
    whole = range(len(ids))
    parts = [whole[start : start + size] for start in range(0, len(ids), size)]
    batches = run.prepared.cases(ids).batches(watch(parts), model.modalities)
    made = joined([explainer(model, batch) for batch in batches])
    store.write(run, name, made)
    return made


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
