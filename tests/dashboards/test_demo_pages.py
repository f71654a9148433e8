"""The demo leaves every page filled: its own recipes, of fewer and smaller cases, as the command does it."""

import shutil

import pandas as pd
import pytest

from dashboards.small_demo import build
from studykit.demo import RECIPES
from studykit.explain import store
from studykit.explain.contributions import is_there as has_contributions
from studykit.explain.contributions import read_neighbours
from studykit.explain.gates import is_there as has_gates
from studykit.models import taps
from studykit.quality.quality import read, read_curves
from studykit.study_commands import demo_protocol, simulate_about
from studykit.training import Recipe, find_runs, train
from studykit.ui import AttentionView, CasesView, ContributionView, QualityView, Session, Studies, TrustView
from studykit.ui.cases_view import VIEWS
from studykit.ui.read_cases import BELIEVE, FOLLOW, ready

NAMES = sorted(recipe["name"] for recipe in RECIPES)
EMPTY = "python -m studykit"  # what every empty state tells to run


@pytest.fixture
def session(demo):
    return Session(demo)


def told(viewable):
    given = [getattr(part, name, None) for part in viewable.select() for name in ("object", "label")]
    return "\n".join(text for text in given if isinstance(text, str))


def test_every_model_has_what_pages_read(demo):
    runs = find_runs(demo)
    assert [run.recipe.name for run in runs] == NAMES
    for run in runs:
        methods = {name.split(",")[0] for name in store.methods(run)}
        assert {"integrated_gradients", "occlusion", "random_map"} <= methods
        assert "grad_cam" in methods or run.recipe.name == "breast record alone"
        for name in store.methods(run):
            made = store.ids_of(run, name, {"spec": store.read(run, name, []).spec})
            assert set(made) == set(run.test_ids) or name.split(",")[0] in ("random_map", "edge_map")
        assert has_contributions(run) and len(read_neighbours(run)["measure"].unique()) == 10
        assert read(run)["case"].nunique() == 3 and len(read_curves(run))
        assert {"relevance_mass", "deletion", "insertion", "degradation", "randomisation"} <= set(
            read(run)["score"]
        )
        assert has_gates(run) == bool(taps(run.model()))
    assert {"attention", "class_evidence"} <= {name.split(",")[0] for name in store.methods(runs[0])}


def test_pages_open_with_the_model_that_has_something_everywhere(session):
    assert session.model == "breast fusion, gated" and session.explanation is not None
    assert "of these cases" not in told(AttentionView(session).__panel__())


@pytest.mark.parametrize("model", NAMES)
def test_no_page_says_what_to_run(session, model):
    session.model = model
    quality = QualityView(session)
    views = [AttentionView(session), ContributionView(session), quality, quality.curves]
    views += [CasesView(session, view=name) for name in VIEWS]
    for view in views:
        text = told(view.__panel__())
        assert EMPTY not in text and len(text) > 100, f"{type(view).__name__}: {text}"


def test_the_trust_page_has_readers_of_the_first_model(demo, session):
    studies = Studies(folder=demo)
    assert studies.found.simulated and session.model in studies.found.title
    for part in TrustView(studies, session).param.part.objects:
        text = told(TrustView(studies, session, part=part).__panel__())
        assert EMPTY not in text and "no reader study" not in text, f"{part}: {text}"


@pytest.fixture
def mistaken(demo, tmp_path):
    """A demo of one model, which is often wrong: so little was it trained."""
    name = "breast image alone"
    shutil.copytree(demo / name, tmp_path / name)
    simulate_about(tmp_path, str(tmp_path / "ratings.sqlite"))
    return Session(tmp_path)


def test_some_readers_trust_a_wrong_prediction(mistaken):
    found, cases = ready(mistaken), mistaken.cases
    assert found[FOLLOW] and found[BELIEVE]
    assert found[BELIEVE] <= set(cases.loc[cases["wrong"], "id"])


def test_what_the_model_got_wrong_is_read(mistaken):
    cases = mistaken.cases
    wrong = cases[cases["wrong"]]
    protocol = demo_protocol(mistaken.folder, cases=6)
    assert len(set(protocol.cases) & set(wrong["id"])) == wrong["label"].value_counts().clip(upper=3).sum()
    assert 0 < len(wrong) < len(cases) and set(demo_protocol(mistaken.folder).cases) == set(cases["id"])
    assert protocol.conditions[-1].method == "grad_cam,of=predicted"
    assert protocol.conditions[-1].name == "prediction and grad_cam"


def test_what_stands_is_kept_and_what_is_missing_comes_back(demo, tmp_path):
    def stamps():
        return {path: path.stat().st_mtime_ns for path in folder.glob("*/**/*") if path.is_file()}

    folder = shutil.copytree(demo, tmp_path / "demo", ignore=shutil.ignore_patterns("ratings*"))
    before = stamps()
    build(folder)
    assert stamps() == before and (folder / "ratings.sqlite").is_file()
    gated, *_, chest = find_runs(folder)
    for gone in ("attention.parquet", "quality.parquet"):
        next((chest if "quality" in gone else gated).folder.glob(gone)).unlink()
    table = pd.read_parquet(gated.folder / "quality.parquet")
    build(folder)
    assert has_gates(gated) and read(chest)["case"].nunique() == 3
    pd.testing.assert_frame_equal(read(gated), table)
    changed = {path for path, stamp in stamps().items() if before.get(path) != stamp}
    assert {path.parent for path in changed} == {gated.folder, chest.folder} and len(changed) >= 4


@pytest.mark.parametrize("recipe", RECIPES[2:], ids=lambda recipe: recipe["name"])
def test_the_models_learn(recipe, tmp_path):
    """As the demo trains them. The two that take 20 s each are left out: the demo prints what they reach."""
    table = train(Recipe.from_json(recipe), tmp_path, tell=lambda sentence: None)
    row = table[(table["statistic"] == "AUROC") & (table["group"] == recipe["name"])].iloc[0]
    assert row["low"] > 0.6, f"AUROC {row['estimate']:.2f}, from {row['low']:.2f}"
