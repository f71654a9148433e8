"""The address of a page says what is looked at, so that a link opens the same model and case."""

from collections.abc import Sequence
from urllib.parse import parse_qsl, urlencode

import panel as pn
import panel_material_ui as pmui
import param

from studykit.ui.plain import safe
from studykit.ui.session import Session


def follow_address(
    session: Session | None, names: Sequence[str], *more: tuple[param.Parameterized, Sequence[str]]
) -> list[pmui.Alert]:
    """Open what the address names and keep the address true; an alert for what is not there.

    names: of the session's parameters, the model before what depends on it. more: others that the address
    carries, with their parameters. Names and numbers stand as they are written: the case "007" is not 7.
    """
    location = pn.state.location
    if location is None:  # a notebook cell or a test
        return []
    followed = [
        (owner, name) for owner, its in ([(session, names)] if session else []) + [*more] for name in its
    ]
    stale, reading = _opened(followed, location.search), False

    def write(*_) -> None:
        if not reading:
            location.search = _written(followed)

    def read(event) -> None:  # the browser went back or forward
        nonlocal reading
        if event.new != _written(followed):
            reading = True
            try:
                _opened(followed, event.new, usual=True)
            finally:
                reading = False

    write()
    for owner, name in followed:
        owner.param.watch(write, name)
    location.param.watch(read, "search")
    return [pmui.Alert(object=told, severity="info", closeable=True, margin=10) for told in stale]


def _opened(
    followed: Sequence[tuple[param.Parameterized, str]], query: str, usual: bool = False
) -> list[str]:
    """Choose what an address names; a sentence for each thing that is not there.

    usual: what it does not name becomes what it is by itself.
    """
    asked, stale = dict(parse_qsl(query.removeprefix("?"))), []
    for owner, name in followed:
        try:
            if name in asked:
                setattr(owner, name, _meant(owner.param[name], asked[name]))
            elif usual and type(owner).param[name].default is not None:
                setattr(owner, name, type(owner).param[name].default)
        except ValueError:
            stale.append(f"The address asks for the {name} '{safe(asked.get(name))}', which is not here.")
    return stale


def _meant(parameter: param.Parameter, text: str) -> object:
    """The value that a piece of an address stands for. Raises ValueError where there is none."""
    if isinstance(parameter, param.Selector):
        offered = list(parameter.objects)
        return offered[[str(value) for value in offered].index(text)]
    return float(text) if isinstance(parameter, param.Number) else text


def _written(followed: Sequence[tuple[param.Parameterized, str]]) -> str:
    """The address's part after the page; what is as it is by itself is left out."""
    values = {name: getattr(owner, name) for owner, name in followed if not _usual(owner, name)}
    return f"?{urlencode(values)}" if values else ""


def _usual(owner: param.Parameterized, name: str) -> bool:
    return getattr(owner, name) in (None, "", type(owner).param[name].default)


def link(page: str, session: Session | None, **more: object) -> str:
    """The address of another page with this model and case; relative, so that a path prefix stays.

    more: what else the address says; what is None or empty is left out.
    """
    said = ({"model": session.model, "case": session.case} if session else {}) | more
    query = urlencode({name: value for name, value in said.items() if value not in (None, "")})
    place = pn.state.location
    file = (
        ".py" if place is not None and (place.pathname or "").endswith(".py") else ""
    )  # JupyterLab's preview
    return f"{page}{file}?{query}" if query else f"{page}{file}"
