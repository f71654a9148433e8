"""What does each model look at? Shares, cases, parts and other measures, as far as they are stored."""

import panel as pn
import panel_material_ui as pmui
import param

from studykit.ui.contributed_case import ContributedCase
from studykit.ui.dots_view import DotsView
from studykit.ui.neighbours_view import NeighboursView
from studykit.ui.part_title import part_title
from studykit.ui.parts_view import PartsView
from studykit.ui.session import Session
from studykit.ui.shares_view import SharesView
from studykit.ui.takeaway import takeaway


class ContributionView(pn.viewable.Viewer):
    """Works on a page and in a notebook cell: `ContributionView(Session("data/demo"))`."""

    session = param.ClassSelector(class_=Session)
    output = param.Selector(default="", objects={"all outputs": ""}, doc="whose shares and effects are shown")

    def __init__(self, session: Session, **params):
        super().__init__(session=session, **params)
        found = [session.contributed(model) for model in session.runs]
        outputs = [output for one in found if not isinstance(one, str) for output in one.outputs]
        self.param.output.objects = {"all outputs": ""} | {name: name for name in dict.fromkeys(outputs)}
        answer = {"output": self.param.output}
        self.shares, self.parts = SharesView(session, **answer), PartsView(session, **answer)
        self.dots, self.case = DotsView(session, **answer), ContributedCase(session, **answer)
        self.neighbours = NeighboursView(session)

    @param.depends("session.model", watch=True)
    def _keep_what_is_answered(self) -> None:
        found = self.session.contributed(self.session.model)
        if not isinstance(found, str) and self.output not in ("", *found.outputs):
            self.output = ""

    @param.depends("session.model", "output")
    def there(self) -> bool:
        """Whether the chosen model has something to show; where not, its case says what to run."""
        return not isinstance(self.session.contributed(self.session.model, self.output), str)

    def __panel__(self):
        """From all models to one, from all cases to one, then its parts and other measures."""
        session = self.session
        output = pmui.Select.from_param(self.param.output, label="Answer", width=260, size="small")
        model = pmui.Select.from_param(session.param.model, label="Model", width=320, size="small")
        case = pmui.Select.from_param(
            session.param.case, label="Case", width=220, size="small", searchable=True
        )
        return pmui.Column(
            pmui.FlexBox(
                part_title("What does each model lean on?"), output, align_items="center", margin=(8, 0, 0, 0)
            ),
            takeaway(self.shares, "What each model leans on", self.shares.table, ()),
            pmui.Divider(sizing_mode="stretch_width"),
            pmui.FlexBox(part_title("Case by case"), model, case, align_items="center", margin=(8, 0, 0, 0)),
            pmui.FlexBox(
                pmui.Column(
                    takeaway(self.dots, "Shares case by case", self.dots.rows, ("model",)),
                    width=580,
                    visible=self.there,
                ),
                pmui.Column(takeaway(self.case, "What the answer hung on", of=("model", "case")), width=820),
                align_items="flex-start",
            ),
            pmui.Column(
                pmui.Divider(sizing_mode="stretch_width"),
                part_title("Which parts, over all cases?"),
                takeaway(self.parts, "Which parts, over all cases", of=("model",)),
                visible=self.there,
                sizing_mode="stretch_width",
            ),
            pmui.Divider(sizing_mode="stretch_width"),
            part_title("What do other measures say?"),
            takeaway(self.neighbours, "Other measures", self.neighbours.table, ("model",)),
            sizing_mode="stretch_width",
        )
