"""Folders as they happen to be: empty, half made, old, damaged, strange names; one bad run hides no other."""

import gc
import json
import shutil
import threading
import time
import weakref
from pathlib import Path
from urllib.parse import parse_qs, urlencode

import numpy as np
import pandas as pd
import panel as pn
import panel_material_ui as pmui
import pytest
from bokeh.client import pull_session

from dashboards.test_proxied import free_port
from studykit.catalog import InputError
from studykit.explain import explain
from studykit.study_commands import simulate_about
from studykit.training import Recipe, find_runs, train
from studykit.training.run import run_folders
from studykit.ui import CaseView, Session, Studies, address, kept, runs_here
from studykit.ui.amiss import amiss
from studykit.ui.serve import _host, applications, pages

HOSTILE = "<img src=x onerror=window.__pwned=1> **x**"


def about(**changed):
    """What changes a run's recipe.json; None takes a key away."""

    def change(folder):
        path = folder / "recipe.json"
        held = {**json.loads(path.read_text()), **changed}
        path.write_text(json.dumps({key: value for key, value in held.items() if value is not None}))

    return change


def predictions(change):
    def write(folder):
        path = folder / "predictions.parquet"
        change(pd.read_parquet(path)).to_parquet(path)

    return write


def cut(name):
    """A file whose second half was never written."""

    def write(folder):
        path = folder / name
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])

    return write


ODD = {
    "weights missing": (lambda run: (run / "weights.safetensors").unlink(), "weights.safetensors is missing"),
    "weights cut": (cut("weights.safetensors"), "cannot be opened"),
    "recipe cut": (cut("recipe.json"), "recipe.json is damaged"),
    "recipe of bytes": (lambda run: (run / "recipe.json").write_bytes(b"\xff\xfe\x00"), "is damaged"),
    "recipe of something": (lambda run: (run / "recipe.json").write_text("[1]"), "holds no recipe"),
    "an older recipe": (about(fingerprint=None), "does not say fingerprint"),
    "a recipe of another shape": (about(schema={"modalities": []}), "cannot be opened"),
    "an unknown model": (about(model={"name": "tomorrow"}), "no fusion model named 'tomorrow'"),
    "an unknown setting": (about(model={"name": "alone", "deep": 3}), "no setting"),
    "an unknown data set": (about(dataset={"name": "tomorrow"}), "no data set named 'tomorrow'"),
    "data that are not here": (about(dataset={"name": "busi", "folder": "/nowhere"}), "/nowhere"),
    "data that changed": (about(fingerprint="another"), "have changed since"),
    "predictions cut": (cut("predictions.parquet"), "cannot be opened"),
    "no predictions": (predictions(lambda table: table.head(0)), "holds no case"),
    "older predictions": (predictions(lambda table: table.drop(columns="group")), "the column group"),
    "nothing held out": (predictions(lambda table: table.assign(split="train")), "held no case out"),
}


@pytest.fixture
def odd(runs, tmp_path):
    """A copy of the runs; the folder of the one to spoil."""
    shutil.copytree(runs, tmp_path / "runs")
    return tmp_path / "runs" / "image alone" / "fold-0"


def said(page):
    """What the alerts above a page say."""
    return [part.object for part in page.main if isinstance(part, pmui.Alert)]


@pytest.mark.parametrize("name", ODD)
def test_a_bad_run_is_left_out_and_said(odd, name):
    spoil, sentence = ODD[name]
    spoil(odd)
    session = Session(odd.parents[1])
    assert set(session.runs) == {"fusion", "record alone"} and sentence in session.refused[odd]
    (alert,) = amiss(session.opened)
    assert sentence.replace("_", r"\_") in alert.object and alert.closeable


def test_each_kind_of_trouble_is_one_alert_that_can_be_closed(odd):
    for kind in ("weights cut", "recipe cut", "an older recipe"):
        place = shutil.copytree(odd.parent, odd.parents[1] / kind) / "fold-0"
        ODD[kind][0](place)
    page = pages()["cases"].page(odd.parents[1])
    damaged, older = page.main[0], page.main[1]
    assert "2 runs are left out: incomplete or damaged" in damaged.object and damaged.closeable
    assert "1 run is left out: made by another version" in older.object
    assert set(Session(odd.parents[1]).runs) == {"fusion", "image alone", "record alone"}


def test_the_strict_way_stays_strict(odd):
    (odd / "weights.safetensors").unlink()
    with pytest.raises(InputError, match="not a run folder"):
        find_runs(odd.parents[1])
    assert odd in run_folders(odd.parents[1])


def test_a_twin_of_a_fold_is_left_out(odd):
    shutil.copytree(odd, odd.parent / "fold-0 before")
    session = Session(odd.parents[1])
    assert list(session.refused) == [odd.parent / "fold-0 before"]
    assert "holds out cases that are held out already" in session.refused[odd.parent / "fold-0 before"]


def test_data_that_come_back_are_shown_again(odd):
    text = (odd / "recipe.json").read_text()
    ODD["data that changed"][0](odd)
    assert odd in Session(odd.parents[1]).refused
    (odd / "recipe.json").write_text(text)
    assert not Session(odd.parents[1]).refused


def test_a_half_run_study_says_how_to_go_on(odd):
    about(only=[0, 1, 2])(odd)
    text = "\n".join(said(pages()["cases"].page(odd.parents[1])))
    assert "1 of 3 folds of 'image alone' are here" in text
    assert f"`python -m studykit run RECIPE.json --out {odd.parents[1]}`" in text


@pytest.mark.parametrize("name", sorted(pages()))
def test_where_no_run_can_be_opened_the_page_keeps_its_frame(name, runs, tmp_path, monkeypatch):
    monkeypatch.delenv("STUDYKIT_DATA", raising=False)
    copy = shutil.copytree(runs, tmp_path / "runs")
    for place in run_folders(copy):
        cut("recipe.json")(place)
    page = pages()[name].page(copy)
    first, damaged = said(page)[:2]
    assert "None of the 3 run folders" in first and "python -m studykit demo" in first
    assert "3 runs are left out" in damaged
    links = page.header[1].object
    assert all(f'href="{other}"' in links for other in pages()) and page.theme_toggle and page.get_root()


def test_readers_are_shown_without_any_run(runs, tmp_path, monkeypatch):
    monkeypatch.delenv("STUDYKIT_DATA", raising=False)
    simulate_about(runs, str(tmp_path / "ratings.sqlite"))
    page = pages()["trust"].page(tmp_path)
    assert "No run stands in" in said(page)[0]
    (study,) = [choice for choice in page.main[-1].select(pmui.Select) if choice.label == "Study"]
    assert page.get_root() and study.value == Studies(folder=tmp_path).study != ""


def test_forty_models(runs, tmp_path):
    for at in range(40):
        copy = shutil.copytree(runs / "record alone", tmp_path / f"model {at:02}")
        about(name=f"model {at:02}")(copy / "fold-0")
    session = Session(tmp_path)
    assert len(session.runs) == 40 and not session.refused
    for name, page in pages().items():
        assert page.page(tmp_path).get_root(), name


def test_runs_of_other_tasks_stand_beside_each_other(runs, numbers, volumes, tmp_path):
    for folder in (runs, numbers, volumes):
        for place in run_folders(folder):
            shutil.copytree(place, tmp_path / place.parent.name / place.name)
    session = Session(tmp_path)
    view = CaseView(session)
    view.__panel__().get_root()
    assert not session.refused and len(session.runs) == 8
    for model in session.runs:
        session.model = model
        assert session.case in set(session.cases["id"])


def test_a_case_without_a_map_says_so(runs, tmp_path):
    copy = shutil.copytree(runs / "fusion", tmp_path / "fusion")
    shutil.rmtree(copy / "fold-0" / "explanations.zarr")
    (run,) = find_runs(copy)
    explain(run, "grad_cam", ids=run.test_ids[:3])
    session = Session(tmp_path)
    session.case = run.test_ids[0]
    assert session.explanation is not None
    session.case = run.test_ids[5]
    assert session.explanation is None and "studykit explain" in CaseView(session).note()
    explain(run, "grad_cam")
    heard = []
    session.param.watch(heard.append, "shown")
    session.refresh()
    assert session.explanation is not None and heard and session.case == run.test_ids[5]


@pytest.fixture(scope="module")
def hostile(tmp_path_factory):
    """A run whose folder, name, cases, groups, classes and columns are made of HTML and Markdown."""
    out = tmp_path_factory.mktemp("hostile")
    n = np.arange(40)
    columns = {"id": [f"{HOSTILE} {k}" for k in n], "group": [f"{HOSTILE} {k}" for k in n]}
    columns |= {"label": np.where(n % 3 == 0, HOSTILE, "no"), f"age {HOSTILE}": 40.0 + n % 7}
    columns["side"] = np.where(n % 2, HOSTILE, "`left`")
    (out / "cases").mkdir()
    pd.DataFrame(columns).to_csv(out / "cases" / "cases.csv", index=False)
    recipe = {"name": "x", "dataset": {"name": "own_folder", "folder": str(out / "cases")}, "folds": 3}
    train(Recipe.from_json({**recipe, "only": [0], "training": {"epochs": 2}}), out / "made")
    place = out / HOSTILE / "runs"
    shutil.copytree(out / "made" / "x", place / HOSTILE)
    about(name=HOSTILE, only=[0, 1])(place / HOSTILE / "fold-0")
    shutil.copytree(place / HOSTILE, place / f"```{HOSTILE}` 2")
    cut("recipe.json")(place / f"```{HOSTILE}` 2" / "fold-0")
    (run,) = find_runs(place / HOSTILE)
    explain(run, {"name": "integrated_gradients", "steps": 8})
    return place


@pytest.mark.parametrize("name", sorted(pages()))
def test_hostile_names_build(name, hostile):
    page = pages()[name].page(hostile)
    assert page.get_root() and HOSTILE in Session(hostile).runs
    for text in said(page):
        assert "<img" not in text.replace(f"`python -m studykit run RECIPE.json --out '{hostile}'`", "")


@pytest.mark.browser
def test_nothing_in_a_name_is_run(served, browser_page, hostile):
    page = browser_page
    where = served(hostile)
    for name in ["cases", *sorted(set(pages()) - {"cases"})]:
        page.goto(f"{where}/{name}?{urlencode({'case': HOSTILE, 'model': 'x'})}", timeout=120_000)
        page.get_by_text("left out").first.wait_for(timeout=120_000)
        page.wait_for_timeout(1500)
        planted = page.evaluate("""() => {
          const found = (at) => [...at.querySelectorAll("*")].some((each) =>
            each.matches("img[src=x]") || (each.shadowRoot && found(each.shadowRoot)))
          return found(document) || window.__pwned !== undefined
        }""")
        assert not planted, name


@pytest.mark.browser
def test_an_empty_folder_is_served_and_says_what_to_run(served, browser_page, tmp_path, monkeypatch):
    monkeypatch.delenv("STUDYKIT_DATA", raising=False)
    where = served(tmp_path)
    browser_page.goto(where)
    browser_page.get_by_text("python -m studykit demo").wait_for(timeout=60_000)
    browser_page.get_by_role("navigation", name="Pages").get_by_role("link", name="Trust").click()
    browser_page.get_by_text("There is no reader study here yet").wait_for(timeout=60_000)


@pytest.mark.browser
def test_on_a_tablet_the_sidebar_waits_and_the_page_is_reached_by_keyboard(served, browser_page, runs):
    page = browser_page
    page.set_viewport_size({"width": 820, "height": 1180})
    page.goto(served(runs))
    page.get_by_role("heading", name="phantom-").wait_for(timeout=60_000)
    page.get_by_role("button", name="Open drawer").wait_for()
    wide = page.locator("main").bounding_box()
    assert wide["x"] == 0 and wide["width"] > 780
    assert page.title() == "Cases · studykit" and page.get_by_role("heading", level=1).inner_text() == "Cases"
    for _ in range(4):
        page.keyboard.press("Tab")
        if page.get_by_role("link", name="Skip to the page's content").evaluate(
            "each => each.matches(':focus')"
        ):
            break
    page.keyboard.press("Enter")
    assert page.locator("main").evaluate("each => each.matches(':focus')")
    page.get_by_role("button", name="Open drawer").click()
    page.locator(".tabulator-row").nth(2).click(timeout=30_000)


def test_an_address_tells_cases_that_look_like_numbers_apart(runs, monkeypatch):
    table = Session(runs).cases.copy()
    table.loc[:2, "id"] = ["007", "7", "1e3"]
    monkeypatch.setattr(Session, "cases", table)
    session = Session(runs)
    place = pn.io.location.Location(search="?case=1e3")
    monkeypatch.setattr(address, "pn", type("", (), {"state": type("", (), {"location": place})}))
    assert address.follow_address(session, ["model", "case", "method"]) == [] and session.case == "1e3"
    session.case = "007"
    session.method = "grad_cam"
    assert parse_qs(place.search[1:])["case"] == ["007"]
    place.search = "?case=7"  # the browser's way back
    assert session.case == "7" and place.search == "?case=7"


def test_sessions_leave_nothing_behind(runs):
    seen = weakref.WeakSet()
    for _ in range(200):
        session = Session(runs)
        session.case = session.cases["id"].iloc[-1]
        assert (
            session.explanation is not None and session.scan("image") and session.cases_of("image alone").size
        )
        seen.add(session)
    del session
    gc.collect()
    assert not seen and 0 < kept.kept.held <= kept.kept.limit


def test_what_is_kept_is_weighed_and_the_oldest_goes_first():
    held, asked = kept.Kept(limit=4000), []

    @held
    def picture(name, bytes_):
        asked.append(name)
        return {"values": np.zeros(bytes_, "uint8")}

    for name in ("a", "b", "a", "c", "d", "a", "b"):  # 1,000 bytes and a little: three of them fit
        picture(name, 1000)
    assert asked == ["a", "b", "c", "d", "b"] and held.held <= held.limit
    for _ in range(2):
        picture("too large", 2000)
    assert asked[-2:] == ["too large"] * 2 and held.held <= held.limit
    crowd = [
        threading.Thread(target=lambda: [picture(str(k % 50), 1000) for k in range(500)]) for _ in range(8)
    ]
    [one.start() for one in crowd], [one.join() for one in crowd]
    assert held.held == sum(size for _, size in held._answers.values()) <= held.limit


def test_a_view_weighs_as_much_as_what_it_keeps():
    whole = np.zeros((100, 1000))
    assert kept.size_of(whole[0]) == whole.nbytes and kept.size_of((whole, whole)) >= 2 * whole.nbytes


def test_pages_that_nobody_served_run_nothing_and_find_their_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("STUDYKIT_RUNS", raising=False)
    assert runs_here() == Path("data/demo")
    (tmp_path / "data" / "runs").mkdir(parents=True)
    assert runs_here() == Path("data/runs")
    monkeypatch.setenv("STUDYKIT_RUNS", str(tmp_path))
    assert runs_here() == tmp_path
    monkeypatch.setattr(pn.viewable.Viewable, "servable", lambda *_, **__: pytest.fail("served by itself"))
    assert "cases" in pages()


def test_what_a_visitor_saw_goes_when_the_page_is_closed(runs, monkeypatch):
    seen, made = weakref.WeakSet(), Session.__init__
    monkeypatch.setattr(Session, "__init__", lambda self, *given: (made(self, *given), seen.add(self))[0])
    soon = {f"{name}_milliseconds": 200 for name in ("check_unused_sessions", "unused_session_lifetime")}
    port = free_port()
    server = pn.serve(applications(runs), port, threaded=True, show=False, verbose=False, **soon)
    try:
        time.sleep(1)
        for name in ("cases", "contributions", "trust"):
            pull_session(url=f"http://localhost:{port}/{name}").close()
        assert len(seen) == 3
        for _ in range(60):
            time.sleep(0.5)
            gc.collect()
            if not seen:
                break
        assert not seen
    finally:
        server.stop()


def test_hosts_are_told_as_people_write_them():
    told = {"hub.example.org": "hub.example.org", "https://a.b:8443/x": "a.b:8443", "a.b:80": "a.b:80"}
    assert {given: _host(given) for given in told} == told
    for wrong in ("", "a.b:port", "https://"):
        with pytest.raises(InputError, match="--allow-origin"):
            _host(wrong)
