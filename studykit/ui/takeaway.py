"""Figures that leave the page: PNG and SVG of any view as it stands on the screen, and its table as CSV.

The picture is made in the browser (`shapes.js`, `takeaway.js`), without asking the server, and says below
what it shows, so that a drawn case stays marked as one wherever the picture goes.
"""

import re
from collections.abc import Callable, Sequence
from pathlib import Path

import pandas as pd
import panel as pn
import param

import studykit
from studykit.catalog import InputError
from studykit.ui.session import Session, title_of
from studykit.ui.studies import Studies, as_csv

PHANTOM = "Phantom: drawn cases, no patients"
SIMULATED = "Simulated readers: no person gave these ratings"
WHOLE = {"flex-shrink": "0", "height": "auto", "max-height": "none"}  # what comes later makes it taller
LOOK = """
:host { align-self: flex-end; color: inherit; font: 12px Helvetica, Arial, sans-serif }
div[role=group] { display: flex; gap: 4px; align-items: center; justify-content: flex-end }
button { font: inherit; color: inherit; background: none; border: 1px solid #80808080; border-radius: 4px;
  padding: 3px 9px; cursor: pointer; min-height: 24px }
button:hover { background: #80808030 }
button:focus-visible { outline: 2px solid #2b6cd4; outline-offset: 1px }
"""


class Takeaway(pn.custom.JSComponent):
    """The buttons; they take away what stands with them in a box of the class "studykit-taken"."""

    title = param.String(doc="of the view")
    file = param.String(doc="what its files are called, without the ending")
    told = param.String(doc="what the picture's caption says")
    marks = param.List(item_type=str, doc="what must stand in the picture")
    tabled = param.Boolean(doc="whether there is a table")

    _esm = "\n".join(
        Path(__file__).with_name(name).read_text(encoding="utf-8") for name in ("shapes.js", "takeaway.js")
    )
    _stylesheets = [LOOK]

    def __init__(self, table: Callable[[], pd.DataFrame | str] | None = None, **params):
        self._table = table
        super().__init__(tabled=table is not None, **params)

    def _handle_msg(self, data: object) -> None:
        """Answer the browser, which asks for the table."""
        if data != "csv" or self._table is None:
            return
        try:
            table = self._table()
        except InputError as why:
            table = str(why)
        self._send_msg({"why": table} if isinstance(table, str) else {"csv": as_csv(table).getvalue()})


def takeaway(
    view: pn.viewable.Viewable | pn.viewable.Viewer,
    name: str,
    table: Callable[[], pd.DataFrame | str] | None = None,
    of: Sequence[str] = ("model", "case", "method"),
    whose: pn.viewable.Viewer | None = None,
) -> pn.Column:
    """A view with buttons above it that take it away as PNG, SVG and, where a table is given, as CSV.

    name: what the view shows; it becomes the picture's title and part of the file's name. table: makes the
    table once it is asked for, or says in a sentence why there is none. of: what of the session the view
    shows; the `session` and `studies` of the view, or of whose part it is, are followed where there are such.
    """
    session, studies = (getattr(whose or view, name, None) for name in ("session", "studies"))
    followed = [session.param.shown, session.param.elsewhere] if session else []
    followed += [studies.param.study] if studies else []

    def now(make: Callable[[], object]) -> object:
        return pn.bind(lambda *_: make(), *followed) if followed else make()

    buttons = Takeaway(
        table,
        title=name,
        file=now(lambda: file_name(name, *_chosen(session, of), *_short(session, studies))),
        told=now(lambda: caption(session, studies, of)),
        marks=now(lambda: marks(session, studies)),
        css_classes=["studykit-choice"],
        margin=(2, 10, 0, 10),
    )
    return pn.Column(buttons, view, css_classes=["studykit-taken"], styles=WHOLE, sizing_mode="stretch_width")


def marks(session: Session | None = None, studies: Studies | None = None) -> list[str]:
    """What must stand beside whatever is shown of these: that cases are drawn, that readers are simulated."""
    drawn = session is not None and not session.elsewhere and session.run.prepared.dataset.simulated
    simulated = studies is not None and getattr(studies.found, "simulated", False)
    return [PHANTOM] * drawn + [SIMULATED] * simulated


def caption(
    session: Session | None, studies: Studies | None = None, of: Sequence[str] = ("model", "case", "method")
) -> str:
    """What a picture shows, in a line."""
    told = [f"runs {session.folder.name}"] if session else []
    told += [f"{kind} {name}" for kind, name in zip(of, _chosen(session, of), strict=True)] if session else []
    told += [f"reader study {studies.study}"] if studies and studies.study else []
    return " · ".join([*told, f"studykit {studykit.__version__}"])


def file_name(*parts: object) -> str:
    """A file's name, without its ending, that every system takes: letters, digits, "-", "_" and "."."""
    words = [re.sub(r"[^\w.-]+", "_", str(part)).strip("._") for part in parts]
    return "-".join(word[:40] for word in words if word)[:150] or "studykit"


def study_file(studies: Studies, *parts: object) -> str:
    """What a CSV about the visitor's study is called; simulated ratings say so."""
    return f"{file_name(getattr(studies.found, 'name', ''), *_short(None, studies), *parts)}.csv"


def _chosen(session: Session | None, of: Sequence[str]) -> list[str]:
    if session is None or session.elsewhere:
        return ["not of these runs" for _ in of] if session else []
    said = {"method": title_of(session.method)}
    return [said.get(name, getattr(session, name)) for name in of]


def _short(session: Session | None, studies: Studies | None) -> list[str]:
    """The marks as a file's name has them."""
    short = {PHANTOM: "phantom", SIMULATED: "simulated"}
    return [short[mark] for mark in marks(session, studies)]
