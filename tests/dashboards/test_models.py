"""The Models page: its numbers against the runs' and scikit-learn's, empty states, and in real Chromium."""

import html
import io
import json
import re
import shutil
from urllib.parse import parse_qs, urlparse

import numpy as np
import pandas as pd
import panel as pn
import pytest
from PIL import Image
from sklearn.calibration import calibration_curve
from sklearn.metrics import roc_auc_score

from dashboards.test_browser import settled
from studykit.case import Task
from studykit.draw import confusion_table, model_looks
from studykit.draw.models import Curve, chart, ticks
from studykit.models.overview import size, written
from studykit.training import Recipe, find_runs, train
from studykit.training.compared import HeldOut, confusion, limits_of_agreement
from studykit.training.logistic import NAME as LOGISTIC
from studykit.training.measure import measures
from studykit.ui import ModelsView, Session
from studykit.ui.model_answers import LearningView, history
from studykit.ui.model_curves import calibration, calibration_error
from studykit.ui.model_dots import ERROR, LABEL, AnswerDots

DOT = (164, 175, 186)  # a right answer, a little transparent on white
BOLD = "<b onclick=alert(1)>&\"'"


def computed(view):
    """The view once all its numbers are there."""
    for asked in view.asked():
        asked.exception()
    view.choice.suggest()
    return view


@pytest.fixture
def view(runs):
    """All numbers there; the fusion model is open."""
    return computed(ModelsView(Session(runs, model="fusion")))


@pytest.fixture(scope="module")
def two_tasks(tmp_path_factory):
    """Two models of a table that answer three signs at once, then a number, which is not known of ten."""
    out = tmp_path_factory.mktemp("two tasks")
    draw = np.random.default_rng(0)
    age, side = draw.normal(60, 10, 60).round(), draw.choice(["left", "right"], 60)
    signs = [
        "&".join(["nodule"][: int(a > 60)] + ["effusion"][: int(s == "left")])
        for a, s in zip(age, side, strict=True)
    ]
    columns = {"signs": [sign or "none" for sign in signs], "dose": age * 1.5 + draw.normal(0, 5, 60)}
    table = pd.DataFrame({"id": [f"c{k}" for k in range(60)], **columns, "age": age, "side": side})
    table.loc[:9, "dose"] = None
    (out / "cases").mkdir()
    table.to_csv(out / "cases" / "cases.csv", index=False)
    tasks = {"signs": {"kind": "multilabel"}, "dose": {"kind": "regression"}}
    (out / "cases" / "cases.json").write_text(json.dumps({"tasks": tasks}))
    for name, epochs in (("long", 30), ("short", 2)):
        recipe = {"name": name, "dataset": {"name": "own_folder", "folder": str(out / "cases")}, "folds": 3}
        train(Recipe.from_json({**recipe, "only": [0, 1], "training": {"epochs": epochs}}), out / "runs")
    return out / "runs"


def drawn(viewable):
    """All HTML that is shown."""
    return " ".join(str(part.object) for part in viewable.select(pn.pane.HTML))


def told(viewable):
    """All sentences that are shown."""
    return " ".join(str(part.object) for part in viewable.select(pn.pane.Markdown))


def names_in_order(board):
    heads = re.findall(r'<th scope="row".*?</th>', drawn(board), re.S)
    return [re.search(r"anywhere\">(?:<a[^>]*>)?(?:<b[^>]*>)?([^<]*)<", head)[1] for head in heads]


def test_the_scores_are_those_that_training_stored(view, runs):
    numbers = view.numbers().set_index(["model", "against", "statistic"])
    for name in view.choice.models:
        stored = pd.read_csv(runs / name / "metrics.csv").set_index(["group", "statistic"])
        for statistic in ("AUROC", "balanced accuracy", "Brier score"):
            for found, wanted in ((name, name), (LOGISTIC, LOGISTIC)):
                row, known = numbers.loc[(found, "", statistic)], stored.loc[(wanted, statistic)]
                for column in ("estimate", "low", "high", "n"):
                    assert row[column] == pytest.approx(known[column]), (name, statistic, column)


def test_the_best_stands_first_and_says_its_size(view):
    board = view.board()
    numbers = view.numbers()
    own = numbers[(numbers["against"] == "") & (numbers["statistic"] == "AUROC")]
    wanted = own.sort_values("estimate", ascending=False, kind="stable")["model"].tolist()
    assert names_in_order(board) == wanted and len(wanted) == 4
    parameters, adds = size(view.session.runs["fusion"][0].model())
    shown = drawn(board)
    assert f">{written(parameters)}</td>" in shown and f">{written(adds)}</td>" in shown
    assert "looks at the image and record" in shown and "1 of 1 folds" in shown
    assert shown.count("rotate(45deg)") == 3 * 4 - 0, "three baselines, in each of four columns"
    assert "Diamonds are baselines" in told(board)


def test_another_reference_gives_paired_differences_to_both(view):
    choice, session = view.choice, view.session
    choice.reference = "image alone"
    columns = {}
    for name in ("record alone", "image alone"):
        table = session.runs[name][0].predictions
        columns[name] = table[table["split"] == "test"].sort_values("id").reset_index(drop=True)
    p = ["lesion.benign", "lesion.malignant"]
    table = columns["record alone"].assign(a=columns["image alone"][p[0]], b=columns["image alone"][p[1]])
    settings = {"kind": "binary", "label": "m", "rival": "r"}
    wanted = measures(table, "lesion", p, ["benign", "malignant"], against=["a", "b"], **settings)
    wanted = wanted[wanted["group"] == "m minus r"].set_index("statistic")
    computed(view)
    numbers = view.numbers().set_index(["model", "against", "statistic"])
    for statistic in wanted.index:
        row = numbers.loc[("record alone", "image alone", statistic)]
        assert (
            row[["estimate", "low", "high"]].tolist()
            == wanted.loc[statistic, ["estimate", "low", "high"]].tolist()
        )
    assert ("record alone", "fusion", "AUROC") in numbers.index, "the open model's, too"
    assert "minus that of image alone" in drawn(view.board()) and session.model == "fusion"
    choice.reference = LOGISTIC
    stored = pd.read_csv(session.folder / "fusion" / "metrics.csv").set_index(["group", "statistic"])
    numbers = view.numbers().set_index(["model", "against", "statistic"])
    less, turned = numbers.loc[("fusion", LOGISTIC, "AUROC")], numbers.loc[(LOGISTIC, "fusion", "AUROC")]
    known = stored.loc[(f"fusion minus {LOGISTIC}", "AUROC")]
    assert (less["low"], turned["low"]) == pytest.approx((known["low"], -known["high"]))


def test_what_cannot_be_compared_says_why(runs, tmp_path):
    for name in ("fusion", "image alone", "record alone"):
        shutil.copytree(runs / name, tmp_path / name, ignore=shutil.ignore_patterns("*.zarr"))
    path = tmp_path / "image alone" / "fold-0" / "predictions.parquet"
    table = pd.read_parquet(path)
    table.assign(lesion=table["lesion"].map({"benign": "malignant", "malignant": "benign"})).to_parquet(path)
    path = tmp_path / "record alone" / "fold-0" / "predictions.parquet"
    pd.read_parquet(path).assign(lesion="benign").to_parquet(path)
    view = computed(ModelsView(Session(tmp_path, model="fusion")))
    shown = drawn(view.board())
    assert "the cases are others" in shown and "has another label there" in shown
    assert "the cases are of 1 class(es); two are needed" in shown
    view.choice.chosen = ["fusion", "record alone"]
    assert "20 of 20" not in drawn(view.curves()) and "record alone: AUROC –" in drawn(view.curves())


def test_calibration_agrees_with_scikit_learn(view):
    held = view.choice.answers("image alone")
    truth, p = held.is_of("malignant"), held.p("malignant")
    bins = calibration(held, "malignant")
    share, chance = calibration_curve(truth, p, n_bins=10)
    assert bins["share"].to_numpy() == pytest.approx(share) and bins["n"].sum() == len(p)
    assert bins["chance"].to_numpy() == pytest.approx(chance)
    gap = 0.0
    for k in range(10):
        here = np.minimum((p * 10).astype(int), 9) == k
        gap += here.sum() / len(p) * abs(p[here].mean() - truth[here].mean()) if here.any() else 0
    assert calibration_error(bins) == pytest.approx(gap)
    assert (bins["low"] <= bins["share"]).all() and (bins["share"] <= bins["high"]).all()


def test_the_curves_are_of_the_open_model_and_the_best_others(view):
    choice = view.choice
    assert choice.chosen[0] == "fusion" and len(choice.chosen) == 3
    shown = html.unescape(drawn(view.curves()))
    held = choice.answers("image alone")
    area = roc_auc_score(held.is_of("malignant"), held.p("malignant"))
    assert f"image alone: AUROC {area:.3f}" in shown and shown.count("<svg role") == 4
    view.session.model = "record alone"
    assert choice.chosen[0] == "fusion" and "record alone" in choice.chosen
    choice.chosen = ["image alone"]
    view.session.model = "fusion"
    assert choice.chosen == ["fusion", "image alone"], "the open one joins"


def test_no_two_of_forty_models_look_alike():
    looks = model_looks([f"m{k}" for k in range(40)])
    assert len(set(looks.values())) == 40


def test_a_chart_draws_what_it_is_given():
    curve = Curve(BOLD, [0, 0.5, 0.5, 1], [0, 0.5, np.nan, 1], "#000000")
    shown = chart(BOLD, "x", "y", [curve], "nothing")
    path = re.search(r'<path d="([^"]*)"', shown)[1]
    assert path.count("M") == 2 and path.count("L") == 1, "a gap where nothing is known"
    assert "<b " not in shown and "&lt;b onclick" in shown
    assert ticks(0, 1) == [0, 0.2, 0.4, 0.6, 0.8, 1.0] and len(ticks(-3.2, 117)) in range(4, 8)


def test_one_dot_a_case_and_a_tap_opens_it(view):
    dots, session = AnswerDots(view.choice), view.session
    assert dots.other == LABEL
    cases = session.cases.set_index("id")
    table = dots.dots.set_index("id")
    assert set(table.index) == set(cases.index)
    assert ((table["kind"] == "wrong") == cases.loc[table.index, "wrong"]).all()
    assert table["x"].to_numpy() == pytest.approx(cases.loc[table.index, "p"].to_numpy())
    rows = {"benign": 0, "malignant": 1}
    assert (table["y"].round() == cases.loc[table.index, "label"].map(rows)).all()
    dots.other = "record alone"
    table, others = dots.dots.set_index("id"), session.cases_of("record alone").set_index("id")
    wrong = cases.loc[table.index, "wrong"], others.loc[table.index, "wrong"]
    assert (table["kind"].eq("both wrong") == (wrong[0] & wrong[1])).all()
    assert (table["kind"].eq("right on x alone") == (~wrong[0] & wrong[1])).all()
    assert table["y"].to_numpy() == pytest.approx(others.loc[table.index, "p"].to_numpy())
    dots._opened([4])
    assert session.case == dots.dots["id"].iloc[4] and f"Open: **{session.case}**" in dots.note()
    assert "Cases page" not in dots.note(), "a notebook has no other page"


def test_dots_stand_on_their_own_row_where_a_class_between_has_none(view, monkeypatch):
    answers = pd.DataFrame({"label": list("acac"), "predicted": list("aaac")}, index=list("wxyz"))
    answers = answers.assign(**{f"p.{name}": [0.5, 0.3, 0.5, 0.1] for name in ("malignant", *"abc")})
    held = HeldOut("fusion", Task("kind", "multiclass", tuple("abc")), answers, 1)
    dots = AnswerDots(view.choice)
    monkeypatch.setattr(AnswerDots, "found", held)
    table = dots.table().set_index("id")
    assert table["y"].round().to_dict() == {"w": 0, "x": 2, "y": 0, "z": 2}
    assert table.at["w", "y"] != table.at["y", "y"], "one does not hide the other"


def test_a_model_that_is_gone_leaves_the_axis(view):
    dots = AnswerDots(view.choice)
    dots.other = "record alone"
    view.session.model = "record alone"
    assert dots.other == LABEL and dots._drawn[0] == "record alone"


def test_a_cell_leads_to_its_cases_and_is_plain_in_a_notebook(view):
    held = view.choice.answers("fusion")
    square = confusion(held)
    square.index = square.columns = [BOLD, "malignant"]
    square.iloc[0, 1] = 3
    shown = confusion_table(square, lambda label, said: f"cases?label={label}&predicted={said}")
    assert shown.count("<a href") == int((square.to_numpy() > 0).sum())
    assert "<b " not in shown and html.escape(f"cases?label={BOLD}&predicted=malignant") in shown
    plain = confusion_table(square)
    assert "<a " not in plain and f"{square.iloc[0, 0]:,}<br>" in plain
    share = 100 * square.iloc[0, 0] / square.iloc[0].sum()
    assert f"{share:.0f} %" in plain


def test_the_course_of_training_is_drawn(view, tmp_path, runs):
    table = history(view.session.runs["fusion"][0])
    kept = table.loc[table["best"], "epoch"].max()
    shown = drawn(LearningView(view.choice).charts())
    assert f"epoch {kept} of {len(table)} kept" in shown and shown.count("<path") == 3
    shutil.copytree(runs / "fusion", tmp_path / "fusion")
    (tmp_path / "fusion" / "fold-0" / "history.csv").write_text("")
    view = ModelsView(Session(tmp_path))
    assert "python -m studykit run" in LearningView(view.choice).charts().object


def test_all_numbers_can_be_downloaded(view):
    table = view.table()
    assert set(table["model"]) == {*view.choice.models, LOGISTIC}
    assert {"against", "low", "high", "n", "why", "folds", "parameters", "data set"} <= set(table)
    row = table[(table["model"] == "fusion") & (table["against"] == "")].iloc[0]
    assert (row["folds"], row["folds asked"]) == (1, 1) and row["parameters"] > 1000


def test_several_labels_and_a_number_of_one_data_set(two_tasks):
    view = ModelsView(Session(two_tasks, model="long"))
    assert view.__panel__().get_root() is not None
    choice = view.choice
    assert (choice.task, choice.several_tasks, choice.one) == ("signs", ["task"], "effusion")
    held = choice.answers("long")
    board = view.board()
    assert "2 of 2 folds" in drawn(board) and f"{len(held.table)} cases" in drawn(board)
    dots = AnswerDots(view.choice)
    assert set(dots.dots["kind"]) <= {"right", "wrong"} and len(dots.dots) == len(held.labelled)
    choice.one = "nodule"
    assert "nodule" in html.unescape(drawn(view.curves()))
    choice.task = "dose"
    assert choice.one == "" and choice.answers("long").task.kind == "regression"
    computed(view)
    known = choice.answers("long").table["label"].notna().sum()
    assert known < len(held.table) and f"{known} cases" in drawn(view.board())
    assert f"{len(held.table) - known} of the open model's held-out cases have no label" in told(view.board())
    order, numbers = names_in_order(view.board()), view.numbers()
    errors = numbers[(numbers["against"] == "") & (numbers["statistic"] == "mean absolute error")]
    assert order == errors.sort_values("estimate")["model"].tolist(), "the smallest error first"
    mean, low, high = limits_of_agreement(choice.answers("long").errors)
    assert f"{low:.3g} to {high:.3g}" in drawn(view.curves())
    dots.other = ERROR
    held = choice.answers("long")
    table = dots.dots.set_index("id")
    assert table["y"].to_numpy() == pytest.approx(held.errors)
    known, said = held.labelled["label"].astype(float), held.labelled["p.value"]
    assert table["x"].to_numpy() == pytest.approx(((known + said) / 2).to_numpy())
    dots.other = "short"
    assert len(dots.dots) == len(held.labelled)


def test_several_labels_are_right_in_whatever_order_they_stand(two_tasks, tmp_path):
    turned = {"nodule&effusion": "effusion & nodule", "effusion&nodule": "nodule & effusion"}
    shutil.copytree(two_tasks / "long", tmp_path / "long")
    names, wanted, both = [], [], []
    for path in (tmp_path / "long").glob("*/predictions.parquet"):
        table = pd.read_parquet(path)
        table["signs"] = table["signs"].replace(turned)
        table.to_parquet(path)
        for row in table[table["split"] == "test"].itertuples():
            said = {c for c in ("effusion", "nodule") if table.at[row.Index, f"signs.{c}"] >= 0.5}
            known = set(row.signs.split(" & ")) - {""}
            names.append(row.id)
            wanted.append(said != known)
            both.append(len(known) == 2 and said == known)
    assert any(both), "else their order says nothing"
    found = Session(tmp_path).cases.set_index("id")["wrong"]
    assert found[names].tolist() == wanted


def test_models_of_other_cases_stand_apart(volumes, numbers):
    session = Session(volumes)
    view = ModelsView(session)
    choice = view.choice
    assert len(choice.param.about.objects) == 4 and choice.models == [session.model]
    choice.about = list(choice.param.about.objects)[-1]
    assert (
        choice.models == [session.model]
        and choice.answers(session.model).table.index[0] == session.cases["id"][0]
    )
    assert view.__panel__().get_root() is not None
    assert "train others on the same cases" in told(view.board())
    alone = ModelsView(Session(numbers))
    assert alone.__panel__().get_root() is not None and not alone.choice.the_task.classes


def test_drawn_cases_are_compared_by_all_their_settings(runs, tmp_path):
    for name, seed in (("fusion", None), ("image alone", 7)):
        shutil.copytree(runs / name, tmp_path / name, ignore=shutil.ignore_patterns("*.zarr"))
        if seed:
            path = tmp_path / name / "fold-0" / "recipe.json"
            told = json.loads(path.read_text())
            told["dataset"]["seed"] = seed
            path.write_text(json.dumps(told))
    from studykit.training import Run
    from studykit.ui.model_choice import _titles, about

    found = [about(run) for run in find_runs(tmp_path)]
    assert len(set(found)) == 2 and isinstance(find_runs(tmp_path)[0], Run)
    assert sorted(_titles(found)) == ["breast_phantom (seed 0)", "breast_phantom (seed 7)"]


def test_names_are_shown_and_never_run(runs, tmp_path):
    name = "<img src=x onerror=alert(1)> *b*"
    shutil.copytree(runs / "record alone", tmp_path / name)
    path = tmp_path / name / "fold-0" / "recipe.json"
    path.write_text(path.read_text().replace('"name": "record alone"', f'"name": "{name}"'))
    view = computed(ModelsView(Session(tmp_path)))
    shown = drawn(view.board()) + drawn(view.curves())
    assert "<img" not in shown and "&lt;img" in shown


def test_forty_models_stand_in_one_table(runs, tmp_path):
    for k in range(40):
        shutil.copytree(
            runs / "record alone", tmp_path / f"m{k:02d}", ignore=shutil.ignore_patterns("*.zarr")
        )
    view = computed(ModelsView(Session(tmp_path, model="m07")))
    assert len(names_in_order(view.board())) == 41 and len(view.choice.chosen) == 4
    assert view.choice.size("m00") is view.choice.size("m39"), "alike models are counted once"


@pytest.mark.browser
def test_the_models_page(served, browser_page, runs, request):
    page, errors = browser_page, []
    page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: errors.append(str(error)))
    address = served(runs)
    page.goto(f"{address}/models?model=image+alone")
    board = page.get_by_role("region", name="Leaderboard")
    board.get_by_role("row", name=LOGISTIC).wait_for(timeout=60_000)
    page.get_by_role("img", name="ROC of malignant").wait_for()
    page.get_by_text("being computed").wait_for(state="detached")
    if screenshots := request.config.getoption("--screenshots"):
        settled(page)
        page.screenshot(path=screenshots / "models.png")
    before = parse_qs(urlparse(page.url).query).get("case")
    canvas = page.locator("canvas").first
    canvas.scroll_into_view_if_needed()
    assert settled(page).std() > 10, "the dots are blank"
    box = canvas.bounding_box()
    shot = np.asarray(Image.open(io.BytesIO(page.screenshot(clip=box))).convert("RGB")).astype(int)
    dots = np.abs(shot - DOT).max(axis=-1) < 8
    dots[:40] = False  # the legend
    for y, x in np.argwhere(dots)[:: max(1, int(dots.sum()) // 12)].tolist():
        page.mouse.click(box["x"] + x, box["y"] + y)
        page.wait_for_timeout(600)
        if parse_qs(urlparse(page.url).query).get("case") != before:
            break
    page.wait_for_url(lambda url: parse_qs(urlparse(url).query).get("case") != before)
    (case,) = parse_qs(urlparse(page.url).query)["case"]
    page.get_by_text(f"Open: {case}").wait_for()
    assert case in page.get_by_role("link", name="Open on the Cases page").get_attribute("href")
    cell = page.get_by_role("link", name="label malignant, predicted benign")
    cell.focus()
    page.keyboard.press("Enter")
    page.wait_for_url(lambda url: urlparse(url).path == "/cases")
    page.get_by_text("Planted truth").wait_for(timeout=60_000)
    asked = parse_qs(urlparse(cell_address := page.url).query)
    assert asked.get("model") == ["image alone"] and not errors, cell_address
