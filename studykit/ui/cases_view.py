"""What did the models see and say in this case? One case, all its maps, two models, or two cases."""

import panel as pn
import panel_material_ui as pmui
import param

from studykit.ui.case_sheet import sheet_download
from studykit.ui.case_view import CaseView
from studykit.ui.gallery_view import GalleryView
from studykit.ui.session import Session
from studykit.ui.tabs import tabs
from studykit.ui.takeaway import WHOLE, takeaway
from studykit.ui.two_cases_view import TwoCasesView
from studykit.ui.two_models_view import TwoModelsView

VIEWS = {
    "one case": (CaseView, ("model", "case", "method")),
    "all maps": (GalleryView, ("model", "case")),
    "two models": (TwoModelsView, ("case", "method")),
    "two cases": (TwoCasesView, ("model", "method")),
}  # each with what its caption says
COMPARED = {"against", "beside"}


class CasesView(pn.viewable.Viewer):
    """Works on a page and in a notebook cell: `CasesView(Session("data/demo"))`."""

    session = param.ClassSelector(class_=Session)
    view = param.Selector(default="one case", objects=list(VIEWS), doc="which is open")
    against = param.String(doc="the model that is compared with, once it was")
    beside = param.String(doc="the case that is compared with, once it was")

    def __init__(self, session: Session, **params):
        self._made = {}
        super().__init__(session=session, **params)

    def opened(self) -> tuple[pn.viewable.Viewer, pn.Column]:
        """The view that is open and what shows it, made when it first is."""
        if self.view not in self._made:
            kind, of = VIEWS[self.view]
            made = kind(self.session)
            self._made[self.view] = made, takeaway(made, self.view.capitalize(), of=of)
            self._compare()
            for name in COMPARED & set(made.param):
                setattr(self, name, getattr(made, name))
                made.param.watch(lambda event: self.param.update(**{event.name: event.new}), name)
        return self._made[self.view]

    @param.depends("against", "beside", watch=True)
    def _compare(self) -> None:
        """What is compared with is that of the view which compares, where it has it."""
        for made, _ in self._made.values():
            for name in COMPARED & set(made.param):
                if getattr(self, name) in list(made.param[name].objects):
                    setattr(made, name, getattr(self, name))

    @param.depends("view")
    def body(self) -> pn.viewable.Viewable:
        """The open view; the others stand still."""
        view, shown = self.opened()
        for other, _ in self._made.values():
            other.looked_at = other is view
        return shown

    def __panel__(self):
        """The choice over the view."""
        return pmui.Column(
            pmui.FlexBox(tabs(self, "view"), sheet_download(self.session), align_items="center"),
            self.body,
            styles=WHOLE,
            sizing_mode="stretch_width",
        )
