"""The Cases page in real Chromium, as a person uses it."""

import io
import json
import os
import re
import signal
from urllib.parse import parse_qs, urlparse

import numpy as np
import pytest
from PIL import Image

from dashboards.test_every_page import choose, drawn

pytestmark = pytest.mark.browser


def pixels(page):
    """The part of the page that shows the case."""
    clip = {"x": 600, "y": 80, "width": 830, "height": 870}
    return np.asarray(Image.open(io.BytesIO(page.screenshot(clip=clip))).convert("RGB")).astype(int)


def changed(before, after):
    return (np.abs(before - after).max(axis=-1) > 16).mean()


def settled(page):
    """Wait until the page stands still, then its pixels."""
    before = pixels(page)
    for _ in range(60):
        page.wait_for_timeout(250)
        after = pixels(page)
        if not changed(before, after):
            return after
        before = after
    raise AssertionError("the page never stood still")


def says(name, value):
    """What an address must answer: that it names this model, case or method."""
    return lambda url: parse_qs(urlparse(url).query).get(name) == [value]


def test_the_cases_page(served, browser_page, runs, run, request):
    page, strangers, errors = browser_page, [], []
    address = served(runs)
    host = urlparse(address).netloc

    def note(message):
        if message.type == "error":
            errors.append(message.text)

    def watch(url):
        if urlparse(url).scheme in ("http", "https", "ws", "wss") and urlparse(url).netloc != host:
            strangers.append(url)

    page.on("request", lambda request: watch(request.url))
    page.on("websocket", lambda socket: watch(socket.url))
    page.on("console", note)
    page.goto(address)
    page.get_by_text("Planted truth").wait_for(timeout=60_000)
    page.locator("canvas").first.wait_for()
    first = settled(page)
    assert first.std() > 20, "the page is blank"
    assert not page.get_by_label("Slice", exact=True).is_visible(), "pictures have no slices"
    screenshots = request.config.getoption("--screenshots")

    cases = run.prepared.dataset.cases.loc[run.test_ids[1:12]]
    chosen = cases.index[(cases["evidence"] == "both") & (cases["truth"] == "malignant")][0]
    page.locator(".tabulator-row").filter(has_text=chosen).click()
    page.get_by_role("heading", name=chosen).wait_for()
    second = settled(page)
    assert changed(first, second) > 0.05, "another case is another picture"
    page.wait_for_url(says("case", chosen))

    choose(page, "Method", "Grad-CAM")
    page.get_by_text("Grad-CAM: where").wait_for()
    third = settled(page)
    assert changed(second, third) > 0.02, "another method is another map"
    page.wait_for_url(says("method", "grad_cam"))

    choose(page, "Method", "Integrated gradients")
    page.get_by_text("Integrated gradients: what").wait_for()
    settled(page)
    under = drawn(page, 1)
    if screenshots:
        page.screenshot(path=screenshots / "cases.png")
    slider = page.get_by_label("Opacity of the map")
    slider.focus()
    os.killpg(served.process.pid, signal.SIGSTOP)  # the server sleeps: the browser does it alone
    try:
        for _ in range(14):
            page.keyboard.press("ArrowLeft")
        assert float(slider.input_value()) == 0
        faded = drawn(page, 1)
    finally:
        os.killpg(served.process.pid, signal.SIGCONT)
    assert changed(under, faded) > 0.02, "the map fades"

    page.goto(f"{address}/cases?case={chosen}&method=grad_cam&model=record+alone")
    page.get_by_role("heading", name=chosen).wait_for(timeout=60_000)
    page.get_by_text("asks for the method 'grad_cam', which is not here").wait_for()
    page.get_by_text("This model does not look at the image").wait_for()
    assert not strangers and not errors


def test_the_slices_of_a_volume(served, browser_page, volumes):
    page = browser_page
    page.goto(f"{served(volumes)}/cases?model=chest")
    page.get_by_text("Planted truth").wait_for(timeout=60_000)
    page.locator("canvas").first.wait_for()
    slider = page.get_by_label("Slice", exact=True)
    start, first = int(slider.input_value()), [drawn(page, at) for at in (0, 1)]
    slider.focus()
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowLeft")
    assert int(slider.input_value()) == start - 2
    page.wait_for_timeout(1500)
    for at in (0, 1):
        assert changed(first[at], drawn(page, at)) > 0.02, "another slice is another picture and another map"
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    assert changed(first[0], drawn(page)) < 0.01, "and back"
    rows = page.locator(".tabulator-row")
    slider.focus()
    page.keyboard.press("Home")
    settled(page)
    rows.nth(1).click()
    settled(page)
    assert int(slider.input_value()) > 1, "a new case opens where its finding is"


def test_a_text_shows_its_words_on_their_effects(served, browser_page, volumes):
    page, errors = browser_page, []
    page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    page.goto(f"{served(volumes)}/cases?model=report&method=integrated_gradients%2Csteps%3D8")
    page.get_by_text("added to the logit").first.wait_for(timeout=60_000)
    words = page.locator("span[title]").filter(has_text="opacity")
    words.first.wait_for()
    effects = "found => found.map(e => e.title + getComputedStyle(e).backgroundColor)"
    first = page.locator("span[title]").evaluate_all(effects)
    assert len(first) > 8 and len(set(first)) > 8
    page.locator(".tabulator-row").nth(3).click()
    settled(page)
    assert page.locator("span[title]").evaluate_all(effects) != first
    assert not errors


def test_cases_without_pictures_have_no_empty_frames(served, browser_page, numbers):
    page, errors = browser_page, []
    page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    page.goto(f"{served(numbers)}/cases")
    page.get_by_text("These cases have no pictures").wait_for(timeout=60_000)
    page.get_by_text("added to the number").first.wait_for()
    for name in ("Opacity", "Slice"):
        assert not page.get_by_label(name, exact=True).is_visible()
    assert not page.get_by_text("the class's logit").count() and not page.locator(".bk-Figure").count()
    assert settled(page).std() > 5 and not errors


@pytest.mark.real_data
def test_real_cases_stand_under_their_own_outline(served, browser_page, tmp_path):
    """One real recipe end to end: trained, explained, served, looked at."""
    from studykit.__main__ import main

    recipe = {"dataset": {"name": "breast_lesions_usg", "size": 64}, "only": [0], "explain": ["grad_cam"]}
    (tmp_path / "real.json").write_text(json.dumps(recipe))
    assert main(["run", str(tmp_path / "real.json"), "--out", str(tmp_path / "out")]) == 0
    browser_page.goto(served(tmp_path / "out"))
    browser_page.get_by_role("heading", name=re.compile(r"^case\d")).wait_for(timeout=60_000)
    browser_page.get_by_text("held out in fold 0").wait_for()
    assert settled(browser_page).std() > 20
    assert browser_page.get_by_text("Phantom: drawn cases").count() == 0
