"""Attention: what passed the gates, and is it more than decoration?"""

from pathlib import Path

import panel as pn

from studykit.ui import AttentionView, Session, follow_address, framed, runs_here


def page(runs: Path) -> pn.viewable.Viewable:
    """The gates of one model beside one case; the address carries both."""
    return framed("Attention", runs, _arranged)


def _arranged(session: Session) -> tuple[list, list]:
    return [*follow_address(session, ["model", "case"]), AttentionView(session)], []


if pn.state.served:  # by `panel serve` or JupyterLab
    page(runs_here()).servable()
