"""The address of a page says what is looked at, so that a link opens the same model and case."""

import html
from collections.abc import Sequence
from urllib.parse import urlencode

import panel as pn
import panel_material_ui as pmui
import param

from studykit.ui.session import Session


def follow_address(
    session: Session, names: Sequence[str], *more: tuple[param.Parameterized, Sequence[str]]
) -> list[pmui.Alert]:
    """Open what the address names and keep the address true; an alert for what is not there.

    names: of the session's parameters, the model before what depends on it. more: others that the address
    carries, with their parameters.
    """
    location, stale = pn.state.location, []
    if location is None:  # a notebook cell or a test
        return stale
    asked = dict(location.query_params)
    location.search = ""  # else syncing would set names that are not there
    followed = [(session, names), *more]
    for owner, name in [(owner, name) for owner, its in followed for name in its]:
        if asked.get(name) in owner.param[name].objects:
            setattr(owner, name, asked[name])
        elif name in asked:
            told = f"The address asks for the {name} '{html.escape(asked[name])}', which is not here."
            stale.append(pmui.Alert(object=told, severity="info", closeable=True, margin=10))
    for owner, its in followed:
        location.sync(owner, list(its))
    return stale


def link(page: str, session: Session) -> str:
    """The address of another page with this model and case; relative, so that a path prefix stays."""
    return f"{page}?{urlencode({'model': session.model, 'case': session.case})}"
