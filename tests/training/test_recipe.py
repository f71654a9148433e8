import json

import pytest

from studykit.catalog import InputError
from studykit.demo import RECIPES
from studykit.training import Recipe, read_recipe

SMALLEST = {"dataset": {"name": "breast_phantom"}}


def test_every_default_is_written_out():
    recipe = Recipe.from_json(SMALLEST)
    assert recipe.dataset["in_image"] == 0.6 and recipe.training.epochs == 100
    assert recipe.model["image"]["weights"] == "package" and recipe.model["dropout"] == 0.5
    assert Recipe.from_json(recipe.to_json()) == Recipe.from_json(json.loads(json.dumps(recipe.to_json())))


def test_a_recipe_is_named_for_its_file(tmp_path):
    (tmp_path / "mine.json").write_text(json.dumps(SMALLEST))
    assert read_recipe(tmp_path / "mine.json").name == "mine"


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe["name"])
def test_the_demo_recipes_are_good(recipe):
    assert Recipe.from_json(recipe).folds_to_run == (0,)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"dataset": {"name": "breast_phantoms"}}, "did you mean breast_phantom"),
        ({"dataset": {"name": "breast_phantom", "cuont": 3}}, "'cuont'; did you mean count"),
        ({"model": "concatt"}, "no fusion model named 'concatt'; did you mean concat"),
        (
            {"model": {"name": "concat", "dropuot": 0.1}},
            "no setting .* named 'dropuot'; did you mean dropout",
        ),
        ({"model": 5}, "A fusion model is written"),
        ({"training": 5}, "settings of training are a JSON object, not 5"),
        ({"modle": "concat"}, "no setting of the recipe named 'modle'; did you mean model"),
        ({"training": {"epoch": 3}}, "no setting of training named 'epoch'; did you mean epochs"),
        ({"folds": "five"}, "'folds' of the recipe is a whole number"),
        ({"only": [7]}, "asks for fold 7"),
        ({"name": "a/b"}, "cannot name a folder"),
    ],
)
def test_bad_recipes_get_a_sentence(change, sentence):
    with pytest.raises(InputError, match=sentence):
        Recipe.from_json({**SMALLEST, **change})


def test_files_that_are_no_recipes_get_a_sentence(tmp_path):
    (tmp_path / "mine.json").write_text("{}")
    with pytest.raises(InputError, match=r"There is no recipe named '.*mein.json'; did you mean .*mine.json"):
        read_recipe(tmp_path / "mein.json")
    (tmp_path / "bad.json").write_text("{")
    with pytest.raises(InputError, match="bad.json cannot be read as JSON"):
        read_recipe(tmp_path / "bad.json")
    (tmp_path / "list.json").write_text("[]")
    with pytest.raises(InputError, match='at least "dataset"'):
        read_recipe(tmp_path / "list.json")
