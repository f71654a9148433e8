"""What the pages' tests share: folders of small runs, the small demo served, and pages in Chromium."""

from urllib.parse import urlparse

import pytest
from conftest import find_chromium
from serving import serving

from dashboards.small_demo import build

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


@pytest.fixture(scope="session")
def demo(tmp_path_factory):
    """The small demo's folder: every page has something to show."""
    out = tmp_path_factory.mktemp("demo", numbered=False)
    build(out)
    return out


@pytest.fixture(scope="module")
def demo_address(demo):
    """The small demo, served."""
    with pytest.MonkeyPatch.context() as alone:
        alone.delenv("STUDYKIT_DATA", raising=False)
        with serving(demo) as (address, _):
            yield address


@pytest.fixture(scope="module")
def chromium():
    """One browser for many pages."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_chromium(), args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def visit(chromium, demo_address):
    """A function that opens a page of the small demo: nothing may be amiss there, no other host be asked."""
    page, amiss = chromium.new_page(viewport={"width": 1280, "height": 900}), []
    own = urlparse(demo_address).netloc

    def watch(url):
        if urlparse(url).scheme in ("http", "https", "ws", "wss") and urlparse(url).netloc != own:
            amiss.append(f"another host was asked: {url}")

    page.set_default_timeout(60_000)
    page.on("request", lambda request: watch(request.url))
    page.on("websocket", lambda socket: watch(socket.url))
    page.on("console", lambda message: amiss.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: amiss.append(str(error)))

    def go(path):
        page.goto(f"{demo_address}/{path}")
        return page

    yield go
    page.close()
    assert not amiss
