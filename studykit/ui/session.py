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
from studykit.draw import color_limit
from studykit.explain import Explainer, Explanation, contributions, store
from studykit.training import Run, find_runs

OF = {"of=predicted": "of the predicted class", "of=true": "of the true class"}


class Session(param.Parameterized):
    """Made once a visitor, from a folder of runs. `method` is empty where nothing is explained.

    Raises InputError where there is no run, or a run's data are not here or have changed.
    """

    model = param.Selector(check_on_set=True, doc="a recipe's name: all its folds together")
    case = param.Selector(check_on_set=True, doc="an id among the model's held-out cases")
    method = param.Selector(check_on_set=True, doc="the key of a stored explanation")
    elsewhere = param.Boolean(default=False, doc="whether what is shown is not of the runs' cases")
    shown = param.Tuple(default=("", "", ""), doc="model, case and method once they fit together")

    def __init__(self, folder: Path, **params):
        self.folder = Path(folder)
        self.runs: dict[str, list[Run]] = {}
        for found in find_runs(self.folder):
            run = _opened(found.folder, (found.folder / "recipe.json").stat().st_mtime_ns)
            self.runs.setdefault(self._model_of(run), []).append(run)
        for runs in self.runs.values():
            runs[0].check_data()
        self.param.model.objects = list(self.runs)
        super().__init__(**{"model": next(iter(self.runs)), **params})
        self._offer()

    def _model_of(self, run: Run) -> str:
        """The recipe's name, with the folders above it where the runs of several studies are served."""
        place = run.folder.parent
        return str(place.relative_to(self.folder)) if self.folder in place.parents else run.about["name"]

    @param.depends("model", watch=True)
    def _offer(self) -> None:
        """Offer the model's cases and methods; keep those chosen where it has them, too."""
        self.param.case.objects = self.cases["id"].tolist()
        found = {method for run in self.runs[self.model] for method in store.methods(run)}
        methods = sorted(sorted(found, reverse=True), key=is_control) or [""]
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

    @property
    def cases(self) -> pd.DataFrame:
        """The model's held-out cases: id, group, label, predicted, p, wrong, uncertainty, fold."""
        return self.cases_of(self.model)

    @lru_cache(maxsize=32)  # noqa: B019  (a session is small and ends with its visitor)
    def cases_of(self, model: str) -> pd.DataFrame:
        """The same table of another model."""
        task = self.runs[model][0].schema.tasks[0]
        tables = []
        for run in self.runs[model]:
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
                "wrong": table[task.name].notna() & (table[task.name] != said) & told,
                "uncertainty": entropy,
                "fold": table["fold"],
            }
        ).reset_index(drop=True)

    @property
    def run(self) -> Run:
        """The run in which the chosen case was held out."""
        return self.run_of(self.model)

    def run_of(self, model: str) -> Run | None:
        """The run in which another model held the chosen case out; None where it has no such case."""
        folds = self.cases_of(model).set_index("id")["fold"]
        if self.case not in folds.index:
            return None
        return next(run for run in self.runs[model] if run.fold == folds.at[self.case])

    @property
    def explanation(self) -> Explanation | None:
        """The chosen method's explanation of the chosen case, or None where it is not stored."""
        run = self.run
        if not self.method or self.method not in store.methods(run):
            return None
        return _explained(run, self.method, self.case, store.stamp(run, self.method))

    def laid(self, run: Run, method: str, modality: str) -> tuple[np.ndarray, bool, float] | str:
        """A stored method's map of the chosen case, ([D,] H, W), its sign, and where its colours end.

        A sentence that says why, where there is none. run: one that held the case out.
        """
        try:
            explanation = _explained(run, method, self.case, store.stamp(run, method))
        except InputError as why:
            return str(why)
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


def is_control(key: str) -> bool:
    """Whether a stored explanation is none, and only shows what a score gives to it."""
    name = key.split(",")[0]
    return name in Explainer.catalogue and Explainer.catalogue[name].control


# What all visitors share is cached here, bounded: runs and maps until they are made anew, scans as read.
@lru_cache(maxsize=64)
def _opened(folder: Path, changed: int) -> Run:
    return Run(folder)


@lru_cache(maxsize=128)
def _explained(run: Run, method: str, case: str, changed: int) -> Explanation:
    return store.read(run, method, [case])


@lru_cache(maxsize=32)
def _scan(dataset: Dataset, case: str, modality: str) -> tuple[np.ndarray, np.ndarray]:
    return dataset.picture(case, modality), dataset.mask(case, modality)


@lru_cache(maxsize=64)
def _heads(run: Run, changed: int) -> dict[str, Task]:
    return {head.name: head.task for head in run.model().heads}


@lru_cache(maxsize=1024)
def _limit(run: Run, method: str, modality: str, changed: int) -> float:
    values, sources = store.read(run, method).maps[modality], run.schema.modality(modality).sources
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
