"""The title over a part of a page: a heading under the page's name, for eyes and for screen readers."""

import html

import panel as pn

LOOK = "h2 { font-size: 16px; line-height: 26px; font-weight: 700; margin: 0 }"


def part_title(text: str) -> pn.pane.HTML:
    """Text as it stands; what looks like HTML in it is shown, not run."""
    return pn.pane.HTML(f"<h2>{html.escape(text)}</h2>", stylesheets=[LOOK], margin=(5, 10))
