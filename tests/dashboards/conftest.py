import pytest

CHEST = {"name": "chest_phantom", "count": 40, "depth": 8, "size": 32}
SETS = {
    "chest": CHEST,
    "volume and picture": {"name": "xor_phantom", "count": 40, "kinds": ["volume", "image"]},
    "two chests": {
        "name": "unrelated_pair", "first": CHEST, "second": {**CHEST, "depth": 14, "seed": 1}, "count": 30,
    },
}  # fmt: skip


@pytest.fixture(scope="session")
def volumes(tmp_path_factory):
    """A folder with small runs on cases that hold volumes, explained."""
    from studykit.explain import explain
    from studykit.training import Recipe, find_runs, train

    out = tmp_path_factory.mktemp("volumes", numbered=False)
    for name, dataset in SETS.items():
        recipe = {"name": name, "dataset": dataset, "folds": 3, "only": [0]}
        train(Recipe.from_json({**recipe, "training": {"epochs": 3}}), out)
    for run in find_runs(out):
        explain(run, {"name": "integrated_gradients", "steps": 8})
        explain(run, "grad_cam")
    return out
