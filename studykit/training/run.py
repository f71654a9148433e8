"""The run folder: what one recipe made on one fold, and how it is read back.

recipe.json           what decides the run, with its fold, versions, data fingerprint, schema, record
weights.safetensors   the best weights
history.csv           one row an epoch
predictions.parquet   one row a case: id, group, split, the truth and the probabilities of each task
explanations.zarr     written later, one group a method (see `explain.store`)
contributions.parquet, neighbours.csv   written later (see `explain.contributions`)
"""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import pandas as pd
import safetensors
import safetensors.torch
import torch

from studykit.case import Schema
from studykit.catalog import InputError, build
from studykit.datasets import Dataset, Prepared
from studykit.models import FusionModel
from studykit.training.recipe import Recipe
from studykit.whole import whole_folder

FILES = ("recipe.json", "weights.safetensors", "history.csv", "predictions.parquet")


def write_run(
    folder: Path,
    recipe: Recipe,
    fold: int,
    prepared: Prepared,
    model: FusionModel,
    history: pd.DataFrame,
    predictions: pd.DataFrame,
) -> None:
    """Write a complete run folder, or none."""
    about = {
        **recipe.to_json(),
        "fold": fold,
        "fingerprint": prepared.dataset.fingerprint,
        "schema": prepared.schema.to_json(),
        **prepared.to_json(),
        "versions": versions(),
    }
    weights = {key: value.cpu().contiguous() for key, value in model.state_dict().items()}
    with whole_folder(folder) as hidden:
        (hidden / "recipe.json").write_text(json.dumps(about, indent=1))
        (hidden / "weights.safetensors").write_bytes(safetensors.torch.save(weights))
        history.to_csv(hidden / "history.csv", index=False)
        predictions.to_parquet(hidden / "predictions.parquet", index=False)


def versions() -> dict[str, str]:
    """The versions that a run's numbers depend on."""
    found = {}
    for package in ("studykit", "torch", "timm", "captum", "numpy", "scikit-learn"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return found


@dataclass(frozen=True)
class Run:
    """A run folder that is there. Its parts are read when they are asked for."""

    folder: Path

    def __post_init__(self):
        for name in FILES:
            if not (self.folder / name).is_file():
                raise InputError(
                    f"{self.folder} is not a run folder ({name} is missing); "
                    "make one with `python -m studykit run RECIPE.json`."
                )

    @cached_property
    def about(self) -> Mapping[str, Any]:
        """recipe.json as it stands."""
        try:
            return json.loads((self.folder / "recipe.json").read_text())
        except (json.JSONDecodeError, UnicodeDecodeError) as why:
            raise InputError(f"{self.folder}/recipe.json is damaged ({why}); run it again.") from None

    @property
    def fold(self) -> int:
        """Which fold was held out."""
        return self.about["fold"]

    @cached_property
    def recipe(self) -> Recipe:
        """The recipe that made this run."""
        fields = Recipe.__dataclass_fields__
        return Recipe.from_json({key: self.about[key] for key in fields if key in self.about})

    @cached_property
    def schema(self) -> Schema:
        """The contract between the run's cases and its model."""
        return Schema.from_json(self.about["schema"])

    @cached_property
    def prepared(self) -> Prepared:
        """The run's data set, its record written as in training."""
        dataset = _dataset(json.dumps(self.about["dataset"]), self.about["fingerprint"])
        return Prepared.from_json(dataset, self.about)

    @cached_property
    def predictions(self) -> pd.DataFrame:
        """One row a case, with its `split`."""
        return pd.read_parquet(self.folder / "predictions.parquet")

    def check_data(self) -> None:
        """InputError where the data set is not here, or not the one that the run was made on."""
        if self.prepared.dataset.fingerprint != self.about["fingerprint"]:
            raise InputError(
                f"The cases of {self.about['dataset']['name']} have changed since {self.folder} was made; "
                "bring the old files back or carry out the recipe again."
            )

    @property
    def test_ids(self) -> list[str]:
        """The cases that the model never learned from."""
        table = self.predictions
        return table.loc[table["split"] == "test", "id"].tolist()

    def model(self) -> FusionModel:
        """The trained model, in evaluation mode, on the processor."""
        model = build(FusionModel, _without_download(self.about["model"]), self.schema)
        try:
            model.load_state_dict(safetensors.torch.load_file(self.folder / "weights.safetensors"))
        except (RuntimeError, safetensors.SafetensorError) as why:
            raise InputError(
                f"{self.folder}/weights.safetensors does not fit the recipe ({why}); run it again."
            ) from None
        return model.eval()


@lru_cache(maxsize=8)
def _dataset(spec: str, fingerprint: str) -> Dataset:
    """Runs of one recipe share one data set, so its table is read once."""
    return build(Dataset, json.loads(spec))


def _without_download(model: Mapping[str, Any]) -> dict[str, Any]:
    """The model's spec with every network started from scratch: its weights are in the run folder."""
    changed = {
        key: _without_download(value) if isinstance(value, Mapping) else value for key, value in model.items()
    }
    return {**changed, "weights": "scratch"} if "weights" in changed else changed


def find_runs(folder: Path) -> list[Run]:
    """The run folders at or below `folder`, by recipe and fold.

    Raises InputError where there is none, or one is not whole.
    """
    found = [Run(place) for place in run_folders(folder)]
    if not found:
        raise InputError(
            f"No run stands in {folder}; make one with `python -m studykit run RECIPE.json --out {folder}`, "
            "or a study of drawn cases with `python -m studykit demo`."
        )
    return found


def run_folders(folder: Path) -> list[Path]:
    """The folders at or below `folder` that hold a recipe.json, whole runs or not, in order.

    Raises InputError where `folder` is not there.
    """
    if not folder.is_dir():
        raise InputError(f"There is no folder {folder}; give the folder that holds the runs.")
    found = []
    for place, inside, files in os.walk(folder):
        if "recipe.json" in files:
            found.append(Path(place))
        inside[:] = [name for name in inside if not name.startswith(".") and not name.endswith(".zarr")]
    return sorted(found)


def predictions_table(
    ids: list[str],
    cases: pd.DataFrame,
    parts: pd.Series,
    schema: Schema,
    p: Mapping[str, torch.Tensor],
) -> pd.DataFrame:
    """The table of predictions.parquet: for task t with classes a, b: t, t.a, t.b, t.predicted."""
    rows = cases.loc[ids]
    table = pd.DataFrame({"id": ids, "group": rows["group"].astype(str).tolist()})
    table["split"] = parts.loc[ids].tolist()
    for task in schema.tasks:
        values = p[task.name].numpy()
        table[task.name] = rows[task.name].tolist()
        names = task.classes or ("value",)
        for position, name in enumerate(names):
            table[f"{task.name}.{name}"] = values[:, position].astype(float)
        if task.kind in ("binary", "multiclass"):
            table[f"{task.name}.predicted"] = [task.classes[i] for i in values.argmax(axis=1)]
        elif task.kind == "multilabel":
            said = [[name for name, p in zip(task.classes, row, strict=True) if p >= 0.5] for row in values]
            table[f"{task.name}.predicted"] = ["&".join(names) for names in said]
    return table
