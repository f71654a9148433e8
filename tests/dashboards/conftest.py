import pytest

CHEST = {"name": "chest_phantom", "count": 40, "depth": 8, "size": 32}
SETS = {
    "chest": CHEST,
    "report": {"name": "report_phantom", "count": 60, "size": 32},
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


@pytest.fixture(scope="session")
def numbers(tmp_path_factory):
    """A folder with a run on a table alone: a number is predicted, and nothing can be looked at."""
    import numpy as np
    import pandas as pd

    from studykit.explain import explain
    from studykit.training import Recipe, find_runs, train

    out = tmp_path_factory.mktemp("numbers", numbered=False)
    (out / "cases").mkdir()
    n = np.arange(60)
    columns = {"id": [f"c{k}" for k in n], "label": 20 + n % 25 + n % 3, "age": 40 + n % 25}
    pd.DataFrame({**columns, "side": np.where(n % 2, "left", "right")}).to_csv(
        out / "cases" / "cases.csv", index=False
    )
    dataset = {"name": "own_folder", "folder": str(out / "cases")}
    recipe = {"name": "numbers", "dataset": dataset, "folds": 3, "only": [0], "training": {"epochs": 20}}
    train(Recipe.from_json(recipe), out / "runs")
    explain(find_runs(out / "runs")[0], {"name": "integrated_gradients", "steps": 8})
    return out / "runs"
