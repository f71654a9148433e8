"""What the pages cost: the next case, the first picture, a slice, a session; ratios in one run.

    python -m tests.benchmarks.pages [next] [slice] [sessions] [first DEMO]

`next`: process time of a server that shows the next case under six maps of 224 x 224, by that of one which
sends the same bytes through a bare ColumnDataSource; to Chromium each. `slice`: bytes that travel for one
step through a volume of 512 x 512 x 128. `sessions`: memory of the server after 500 sessions were opened and
closed. `first`: seconds from asking for a page of the demo study (the folder DEMO) until its first picture is
drawn, by those of a page with one plain plot.
"""

import asyncio
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from types import SimpleNamespace

import numpy as np
from bokeh.document.events import ColumnDataChangedEvent

MAPS = 6
CASES = 40
BROWSER = ["chromium", "--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"]


def cohort(folder: Path) -> Path:
    """One small run on pictures of 224 x 224, each held-out case under six maps."""
    from studykit.explain import explain
    from studykit.training import Recipe, find_runs, train

    recipe = {
        "name": "large pictures", "dataset": {"name": "breast_phantom", "count": 3 * CASES, "size": 224},
        "folds": 3, "only": [0], "training": {"epochs": 1},
    }  # fmt: skip
    train(Recipe.from_json(recipe), folder)
    (run,) = find_runs(folder)
    steps = [{"name": "integrated_gradients", "steps": 4}, "gradient_x_input", "random_map", "edge_map"]
    for method in [*steps, "grad_cam", "grad_cam_plus_plus"]:
        explain(run, method)
    return folder


async def served(app) -> tuple:
    """A document served by a real server, watched by Chromium in another process."""
    from bokeh.application import Application
    from bokeh.application.handlers.function import FunctionHandler
    from bokeh.server.server import Server

    there = SimpleNamespace(doc=None)

    def make(doc):
        app(doc)
        there.doc = doc

    server = Server({"/": Application(FunctionHandler(make))}, port=0)
    server.start()
    url = f"http://localhost:{server.port}/"
    profile = f"--user-data-dir={tempfile.mkdtemp()}"
    client = subprocess.Popen(
        [*BROWSER, profile, "--remote-debugging-port=0", url], stderr=subprocess.DEVNULL
    )
    while there.doc is None or not any(session.connection_count for session in server.get_sessions("/")):
        await asyncio.sleep(0.1)
    await asyncio.sleep(8)
    return server, client, there.doc


async def spent(doc, steps) -> list[float]:
    """Milliseconds of this process for each step, until what it sends has left."""
    found = []
    for step in steps:
        start = time.process_time()
        doc.add_next_tick_callback(step)
        await asyncio.sleep(0.25)
        found.append(1000 * (time.process_time() - start))
    return found


async def next_case(runs: Path) -> None:
    """Medians over the cases, each shown once: nothing of them was read before."""
    import panel as pn
    from bokeh.models import ColumnDataSource
    from bokeh.plotting import figure

    from studykit.ui import GalleryView, Session

    session = Session(runs)
    view = GalleryView(session)
    server, client, doc = await served(lambda doc: pn.panel(view).server_doc(doc=doc, title="maps"))
    ids = session.cases["id"].tolist()[1:CASES]
    idle = median(await spent(doc, [lambda: None] * 10))
    ours = await spent(doc, [lambda case=case: setattr(session, "case", case) for case in ids])
    again = await spent(doc, [lambda case=case: setattr(session, "case", case) for case in ids])
    client.kill()
    server.stop()

    source, random = ColumnDataSource(), np.random.default_rng(0)
    names = [f"image {at}" for at in range(MAPS + 1)]

    def bare(doc):
        source.data = {name: [np.zeros((224, 224), "uint8")] for name in names}
        for name in names:
            made = figure(width=200, height=200)
            made.image(name, x=0, y=0, dw=1, dh=1, source=source)
            doc.add_root(made)

    def sends(values):
        return lambda: setattr(source, "data", values)

    rows = [{n: [random.integers(0, 256, (224, 224), dtype="uint8")] for n in names} for _ in ids]
    plain = [{n: [random.random((224, 224))] for n in names} for _ in ids]
    server, client, doc = await served(bare)
    floor = await spent(doc, [sends(row) for row in rows])
    numbers = median(await spent(doc, [sends(row) for row in plain]))
    client.kill()
    server.stop()
    size = (MAPS + 1) * 224 * 224 / 1024
    floor, first, later = median(floor), median(ours), median(again)
    print(f"next case, {MAPS} maps of 224 x 224 and the picture ({size:.0f} KB), milliseconds of the server:")
    print(f"  idle {idle:.2f}; bare source {floor:.2f}; ours {first:.2f} the first time, {later:.2f} again")
    print(f"  ratio {first / floor:.2f} the first time, {later / floor:.2f} again")
    print(f"  the same maps as numbers that were not coded as bytes, bare: {numbers:.2f}")


def _drawn(page, url: str) -> float:
    """Seconds from asking for a page until a canvas on it has pixels that differ, or a bar has its length."""
    start = time.perf_counter()
    page.goto(url, wait_until="commit")
    page.wait_for_function(
        """() => {
          const walk = (node) => [...node.querySelectorAll('*')].flatMap((one) =>
            [...(one.matches('canvas, [role=img]') ? [one] : []),
             ...(one.shadowRoot ? walk(one.shadowRoot) : [])])
          return walk(document).some((one) => {
            if (one.localName != 'canvas') return one.offsetWidth > 50
            if (!one.width || !one.height) return false
            const pixels = one.getContext('2d')?.getImageData(0, 0, one.width, one.height).data ?? []
            return new Set(pixels.filter((_, at) => at % 4 < 3)).size > 3
          })
        }""",
        polling=20, timeout=120_000,
    )  # fmt: skip
    return time.perf_counter() - start


PLAIN = """
import sys, holoviews as hv, numpy as np, panel as pn, panel_material_ui as pmui
pn.extension(); hv.extension("bokeh")
def plain():
    return pmui.Page(title="plain", main=[pn.pane.HoloViews(hv.Image(np.random.rand(64, 64)))])
pn.serve({"plain": plain}, int(sys.argv[1]), show=False, verbose=False)
"""


def first_picture(runs: Path, rounds: int = 7) -> None:
    """Medians of loads in a warm browser, one after the other in turn."""
    from playwright.sync_api import sync_playwright

    command = [sys.executable, "-m", "studykit", "serve", str(runs), "--port", "6301"]
    started = [subprocess.Popen(command), subprocess.Popen([sys.executable, "-c", PLAIN, "6302"])]
    pages = {
        "one plain plot": "http://localhost:6302/plain",
        **{name: f"http://localhost:6301/{name}" for name in ("cases", "contributions", "models", "attention",
                                                              "map_quality", "trust")},
    }  # fmt: skip
    try:
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
            page = browser.new_page(viewport={"width": 1440, "height": 960})
            spent = {name: [] for name in pages}
            for at in range(rounds + 1):
                for name, url in pages.items():
                    for _ in range(60):
                        try:
                            seconds = _drawn(page, url)
                            break
                        except Exception:
                            time.sleep(1)
                    if at:  # the first load fills caches
                        spent[name].append(seconds)
            browser.close()
    finally:
        for process in started:
            process.terminate()
    floor = median(spent["one plain plot"])
    print(f"first picture, medians of {rounds} loads:")
    for name, seconds in spent.items():
        print(f"  {name}: {median(seconds):.2f} s, {median(seconds) / floor:.2f} times the plain page")


def slices() -> None:
    """Bytes of all arrays that leave for a step of the slider, the picture and its map together."""
    from bokeh.document import Document

    from studykit.ui.scans import Scans

    volume = np.random.default_rng(0).random((1, 128, 512, 512), dtype="float32")
    mask = np.zeros((128, 512, 512), bool)
    mask[60:64, 200:300, 200:300] = True
    over = volume[0] - 0.5
    modality = SimpleNamespace(name="volume", kind="volume", shape=volume.shape)
    dataset = SimpleNamespace(pictures=[modality])

    class Large(Scans):
        def map_of(self, name):
            return over, True, 0.5

        def titled(self, name):
            return "map"

    session = one_case(dataset, volume, mask)
    view = Large(session)
    doc, sent = Document(), []
    doc.add_root(view.pictures().get_root(doc))
    doc.on_change(lambda event: sent.append(weight(event)))
    most, spent = 0, []
    for at in range(40, 80):
        sent.clear()
        start = time.process_time()
        view.slice = at
        spent.append(1000 * (time.process_time() - start))
        most = max(most, sum(sent))
    share, spent = most / (2 * 512 * 512), median(spent)
    print(
        f"a slice of 512 x 512 x 128 under its map: at most {most / 1024:.0f} KB travel a step, {share:.2f}"
    )
    print(f"of what both weigh in bytes; {spent:.1f} ms of the server")


def one_case(dataset, volume, mask):
    """As much of a session as pictures need."""
    from studykit.ui.session import Session

    class One(Session):
        def __init__(self):
            import param

            param.Parameterized.__init__(self)
            self.runs = {"": []}
            self.shown = ("model", "case", "")

        run = SimpleNamespace(prepared=SimpleNamespace(dataset=dataset))

        def scan(self, name):
            return volume, mask

    return One()


def weight(event) -> int:
    """Bytes of the arrays in a change of a document."""
    columns = event.model.data.values() if isinstance(event, ColumnDataChangedEvent) else []
    return sum(one.nbytes for column in columns for one in column if hasattr(one, "nbytes"))


def sessions(runs: Path, count: int = 500) -> None:
    """Memory of a real server after sessions of the Cases page were opened and closed."""
    command = [sys.executable, "-m", "studykit", "serve", str(runs), "--port", "6303"]
    process = subprocess.Popen(command)
    try:
        asyncio.run(_opened_and_closed(process.pid, "http://localhost:6303/cases", count))
    finally:
        process.terminate()


async def _opened_and_closed(pid: int, url: str, count: int) -> None:
    from playwright.async_api import async_playwright

    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        print("memory of the server (MB) after so many sessions of the Cases page, opened and closed:")
        for at in range(count + 1):
            if at % (count // 10) == 0:
                await asyncio.sleep(20 if at in (0, count) else 1)
                print(f"  {at}: {resident(pid):.0f}", flush=True)
            page = await browser.new_page()
            for _ in range(60):
                try:
                    await page.goto(url)
                    break
                except Exception:
                    await asyncio.sleep(1)
            await page.locator("canvas").first.wait_for(timeout=60_000)
            await page.close()
        await browser.close()


def resident(pid: int) -> float:
    """Memory of a process in MB."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmRSS")).split()[1]) / 1024


def main(wanted: list[str]) -> None:
    """Carry out what is named, or everything."""
    asked = wanted or ["next", "slice", "sessions"]
    with tempfile.TemporaryDirectory() as folder:
        runs = cohort(Path(folder) / "runs") if {"next", "sessions"} & set(asked) else None
        if "next" in asked:
            asyncio.run(next_case(runs))
        if "first" in asked:
            first_picture(Path(asked[-1]))
        if "slice" in asked:
            slices()
        if "sessions" in asked:
            sessions(runs)


if __name__ == "__main__":
    main(sys.argv[1:])
