"""A tap on a dot opens its case, and what is on the page may be drawn anew for it."""

from collections.abc import Callable
from functools import partial

import holoviews as hv
import panel as pn


def on_tap(points: hv.Element | hv.DynamicMap, then: Callable[[list[int]], None]) -> hv.streams.Selection1D:
    """Call `then` with the places of the tapped dots; keep what is given back for as long.

    HoloViews tells of a tap without the document's lock, which pictures need: it is asked for here.
    """
    taps = hv.streams.Selection1D(source=points)
    taps.add_subscriber(lambda index: pn.state.execute(partial(then, index), schedule=True))
    return taps
