"""Which part of a page is open: one tab a choice."""

import panel_material_ui as pmui
import param


def tabs(view: param.Parameterized, name: str) -> pmui.TabMenu:
    """One tab a choice of a view's Selector (a list of texts), tied to it both ways; it has no body."""
    choices = list(view.param[name].objects)
    menu = pmui.TabMenu(
        items=[{"label": choice.capitalize()} for choice in choices],
        active=choices.index(getattr(view, name)), variant="scrollable", margin=(0, 10, 12, 10),
    )  # fmt: skip
    menu.param.watch(lambda event: view.param.update(**{name: choices[event.new]}), "active")
    view.param.watch(lambda event: menu.param.update(active=choices.index(event.new)), name)
    return menu
