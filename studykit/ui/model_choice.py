"""Which models one visitor compares, on which task; their numbers are computed once for all visitors."""

import json
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import numpy as np
import pandas as pd
import param

from studykit.case import Task
from studykit.catalog import InputError
from studykit.models.overview import size
from studykit.scores import ERRORS, SCORES
from studykit.training import Run
from studykit.training.compared import HeldOut, beside, difference, held_out, scores_of
from studykit.training.logistic import NAME as LOGISTIC
from studykit.ui.session import Session

MOST = 6  # models drawn at once
FIRST = 4  # that are drawn unless others are asked for
OPEN = "the open model"
_WORKER = ThreadPoolExecutor(1, "models")  # one question after the other, so that pages stay awake


class ModelChoice(param.Parameterized):
    """Made once a visitor. What is compared are the models that answer one task of one data set.

    The open model is the session's. `chosen` are those whose curves are drawn; `one` is the class that
    curves and dots are about.
    """

    session = param.ClassSelector(class_=Session)
    about = param.Selector(objects=[""], check_on_set=True, doc="the data set, as its settings in JSON")
    task = param.Selector(objects=[""], check_on_set=True, doc="the name of one of its tasks")
    reference = param.Selector(objects={OPEN: ""}, check_on_set=True, doc="with which all are compared")
    chosen = param.ListSelector(default=[], objects=[], doc="models whose curves are drawn")
    one = param.Selector(objects=[""], check_on_set=True, doc="a class; empty for a number")
    shown = param.Tuple(default=("", ""), doc="model and task once all choices fit them")

    def __init__(self, session: Session, **params):
        self._sets = {name: about(runs[0]) for name, runs in session.runs.items()}
        self.param.about.objects = _titles(list(dict.fromkeys(self._sets.values())))
        super().__init__(session=session, about=self._sets[session.model], **params)
        self._offer()

    @param.depends("about", watch=True)
    def _open(self) -> None:
        """Another data set is opened by its first model."""
        if self._sets[self.session.model] != self.about:
            self.session.model = next(name for name, its in self._sets.items() if its == self.about)

    @param.depends("session.model", "task", watch=True)
    def _offer(self) -> None:
        """Offer what the open model's data set has; keep what was chosen where it is there, too."""
        tasks = [task.name for task in self.session.runs[self.session.model][0].schema.tasks]
        self.param.task.objects = tasks
        task = self.task if self.task in tasks else tasks[0]
        with param.parameterized.batch_call_watchers(self):
            self.param.update(about=self._sets[self.session.model], task=task)
            names = self.models
            stored = [LOGISTIC] if any(len(self.beside(name)) for name in names) else []
            self.param.reference.objects = {OPEN: "", **{name: name for name in [*names, *stored]}}
            self.param.chosen.objects = names
            of = self.the_task
            self.param.one.objects = list(of.classes) or [""]
            first = of.classes[-1] if of.kind == "binary" else self.param.one.objects[0]
            one = self.one if self.one and self.one in of.classes else first
            chosen = [name for name in self.chosen if name in names]
            if chosen and self.session.model not in chosen:
                chosen = [self.session.model, *chosen][:MOST]
            reference = self.reference if self.reference in self.param.reference.objects else ""
            self.param.update(one=one, chosen=chosen, reference=reference)
            self.shown = (self.session.model, task)

    @property
    def several_tasks(self) -> list[str]:
        """What an address must carry for this: the name of `task`, where some model answers more than one."""
        return ["task"] if any(len(runs[0].schema.tasks) > 1 for runs in self.session.runs.values()) else []

    @property
    def the_task(self) -> Task:
        """Of the open model."""
        return self.session.runs[self.session.model][0].schema.task(self.task)

    @property
    def models(self) -> list[str]:
        """The models that answer this very task on the open model's data set."""
        wanted, found = _kind(self.the_task), []
        for name, runs in self.session.runs.items():
            there = [_kind(task) for task in runs[0].schema.tasks]
            if self._sets[name] == self._sets[self.session.model] and wanted in there:
                found.append(name)
        return found

    def against(self) -> list[str]:
        """With which models all are compared: the reference, and the open one."""
        return list(dict.fromkeys([self.reference or self.session.model, self.session.model]))

    def answers(self, model: str) -> HeldOut:
        """What a model says of its held-out cases."""
        return _held_out(*self._of(model))

    def scores(self, model: str) -> Future:
        """`scores_of` a model."""
        return _asked(_scores, *self._of(model))

    def difference(self, model: str, other: str) -> Future:
        """`difference` of two models."""
        return _asked(_difference, self._of(model), self._of(other))

    def _of(self, model: str) -> tuple:
        """What decides a model's answers: itself, its runs, the task, when predictions were written."""
        runs = tuple(self.session.runs[model])
        return model, runs, runs[0].schema.task(self.task), stamps(runs)

    def beside(self, model: str) -> pd.DataFrame:
        """What is stored of logistic regression beside a model; nothing for another than the first task."""
        runs = self.session.runs[model]
        path = runs[0].folder.parent / "metrics.csv"
        changed = path.stat().st_mtime_ns if path.is_file() else 0
        table = _beside(tuple(runs), changed)
        return table if runs[0].schema.tasks[0].name == self.task else table.iloc[:0]

    def size(self, model: str) -> Future:
        """Parameters, multiply-adds for one case, and the modalities that it looks at."""
        run = self.session.runs[model][0]
        return _asked(_size, _Build(json.dumps([run.about["model"], run.about["schema"]]), run))

    def ranked(self) -> list[str]:
        """The models whose scores are there, the best first by the task's main score."""
        main = next(iter(SCORES[self.the_task.kind]))
        scores, found = {name: done(self.scores(name)) for name in self.models}, {}
        for name, rows in scores.items():
            if isinstance(rows, pd.DataFrame):
                found[name] = rows.set_index("statistic").at[main, "estimate"] * (-1) ** (main not in ERRORS)
        return sorted(found, key=lambda name: (np.isnan(found[name]), found[name]))

    def suggest(self) -> None:
        """Choose the open model and the best others, where nobody chose."""
        if not self.chosen:
            others = [name for name in self.ranked() if name != self.session.model]
            self.chosen = [self.session.model, *others[: FIRST - 1]]


def about(run: Run) -> str:
    """The data set as its models may be compared on it: drawn cases by all settings, others by their place.

    The same patients may be shown to models at another size, or with other columns.
    """
    spec = dict(run.about["dataset"])
    drawn = run.prepared.dataset.simulated
    kept = spec if drawn else {key: spec[key] for key in ("name", "folder") if key in spec}
    return json.dumps(kept, sort_keys=True)


def _titles(found: list[str]) -> dict[str, str]:
    """{what a person reads: data set}; settings are told where the name alone says too little."""
    specs = [json.loads(one) for one in found]
    names, titles = [spec["name"] for spec in specs], {}
    for spec, one in zip(specs, found, strict=True):
        alike = [other for other in specs if other["name"] == spec["name"]]
        apart = [key for key in spec if any(other.get(key) != spec[key] for other in alike)]
        told = ", ".join(
            Path(spec[key]).name if key == "folder" else f"{key} {_short(spec[key])}" for key in apart
        )
        titles[f"{spec['name']} ({told})" if names.count(spec["name"]) > 1 else spec["name"]] = one
    return titles


def _short(value: object) -> str:
    text = value["name"] if isinstance(value, dict) and "name" in value else str(value)
    return text if len(text) < 40 else f"...{text[-37:]}"


def _kind(task: Task) -> tuple:
    """What must be alike for two models' answers to be compared."""
    return task.name, task.kind, task.classes


def stamps(runs: tuple[Run, ...]) -> tuple[int, ...]:
    """When each run's predictions were written."""
    return tuple((run.folder / "predictions.parquet").stat().st_mtime_ns for run in runs)


def done(asked: Future) -> object | str | None:
    """What was asked, the sentence that says why there is none, or None while it is being computed."""
    if not asked.done():
        return None
    why = asked.exception()
    if isinstance(why, InputError):
        return str(why)
    return asked.result()


# What all visitors share is cached here, bounded: of forty models all pairs of one page.
@lru_cache(maxsize=2048)
def _asked(question, *about) -> Future:
    return _WORKER.submit(question, *about)


@lru_cache(maxsize=128)
def _held_out(model: str, runs: tuple[Run, ...], task: Task, changed: tuple) -> HeldOut:
    return held_out(model, runs, task)


def _scores(*about) -> pd.DataFrame:
    return scores_of(_held_out(*about))


def _difference(about: tuple, other: tuple) -> pd.DataFrame:
    return difference(_held_out(*about), _held_out(*other))


@lru_cache(maxsize=128)
def _beside(runs: tuple[Run, ...], changed: int) -> pd.DataFrame:
    return beside(runs)


@dataclass(frozen=True)
class _Build:
    """How a run's model is built; runs of one build are counted once."""

    key: str
    run: Run = field(compare=False)


def _size(build: _Build) -> tuple[int, int, tuple[str, ...]]:
    model = build.run.model()
    return (*size(model), tuple(model.modalities))
