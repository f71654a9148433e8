"""A text as it stands, each word on the colour of what it added."""

import html
from collections.abc import Sequence

from studykit.draw.scan import AGAINST, FOR


def marked_words(text: str, places: Sequence[tuple[int, int]], effects: Sequence[float], limit: float) -> str:
    """The text as HTML, safe to show; word t (from places[t][0] to places[t][1]) is marked by effects[t].

    Orange speaks for the class, blue against it, and the colour is full at `limit`; each mark's hint says the
    number. Words behind the last effect are gray: the model did not read them.
    """
    parts, at = [], 0
    for number, (begin, end) in enumerate(places):
        parts.append(html.escape(text[at:begin]))
        word, at = html.escape(text[begin:end]), end
        if number >= len(effects):
            parts.append(f'<span style="opacity:0.5" title="not read by the model">{word}</span>')
            continue
        value = float(effects[number])
        strength = min(1.0, abs(value) / limit) if limit else 0.0
        color = f"{FOR if value > 0 else AGAINST}{round(200 * strength):02x}"
        parts.append(f'<span style="background:{color}" title="{value:+.3f}">{word}</span>')
    return "".join(parts) + html.escape(text[at:])
