"""A filter of 10,000 cases in the table, against the same filter in pandas and one bare round trip.

    python -m tests.benchmarks.case_table

In real Chromium, on a page that a real server serves, a bare Bokeh text changes, until the server's answer is
there (the round trip), or until it has set the filter and the rows and the number of cases are there. Both
take turns. Prints medians of the wall time, of the server's process time and of the bytes that came. Fails
where a filter costs, by what it takes of the server and of the way (all of the round trip that is not the
server's), more than three times the same filter in pandas plus the bare round trip. The wall time holds what
the browser draws, too; Panel hears a widget 50 ms later than such a bare text.
"""

import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd

ROWS, TIMES, PORT, MOST = 10_000, 40, 6152, 3
ASKED = {  # the filter before, and after
    "wrong predictions": ({}, {"show": "wrong predictions"}),
    "prediction after label": ({"label": "benign"}, {"label": "benign", "predicted": "malignant"}),
    "a piece of a name": ({}, {"find": "Patient-0017"}),
    "doubt after fold": ({"fold": "3"}, {"fold": "3", "doubt": 0.9}),
    "most doubtful": ({}, {"show": "most doubtful"}),
    "all cases again": ({"label": "benign"}, {}),
}
SAME = {
    "wrong predictions": lambda t: t[t["wrong"]],
    "prediction after label": lambda t: t[(t["label"] == "benign") & (t["predicted"] == "malignant")],
    "a piece of a name": lambda t: t[_named(t["id"]) | _named(t["group"])],
    "doubt after fold": lambda t: t[(t["uncertainty"] >= 0.9) & (t["fold"] == 3)],
    "most doubtful": lambda t: t[t["uncertainty"] >= t["uncertainty"].quantile(0.75)],
    "all cases again": lambda t: t[np.ones(len(t), bool)],
}
FIND = """() => {
  const all = [...new Set(Bokeh.documents[0].roots().flatMap((root) => [...root.references()]))]
  const one = (test) => all.find(test)
  window.models = {
    asked: one((m) => m.name == 'asked'), answer: one((m) => m.name == 'answer'),
    source: one((m) => m.type?.endsWith('DataTabulator')).source,
    count: one((m) => typeof m.text == 'string' && m.text.includes('status')),
  }
}"""
BARE = """(text) => new Promise((done) => {
  const {asked, answer} = models, start = performance.now()
  const told = () => { answer.properties.value.change.disconnect(told); done([performance.now() - start]) }
  answer.properties.value.change.connect(told)
  asked.value = text
})"""
FILTER = """(text) => new Promise((done) => {
  const start = performance.now(), waited = [models.source.properties.data, models.count.properties.text]
  const told = waited.map((property) => {
    const one = () => {
      property.change.disconnect(one)
      told.splice(told.indexOf(one), 1)
      if (!told.length) done([performance.now() - start, models.count.text])
    }
    property.change.connect(one)
    return one
  })
  models.asked.value = text
})"""


def _named(names: pd.Series) -> pd.Series:
    return names.str.lower().str.contains("patient-0017", regex=False)


def cases() -> pd.DataFrame:
    """As Session.cases has them."""
    draw, n = np.random.default_rng(0), np.arange(ROWS)
    p = draw.random(ROWS)
    label = pd.Series(draw.choice(["benign", "malignant"], ROWS)).where(draw.random(ROWS) > 0.05)
    said = pd.Series(np.where(p >= 0.5, "malignant", "benign"))
    names = {"id": [f"case-{k:05d}" for k in n], "group": [f"patient-{k // 2:05d}" for k in n]}
    table = pd.DataFrame({**names, "label": label, "predicted": said, "p": p})
    doubt = -(p * np.log2(p) + (1 - p) * np.log2(1 - p))
    return table.assign(wrong=label.notna() & (label != said), uncertainty=doubt, fold=n % 5)


def serve(port: int) -> None:
    """A page with the table, and a bare text that is answered, or sets the filter that stands before."""
    import panel as pn
    from bokeh.models import TextInput

    from studykit.case import Task
    from studykit.ui import CaseTable, Session

    class Many(Session):
        def __init__(self):
            super(Session, self).__init__()
            task, table = Task("lesion", "binary", ("benign", "malignant")), cases()
            self.runs = {"many": [SimpleNamespace(schema=SimpleNamespace(tasks=(task,)))]}
            self.folder, self.cases_of = Path("many"), lambda model: table
            self.param.model.objects, self.param.case.objects = ["many"], table["id"].tolist()
            self.param.update(model="many", case=table["id"].iloc[0])

        def _offer(self):
            """No methods: the table asks for none."""

        def _show(self):
            self.shown = (self.model, self.case, "")

    def page():
        table = CaseTable(Many())
        asked, answer = TextInput(name="asked", value=""), TextInput(name="answer", value="")

        def follow(_, old, new):
            name, when, _ = new.split("|")
            if name == "bare":
                answer.value = new
            else:
                table.filter.ask(ASKED[name][when == "after"])

        asked.on_change("value", follow)
        return pn.Column(pn.pane.Bokeh(asked), pn.pane.Bokeh(answer), table)

    pn.serve({"/table": page}, port=port, show=False, verbose=False)


def measure(port: int, server: int) -> pd.DataFrame:
    """A row a filter, and one for the bare round trip: milliseconds, bytes, rows that pass; medians."""
    from playwright.sync_api import sync_playwright

    found, table = [], cases()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page, sizes = browser.new_page(), []
        page.on("websocket", lambda one: one.on("framereceived", lambda data: sizes.append(len(data))))
        page.goto(f"http://localhost:{port}/table")
        page.locator(".tabulator-row").first.wait_for(timeout=60_000)
        page.evaluate(FIND)
        for turn in range(TIMES):
            for name in ["bare", *ASKED]:
                if name != "bare":
                    page.evaluate("(text) => { models.asked.value = text }", f"{name}|before|{turn}")
                    page.wait_for_timeout(250)
                start = time.process_time()
                rows = len(SAME[name](table)) if name in SAME else 0
                pandas = (time.process_time() - start) * 1e3
                sizes.clear()
                spent = _spent(server)
                wall, *told = page.evaluate(BARE if name == "bare" else FILTER, f"{name}|after|{turn}")
                page.wait_for_timeout(60)
                assert not told or f"{rows} of {ROWS}" in told[0] or f"{ROWS} cases" in told[0], told
                found.append((name, wall, _spent(server) - spent, pandas, sum(sizes), rows))
        browser.close()
    columns = ["filter", "wall", "server", "pandas", "bytes", "rows"]
    return pd.DataFrame(found[1 + len(ASKED) :], columns=columns).groupby("filter", sort=False).median()


def _spent(server: int) -> float:
    """Milliseconds of process time of the server's one thread, by the kernel's count."""
    return int(Path(f"/proc/{server}/schedstat").read_text().split()[0]) / 1e6


def main() -> int:
    """Print a row a filter; 1 where a filter takes longer than it may."""
    command = [sys.executable, "-m", "tests.benchmarks.case_table", "--serve"]
    server = subprocess.Popen(command, start_new_session=True)
    try:
        _wait(f"http://localhost:{PORT}/table")
        table = measure(PORT, server.pid)
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait(timeout=20)
    bare, table = table.loc["bare"], table.drop(index="bare")
    table["times"] = (table["server"] + bare["wall"] - bare["server"]) / (table["pandas"] + bare["wall"])
    print(f"{ROWS} cases, medians of {TIMES - 1}, milliseconds")
    print(f"bare round trip: {bare['wall']:.1f}, of which the server's process time {bare['server']:.1f}")
    print("| filter | rows | pandas | server's process time | wall | kB | times pandas plus round trip |")
    print("|---|---|---|---|---|---|---|")
    for name, row in table.iterrows():
        cells = [f"{row['rows']:.0f}", *[f"{row[one]:.1f}" for one in ("pandas", "server", "wall")]]
        print(f"| {name} | {' | '.join(cells)} | {row['bytes'] / 1e3:.1f} | {row['times']:.2f} |")
    return int(table["times"].max() > MOST)


def _wait(address: str) -> None:
    for _ in range(120):
        try:
            return urllib.request.urlopen(address, timeout=20).close()
        except OSError:
            time.sleep(0.5)
    raise RuntimeError("the server does not answer")


if __name__ == "__main__":
    sys.exit(serve(PORT) if sys.argv[1:] == ["--serve"] else main())
