"""Trust: what did the clinicians say, and how far do they agree?"""

from pathlib import Path

import panel as pn

from studykit.ui import Session, Studies, TrustView, follow_address, framed


def page(runs: Path) -> pn.viewable.Viewable:
    """A study's answers and numbers, then one case beside the models; the address carries study and case."""
    return framed("Trust", runs, _arranged)


def _arranged(session: Session) -> tuple[list, list]:
    studies = Studies(folder=session.folder)
    view = TrustView(studies, session)
    chosen = [(studies, ["study", "item", "condition"]), (view, ["part"])]
    return [*follow_address(session, ["model", "case"], *chosen), view], []
