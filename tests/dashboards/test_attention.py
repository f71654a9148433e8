"""The Attention page: its numbers against the tables, its empty states, and in real Chromium."""

import shutil
from types import SimpleNamespace
from urllib.parse import parse_qs, urlparse

import numpy as np
import pandas as pd
import panel as pn
import pytest

from dashboards.test_browser import settled
from studykit.explain import explain
from studykit.explain.gates import FILE, gates, read_gates
from studykit.models import taps
from studykit.training import Recipe, find_runs, train
from studykit.ui import AttentionView, Session
from studykit.ui.gates_view import ALL, HARM, MORE, NONE, scored, verdict

SMALL = {"name": "breast_phantom", "count": 60, "size": 32}


@pytest.fixture(scope="module")
def gated(runs, tmp_path_factory):
    """A model with a gate whose attention is drawn, the same without its tables, and one with no gate."""
    out = tmp_path_factory.mktemp("attention") / "runs"
    recipe = {
        "dataset": SMALL,
        "model": {"name": "attention_gate", "receptive_field": 17},
        "folds": 3,
        "only": [0, 1],
    }
    train(Recipe.from_json({"name": "gate", **recipe, "training": {"epochs": 2}}), out)
    shutil.copytree(out / "gate", out / "unread")
    for path in (out / "unread").glob("*/recipe.json"):
        path.write_text(path.read_text().replace('"name": "gate"', '"name": "unread"'))
    shutil.copytree(runs / "fusion", out / "fusion")
    for run in find_runs(out / "gate"):
        gates(run, resamples=100)
    explain(find_runs(out / "gate")[0], "attention")
    return out


@pytest.fixture
def view(gated):
    return AttentionView(Session(gated, model="gate"))


@pytest.fixture
def stored(gated):
    return {run.fold: read_gates(run) for run in find_runs(gated / "gate")}


def told(viewable):
    given = [getattr(part, "object", None) for part in viewable.select()]
    return "\n".join(text for text in given if isinstance(text, str))


def test_the_first_fold_shown_is_the_one_that_held_the_case_out(view):
    assert view.gates.fold == view.session.run.fold and view.gates.param.fold.objects == [0, 1]


def test_every_tap_is_told_with_what_it_says_and_passes(view, stored, gated):
    view.gates.fold = 1
    rows, found = view.gates.passing().set_index("tap"), stored[1].coefficients
    modules = taps(find_runs(gated / "gate")[1].model())
    assert list(rows.index) == list(modules)
    for name, tap in modules.items():
        means = found.loc[found["tap"] == name, "mean"]
        assert rows.at[name, "what it says"] == tap.says
        assert rows.at[name, "mean over cases"] == f"{np.mean(means):.3f}"
        assert rows.at[name, "sd between cases"] == f"{np.std(means, ddof=1):.3f}"
    weighing = [name for name, tap in modules.items() if tap.weighs]
    assert weighing and "image" in rows.at[weighing[0], "weighs"]


def test_the_dots_are_the_cases_and_open_them(view, stored):
    gates = view.gates
    gates.spreads()
    found = stored[gates.fold].coefficients
    found = found[found["tap"] == gates.tap].set_index("id")
    assert gates.dots["mean"].is_monotonic_increasing and set(gates.dots["id"]) == set(found.index)
    assert gates.dots.set_index("id")["sd"].to_dict() == pytest.approx(found["sd"].to_dict())
    cases = view.session.cases.set_index("id").loc[gates.dots["id"]]
    assert (gates.dots["kind"] == "wrong").tolist() == cases["wrong"].tolist()
    gates._open([2])
    assert view.session.case == gates.dots["id"].iloc[2]
    ring = gates._ring(view.session.shown)
    assert ring["place"][0] == 2 and ring["mean"][0] == pytest.approx(gates.dots["mean"].iloc[2])


def test_the_ablation_is_that_of_the_table(view, stored):
    rows, table = scored(stored[0].ablation), stored[0].ablation
    view.gates.fold = 0
    assert view.gates.ablation().object["score"].tolist() == table["statistic"].tolist()
    assert rows["as it is"].tolist() == [f"{value:.3f}" for value in table["score"]]
    for said, row in zip(rows["change (95 % interval)"], table.itertuples(), strict=True):
        change = row.score_held - row.score
        assert said.startswith(f"{round(change, 3) + 0.0:.3f} (") and row.difference == pytest.approx(-change)


def test_each_gate_has_a_sentence_a_person_understands(view, stored):
    text, table = view.gates.verdicts(), stored[view.gates.fold].ablation
    assert text.count("held constant (the same for every case)") == table["tap"].nunique()
    assert text.count("AUROC changes by") == table.groupby(["tap", "held"]).ngroups
    row = table[(table["statistic"] == "AUROC")].iloc[0]
    number = f"AUROC changes by {round(-row['difference'], 3) + 0.0:.3f} ("
    assert number in text and f"On average the probability moves by {row['change']:.3f}" in text


@pytest.mark.parametrize(
    ("statistic", "low", "high", "said"),
    [
        ("AUROC", 0.01, 0.2, MORE), ("AUROC", -0.1, 0.2, NONE), ("AUROC", -0.2, -0.1, HARM),
        ("Brier score", -0.2, -0.1, MORE), ("Brier score", 0.1, 0.2, HARM), ("Brier score", -0.1, 0.1, NONE),
        ("AUROC", np.nan, np.nan, "no interval, so nothing is said"),
    ],
)  # fmt: skip
def test_what_is_lost_is_told_from_the_interval(statistic, low, high, said):
    assert verdict(SimpleNamespace(statistic=statistic, low=low, high=high)) == said


def test_all_folds_stand_beside_each_other(view, stored):
    square = next(part.object for part in view.gates.folds().select(pn.pane.DataFrame))
    assert {"fold 0", "fold 1"} <= set(square.columns)
    first = stored[1].ablation
    first = first[first["statistic"] == first["statistic"].iloc[0]].set_index(["tap", "held"])
    tap, change = first.index[0][0], -first["difference"].iloc[0]
    said = square[(square["tap"] == tap) & (square["way"] == "the same for every case")]["fold 1"].iloc[0]
    assert said.startswith(f"{round(change, 3) + 0.0:.3f}")


def test_the_case_stands_under_its_attention_or_says_what_to_run(view, gated):
    case, session = view.case, view.session
    in_fold = session.cases.set_index("fold")["id"]
    session.case = in_fold.loc[0].iloc[0]
    assert case.method == "attention" and "for whichever class" in case.note()
    values, signed, _ = case.map_of("image")
    assert values.shape == (32, 32) and not signed and 0 <= values.min() <= values.max() <= 1.001
    session.case = in_fold.loc[1].iloc[0]
    assert case.method == "" and case.map_of("image") is None
    assert f"`python -m studykit explain {gated} --methods attention`" in case.note()


def test_gates_that_were_not_read_say_what_to_run(view, gated):
    view.session.model = "unread"
    assert f"`python -m studykit quality {gated} --attention`" in view.gates.empty()
    assert not view.gates.there() and view.gates.verdicts() == ""
    assert view.__panel__().get_root() is not None


def test_a_model_without_gates_says_which_have_some(view):
    view.session.model = "fusion"
    assert (
        "'fusion' has no gates and no attention; of this folder, gate and unread have" in view.gates.empty()
    )
    view.session.model = "gate"
    assert view.gates.empty() == "" and view.gates.there()


def test_gates_of_old_weights_are_none(gated, tmp_path):
    copy = shutil.copytree(gated / "gate", tmp_path / "old")
    for weights in copy.glob("*/weights.safetensors"):
        weights.write_bytes(weights.read_bytes()[:-1] + b"\x07")
    assert "were not read yet" in AttentionView(Session(copy)).gates.empty()


def test_what_cannot_be_told_says_why(view):
    row = {"tap": ALL, "held": "one number", "statistic": "AUROC", "change": 0.1, "why": "one class"}
    said = view.gates._verdict(SimpleNamespace(**row, difference=np.nan, low=np.nan, high=np.nan))
    assert said.startswith("All taps together, held constant (one number everywhere)") and "one class" in said


def test_names_are_shown_and_never_run(gated, tmp_path):
    name = "<img src=x onerror=alert(1)> *b*"
    shutil.copytree(gated / "gate", tmp_path / name)
    for path in (tmp_path / name).glob("*/recipe.json"):
        path.write_text(path.read_text().replace('"name": "gate"', f'"name": "{name}"'))
    for path in (tmp_path / name).glob(f"*/{FILE}"):
        path.unlink()
    gates = AttentionView(Session(tmp_path)).gates
    assert "<img" not in gates.empty() and "&lt;img" in gates.empty() and "*b*" not in gates.empty()
    row = {"tap": name, "held": "one number", "statistic": "AUROC", "change": 0.1, "why": name}
    said = gates._verdict(SimpleNamespace(**row, difference=np.nan, low=np.nan, high=np.nan))
    assert "<img" not in said


def test_the_view_works_alone_in_a_notebook_cell(view):
    assert "text/html" in view._repr_mimebundle_()[0]
    assert isinstance(view.gates.passing(), pd.DataFrame) and view.gates.__panel__().get_root() is not None


@pytest.mark.browser
def test_the_attention_page(served, browser_page, gated, stored, request):
    page, errors = browser_page, []
    page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: errors.append(str(error)))
    session = Session(gated, model="gate")
    page.goto(f"{served(gated)}/attention?model=gate&case={session.case}")
    page.get_by_text("held constant (the same for every case)").first.wait_for(timeout=60_000)
    page.locator("canvas").first.wait_for()
    settled(page)
    row = stored[session.run.fold].ablation.iloc[0]
    page.get_by_text(f"{row['score_held']:.3f}").first.wait_for()
    if screenshots := request.config.getoption("--screenshots"):
        page.screenshot(path=screenshots / "attention.png")
    page.get_by_role("combobox", name="Model").first.click()
    page.get_by_role("menuitem", name="fusion").click()
    page.get_by_text("has no gates and no attention").wait_for()
    settled(page)
    page.wait_for_url(lambda url: parse_qs(urlparse(url).query).get("model") == ["fusion"])
    assert not errors
