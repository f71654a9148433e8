"""What stands around every page: the title, the way to the other pages, and the badge on drawn cases."""

import html
from collections.abc import Callable, Sequence
from functools import cache, partial
from pathlib import Path

import panel as pn
import panel_material_ui as pmui

from studykit.catalog import InputError
from studykit.ui.address import link
from studykit.ui.serve import pages
from studykit.ui.session import Session


def framed(title: str, runs: Path, arranged: Callable[[Session], tuple[Sequence, Sequence]]) -> pmui.Page:
    """A page on a folder of runs, made once a visitor; one that says why where it cannot be shown.

    arranged: gives what stands on the page and in its sidebar.
    """
    try:
        session = Session(runs)
    except InputError as why:
        return pmui.Page(
            title="studykit", main=[pmui.Alert(object=html.escape(str(why)), severity="warning")]
        )
    return frame(title, session, *arranged(session))


def frame(title: str, session: Session, main: Sequence, sidebar: Sequence = ()) -> pmui.Page:
    """A page with its name, the other pages, the theme switch and, where cases are drawn, a badge."""
    drawn = pmui.Chip(label="Phantom: drawn cases, no patients", color="warning", size="small")

    def badge(_, elsewhere: bool) -> pmui.Row:
        simulated = session.run.prepared.dataset.simulated and not elsewhere
        return pmui.Row(drawn) if simulated else pmui.Row()

    crumbs = pmui.Breadcrumbs(
        items=[{"label": session.folder.name}, {"label": title}],
        margin=(8, 10),
        sx={"color": "inherit", "& *": {"color": "inherit"}},
    )
    followed = pn.bind(badge, session.param.shown, session.param.elsewhere)
    return pmui.Page(
        title="studykit",
        header=[pmui.Row(crumbs, *_ways(title, session), followed, sizing_mode="stretch_width")],
        sidebar=list(sidebar),
        sidebar_width=590,
        main=list(main),
        busy_indicator="linear",
        theme_toggle=True,
    )


def _ways(title: str, session: Session) -> list[pmui.Button]:
    """A link to each page, with the model and the case that are open; this page's is underlined."""

    def there(name: str, _) -> str:
        return link(name, session)

    def look(name: str) -> dict[str, str]:
        line = "currentColor" if _title(name) == title else "transparent"
        return {"color": "inherit", "borderRadius": 0, "borderBottom": f"2px solid {line}"}

    return [
        pmui.Button(
            label=_title(name), href=pn.bind(partial(there, name), session.param.shown),
            variant="text", sx=look(name),
        )
        for name in _names()
    ]  # fmt: skip


def _title(name: str) -> str:
    return name.replace("_", " ").capitalize()


@cache
def _names() -> tuple[str, ...]:
    return tuple(pages())
