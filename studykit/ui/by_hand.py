"""A picture that a hand moves: sliders and lists in a notebook cell, and the picture drawn anew for each.

Plain ipywidgets, no Panel: JupyterLab, VS Code and Colab show them. Where no kernel runs (a rendered page, a
notebook that is only read) the first picture stands.
"""

from collections.abc import Callable
from typing import Any

import ipywidgets as widgets

from studykit.catalog import InputError
from studykit.ui.standing import Standing

WIDE = {"description_width": "150px"}


class ByHand:
    """What `by_hand` gives: `box` holds the widgets, `handles` those that are moved, by name."""

    def __init__(self, drawn: Callable[..., str], **handles: Any):
        self._drawn, self.handles = drawn, {}
        for name, offered in handles.items():
            self.handles[name] = handle = _handle(name, offered)
            handle.description = handle.description or name.replace("_", " ")
            handle.style, handle.layout.width = WIDE, "460px"
            handle.observe(self._draw, "value")
        self.picture = widgets.HTML()
        self.box = Standing([*self.handles.values(), self.picture], lambda: self.picture.value)
        self._draw()

    def _draw(self, *_) -> None:
        self.picture.value = self._drawn(**{name: handle.value for name, handle in self.handles.items()})

    def _repr_mimebundle_(self, **kwargs: Any) -> dict[str, Any]:
        return self.box._repr_mimebundle_(**kwargs)


def by_hand(drawn: Callable[..., str], **handles: Any) -> ByHand:
    """The picture `drawn(**values)`, HTML, under a handle for each value.

    handles: (low, high) or (low, high, step) of a slider, a list or {label: value} of what is offered, True
    or False for a box to tick, or an ipywidgets widget. A slider starts in its middle, a list at its first;
    a slider draws when it is let go. Raises InputError for a handle that is none of these.
    """
    return ByHand(drawn, **handles)


def _handle(name: str, offered: Any) -> widgets.Widget:
    if isinstance(offered, widgets.Widget):
        return offered
    made = widgets.interactive.widget_from_abbrev(offered)
    if made is None:
        raise InputError(
            f"The handle '{name}' is none: give (low, high), (low, high, step), a list or a dict."
        )
    if hasattr(made, "continuous_update"):
        made.continuous_update = False
    return made
