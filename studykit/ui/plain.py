"""What is said on a page, so that nothing that a table holds is run or marks up the page."""

import html
import re
from collections.abc import Iterable


def safe(text: object) -> str:
    """What a table holds, as a Markdown pane may show it: in one line, no HTML, no marks of its own."""
    return _escaped(" ".join(str(text).split()))


def sentence(text: str) -> str:
    """A sentence of ours, whose `commands` stay marked, about names that are not."""
    parts = text.split("`")  # every second one is a command, which Markdown shows as it is
    if len(parts) % 2 == 0 or "``" in text or "\n" in text:  # a name with marks of its own: no command then
        return _escaped(text)
    return "`".join(part if at % 2 else _escaped(part) for at, part in enumerate(parts))


def _escaped(text: str) -> str:
    return re.sub(r"([\\`*_~#\[\]])", r"\\\1", html.escape(text, quote=False))


def shown(value: object) -> str:
    """A cell of a record."""
    if value is None or value != value:
        return "not known"
    return f"{value:g}" if isinstance(value, float) else str(value)


def listed(names: Iterable[object]) -> str:
    """Names as a sentence has them: a, b and c."""
    *most, last = map(str, names)
    return f"{', '.join(most)} and {last}" if most else last


def listing(heading: str, lines: Iterable[object]) -> str:
    """A heading and its lines, as HTML that is safe to show."""
    items = "".join(f"<li>{html.escape(str(line))}</li>" for line in lines)
    return f"<b>{html.escape(heading)}</b><ul>{items}</ul>"
