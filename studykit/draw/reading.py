"""What readers answered, how far they agree and how well they read: bars in HTML, curves for the eye."""

import html
from collections.abc import Mapping, Sequence

import holoviews as hv
import numpy as np
import pandas as pd
from bokeh.models import HoverTool

from studykit.draw.quality import COLORS, DASHES, GRAY, interval_grid
from studykit.draw.shares import percent

# Brown and teal stay apart for every kind of colour vision, and the middle is gray (ColorBrewer's BrBG).
LOW, MIDDLE, HIGH = ("#8c510a", "#bf812d", "#dfc27d"), "#c4c4c4", ("#80cdc1", "#35978f", "#01665e")
NOMINAL = ("#009e73", "#cc79a7", "#56b4e9", "#b8a800", "#8c6bb1", "#7f7f7f", "#d55e00", "#0072b2")
WIDE = 420  # pixels of a bar's whole track
NARROW = 200  # where a sentence stands before and behind it
BAR = "position:absolute;top:0;height:24px;line-height:24px;overflow:hidden;text-align:center;font-size:0.8em"
SIDE = 300  # pixels of a curve's frame
FRAME = {
    "frame_width": SIDE, "frame_height": SIDE, "toolbar": None, "default_tools": [], "active_tools": [],
    "show_grid": True, "fontsize": {"title": 10}, "show_legend": False,
}  # fmt: skip


def condition_looks(conditions: Sequence[object]) -> dict[object, tuple[str, str]]:
    """{condition: colour, dash}; no two of the first eight differ in colour alone by accident of sight."""
    return {name: (COLORS[at % len(COLORS)], DASHES[at % len(DASHES)]) for at, name in enumerate(conditions)}


def answer_colors(count: int, diverging: bool) -> list[str]:
    """A colour for each of `count` answers: from brown over gray to teal, or of no order."""
    if not diverging:
        return [NOMINAL[at % len(NOMINAL)] for at in range(count)]
    side = count // 2
    middle = [MIDDLE] * (count % 2)
    return [*_shades(LOW, side), *middle, *reversed(_shades(HIGH[::-1], side))]


def _shades(three: Sequence[str], count: int) -> list[str]:
    """`count` colours from the first of three to the last; the middle one alone where one is wanted."""
    if count == 1:
        return [three[1]]
    parts = np.array([[int(color[at : at + 2], 16) for at in (1, 3, 5)] for color in three])
    places = np.linspace(0, 2, count)
    mixed = [np.interp(places, range(3), parts[:, part]).round().astype(int) for part in range(3)]
    return [f"#{r:02x}{g:02x}{b:02x}" for r, g, b in zip(*mixed, strict=True)]


def answer_bars(
    table: pd.DataFrame, answers: Sequence[object], labels: Sequence[str], diverging: bool
) -> str:
    """How often each answer was given, a bar a row, in HTML: themed, and read aloud.

    table: columns row, answer, count. answers: all that can be given, in order; labels: their words.
    diverging: bars lie around the middle of the answers (Likert items), the lower half on its left; else
    all begin at 0.
    """
    counts = table.pivot_table("count", "row", "answer", "sum", observed=True, sort=False)
    counts = counts.reindex(columns=list(answers)).fillna(0)
    rows, whole = counts.to_numpy(dtype=float), counts.sum(axis="columns").to_numpy()
    shares = rows / np.where(whole, whole, 1)[:, None]  # (rows, answers)
    left = _left_of_middle(shares) if diverging else np.zeros(len(shares))
    ends = left.max(initial=0.0), (1 - left).max(initial=0.0)
    scale = sum(ends) or 1.0
    colors = answer_colors(len(answers), diverging)
    drawn = [
        _answer_row(str(name), share, int(n), (ends[0] - start) / scale, scale, labels, colors)
        for name, share, n, start in zip(counts.index, shares, whole, left, strict=True)
    ]
    line = _place(ends[0] / scale, 0, "top:-3px;height:30px;border-left:1px dashed #808080")
    body = "".join(row.replace("<!--line-->", line if diverging else "") for row in drawn)
    return f'<div role="list" style="{_grid("max-content")}">{body}</div>{_key(labels, colors)}'


def _left_of_middle(shares: np.ndarray) -> np.ndarray:
    """Of each row: the share of the lower answers, and half of the middle one."""
    side, odd = divmod(shares.shape[1], 2)
    return shares[:, :side].sum(axis=1) + (shares[:, side] / 2 if odd else 0)


def _answer_row(
    name: str, shares: np.ndarray, n: int, start: float, scale: float,
    labels: Sequence[str], colors: Sequence[str],
) -> str:  # fmt: skip
    told = [f"{label} {percent(share)}" for label, share in zip(labels, shares, strict=True)]
    marks, at = "", start
    for share, color, said in zip(shares, colors, told, strict=True):
        if share:
            inside = f"{100 * share:.0f} %" if share / scale * WIDE > 34 else ""
            look = f"{BAR};background:{color};color:{_ink(color)}"
            marks += _place(at, share / scale, look, inside, html.escape(said))
        at += share / scale
    return _row(name, f"{name}, {n} answers: {'; '.join(told)}", f"{marks}<!--line-->", f"n = {n:,}")


def _row(name: str, told: str, marks: str, number: str, wide: int = WIDE) -> str:
    return (
        '<div role="listitem" style="display:contents">'
        f'<div aria-hidden="true" style="overflow-wrap:anywhere">{html.escape(name)}</div>'
        f'<div role="img" aria-label="{html.escape(told)}" style="position:relative;height:24px;'
        f'width:{wide}px">{marks}</div>'
        f'<div aria-hidden="true" style="white-space:nowrap">{html.escape(number)}</div></div>'
    )


def _grid(last: str, wide: int = WIDE) -> str:
    return (
        f"display:grid;grid-template-columns:fit-content(240px) {wide}px {last};"
        "gap:8px 14px;align-items:center;margin:4px 0"
    )


def _place(left: float, width: float, look: str, inside: str = "", title: str = "") -> str:
    hint = f' title="{title}"' if title else ""
    return (
        f'<div{hint} style="position:absolute;left:{100 * left:.3f}%;width:{100 * width:.3f}%;{look}">'
        f"{inside}</div>"
    )


def _ink(color: str) -> str:
    """Black or white, whichever reads better on the colour (WCAG's luminance)."""
    parts = np.array([int(color[at : at + 2], 16) for at in (1, 3, 5)]) / 255
    linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
    return "#000" if linear @ (0.2126, 0.7152, 0.0722) > 0.179 else "#fff"


def _key(labels: Sequence[str], colors: Sequence[str]) -> str:
    """What the colours mean."""
    parts = [
        f'<span style="white-space:nowrap"><span aria-hidden="true" style="display:inline-block;width:12px;'
        f'height:12px;background:{color};margin-right:5px"></span>{html.escape(str(label))}</span>'
        for label, color in zip(labels, colors, strict=True)
    ]
    return f'<div style="display:flex;flex-wrap:wrap;gap:4px 16px;font-size:0.9em">{"".join(parts)}</div>'


def spread_boxes(table: pd.DataFrame, unit: str, looks: Mapping[object, tuple[str, str]]) -> str:
    """How numbers lie (columns row, value), a box a row, in HTML: quartiles, and 5 % to 95 % as a line.

    looks: {row: colour, dash}, in order. All rows have one axis, from the lowest 5 % to the highest 95 %.
    """
    quantiles = {
        name: rows["value"].quantile([0.05, 0.25, 0.5, 0.75, 0.95]).to_numpy(dtype=float)
        for name, rows in table.dropna(subset=["value"]).groupby("row", observed=True)
    }
    if not quantiles:
        return ""
    counts = table.dropna(subset=["value"]).groupby("row", observed=True).size()
    whole = np.array(list(quantiles.values()))
    ends = float(whole.min()), float(whole.max()) if whole.max() > whole.min() else float(whole.min()) + 1.0
    drawn = [
        _box(str(name), quantiles[name], int(counts[name]), ends, unit, looks[name][0])
        for name in looks
        if name in quantiles
    ]
    axis = "".join(f"<span>{_short(end)} {html.escape(unit)}</span>" for end in ends)
    line = (
        f'<div></div><div aria-hidden="true" style="display:flex;justify-content:space-between;'
        f'font-size:0.8em;opacity:0.75">{axis}</div><div></div>'
    )
    return f'<div role="list" style="{_grid("max-content")}">{"".join(drawn)}{line}</div>'


def _box(name: str, q: np.ndarray, n: int, ends: tuple[float, float], unit: str, color: str) -> str:
    at = (q - ends[0]) / (ends[1] - ends[0])
    marks = _place(at[0], at[4] - at[0], f"top:11px;height:2px;min-width:1px;background:{color}")
    marks += _place(at[1], at[3] - at[1], f"top:3px;height:18px;min-width:1px;background:{color}80")
    marks += _place(at[2], 0, "top:0;height:24px;border-left:3px solid;margin-left:-1px")
    said = f"median {_short(q[2])}, quartiles {_short(q[1])} to {_short(q[3])}"
    told = f"{name}, {n} answers: {said} {unit}"
    return _row(name, told, marks, f"{said}; n = {n:,}")


def _short(value: float) -> str:
    """A number with three digits that count."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def part_of_whole(table: pd.DataFrame) -> str:
    """How often, of how many: columns row, part, whole, said; as wide as there are occasions, in HTML.

    `said` stands behind the bar: the share with its interval, or why there is none.
    """
    most, drawn = max(float(table["whole"].max()), 1.0) if len(table) else 1.0, []
    for row in table.itertuples():
        part, whole = (0 if np.isnan(value) else int(value) for value in (row.part, row.whole))
        marks = _place(0, whole / most, f"{BAR};box-sizing:border-box;border:1px solid {COLORS[2]}")
        marks += _place(0, part / most, f"{BAR};background:{COLORS[2]}b0")
        number = f"{part:,} of {whole:,}: {row.said}"
        drawn.append(_row(str(row.row), f"{row.row}: {number}", marks, number, NARROW))
    return f'<div role="list" style="{_grid("minmax(120px,max-content)", NARROW)}">{"".join(drawn)}</div>'


def forest(table: pd.DataFrame, line: float = 0.0, together: bool = False) -> str:
    """Estimates with intervals (columns row, column, estimate, low, high, why), in HTML.

    Where a row has a column twice, the first stands. line: what stands for nothing (no agreement beyond
    chance, no difference), drawn through every cell. together: all columns have one axis, else each its own.
    """
    table = table.drop_duplicates(["row", "column"])
    ends = {
        name: neat_ends(rows[["estimate", "low", "high"]].to_numpy(dtype=float).ravel(), line)
        for name, rows in table.assign(column="" if together else table["column"]).groupby("column")
    }
    return interval_grid(table.assign(control=False), line, ends=ends[""] if together else ends)


def neat_ends(values: np.ndarray, line: float) -> tuple[float, float]:
    """Where an axis begins and ends: all values and the line lie on it, and its ends are short numbers."""
    values = [line, *values[np.isfinite(values)]]
    low, high = min(values), max(values)
    wide = high - low if high - low > 1e-9 else 1.0
    step = 10.0 ** np.floor(np.log10(wide)) / 2
    low, high = np.floor(low / step) * step, np.ceil(high / step) * step
    return float(round(low, 10)), float(round(max(high, low + step), 10))


def mean_roc(points: pd.DataFrame) -> pd.DataFrame:
    """The readers' mean ROC curve of each condition: condition, false_positive, true_positive.

    points: columns reader, condition, false_positive, true_positive, along each curve. At every share of
    false positives the true positives are averaged over readers, so that the area below the mean is the mean
    of the areas.
    """
    made = []
    for condition, some in points.groupby("condition", sort=False, observed=True):
        grid = np.unique(some["false_positive"].to_numpy(dtype=float))
        heights = [_limits(grid, curve) for _, curve in some.groupby("reader", observed=True)]
        mean = np.mean(heights, axis=0)  # (2, grid): as the share is neared from the left and from the right
        made.append(
            pd.DataFrame(
                {
                    "condition": condition,
                    "false_positive": np.repeat(grid, 2),
                    "true_positive": mean.T.ravel(),
                }
            )
        )
    columns = ["condition", "false_positive", "true_positive"]
    return pd.concat(made, ignore_index=True) if made else pd.DataFrame(columns=columns)


def _limits(grid: np.ndarray, curve: pd.DataFrame) -> np.ndarray:
    """(2, grid): how high a curve stands at each share, before and after it rises straight up there."""
    ends = curve.groupby("false_positive")["true_positive"].agg(["min", "max"])
    x, bottom, top = (np.asarray(part, dtype=float) for part in (ends.index, ends["min"], ends["max"]))
    at = np.clip(np.searchsorted(x, grid), 0, len(x) - 1)
    before, here = np.maximum(at - 1, 0), x[at] == grid
    wide = np.where(x[at] > x[before], x[at] - x[before], 1.0)
    between = top[before] + (bottom[at] - top[before]) * (grid - x[before]) / wide
    return np.stack([np.where(here, bottom[at], between), np.where(here, top[at], between)])


def roc_curves(points: pd.DataFrame, looks: Mapping[object, tuple[str, str]], title: str = "") -> hv.Overlay:
    """One thin ROC curve a reader and condition, and a thick one for the readers' mean of each condition.

    points: as `mean_roc` takes them. looks: {condition: colour, dash}.
    """
    drawn = [_diagonal("false_positive", "true_positive")]
    means = mean_roc(points)
    for condition, (color, dash) in looks.items():
        some = points[points["condition"] == condition]
        if some.empty:
            continue
        hints = HoverTool(tooltips=[("reader", "@reader"), ("", "@condition")])
        thin = hv.Curve(_apart(some), "false_positive", ["true_positive", "reader", "condition"])
        drawn.append(thin.opts(color=color, line_alpha=0.55, line_width=0.9, tools=[hints]))
        mean = means[means["condition"] == condition][["false_positive", "true_positive"]].astype("float32")
        drawn.append(hv.Curve(mean).opts(color=color, line_dash=dash, line_width=3.5))
    return hv.Overlay(drawn).opts(
        xlabel="false positives, of all that are negative", xlim=(-0.01, 1.01), ylim=(-0.01, 1.01),
        ylabel="true positives, of all that are positive", title=title, **FRAME,
    )  # fmt: skip


def _apart(points: pd.DataFrame) -> pd.DataFrame:
    """The readers' curves one after the other with a gap between, so that one line draws them all."""
    parts = []
    for _, curve in points.groupby("reader", observed=True):
        parts += [curve, curve.tail(1).assign(true_positive=np.nan)]
    lines = pd.concat(parts, ignore_index=True)[["false_positive", "true_positive", "reader", "condition"]]
    words = {"reader": str, "condition": str}
    return lines.astype({"false_positive": "float32", "true_positive": "float32", **words})


def reliability_dots(
    table: pd.DataFrame, looks: Mapping[object, tuple[str, str]], xlabel: str, diagonal: bool
) -> hv.Overlay:
    """How often readers who trusted so much were right: a dot a bin, as large as it has answers.

    table: columns row, trust (the bin's middle), estimate, low, high, n. looks: {row: colour, dash}.
    diagonal: where trust is itself a share, what right trust would be.
    """
    drawn = [_diagonal("trust", "right")] if diagonal else []
    most = float(table["n"].max()) or 1.0
    span = float(table["trust"].max() - table["trust"].min()) or 1.0
    for at, (name, (color, dash)) in enumerate(looks.items()):
        rows = table[(table["row"] == name) & table["estimate"].notna()].sort_values("trust")
        if rows.empty:
            continue
        x = rows["trust"].to_numpy(dtype="float32") + 0.012 * span * (at - (len(looks) - 1) / 2)
        y, n = rows["estimate"].to_numpy(dtype="float32"), rows["n"].to_numpy()
        line = pd.DataFrame(
            {"trust": x, "right": rows["low"].to_numpy(), "x1": x, "high": rows["high"].to_numpy()}
        )
        drawn.append(
            hv.Segments(line.dropna(), ["trust", "right", "x1", "high"]).opts(color=color, line_width=2)
        )
        drawn.append(hv.Curve((x, y), "trust", "right").opts(color=color, line_dash=dash, line_width=1.5))
        spots = pd.DataFrame(
            {"trust": x, "right": y, "answers": n, "row": str(name), "size": 6 + 14 * np.sqrt(n / most)}
        )
        hints = HoverTool(tooltips=[("", "@row"), ("right", "@right{0.00}"), ("answers", "@answers")])
        dots = hv.Points(spots, ["trust", "right"], ["answers", "row", "size"])
        drawn.append(dots.opts(color=color, size="size", line_color=None, tools=[hints]))
    return hv.Overlay(drawn).opts(
        xlabel=xlabel, ylabel="share of answers that were right", ylim=(-0.03, 1.03), **FRAME
    )


def _diagonal(x: str, y: str) -> hv.Curve:
    return hv.Curve([(0, 0), (1, 1)], x, y).opts(color=GRAY, line_dash="dotted", line_width=1)


def agreement_dots(dots: pd.DataFrame, label: str, colors: Mapping[str, str]) -> hv.Points:
    """One dot a case: columns id, share (the map's score), agreement, kind and said (a hint); to be tapped.

    Dots that would hide one another stand a little apart. colors: {kind: colour}, in the legend's order.
    """
    span = float(np.ptp(dots["share"])) or 1.0
    alike = dots.groupby([(dots["share"] / span * 40).round(), "agreement"], sort=False).cumcount()
    shown = dots.assign(y=dots["agreement"] - 0.018 * alike, told=dots["agreement"].map("{:.2f}".format))
    kinds = {kind: color for kind, color in colors.items() if kind in set(dots["kind"])}
    hints = [("case", "@id"), ("", "@said"), (label, "@share{0.000}"), ("agreement", "@told")]
    points = hv.Points(shown, ["share", "y"], ["id", "told", "said", "kind"])
    return points.opts(
        color="kind", cmap=kinds, size=10, fill_alpha=0.75, line_color=None, show_legend=True,
        legend_position="top", legend_opts={"orientation": "horizontal"}, xlabel=label, toolbar=None,
        ylabel="how far readers agree", ylim=(-0.1, 1.06), frame_width=430, frame_height=300, padding=0.06,
        tools=[HoverTool(tooltips=hints)], default_tools=["tap"], active_tools=["tap"],
        nonselection_alpha=0.75, selection_alpha=0.75,
    )  # fmt: skip
