"""Map quality: does the map point at what matters?"""

import html
from pathlib import Path

import panel as pn
import panel_material_ui as pmui

from studykit.catalog import InputError
from studykit.ui import QualityView, Session, follow_address, frame


def page(runs: Path) -> pn.viewable.Viewable:
    """Scores of all methods, then of one, then one case under all maps; the address carries all three."""
    try:
        session = Session(runs)
    except InputError as why:
        return pmui.Page(
            title="studykit", main=[pmui.Alert(object=html.escape(str(why)), severity="warning")]
        )
    view = QualityView(session)  # opens a method that is scored, unless the address asks for another
    stale = follow_address(session, ["model", "method", "case"])
    return frame("Map quality", session, [*stale, view])
