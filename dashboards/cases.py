"""Cases: what did the models see and say in this case?"""

from pathlib import Path

import panel as pn
import panel_material_ui as pmui

from studykit.ui import AskingView, CasesView, CaseTable, Keys, Session, follow_address, framed, runs_here

FILTER = ["show", "label", "predicted", "fold", "find", "doubt"]


def page(runs: Path) -> pn.viewable.Viewable:
    """The case table beside the case; made once a visitor. The address carries what is looked at."""
    return framed("Cases", runs, _arranged)


def _arranged(session: Session) -> tuple[list, list]:
    table, view = CaseTable(session, steps=False), CasesView(session)
    more = [(table.filter, FILTER), (view, ["view", "against", "beside"])]
    stale = follow_address(session, ["model", "method", "case"], *more)
    model = pmui.Select.from_param(session.param.model, label="Model", size="small", margin=(12, 10, 5, 10))
    keys = Keys(on_next=lambda: table.step(+1), on_previous=lambda: table.step(-1))
    return [*stale, keys, view, AskingView(session)], [model, table]


if pn.state.served:  # `panel serve`, or JupyterLab's preview
    page(runs_here()).servable()
