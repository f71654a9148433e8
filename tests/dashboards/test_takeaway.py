"""Pictures and tables that leave the page, as a person takes them."""

import io
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from types import SimpleNamespace
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
from conftest import ROOT
from PIL import Image

import studykit
from studykit.catalog import InputError
from studykit.ui.session import Session
from studykit.ui.takeaway import PHANTOM, Takeaway, caption, file_name, marks, takeaway

SVG = "{http://www.w3.org/2000/svg}"
TITLE = 'Shares & "parts" <b>of</b> \u0001all'
PAGE = """
import sys
import holoviews as hv, numpy as np, pandas as pd, panel as pn, panel_material_ui as pmui, param
from studykit.ui import Session
from studykit.ui.takeaway import takeaway

class Small(pn.viewable.Viewer):
    session = param.Parameter()
    def __panel__(self):
        square = np.indices((9, 9)).sum(axis=0) % 2.0
        picture = hv.Image(square).opts(frame_width=150, frame_height=150, title="Squares")
        curve = hv.Curve([0, 3, 1]).opts(title="A figure's title", frame_width=260, frame_height=180)
        said = pn.pane.HTML("<h3>A heading</h3><ul><li>one thing &amp; another</li></ul>"
                            "<div style='background:#e66101;width:50%;height:20px'></div>"
                            "<div style='background:red;width:9px;height:9px;transform:rotate(45deg)'></div>"
                            "<svg width=20 height=20><circle cx=10 cy=10 r=9 style='fill:#2b6cd4'/></svg>")
        pick = pmui.Select(label="Way", options=["this way"])
        return pmui.Column(pmui.Row(pick, said), pn.Row(curve, picture))

def page(dark):
    def made():
        session = Session(sys.argv[1], model="fusion")
        table = lambda: pd.DataFrame({"case": ["=1+1"], "share": [0.5]})
        return pmui.Page(main=[takeaway(Small(session=session), sys.argv[3], table)], dark_theme=dark)
    return made

pn.serve({"light": page(False), "dark": page(True)}, port=int(sys.argv[2]), show=False, address="localhost")
"""


@pytest.fixture
def address(runs, tmp_path):
    """Where a page with one small view is served."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    (tmp_path / "page.py").write_text(PAGE)
    command = [sys.executable, tmp_path / "page.py", runs, str(port), TITLE]
    process = subprocess.Popen(
        command, cwd=ROOT, start_new_session=True, env={**os.environ, "PYTHONPATH": ROOT}
    )
    try:
        for _ in range(240):
            try:
                urllib.request.urlopen(f"http://localhost:{port}/light", timeout=20).close()
                break
            except OSError:
                assert process.poll() is None, "the server stopped"
                time.sleep(0.5)
        yield SimpleNamespace(url=f"http://localhost:{port}", group=process.pid)
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(timeout=20)


def taken(page, kind):
    """The file that a button gives, and what it is called."""
    with page.expect_download(timeout=20_000) as found:
        page.get_by_role("button", name=f"{kind} of").click()
    return found.value.path().read_bytes(), found.value.suggested_filename


def opened(page, address):
    page.goto(address)
    page.get_by_role("button", name="PNG of").wait_for(timeout=60_000)
    page.get_by_text("A heading").wait_for()
    page.locator("canvas").first.wait_for()
    page.wait_for_timeout(1000)


def pixels(data):
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB")).astype(int)


@pytest.mark.browser
def test_a_view_leaves_the_page_as_svg_png_and_csv(address, browser_page, runs, tmp_path):
    page, errors, asked = browser_page, [], []
    case = Session(runs, model="fusion").case
    page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    opened(page, f"{address.url}/light")
    page.on("request", lambda request: asked.append(request.url))
    data, name = taken(page, "SVG")
    assert name.endswith(f"-fusion-{case}-Integrated_gradients-phantom.svg") and "<" not in name
    root = ElementTree.fromstring(data)
    texts = ["".join(text.itertext()) for text in root.iter(f"{SVG}text")]
    for told in ("A figure's title", "A heading", "one thing & another", PHANTOM, "this way", "Way"):
        assert told in texts, told
    assert root.find(f"{SVG}title").text == 'Shares & "parts" <b>of</b> all'
    assert any(f"case {case}" in text for text in texts)
    figures = list(root.iter(f"{SVG}svg"))[1:]
    curve = next(f for f in figures if "A figure's title" in "".join(f.itertext()))
    assert list(curve.iter(f"{SVG}path")) and not list(curve.iter(f"{SVG}image"))
    assert texts.count("A figure's title") == 1, "a text is not drawn twice"
    addresses = [value for node in root.iter() for key, value in node.attrib.items() if key.endswith("href")]
    assert addresses and all(one.startswith("data:image/png") for one in addresses)
    assert not list(root.iter(f"{SVG}foreignObject")) and b"\x01" not in data
    assert {node.get("fill") for node in root.iter(f"{SVG}circle")} >= {"rgb(43, 108, 212)"}
    assert any(node.get("transform", "").startswith("rotate(45") for node in root.iter(f"{SVG}g"))

    width, height = float(root.get("width")), float(root.get("height"))
    image, name = taken(page, "PNG")
    shot = pixels(image)
    assert name.endswith(".png") and shot.shape[:2] == (2 * height, 2 * width)
    assert shot.std() > 20 and (shot.reshape(-1, 3) == (230, 97, 1)).all(axis=1).sum() > 500, "the orange bar"
    assert (shot[0, 0] == 255).all()

    (tmp_path / "view.svg").write_bytes(data)
    page.goto("about:blank")
    page.goto((tmp_path / "view.svg").as_uri())
    alone = pixels(
        page.screenshot(clip={"x": 0, "y": 0, "width": min(width, 1400), "height": min(height, 900)})
    )
    assert alone.std() > 20, "an SVG that opens by itself"
    assert not errors and not [url for url in asked if url.startswith("http")]


@pytest.mark.browser
def test_the_dark_theme_leaves_with_its_ground_and_the_server_may_sleep(address, browser_page):
    page = browser_page
    opened(page, f"{address.url}/dark")
    data, name = taken(page, "CSV")
    assert data.decode("utf-8-sig").splitlines() == ["case,share", "'=1+1,0.5"] and name.endswith(".csv")
    os.killpg(address.group, signal.SIGSTOP)  # the browser does it alone
    try:
        image, _ = taken(page, "PNG")
    finally:
        os.killpg(address.group, signal.SIGCONT)
    shot = pixels(image)
    assert shot[0, 0].max() < 60 and shot.max() > 200


def test_a_picture_says_what_it_shows(runs):
    session = Session(runs, model="fusion")
    told = caption(session)
    for part in ("model fusion", f"case {session.case}", "method Integrated gradients", studykit.__version__):
        assert part in told
    assert "case" not in caption(session, of=["model"]) and str(runs) not in told
    assert marks(session) == [PHANTOM]
    session.elsewhere = True
    assert marks(session) == [] and "fusion" not in caption(session)
    assert caption(None) == f"studykit {studykit.__version__}" and marks() == []


def test_the_caption_follows_the_session(runs):
    session = Session(runs, model="fusion")
    view = takeaway(_Followed(session), "Case")
    buttons = view[0]
    before = buttons.told
    session.case = session.cases["id"].iloc[3]
    assert session.case in buttons.told != before and session.case in buttons.file
    assert buttons.marks == [PHANTOM] and not buttons.tabled


class _Followed:
    def __init__(self, session):
        self.session = session

    def __panel__(self):
        return ""


def test_names_of_files_are_safe():
    assert file_name("Where?", "../../etc/passwd", 'a<b>"c"\n', "é ü") == "Where-etc_passwd-a_b_c-é_ü"
    assert file_name("", "...", "///") == "studykit"
    assert len(file_name(*["x" * 90] * 9)) <= 150


def test_a_table_that_is_not_there_says_why():
    def nothing():
        raise InputError("There is no table; make one.")

    sent = []
    for table in (nothing, lambda: "Not yet.", lambda: pd.DataFrame({"a": ["+1"]})):
        buttons = Takeaway(table, title="x")
        buttons._send_msg = sent.append
        buttons._handle_msg("csv")
        buttons._handle_msg("else")
    assert sent == [{"why": "There is no table; make one."}, {"why": "Not yet."}, {"csv": "a\n'+1\n"}]
