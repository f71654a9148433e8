"""A few words that must not be missed: that cases are drawn, that no person gave these ratings."""

import html

import panel as pn

TONES = {  # words and ground; 4.5 to 1 and more, in the light as in the dark
    "warning": ("#1a1a1a", "#ffb74d"),
    "info": ("#ffffff", "#01579b"),
    "success": ("#ffffff", "#1b5e20"),
}


def badge(label: str, tone: str = "warning", margin: int | tuple[int, int] = 4) -> pn.pane.HTML:
    """A label on a coloured ground; tone: one of TONES."""
    words, ground = TONES[tone]
    look = (
        f"mark {{ padding: 2px 10px; border-radius: 12px; color: {words}; background: {ground}; "
        "font-size: 13px; line-height: 20px; white-space: nowrap }"
    )
    return pn.pane.HTML(f"<mark>{html.escape(label)}</mark>", stylesheets=[look], margin=margin)
