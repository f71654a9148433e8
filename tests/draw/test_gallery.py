import holoviews as hv
import numpy as np
import pytest

from studykit.draw import gallery, mapped, pictured
from studykit.draw.gallery import SHOWN, shrunk

RNG = np.random.default_rng(0)
SCAN = RNG.random((1, 500, 380))
MASK = np.zeros((500, 380), dtype=bool)
MASK[100:200, 50:90] = True


def parts(frame, kind):
    return [element for element in frame if isinstance(element, kind)]


def look(element, kind):
    return hv.Store.lookup_options("bokeh", element, kind).kwargs


def test_what_is_larger_than_it_is_shown_is_sent_as_means_over_blocks():
    found = shrunk(SCAN, 190)
    assert found.shape == (1, 190, 190)
    rows, columns = ([at * n // 190 for at in range(190)] + [n] for n in (500, 380))
    for i, j in [(0, 0), (7, 189), (189, 100), (64, 3)]:
        block = SCAN[0, rows[i] : rows[i + 1], columns[j] : columns[j + 1]]
        assert found[0, i, j] == pytest.approx(sum(block.ravel()) / block.size)
    small = RNG.random((3, 20, 190))
    assert shrunk(small, 190) is small, "what is small enough stays as it is"


def test_pictures_are_bytes_maps_are_float32_and_the_whole_is_light():
    over = RNG.normal(size=(500, 380))
    drawn = gallery(SCAN, {"Grad-CAM": (over, False, 2.0), "Gradient": (over, True, 3.0)}, MASK)
    assert [look(frame, "plot")["title"] for frame in drawn] == [
        "picture and reference outline", "Grad-CAM", "Gradient",
    ]  # fmt: skip
    arrays = [image.data for frame in drawn for image in parts(frame, hv.Image)[:1]]
    maps = [parts(frame, hv.Image)[1].data for frame in list(drawn)[1:]]
    assert all(array.dtype == np.uint8 and max(array.shape) <= SHOWN for array in arrays)
    assert all(values.dtype == np.float32 and max(values.shape) <= SHOWN for values in maps)
    assert sum(array.nbytes for array in (*arrays, *maps)) < 450_000


def test_all_frames_are_zoomed_together_and_as_large():
    drawn = gallery(SCAN, {"Grad-CAM": (np.ones((500, 380)), False, 1.0)}, MASK)
    plot = hv.render(drawn)
    figures = [child[0] for child in getattr(plot, "children", [])]
    assert len({figure.x_range.id for figure in figures}) == len({f.y_range.id for f in figures}) == 1
    assert {figure.frame_width for figure in figures} == {SHOWN} and len(figures) == 2


def test_each_map_keeps_its_sign_and_where_its_colours_end():
    for signed, ends in ((True, (-3.0, 3.0)), (False, (0.0, 3.0))):
        frame = mapped(SCAN, np.ones((500, 380)), signed, 3.0, MASK, "a map")
        laid = parts(frame, hv.Image)[1]
        assert look(laid, "plot")["clim"] == ends


def test_a_colour_picture_and_one_that_is_missing_are_drawn():
    assert parts(pictured(RNG.random((3, 30, 30)), np.zeros((30, 30), bool), "x"), hv.RGB)
    lacking = pictured(np.full((1, 30, 30), np.nan), np.zeros((30, 30), bool), "no image")
    assert not parts(lacking, hv.Image)[0].data.any()
