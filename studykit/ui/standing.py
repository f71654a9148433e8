"""A box of widgets that is read, too, where no kernel runs: then a still picture of it stands."""

from collections.abc import Callable, Sequence
from typing import Any

import ipywidgets as widgets


class Standing(widgets.VBox):
    """Widgets, one below the other; still: gives the HTML that stands for them without a kernel."""

    def __init__(self, children: Sequence[widgets.Widget], still: Callable[[], str]):
        self._still = still
        super().__init__(children)

    def _repr_mimebundle_(self, **kwargs: Any) -> dict[str, Any]:
        return {**super()._repr_mimebundle_(**kwargs), "text/html": self._still()}
