"""Models beside each other: a table with intervals, curves, who is taken for what, one dot a case.

All but the dots are HTML: themed, read aloud, quick to make for many models.
"""

import html
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import holoviews as hv
import numpy as np
import pandas as pd
from bokeh.models import HoverTool

from studykit.draw.contribution import CHOSEN
from studykit.draw.quality import COLORS, GRAY, spoken

DASHES = ("", "8 4", "2 3", "8 3 2 3", "14 3")
TRACK = 128  # pixels, of one dot with its interval
WIDE, HIGH = 240, 220  # pixels of a chart's frame
LEFT, TOP, RIGHT, BOTTOM = 46, 26, 10, 40
CELL = "padding:5px 14px 5px 0;vertical-align:top"
LINE = "border-top:1px solid #80808040"
RIGHT_COLOR, WRONG_COLOR = "0,114,178", "213,94,0"
KINDS = {
    "both right": "#8594a3", "right on x alone": "#0072b2", "right on y alone": "#b8a800",
    "both wrong": "#d55e00", "right": "#8594a3", "wrong": "#d55e00", "predicted": "#8594a3",
}  # fmt: skip


def model_looks(names: Sequence[str]) -> dict[str, tuple[str, str]]:
    """{model: colour, dashes}; the first forty are all told apart."""
    return {
        name: (COLORS[at % len(COLORS)], DASHES[at // len(COLORS) % len(DASHES)])
        for at, name in enumerate(names)
    }


def leaderboard(
    table: pd.DataFrame,
    facts: pd.DataFrame,
    lines: Mapping[str, float],
    looks: Mapping[str, tuple[str, str]],
    chosen: str = "",
    plain: frozenset[str] = frozenset(),
    ways: Mapping[str, str] | None = None,
    label: str = "Leaderboard",
) -> str:
    """A row a model, a dot with its interval in each column; then its facts, as they stand.

    table: columns row, column, estimate, low, high, why, digits. facts: a row a model, in their order; its
    column "under" stands below the name. lines: what is drawn through a column: chance, no difference.
    plain: models with a diamond, the baselines. ways: {model: address} of those that can be opened.
    """
    columns, told = list(dict.fromkeys(table["column"])), [name for name in facts if name != "under"]
    cells = {(row.row, row.column): row for row in table.itertuples()}
    ends = {name: _ends(table[table["column"] == name], lines.get(name)) for name in columns}
    heads = "".join(f'<th scope="col" style="{CELL};text-align:left">{_safe(n)}</th>' for n in columns)
    numbers = "".join(f'<th scope="col" style="{CELL};text-align:right">{_safe(n)}</th>' for n in told)
    body = []
    for name, fact in facts.iterrows():
        head = _name(name, fact["under"], looks.get(name), name == chosen, (ways or {}).get(name, ""))
        look = (looks.get(name, (GRAY, ""))[0], name in plain)
        drawn = [_cell(name, n, cells.get((name, n)), lines.get(n), ends[n], look) for n in columns]
        rest = [f'<td style="{CELL};text-align:right;white-space:nowrap">{_safe(fact[n])}</td>' for n in told]
        body.append(f'<tr style="{LINE}">{head}{"".join(drawn)}{"".join(rest)}</tr>')
    return (
        f'<div role="region" tabindex="0" aria-label="{_safe(label)}" style="overflow-x:auto">'
        f'<table style="border-collapse:collapse"><thead><tr><th scope="col" style="{CELL};text-align:left">'
        f"Model</th>{heads}{numbers}</tr></thead><tbody>{''.join(body)}</tbody></table></div>"
    )


def _safe(text: object) -> str:
    return html.escape(str(text))


def _ends(rows: pd.DataFrame, line: float | None) -> tuple[float, float]:
    """Where a column's axis begins and ends: at its lowest and highest value, and a little further."""
    values = rows[["estimate", "low", "high"]].to_numpy(dtype=float)
    values = np.r_[values[np.isfinite(values)], [] if line is None else line]
    low, high = (values.min(), values.max()) if len(values) else (0.0, 1.0)
    wide = 0.05 * (high - low) or 0.5
    return low - wide, high + wide


def _name(name: str, under: str, look: tuple[str, str] | None, chosen: bool, way: str) -> str:
    mark = line_mark(*look) if look else '<span style="display:inline-block;width:30px"></span>'
    said = f'<b aria-current="true">{_safe(name)}</b>' if chosen else _safe(name)
    if way:
        said = f'<a href="{_safe(way)}" style="color:inherit">{said}</a>'
    return (
        f'<th scope="row" style="{CELL};text-align:left;font-weight:normal;min-width:190px">'
        f'<div style="display:flex;gap:8px"><span>{mark}</span><span style="overflow-wrap:anywhere">{said}'
        f'<br><span style="font-size:0.8em;opacity:0.8">{_safe(under)}</span></span></div></th>'
    )


def line_mark(color: str, dash: str) -> str:
    """A piece of a model's line."""
    return (
        f'<svg width="30" height="10" aria-hidden="true"><line x1="0" y1="5" x2="30" y2="5" stroke="{color}" '
        f'stroke-width="3" stroke-dasharray="{dash}"/></svg>'
    )


def _cell(name: str, column: str, row, line: float | None, ends: tuple, look: tuple[str, bool]) -> str:
    if row is None or np.isnan(row.estimate):
        why = row.why if row is not None else ""
        short = f'<span style="font-size:0.75em;opacity:0.8">{_safe(why)}</span>' if why else "–"
        return f'<td style="{CELL};max-width:{TRACK}px">{short}</td>'
    color, diamond = look
    number = spoken(row.estimate, row.low, row.high, digits=row.digits)

    def at(value: float) -> float:
        return 100 * float((value - ends[0]) / (ends[1] - ends[0]))

    marks = ""
    if line is not None:
        marks += f'<div style="position:absolute;left:{at(line):.2f}%;top:0;height:14px;{_DASHED}"></div>'
    if row.low <= row.high:
        wide = f"left:{at(row.low):.2f}%;width:{at(row.high) - at(row.low):.2f}%"
        marks += f'<div style="position:absolute;{wide};top:6px;height:2px;background:{color}"></div>'
    form = "transform:rotate(45deg)" if diamond else "border-radius:5px"
    marks += (
        f'<div style="position:absolute;left:{at(row.estimate):.2f}%;top:2px;width:10px;height:10px;'
        f'margin-left:-5px;background:{color};{form}"></div>'
    )
    note = f'<div style="font-size:0.75em;opacity:0.8">{_safe(row.why)}</div>' if row.why else ""
    return (
        f'<td style="{CELL}"><div style="font-size:0.85em;white-space:nowrap">{_safe(number)}</div>'
        f'<div aria-hidden="true" title="{_safe(f"{name}, {column}: {number}")}" '
        f'style="position:relative;height:14px;width:{TRACK}px">{marks}</div>{note}</td>'
    )


_DASHED = "border-left:1px dashed #808080"


@dataclass(frozen=True)
class Curve:
    """What `chart` draws of a model: a line, or dots with intervals (low, high) as large as `n` says.

    y may be NaN, where the line has a gap. bold: intervals are drawn and n stands at the foot; else only
    hints say both.
    """

    name: str
    x: Sequence[float]
    y: Sequence[float]
    color: str
    dash: str = ""
    width: float = 2
    low: Sequence[float] = field(default=())
    high: Sequence[float] = field(default=())
    n: Sequence[int] = field(default=())
    bold: bool = False


def chart(
    title: str,
    xlabel: str,
    ylabel: str,
    curves: Sequence[Curve],
    told: str,
    xlim: tuple[float, float] = (0, 1),
    ylim: tuple[float, float] = (0, 1),
    rules: Sequence[tuple[float, float, float, float]] = (),
) -> str:
    """Lines and dots over two axes, as SVG in HTML.

    told: what is read aloud. rules: dotted lines, x0, y0, x1, y1.
    """

    def x_at(value: float) -> float:
        return LEFT + WIDE * (value - xlim[0]) / (xlim[1] - xlim[0])

    def y_at(value: float) -> float:
        return TOP + HIGH * (1 - (value - ylim[0]) / (ylim[1] - ylim[0]))

    parts = [_axes(title, xlabel, ylabel, xlim, ylim, x_at, y_at)]
    for x0, y0, x1, y1 in rules:
        place = f'x1="{x_at(x0):.1f}" y1="{y_at(y0):.1f}" x2="{x_at(x1):.1f}" y2="{y_at(y1):.1f}"'
        parts.append(f'<line {place} stroke="currentColor" opacity="0.6" stroke-dasharray="2 3"/>')
    for curve in curves:
        parts += [_line(curve, x_at, y_at), _dots(curve, x_at, y_at)]
    width, height = LEFT + WIDE + RIGHT, TOP + HIGH + BOTTOM
    return (
        f'<svg role="img" aria-label="{_safe(f"{title}. {told}")}" viewBox="0 0 {width} {height}" '
        f'width="{width}" height="{height}" font-size="11" fill="currentColor" '
        f'xmlns="http://www.w3.org/2000/svg">{"".join(parts)}</svg>'
    )


def _axes(title: str, xlabel: str, ylabel: str, xlim, ylim, x_at: Callable, y_at: Callable) -> str:
    text = '<text x="{:.1f}" y="{:.1f}" text-anchor="{}"{}>{}</text>'
    middle, below = TOP + HIGH / 2, TOP + HIGH
    bold, turned = ' font-weight="bold" font-size="12"', f' transform="rotate(-90 11 {middle:.1f})"'
    parts = [
        text.format(LEFT, 15, "start", bold, _safe(title)),
        text.format(LEFT + WIDE / 2, below + 33, "middle", "", _safe(xlabel)),
        text.format(11, middle, "middle", turned, _safe(ylabel)),
    ]
    for tick in ticks(*xlim):
        x = x_at(tick)
        parts.append(_grid(x, TOP, x, below) + text.format(x, below + 15, "middle", "", f"{tick:g}"))
    for tick in ticks(*ylim):
        y = y_at(tick)
        parts.append(_grid(LEFT, y, LEFT + WIDE, y) + text.format(LEFT - 5, y + 4, "end", "", f"{tick:g}"))
    return "".join(parts)


def _grid(x0: float, y0: float, x1: float, y1: float) -> str:
    place = f'x1="{x0:.1f}" y1="{y0:.1f}" x2="{x1:.1f}" y2="{y1:.1f}"'
    return f'<line {place} stroke="currentColor" opacity="0.15"/>'


def ticks(low: float, high: float) -> list[float]:
    """Some four to seven short numbers between two ends."""
    rough = (high - low) / 5
    power = 10.0 ** np.floor(np.log10(rough))
    step = power * next(s for s in (1, 2, 2.5, 5, 10) if s * power >= 0.99 * rough)
    first, last = np.ceil(low / step - 1e-9), np.floor(high / step + 1e-9)
    return [round(float(k * step), 10) + 0.0 for k in np.arange(first, last + 1)]


def _line(curve: Curve, x_at: Callable, y_at: Callable) -> str:
    """One path, to half a pixel; points that fall on one place are drawn once."""
    x, y = (np.asarray(part, dtype=float) for part in (curve.x, curve.y))
    places = np.stack([np.round(x_at(x) * 2) / 2, np.round(y_at(y) * 2) / 2], axis=1)
    gap = np.isnan(places).any(axis=1)
    starts = np.r_[True, gap[:-1]][: len(gap)]
    moved = np.r_[True, (places[1:] != places[:-1]).any(axis=1)][: len(gap)]
    kept = ~gap & (moved | starts)
    path = "".join(
        f"{'M' if start else 'L'}{at[0]:g} {at[1]:g}"
        for at, start in zip(places[kept], starts[kept], strict=True)
    )
    return (
        f'<path d="{path}" fill="none" stroke="{curve.color}" stroke-width="{curve.width}" '
        f'stroke-dasharray="{curve.dash}" stroke-linejoin="round"><title>{_safe(curve.name)}</title></path>'
    )


def _dots(curve: Curve, x_at: Callable, y_at: Callable) -> str:
    parts, most = [], max([1, *curve.n])
    for x, y, low, high, n in zip(curve.x, curve.y, curve.low, curve.high, curve.n, strict=False):
        at, said = x_at(x), f"{curve.name}: {x:.2f}, {spoken(y, low, high)}, n = {n}"
        bar = f'x1="{at:.1f}" x2="{at:.1f}" y1="{y_at(low):.1f}" y2="{y_at(high):.1f}"'
        if curve.bold:
            parts.append(f'<line {bar} stroke="{curve.color}" stroke-width="2" opacity="0.8"/>')
        parts.append(
            f'<circle cx="{at:.1f}" cy="{y_at(y):.1f}" r="{2.5 + 4 * np.sqrt(n / most):.1f}" '
            f'fill="{curve.color}"><title>{_safe(said)}</title></circle>'
        )
        if curve.bold:
            parts.append(f'<text x="{at:.1f}" y="{TOP + HIGH - 4}" text-anchor="middle">{n}</text>')
    return "".join(parts)


def confusion_table(square: pd.DataFrame, way: Callable[[str, str], str] | None = None) -> str:
    """Labels (rows) by what was predicted (columns), counts and percent of the row, in HTML.

    Right ones are shaded blue, wrong ones orange, by their share of the row. way: gives the address that a
    cell with cases in it leads to; without it they are plain numbers.
    """
    look = "padding:4px 10px;text-align:center"
    heads = "".join(f'<th scope="col" style="{look}">{_safe(name)}</th>' for name in square.columns)
    rows = []
    for label, counts in square.iterrows():
        whole = max(int(counts.sum()), 1)
        cells = "".join(_counted(label, said, int(n), whole, way) for said, n in counts.items())
        rows.append(
            f'<tr><th scope="row" style="{look};text-align:left">{_safe(label)}</th>{cells}'
            f'<td style="{look};opacity:0.8">{int(counts.sum()):,}</td></tr>'
        )
    return (
        '<div role="region" tabindex="0" aria-label="Confusion table" style="overflow-x:auto">'
        '<table style="border-spacing:2px"><thead><tr><td></td>'
        f'<th colspan="{len(square.columns)}" scope="colgroup" style="{look};font-weight:normal">predicted'
        f'</th></tr><tr><th scope="col" style="{look};text-align:left;font-weight:normal">label</th>{heads}'
        f'<th scope="col" style="{look};font-weight:normal">cases</th></tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div>"
    )


def _counted(label: str, said: str, n: int, whole: int, way: Callable | None) -> str:
    color = RIGHT_COLOR if label == said else WRONG_COLOR
    shade = f"background:rgba({color},{0.42 * n / whole:.3f})"
    inside = f'{n:,}<br><span style="font-size:0.8em">{100 * n / whole:.0f} %</span>'
    if n and way is not None:
        told = f"{n} cases, label {label}, predicted {said}: open them on the Cases page"
        inside = (
            f'<a href="{_safe(way(label, said))}" aria-label="{_safe(told)}" title="{_safe(told)}" '
            f'style="color:inherit;display:block">{inside}</a>'
        )
    return f'<td style="min-width:58px;padding:4px 10px;text-align:center;{shade}">{inside}</td>'


def answer_dots(dots: pd.DataFrame) -> hv.Points:
    """One dot a case: columns id, x, y, kind (of `KINDS`), said (a hint); to be tapped."""
    spots = dots.astype({"x": "float32", "y": "float32"})[["x", "y", "id", "said"]]
    spots["color"] = dots["kind"].map(KINDS).to_numpy()
    return hv.Points(spots, ["x", "y"], ["id", "said", "color"]).opts(
        color="color", size=8, fill_alpha=0.75, line_color=None, nonselection_alpha=0.75,
        selection_alpha=0.75, tools=[HoverTool(tooltips=[("case", "@id"), ("", "@said")])],
        default_tools=["tap"], active_tools=["tap"], toolbar=None, frame_width=430, frame_height=380,
        show_legend=False, framewise=True,
    )  # fmt: skip


def dot_rules(lines: Sequence[tuple[float, float, float, float]]) -> hv.Segments:
    """Lines behind the dots, x0, y0, x1, y1."""
    columns = ["x", "y", "x1", "y1"]
    rows = pd.DataFrame([*lines], columns=columns, dtype="float32")
    return hv.Segments(rows, columns).opts(
        color="#808080", line_dash="dashed", line_width=1.2, framewise=True
    )


def kinds_legend(kinds: Iterable[str]) -> str:
    """What the dots' colours mean, in HTML."""
    there = set(kinds) - {"predicted"}
    parts = [
        f'<span style="white-space:nowrap"><span aria-hidden="true" style="color:{KINDS[kind]}">●</span> '
        f"{kind}</span>"
        for kind in KINDS
        if kind in there
    ]
    return f'<div style="display:flex;flex-wrap:wrap;gap:4px 16px;font-size:0.9em">{"".join(parts)}</div>'


def dot_ring(x: float, y: float) -> hv.Points:
    """A ring around the dot of the chosen case; nowhere for NaN."""
    return hv.Points([(x, y)], ["x", "y"]).opts(
        fill_alpha=0, line_color=CHOSEN, line_width=3, size=16, nonselection_alpha=1, framewise=True
    )
