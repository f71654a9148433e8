"""What many tests share: real data and Chromium where they are, one small trained run."""

import os
import shutil
from contextlib import ExitStack
from pathlib import Path

import pytest
from serving import ROOT, serving  # noqa: F401


def pytest_addoption(parser):
    parser.addoption("--screenshots", type=Path, help="folder to keep the browser tests' screenshots in")


def pytest_runtest_setup(item):
    if item.get_closest_marker("real_data") and not os.environ.get("STUDYKIT_DATA"):
        pytest.skip("real data: set STUDYKIT_DATA to the folder that holds BUSI, BrEaST-Lesions-USG, ...")
    if item.get_closest_marker("browser") and not find_chromium():
        pytest.skip("browser: install Chromium (Debian: apt-get install chromium)")


def find_chromium():
    for name in ("chromium", "chromium-browser", "google-chrome", "chrome"):
        if shutil.which(name):
            return shutil.which(name)
    return None


COHORT = {"name": "breast_phantom", "count": 100, "size": 64}
TRAINING = {"epochs": 40}


@pytest.fixture(scope="session")
def runs(tmp_path_factory):
    """A folder with three small phantom runs, explained."""
    from studykit.explain import explain
    from studykit.training import Recipe, find_runs, train

    out = tmp_path_factory.mktemp("runs", numbered=False)
    models = {
        "fusion": {"name": "concat"},
        "image alone": {"name": "alone"},
        "record alone": {"name": "alone", "modality": "record"},
    }
    for name, model in models.items():
        recipe = {"name": name, "dataset": COHORT, "model": model, "training": TRAINING, "only": [0]}
        train(Recipe.from_json(recipe), out)
    for run in find_runs(out):
        explain(run, "integrated_gradients")
        if "image" in run.model().encoders:
            explain(run, "grad_cam")
    return out


@pytest.fixture(scope="session")
def run(runs):
    """The small run of the fusion model."""
    from studykit.training import Run

    return Run(runs / "fusion" / "fold-0")


@pytest.fixture(scope="module")
def one_thread():
    """Sums in the same order whatever the machine, so that a seed means the same training everywhere."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def served():
    """A function that serves a folder of runs with the real command and gives the address."""
    with ExitStack() as started:

        def serve(folder: Path, *more: str) -> str:
            address, serve.process = started.enter_context(serving(folder, *more))
            return address

        yield serve


@pytest.fixture
def browser_page():
    """A page in real Chromium."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_chromium(), args=["--no-sandbox"])
        yield browser.new_page(viewport={"width": 1440, "height": 960})
        browser.close()
