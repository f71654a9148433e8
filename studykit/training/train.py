"""Carry out a recipe: a run folder for each fold, then the metrics over all of them."""

import logging
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from tqdm import tqdm

from studykit.catalog import InputError, build
from studykit.datasets import Dataset, Prepared, split
from studykit.datasets.cache import default_cache
from studykit.datasets.loading import Pictures
from studykit.models import FusionModel
from studykit.training.fit import FrozenFeatures, device, fit, predicted
from studykit.training.logistic import NAME, logistic_probabilities
from studykit.training.measure import measures, not_estimable
from studykit.training.recipe import Recipe
from studykit.training.run import Run, predictions_table, write_run
from studykit.whole import write_whole


def train(recipe: Recipe, out: Path, tell: Callable[[str], None] = logging.info) -> pd.DataFrame:
    """Make `out/NAME/fold-K` for each fold of the recipe and `out/NAME/metrics.csv`; give the metrics.

    Folds that stand there, of this very recipe and data, are kept: a stopped recipe goes on where it
    stopped. `tell` gets a sentence for a person now and then. Raises InputError, with nothing
    half-written, for data or settings that cannot be used.
    """
    dataset = build(Dataset, recipe.dataset)
    folder = out / recipe.name
    task = dataset.tasks[0]
    for sentence in dataset.notes():
        tell(sentence)
    parts = {
        fold: split(dataset.cases, task.name, recipe.folds, fold, recipe.seed, task.kind)
        for fold in recipe.folds_to_run
    }
    for fold in recipe.folds_to_run:
        _same_recipe(folder / f"fold-{fold}", recipe, dataset)
    features, new = FrozenFeatures(), False
    pictures = Pictures(dataset, default_cache(dataset.name))
    for fold in recipe.folds_to_run:
        if (folder / f"fold-{fold}").exists():
            tell(f"{recipe.name}: fold {fold} stands already.")
            continue
        if not new:
            reading = partial(tqdm, leave=False, disable=None, desc=f"{recipe.name} reading cases")
            pictures.read(dataset.cases.index, reading)
        _train_fold(recipe, pictures, fold, parts[fold], features, folder / f"fold-{fold}", tell)
        new = True
    runs = [Run(folder / f"fold-{fold}") for fold in recipe.folds_to_run]
    same = not new and all(run.recipe.only == recipe.only for run in runs)
    if same and (folder / "metrics.csv").exists():
        return pd.read_csv(folder / "metrics.csv")
    table = pooled_measures(runs, recipe.name)
    write_whole(folder / "metrics.csv", table.to_csv(index=False))
    return table


def _train_fold(
    recipe: Recipe,
    pictures: Pictures,
    fold: int,
    parts: pd.Series,
    features: FrozenFeatures,
    folder: Path,
    tell: Callable[[str], None],
) -> None:
    ids = {part: parts.index[parts == part].tolist() for part in ("train", "val", "test")}
    prepared = Prepared.fit(pictures.dataset, ids["train"], pictures)
    torch.manual_seed(recipe.seed)
    model = build(FusionModel, recipe.model, prepared.schema).to(device())
    for sentence in model.notes:
        tell(sentence)
    bar = partial(tqdm, leave=False, disable=None)
    label = f"{recipe.name} {fold + 1}/{recipe.folds}"
    cases = prepared.cases(list(parts.index))
    features.of(model, cases, watch=partial(bar, desc=f"{label} frozen encoder"))
    where = {case: position for position, case in enumerate(cases.ids)}
    train_cases, val_cases = (cases.take(where[i] for i in ids[part]) for part in ("train", "val"))
    watch = partial(bar, desc=f"{label} training")
    history = fit(model, train_cases, val_cases, recipe.training, recipe.seed, features, watch)
    p = predicted(model, cases, features)
    by_task = {head.task.name: p[head.name] for head in reversed(model.heads)}
    table = predictions_table(cases.ids, pictures.dataset.cases, parts, prepared.schema, by_task)
    write_run(folder, recipe, fold, prepared, model, history, table)
    kept = history.loc[history["best"], "epoch"].max()
    tell(f"{label}: {len(history)} epochs, weights of epoch {kept} kept, in {folder}")


def _same_recipe(folder: Path, recipe: Recipe, dataset: Dataset) -> None:
    """InputError where a run stands in `folder` that another recipe or other data made."""
    if not folder.exists():
        return
    run = Run(folder)
    made, wanted = run.recipe.to_json(), recipe.to_json()
    for after in ("explain", "contributions", "only"):  # these change no training
        made.pop(after), wanted.pop(after)
    if made != wanted:
        what = "another recipe"
    elif run.about["fingerprint"] != dataset.fingerprint:
        what = "other data"
    else:
        return
    raise InputError(
        f"{folder} holds a run of {what}; choose another --out, give this recipe another 'name', "
        "or remove that folder."
    )


def pooled_measures(runs: list[Run], label: str) -> pd.DataFrame:
    """Scores of the held-out cases of all runs together, beside logistic regression on the record."""
    task = runs[0].schema.tasks[0]
    columns = [f"{task.name}.{name}" for name in task.classes or ("value",)]
    rivals, classes = [f"logistic.{name}" for name in task.classes], task.kind in ("binary", "multiclass")
    tables = []
    for run in runs:
        table = run.predictions[run.predictions["split"] == "test"].copy()
        if run.prepared.record.columns and classes:
            table[rivals] = _logistic(run, table["id"].tolist())
        tables.append(table)
    table = pd.concat(tables)
    settings = {"against": rivals, "rival": NAME} if {*rivals} & {*table} else {}
    found = measures(table, task.name, columns, task.classes, kind=task.kind, label=label, **settings)
    if not settings:
        why = f"{runs[0].about['dataset']['name']} has no record"
        why = why if classes else f"the task '{task.name}' is {task.kind}"
        found = pd.concat([found, not_estimable(NAME, why, kind=task.kind)], ignore_index=True)
    return found


def _logistic(run: Run, test: list[str]) -> np.ndarray:
    """Learned from the run's training and validation cases: logistic regression needs no early stop."""
    task, table = run.schema.tasks[0], run.predictions
    seen = table[table["split"].isin(["train", "val"])]
    truth = seen[task.name].map({name: float(i) for i, name in enumerate(task.classes)})
    rows, record = run.prepared.dataset.cases, run.prepared.record
    return logistic_probabilities(
        record.encode(rows.loc[seen["id"]]),
        truth.to_numpy(dtype=float),
        seen["group"].tolist(),
        record.encode(rows.loc[test]),
        len(task.classes),
    )
