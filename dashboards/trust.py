"""Trust: what did the clinicians say, and how far do they agree?"""

from functools import partial
from pathlib import Path

import panel as pn

from studykit.ui import Session, Studies, TrustView, follow_address, framed, runs_here


def page(runs: Path) -> pn.viewable.Viewable:
    """A study's answers and numbers, then one case beside the models; the address carries study and case."""
    return framed("Trust", runs, partial(_arranged, runs), alone=True)


def _arranged(runs: Path, session: Session | None) -> tuple[list, list]:
    studies = Studies(folder=runs)
    view = TrustView(studies, session)
    chosen = [(studies, ["study", "item", "condition"]), (view, ["part"])]
    return [*follow_address(session, ["model", "case"], *chosen), view], []


if pn.state.served:  # by `panel serve` or JupyterLab
    page(runs_here()).servable()
