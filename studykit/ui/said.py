"""A page's sentence as HTML, for where no page stands around it."""

from markdown_it import MarkdownIt

# Names from data may look like Markdown: they open no links and bring no pictures.
_MARKDOWN = MarkdownIt("commonmark", {"html": False}).disable(["image", "link", "autolink", "reference"])


def said(text: str) -> str:
    """Markdown in a line, as views say it, as HTML that is safe to show."""
    return _MARKDOWN.renderInline(text)
