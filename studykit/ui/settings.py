"""The settings of anything that can be chosen, as widgets: fields become widgets."""

import inspect
import re
import typing
from typing import Any

import panel as pn
import panel_material_ui as pmui

from studykit.catalog import Named, settings_of

MADE = {bool: pmui.Checkbox, int: pmui.IntInput, float: pmui.FloatInput, str: pmui.TextInput}


def widgets_of(cls: type[Named]) -> dict[str, pn.widgets.Widget]:
    """A widget for each setting of a Named class that is a number, a text, a choice or yes or no.

    It stands at the setting's default and says what the class's docstring says of it ("window: pixels of its
    side. stride: ..."). A `Literal` is a choice. Other settings have no widget and keep their defaults.
    """
    hints, said, found = typing.get_type_hints(cls.__init__), _said(cls), {}
    for name, default in settings_of(cls).items():
        about = {"label": name.replace("_", " "), "value": default, "margin": (8, 10)}
        about["description"] = said.get(name, "")
        if typing.get_origin(hints.get(name)) is typing.Literal:
            options = list(typing.get_args(hints[name]))
            found[name] = pmui.Select(options=options, size="small", width=180, **about)
        elif type(default) in MADE:
            size = {} if isinstance(default, bool) else {"size": "small", "width": 150}
            found[name] = MADE[type(default)](**about, **size)
    return found


def _said(cls: type[Named]) -> dict[str, str]:
    """What the docstring says of each setting."""
    names = "|".join(settings_of(cls)) or "$"
    parts = re.split(rf"\b({names}): ", " ".join((inspect.getdoc(cls) or "").replace("`", "").split()))
    return dict(zip(parts[1::2], map(str.strip, parts[2::2]), strict=True))


def spec_of(cls: type[Named], widgets: dict[str, pn.widgets.Widget]) -> dict[str, Any]:
    """What `build` makes the thing from, as its widgets stand; it is `build` that checks the values."""
    given = {name: widget.value for name, widget in widgets.items()}
    for name, default in settings_of(cls).items():
        if isinstance(default, float) and isinstance(given.get(name), int):
            given[name] = float(given[name])  # 1 and 1.0 are one setting, and one key in the store
    return {"name": cls.name, **given}
