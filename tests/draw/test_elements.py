import re

import holoviews as hv
import numpy as np
import pytest

from studykit.draw import (
    class_probabilities,
    color_limit,
    column_effects,
    heat,
    outline,
    picture,
    predicted_values,
)
from studykit.draw.bars import SAID
from studykit.draw.scan import AGAINST, FOR, SIGNED, UNSIGNED


def corner():
    values = np.zeros((1, 8, 8), dtype=np.float32)
    values[0, 0, 0] = 1  # the first row stands at the top
    return values


def test_the_first_row_stands_at_the_top_in_picture_map_and_outline():
    assert picture(corner())[0.05, 0.95] == 255 and picture(corner())[0.05, 0.05] == 0
    assert heat(corner()[0], True, 1.0, 0.5)[0.05, 0.95] == 1
    line = outline(corner()[0] > 0).split()[0].array()
    assert line[:, 0].min() >= -1e-9 and line[:, 1].max() <= 1 + 1e-9
    assert line[:, 0].max() < 0.2 and line[:, 1].min() > 0.8


def test_colours_of_signed_maps_are_symmetric_and_clear_at_zero():
    signed = hv.Store.lookup_options("bokeh", heat(corner()[0], True, 2.0, 0.5), "plot").kwargs
    assert signed["clim"] == (-2.0, 2.0)
    assert SIGNED[127].endswith("00") and SIGNED[128].endswith("00") and SIGNED[0][:7] != SIGNED[-1][:7]
    assert UNSIGNED[0].endswith("00") and UNSIGNED[-1].endswith("ff")


@pytest.mark.parametrize(
    "element",
    [
        lambda: picture(np.random.rand(3, 8, 8)),
        lambda: outline(np.zeros((8, 8), bool)),
        lambda: heat(np.full((8, 8), np.nan), False, 1.0, 1.0),
    ],
)
def test_every_element_renders(element):
    assert hv.render(element()) is not None


def test_the_limit_of_nothing_is_one():
    assert color_limit(np.zeros(4)) == 1.0 and color_limit(np.array([np.nan])) == 1.0
    assert color_limit(np.linspace(-2, 2, 1001)) == pytest.approx(1.99, abs=0.01)


def bars(drawn):
    """{name: (left, width, colour)} in percent of the axis."""
    told = re.findall(
        r'aria-label="([^"]*)".*?left:([.\d]+)%;width:([.\d]+)%;height:16px;background:(#\w+)', drawn
    )
    return {name: (float(left), float(width), color) for name, left, width, color in told}


def test_effects_are_bars_from_the_middle_and_the_axis_ends_at_the_limit():
    drawn = bars(column_effects({"Age": 0.5, "Side": -3.0}, {"Age": "Age: 4", "Side": "Side: <b>"}, 2.0))
    assert drawn == {"Age: 4: +0.500": (50, 12.5, FOR), "Side: &lt;b&gt;: -3.000": (0, 50, AGAINST)}
    drawn = bars(column_effects({"Age": 0.5}, {"Age": "Age"}, 2.0, signed=False))
    assert drawn == {"Age: 0.500": (0, 25, FOR)}


def test_what_models_say_are_bars_on_one_axis():
    drawn = bars(class_probabilities(["a", "<i>"], [0.1, 1.0], "malignant"))
    assert drawn == {"a: 0.10": (0, 10, SAID), "&lt;i&gt;: 1.00": (0, 100, SAID)}
    drawn = bars(predicted_values(["a", "b"], [-2.0, 6.0], "age"))
    assert drawn == {"a: -2": (0, 25, SAID), "b: 6": (25, 75, SAID)}
    assert predicted_values(["a"], [0.0], "age")
