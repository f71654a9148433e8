"""Views in the cells of a real JupyterLab: they are drawn, and follow what cells and hands do."""

import io
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dashboards.test_browser import changed

pytestmark = pytest.mark.browser
NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
NOT_RUN = {"metadata": {}, "outputs": [], "execution_count": None}
CELLS = [
    "from studykit.ui import CasesView, Session\nfrom studykit.ui.small import small_view\n"
    "session = Session({folder!r}, model='fusion')\nCasesView(session)",
    "session.case = session.cases['id'].iloc[5]",
    "small_view(session)",
    "CasesView(session)",
]


@pytest.fixture
def lab(tmp_path):
    """A function that opens a notebook, given as JSON, in JupyterLab and gives its address."""
    started = []

    def open_(notebook):
        (tmp_path / "book.ipynb").write_text(notebook)
        with socket.socket() as free:
            free.bind(("localhost", 0))
            port = free.getsockname()[1]
        command = [
            sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", f"--port={port}",
            "--port-retries=0", "--IdentityProvider.token=t", f"--ServerApp.root_dir={tmp_path}",
            "--LabApp.news_url=None", "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
        ]  # fmt: skip
        environment = {**os.environ, "JUPYTER_CONFIG_DIR": str(tmp_path / "config"), "HOME": str(tmp_path)}
        started.append(subprocess.Popen(command, cwd=tmp_path, env=environment, start_new_session=True))
        for _ in range(240):
            try:
                urllib.request.urlopen(f"http://localhost:{port}/api?token=t", timeout=20).close()
                return f"http://localhost:{port}/doc/tree/book.ipynb?token=t"
            except OSError:
                assert started[-1].poll() is None, "JupyterLab stopped"
                time.sleep(0.5)
        raise AssertionError("JupyterLab did not answer within two minutes")

    yield open_
    for process in started:
        os.killpg(process.pid, signal.SIGTERM)  # it shuts its kernels down
        process.wait(timeout=30)


def notebook_of(cells):
    """The JSON of a notebook with these code cells."""
    made = [
        {"cell_type": "code", "id": f"c{at}", "source": source, **NOT_RUN} for at, source in enumerate(cells)
    ]
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    return json.dumps({"cells": made, "metadata": kernel, "nbformat": 4, "nbformat_minor": 5})


def run_cell(page, at):
    """Run a cell until it says that it ran: what is asked before a kernel listens is lost."""
    cell = page.locator(".jp-Notebook .jp-Cell").nth(at)
    for _ in range(360):
        prompt = cell.locator(".jp-InputPrompt").inner_text()
        if prompt == "[ ]:":
            cell.locator(".cm-content").click()
            page.keyboard.press("Control+Enter")
        elif "*" not in prompt:
            return cell.locator(".jp-Cell-outputWrapper")
        page.wait_for_timeout(500)
    raise AssertionError(f"cell {at} never ran: {prompt}")


def seen(part):
    """What a picture shows, without what stands beside it."""
    return np.asarray(Image.open(io.BytesIO(part.screenshot())).convert("RGB")).astype(int)[:300, :300]


def other(page, part, before):
    """Wait until a picture is another than before, then its pixels."""
    for _ in range(120):
        after = seen(part)
        if changed(before, after) > 0.005:
            return after
        page.wait_for_timeout(250)
    raise AssertionError("the picture never changed")


def opened(page, address):
    page.set_viewport_size({"width": 1440, "height": 1900})
    page.goto(address)
    page.locator(".jp-Notebook-ExecutionIndicator[data-status=idle]").wait_for(timeout=90_000)
    page.locator(".jp-Spinner").wait_for(state="hidden", timeout=60_000)


def drawn(page, cell, at):
    """The frame that stands there, once it holds a picture; what it shows."""
    frame = cell.locator(".bk-Figure").nth(at)
    frame.wait_for(timeout=120_000)
    page.wait_for_timeout(1000)
    shown = seen(frame)
    assert shown.std() > 20
    return frame, shown


def test_views_follow_cells_and_hands(lab, browser_page, runs, request):
    from playwright.sync_api import expect

    page, errors, browser = browser_page, [], browser_page.context.browser
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", lambda said: errors.append(said.text) if "Error" in said.text else None)
    page.on(
        "request",
        lambda asked: (
            errors.append(asked.url)
            if "://localhost" not in asked.url and asked.url.startswith("http")
            else None
        ),
    )
    address = lab(notebook_of([CELLS[0].format(folder=str(runs)), *CELLS[1:]]))
    opened(page, address)
    cell = run_cell(page, 0)
    under_map, first = drawn(page, cell, 1)

    heading = cell.get_by_role("heading").first.inner_text()
    run_cell(page, 1)
    second = other(page, under_map, first)
    assert cell.get_by_role("heading").first.inner_text() != heading  # another cell opened another case

    cell.get_by_role("combobox", name="Method").click()
    page.get_by_role("menuitem", name="Grad-CAM", exact=True).click()
    third = other(page, under_map, second)  # a widget of the cell

    cell.get_by_role("slider").first.press("Home")  # the map's opacity
    other(page, under_map, third)
    cell.get_by_role("tab", name="All maps").click()
    cell.get_by_text("each map has its own scale").wait_for(timeout=60_000)
    cell.locator(".bk-Figure").nth(2).wait_for(timeout=60_000)

    box = run_cell(page, 2)  # ipywidgets, and no Bokeh
    small = box.locator("img").first
    before = small.get_attribute("src", timeout=60_000)
    box.get_by_role("slider").first.press("Home")  # its opacity
    expect(small).not_to_have_attribute("src", before, timeout=30_000)
    if folder := request.config.getoption("--screenshots"):
        page.screenshot(path=folder / "jupyterlab.png")
    assert not errors

    page.close()
    page = browser.new_page()
    opened(page, address)  # on the same kernel, which wrote Panel's scripts into the page before
    drawn(page, run_cell(page, 3), 0)


@pytest.mark.parametrize("name", ["01_cases", "02_data_sets", "06_explanations"])
def test_a_notebook_of_the_course_runs_and_follows_a_hand(lab, browser_page, name, request):
    page, errors = browser_page, []
    page.on("pageerror", lambda error: errors.append(str(error)))
    opened(page, lab((NOTEBOOKS / f"{name}.ipynb").read_text()))
    running = page.locator(".jp-InputPrompt", has_text="*")
    for _ in range(12):  # what is asked before a kernel listens is lost
        page.get_by_role("menuitem", name="Run", exact=True).click()
        page.get_by_role("menuitem", name="Run All Cells", exact=True).click()
        page.wait_for_timeout(5000)
        if running.count():
            break
    running.first.wait_for(state="hidden", timeout=400_000)
    assert page.locator("[data-mime-type='application/vnd.jupyter.error']").count() == 0
    box = page.locator(".widget-vbox", has=page.get_by_role("slider")).first
    box.scroll_into_view_if_needed()
    picture, handle = box.locator(".widget-html").last, box.get_by_role("slider").first
    before = picture.inner_html()
    shown = seen(picture)
    handle.press("Home")
    other(page, picture, shown)
    assert picture.inner_html() != before
    if folder := request.config.getoption("--screenshots"):
        page.screenshot(path=folder / f"lab_{name}.png")
    assert not errors
