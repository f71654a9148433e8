"""Contributions: what does each model look at?"""

import html
from pathlib import Path

import panel as pn
import panel_material_ui as pmui

from studykit.catalog import InputError
from studykit.ui import ContributionView, Session, follow_address, frame


def page(runs: Path) -> pn.viewable.Viewable:
    """Shares of all models, then one model's cases, parts and neighbours; the address carries its case."""
    try:
        session = Session(runs)
    except InputError as why:
        return pmui.Page(
            title="studykit", main=[pmui.Alert(object=html.escape(str(why)), severity="warning")]
        )
    stale = follow_address(session, ["model", "case"])
    return frame("Contributions", session, [*stale, ContributionView(session)])
