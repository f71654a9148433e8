import re

import holoviews as hv
import numpy as np
import pandas as pd
import pytest

from studykit.draw import (
    agreement_grid,
    case_spreads,
    curve_bands,
    interval_grid,
    legend,
    method_looks,
    spoken,
)
from studykit.draw.quality import GRAY

EVIL = '<img src=x onerror="alert(1)">'
ROWS = pd.DataFrame(
    {
        "row": ["Grad-CAM", "Grad-CAM", "Edges"], "column": ["mass", "rank", "mass"],
        "estimate": [2.0, np.nan, 1.0], "low": [1.5, np.nan, 0.5], "high": [4.0, np.nan, 1.5],
        "control": [False, False, True], "why": ["", "no region", ""],
    }
)  # fmt: skip


def test_dots_and_intervals_lie_where_the_numbers_say():
    shown = interval_grid(ROWS.assign(high=[4.0, np.nan, 1.5]), 1.0, ends=(0.0, 4.0))
    cell = re.search(r'aria-label="Grad-CAM, mass: 2.00 \(1.50 to 4.00\)"[^>]*>(.*?)</div></div>', shown)[1]
    line, bar, dot = re.findall(r"left:([\d.]+)%;(?:width:([\d.]+)%;)?", cell)
    assert (float(line[0]), float(bar[0]), float(bar[1]), float(dot[0])) == (25, 37.5, 62.5, 50)


def test_controls_stand_apart_in_gray_and_what_cannot_be_told_says_why():
    shown = interval_grid(ROWS, 1.0, chosen="Grad-CAM")
    before, after = shown.split("Controls: maps that know nothing of the model")
    assert ">Grad-CAM</div>" in before and "Edges" not in before
    assert ">Edges</div>" in after and GRAY in after and GRAY not in before
    assert "Grad-CAM, rank: no region" in before and "Edges, rank: not asked" in after
    assert "font-weight:bold" in before.split(">Grad-CAM</div>")[0].rpartition("<div")[2]


def test_nothing_brings_its_own_html():
    rows = ROWS.assign(row=EVIL, column=[EVIL, "b", "c"], why=EVIL)
    square = pd.DataFrame([[np.nan, 0.5], [0.5, np.nan]], ["a", "b"], ["a", "b"])
    looks = method_looks({"a": False, "b": False})
    for shown in (
        interval_grid(rows, 1.0), agreement_grid(square, {"a": EVIL, "b": "b"}, EVIL),
        legend(looks, {"a": EVIL, "b": "b"}),
    ):  # fmt: skip
        assert "<img" not in shown and 'onerror="' not in shown and "&lt;img" in shown


def test_every_method_has_a_look_of_its_own_and_controls_are_gray():
    names = {f"m{at}": at > 19 for at in range(22)}
    looks = method_looks(names)
    assert len(set(looks.values())) == 22
    assert {looks[name][0] for name, control in names.items() if control} == {GRAY}
    assert GRAY not in {looks[name][0] for name, control in names.items() if not control}


def test_curves_are_those_of_the_table_and_the_chosen_one_is_thick():
    steps = np.linspace(0, 1, 5)
    table = pd.concat(
        pd.DataFrame({"method": m, "step": steps, "mean": steps * f, "low": steps * f - 1, "high": 2.0})
        for m, f in (("a", 1), ("b", 2))
    )
    looks, titles = method_looks({"a": False, "b": True}), {"a": "A", "b": "B"}
    drawn = curve_bands(table, looks, titles, "title", "x", "y", chosen="b")
    curves = {c.label: c for c in drawn if isinstance(c, hv.Curve)}
    assert np.allclose(curves["B"]["mean"], 2 * steps) and np.allclose(curves["A"]["step"], steps)
    lines = [r.glyph for r in hv.render(drawn).renderers if r.glyph.__class__.__name__ == "Line"]
    assert lines[1].line_width > lines[0].line_width and lines[1].line_color == GRAY != lines[0].line_color
    bands = [area for area in drawn if isinstance(area, hv.Area)]
    assert len(bands) == 2 and np.allclose(bands[0]["low"], steps - 1)


def test_agreement_shows_each_pair_and_nothing_with_itself():
    square = pd.DataFrame([[np.nan, 0.514], [-0.001, np.nan]], ["a", "b"], ["a", "b"])
    shown = agreement_grid(square, {"a": "A", "b": "B"}, "Ranks")
    assert re.findall(r"<td style=[^>]*>([^<]*)</td>", shown) == ["·", "0.51", "0.00", "·"]
    assert "1 A</th>" in shown and "2 B</th>" in shown and "<caption" in shown


def test_cases_stand_in_the_order_they_are_given_with_their_spread():
    table = pd.DataFrame(
        {"id": ["x", "y"], "mean": [0.2, 0.6], "sd": [0.1, 0.05], "kind": "right", "said": "told"}
    )
    drawn, points = case_spreads(table, {"right": "#123456"})
    assert points["case"].tolist() == ["x", "y"] and np.allclose(points["mean"], [0.2, 0.6])
    lines = next(element for element in drawn if isinstance(element, hv.Segments))
    assert np.allclose(lines["mean"], [0.1, 0.55]) and np.allclose(lines["y1"], [0.3, 0.65])
    assert hv.render(drawn) is not None


@pytest.mark.parametrize(
    ("numbers", "said"),
    [
        ((2.314, 1.9, 2.8), "2.31 (1.90 to 2.80)"), ((np.nan, 0, 1), "–"),
        ((-0.001, -0.004, 0.0), "0.00 (0.00 to 0.00)"), ((0.5, np.nan, np.nan), "0.50"),
    ],
)  # fmt: skip
def test_numbers_are_spoken_with_their_interval_and_never_as_minus_nothing(numbers, said):
    assert spoken(*numbers) == said
