"""Cases: what did the models see and say in this case?"""

from pathlib import Path

import panel as pn
import panel_material_ui as pmui

from studykit.catalog import InputError
from studykit.ui import CaseTable, CaseView, Session, frame


def page(runs: Path) -> pn.viewable.Viewable:
    """The case table beside the case; made once a visitor. The address carries model, case and method."""
    try:
        session = Session(runs)
    except InputError as why:
        return pmui.Page(title="studykit", main=[pmui.Alert(object=str(why), severity="warning")])
    stale = _follow_address(session)
    model = pmui.Select.from_param(session.param.model, label="Model", size="small", margin=(5, 10))
    return frame("Cases", session, [*stale, CaseView(session)], [model, CaseTable(session)])


def _follow_address(session: Session) -> list[pmui.Alert]:
    """Open what the address names and keep the address true; an alert for what is not there."""
    location, stale = pn.state.location, []
    if location is None:  # a notebook cell or a test
        return stale
    asked = dict(location.query_params)
    location.search = ""  # else syncing would set names that are not there
    for name in ("model", "method", "case"):
        if asked.get(name) in session.param[name].objects:
            setattr(session, name, asked[name])
        elif name in asked:
            sentence = f"The address asks for the {name} '{asked[name]}', which is not here."
            stale.append(pmui.Alert(object=sentence, severity="info", closeable=True, margin=10))
    location.sync(session, ["model", "method", "case"])
    return stale
