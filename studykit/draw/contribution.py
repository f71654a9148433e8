"""What a model leans on: one dot a case, parts ranked and as regions, the shares by several measures."""

from collections.abc import Mapping

import holoviews as hv
import numpy as np
import pandas as pd
from bokeh.models import HoverTool

from studykit.draw.scan import heat
from studykit.draw.shares import interval

CHOSEN = "#1e88e5"
STILL = {"toolbar": None, "default_tools": [], "active_tools": []}
PERCENT = [(share, f"{share:.0%}") for share in (0.0, 0.5, 1.0)]
BINS, FULL = 50, 12  # of the dots' x axis; how many dots one above the other fill a row


def dot_heights(dots: pd.DataFrame) -> np.ndarray:
    """Where each dot stands (columns share, row): cases of one row together, few hiding another.

    Dots of about one share stand one above the other, within 0.4 of the middle of their row; the first row is
    the highest.
    """
    groups = dots.groupby([dots["row"], (dots["share"] * BINS).round()], sort=False)["share"]
    rank, count = groups.cumcount(), groups.transform("size")
    step = 0.8 / max(count.max(), FULL)
    return (_middles(dots) + (rank - (count - 1) / 2) * step).to_numpy()


def _middles(dots: pd.DataFrame) -> pd.Series:
    rows = list(dict.fromkeys(dots["row"]))
    return dots["row"].map({row: len(rows) - 1.0 - at for at, row in enumerate(rows)}).astype(float)


def case_dots(dots: pd.DataFrame, of: str, colors: Mapping[str, str], label: str = "") -> hv.Points:
    """One dot a case: columns id, share (of the modality `of`), y (`dot_heights`), row, kind, said (a hint).

    colors: {kind: colour}, in the legend's order. label: what the rows are.
    """
    rows = list(dict.fromkeys(dots["row"]))
    kinds = {kind: color for kind, color in colors.items() if kind in set(dots["kind"])}
    shown = dots.assign(percent=[f"{share:.1%}" for share in dots["share"]])
    points = hv.Points(shown, ["share", "y"], ["id", "percent", "said", "kind"])
    hints = [("case", "@id"), ("", "@said"), (of, "@percent")]
    return points.opts(
        color="kind", cmap=kinds, size=9, fill_alpha=0.75, line_color=None, show_legend=True,
        legend_position="top", legend_opts={"orientation": "horizontal"},
        frame_width=430, frame_height=max(150, min(130 * len(rows), 420)), xlim=(-0.03, 1.03),
        ylim=(-0.6, len(rows) - 0.4), xlabel=f"share of the {of} in the case", ylabel=label,
        xticks=[(s, f"{s:.0%}") for s in (0, 0.25, 0.5, 0.75, 1)],
        yticks=list(zip(_middles(dots).unique(), rows, strict=True)), toolbar=None,
        tools=[HoverTool(tooltips=hints)], default_tools=["tap"], active_tools=["tap"],
        nonselection_alpha=0.75, selection_alpha=0.75,
    )  # fmt: skip


def chosen_dot(x: float, y: float) -> hv.Points:
    """A ring around the dot of the chosen case."""
    return hv.Points([(x, y)], ["share", "y"]).opts(
        fill_alpha=0, line_color=CHOSEN, line_width=3, size=17, nonselection_alpha=1
    )


def part_bars(parts: pd.Series, title: str, unit: str, color: str, limit: float = 0.0) -> hv.Bars:
    """One bar a part, in the order given; the axis ends at `limit`, or at the largest."""
    rows = [(str(name), float(value)) for name, value in parts.items()][::-1]
    top = limit or 1.05 * max((value for _, value in rows), default=0.0) or 1.0
    bars = hv.Bars(rows, kdims="part", vdims=unit)
    return bars.opts(
        invert_axes=True, color=color, ylim=(0, top), frame_width=270, xlabel="", line_color=None,
        frame_height=22 * max(len(rows), 3), bar_width=0.6, tools=["hover"], title=title,
        fontsize={"title": 10}, **STILL,
    )  # fmt: skip


def region_map(values: np.ndarray, title: str) -> hv.Image:
    """Regions (H, W) of a picture, coloured by their share; clear is none."""
    limit = float(np.nanmax(values, initial=0.0)) or 1.0
    regions = heat(values, False, limit, 1.0).redim.label(map="share")
    return regions.opts(title=title, tools=["hover"], toolbar=None)


def measure_shares(table: pd.DataFrame, colors: Mapping[str, str]) -> hv.Overlay:
    """One line a measure: a dot and an interval for each modality (columns measure, group, estimate, ...)."""
    measures = list(dict.fromkeys(table["measure"]))
    groups = [group for group in colors if group in set(table["group"])]
    places = {m: len(measures) - 1.0 - at for at, m in enumerate(measures)}
    aside = {g: 0.3 * ((len(groups) - 1) / 2 - at) for at, g in enumerate(groups)}
    drawn = hv.VLine(0.5).opts(color="#888888", line_dash="dotted", line_width=1)
    for group in groups:
        rows = table[table["group"] == group]
        y = rows["measure"].map(places) + aside[group]
        told = [interval(row.estimate, row.low, row.high) for row in rows.itertuples()]
        line = pd.DataFrame({"x0": rows["low"], "y0": y, "x1": rows["high"], "y1": y})
        spot = pd.DataFrame({"x": rows["estimate"], "y": y, "measure": rows["measure"], group: told})
        drawn *= hv.Segments(line, ["x0", "y0", "x1", "y1"]).opts(color=colors[group], line_width=2)
        drawn *= hv.Points(spot, ["x", "y"], ["measure", group], label=group).opts(
            color=colors[group], size=9, tools=["hover"]
        )
    return drawn.opts(
        frame_width=430, frame_height=max(34 * len(measures), 90), xlim=(-0.02, 1.02), xticks=PERCENT,
        ylim=(-0.6, len(measures) - 0.4), yticks=[(y, m) for m, y in places.items()], xlabel="share",
        ylabel="", legend_position="top", legend_opts={"orientation": "horizontal"}, **STILL,
    )  # fmt: skip
