"""How good maps are, drawn: dots with intervals beside what chance gives, curves with bands, who agrees."""

import html
from collections.abc import Iterable, Mapping

import holoviews as hv
import numpy as np
import pandas as pd
from bokeh.models import HoverTool

from studykit.draw.contribution import CHOSEN

COLORS = ("#009e73", "#d55e00", "#0072b2", "#cc79a7", "#8c6bb1", "#a6761d", "#56b4e9", "#b8a800")
GRAY = "#8a8a8a"
DASHES = ("solid", "dashed", "dotdash")
OF_CONTROLS = ("dotted", "dashed", "dotdash", "solid")
TRACK = 150  # pixels, of one dot with its interval
SPREAD = {
    "frame_width": 480, "frame_height": 230, "xlabel": "cases, in the order of their mean", "xticks": 0,
    "ylabel": "coefficient", "toolbar": None, "legend_position": "top", "fontsize": {"title": 10},
    "legend_opts": {"orientation": "horizontal"}, "padding": 0.05, "default_tools": ["tap"],
    "active_tools": ["tap"],
}  # fmt: skip
CELL = (
    '<div role="cell" title="{told}"><div style="font-size:0.85em;white-space:nowrap">{number}</div>'
    '<div role="img" aria-label="{told}" style="position:relative;height:14px;'
    'border:solid #80808060;border-width:0 1px">{marks}</div></div>'
)
HEAD = '<div role="columnheader" style="font-weight:bold;align-self:end">{}</div>'
NAME = '<div role="rowheader" style="{look}">{name}</div>'


def method_looks(methods: Mapping[str, bool]) -> dict[str, tuple[str, str]]:
    """{method: colour, dash} of {method: whether it is a control}; controls are gray."""
    looks, own, controls = {}, 0, 0
    for method, control in methods.items():
        if control:
            looks[method] = (GRAY, OF_CONTROLS[controls % len(OF_CONTROLS)])
            controls += 1
        else:
            looks[method] = (COLORS[own % len(COLORS)], DASHES[own // len(COLORS) % len(DASHES)])
            own += 1
    return looks


def interval_grid(
    table: pd.DataFrame,
    line: float,
    chosen: str = "",
    ends: tuple[float, float] | Mapping[str, tuple[float, float]] | None = None,
    sign: str = "",
) -> str:
    """A dot and its interval for each row and column of a grid, in HTML: themed, and read aloud.

    table: columns row, column, estimate, low, high, control, why (where there is no estimate). line: what
    knowing nothing gives, drawn through every cell. ends: of all axes, or of each column's; by default from
    0 to the column's largest. sign: behind every number. Controls stand apart, below.
    """
    columns = list(dict.fromkeys(table["column"]))
    cells = table.set_index(["row", "column"])
    own = ends if isinstance(ends, Mapping) else dict.fromkeys(columns, ends)
    sides = {name: own[name] or _ends(table[table["column"] == name], line) for name in columns}
    parts = [_row(HEAD.format(html.escape(name)) for name in ("", *columns))]
    for control, rows in table.groupby("control", sort=True):
        if control:
            parts.append(
                '<div style="grid-column:1/-1;border-top:1px solid #80808060;padding-top:4px;opacity:0.8">'
                "Controls: maps that know nothing of the model</div>"
            )
        for name in dict.fromkeys(rows["row"]):
            look = "opacity:0.8" if control else f"font-weight:{'bold' if name == chosen else 'normal'}"
            color = GRAY if control else CHOSEN if name == chosen else COLORS[2]
            shown = [NAME.format(look=look, name=html.escape(name))]
            for column in columns:
                row = cells.loc[(name, column)] if (name, column) in cells.index else None
                shown.append(_cell(name, column, row, line, sides[column], color, sign))
            parts.append(_row(shown))
    parts += ["<div></div>", *(_axis(*sides[name], line) for name in columns)]
    return (
        f'<div role="table" style="display:grid;grid-template-columns:minmax(120px,max-content) '
        f'repeat({len(columns)},{TRACK}px);gap:6px 22px;align-items:center">{"".join(parts)}</div>'
    )


def _row(cells: Iterable[str]) -> str:
    return f'<div role="row" style="display:contents">{"".join(cells)}</div>'


def _ends(rows: pd.DataFrame, line: float) -> tuple[float, float]:
    top = np.nanmax([line, *rows["high"], *rows["estimate"]])
    return 0.0, 1.08 * float(top)


def _cell(name: str, column: str, row, line: float, ends: tuple[float, float], color: str, sign: str) -> str:
    marks = _mark(_at(line, ends), 0, "top:0;height:14px;border-left:1px dashed #808080")
    if row is None or np.isnan(row["estimate"]):
        why = "not asked" if row is None else row["why"] or "it cannot be told"
        number, told = "–", html.escape(f"{name}, {column}: {why}")
        return CELL.format(told=told, number=number, marks=marks)
    number = spoken(row["estimate"], row["low"], row["high"], sign)
    if row["low"] <= row["high"]:
        left, right = _at(row["low"], ends), _at(row["high"], ends)
        marks += _mark(left, right - left, f"top:6px;height:2px;min-width:1px;background:{color}")
    dot = f"top:2px;width:10px;height:10px;margin-left:-5px;border-radius:5px;background:{color}"
    marks += _mark(_at(row["estimate"], ends), None, dot)
    told = html.escape(f"{name}, {column}: {number}")
    return CELL.format(told=told, number=html.escape(number), marks=marks)


def spoken(estimate: float, low: float, high: float, sign: str = "", digits: int = 2) -> str:
    """A number and its interval in words: 2.31 (1.90 to 2.80)."""
    if np.isnan(estimate):
        return "–"
    said = [f"{round(value, digits) + 0.0:.{digits}f}" for value in (estimate, low, high)]  # never -0.00
    return f"{said[0]}{sign}" + ("" if np.isnan(low) else f" ({said[1]} to {said[2]})")


def _at(value: float, ends: tuple[float, float]) -> float:
    return float(np.clip((value - ends[0]) / (ends[1] - ends[0]), 0, 1))


def _mark(left: float, width: float | None, look: str) -> str:
    wide = "" if width is None else f"width:{100 * width:.3f}%;"
    return f'<div style="position:absolute;left:{100 * left:.3f}%;{wide}{look}"></div>'


def _axis(low: float, high: float, line: float) -> str:
    tick = '<span style="position:absolute;{}">{:g}</span>'
    middle = tick.format(f"left:{100 * _at(line, (low, high)):.1f}%;transform:translateX(-50%)", line)
    left = tick.format("left:0", low) if _at(line, (low, high)) > 0.28 else ""
    right = tick.format("right:0", float(f"{high:.3g}")) if _at(line, (low, high)) < 0.72 else ""
    return (
        '<div aria-hidden="true" style="position:relative;height:1.2em;font-size:0.75em;opacity:0.7">'
        f"{left}{middle}{right}</div>"
    )


def curve_bands(
    table: pd.DataFrame,
    looks: Mapping[str, tuple[str, str]],
    titles: Mapping[str, str],
    title: str,
    xlabel: str,
    ylabel: str,
    chosen: str = "",
) -> hv.Overlay:
    """One curve a method (columns method, step, mean, low, high) with its band; `chosen` is drawn thick.

    looks: {method: colour, dash}, as `method_looks` gives them, in the legend's order.
    """
    drawn = []
    for method, (color, dash) in looks.items():
        rows = table[table["method"] == method].sort_values("step").astype({"step": "float32"})
        if rows.empty:
            continue
        thick, name = method == chosen, titles[method]
        told = rows[["step", "mean"]].assign(
            said=[spoken(*row) for row in rows[["mean", "low", "high"]].to_numpy()], method=name
        )
        if rows["low"].notna().any():
            band = hv.Area(rows[["step", "low", "high"]], "step", ["low", "high"])
            drawn.append(band.opts(color=color, line_alpha=0, fill_alpha=0.22 if thick else 0.07))
        hints = HoverTool(tooltips=[("", "@method"), ("", "@said")])
        curve = hv.Curve(told, "step", ["mean", "said", "method"], label=name)
        drawn.append(curve.opts(color=color, line_dash=dash, line_width=4 if thick else 1.8, tools=[hints]))
    return hv.Overlay(drawn).opts(
        frame_width=330, frame_height=240, title=title, xlabel=xlabel, ylabel=ylabel, show_grid=True,
        show_legend=False, toolbar=None, default_tools=[], fontsize={"title": 10},
    )  # fmt: skip


def legend(looks: Mapping[str, tuple[str, str]], titles: Mapping[str, str], chosen: str = "") -> str:
    """What the curves' colours and dashes mean, in HTML, once for all curves."""
    dashes = {"solid": "", "dashed": "6 4", "dotdash": "2 3 6 3", "dotted": "2 3"}
    parts = []
    for method, (color, dash) in looks.items():
        weight, width = ("bold", 4) if method == chosen else ("normal", 2)
        line = (
            '<svg width="34" height="8" aria-hidden="true"><line x1="0" y1="4" x2="34" y2="4" '
            f'stroke="{color}" stroke-width="{width}" stroke-dasharray="{dashes[dash]}"/></svg>'
        )
        name = html.escape(titles[method])
        parts.append(f'<span style="font-weight:{weight};white-space:nowrap">{line} {name}</span>')
    return f'<div style="display:flex;flex-wrap:wrap;gap:4px 18px">{"".join(parts)}</div>'


def agreement_grid(square: pd.DataFrame, titles: Mapping[str, str], title: str) -> str:
    """How far methods agree (a square table, NaN on its diagonal), in HTML; the stronger, the more alike."""
    names, rows = list(square.index), []
    numbered = "".join(f'<th scope="col" style="padding:2px">{at + 1}</th>' for at in range(len(names)))
    for at, name in enumerate(names):
        cells = "".join(_shade(square.at[name, other], name == other) for other in names)
        rows.append(
            '<tr><th scope="row" style="text-align:left;font-weight:normal;padding:2px 8px 2px 0">'
            f"{at + 1} {html.escape(titles[name])}</th>{cells}</tr>"
        )
    return (
        f'<table style="border-spacing:2px;font-size:0.9em"><caption style="text-align:left;'
        f'font-weight:bold">{html.escape(title)}</caption><tr><td></td>{numbered}</tr>{"".join(rows)}</table>'
    )


def _shade(value: float, same: bool) -> str:
    if same or np.isnan(value):
        return f'<td style="text-align:center">{"·" if same else "–"}</td>'
    strength = f"{round(min(abs(value), 1) * 160):02x}"
    color, said = COLORS[2] if value >= 0 else COLORS[1], spoken(value, np.nan, np.nan)
    return f'<td style="text-align:center;padding:2px 6px;background:{color}{strength}">{said}</td>'


def case_spreads(table: pd.DataFrame, colors: Mapping[str, str]) -> tuple[hv.Overlay, hv.Points]:
    """One dot a case at the mean of its coefficients, with a line of +- one standard deviation; and the dots.

    table: columns id, mean, sd, kind (by which dots are coloured; `colors`), said (a hint), as it is drawn.
    """
    x = np.arange(len(table), dtype="float32")
    mean, sd = (table[name].to_numpy(dtype="float32") for name in ("mean", "sd"))
    spots = pd.DataFrame({"place": x, "mean": mean, "case": table["id"], "kind": table["kind"]})
    spots["said"] = [f"{m:.3f} ± {s:.3f}, {told}" for m, s, told in zip(mean, sd, table["said"], strict=True)]
    points = hv.Points(spots, ["place", "mean"], ["case", "said", "kind"]).opts(
        color="kind", cmap={kind: color for kind, color in colors.items() if kind in set(table["kind"])},
        size=8, line_color=None, show_legend=True, nonselection_alpha=1, selection_alpha=1,
        tools=[HoverTool(tooltips=[("case", "@case"), ("", "@said")])], **SPREAD,
    )  # fmt: skip
    lines = hv.Segments((x, mean - sd, x, mean + sd), ["place", "mean", "x1", "y1"])
    return lines.opts(color=GRAY, line_width=1, alpha=0.7) * points, points
