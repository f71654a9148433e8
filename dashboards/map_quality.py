"""Map quality: does the map point at what matters?"""

from pathlib import Path

import panel as pn

from studykit.ui import QualityView, Session, follow_address, framed, runs_here


def page(runs: Path) -> pn.viewable.Viewable:
    """Scores of all methods, then of one, then one case under all maps; the address carries all three."""
    return framed("Map quality", runs, _arranged)


def _arranged(session: Session) -> tuple[list, list]:
    view = QualityView(session)  # opens a method that is scored, unless the address asks for another
    return [*follow_address(session, ["model", "method", "case"]), view], []


if pn.state.served:  # by `panel serve` or JupyterLab
    page(runs_here()).servable()
