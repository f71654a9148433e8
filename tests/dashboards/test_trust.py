"""The Trust page: its numbers against `results`, its badges, its empty states, and in real Chromium."""

import html
import io
import re
import shutil
from dataclasses import replace
from urllib.parse import parse_qs, urlparse

import pandas as pd
import panel as pn
import panel_material_ui as pmui
import pytest

from studykit.training import Run
from studykit.trust import Item, Study
from studykit.trust.checklists import NOT_RECORDED, checklist
from studykit.trust.event import Event
from studykit.trust.protocol import Condition, Protocol, drawn
from studykit.trust.recorded import studied
from studykit.trust.results import SECTIONS, results
from studykit.trust.simulate import simulate
from studykit.trust.store import Store
from studykit.ui import Session, Studies, TrustView
from studykit.ui.answers_view import BY, TRUTH
from studykit.ui.studies import FILE, as_csv
from studykit.ui.trust_case_view import WRONG, told
from studykit.ui.trust_sections import nothing

SCALE = {"scale": "ordinal", "categories": (1, 2, 3, 4, 5)}
WORDS = ("not at all", "hardly", "half", "mostly", "fully")
ITEMS = (
    Item("class", "What is it?", "nominal", "answer", ("benign", "malignant"), asked="both"),
    Item("suspicion", "How likely is it malignant?", "ratio", "score", low=0, high=100, asked="both"),
    Item("sure", "How sure are you?", role="trust", asked="both", **SCALE),
    Item("helped", "The aid helped", role="opinion", labels=WORDS, **SCALE),
    Item("points", "The map points where I look", role="opinion", labels=WORDS, **SCALE),
    Item("why", "Anything else?", "text", "comment"),
    *(
        Item(f"sus_{k}", "", role="questionnaire", asked="end", questionnaire="sus", **SCALE)
        for k in range(1, 11)
    ),
)
HOSTILE = "<img src=x onerror=alert(1)> *b*"
AIDED = "prediction and map"


@pytest.fixture(scope="module")
def served_runs(runs, tmp_path_factory):
    """The three phantom runs, and a store with a simulated study about the cases that they held out."""
    out = shutil.copytree(runs, tmp_path_factory.mktemp("trust") / "runs")
    table = Run(out / "fusion" / "fold-0").predictions
    table = table[table["split"] == "test"].set_index("id")
    (task,) = [name.partition(".")[0] for name in table if name.endswith(".predicted")]
    protocol = Protocol(
        name="maps",
        title="With and without a map",
        readers=("ann", HOSTILE, "cy", "dee"),
        cases=tuple(table.index),
        conditions=(Condition("no aid"), Condition(AIDED, AIDED, "grad_cam")),
        items=ITEMS,
        two_step=True,
        truth=table[task].to_dict(),
        aids=table[f"{task}.predicted"].to_dict(),
        positive="malignant",
        wrong_aid=0.2,
        seed=2,
    )
    simulate(drawn(protocol), Store(out / FILE), seed=1)
    return out


@pytest.fixture
def view(served_runs, monkeypatch):
    monkeypatch.delenv("STUDYKIT_DATA", raising=False)
    session = Session(served_runs, model="fusion")
    return TrustView(Studies(folder=served_runs), session)


@pytest.fixture(scope="module")
def study(served_runs):
    return studied(Store(served_runs / FILE), "maps")


def texts(viewable):
    """All texts of what is shown, as they are given to the browser."""
    given = [getattr(part, "object", None) for part in viewable.select()]
    return "\n".join(text for text in given if isinstance(text, str))


def rows(viewable):
    """The table with all numbers."""
    return next(part.value for part in viewable.select(pn.widgets.Tabulator))


def test_simulated_readers_are_badged_and_counted(view, study):
    shown = texts(view.about())
    assert "Simulated readers: no person gave these ratings" in shown and "With and without a map" in shown
    assert f"4 readers × {study.ratings['case'].nunique()} cases × 2 conditions" in shown
    assert f"{study.ratings['rating'].notna().sum():,} ratings" in shown


@pytest.mark.parametrize("name", SECTIONS)
def test_every_section_shows_all_numbers_of_the_results(view, study, name):
    wanted = results(study, name)
    if name in ("agreement", "conditions"):
        view.studies.item = "sure"
        wanted = wanted[wanted["item"] == "sure"]
    assert len(wanted), "the study was made to have something of everything"
    shown = rows(view.section(name))
    assert len(shown) == len(wanted) and shown["number"].tolist() == wanted["statistic"].tolist()
    for cell, row in zip(shown["estimate (95 % interval)"], wanted.itertuples(), strict=True):
        assert cell.startswith("–" if pd.isna(row.estimate) else f"{row.estimate:.4g}")
        assert (" to " in cell) == pd.notna(row.low)


@pytest.mark.parametrize("name", SECTIONS)
def test_no_section_hides_why_a_number_is_lacking(view, study, name):
    view.studies.item = "sure"
    wanted = results(study, name)
    wanted = wanted[(wanted["item"] == "sure") | ~wanted["section"].isin(["agreement", "conditions"])]
    shown = html.unescape(texts(view.section(name)).replace("\\", ""))
    for why in wanted.loc[wanted["why"] != "", "why"].unique():
        assert " ".join(why.split()) in shown, why


def test_the_forest_shows_the_intervals_of_each_condition(view, study):
    view.studies.item = "class"
    drawn = texts(view.section("agreement"))
    found = results(study, "agreement")
    found = found[(found["item"] == "class") & (found["statistic"] == "Fleiss' kappa")]
    for row in found.itertuples():
        number = f"{row.estimate:.2f} ({row.low:.2f} to {row.high:.2f})"
        assert html.escape(f"Fleiss' kappa, {row.condition}: {number}").replace("-0.00", "0.00") in drawn
    view.studies.condition = AIDED
    assert f"Fleiss&#x27; kappa, {AIDED}, before the aid:" in texts(view.section("agreement"))
    assert "kappa, no aid:" not in texts(view.section("agreement"))


def test_reliance_shows_numerators_and_denominators(view, study):
    table = study.table("class", AIDED)
    wrong_first = table[(table["first"] != table["truth"]) & (table["aid"] == table["truth"])]
    taken = (wrong_first["rating"] == wrong_first["truth"]).sum()
    drawn = texts(view.section("reliance"))
    assert f"first answer wrong (RAIR): {taken} of {len(wrong_first)}: " in drawn and taken


def test_bars_count_the_answers(view, study):
    view.studies.item = "helped"
    drawn = texts(view.answers.picture())
    given = study.table("helped", AIDED)["rating"]
    share = (given.dropna() == 5).mean()
    assert f'aria-label="{AIDED}, {given.notna().sum()} answers: ' in drawn
    assert f"fully {100 * share:.0f} %" in drawn and "Bars lie around the middle" in drawn
    assert f"{given.isna().sum()} were skipped" in drawn or given.notna().all()
    view.answers.by = BY[2]
    drawn = texts(view.answers.picture())
    assert 'aria-label="The aid helped, ' in drawn and 'aria-label="The map points where I look, ' in drawn


def test_answers_stand_before_and_with_the_aid_and_beside_the_truth(view, study):
    view.studies.item = "class"
    drawn = texts(view.answers.picture())
    names = re.findall(r'aria-label="([^"]*), \d+ answers:', drawn)
    assert names == ["no aid", f"{AIDED}, before the aid", AIDED, TRUTH]
    truth = study.cases["truth"].eq("malignant").mean()
    assert f"malignant {100 * truth:.0f} %" in drawn[drawn.index(f'"{TRUTH}, ') :]
    view.studies.item = "suspicion"
    assert "median" in texts(view.answers.picture())
    view.studies.item = "why"
    assert "comments" in texts(view.answers.picture())


def test_a_hostile_name_is_shown_and_never_run(view, study):
    view.answers.by = BY[1]
    view.case.case = study.ratings.loc[study.ratings["reader"] == HOSTILE, "case"].dropna().iloc[0]
    shown = [view.answers.picture(), view.about(), view.case.readers(), *map(view.section, SECTIONS)]
    kinds = [pn.pane.HTML, pn.pane.Markdown]
    drawn, said = (
        "\n".join(pane.object for one in shown for pane in one.select() if type(pane) is kind)
        for kind in kinds
    )
    assert "&lt;img" in drawn and "<img" not in drawn
    assert r"&lt;img src=x onerror=alert(1)&gt; \*b\*" in said and "<img" not in said and " *b*" not in said
    (cells,) = shown[2].select(pn.pane.DataFrame)
    assert HOSTILE in cells.object["reader"].tolist() and cells.escape


def test_one_case_has_every_readers_answers_and_the_model_beside(view, study):
    wrong = study.aids.loc[study.aids["wrong"].astype(bool), "case"].iloc[0]
    view.case.case = wrong
    assert view.session.case == wrong and view.case._seen
    table = told(study, wrong)
    assert set(table["reader"]) == set(study.ratings.loc[study.ratings["case"] == wrong, "reader"])
    aided = table[table["condition"] == AIDED]
    ratings = study.ratings[(study.ratings["case"] == wrong) & (study.ratings["item"] == "class")]
    for row in aided.itertuples():
        own = ratings[(ratings["reader"] == row.reader) & (ratings["condition"] == AIDED)]
        first, final = (own.loc[own["step"] == step, "rating"].item() for step in ("first", "final"))
        assert table.at[row.Index, "class"].replace("\u00a0", " ") == f"{first} → {final}"
        assert row.aid.endswith(WRONG)
    assert "planted wrong" in texts(view.case.readers())
    shown = texts(view.case.models())
    assert "Integrated gradients" in shown or "explain" in shown
    view.session.case = other = next(case for case in study.cases["case"] if case != wrong)
    assert view.case.case == other


def test_the_download_says_whose_ratings_these_are(view, study):
    whole = pd.read_csv(io.StringIO(view.download().callback().getvalue()))
    assert set(whole["ratings"]) == {"simulated"} and set(whole["study"]) == {"maps"}
    assert len(whole) == len(results(study))


def test_the_reporting_list_is_filled_in_and_marked(view, study):
    view.reporting.name_of_list = "DECIDE-AI"
    (shown,) = view.reporting.filled().select(pn.pane.DataFrame)
    assert shown.object.equals(checklist(study, "DECIDE-AI"))
    told = shown.object["answer"]
    assert told[told != NOT_RECORDED].str.startswith("simulated: ").all() and (told == NOT_RECORDED).any()
    assert "Vasey" in texts(view.reporting.filled())


def test_downloads_hold_no_formula_and_their_names_say_simulated(view):
    table = pd.DataFrame({"of": ["=1+1", "R1"], "estimate": [-0.5, 2.0]})
    assert as_csv(table).getvalue().splitlines() == ["of,estimate", "'=1+1,-0.5", "R1,2.0"]
    assert view.download().filename == "maps-simulated-results.csv"


def test_downloads_have_names_that_every_system_takes():
    study = by_hand()
    study = replace(study, name="../a/b: <study> " + "x" * 50, simulated=True)
    view = TrustView(study)
    view.case.param.case.objects = ["1/2 *?"]
    view.case.case = "1/2 *?"
    shown = [
        *view.__panel__().select(pmui.FileDownload),
        *view.reporting.__panel__().select(pmui.FileDownload),
    ]
    shown += view.case.__panel__().select(pmui.FileDownload)
    shown += view.readers.__panel__().select(pmui.FileDownload)
    names = [button.filename for button in shown]
    assert len(names) >= 4 and all(re.fullmatch(r"[\w-]+-simulated-[\w-]+\.csv", name) for name in names)


def test_without_a_study_the_page_says_what_to_run(runs, monkeypatch):
    monkeypatch.delenv("STUDYKIT_DATA", raising=False)
    monkeypatch.delenv("STUDYKIT_RATINGS", raising=False)
    view = TrustView(Studies(folder=runs), Session(runs))
    assert "python -m studykit" in texts(view.about()) and view.__panel__().get_root() is not None
    assert not (runs / FILE).exists(), "looking makes no store"


def test_a_store_that_cannot_be_read_is_told(runs, tmp_path, monkeypatch):
    monkeypatch.delenv("STUDYKIT_DATA", raising=False)
    (tmp_path / "no store.sqlite").write_text("this is no database, but long enough to be looked at" * 20)
    monkeypatch.setenv("STUDYKIT_RATINGS", str(tmp_path / "no store.sqlite"))
    shown = texts(TrustView(Studies(folder=runs)).about())
    assert "no store" in shown and "python -m studykit" in shown


def by_hand(**given):
    """A published study with one nominal question."""
    ratings = pd.DataFrame(
        {
            "reader": ["a", "b"] * 3, "case": [1, 1, 2, 2, 3, 3], "condition": "plain", "item": "kind",
            "step": "final", "repeat": 0, "rating": ["x", "x", "y", "x", "y", "y"],
        }
    )  # fmt: skip
    for name in ("order", "session", "elapsed", "when"):
        ratings[name] = pd.NA
    cases = pd.DataFrame({"case": [1, 2, 3], "patient": [1, 2, 3], "truth": pd.NA})
    items = {"kind": Item("kind", scale="nominal", role="opinion", categories=("x", "y"))}
    return Study("small", ratings, items, cases, source="Someone, 1999, CC0", **given)


def test_a_study_at_hand_has_a_view_without_a_page():
    view = TrustView(by_hand())
    assert "Published study: real readers" in texts(view.about()) and "Someone, 1999" in texts(view.about())
    assert "kappa" in texts(view.section("agreement"))
    assert "one condition only" in texts(view.section("conditions"))
    for name in SECTIONS:
        assert texts(view.section(name)).strip(), "nothing is blank"
    assert "No model that is served here" in texts(view.case.models())
    assert view.__panel__().get_root() is not None
    anonymous = by_hand()
    anonymous.ratings["reader"] = None
    view = TrustView(anonymous)
    assert "Anonymous readers" in texts(view.about()) and "anonymous" in texts(view.section("agreement"))
    assert told(anonymous, 2)["kind"].tolist() == ["y, x"]


def test_studies_are_read_once_and_again_when_there_are_more_answers(served_runs, tmp_path, monkeypatch):
    monkeypatch.delenv("STUDYKIT_DATA", raising=False)
    for part in served_runs.glob(f"{FILE}*"):  # what is not yet in the file stands in its log
        shutil.copy(part, tmp_path)
    monkeypatch.setenv("STUDYKIT_RATINGS", str(tmp_path / FILE))
    first = Studies(folder=served_runs)
    assert Studies(folder=served_runs).found is first.found
    assert first.asked("reliance") is Studies(folder=served_runs).asked("reliance")
    store = Store(tmp_path / FILE)
    last = store.events("maps").query("item == 'helped'").iloc[0]
    told = {name: last[name] for name in ("reader", "case", "condition", "item", "step", "repeat")}
    told |= {"rating": 1, "corrects": last["client"], "reason": "a slip"}
    told["repeat"] = int(told["repeat"])
    store.append("maps", [Event(**told)])
    assert Studies(folder=served_runs).found is not first.found


@pytest.mark.parametrize(
    ("statistic", "line"),
    [("AUC", 0.5), ("AUC difference (RRRC)", 0), ("expected calibration error", 0), ("ratio of times", 1)],
)
def test_the_line_stands_where_a_number_says_nothing(statistic, line):
    assert nothing(statistic) == line


@pytest.mark.browser
def test_the_trust_page(served, browser_page, served_runs, study, request, monkeypatch):
    monkeypatch.delenv("STUDYKIT_DATA", raising=False)
    page, errors = browser_page, []
    page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("dialog", lambda dialog: errors.append(f"a script ran: {dialog.message}"))
    address = served(served_runs)
    for part in ("conditions", "time", "trust"):  # opened at once, before anything was computed
        page.goto(f"{address}/trust?item=sure&part={part}")
        page.get_by_text("All numbers", exact=True).wait_for(timeout=60_000)
    page.goto(f"{address}/trust?item=helped")
    page.get_by_text("Simulated readers: no person").wait_for(timeout=60_000)
    page.get_by_role("img", name=f"{AIDED}, ").wait_for()
    screenshots = request.config.getoption("--screenshots")
    for name in ("Agreement", "Conditions", "Accuracy", "Reliance", "Trust", "Questionnaires", "Time"):
        page.get_by_role("tab", name=name).click()
        page.get_by_text("All numbers", exact=True).wait_for()
        if screenshots:
            page.screenshot(path=screenshots / f"trust_{name.lower()}.png")
    page.goto(f"{address}/trust?part=accuracy")
    page.get_by_role("row", name="mean AUC").or_(page.locator("canvas")).first.wait_for()
    row = results(study, "accuracy").query("statistic == 'mean AUC (RRRC)'").iloc[0]
    page.get_by_text(f"{row['estimate']:.2f} ({row['low']:.2f} to {row['high']:.2f})").first.wait_for()
    case = study.aids.loc[study.aids["wrong"].astype(bool), "case"].iloc[0]
    page.goto(f"{address}/trust?part=one+case&case={case}")
    page.get_by_text(WRONG).first.wait_for()
    page.locator("canvas").first.wait_for()
    page.wait_for_timeout(500)
    assert parse_qs(urlparse(page.url).query)["case"] == [case] and not errors


def test_what_is_planted_is_said(view):
    told = view.about()
    found = view.studies.found
    assert found.planted and html.escape(found.planted) in "".join(
        pane.object for pane in told.select(pn.pane.HTML)
    )


@pytest.mark.real_data
def test_the_head_does_not_call_a_published_studys_cases_drawn(served_runs):
    session = Session(served_runs, model="fusion")
    view = TrustView(Studies(folder=served_runs), session)
    assert not session.elsewhere
    view.studies.study = "published van_dyke"
    assert session.elsewhere
