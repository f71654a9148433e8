"""The demo study by its own recipes and the function that the command uses, of fewer and smaller cases."""

from pathlib import Path

import pytest

from studykit import demo as the_demo
from studykit.demo import RECIPES, build_demo
from studykit.study_commands import simulate_about

SMALL = {
    "breast_phantom": {"count": 50, "size": 32},
    "chest_phantom": {"count": 30, "depth": 8, "size": 32},
}


def build(out: Path) -> None:
    """What is there already is kept."""
    with pytest.MonkeyPatch.context() as fewer:
        fewer.setattr(the_demo, "BESIDE", 4)
        fewer.setattr(the_demo, "SCORES", [*the_demo.SCORES[:-1], {**the_demo.SCORES[-1], "redraws": 1}])
        build_demo(out, [_small(recipe) for recipe in RECIPES], scored=3, workers=0)
    simulate_about(out, str(out / "ratings.sqlite"))


def _small(recipe: dict) -> dict:
    dataset = {**recipe["dataset"], **SMALL[recipe["dataset"]["name"]]}
    return {**recipe, "dataset": dataset, "training": {**recipe.get("training", {}), "epochs": 2}}
