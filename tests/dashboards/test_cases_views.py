"""One case, all its maps, two models, two cases: the same case in all of them, whatever is switched to."""

import shutil

import numpy as np
import pytest

from dashboards.seen import frames, seen
from studykit.explain import explain, store
from studykit.training import find_runs
from studykit.ui import AttentionView, CasesView, CaseView, ContributionView, GalleryView, Session
from studykit.ui.cases_view import VIEWS
from studykit.ui.scans import BARE, MAXIMUM
from studykit.ui.two_cases_view import TwoCasesView
from studykit.ui.two_models_view import APART, OTHER, THIS, TwoModelsView


@pytest.fixture(scope="module")
def mixed(runs, volumes, numbers, tmp_path_factory):
    """Runs on pictures, volumes, texts and tables in one folder."""
    out = tmp_path_factory.mktemp("mixed")
    for name, folder in (("images", runs), ("volumes", volumes), ("numbers", numbers)):
        shutil.copytree(folder, out / name)
    return out


@pytest.mark.parametrize(
    "kind", [CaseView, GalleryView, TwoModelsView, TwoCasesView, AttentionView, ContributionView]
)
def test_every_view_goes_from_any_kind_of_case_to_any_other(kind, mixed):
    session = Session(mixed)
    kind(session).__panel__().get_root()
    heard = []
    session.param.watch(lambda event: heard.append(event.new[0]), "shown")  # not told if the view fails
    models = list(session.runs)
    for model in [*models, *models[::-1], *models[::2]]:
        session.model = model
        assert session.shown[0] == model and heard[-1:] in ([], [model])
        session.case = session.cases["id"].iloc[1]


def test_the_difference_is_of_both_maps_in_units_of_their_scales(runs):
    session = Session(runs, model="fusion")
    session.method = "grad_cam"
    view = TwoModelsView(session, against="image alone")
    view.__panel__().get_root()
    told = {name[1]: one for (_, name), one in frames(view).items() if name != BARE}
    one, two = (session.laid(session.run_of(name), "grad_cam", "image") for name in ("fusion", "image alone"))
    wanted = one[0] / one[2] - two[0] / two[2]
    assert told[APART].ends == (-1.0, 1.0)
    assert np.abs(told[APART].map - np.clip(wanted, -1, 1)).max() <= 0.51 * 2 / 256
    assert (told[THIS].title, told[OTHER].title) == ("fusion", "image alone")
    assert "image alone" in view.numbers() and "probability of malignant" in view.numbers()
    view.against = "record alone"
    told = {name[1]: one for (_, name), one in frames(view).items() if name != BARE}
    assert told[APART].map is None and "There is no map of record alone" in view.note()


def test_no_difference_of_maps_for_different_classes(runs, tmp_path):
    copy = shutil.copytree(runs, tmp_path / "runs")
    for run in find_runs(copy):
        if run.about["name"] != "record alone":
            explain(run, "grad_cam", of="predicted")
    session = Session(copy, model="fusion")
    session.method = "grad_cam,of=predicted"
    both = session.cases_of("image alone").set_index("id")["predicted"]
    own = session.cases.set_index("id")["predicted"]
    (apart, *_), (alike, *_) = own.index[own != both.loc[own.index]], own.index[own == both.loc[own.index]]
    view = TwoModelsView(session, against="image alone")
    view.__panel__().get_root()
    for case, drawn in ((apart, False), (alike, True), (apart, False)):
        session.case = case
        maps = {name[1]: one.map for (_, name), one in frames(view).items() if name != BARE}
        assert (maps[APART] is not None) == drawn and maps[THIS] is not None and maps[OTHER] is not None
        assert ("different classes" in view.note()) != drawn


def test_two_cases_are_seen_by_one_model_and_method(runs, tmp_path):
    session = Session(shutil.copytree(runs, tmp_path / "runs"), model="fusion")
    view = TwoCasesView(session)
    view.__panel__().get_root()
    session.method = "grad_cam"
    view.beside = session.cases["id"].iloc[6]
    assert (view.other.model, view.other.method, view.other.case) == ("fusion", "grad_cam", view.beside)
    left, right = (frames(one)[0, BARE].picture for one in view.views)
    assert np.array_equal(
        right, np.round(session.run.prepared.dataset.picture(view.beside, "image")[0] * 255)
    )
    assert not np.array_equal(left, right)
    explain(session.run, "gradient_x_input")
    session.refresh()
    session.method = "gradient_x_input"
    assert view.other.method == "gradient_x_input"
    session.model = "image alone"
    assert view.other.model == "image alone"


def test_a_maximum_is_of_the_maps_that_are_shown_now(volumes):
    session = Session(volumes, model="chest")
    run = session.run
    view = GalleryView(session)
    view.__panel__().get_root()
    view.through = MAXIMUM
    view.methods = ["grad_cam"]
    one = frames(view)[0, ("chest", "grad_cam")].map
    made = store.read(run, "grad_cam", [session.case]).maps["volume"][0].sum(axis=0)
    assert np.abs(one - made.max(axis=0)).max() <= 0.02 * made.max() + 1e-6


def test_only_what_is_open_is_drawn_and_each_view_once(runs):
    session = Session(runs, model="fusion")
    view = CasesView(session)
    view.__panel__().get_root()
    made = {}
    for name in [*VIEWS, *VIEWS, *VIEWS]:
        view.view = name
        one, shown = view.opened()
        assert made.setdefault(name, (one, shown)) == (one, shown) and one.looked_at
    gallery, case = view._made["all maps"][0], view._made["one case"][0]
    view.view = "one case"
    before = seen(gallery._drawn["frames"].figures[BARE]).picture
    session.case = session.cases["id"].iloc[9]
    assert np.array_equal(before, seen(gallery._drawn["frames"].figures[BARE]).picture), "it stands still"
    view.view = "all maps"
    now = seen(gallery._drawn["frames"].figures[BARE]).picture
    assert np.array_equal(now, np.round(session.scan("image")[0][0] * 255)) and not case.looked_at


def test_what_is_compared_follows_the_page_and_the_view(runs):
    view = CasesView(Session(runs, model="fusion"), against="record alone", view="two models")
    made = view.opened()[0]
    assert made.against == "record alone"
    made.against = "image alone"
    assert view.against == "image alone"
    view.against = "record alone"
    assert made.against == "record alone"
    view.against = "gone"
    assert made.against == "record alone"


def test_a_method_of_some_cases_only_says_so_in_the_others(runs, tmp_path):
    copy = shutil.copytree(runs / "fusion", tmp_path / "fusion")
    (run,) = find_runs(copy)
    explain(run, "gradient_x_input", ids=run.test_ids[:1])
    session = Session(tmp_path)
    session.method = "gradient_x_input"
    view = CaseView(session)
    session.case = run.test_ids[0]
    assert "orange speaks for it" in view.note()
    session.case = run.test_ids[3]
    assert "does not stand here for this case" in view.note() and "--methods gradient_x_input" in view.note()
    gallery = GalleryView(session, methods=["gradient_x_input"])
    assert "Nothing explains" not in gallery.note()


def test_names_in_notes_are_shown_and_never_run(runs, tmp_path):
    copy = shutil.copytree(runs, tmp_path / "runs")
    for run in find_runs(copy):
        folder = run.folder / store.FILE
        if (folder / "grad_cam").is_dir():
            shutil.copytree(folder / "grad_cam", folder / "grad_cam,x=<img src=q onerror=alert(1)>")
    session = Session(copy, model="fusion")
    session.method = "grad_cam,x=<img src=q onerror=alert(1)>"
    for kind in (CaseView, TwoModelsView, GalleryView):
        assert "<img" not in kind(session).note()
