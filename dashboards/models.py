"""Models: which model is better, and is it sure?"""

from pathlib import Path

import panel as pn

from studykit.ui import ModelsView, Session, follow_address, framed, runs_here


def page(runs: Path) -> pn.viewable.Viewable:
    """All models of a data set, then some of them, then one; the address carries it with its case."""
    return framed("Models", runs, _arranged)


def _arranged(session: Session) -> tuple[list, list]:
    view = ModelsView(session)
    chosen = (view.choice, [*view.choice.several_tasks, "reference"])
    return [*follow_address(session, ["model", "case"], chosen), view], []


if pn.state.served:  # by `panel serve` or JupyterLab
    page(runs_here()).servable()
