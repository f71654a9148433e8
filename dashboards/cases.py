"""Cases: what did the models see and say in this case?"""

import html
from pathlib import Path

import panel as pn
import panel_material_ui as pmui

from studykit.catalog import InputError
from studykit.ui import CaseTable, CaseView, Session, follow_address, frame


def page(runs: Path) -> pn.viewable.Viewable:
    """The case table beside the case; made once a visitor. The address carries model, case and method."""
    try:
        session = Session(runs)
    except InputError as why:
        return pmui.Page(
            title="studykit", main=[pmui.Alert(object=html.escape(str(why)), severity="warning")]
        )
    stale = follow_address(session, ["model", "method", "case"])
    model = pmui.Select.from_param(session.param.model, label="Model", size="small", margin=(5, 10))
    return frame("Cases", session, [*stale, CaseView(session)], [model, CaseTable(session)])
