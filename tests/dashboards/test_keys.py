"""Keys, saved filters and the table in real Chromium, on a page made for that, and as a notebook has them."""

import io
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

pytestmark = pytest.mark.browser
HOSTILE = "<img src=x onerror=window.hacked=1>"
PAGE = """
import sys
from pathlib import Path

import numpy as np
import panel as pn
import panel_material_ui as pmui
from bokeh.models import Range1d
from bokeh.plotting import figure

from studykit.ui import CaseTable, Keys, Session, follow_address


def drawn():
    made = figure(
        name="frame", frame_width=220, frame_height=220, x_range=Range1d(0, 1), y_range=Range1d(0, 1),
        tools="wheel_zoom,reset", active_scroll="wheel_zoom",
    )
    place = {"x": 0, "y": 0, "dw": 1, "dh": 1}
    made.image([np.arange(64, dtype="uint8").reshape(8, 8)], palette="Greys256", name="picture", **place)
    made.image([np.full((8, 8), 255, "uint8")], palette=["#ff7f00"], name="heat", **place)
    return pn.pane.Bokeh(made)


def page(everywhere):
    session = Session(Path(sys.argv[1]))
    if "hostile" in pn.state.session_args:
        odd = session.cases.assign(**{name: HOSTILE for name in ("group", "predicted")})
        odd.loc[3, ["id", "label"]] = HOSTILE
        session.cases_of = lambda model: odd
        session._offer()
    table = CaseTable(session)
    wanted = ["show", "label", "predicted", "fold", "find", "doubt"]
    follow_address(session, ["model", "case"], (table.filter, wanted))
    keys = Keys(on_next=lambda: table.step(1), on_previous=lambda: table.step(-1), everywhere=everywhere)
    case = pn.pane.Markdown(pn.bind("CASE {}".format, session.param.case), disable_math=True)
    slider, away = pmui.FloatSlider(label="Opacity"), pmui.Button(label="Away")
    view = pn.Column(keys, drawn(), slider)
    away.on_click(lambda event: view.pop(0))
    return pn.Column(table, width=590), pn.Column(case, view, away)


def paged(everywhere):
    left, right = page(everywhere)
    return pmui.Page(main=[pn.Row(left, right)]) if everywhere else pn.Row(left, right)


HOSTILE = "<img src=x onerror=window.hacked=1>"
pages = {"/cases": lambda: paged(True), "/cell": lambda: paged(False)}
pn.serve(pages, port=int(sys.argv[2]), show=False, verbose=False)
"""


@pytest.fixture(scope="module")
def address(runs, tmp_path_factory):
    """The page above, served."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    script = tmp_path_factory.mktemp("page") / "page.py"
    script.write_text(PAGE)
    command = [sys.executable, str(script), str(runs), str(port)]
    root = Path(__file__).parents[2]
    process = subprocess.Popen(
        command, cwd=root, env={**os.environ, "PYTHONPATH": str(root)}, start_new_session=True
    )
    try:
        for _ in range(240):
            try:
                urllib.request.urlopen(f"http://localhost:{port}/cases", timeout=20).close()
                break
            except OSError:
                assert process.poll() is None, "the server stopped"
                time.sleep(0.5)
        yield f"http://localhost:{port}"
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(timeout=20)


def opened(page, url):
    """The page once it stands, and what its console complains of."""
    errors = []
    page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(url)
    page.locator(".tabulator-row").first.wait_for(timeout=60_000)
    page.get_by_role("button", name="Next (→)").wait_for()
    page.wait_for_timeout(500)
    return errors


def rows(page):
    """The names that stand in the table."""
    return page.locator(".tabulator-row .tabulator-cell[tabulator-field=id]").all_inner_texts()


def case(page, name):
    """Wait until this case is open."""
    page.get_by_text(f"CASE {name}", exact=True).wait_for(timeout=10_000)


def orange(page):
    """How much of the figure is under the map."""
    picture = Image.open(io.BytesIO(page.locator(".bk-Figure").screenshot())).convert("RGB")
    return (np.abs(np.asarray(picture).astype(int) - (255, 127, 0)).max(axis=-1) < 12).mean()


def spans(page):
    """How wide the figure's axes are now."""
    return page.evaluate(
        "[...Bokeh.documents[0].roots()].flatMap(r => [...r.references()])"
        ".filter(m => m.name == 'frame').map(m => m.x_range.end - m.x_range.start)"
    )


def test_keys_and_buttons_do_the_same(address, browser_page):
    page = browser_page
    errors = opened(page, f"{address}/cases")
    names = rows(page)
    case(page, names[0])
    for act, wanted in {"j": 1, "ArrowRight": 2, "k": 1, "ArrowLeft": 0}.items():
        page.keyboard.press(act)
        case(page, names[wanted])
    page.get_by_role("button", name="Next (→)").click()
    case(page, names[1])
    page.get_by_role("button", name="Previous (←)").click()
    case(page, names[0])
    for _ in range(len(names)):
        page.keyboard.press("j")
    page.locator(".tabulator-page.active", has_text="2").wait_for(timeout=20_000)
    page.wait_for_timeout(500)
    second = rows(page)
    assert not set(second) & set(names) and page.locator(".tabulator-selected").inner_text().startswith(
        second[0]
    )
    assert page.evaluate("window.studykitKeys.size") == 1

    assert orange(page) > 0.3
    page.keyboard.press("o")
    page.wait_for_timeout(300)
    assert orange(page) == 0
    page.get_by_role("button", name="Maps (o)").click()
    page.wait_for_timeout(300)
    assert orange(page) > 0.3 and spans(page) == [1]

    box = page.locator(".bk-Figure").bounding_box()
    for act in (lambda: page.keyboard.press("r"), lambda: page.keyboard.press("0"),
                lambda: page.get_by_role("button", name="Reset zoom (r)").click()):  # fmt: skip
        page.mouse.move(box["x"] + 120, box["y"] + 120)
        page.mouse.wheel(0, -400)
        page.wait_for_timeout(400)
        assert spans(page)[0] < 0.8, "the wheel zooms"
        act()
        page.wait_for_timeout(300)
        assert spans(page) == [1]

    page.keyboard.press("?")
    page.get_by_role("dialog", name="Keys").wait_for()
    assert page.get_by_text("maps over the pictures on and off", exact=True).is_visible()
    page.keyboard.press("Escape")
    assert not page.get_by_role("dialog", name="Keys").is_visible()
    assert not errors


def test_keys_leave_alone_what_is_typed(address, browser_page):
    page = browser_page
    errors = opened(page, f"{address}/cases")
    first = rows(page)[0]
    page.get_by_label("Find in case or group").click()
    page.keyboard.type("ojr0?k")
    page.keyboard.press("ArrowLeft")
    page.wait_for_timeout(500)
    assert page.get_by_label("Find in case or group").input_value() == "ojr0?k"
    assert orange(page) > 0.3 and page.get_by_role("dialog", name="Keys").count() == 0
    case(page, first)
    for _ in range(6):
        page.keyboard.press("Delete")
        page.keyboard.press("Backspace")
    slider = page.locator("input[type=range]").last
    slider.focus()
    page.keyboard.press("ArrowRight")
    page.wait_for_timeout(500)
    assert float(slider.input_value()) > 0
    case(page, first)
    page.keyboard.press("o")  # a letter means nothing to a slider
    page.wait_for_timeout(300)
    assert orange(page) == 0
    page.keyboard.press("Control+o")
    page.keyboard.press("Alt+j")
    page.keyboard.press("Shift+J")
    page.wait_for_timeout(500)
    assert orange(page) == 0
    case(page, first)
    page.get_by_role("button", name="Away").click()
    page.get_by_role("button", name="Next (→)").wait_for(state="detached")
    assert page.evaluate("window.studykitKeys.size") == 0
    page.keyboard.press("j")
    page.wait_for_timeout(500)
    case(page, first)
    assert not errors


def test_in_a_cell_keys_need_the_focus(address, browser_page):
    page = browser_page
    errors = opened(page, f"{address}/cell")
    first, second = rows(page)[:2]
    page.evaluate("""() => {
      window.heard = []
      document.addEventListener('keydown', (event) => heard.push(event.key), true)
      document.body.insertAdjacentHTML('beforeend', '<button id=other>another cell</button>')
      document.getElementById('other').focus()
    }""")
    page.keyboard.press("j")
    page.keyboard.press("o")
    page.wait_for_timeout(500)
    case(page, first)
    assert orange(page) > 0.3 and page.evaluate("heard") == ["j", "o"], "JupyterLab hears what is its own"
    page.get_by_role("button", name="Maps (o)").focus()
    page.keyboard.press("j")
    case(page, second)
    page.keyboard.press("o")
    page.keyboard.press("x")
    page.wait_for_timeout(300)
    assert orange(page) == 0 and page.evaluate("heard") == ["j", "o", "x"], "what is used is used once"
    assert not errors


def test_a_saved_filter_is_found_again(address, browser_page):
    page = browser_page
    errors = opened(page, f"{address}/cases?show=right+predictions&label=malignant")
    page.get_by_text("cases: right predictions, label malignant").wait_for()
    page.get_by_text("More, and saved filters").click()
    page.get_by_label("Name of the filter").fill(HOSTILE)
    page.get_by_role("button", name="Save this filter").click()
    page.get_by_text("is saved in this browser").wait_for()
    opened(page, f"{address}/cases")  # another session in this browser
    assert page.get_by_text("cases: right predictions").count() == 0
    page.get_by_text("More, and saved filters").click()
    page.get_by_role("button", name=HOSTILE, exact=True).click()
    page.get_by_text("cases: right predictions, label malignant").wait_for()
    assert "label=malignant" in page.url
    page.get_by_role("button", name=f"Delete {HOSTILE}").click()
    page.get_by_role("button", name=HOSTILE, exact=True).wait_for(state="detached")
    page.evaluate("""() => {
      const place = Object.keys(localStorage).find((key) => key.startsWith('studykit'))
      const many = Array.from({length: 50}, (_, k) => ({name: `n${k}`, asked: {label: 'nothing'}}))
      localStorage.setItem(place, JSON.stringify(many))
    }""")
    page.get_by_label("Name of the filter").fill("one more")
    page.get_by_role("button", name="Save this filter").click()
    page.get_by_text("At most 50 are kept").wait_for()
    opened(page, f"{address}/cases")
    page.get_by_text("More, and saved filters").click()
    page.get_by_role("button", name="n7", exact=True).click()
    page.get_by_text("Not here, and left out: label.").wait_for()
    assert page.evaluate("window.hacked") is None and not errors


def test_no_storage_is_said_and_nothing_is_run(address, browser_page):
    page = browser_page
    page.add_init_script("Object.defineProperty(window, 'localStorage', {get() { throw new Error('no') }})")
    opened(page, f"{address}/cases?hostile=1&find=img")
    page.get_by_text("More, and saved filters").click()
    page.get_by_text("This browser keeps nothing for pages").wait_for()
    assert not page.get_by_role("button", name="Save this filter").is_visible()
    cells = page.locator(".tabulator-cell")
    assert cells.filter(has_text=HOSTILE).count() > 20 and HOSTILE in rows(page)
    page.get_by_label("Find in case or group").fill(HOSTILE)
    page.keyboard.press("Enter")
    page.get_by_text(f"named like '{HOSTILE}'").wait_for()
    page.locator(".tabulator-row").nth(3).click()
    page.wait_for_timeout(500)
    assert page.evaluate("window.hacked") is None and page.locator("img[src=x]").count() == 0
