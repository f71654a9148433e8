"""Attention: what passed the gates, and is it more than decoration?"""

import html
from pathlib import Path

import panel as pn
import panel_material_ui as pmui

from studykit.catalog import InputError
from studykit.ui import AttentionView, Session, follow_address, frame


def page(runs: Path) -> pn.viewable.Viewable:
    """The gates of one model beside one case; the address carries both."""
    try:
        session = Session(runs)
    except InputError as why:
        return pmui.Page(
            title="studykit", main=[pmui.Alert(object=html.escape(str(why)), severity="warning")]
        )
    stale = follow_address(session, ["model", "case"])
    return frame("Attention", session, [*stale, AttentionView(session)])
