import numpy as np
import pytest
from dashboards.seen import seen

from studykit.draw.frames import Frames, as_bytes, coded
from studykit.draw.scan import SIGNED, UNSIGNED

RNG = np.random.default_rng(0)
MASK = np.zeros((20, 20), dtype=bool)
MASK[2:8, 10:15] = True


def slow_code(value, signed, limit):
    """The definition: the axis in 256 equal parts."""
    if np.isnan(value):
        value = 0.0
    low = -limit if signed else 0.0
    place = 0
    while place < 255 and value >= low + (place + 1) * (limit - low) / 256:
        place += 1
    return place


@pytest.mark.parametrize("signed", [True, False])
def test_codes_are_the_places_among_256_colours(signed):
    values = RNG.normal(size=(6, 5)).astype("float32")
    values[0, :3] = np.nan, 9.0, -9.0
    found = np.flipud(coded(values, signed, 2.0))
    assert found.dtype == np.uint8
    assert found.tolist() == [[slow_code(v, signed, 2.0) for v in row] for row in values]


def test_what_weighs_nothing_is_clear():
    for signed, palette in ((True, SIGNED), (False, UNSIGNED)):
        (code,) = np.unique(coded(np.array([[0.0, np.nan]], dtype="float32"), signed, 1.0))
        assert palette[code].endswith("00") and len(palette) == 256


def test_colours_and_gray_travel_as_bokeh_draws_them():
    values = RNG.random((3, 4, 6))
    found = np.flipud(as_bytes(values)).copy().view("uint8").reshape(4, 6, 4)
    assert (
        np.array_equal(found[..., :3], np.round(np.moveaxis(values, 0, -1) * 255))
        and (found[..., 3] == 255).all()
    )
    assert np.array_equal(np.flipud(as_bytes(values[:1])), np.round(values[0] * 255))


def test_frames_are_filled_and_not_built_anew():
    frames = Frames(["bare", "a", "b"], ["bare"], 100)
    figures = dict(frames.figures)
    laid = RNG.normal(size=(20, 20)).astype("float32")
    frames.show(RNG.random((1, 20, 20)), MASK, {"a": (laid, True, 2.0)}, {"a": "map of a"})
    under, empty = seen(frames.figures["a"]), seen(frames.figures["b"])
    assert under.title == "map of a" and under.ends == (-2.0, 2.0) and empty.map is None
    assert np.abs(under.map - np.clip(laid, -2, 2)).max() <= 0.51 * 4 / 256
    frames.show(RNG.random((3, 20, 20)), ~MASK & False, {"b": (np.abs(laid), False, 1.0)})
    assert frames.figures == figures and seen(frames.figures["a"]).map is None
    assert seen(frames.figures["b"]).ends == (0.0, 1.0) and seen(frames.figures["a"]).outline == []
    assert seen(frames.figures["bare"]).picture.dtype == np.uint32


def test_the_outline_is_sent_once_and_stands_where_the_mask_does():
    frames = Frames(["bare", "a"], ["bare"], 100)
    frames.show(np.zeros((1, 20, 20)), MASK)
    (line,) = seen(frames.figures["a"]).outline
    assert line.min(axis=0) == pytest.approx([10 / 20, 1 - 8 / 20]) and line.max(axis=0) == pytest.approx(
        [0.75, 0.9]
    )
    sources = {id(made.data_source) for figure in frames.figures.values() for made in figure.renderers}
    assert len(sources) == 3, "one of the picture, one of the maps, one of the outline"


def test_a_large_picture_travels_no_larger_than_512():
    frames = Frames(["bare", "a"], ["bare"], 100)
    frames.show(np.ones((1, 900, 700)), np.zeros((900, 700), bool), {"a": (np.ones((900, 700)), False, 1.0)})
    assert seen(frames.figures["a"]).picture.shape == seen(frames.figures["a"]).map.shape == (512, 512)


def test_all_frames_are_zoomed_together():
    one = Frames(["bare", "a"], ["bare"], 100)
    two = Frames(["bare"], ["bare"], 100, ranges=one.ranges)
    figures = [*one.figures.values(), *two.figures.values()]
    assert (
        len({figure.x_range.id for figure in figures}) == len({figure.y_range.id for figure in figures}) == 1
    )
