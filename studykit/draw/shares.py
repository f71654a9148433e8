"""The shares of a model's modalities as bars, in HTML: read aloud, themed, quick to make for many models."""

import html
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

# Okabe and Ito's colours, apart for every kind of colour vision; orange and blue are left to the maps.
PALETTE = ("#009e73", "#cc79a7", "#56b4e9", "#b8a800", "#8c6bb1", "#7f7f7f")
PLANTED = "#d55e00"
DIAMOND = f'<span style="color:{PLANTED}" aria-hidden="true">◆</span>'
ROW = (
    '<div style="overflow-wrap:anywhere">{name}</div>'
    '<div role="img" aria-label="{told}" title="{told}" style="position:relative;height:22px;'
    'border:solid #80808080;border-width:0 1px">{marks}</div>'
    "<div>{number}</div>"
)
AXIS = (
    '<div></div><div style="display:flex;justify-content:space-between;font-size:0.8em;opacity:0.7">'
    "<span>0 %</span><span>50 %</span><span>100 %</span></div><div></div>"
)


def modality_colors(names: Sequence[str]) -> dict[str, str]:
    """A colour for each modality; the seventh has the first one's again."""
    return {name: PALETTE[at % len(PALETTE)] for at, name in enumerate(names)}


def share_bars(
    shares: pd.DataFrame, colors: Mapping[str, str], planted: Mapping[str, float] | None = None
) -> str:
    """One bar a modality (columns group, estimate, low, high), its interval as a line, its number beside it.

    planted: {modality: share of cases whose label shows there}, as diamonds. What cannot be told has no bar.
    """
    rows = [_row(row, colors[row.group], (planted or {}).get(row.group)) for row in shares.itertuples()]
    return (
        '<div style="display:grid;grid-template-columns:fit-content(130px) 230px max-content;'
        f'gap:6px 12px;align-items:center">{"".join(rows)}{AXIS}</div>'
    )


def _row(row, color: str, planted: float | None) -> str:
    name, number, marks = html.escape(str(row.group)), interval(row.estimate, row.low, row.high), ""
    told = f"{row.group} {number}"
    if not np.isnan(row.estimate):
        marks += _mark(0, row.estimate, f"top:0;height:22px;background:{color}73")
    if row.low < row.high:
        marks += _mark(row.low, row.high - row.low, f"top:9px;height:4px;min-width:2px;background:{color}")
    if planted is not None:
        told += f"; planted: the label shows there in {percent(planted)} of the cases"
        marks += _mark(
            planted, 0, "top:1px;line-height:20px", f'<span style="margin-left:-0.4em">{DIAMOND}</span>'
        )
    return ROW.format(name=name, told=html.escape(told), marks=marks, number=html.escape(number))


def _mark(left: float, width: float, look: str, inside: str = "") -> str:
    place = f"left:{100 * left:.3f}%;width:{100 * width:.3f}%"
    return f'<div style="position:absolute;{place};{look}">{inside}</div>'


def interval(estimate: float, low: float, high: float) -> str:
    """A share and its interval in words: 64 % (57 to 70)."""
    spread = "" if np.isnan(low) or low == high else f" ({100 * low:.0f} to {100 * high:.0f})"
    return f"{percent(estimate)}{spread}"


def percent(share: float) -> str:
    """A share in whole percent; what is not quite none or all says so."""
    if np.isnan(share):
        return "-"
    if 0 < share < 0.005:
        return "< 1 %"
    return "> 99 %" if 0.995 < share < 1 else f"{100 * share:.0f} %"
