"""Pictures of readings: the numbers that they show are those of their tables, and they can be read aloud."""

import html
import re

import holoviews as hv
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from studykit.draw import (
    answer_bars,
    condition_looks,
    forest,
    mean_roc,
    part_of_whole,
    reliability_dots,
    roc_curves,
    spread_boxes,
)
from studykit.draw.reading import _ink, answer_colors, neat_ends

AGREE = ["strongly disagree", "disagree", "neither", "agree", "strongly agree"]
COUNTS = {"no aid": [10, 20, 30, 25, 15], "prediction <b>": [0, 3, 9, 50, 38]}
ROC = ["reader", "condition", "false_positive", "true_positive"]


def long(counts):
    return pd.DataFrame(
        [(row, k + 1, n) for row, ns in counts.items() for k, n in enumerate(ns)],
        columns=["row", "answer", "count"],
    )


def segments(drawn, row):
    """[(left, width in percent, title)] of one row's segments."""
    part = drawn[drawn.index(f'aria-label="{html.escape(row)}, ') :].split('role="listitem"')[0]
    found = re.findall(r'<div title="([^"]*)" style="position:absolute;left:([\d.]+)%;width:([\d.]+)%', part)
    return [(float(left), float(width), title) for title, left, width in found]


def middle(drawn):
    """Where the dashed line stands, in percent; the same in every row."""
    (at,) = {float(at) for at in re.findall(r"left:([\d.]+)%;width:0\.000%;top:-3px", drawn)}
    return at


def test_a_likert_bar_lies_around_the_middle_of_the_scale():
    drawn = answer_bars(long(COUNTS), range(1, 6), AGREE, diverging=True)
    line = middle(drawn)
    for row, counts in COUNTS.items():
        found = segments(drawn, row)
        shares = np.array(counts) / 100
        widths = np.array([width for _, width, _ in found])
        scale = widths.sum()
        assert np.allclose(widths / scale, shares[shares > 0], atol=1e-4)
        low = shares[:2].sum() + shares[2] / 2
        assert found[0][0] + low * scale == pytest.approx(line, abs=0.01)
        assert [title for *_, title in found] == [
            f"{label} {100 * share:.0f} %" for label, share in zip(AGREE, shares, strict=True) if share
        ]
    assert "<b>" not in drawn and "&lt;b&gt;" in drawn and "n = 100" in drawn


def test_with_an_even_scale_the_middle_is_between_two_answers():
    drawn = answer_bars(long({"a": [1, 1, 1, 1], "b": [0, 4, 0, 0]}), range(1, 5), AGREE[:4], diverging=True)
    first, last = segments(drawn, "a"), segments(drawn, "b")
    assert first[2][0] == pytest.approx(middle(drawn), abs=0.01)
    assert last[0][0] + last[0][1] == pytest.approx(middle(drawn), abs=0.01)


def test_bars_of_no_order_all_begin_at_the_left():
    drawn = answer_bars(long({"a": [3, 1, 0], "b": [0, 2, 2]}), (1, 2, 3), ["x", "y", "z"], diverging=False)
    assert {segments(drawn, row)[0][0] for row in "ab"} == {0.0} and "dashed" not in drawn
    assert [width for _, width, _ in segments(drawn, "a")] == [75.0, 25.0]


def test_nothing_is_drawn_of_no_answers():
    empty = pd.DataFrame({"row": [], "answer": [], "count": []})
    assert 'role="list"' in answer_bars(empty, (1, 2), ["x", "y"], diverging=True)
    assert spread_boxes(pd.DataFrame({"row": ["a"], "value": [np.nan]}), "s", condition_looks("a")) == ""


@pytest.mark.parametrize("count", range(2, 12))
@pytest.mark.parametrize("diverging", [True, False])
def test_every_answer_has_its_colour_and_what_stands_on_it_can_be_read(count, diverging):
    colors = answer_colors(count, diverging)
    assert len(colors) == count and (len(set(colors)) == count or not diverging)
    for color in colors:
        assert contrast(color, _ink(color)) >= 4.5, f"{color} under {_ink(color)}"


def contrast(one, other):
    """WCAG's contrast ratio."""
    levels = []
    for color in (one, other):
        digits = color[1:] if len(color) == 7 else "".join(d * 2 for d in color[1:])
        parts = np.array([int(digits[at : at + 2], 16) / 255 for at in (0, 2, 4)])
        linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
        levels.append(linear @ [0.2126, 0.7152, 0.0722] + 0.05)
    return max(levels) / min(levels)


def test_boxes_tell_the_quartiles():
    values = np.arange(101.0)
    table = pd.DataFrame({"row": "no aid", "value": values})
    drawn = spread_boxes(table, "s", condition_looks(["no aid", "never asked"]))
    assert 'aria-label="no aid, 101 answers: median 50, quartiles 25 to 75 s"' in drawn
    assert "never asked" not in drawn
    marks = re.findall(r"left:([\d.]+)%;width:([\d.]+)%", drawn)
    assert ("0.000", "100.000") in marks and ("22.222", "55.556") in marks  # 5 % to 95 % is the whole axis
    same = spread_boxes(pd.DataFrame({"row": "a", "value": [3.0, 3.0]}), "s", condition_looks("a"))
    assert "median 3, quartiles 3 to 3" in same


def test_parts_are_as_wide_as_their_counts():
    table = pd.DataFrame({"row": ["RAIR", "RSR"], "part": [12, 0], "whole": [20, 0], "said": ["0.60", "0/0"]})
    drawn = part_of_whole(table)
    assert 'aria-label="RAIR: 12 of 20: 0.60"' in drawn and 'aria-label="RSR: 0 of 0: 0/0"' in drawn
    assert "width:60.000%" in drawn and "width:100.000%" in drawn


def test_a_forest_has_every_interval_inside_and_says_why_there_is_none():
    table = pd.DataFrame(
        {
            "row": ["kappa", "alpha", "kappa"],
            "column": ["no aid", "no aid", "map"],
            "estimate": [-0.1, np.nan, 0.4],
            "low": [-0.3, np.nan, 0.1],
            "high": [0.1, np.nan, 0.7],
            "why": ["", "one <category> only", ""],
        }
    )
    drawn = forest(table, together=True)
    assert 'aria-label="kappa, no aid: -0.10 (-0.30 to 0.10)"' in drawn
    assert "one &lt;category&gt; only" in drawn and "<category>" not in drawn
    widths = [float(wide) for wide in re.findall(r"width:([\d.]+)%;top:6px", drawn)]
    assert np.allclose(widths, [100 * 0.4 / 1.5, 100 * 0.6 / 1.5], atol=0.01), "one axis, from -0.5 to 1"
    own = [float(wide) for wide in re.findall(r"width:([\d.]+)%;top:6px", forest(table))]
    assert np.allclose(own, [100 * 0.4 / 0.4, 100 * 0.6 / 0.7], atol=0.01), "each its own"


@settings(deadline=None, max_examples=60)
@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=5), st.floats(-10, 10))
def test_an_axis_holds_all_its_values(values, line):
    low, high = neat_ends(np.array([*values, np.nan]), line)
    assert low < high
    wide = high - low
    for value in [*values, line]:
        assert low - 1e-9 * wide <= value <= high + 1e-9 * wide


def curves(rng, readers=4, shift=1.0):
    """Empirical ROC points of readers with ratings 1 to 5, and each one's area by pairs."""
    rows, areas = [], []
    for reader in range(readers):
        cuts = [-1, 0, 0.5, 1.5]
        positive = np.digitize(rng.normal(shift, 1, rng.integers(3, 9)), cuts)
        negative = np.digitize(rng.normal(0, 1, rng.integers(3, 9)), cuts)
        for threshold in range(5, -1, -1):
            point = (negative >= threshold).mean(), (positive >= threshold).mean()
            rows.append((f"r{reader}", "aid", *point))
        won = (positive[:, None] > negative).mean() + (positive[:, None] == negative).mean() / 2
        areas.append(won)
    return pd.DataFrame(rows, columns=ROC), areas


@pytest.mark.parametrize("seed", range(12))
def test_the_area_below_the_mean_curve_is_the_mean_of_the_areas(seed):
    points, areas = curves(np.random.default_rng(seed))
    mean = mean_roc(points)
    area = np.trapezoid(mean["true_positive"], mean["false_positive"])
    assert area == pytest.approx(np.mean(areas), abs=1e-12)
    assert (np.diff(mean["true_positive"]) >= -1e-12).all()


def test_one_reader_is_the_mean_of_readers():
    points = pd.DataFrame([("r", "a", 0, 0), ("r", "a", 0, 0.5), ("r", "a", 1, 1)], columns=ROC)
    mean = mean_roc(points)
    assert mean[["false_positive", "true_positive"]].to_numpy().tolist() == [[0, 0], [0, 0.5], [1, 1], [1, 1]]


def test_every_readers_curve_is_drawn_and_the_mean_over_them():
    rng = np.random.default_rng(1)
    parts = [curves(rng)[0], curves(rng, shift=2.0)[0].assign(condition="no aid")]
    points = pd.concat(parts, ignore_index=True)
    drawn = roc_curves(points, condition_looks(["no aid", "aid", "never shown"]))
    curved = [part for part in drawn if isinstance(part, hv.Curve)][1:]
    thin, means = curved[::2], curved[1::2]
    for line, condition in zip(thin, ("no aid", "aid"), strict=True):
        own = points[points["condition"] == condition]
        pieces = np.split(line["true_positive"], np.flatnonzero(np.isnan(line["true_positive"])) + 1)
        wanted = [curve["true_positive"] for _, curve in own.groupby("reader")]
        assert all(np.allclose(a[:-1], b) for a, b in zip(pieces[:-1], wanted, strict=True))
        assert set(line["reader"]) == set(own["reader"])
    looks = [hv.Store.lookup_options("bokeh", part, "style").kwargs for part in means]
    assert len({look["color"] for look in looks}) == len({look["line_dash"] for look in looks}) == 2
    hv.render(drawn)


def test_dots_of_trust_stand_at_their_shares():
    table = pd.DataFrame(
        {
            "row": "aid", "trust": [1.0, 2.0, 3.0], "estimate": [0.2, np.nan, 0.9],
            "low": [0.1, np.nan, np.nan], "high": [0.3, np.nan, np.nan], "n": [4, 0, 16],
        }
    )  # fmt: skip
    drawn = reliability_dots(table, condition_looks(["aid"]), "trust", diagonal=False)
    (dots,) = [part for part in drawn if isinstance(part, hv.Points)]
    assert np.allclose(dots["right"], [0.2, 0.9]) and np.allclose(dots["trust"], [1, 3])
    assert dots["size"][1] > dots["size"][0] and list(dots["answers"]) == [4, 16]
    (bars,) = [part for part in drawn if isinstance(part, hv.Segments)]
    assert len(bars) == 1, "no interval where there is none"
    hv.render(drawn)
