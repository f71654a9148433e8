"""Contributions: what does each model look at?"""

from pathlib import Path

import panel as pn

from studykit.ui import ContributionView, Session, follow_address, framed, runs_here


def page(runs: Path) -> pn.viewable.Viewable:
    """Shares of all models, then one model's cases, parts and neighbours; the address carries its case."""
    return framed("Contributions", runs, _arranged)


def _arranged(session: Session) -> tuple[list, list]:
    return [*follow_address(session, ["model", "case"]), ContributionView(session)], []


if pn.state.served:  # by `panel serve` or JupyterLab
    page(runs_here()).servable()
