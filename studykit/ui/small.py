"""One case in a few plain widgets, for notebooks where the pages' parts do not come through.

VS Code, Colab and others show ipywidgets and pictures, nothing else is needed here: no Panel, no Bokeh.
"""

import html

import ipywidgets as widgets
import numpy as np

from studykit.draw.pixels import still
from studykit.ui.case_view import CaseView
from studykit.ui.said import said
from studykit.ui.scans import MAXIMUM, SLICE
from studykit.ui.session import Session
from studykit.ui.standing import Standing
from studykit.ui.takeaway import marks

BADGE = (
    '<span style="background:#8a4b00;color:#fff;border-radius:9px;padding:1px 9px;font-weight:bold">{}</span>'
)
BARE = "no map"
WIDE = {"width": "330px"}


def small_view(session: Session) -> widgets.VBox:
    """The session's case as an ipywidgets box: pick case, model, method; fade the map, move through slices.

    It follows the session, and moves it.
    """
    return _Small(session).box


class _Small:
    """The widgets of one small view; they write the session, and are written by it."""

    def __init__(self, session: Session):
        self.session, self.view, self._filling = session, CaseView(session), False
        self.model = widgets.Dropdown(description="Model", layout=WIDE)
        self.case = widgets.Dropdown(description="Case", layout=WIDE)
        self.method = widgets.Dropdown(description="Method", layout=WIDE)
        self.modality = widgets.Dropdown(description="Picture", layout=WIDE)
        self.opacity = widgets.FloatSlider(0.7, min=0, max=1, step=0.05, description="Opacity", layout=WIDE)
        self.slice = widgets.IntSlider(1, min=1, max=2, description="Slice", layout=WIDE)
        self.through = widgets.Dropdown(options=[SLICE, MAXIMUM], description="Volume", layout=WIDE)
        self.before, self.after = (self._step(label, by) for label, by in (("Previous", -1), ("Next", 1)))
        self.said, self.picture, self.note = widgets.HTML(), widgets.HTML(), widgets.HTML()
        for name in ("model", "case", "method"):
            getattr(self, name).observe(self._choose, "value")
        for widget in (self.modality, self.opacity, self.slice, self.through):
            widget.observe(self._look, "value")
        moving = [
            self.model, self.case, widgets.HBox([self.before, self.after]), self.method, self.modality,
            self.opacity, self.through, self.slice,
        ]  # fmt: skip
        shown = widgets.VBox([self.said, self.picture, self.note])
        self.box = Standing(
            [widgets.HBox([widgets.VBox(moving), shown])],
            lambda: "".join(part.value for part in shown.children),
        )
        session.param.watch(self._fill, "shown")
        self._fill()

    def _step(self, label: str, by: int) -> widgets.Button:
        button = widgets.Button(
            description=label, tooltip=f"{label} case", layout=widgets.Layout(width="162px")
        )
        button.on_click(lambda _: self._turn(by))
        return button

    def _turn(self, by: int) -> None:
        """Open the case that many places on."""
        cases = list(self.session.param.case.objects)
        self.session.case = cases[(cases.index(self.session.case) + by) % len(cases)]

    def _choose(self, _) -> None:
        """Tell the session what was picked."""
        if self._filling:
            return
        if self.model.value != self.session.model:
            self.session.model = self.model.value
        else:
            self.session.param.update(case=self.case.value, method=self.method.value)

    def _fill(self, *_) -> None:
        """Offer what the session offers, and show its case."""
        session, view, self._filling = self.session, self.view, True
        methods = {name or "none stored": key for name, key in session.param.method.names.items()}
        _offer(self.model, list(session.runs), session.model)
        _offer(self.case, list(session.param.case.objects), session.case)
        _offer(self.method, list(methods.items()), session.method)
        names = [picture.name for picture in session.run.prepared.dataset.pictures]
        _offer(
            self.modality,
            names,
            self.modality.value if self.modality.value in names else next(iter(names), None),
        )
        low, high = view.param["slice"].bounds
        self.slice.min, self.slice.max = low, max(high, low)
        self.slice.value = view.slice
        self._filling = False
        badges = "".join(BADGE.format(html.escape(mark)) for mark in marks(session))
        known = "<br>".join(said(line.lstrip("# ")) for line in view.heading().splitlines() if line)
        self.said.value = f"<div>{badges}<br>{known}</div>"
        self.note.value = f'<div style="max-width:420px">{said(view.note())}</div>'
        self._look()

    def _look(self, *_) -> None:
        """Draw the picture anew."""
        if self._filling:
            return
        name, deep = self.modality.value, self.modality.value in self.view._volumes
        for widget in (self.modality, self.opacity):
            widget.layout.display = None if name else "none"
        self.through.layout.display = None if deep else "none"
        self.slice.layout.display = None if deep and self.through.value == SLICE else "none"
        self.view.param.update(slice=self.slice.value, through=self.through.value)
        self.picture.value = self._pictured(name) if name else "<p>These cases have no pictures.</p>"

    def _pictured(self, name: str) -> str:
        values, mask, where = self.view.plane(name)
        if np.isnan(values).all():
            return f"<p>{html.escape(name)}: none in this case.</p>"
        laid, told = None, f"{name}{where}: no map"
        if self.view.laid(name):
            laid = self.view.cut(name)
            told = f"{name}{where}: {self.view.titled(name)}"
        return still(values, mask, laid, told, self.opacity.value, 360, f"{told}, of {self.session.case}")


def _offer(widget: widgets.Dropdown, options: list, value: object) -> None:
    """Set what a list offers and what is picked of it, if that is another than before."""
    if list(widget.options) != options:
        widget.options = options
    if value is not None and widget.value != value:
        widget.value = value
