"""What the record's columns added, and what each model says, as bars in HTML: themed, and read aloud."""

import html
from collections.abc import Mapping, Sequence

from studykit.draw.scan import AGAINST, FOR

SAID = "#5b7083"
BAR = (
    '<div style="overflow-wrap:anywhere">{name}</div>'
    '<div role="img" aria-label="{told}" title="{told}" style="position:relative;height:16px;'
    'border:solid #80808060;border-width:0 1px">{line}<div style="position:absolute;left:{left:.2f}%;'
    'width:{width:.2f}%;height:16px;background:{color}"></div></div><div>{number}</div>'
)
LINE = '<div style="position:absolute;left:{:.2f}%;height:16px;border-left:1px dotted #808080"></div>'
ENDS = (
    '<div></div><div style="display:flex;justify-content:space-between;font-size:0.8em">'
    "<span>{}</span><span>{}</span><span>{}</span></div><div></div>"
)


def column_effects(
    effects: Mapping[str, float],
    labels: Mapping[str, str],
    limit: float,
    unit: str = "added to the logit",
    title: str = "Record: what each column added",
    signed: bool = True,
) -> str:
    """One bar a source column, what it added, in words of `unit`; `labels` say the case's value.

    The axis runs from -limit (0 where effects have no sign) to +limit, so that two cases can be compared.
    """
    low = -limit if signed else 0.0
    rows = []
    for name, value in effects.items():
        number = f"{value:+.3f}" if signed else f"{value:.3f}"
        rows.append(_bar(labels[name], value, low, limit, FOR if value > 0 else AGAINST, number, 0.0))
    return _grid(f"{title} ({unit})", rows, low, limit)


def class_probabilities(names: Sequence[str], p: Sequence[float], label: str) -> str:
    """One bar a model: its probability for the class `label`; the line is at one half."""
    of = f" of {label}" if len(label) < 20 else ""
    rows = [
        _bar(name, value, 0.0, 1.0, SAID, f"{value:.2f}", 0.5) for name, value in zip(names, p, strict=True)
    ]
    return _grid(f"How sure is each model{of}? (probability of {label})", rows, 0.0, 1.0)


def predicted_values(names: Sequence[str], values: Sequence[float], label: str) -> str:
    """One bar a model: the number that it gives."""
    low, high = min(0.0, *values), max(0.0, *values)
    high = high if high > low else 1.0
    rows = [
        _bar(name, value, low, high, SAID, f"{value:.3g}", 0.0)
        for name, value in zip(names, values, strict=True)
    ]
    return _grid(f"What does each model say of {label}?", rows, low, high)


def _bar(name: str, value: float, low: float, high: float, color: str, number: str, line: float) -> str:
    """From 0 to the value, on an axis from low to high with a line at `line`."""
    at = [100 * (min(max(x, low), high) - low) / (high - low) for x in (0.0, value, line)]
    told = html.escape(f"{name}: {number}", quote=True)
    return BAR.format(
        name=html.escape(str(name)), told=told, line=LINE.format(at[2]), left=min(at[:2]),
        width=abs(at[1] - at[0]), color=color, number=number,
    )  # fmt: skip


def _grid(title: str, rows: Sequence[str], low: float, high: float) -> str:
    ends = ENDS.format(*(f"{x:.2g}" for x in (low, (low + high) / 2, high)))
    return (
        f'<div style="font-weight:bold;margin-bottom:4px">{html.escape(title)}</div><div style="display:grid;'
        "grid-template-columns:fit-content(190px) minmax(70px,200px) max-content;gap:4px 10px;"
        'align-items:center">'
        f"{''.join(rows)}{ends if rows else ''}</div>"
    )
