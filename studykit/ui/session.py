"""What one visitor looks at: a model, a case, a method. Widgets write these; views follow `shown`."""

from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import pandas as pd
import param

from studykit.case import Task
from studykit.catalog import InputError, build
from studykit.contribution import Contribution, joined
from studykit.datasets import Dataset
from studykit.datasets.inference import parts
from studykit.draw import color_limit
from studykit.explain import Explainer, Explanation, contributions, store
from studykit.training import Run
from studykit.ui.kept import kept
from studykit.ui.opened import nothing, opened, stamp

AT_ONCE = 128 * 2**20  # bytes of maps that are looked at to find where colours end
OF = {"of=predicted": "of the predicted class", "of=true": "of the true class"}


class Session(param.Parameterized):
    """Made once a visitor, from a folder of runs. `method` is empty where nothing is explained.

    Runs that cannot be opened are left out, and `refused` says why. Raises InputError where no run is left.
    """

    model = param.Selector(check_on_set=True, doc="a recipe's name: all its folds together")
    case = param.Selector(check_on_set=True, doc="an id among the model's held-out cases")
    method = param.Selector(check_on_set=True, doc="the key of a stored explanation")
    elsewhere = param.Boolean(default=False, doc="whether what is shown is not of the runs' cases")
    shown = param.Tuple(default=("", "", ""), doc="model, case and method once they fit together")

    def __init__(self, folder: Path, **params):
        self.folder = Path(folder)
        self.opened = opened(self.folder)
        self.runs = self.opened.models
        if not self.runs:
            raise InputError(nothing(self.folder, self.opened))
        self._stamps = {run.folder: stamp(run.folder) for runs in self.runs.values() for run in runs}
        self.param.model.objects = list(self.runs)
        super().__init__(**{"model": next(iter(self.runs)), **params})
        self._offer()

    @property
    def refused(self) -> dict[Path, str]:
        """{run folder: why it could not be opened, and what to run}."""
        return {folder: why for told in self.opened.troubles.values() for folder, why in told.items()}

    @param.depends("model", watch=True)
    def _offer(self) -> None:
        """Offer the model's cases and methods; keep those chosen where it has them, too."""
        self.param.case.objects = self.cases["id"].tolist()
        found = {method for run in self.runs[self.model] for method in store.methods(run)}
        methods = sorted(sorted(found, reverse=True), key=is_aside) or [""]
        self.param.method.objects = {title_of(method): method for method in methods}
        chosen = {}
        for name in ("case", "method"):
            offered = list(self.param[name].objects)
            kept = getattr(self, name) in offered
            chosen[name] = getattr(self, name) if kept else offered[0]
        self.param.update(**chosen)
        self._show()

    @param.depends("case", "method", watch=True)
    def _show(self) -> None:
        if self.case in self.param.case.objects and self.method in self.param.method.objects:
            self.shown = (self.model, self.case, self.method)

    def refresh(self) -> None:
        """Look again for what is stored beside the runs; model, case and method stay, views draw anew."""
        before = self.shown
        self._offer()
        if self.shown == before:
            self.param.trigger("shown")

    @property
    def cases(self) -> pd.DataFrame:
        """The model's held-out cases: id, group, label, predicted, p, wrong, uncertainty, fold."""
        return self.cases_of(self.model)

    def cases_of(self, model: str) -> pd.DataFrame:
        """The same table of another model; shared by all visitors, so it must not be changed."""
        runs = tuple(self.runs[model])
        return _cases(runs, self._changed(runs))

    def _changed(self, runs: tuple[Run, ...]) -> tuple:
        return tuple(self._stamps[run.folder] for run in runs)

    @property
    def run(self) -> Run:
        """The run in which the chosen case was held out."""
        return self.run_of(self.model)

    def run_of(self, model: str) -> Run | None:
        """The run in which another model held the chosen case out; None where it has no such case."""
        runs = tuple(self.runs[model])
        return _held_out(runs, self._changed(runs)).get(self.case)

    @property
    def explanation(self) -> Explanation | None:
        """The chosen method's explanation of the chosen case, or None where it has none of it."""
        return self._explained(self.run, self.method)

    def _explained(self, run: Run, method: str) -> Explanation | None:
        if not method or method not in store.methods(run):
            return None
        try:
            found = _explained(run, method, self.case, store.stamp(run, method))
            build(Explainer, found.spec)
            return found
        except (
            InputError,
            OSError,
            ValueError,
            KeyError,
        ):  # not of this case, damaged, or of another version
            return None

    def class_explained(self, run: Run, method: str) -> str:
        """The class that a stored map of the chosen case speaks for; empty where there is none."""
        found = self._explained(run, method)
        if found is None:
            return ""
        heads = {task.name: task for task in run.schema.tasks}
        task = heads.get(found.head) or _heads(run, store.stamp(run, method))[found.head]
        return task.classes[int(found.targets[0])] if task.classes else task.name

    def laid(self, run: Run, method: str, modality: str) -> tuple[np.ndarray, bool, float] | str:
        """A stored method's map of the chosen case, ([D,] H, W), its sign, and where its colours end.

        A sentence that says why, where there is none. run: one that held the case out.
        """
        try:
            explanation = _explained(run, method, self.case, store.stamp(run, method))
        except InputError as why:
            return str(why)
        except (OSError, ValueError, KeyError):
            return f"it is damaged; remove {run.folder / store.FILE / method} and explain again"
        if modality in explanation.maps:
            values = explanation.maps[modality][0].sum(axis=0)
            limit = _limit(run, method, modality, store.stamp(run, method))
            return values, explanation.signed[modality], limit
        if not explanation.maps:
            return f"it has no maps: {build(Explainer, explanation.spec).gives}"
        return f"it has no map of the {modality}, only of the {', '.join(explanation.maps)}"

    def contributed(self, model: str, output: str = "") -> Contribution | str:
        """What a model's answers (one output, or all) lose part by part, its folds' held-out cases as one.

        A sentence that says why, and what to run, where there is nothing.
        """
        there = [run for run in self.runs[model] if _is_there(run, contributions.stamp(run), _trained(run))]
        if not there:
            return (
                f"There are no contributions of '{model}' yet. Run "
                f"`python -m studykit contributions {self.folder}` and reload the page."
            )
        found = _contributed(tuple(there), tuple(contributions.stamp(run) for run in there))
        if found is None:
            return (
                f"The folds of '{model}' were asked in different ways. Run "
                f"`python -m studykit contributions {self.folder}` and reload the page."
            )
        if output not in ("", *found.outputs):
            return f"'{model}' does not answer '{output}'; it answers {', '.join(found.outputs)}."
        return _of_output(found, output) if output else found

    @property
    def modalities(self) -> list[str]:
        """Those of all models' data sets, in one order."""
        schemas = [runs[0].schema for runs in self.runs.values()]
        return list(dict.fromkeys(modality.name for schema in schemas for modality in schema.modalities))

    def evidence(self, model: str) -> dict[str, tuple[str, ...]]:
        """Of each held-out case of a model on phantoms: the modalities in which its label shows."""
        return _evidence(self.runs[model][0].prepared.dataset, tuple(self.cases_of(model)["id"]))

    def beside(self, model: str) -> tuple[Run, pd.DataFrame] | None:
        """The first fold with stored neighbours of modality contribution, and their table."""
        for run in self.runs[model]:
            path = run.folder / contributions.BESIDE
            changed = path.stat().st_mtime_ns if path.is_file() else 0
            if changed and (table := _beside(run, changed, _trained(run))) is not None:
                return run, table
        return None

    def scan(self, modality: str) -> tuple[np.ndarray, np.ndarray]:
        """The chosen case's picture and reference mask: (C, H, W), (H, W), or (C, D, H, W), (D, H, W)."""
        return _scan(self.run.prepared.dataset, self.case, modality)

    def task_of(self, head: str) -> Task:
        """The task that a head of the chosen model answers; a head beside the main one has its own name."""
        run = self.run
        for task in run.schema.tasks:
            if task.name == head:
                return task
        return _heads(run, store.stamp(run, self.method))[head]

    def limit(self, modality: str) -> float:
        """Where the colours of the chosen method's maps, or a record's bars, end: alike for all cases."""
        run = self.run
        return _limit(run, self.method, modality, store.stamp(run, self.method))


def title_of(key: str) -> str:
    """A stored explanation's name as a person reads it."""
    name, *settings = key.split(",")
    title = Explainer.catalogue[name].title if name in Explainer.catalogue else name or "none stored"
    told = [OF.get(setting, setting) for setting in settings]
    return ", ".join([title, *told])


def is_aside(key: str) -> tuple[bool, bool]:
    """Where a stored explanation stands: the usual ones first, then those of other classes, then controls."""
    return is_control(key), ",of=" in key


def is_control(key: str) -> bool:
    """Whether a stored explanation is none, and only shows what a score gives to it."""
    name = key.split(",")[0]
    return name in Explainer.catalogue and Explainer.catalogue[name].control


# What all visitors share: tables and numbers are counted, pictures and maps are weighed (see `kept`).
@lru_cache(maxsize=128)
def _cases(runs: tuple[Run, ...], changed: tuple) -> pd.DataFrame:
    task = runs[0].schema.tasks[0]
    tables = []
    for run in runs:
        table = run.predictions
        tables.append(table[table["split"] == "test"].assign(fold=run.fold))
    table = pd.concat(tables).sort_values("id")
    p = table[[f"{task.name}.{name}" for name in task.classes or ("value",)]].to_numpy()
    entropy = np.full(len(table), np.nan)
    if task.kind in ("binary", "multiclass"):
        entropy = -(p * np.log(np.clip(p, 1e-12, 1))).sum(axis=1) / np.log(p.shape[1])
    said = table.get(f"{task.name}.predicted", pd.Series(p[:, 0], table.index).round(3))
    told = task.kind != "regression"  # a number is never simply wrong
    return pd.DataFrame(
        {
            "id": table["id"],
            "group": table["group"],
            "label": table[task.name],
            "predicted": said,
            "p": p[:, 1] if task.kind == "binary" else p.max(axis=1) if told else np.nan,
            "wrong": table[task.name].notna() & ~_same(task, table[task.name], said) & told,
            "uncertainty": entropy,
            "fold": table["fold"],
        }
    ).reset_index(drop=True)


def _same(task: Task, label: pd.Series, said: pd.Series) -> pd.Series:
    """Whether an answer is the label; of several classes at once, whatever their order."""
    if task.kind == "multilabel":
        label, said = (cells.map(lambda cell: frozenset(parts(str(cell)))) for cells in (label, said))
    return label == said


@lru_cache(maxsize=128)
def _held_out(runs: tuple[Run, ...], changed: tuple) -> dict[str, Run]:
    return {case: run for run in runs for case in run.test_ids}


@kept
def _explained(run: Run, method: str, case: str, changed: int) -> Explanation:
    return store.read(run, method, [case])


@kept
def _scan(dataset: Dataset, case: str, modality: str) -> tuple[np.ndarray, np.ndarray]:
    return dataset.picture(case, modality), dataset.mask(case, modality)


@lru_cache(maxsize=64)
def _heads(run: Run, changed: int) -> dict[str, Task]:
    return {head.name: head.task for head in run.model().heads}


@lru_cache(maxsize=1024)
def _limit(run: Run, method: str, modality: str, changed: int) -> float:
    ids = store.ids_of(run, method, {})
    size = sum(values.nbytes for values in store.read(run, method, ids[:1]).maps.values())
    most = max(1, AT_ONCE // size)  # cases; of more, some that stand evenly among them
    values = store.read(run, method, ids[:: -(-len(ids) // most)]).maps[modality]
    sources = run.schema.modality(modality).sources
    if sources:  # a table: the largest effect of a source column in any case
        return max(float(np.abs(values[:, at].sum(axis=1)).max()) for at in sources.values()) or 1.0
    return color_limit(values)


def _trained(run: Run) -> int:
    return (run.folder / "weights.safetensors").stat().st_mtime_ns


@lru_cache(maxsize=256)
def _is_there(run: Run, changed: int, trained: int) -> bool:
    return contributions.is_there(run)


@lru_cache(maxsize=64)
def _contributed(runs: tuple[Run, ...], changed: tuple[int, ...]) -> Contribution | None:
    """The runs' contributions as one; None where they were made in different ways."""
    folds = [contributions.read(run) for run in runs]
    ways = [{**fold.about, "seed": 0, "outputs": fold.outputs} for fold in folds]
    return joined(folds) if all(way == ways[0] for way in ways) else None


@lru_cache(maxsize=64)
def _of_output(whole: Contribution, output: str) -> Contribution:
    at = [whole.outputs.index(output)]
    chosen = {name: d[..., at] for name, d in whole.differences.items()}
    return replace(whole, outputs=(output,), differences=chosen)


@lru_cache(maxsize=16)
def _evidence(dataset: Dataset, ids: tuple[str, ...]) -> dict[str, tuple[str, ...]]:
    return {case: tuple(dataset.evidence(case)) for case in ids}


@lru_cache(maxsize=16)
def _beside(run: Run, changed: int, trained: int) -> pd.DataFrame | None:
    return contributions.read_neighbours(run)
