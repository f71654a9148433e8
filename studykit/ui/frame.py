"""What stands around every page: its name, the other pages, what is amiss, and the badge on drawn cases."""

import html
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

import panel as pn
import panel_material_ui as pmui

from studykit.catalog import InputError
from studykit.ui.address import link
from studykit.ui.amiss import absent, amiss
from studykit.ui.entrance import Entrance
from studykit.ui.leaving import let_go_when_closed
from studykit.ui.serve import pages
from studykit.ui.session import Session

NARROW = "@media (max-width: 1100px)"  # a tablet: the sidebar lies over the page, and is closed at first
DRAWN = "<mark>Phantom<span>: drawn cases, no patients</span></mark>"
SX = {
    "& > .header": {"backgroundImage": "none"},  # in the dark, too, white stands out from it
    NARROW: {
        "& > nav": {"width": 0},
        "& > nav .MuiDrawer-paper": {"position": "fixed", "maxWidth": "92vw"},
        "& > main": {"marginLeft": 0, "width": "100%"},
    },
}
HEAD = """
:host { color: inherit; flex: 1 1 auto; min-width: 0; margin: 0 8px; }
.head { display: flex; align-items: center; gap: 0 16px; }
p, h1 { font: 400 15px/20px inherit; margin: 0; white-space: nowrap; }
p { overflow: hidden; text-overflow: ellipsis; max-width: 180px; }
h1 { margin-left: -10px; font-size: 15px; font-weight: 400; }
h1::before { content: "/ "; content: "/ " / ""; }  /* the second is not read aloud */
nav { display: flex; overflow-x: auto; }
a { color: inherit; padding: 6px 10px; white-space: nowrap; text-decoration: none; }
a:hover { background: #ffffff24; }
a:focus-visible { outline: 2px solid currentColor; outline-offset: -2px; }
a[aria-current] { box-shadow: inset 0 -2px currentColor; }
mark { margin-left: auto; padding: 2px 10px; border-radius: 12px; background: #ffb74d; color: #1a1a1a;
  font-size: 13px; white-space: nowrap; }
@media (max-width: 1100px) {
  .head { gap: 0 8px; } p, h1, mark span { position: absolute; clip-path: inset(50%); } a { padding: 6px; }
}
"""


def framed(
    title: str,
    runs: Path,
    arranged: Callable[[Session | None], tuple[Sequence, Sequence]],
    alone: bool = False,
) -> pmui.Page:
    """A page on a folder of runs, made once a visitor; one that says what to run where there is none.

    arranged: gives what stands on the page and in its sidebar. alone: whether it can without a session.
    """
    try:
        session = Session(runs)
    except InputError:
        main, sidebar = arranged(None) if alone else ([], [])
        return frame(title, None, [*absent(Path(runs)), *main], sidebar, Path(runs))
    main, sidebar = arranged(session)
    return frame(title, session, [*amiss(session.opened), *main], sidebar)


def frame(
    title: str, session: Session | None, main: Sequence, sidebar: Sequence = (), folder: Path | None = None
) -> pmui.Page:
    """A page with its name, the other pages, the theme switch and, where cases are drawn, a badge.

    folder: what the page is about, where there is no session.
    """
    folder = folder if session is None else session.folder
    head = _head(title, folder.resolve().name, session)
    page = pmui.Page(
        title="studykit",
        site_url="./",  # not "/": a path prefix stays
        meta_title=titled(title),
        meta_name="",
        header=[Entrance(), head],
        sidebar=list(sidebar),
        sidebar_width=590,
        main=list(main),
        busy_indicator="linear",
        theme_toggle=True,
        sx=SX,
    )
    let_go_when_closed(page)
    return page


def titled(title: str) -> str:
    """What the browser's tab says."""
    return f"{title} · studykit"


def _head(title: str, folder: str, session: Session | None) -> pn.pane.HTML:
    """The page's name, a link to each page with the model and case that are open, whether these are drawn."""

    def written(_, elsewhere: bool) -> str:
        links = []
        for name in _names():
            here = ' aria-current="page"' if heading(name) == title else ""
            links.append(f'<a href="{html.escape(link(name, session))}"{here}>{heading(name)}</a>')
        drawn = session and not elsewhere and session.run.prepared.dataset.simulated
        return (
            f'<div class="head"><p>{html.escape(folder)}</p><h1>{html.escape(title)}</h1>'
            f'<nav aria-label="Pages">{"".join(links)}</nav>{DRAWN if drawn else ""}</div>'
        )

    told = pn.bind(written, session.param.shown, session.param.elsewhere) if session else written("", False)
    return pn.pane.HTML(told, stylesheets=[HEAD], sizing_mode="stretch_width")


def heading(name: str) -> str:
    """What a page of the dashboards folder is called."""
    return name.replace("_", " ").capitalize()


@cache
def _names() -> tuple[str, ...]:
    return tuple(pages())
