"""Cases: what did the models see and say in this case?"""

from pathlib import Path

import panel as pn
import panel_material_ui as pmui

from studykit.ui import CaseTable, CaseView, Session, follow_address, framed


def page(runs: Path) -> pn.viewable.Viewable:
    """The case table beside the case; made once a visitor. The address carries model, case and method."""
    return framed("Cases", runs, _arranged)


def _arranged(session: Session) -> tuple[list, list]:
    stale = follow_address(session, ["model", "method", "case"])
    model = pmui.Select.from_param(session.param.model, label="Model", size="small", margin=(5, 10))
    return [*stale, CaseView(session)], [model, CaseTable(session)]
