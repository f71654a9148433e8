import re

import holoviews as hv
import numpy as np
import pandas as pd
import pytest

from studykit.draw import (
    case_dots,
    chosen_dot,
    dot_heights,
    measure_shares,
    modality_colors,
    part_bars,
    percent,
    region_map,
    share_bars,
)
from studykit.draw.shares import interval

COLORS = modality_colors(["image", "record"])
SHARES = pd.DataFrame(
    {"group": ["image", "record"], "estimate": [0.63552, 0.36448], "low": [0.5, 0.2], "high": [0.8, 0.5]}
)


def marks(shown):
    """(left, width) in parts of the bar, in the order of drawing."""
    found = re.findall(r"left:(-?[\d.]+)%;width:(-?[\d.]+)%", shown)
    return [(float(left) / 100, float(width) / 100) for left, width in found]


def test_bars_begin_at_nothing_and_intervals_lie_where_the_numbers_say():
    shown = share_bars(SHARES, COLORS, {"image": 0.6})
    assert np.allclose(
        marks(shown), [(0, 0.63552), (0.5, 0.3), (0.6, 0), (0, 0.36448), (0.2, 0.3)], atol=1e-5
    )
    assert ">64 % (50 to 80)<" in shown and ">36 % (20 to 50)<" in shown
    assert 'aria-label="image 64 % (50 to 80); planted: the label shows there in 60 % of the cases"' in shown
    assert shown.count("◆") == 1 and COLORS["image"] != COLORS["record"]


def test_a_share_that_is_not_known_has_no_bar():
    assert marks(share_bars(SHARES.assign(estimate=np.nan, low=np.nan, high=np.nan), COLORS)) == []
    alone = pd.DataFrame({"group": ["image"], "estimate": [1.0], "low": [np.nan], "high": [np.nan]})
    assert marks(share_bars(alone, COLORS)) == [(0, 1)]


def test_a_modality_cannot_bring_its_own_html():
    name = '<img src=x onerror="alert(1)">'
    shown = share_bars(SHARES.assign(group=[name, "record"]), modality_colors([name, "record"]))
    assert "<img" not in shown and 'onerror="' not in shown and "&lt;img" in shown


@pytest.mark.parametrize(
    ("share", "said"),
    [(0.0, "0 %"), (0.004, "< 1 %"), (0.006, "1 %"), (0.5, "50 %"), (0.996, "> 99 %"), (1.0, "100 %")],
)
def test_only_none_and_all_are_said_to_be_none_and_all(share, said):
    assert percent(share) == said


def test_an_interval_is_said_where_there_is_one():
    assert interval(0.637, 0.57, 0.7) == "64 % (57 to 70)"
    assert interval(1.0, 1.0, 1.0) == interval(1.0, np.nan, np.nan) == "100 %"
    assert percent(np.nan) == "-"


def dots(share, row):
    kind = ["right", "wrong"] * len(share)
    table = pd.DataFrame({"share": share, "row": row, "kind": kind[: len(share)], "said": "said"})
    table["id"] = [f"c{k}" for k in range(len(share))]
    return table.assign(y=dot_heights(table))


def test_dots_of_one_share_stand_apart_and_rows_do_not_meet():
    many = dots([0.5] * 40 + [1.0, 0.0], ["a"] * 20 + ["b"] * 22)
    assert len(set(zip(many["row"], many["share"], many["y"], strict=True))) == 42
    assert many.loc[many["row"] == "a", "y"].between(0.6, 1.4).all()  # the first row is the upper one
    assert many.loc[many["row"] == "b", "y"].between(-0.4, 0.4).all()
    lonely = many.tail(2)
    assert np.allclose(lonely["y"], 0), "a dot without neighbours stands in the middle of its row"


def test_a_dot_stands_at_its_share_and_knows_its_case():
    points = case_dots(dots([0.25, 0.75], ["a", "b"]), "image", {"right": "#000000", "wrong": "#ff0000"})
    assert points.dimension_values("share").tolist() == [0.25, 0.75]
    assert points.dimension_values("id").tolist() == ["c0", "c1"]
    figure = hv.render(points * chosen_dot(0.25, 1.0))
    assert figure.xaxis[0].axis_label == "share of the image in the case"
    glyph = figure.renderers[0].glyph
    mapper = glyph.fill_color.transform
    assert dict(zip(mapper.factors, mapper.palette, strict=True)) == {"right": "#000000", "wrong": "#ff0000"}
    assert figure.legend[0].items[0].label.field == glyph.fill_color.field


def test_parts_are_ranked_from_the_top_and_end_where_they_are_told():
    bars = part_bars(pd.Series({"Age": 0.4, "Side": 0.1}), "record", "share", "#000000", limit=0.5)
    assert bars.dimension_values("part").tolist() == ["Side", "Age"]  # drawn from the bottom
    figure = hv.render(bars)
    assert (figure.x_range.start, figure.x_range.end) == (0, 0.5)
    assert hv.render(part_bars(pd.Series(dtype=float), "none", "share", "#000000")) is not None


def test_a_region_stands_where_it_lies():
    values = np.zeros((8, 8))
    values[0, 7] = 0.5  # above, on the right
    regions = region_map(values, "image")
    assert regions[0.95, 0.95] == 0.5 and regions[0.05, 0.05] == 0
    assert regions.opts.get("plot").kwargs["clim"] == (0, 0.5)
    assert region_map(np.zeros((2, 2)), "none").opts.get("plot").kwargs["clim"] == (0, 1)


def test_each_measure_has_a_line_and_each_modality_a_dot_on_it():
    rows = [("A", "image", 0.7), ("A", "record", 0.3), ("B", "image", 0.9), ("B", "record", 0.1)]
    table = pd.DataFrame(rows, columns=["measure", "group", "estimate"])
    table = table.assign(low=table["estimate"] - 0.05, high=table["estimate"] + 0.05)
    drawn = measure_shares(table, COLORS)
    found = [points for points in drawn.values() if isinstance(points, hv.Points)]
    spots = {points.label: points.dframe().reset_index(drop=True) for points in found}
    assert spots["image"]["x"].tolist() == [0.7, 0.9] and spots["record"]["x"].tolist() == [0.3, 0.1]
    assert (spots["image"]["y"] > spots["record"]["y"]).all(), "dots of one line do not hide each other"
    assert spots["image"]["y"].iloc[0] > spots["image"]["y"].iloc[1] + 0.5
    assert spots["image"]["image"].tolist() == ["70 % (65 to 75)", "90 % (85 to 95)"]
    assert hv.render(drawn) is not None
