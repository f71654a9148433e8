"""The case view where cases hold volumes, or several pictures and tasks."""

import shutil
import time

import numpy as np
import panel_material_ui as pmui
import pytest
from bokeh.document import Document
from bokeh.document.events import ColumnDataChangedEvent
from bokeh.plotting import figure as Figure

from dashboards.conftest import SETS
from dashboards.seen import seen
from studykit.catalog import build
from studykit.explain import Explainer, explain, store
from studykit.training import Recipe, find_runs, train
from studykit.ui import CaseView, Session
from studykit.ui.plain import safe
from studykit.ui.scans import BARE, MAXIMUM, SLICE


@pytest.fixture
def view(volumes):
    view = CaseView(Session(volumes, model="chest"))
    view.root = view.__panel__().get_root()
    return view


def shown(view, modality, mapped):
    """What stands on the screen."""
    if modality not in view._drawn:
        view.pictures()
    return seen(view._drawn[modality].figures[modality if mapped else BARE])


def slider(view):
    return view.__panel__().select(pmui.IntSlider)[0]


def test_each_slice_of_picture_outline_and_map_is_that_of_the_volume(view):
    session = view.session
    volume, mask = session.scan("volume")
    found = session.explanation.maps["volume"][0].sum(axis=0)
    ends = set()
    for number in range(1, 9):
        view.slice = number
        under, bare = shown(view, "volume", True), shown(view, "volume", False)
        for told in (under, bare):
            assert np.array_equal(told.picture, np.round(volume[0, number - 1] * 255))
        low, high = under.ends
        step, wanted = (high - low) / 256, np.clip(found[number - 1], low, high)
        assert np.abs(under.map - wanted).max() <= 0.51 * step, "a colour is the nearest of 256"
        assert bare.title == f"volume and reference outline, slice {number} of 8" and bare.map is None
        assert bool(bare.outline) == mask[number - 1].any()
        ends.add(under.ends)
    assert len(ends) == 1 and np.abs(found).max() > 0


def test_the_maximum_looks_through_the_whole_volume(view):
    session = view.session
    volume, mask = session.scan("volume")
    found = session.explanation.maps["volume"][0].sum(axis=0)
    view.through = MAXIMUM
    told = shown(view, "volume", True)
    assert np.array_equal(told.picture, np.round(volume[0].max(axis=0) * 255))
    at = np.abs(found).argmax(axis=0)
    wanted = np.take_along_axis(found, at[None], axis=0)[0]
    low, high = told.ends
    assert np.abs(told.map - np.clip(wanted, low, high)).max() <= 0.51 * (high - low) / 256
    assert shown(view, "volume", False).title == "volume and reference outline, maximum"
    view.through = SLICE
    assert np.array_equal(shown(view, "volume", True).picture, np.round(volume[0, view.slice - 1] * 255))


def test_a_case_opens_where_most_of_its_finding_is(view):
    for case in view.session.cases["id"]:
        view.session.case = case
        area = view.session.scan("volume")[1].sum(axis=(1, 2))
        assert area[view.slice - 1] == area.max() > 0


def test_a_case_without_an_outline_opens_in_the_middle(view, monkeypatch):
    empty = {"volume": (np.zeros((1, 8, 32, 32), np.float32), np.zeros((8, 32, 32), bool))}
    monkeypatch.setattr(Session, "scan", lambda self, name: empty[name])
    view.session.case = view.session.cases["id"].iloc[2]
    assert view.slice == 4


def test_a_new_method_keeps_the_slice_and_a_new_case_does_not(view):
    session = view.session
    start = view.slice
    view.slice = 8 if start != 8 else 1
    moved = view.slice
    session.method = "grad_cam"
    assert view.slice == moved
    session.case = session.cases["id"].iloc[1]
    session.case = session.cases["id"].iloc[0]
    assert view.slice == start


def test_volumes_of_different_depth_move_together(volumes):
    view = CaseView(Session(volumes, model="two chests"))
    assert view.param["slice"].bounds == (1, 14)
    for number, titles in ((1, ("1 of 8", "1 of 14")), (14, ("8 of 8", "14 of 14")), (7, ("4 of 8", "7 of"))):
        view.slice = number
        for name, title in zip(("first", "second"), titles, strict=True):
            assert title in shown(view, name, False).title


def test_the_slider_is_there_only_for_volumes(runs, volumes, view):
    assert slider(view).visible and (slider(view).start, slider(view).end) == (1, 8)
    assert not slider(CaseView(Session(runs))).visible
    widget = slider(view)
    view.session.model = "two chests"
    assert widget.end == 14


def test_a_picture_beside_a_volume_does_not_move(volumes):
    view = CaseView(Session(volumes, model="volume and picture"))
    before = shown(view, "second", True).map
    view.slice = 1 if view.slice > 1 else 2
    assert np.array_equal(before, shown(view, "second", True).map)
    assert [name for name, _ in view._pictures] == ["first", "second"]


def test_the_zoom_outlasts_a_new_slice_and_a_new_case(view):
    ranges = next(iter(view.root.select({"type": Figure}))).x_range
    ranges.start, ranges.end = 0.25, 0.5
    view.slice = 1 if view.slice > 1 else 2
    view.session.case = view.session.cases["id"].iloc[3]
    assert (ranges.start, ranges.end) == (0.25, 0.5)


def test_models_of_pictures_and_of_volumes_follow_each_other(runs, volumes, tmp_path):
    for name, folder in (("images", runs), ("volumes", volumes)):
        shutil.copytree(folder, tmp_path / name)
    session = Session(tmp_path)
    view = CaseView(session)
    root = view.__panel__().get_root()
    for model in [*session.runs, session.model]:
        session.model = model
        assert view.note() and view.heading()
        assert len(list(root.select({"type": Figure}))) >= 2 * len(view._pictures)


def test_a_head_of_the_second_task_names_its_class(volumes, tmp_path):
    session = Session(shutil.copytree(volumes / "two chests", tmp_path / "two chests"))
    view, run = CaseView(session), session.run
    row = run.predictions.set_index("id").loc[session.case]
    for task in ("first_nodule", "second_nodule"):
        said = f"{safe(task)} **{row[task]}** · predicted **{row[f'{task}.predicted']}**"
        assert said in view.heading()
    assert "for first_nodule: malignant" in shown(view, "first", True).title
    explainer = build(Explainer, {"name": "grad_cam", "relu": False})
    second = explainer(run.model(), run.prepared.load(run.test_ids), "second_nodule")
    store.write(run, "grad_cam,relu=False", second)
    session = Session(session.folder)
    session.method = "grad_cam,relu=False"
    view = CaseView(session)
    assert "for second_nodule: malignant" in shown(view, "first", True).title


def test_a_head_beside_the_main_one_names_its_tasks_class(volumes, tmp_path):
    recipe = {"name": "late", "dataset": SETS["chest"], "model": "late", "folds": 3, "only": [0]}
    train(Recipe.from_json({**recipe, "training": {"epochs": 1}}), tmp_path)
    run = find_runs(tmp_path)[0]
    head = next(head.name for head in run.model().heads if head.name != "nodule")
    explainer = build(Explainer, "grad_cam")
    store.write(run, "grad_cam", explainer(run.model(), run.prepared.load(run.test_ids), head))
    view = CaseView(Session(tmp_path))
    assert "for malignant" in shown(view, "volume", True).title and view.note()


def test_a_model_of_one_picture_out_of_two_says_so(tmp_path):
    model = {"name": "alone", "modality": "first"}
    recipe = {"name": "one", "dataset": SETS["volume and picture"], "model": model, "folds": 3, "only": [0]}
    train(Recipe.from_json({**recipe, "training": {"epochs": 1}}), tmp_path)
    explain(find_runs(tmp_path)[0], "grad_cam")
    view = CaseView(Session(tmp_path))
    assert view.note().startswith("Grad-CAM: where")
    assert view.note().endswith("This model does not look at the second, so it has no map.")
    assert shown(view, "second", True).title == "no map of the second"


def test_a_step_sends_one_slice_of_picture_and_map_as_bytes(view):
    doc, sent = Document(), []
    doc.add_root(view.pictures().get_root(doc))

    def note(event):
        if isinstance(event, ColumnDataChangedEvent):
            sent.extend(one for column in event.model.data.values() for one in column if one.size > 1)

    doc.on_change(note)
    view.slice = 1 if view.slice > 1 else 2
    pictures = [one for one in sent if one.ndim == 2]
    assert [one.shape for one in pictures] == [(32, 32)] * 2
    assert sum(one.nbytes for one in pictures) == 2 * 32 * 32


def test_a_slice_is_shown_in_milliseconds(view):
    spent = []
    for number in [*range(1, 9)] * 2:
        start = time.process_time()
        view.slice = number
        spent.append(time.process_time() - start)
    assert np.median(spent) < 0.04  # 0.005 where it was measured
