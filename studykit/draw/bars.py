"""What the record's columns added, and what each model says, as horizontal bars."""

from collections.abc import Mapping, Sequence

import holoviews as hv
import numpy as np

from studykit.draw.scan import AGAINST, FOR

WIDTH = 230  # of the bars, pixels


def column_effects(
    effects: Mapping[str, float], labels: Mapping[str, str], limit: float, unit: str = "added to the logit"
) -> hv.Bars:
    """One bar a source column, what it added, in words of `unit`; `labels` say the case's value.

    The axis runs from -limit to +limit, so that bars of two cases can be compared.
    """
    rows = [(labels[name], value, FOR if value > 0 else AGAINST) for name, value in effects.items()]
    bars = hv.Bars(rows[::-1], kdims="column", vdims=[unit, "color"])
    return bars.opts(
        invert_axes=True, color="color", ylim=(-limit, limit), frame_width=WIDTH, xlabel="",
        frame_height=(34 if len(rows) < 9 else 22) * max(len(rows), 2), line_color=None, toolbar=None,
        bar_width=0.6, default_tools=[], tools=["hover"], show_grid=True,
        title="Record: what each column added",
    )  # fmt: skip


def class_probabilities(names: Sequence[str], p: Sequence[float], label: str) -> hv.Overlay:
    """One bar a model: its probability for the class `label`; the line is at one half."""
    rows = list(zip(names, np.round(p, 4), strict=True))
    of = f" of {label}" if len(label) < 20 else ""
    bars = hv.Bars(rows[::-1], kdims="model", vdims="probability")
    bars = bars.opts(
        invert_axes=True, color="#5b7083", ylim=(0, 1), frame_width=WIDTH, xlabel="", line_color=None,
        frame_height=34 * max(len(rows), 2), toolbar=None, bar_width=0.6, default_tools=[],
        tools=["hover"], ylabel=f"probability of {label}", title=f"How sure is each model{of}?",
    )  # fmt: skip
    half = hv.HLine(0.5)  # inverted with the bars
    return bars * half.opts(color="#888888", line_dash="dotted", line_width=1)


def predicted_values(names: Sequence[str], values: Sequence[float], label: str) -> hv.Bars:
    """One bar a model: the number that it gives."""
    bars = hv.Bars(list(zip(names, values, strict=True))[::-1], kdims="model", vdims="value")
    return bars.opts(
        invert_axes=True, color="#5b7083", frame_width=WIDTH, xlabel="", line_color=None,
        frame_height=34 * max(len(names), 2), toolbar=None, bar_width=0.6, default_tools=[],
        tools=["hover"], ylabel=label, title=f"What does each model say of {label}?",
    )  # fmt: skip
