"""A new explanation that is asked for from a page: made beside the page, seen by all, stopped by any."""

import asyncio
import multiprocessing
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
from conftest import ROOT

from studykit.catalog import InputError
from studykit.explain import Explainer, SmoothGrad, store
from studykit.training import Run
from studykit.ui import AskingView, Session, asking_view
from studykit.ui.work import TOGETHER, Work, look_only


@pytest.fixture
def copy(runs, tmp_path):
    """The runs in a folder of their own."""
    return shutil.copytree(runs, tmp_path / "runs")


@pytest.fixture
def ours(copy):
    return Run(copy / "fusion" / "fold-0")


@pytest.fixture
def work(monkeypatch):
    """The jobs of a server, two of which may wait."""
    made = Work(most=2)
    monkeypatch.setattr(asking_view, "WORK", made)
    yield made
    made.end()
    assert made.jobs == [] and multiprocessing.active_children() == []


@pytest.fixture
def held():
    """A method of this test, hence carried out in this process: it goes on when it is let, case by case."""

    @dataclass(frozen=True)
    class Held(Explainer, name="held"):
        number: int = 0

        title = gives = unit = "held"
        let: ClassVar[threading.Semaphore] = threading.Semaphore(0)
        begun: ClassVar[list] = []
        fails: ClassVar[Exception | None] = None

        def __post_init__(self):
            if self.number < 0:
                raise InputError("'number' of held is 0 or more; give another.")

        def suits(self, model, schema):
            return "" if "image" in model.modalities else "It <b>needs</b> an image; use another."

        def maps(self, model, batch, head, targets):
            if self.fails:
                raise self.fails
            self.begun.append(batch.ids)
            for _ in batch.ids:
                assert self.let.acquire(timeout=30)
            return {"image": batch.inputs["image"].numpy()}, {"image": False}, {}, {}

    yield Held
    Explainer.catalogue.pop("held")


def until(there, seconds=60):
    for _ in range(int(seconds / 0.02)):
        if there():
            return
        time.sleep(0.02)
    raise AssertionError(f"not within {seconds} s")


def test_who_asks_for_the_same_gets_the_same_job(work, ours, held):
    first = work.ask([ours], held())
    assert work.ask([Run(ours.folder)], held()) is first
    assert work.ask([ours], held(), of="predicted") is not first
    assert work.ask([ours], held(), ids=ours.test_ids[:1]) is not first
    until(lambda: first.total == len(ours.test_ids))
    assert [job.state for job in work.jobs] == ["at work", "waiting", "waiting"]
    with pytest.raises(InputError, match="^2 explanations wait already; cancel one"):
        work.ask([ours], held(number=1))
    work.cancel(work.jobs[1])
    assert len(work.jobs) == 2 and work.over == 1
    work.ask([ours], held(number=1))


def test_a_job_tells_its_progress_and_what_is_made_before_a_stop_is_stored(work, ours, held):
    job = work.ask([ours], held())
    for _ in range(2 * TOGETHER):
        held.let.release()
    until(lambda: len(held.begun) == 3)
    assert (job.done, job.state) == (2 * TOGETHER, "at work")
    assert (job.total, store.methods(ours).count("held")) == (len(ours.test_ids), 0)
    work.cancel(job)
    for _ in range(TOGETHER):  # in this process, what is begun is finished first
        held.let.release()
    until(lambda: job.is_over)
    assert job.state == "stopped" and job.told == f"Stopped after 12 of {job.total} cases; these are stored."
    assert store.read(ours, "held").ids == ours.test_ids[:12]
    again = work.ask([ours], held(), ids=ours.test_ids[:3])
    until(lambda: again.is_over)
    assert (again.state, again.told) == ("done", "It was stored already.")
    assert store.read(ours, "held").ids == ours.test_ids[:12]


def test_a_failure_is_told_and_the_next_job_begins(work, ours, held, capfd):
    held.fails = InputError("There is no such thing; take another.")
    job = work.ask([ours], held())
    until(lambda: job.is_over)
    assert (job.state, job.told) == ("failed", "There is no such thing; take another.")
    held.fails = ZeroDivisionError("oh")
    job = work.ask([ours], held())
    until(lambda: job.is_over)
    assert job.state == "failed" and job.told.startswith(
        "A mistake of the program ended it (ZeroDivisionError)"
    )
    assert "ZeroDivisionError: oh" in capfd.readouterr().err


def test_pages_may_be_told_only_to_look(work, ours, held, copy, monkeypatch):
    monkeypatch.setenv("STUDYKIT_LOOK_ONLY", "1")
    with pytest.raises(InputError, match="only look; .* `python -m studykit explain`"):
        work.ask([ours], held())
    (only,) = AskingView(Session(copy)).__panel__()[0]
    assert "only look" in only.object and f"studykit explain {copy} --methods" in only.object


def test_the_server_answers_while_a_process_works_and_the_process_ends_at_once(work, ours):
    async def gaps(seconds):
        found, end = [], time.monotonic() + seconds
        while time.monotonic() < end:
            before = time.monotonic()
            await asyncio.sleep(0.005)
            found.append(time.monotonic() - before)
        return np.percentile(found, 99)

    alone = asyncio.run(gaps(1))
    job = work.ask([ours], SmoothGrad(samples=100_000))
    until(lambda: multiprocessing.active_children())
    beside = asyncio.run(gaps(4))
    assert job.state == "at work" and beside < max(0.1, 3 * alone)
    started = time.monotonic()
    work.end()
    assert time.monotonic() - started < 2
    assert job.state == "stopped" and multiprocessing.active_children() == []


def test_what_is_asked_on_a_page_is_opened_and_others_see_it(work, held, copy):
    one, two = AskingView(Session(copy)), AskingView(Session(copy))
    one.method = "held"
    one.ask()
    (row,) = one.rows
    until(lambda: one._mine.state == "at work")
    two.look()
    assert two.rows[0].label == row.label == f"held: fusion, {one.session.case}" and not row.over
    assert one._ticking.running and two._ticking.running
    held.let.release()
    until(lambda: not work.jobs)
    for view in (one, two):
        view.look()
        assert view.rows[0].over and view.rows[0].said == "1 case is explained." and not view._ticking.running
    assert one.session.method == "held" and one.session.explanation.ids == [one.session.case]
    assert two.session.method != "held" and "held" in two.session.param.method.objects
    one.session.case = one.session.cases["id"].iloc[4]
    assert one.session.explanation is None
    one.ask()
    held.let.release()
    until(lambda: not work.jobs)
    one.look()
    assert one.session.explanation.ids == [one.session.case]
    assert len(store.read(one.session.run, "held").ids) == 2


def test_a_visitor_may_cancel_what_another_asked_for(work, held, copy):
    one, two = AskingView(Session(copy)), AskingView(Session(copy))
    one.method, one.whose = "held", "all"
    one.ask()
    two.method, two.whose = "held", "all"
    two.of = "predicted"
    two.ask()
    assert [row.said for row in two.rows] == ["at work", "waits for 1 before it"]
    until(lambda: held.begun)
    two.rows[1].cancelled = two.rows[0].cancelled = True
    for _ in range(TOGETHER):
        held.let.release()
    until(lambda: not work.jobs)
    one.look()
    assert one.rows[0].said.startswith("Stopped after 4 of") and one.session.method != "held"


def test_methods_that_do_not_suit_cannot_be_chosen_and_say_why(work, held, copy):
    view = AskingView(Session(copy))
    asyncio.run(view.judge())
    assert view.unsuited == {}, "the model is not read before the panel is opened"
    view.unfolded = True
    asyncio.run(view.judge())
    assert "attention" in view.unsuited and "held" not in view.unsuited
    view.method = "held"
    view.session.model = "record alone"
    asyncio.run(view.judge())
    assert view.method not in view.unsuited and "It &lt;b&gt;needs&lt;/b&gt; an image" in view.others()


def test_the_panel_says_where_it_is_stored_and_the_command(work, held, copy):
    folder = copy.rename(copy.with_name("<i>our runs"))
    view = AskingView(Session(folder))
    view.method, view.of = "held", "true"
    said = view.note()
    assert "<i>" not in said and "&lt;i&gt;our runs/fusion/fold-0" in said
    assert "--methods held --of true</code>" in said
    view.fields[0].value = 2
    assert view.spec == {"name": "held", "number": 2} and "python -m" not in view.note()
    view.fields[0].value = -1
    assert view.note() == "&#x27;number&#x27; of held is 0 or more; give another."
    view.__panel__().get_root()
    view.ask()
    assert view.told == "'number' of held is 0 or more; give another." and work.jobs == []


def test_in_a_notebook_the_loop_of_the_kernel_looks(work, held, copy):
    async def cell():
        view = AskingView(Session(copy))
        view.method = "held"
        view.ask()
        held.let.release()
        for _ in range(100):
            await asyncio.sleep(0.05)
            if view.rows[0].over:
                return view

    view = asyncio.run(cell())
    assert view.session.method == "held" and not view._ticking.running


PAGE = """
import sys
from pathlib import Path

import panel as pn
import panel_material_ui as pmui

from studykit.ui import AskingView, CaseView, Session, follow_address


def page():
    session = Session(Path(sys.argv[1]))
    follow_address(session, ["model", "method", "case"])
    return pmui.Page(title="asking", main=[AskingView(session), CaseView(session)])


if __name__ == "__main__":
    pn.serve({"cases": page}, int(sys.argv[2]), address="localhost", show=False, verbose=False)
"""


@pytest.fixture
def asking(copy, tmp_path):
    """The address of a page that asks, and its server."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    script, address = tmp_path / "page.py", f"http://localhost:{port}/cases"
    script.write_text(PAGE)
    command = [sys.executable, script, copy, str(port)]
    server = subprocess.Popen(command, env={**os.environ, "PYTHONPATH": str(ROOT)})
    until(lambda: answers(address), seconds=120)
    yield address, server
    server.kill()
    server.wait()


def answers(address):
    try:
        urllib.request.urlopen(address, timeout=20).close()
        return True
    except OSError:
        time.sleep(0.5)
        return False


def children(process):
    """The processes that this one started and that live."""
    told = Path(f"/proc/{process}/task").glob("*/children")
    return [child for path in told for child in path.read_text().split()]


def lives(process):
    path = Path(f"/proc/{process}/cmdline")
    return path.exists() and bool(path.read_bytes())


@pytest.mark.browser
def test_a_person_asks_for_an_explanation_and_cancels_another(asking, browser_page, ours, request):
    (address, server), page, errors = asking, browser_page, []
    page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: errors.append(str(error)))
    case = ours.test_ids[2]
    page.goto(f"{address}?model=fusion&case={case}")
    page.get_by_text("Integrated gradients: what").wait_for(timeout=60_000)
    page.get_by_text("New explanation").click()
    page.get_by_text("Methods that do not suit this model").wait_for(timeout=60_000)
    page.get_by_label("New method").click()
    assert page.get_by_role("menuitem", name="The model's attention").get_attribute("aria-disabled") == "true"
    page.get_by_role("menuitem", name="Occlusion").click()
    page.get_by_role("textbox", name="window pixels of its side").fill("8")
    page.get_by_role("textbox", name="window pixels of its side").press("Tab")
    page.get_by_role("button", name="Explain", exact=True).click()
    page.get_by_role("progressbar", name=f"Occlusion, window=8: fusion, {case}").wait_for()
    page.get_by_text("1 case is explained.").wait_for(timeout=60_000)
    page.get_by_text("Occlusion: what the class's logit loses").wait_for()
    page.wait_for_url(lambda url: "method=occlusion%2Cwindow%3D8" in url)
    assert store.read(ours, "occlusion,window=8").ids == [case]

    page.get_by_label("New method").click()
    page.get_by_role("menuitem", name="SmoothGrad").click()
    page.get_by_role("textbox", name="samples noisy copies").fill("400")
    page.get_by_role("textbox", name="samples noisy copies").press("Tab")
    page.get_by_label("all 20 held-out cases of fusion").check()
    page.get_by_role("button", name="Explain", exact=True).click()
    page.get_by_text("4 of 20 cases").wait_for(timeout=120_000)
    if screenshots := request.config.getoption("--screenshots"):
        page.screenshot(path=screenshots / "asking.png")
    page.get_by_role("button", name="Cancel SmoothGrad").click()
    page.get_by_role("status").filter(has_text="Stopped after").wait_for(timeout=4000)
    assert 4 <= len(store.read(ours, "smooth_grad,samples=400").ids) < 20
    started = time.monotonic()
    assert answers(address) and time.monotonic() - started < 5
    assert not errors

    page.get_by_role("textbox", name="samples noisy copies").fill("100000")
    page.get_by_role("textbox", name="samples noisy copies").press("Tab")
    page.get_by_role("button", name="Explain", exact=True).click()
    page.get_by_text("0 of 16 cases").or_(page.get_by_text("0 of 20 cases")).wait_for()
    until(lambda: any("spawn_main" in Path(f"/proc/{c}/cmdline").read_text() for c in children(server.pid)))
    at_work = children(server.pid)
    server.kill()  # as a crash would
    server.wait()
    until(lambda: not any(map(lives, at_work)))


def test_serve_look_only_lets_nobody_ask(runs, monkeypatch):
    from studykit import commands
    from studykit.__main__ import main

    monkeypatch.setenv("STUDYKIT_LOOK_ONLY", "")
    served = []
    monkeypatch.setattr(commands, "_open_pages", lambda *asked: served.append(asked))
    assert not main(["serve", str(runs)]) and not look_only()
    assert not main(["serve", str(runs), "--look-only"]) and look_only() and len(served) == 2
