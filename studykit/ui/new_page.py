"""In a notebook, what draws our views goes into each page that shows one, and is asked of no other host.

Panel writes its scripts once a kernel, when it is imported: a page opened later on the same kernel would stay
blank. It writes its stylesheets out when a view is first shown, but a later change names them by their
address at cdn.holoviz.org.
"""

import panel as pn
from bokeh.document import Document
from bokeh.document.events import ModelChangedEvent
from bokeh.model import Model
from panel.io import notebook


def load_in_new_pages() -> None:
    """From now on, a view's first display in another page of this kernel loads the scripts there, and no
    change of a view names a stylesheet by its address.
    """
    try:
        shell = get_ipython()
    except NameError:  # no notebook
        return
    if not hasattr(shell, "kernel"):
        return
    loaded = {_page(shell)}

    def show(view: pn.viewable.Viewer, include=None, exclude=None):
        if (page := _page(shell)) not in loaded:
            loaded.add(page)
            notebook.load_notebook(inline=True)
        return view._repr_mimebundle_(include, exclude)

    shell.display_formatter.mimebundle_formatter.for_type(pn.viewable.Viewer, show)
    pushed = notebook.diff

    def diff(doc: Document, *args, **kwargs):
        write_out_stylesheets(doc)
        return pushed(doc, *args, **kwargs)

    notebook.diff = diff


def write_out_stylesheets(doc: Document) -> None:
    """In the changes that wait to be sent to a cell, each of Panel's stylesheets in place of its address."""
    for event in list(doc.callbacks._held_events):
        if not isinstance(event, ModelChangedEvent):
            continue
        if event.attr == "stylesheets":
            notebook.patch_inline_stylesheets(event.model)
            event.new = event.model.stylesheets
            continue
        new = event.new if isinstance(event.new, list) else [event.new]
        for one in {ref for model in new if isinstance(model, Model) for ref in model.references()}:
            if hasattr(one, "stylesheets"):
                notebook.patch_inline_stylesheets(one)


def _page(shell) -> str:
    """Who asked for what runs now: JupyterLab takes a new name for each page."""
    return shell.kernel.get_parent().get("header", {}).get("session", "")
