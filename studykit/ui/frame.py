"""What stands around every page: the title, where one is, and the badge on drawn cases."""

from collections.abc import Sequence

import panel as pn
import panel_material_ui as pmui

from studykit.ui.session import Session


def frame(title: str, session: Session, main: Sequence, sidebar: Sequence = ()) -> pmui.Page:
    """A page with its name, a breadcrumb, the theme switch and, where cases are drawn, a badge."""
    drawn = pmui.Chip(label="Phantom: drawn cases, no patients", color="warning", size="small")

    def badge(_) -> pmui.Row:
        return pmui.Row(drawn) if session.run.prepared.dataset.simulated else pmui.Row()

    crumbs = pmui.Breadcrumbs(
        items=[{"label": session.folder.name}, {"label": title}],
        margin=(8, 10),
        sx={"color": "inherit", "& *": {"color": "inherit"}},
    )
    return pmui.Page(
        title="studykit",
        header=[pmui.Row(crumbs, pn.bind(badge, session.param.shown), sizing_mode="stretch_width")],
        sidebar=list(sidebar),
        sidebar_width=590,
        main=list(main),
        busy_indicator="linear",
        theme_toggle=True,
    )
