"""What is let go when a visitor closes a page: the libraries would keep it, and all it shows, for ever."""

from functools import partial
from weakref import ref

import panel as pn
import panel_material_ui as pmui
from holoviews.plotting.bokeh.callbacks import Callback
from panel.util import edit_readonly
from param.parameterized import discard_events


def let_go_when_closed(page: pmui.Page) -> None:
    """Let the server forget a page, its session and its figures once the browser has gone."""
    if (document := pn.state.curdoc) is not None:
        pn.state.on_session_destroyed(partial(_let_go, ref(page), ref(document)))


def _let_go(page: ref, document: ref, _) -> None:
    if (gone := page()) is not None:
        # the server's `busy` tells each page; another reference in its place, and it no longer does
        with edit_readonly(gone), discard_events(gone):
            gone.busy = gone.param.theme_toggle
    for made in list(Callback._callbacks.values()):  # HoloViews' list of what taps and zooms do
        if made.plot is not None and made.plot.document is document():
            made.cleanup()
