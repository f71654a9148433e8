"""In a notebook, the scripts that draw our views go into each page that shows one.

Panel writes them once a kernel, when it is imported: a page opened later on the same kernel would stay blank.
"""

import panel as pn
from panel.io.notebook import load_notebook


def load_in_new_pages() -> None:
    """From now on, a view's first display in another page of this kernel loads the scripts there."""
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
            load_notebook(inline=True)
        return view._repr_mimebundle_(include, exclude)

    shell.display_formatter.mimebundle_formatter.for_type(pn.viewable.Viewer, show)


def _page(shell) -> str:
    """Who asked for what runs now: JupyterLab takes a new name for each page."""
    return shell.kernel.get_parent().get("header", {}).get("session", "")
