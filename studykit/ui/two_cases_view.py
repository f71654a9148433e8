"""Two cases beside each other, as one model sees both; they are zoomed together."""

import panel as pn
import panel_material_ui as pmui
import param

from studykit.draw.frames import whole
from studykit.ui.case_view import CaseView
from studykit.ui.session import Session

WIDTH = 400  # of a case's column, pixels: two stand beside the table of cases


class TwoCasesView(pn.viewable.Viewer):
    """The session's case and `beside`, by its model and method; works in a notebook cell, too."""

    session = param.ClassSelector(class_=Session)
    beside = param.Selector(default="", objects=[""], doc="the other case, an id of the same model")

    def __init__(self, session: Session, **params):
        super().__init__(session=session)
        self.other = Session(session.folder, model=session.model)
        self.views = [CaseView(session, side=150), CaseView(self.other, side=150)]
        first, second = self.views
        second.tag = first.tag  # one slider is of both
        for name in ("slice", "through"):
            first.param.watch(lambda event: second.param.update(**{event.name: event.new}), name)
        self._follow()
        self.param.update(**params)

    @param.depends("session.shown", watch=True)
    def _follow(self) -> None:
        """The other case is looked at by the same model and method."""
        session, other = self.session, self.other
        if other.model != session.model:
            other.model = session.model
        if other.method != session.method:
            if session.method not in list(other.param.method.objects):  # it was made since
                other.refresh()
            if session.method in list(other.param.method.objects):
                other.method = session.method
        cases = other.param.case.objects
        if self.param.beside.objects != cases:
            self.param.beside.objects = cases
        if self.beside not in cases:
            others = [case for case in cases if case != session.case]
            self.beside = (others or cases)[0]

    @param.depends("beside", watch=True)
    def _open(self) -> None:
        if self.beside in self.other.param.case.objects:
            self.other.case = self.beside

    @property
    def looked_at(self) -> bool:
        """Whether pictures follow the session."""
        return self.views[0].looked_at

    @looked_at.setter
    def looked_at(self, value: bool) -> None:
        for view in self.views:
            view.looked_at = value

    def __panel__(self):
        """What is chosen for both over the two columns."""
        ranges, columns = (whole(), whole()), []
        for view in self.views:
            view.ranges = ranges
            pictures, sliders = view.controls()
            parts = [
                pn.pane.HTML(part, width=WIDTH - 20) for part in (view.texts, view.record, view.probabilities)
            ]
            heading = pn.pane.Markdown(view.heading, width=WIDTH - 20)
            columns.append((sliders, pmui.Column(heading, pictures, *parts, width=WIDTH)))
        (moving, left), (_, right) = columns
        beside = pmui.Select.from_param(
            self.param.beside, label="Case beside it", width=260, size="small", searchable=True
        )
        method = pmui.Select.from_param(self.session.param.method, label="Method", width=380, size="small")
        return pmui.Column(
            pmui.FlexBox(beside, method, *moving),
            pmui.FlexBox(left, right, align_items="flex-start"),
            pn.pane.Markdown(self.views[0].note, margin=(0, 10), max_width=800),
            sizing_mode="stretch_width",
        )
