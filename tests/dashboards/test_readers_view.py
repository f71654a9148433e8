"""Readers beside models: ready filters and numbers against slow twins, empty states, and in real Chromium."""

import shutil
import time
from urllib.parse import parse_qs, urlparse

import numpy as np
import pandas as pd
import panel as pn
import pytest
from scipy import stats

from studykit.quality import quality
from studykit.quality.quality import read
from studykit.training import Run, find_runs
from studykit.trust import Item, Study
from studykit.trust.by_case import by_case
from studykit.trust.protocol import Condition, Protocol, drawn
from studykit.trust.recorded import studied
from studykit.trust.simulate import simulate
from studykit.trust.store import Store
from studykit.trust.study import RATINGS
from studykit.ui import Session, Studies, TrustView
from studykit.ui.map_agreement_view import CAUTION
from studykit.ui.read_cases import BELIEVE, DISAGREE, FOLLOW, joined, of_the_same, ready, sets, whose_aid
from studykit.ui.readers_view import ReadersView
from studykit.ui.studies import FILE, as_csv
from studykit.ui.trust_case_view import of_case

MODEL = "image alone"
CLASSES = ("benign", "malignant")
ITEMS = (
    Item("class", "What is it?", "nominal", "answer", CLASSES, asked="both"),
    Item("sure", "How sure are you?", "ordinal", "trust", (1, 2, 3, 4, 5), asked="both"),
)
RELIED = Item("relied", "Do you trust the aid?", "ordinal", "trust in the aid", (1, 2, 3, 4, 5))
AIDED = "prediction and map"


@pytest.fixture(autouse=True)
def no_published(monkeypatch):
    monkeypatch.delenv("STUDYKIT_DATA", raising=False)
    monkeypatch.delenv("STUDYKIT_RATINGS", raising=False)


@pytest.fixture(scope="module")
def folder(runs, tmp_path_factory):
    """The phantom runs, a simulated study with one model's aids, and scores of that model's maps."""
    out = shutil.copytree(runs, tmp_path_factory.mktemp("readers") / "runs")
    table = Run(out / MODEL / "fold-0").predictions
    table = table[table["split"] == "test"].set_index("id")
    (task,) = [name.partition(".")[0] for name in table if name.endswith(".predicted")]
    protocol = Protocol(
        name="maps", readers=tuple("abcdef"), cases=tuple(table.index), items=ITEMS, two_step=True, seed=2,
        conditions=(Condition("no aid"), Condition(AIDED, AIDED, "grad_cam")), positive="malignant",
        truth=table[task].to_dict(), aids=table[f"{task}.predicted"].to_dict(), wrong_aid=0.2,
    )  # fmt: skip
    simulate(drawn(protocol), Store(out / FILE), seed=1)
    (run,) = find_runs(out / MODEL)
    list(quality(run, ["grad_cam"], ["relevance_mass", "sparseness"], cases=0))
    return out


@pytest.fixture
def session(folder):
    return Session(folder, model=MODEL)


def texts(viewable):
    """All texts of what is shown."""
    given = [getattr(part, "object", None) for part in viewable.select()]
    return "\n".join(text for text in given if isinstance(text, str)).replace("\\", "")


def told_by(session, answers, trust=None, aided=True):
    """A study in which three readers answer each of the model's cases: {case: (answer, answer, answer)}."""
    cases = session.cases.set_index("id")
    rows, items = [], {"class": ITEMS[0]} | ({"relied": RELIED} if trust else {})
    for case, given in answers.items():
        for reader, rating in zip("abc", given, strict=True):
            rows.append((reader, case, AIDED, "class", rating))
            rows += [(reader, case, AIDED, "relied", trust[case])] if trust else []
    ratings = pd.DataFrame(rows, columns=["reader", "case", "condition", "item", "rating"]).astype(object)
    ratings = ratings.assign(step="final", repeat=0).reindex(columns=RATINGS)
    about = pd.DataFrame({"case": list(answers)}, dtype=object)
    about = about.assign(patient=about["case"], truth=about["case"].map(cases["label"]))
    aids = about[["case"]].assign(condition=AIDED, aid=about["case"].map(cases["predicted"]), wrong=False)
    return Study("hand", ratings, items, about, aids if aided else aids.iloc[:0])


def other(answer):
    return next(one for one in CLASSES if one != answer)


def test_cases_are_sorted_by_what_readers_did(session):
    """Two readers take the prediction, or one does; it was wrong, or right."""
    cases = session.cases
    wrong, right = cases[cases["wrong"]], cases[~cases["wrong"]]
    assert len(wrong) > 1 and len(right) > 1, "the model was made to be wrong at times"
    rows = [*wrong.iloc[:2].itertuples(), *right.iloc[:2].itertuples()]
    takes = [2, 1, 2, 3]
    answers = {
        row.id: (row.predicted,) * n + (other(row.predicted),) * (3 - n)
        for row, n in zip(rows, takes, strict=True)
    }
    taken, left, agreed, all_agreed = answers
    found = sets(joined(session, told_by(session, answers)))
    assert found[BELIEVE] == found[FOLLOW] == {taken}
    assert found[DISAGREE] == {taken, left, agreed}
    table = joined(session, told_by(session, answers)).set_index("case")
    assert table["with_model"].tolist() == pytest.approx([2 / 3, 1 / 3, 2 / 3, 1])
    unaided = sets(joined(session, told_by(session, answers, aided=False)))
    assert unaided[BELIEVE] == {taken} and not unaided[FOLLOW]
    trusted = told_by(session, answers, trust={taken: 1, left: 5, agreed: 5, all_agreed: 5})
    assert sets(joined(session, trusted))[BELIEVE] == {taken, left}, "the wrong aid was trusted"
    elsewhere = told_by(session, answers, trust=dict.fromkeys(answers, 5))
    elsewhere.aids["aid"] = elsewhere.aids["aid"].map(other)
    elsewhere.aids["wrong"] = True
    said = joined(session, elsewhere).set_index("case")
    assert said.loc[left, "aid_wrong"] and not said.loc[left, "believed"], "that aid said something else"
    half = told_by(session, answers, trust=dict.fromkeys(answers, 3))
    assert sets(joined(session, half))[BELIEVE] == {taken}, "the middle of the scale is not its upper half"


def twin(session, study):
    """{case: the share of final answers that are the model's}, a rating at a time."""
    aids = {(row.case, row.condition): row.aid for row in study.aids.itertuples()}
    said, shares = session.cases.set_index("id")["predicted"], {}
    for case in study.cases["case"]:
        rows = study.ratings.query("case == @case and item == 'class' and step == 'final' and repeat == 0")
        rows = [(row.rating, aids.get((case, row.condition))) for row in rows.itertuples()]
        advised = [rating for rating, aid in rows if aid == said[case]]
        shares[case] = np.mean([rating == said[case] for rating in advised or [rating for rating, _ in rows]])
    return shares


def test_the_ready_filters_are_those_of_the_study_beside_the_runs(folder, session):
    study = studied(Store(folder / FILE), "maps")
    table, shares, wrong = by_case(study).set_index("case"), twin(session, study), session.cases["wrong"]
    found = ready(session)
    assert found[DISAGREE] == set(table.index[table["disagreement"] > 0]) and found[DISAGREE]
    assert found[FOLLOW] == set(table.index[table["aid_wrong"] & (table["followed"] >= 0.5)])
    mistaken = set(session.cases.loc[wrong, "id"])
    assert found[BELIEVE] == {case for case, share in shares.items() if share >= 0.5} & mistaken
    assert joined(session, study).set_index("case")["with_model"].to_dict() == pytest.approx(shares)
    begin = time.perf_counter()
    ready(session)
    assert time.perf_counter() - begin < 0.5, "it is read once"


def test_without_a_study_there_are_no_filters(runs, tmp_path, monkeypatch):
    assert ready(Session(runs)) == {} and not (runs / FILE).exists()
    (tmp_path / "no store.sqlite").write_text("this is no database, but long enough to be looked at" * 20)
    monkeypatch.setenv("STUDYKIT_RATINGS", str(tmp_path / "no store.sqlite"))
    assert ready(Session(runs)) == {}


def test_whose_aid_it_was(folder, session):
    study = studied(Store(folder / FILE), "maps")
    same = [
        model
        for model in session.runs
        if session.cases_of(model)["predicted"].tolist() == session.cases["predicted"].tolist()
    ]
    assert whose_aid(session, study) == same and MODEL in same
    view = TrustView(Studies(folder=folder), session).case
    assert f"'{MODEL}'" in view.aids() and f"in '{AIDED}' by Grad-CAM" in view.aids()
    nobodys = told_by(session, {row.id: ("benign",) * 3 for row in session.cases.itertuples()})
    nobodys.aids["aid"] = "neither"
    assert whose_aid(session, nobodys) == []


def view_of(folder, session):
    return ReadersView(Studies(folder=folder), session)


def test_the_list_holds_the_cases_and_opens_one(folder, session):
    view = view_of(folder, session)
    found = ready(session)
    for which in (BELIEVE, FOLLOW, DISAGREE):
        view.believed.which = which
        shown = [part.value for part in view.believed.listed().select(pn.widgets.Tabulator)]
        assert [set(table["case"]) for table in shown] == [found[which]] * bool(found[which])
    assert shown[0]["pairs that disagree"].is_monotonic_decreasing
    opened = []
    view.param.watch(opened.append, "opened")
    last = shown[0]["case"].iloc[-1]
    view.believed._open(last)
    assert session.case == last and len(opened) == 1


def test_a_case_that_is_chosen_opens_on_the_trust_page(folder, session):
    view = TrustView(Studies(folder=folder), session, part="readers and models")
    assert CAUTION in "\n".join(str(part.object) for part in view._opened().select(pn.pane.Markdown))
    case = view.readers.agreement.dots()["id"].iloc[-1]
    view.readers.agreement._open(case)
    assert (view.part, session.case, view.case.case) == ("one case", case, case)


def test_dots_and_correlation_are_those_of_the_stored_scores(folder, session):
    view = view_of(folder, session).agreement
    assert view.score == "relevance_mass" and view.maps[0].startswith("grad_cam")
    scores = read(find_runs(folder / MODEL)[0])
    scores = scores[(scores["method"] == view.maps[0]) & (scores["score"] == "relevance_mass")].dropna(
        subset=["value"]
    )
    read_cases = by_case(studied(Store(folder / FILE), "maps")).set_index("case")["disagreement"]
    dots = view.dots().set_index("id")
    assert set(dots.index) == set(scores["case"]) & set(read_cases.dropna().index) and len(dots) > 4
    for row in scores[scores["case"].isin(dots.index)].itertuples():
        assert dots.at[row.case, "share"] == pytest.approx(row.value)
        assert dots.at[row.case, "agreement"] == pytest.approx(1 - read_cases[row.case])
    wanted = stats.spearmanr(dots["share"], dots["agreement"]).statistic
    said = view.said().replace("-0.00", "0.00")
    assert f"**{wanted:.2f}" in said and f"n = {len(dots)} cases" in said and CAUTION in said
    wrong = session.cases.set_index("id")["wrong"]
    means = (1 - read_cases).groupby(wrong).mean()
    assert f"Readers agree by {means[False]:.2f} in the {(~wrong).sum()} cases" in said
    assert f"by {means[True]:.2f} in the {wrong.sum()} where it is wrong" in said
    view.score = "sparseness"
    assert len(view.dots()) > len(dots), "sparseness needs no region"


def test_maps_without_scores_say_what_to_run(folder):
    session = Session(folder, model="record alone")
    view = view_of(folder, session)
    assert "python -m studykit quality" in texts(view.agreement.scene())
    assert "Readers agree by" in view.agreement.said() or "in all" in view.agreement.said()
    session.model = MODEL
    assert len(view.agreement.dots()) and view.agreement.score == "relevance_mass"


def test_the_download_has_all_cases_and_says_whose_ratings_these_are(folder, session):
    view = view_of(folder, session)
    table = pd.read_csv(as_csv(view.table()))
    assert len(table) == len(session.cases) and set(table["ratings"]) == {"simulated"}
    scored = f"relevance_mass of {' of the '.join(view.agreement.maps)}"
    assert {"patient", "with_model", "believed", scored} <= set(table)


def test_where_nothing_can_be_joined_it_says_why(folder, runs, session):
    alone = ReadersView(Studies(folder=folder))
    assert "No models stand beside" in texts(alone.believed.listed())
    nothing = ReadersView(Studies(folder=runs), Session(runs))
    assert "python -m studykit study simulate" in texts(nothing.believed.listed())
    elsewhere = told_by(session, {"nobody": ("benign",) * 3})
    strange = ReadersView(Studies(elsewhere), session)
    assert "held out none of the cases" in texts(strange.believed.listed())
    for view in (alone, nothing, strange):
        assert view.agreement.said() == "" and view.__panel__().get_root() is not None


def test_one_case_has_its_maps_scores(folder, session):
    scores = read(find_runs(folder / MODEL)[0])
    case = scores.loc[scores["score"].eq("relevance_mass") & scores["value"].notna(), "case"].iloc[0]
    view = TrustView(Studies(folder=folder), session).case
    view.case = case
    (shown,) = [part.object for part in view.scores().select(pn.pane.DataFrame)]
    pd.testing.assert_frame_equal(shown, of_case(scores, case))
    own = scores[(scores["case"] == case) & scores["method"].str.startswith("grad_cam")].set_index("score")
    assert len(shown) == 1 and shown["maps"][0].startswith("Grad-CAM")
    assert shown["Relevance mass accuracy"][0] == f"{own.at['relevance_mass', 'value']:.3f}"


def test_a_part_about_one_question_opens_on_one_that_is_asked_there(folder, session):
    view = TrustView(Studies(folder=folder), session)
    assert view.studies.item == "class"
    view.part = "conditions"
    assert view.studies.item == "sure" and "All numbers" in texts(view.section("conditions"))
    view.studies.item = "class"  # chosen there, it stays
    assert "not asked of this question" in texts(view.section("conditions"))
    view.part = "agreement"
    assert view.studies.item == "class"


def test_the_answers_say_how_many_cases_readers_disagree_about(folder, session):
    view = TrustView(Studies(folder=folder), session)
    table = by_case(view.studies.found)["disagreement"]
    assert f"disagree about {(table > 0).sum()} of {table.notna().sum()} cases" in view.answers.disagreed()
    view.studies.item = "sure"
    assert view.answers.disagreed() == ""


def test_a_case_of_another_model_stays_the_one_that_was_chosen(volumes):
    first, second, *_ = Session(volumes).runs
    of_second = Session(volumes, model=second)
    answers = dict.fromkeys(of_second.cases["id"].iloc[:3], ("benign",) * 3)
    session = Session(volumes, model=first)
    assert not set(answers) & set(session.cases["id"]), "else the first model has them, too"
    view = TrustView(Studies(told_by(of_second, answers, aided=False)), session).case
    case = list(answers)[-1]
    for view.case in (list(answers)[0], case):
        session.model = first
    view.case = list(answers)[1]
    assert (session.model, session.case, view.case) == (second, list(answers)[1], list(answers)[1])


@pytest.mark.browser
def test_readers_and_models_in_the_browser(served, browser_page, folder, session, request):
    page, errors = browser_page, []
    page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: errors.append(str(error)))
    address = served(folder)
    page.goto(f"{address}/trust?model={MODEL}&part=readers+and+models")
    page.get_by_text("association, not cause").wait_for(timeout=60_000)
    page.locator("canvas").first.wait_for()
    if keep := request.config.getoption("--screenshots"):
        page.wait_for_timeout(1000)
        page.screenshot(path=keep / "trust_readers_and_models.png")
    listed = next(ids for name in (BELIEVE, FOLLOW, DISAGREE) if (ids := ready(session)[name]))
    row = page.locator(".tabulator-row").first
    row.wait_for()
    case = row.get_by_role("link").inner_text()
    asked = parse_qs(urlparse(row.get_by_role("link").get_attribute("href")).query)
    assert case in listed and asked["case"] == [case] and asked["model"] == [MODEL] and "show" in asked
    row.locator(".tabulator-cell").nth(2).click()
    page.get_by_text("What is so:").wait_for(timeout=30_000)
    page.get_by_text("This case on the pages").wait_for(timeout=30_000)
    assert parse_qs(urlparse(page.url).query)["case"] == [case] and not errors


def test_cases_that_are_only_called_alike_are_not_joined(folder, monkeypatch):
    session, study = Session(folder, model=MODEL), studied(Store(folder / FILE), "maps")
    cases = session.cases
    assert of_the_same(study, cases) and len(joined(session, study))
    assert of_the_same(study, cases.assign(label=np.nan)) and of_the_same(study, cases.assign(label="other"))
    others = cases.assign(label=cases["label"].map({"benign": "malignant", "malignant": "benign"}))
    assert not of_the_same(study, others)
    monkeypatch.setattr(Session, "cases_of", lambda self, model: others)
    assert joined(session, study).empty and not any(ready(session).values())
    view = TrustView(Studies(folder=folder), session)
    assert not view.case._seen
