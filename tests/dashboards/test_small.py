"""The small views: plain widgets that show the case wherever ipywidgets are shown."""

import base64
import io
import re
import time

import numpy as np
import pytest
from PIL import Image

from studykit.draw.pixels import composed
from studykit.ui.scans import MAXIMUM
from studykit.ui.session import Session
from studykit.ui.small import _Small, small_view
from studykit.ui.takeaway import PHANTOM


@pytest.fixture
def small(runs):
    return _Small(Session(runs, model="fusion"))


def pixels(small):
    """The picture that is shown."""
    data = re.search(r'<img src="data:image/png;base64,([^"]+)" [^>]*alt="[^"]+, of ', small.picture.value)[1]
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(data))))


def test_the_picture_is_the_case_under_its_map(small):
    session = small.session
    values, mask = session.scan("image")
    found = session.explanation.maps["image"][0].sum(axis=0)
    laid = (found, session.explanation.signed["image"], session.limit("image"))
    assert (pixels(small) == composed(values, mask, laid, 0.7)).all()
    small.opacity.value = 0
    assert (pixels(small) == composed(values, mask)).all()
    assert PHANTOM in small.said.value and session.case in small.said.value and "label" in small.said.value
    assert session.case in small.picture.value and "added to the logit" in small.picture.value


def test_what_is_moved_changes_the_picture_and_the_text(small):
    session, seen = small.session, []

    def changed():
        seen.append((small.picture.value, small.said.value, small.note.value))
        return len(set(seen)) == len(seen)

    assert changed()
    small.case.value = session.cases["id"].iloc[3]
    assert changed() and session.case == session.cases["id"].iloc[3] and session.case in small.said.value
    small.method.value = "grad_cam"
    assert changed() and session.method == "grad_cam" and "Grad-CAM" in small.note.value
    small.opacity.value = 0.2
    assert changed()
    small.model.value = "image alone"
    assert changed() and session.model == "image alone" and small.method.value == session.method
    small.after.click()
    assert changed() and session.case == small.case.value == session.cases["id"].iloc[4]
    small.before.click()
    small.before.click()
    assert session.case == session.cases["id"].iloc[2]


def test_it_goes_round_and_follows_the_session(small):
    session = small.session
    cases = session.cases["id"].tolist()
    session.case = cases[0]
    assert small.case.value == cases[0]
    small.before.click()
    assert small.case.value == cases[-1] == session.case
    session.model = "record alone"
    assert small.model.value == "record alone" and "no map" in small.picture.value
    assert "does not look at the image" in small.note.value


def test_volumes_have_slices_and_a_maximum(volumes):
    small = _Small(Session(volumes, model="chest"))
    assert small.slice.max == 8 and small.slice.layout.display is None
    first = pixels(small)
    small.slice.value = 8 if small.slice.value < 5 else 1
    assert (pixels(small) != first).any() and f"slice {small.slice.value} of 8" in small.picture.value
    small.through.value = MAXIMUM
    assert small.slice.layout.display == "none" and "maximum" in small.picture.value
    values, mask = small.session.scan("volume")
    small.opacity.value = 0
    assert (pixels(small) == composed(values.max(axis=1), mask.any(axis=0))).all()
    small.model.value = "two chests"
    assert list(small.modality.options) == ["first", "second"] and small.slice.max == 14
    first = pixels(small)
    small.modality.value = "second"
    assert pixels(small).shape != first.shape or (pixels(small) != first).any()


def test_tables_alone_have_sentences(numbers):
    small = _Small(Session(numbers))
    assert "These cases have no pictures" in small.picture.value and "predicted" in small.said.value
    assert small.model.layout.display is None is small.case.layout.display
    assert small.opacity.layout.display == small.slice.layout.display == "none"
    before = small.said.value
    small.after.click()
    assert small.said.value != before


def test_names_stay_text(small, monkeypatch):
    monkeypatch.setattr(
        type(small.session.run.prepared.dataset), "planted", lambda *_: "<img src=x onerror=y> [a](b)"
    )
    small.after.click()
    assert "<img" not in small.said.value and "<a" not in small.said.value
    assert "&lt;img src=x onerror=y&gt;" in small.said.value


def test_a_moved_opacity_costs_milliseconds(small):
    spent = []
    for opacity in np.linspace(0, 1, 15):
        start = time.process_time()
        small.opacity.value = float(opacity)
        spent.append(time.process_time() - start)
    assert np.median(spent) < 0.05  # 0.008 where it was measured


def test_the_view_is_of_ipywidgets_alone(small):
    def inside(widget):
        return [widget, *(part for child in getattr(widget, "children", ()) for part in inside(child))]

    parts = inside(small_view(small.session))
    assert len(parts) > 12 and {part._view_module for part in parts} == {"@jupyter-widgets/controls"}
