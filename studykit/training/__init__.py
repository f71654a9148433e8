"""Recipes, training, run folders and how good a run is; importing this room loads torch."""

from studykit.training.fit import Training, fit, predicted
from studykit.training.measure import measures
from studykit.training.recipe import Recipe, read_recipe
from studykit.training.run import Run, find_runs
from studykit.training.train import train

__all__ = [
    "Recipe", "Run", "Training", "find_runs", "fit", "measures", "predicted", "read_recipe", "train",
]  # fmt: skip
