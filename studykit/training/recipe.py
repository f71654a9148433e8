"""A recipe: everything that decides a run, as JSON.

    {"dataset": {"name": "breast_lesions_usg"}, "model": {"name": "concat"},
     "training": {"epochs": 100}, "folds": 5, "seed": 0, "explain": ["integrated_gradients"]}

One recipe makes one run for each fold that it names (all of them, by default).
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from studykit.catalog import InputError, build, completed, configured, spec, unknown
from studykit.datasets import Dataset
from studykit.models import FusionModel
from studykit.training.fit import Training


@dataclass(frozen=True)
class Recipe:
    """dataset, model: specs. only: the folds to run (empty: all). explain: specs of explanations.

    contributions: how modality contributions are computed, `{}` as usual (see `explain.contributions`); None
        for none.
    """

    name: str = "recipe"
    dataset: Mapping[str, Any] = field(default_factory=dict)
    model: Mapping[str, Any] = field(default_factory=lambda: {"name": "concat"})
    training: Training = field(default_factory=Training)
    folds: int = 5
    only: tuple[int, ...] = ()
    seed: int = 0
    explain: tuple[Any, ...] = ()
    contributions: Mapping[str, Any] | None = None

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Recipe":
        """Check and complete what a person wrote; every default is written out in the result.

        Raises InputError for names and settings that do not exist.
        """
        if not isinstance(data, Mapping) or "dataset" not in data:
            raise InputError('A recipe is a JSON object with at least "dataset"; see --help.')
        given = dict(data)
        training = given.pop("training", {})
        recipe = configured(cls, given, "the recipe")
        if not isinstance(training, Training):
            training = configured(Training, training, "training")
        if recipe.name in ("", ".", "..") or set(recipe.name) & set('/\\:*?"<>|'):
            raise InputError(
                f"The recipe's name '{recipe.name}' cannot name a folder; use letters and digits."
            )
        for fold in recipe.folds_to_run:
            if type(fold) is not int or not 0 <= fold < recipe.folds:
                raise InputError(f"The recipe asks for fold {fold}; its {recipe.folds} folds count from 0.")
        kept = ("name", "folds", "only", "seed", "explain", "contributions")
        values = {key: getattr(recipe, key) for key in kept}
        specs = {
            "dataset": spec(build(Dataset, recipe.dataset)),
            "model": completed(FusionModel, recipe.model),
        }
        return cls(training=training, **specs, **values)

    @property
    def folds_to_run(self) -> tuple[int, ...]:
        """The folds, by number."""
        return self.only or tuple(range(self.folds))

    def to_json(self) -> dict[str, Any]:
        """Plain dictionaries and lists, ready for JSON."""
        return json.loads(json.dumps(asdict(self)))


def read_recipe(path: Path) -> Recipe:
    """The recipe in a JSON file; its name is the file's unless it gives one."""
    try:
        data = json.loads(path.read_text())
    except FileNotFoundError:
        near = [str(other) for other in sorted(path.parent.glob("*.json"))]
        raise InputError(f"{unknown('recipe', path, near)} Give the path of a JSON file.") from None
    except (json.JSONDecodeError, UnicodeDecodeError, OSError) as why:
        raise InputError(f"The recipe {path} cannot be read as JSON ({why}); mend it.") from None
    if isinstance(data, dict):
        data = {"name": path.stem, **data}
    return Recipe.from_json(data)
