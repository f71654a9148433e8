"""Pages without a browser: every page builds, the session keeps its word."""

import html
import json
import re
import shutil

import panel as pn
import pytest
from datasets import layouts

from studykit.training import Recipe, train
from studykit.ui import CaseTable, CaseView, Session
from studykit.ui.plain import safe
from studykit.ui.serve import applications, pages


@pytest.mark.parametrize("name", sorted(pages()))
def test_every_page_builds(name, runs):
    page = pages()[name].page(runs)
    assert isinstance(page, pn.viewable.Viewable) and page.get_root() is not None
    assert set(applications(runs)) >= {"/", name}


@pytest.mark.parametrize("name", sorted(pages()))
def test_an_empty_place_says_what_to_run(name, tmp_path):
    page = pages()[name].page(tmp_path)
    assert "python -m studykit run" in page.main[0].object


def test_a_run_whose_data_changed_says_so(runs, tmp_path):
    copy = shutil.copytree(runs, tmp_path / "runs")
    path = copy / "fusion" / "fold-0" / "recipe.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "fingerprint": "another"}))
    assert "have changed since" in pages()["cases"].page(copy).main[0].object


def test_a_new_model_keeps_case_and_method_where_it_can(runs):
    session = Session(runs)
    session.case, session.method = session.cases["id"].iloc[3], "grad_cam"
    kept = session.case
    session.model = "image alone"
    assert (session.case, session.method) == (kept, "grad_cam")
    session.model = "record alone"
    assert (session.case, session.method) == (kept, "integrated_gradients")


def test_a_model_of_other_cases_opens_its_own(runs, tmp_path):
    data = {"name": "busi", "folder": str(layouts.busi(tmp_path / "cases")), "size": 32}
    recipe = {"name": "scans", "dataset": data, "folds": 4, "training": {"epochs": 2}}
    train(Recipe.from_json(recipe), tmp_path / "runs")
    shutil.copytree(runs / "fusion", tmp_path / "runs" / "fusion")
    session = Session(tmp_path / "runs")
    view = CaseView(session)
    view.__panel__().get_root()
    assert session.case.startswith("phantom") and "Planted" in view.heading()
    session.model = "scans"
    assert len(session.cases) == 16 and session.case == "benign (1)"
    assert "Nothing explains this model yet" in view.note() and "Planted" not in view.heading()
    session.model = "fusion"
    assert session.case.startswith("phantom") and "Integrated gradients" in view.note()


def test_recipes_of_one_name_in_two_places_stay_apart(runs, tmp_path):
    for place in ("spring", "autumn"):
        shutil.copytree(runs / "fusion", tmp_path / place / "fusion")
    assert set(Session(tmp_path).runs) == {"spring/fusion", "autumn/fusion"}
    assert set(Session(tmp_path / "spring").runs) == set(Session(tmp_path / "spring" / "fusion").runs)


def test_two_visitors_do_not_meet(runs):
    one, two = Session(runs), Session(runs)
    one.case = one.cases["id"].iloc[5]
    assert two.case == two.cases["id"].iloc[0]


def test_the_table_filters_and_steps(runs):
    session = Session(runs, model="image alone")
    table = CaseTable(session)
    table.filter.show = "wrong predictions"
    shown = table.seen["id"].tolist()
    assert shown == session.cases.loc[session.cases["wrong"], "id"].tolist() and shown
    for wanted in (shown[0], shown[1 % len(shown)]):
        table.step(+1)
        assert session.case == wanted
        assert session.cases.loc[table.table.selection, "id"].tolist() == [wanted]


def test_next_follows_the_order_that_is_seen(runs):
    session = Session(runs)
    table = CaseTable(session)
    table.table.sorters = [{"field": "p", "dir": "asc"}]
    table.filter.label = "malignant"
    malignant = session.cases[session.cases["label"] == "malignant"]
    wanted = malignant.sort_values("p", kind="stable")["id"].tolist()
    session.case = wanted[2]
    table.step(+1)
    assert session.case == wanted[3]
    table.step(-1)
    assert session.case == wanted[2]


def test_the_same_view_works_in_a_notebook_cell(runs):
    view = CaseView(Session(runs))
    assert "text/html" in view._repr_mimebundle_()[0] or view.__panel__().get_root()
    assert "label" in view.heading() and "Planted truth" in view.heading()


def test_every_case_and_method_can_be_shown(runs):
    session = Session(runs)
    view = CaseView(session)
    view.__panel__().get_root()
    for model in session.param.model.objects:
        session.model = model
        for method in session.param.method.objects:
            session.method = method
            for case in session.cases["id"].iloc[:3]:
                session.case = case
                assert view.note() and view.record() is not None


@pytest.mark.parametrize("text", ["<img src=x onerror=alert(1)>", "a*b*c", "[x](javascript:alert(1))", "`c`"])
def test_what_a_table_holds_is_shown_and_never_run(text):
    pane = pn.pane.Markdown(f"### {safe(text)}")
    inside = html.unescape(pane._transform_object(pane.object)["object"])
    assert inside.removeprefix("<h3>").startswith(html.escape(text, quote=False)[:3])
    assert not re.search("<(img|em|a|code)", inside)
