"""Readers and models: who trusts what is wrong, and whether good maps go with agreement."""

import panel as pn
import panel_material_ui as pmui
import param

from studykit.ui.believed_view import BelievedView
from studykit.ui.map_agreement_view import MapAgreementView
from studykit.ui.part_title import part_title
from studykit.ui.read_cases import beside
from studykit.ui.session import Session
from studykit.ui.studies import Studies, as_csv, kind
from studykit.ui.takeaway import study_file


class ReadersView(pn.viewable.Viewer):
    """Works on a page and in a notebook cell: `ReadersView(Studies(folder=runs), Session(runs))`."""

    studies = param.ClassSelector(class_=Studies)
    session = param.ClassSelector(class_=Session)
    opened = param.Event(doc="a case was chosen, and is now the session's")

    def __init__(self, studies: Studies, session: Session | None = None, **params):
        super().__init__(studies=studies, session=session, **params)
        self.believed, self.agreement = BelievedView(studies, session), MapAgreementView(studies, session)
        for view in (self.believed, self.agreement):
            view.param.watch(lambda _: self.param.trigger("opened"), "opened")

    def table(self):
        """All cases that were read and that the model held out, to be downloaded; rows say whose ratings."""
        table, score = self.agreement.cases, self.agreement.score
        scored = {"share": f"{score} of {' of the '.join(self.agreement.maps)}"} if score else {}
        table = table.drop(columns=[] if score else ["share"]).rename(columns={"group": "patient", **scored})
        found = self.studies.found
        return table.assign(model=self.session.model, study=found.name, ratings=kind(found))

    def __panel__(self):
        """The list of cases over the dots."""
        session, both = self.session, [self.studies.param.study]
        if session is not None:
            both.append(session.param.model)
        there = pn.bind(lambda *_: not isinstance(beside(self.studies, session), str), *both)
        csv = pmui.FileDownload(
            callback=lambda: as_csv(self.table()), label="These cases (CSV)", size="small", visible=there,
            filename=self.studies.param.study.rx.pipe(lambda _: study_file(self.studies, "cases")),
        )  # fmt: skip
        model = []
        if session is not None:
            model.append(pmui.Select.from_param(session.param.model, label="Model", width=300, size="small"))
        heading = part_title("Do readers agree where maps are good?")
        return pmui.Column(
            pmui.FlexBox(*model, csv, align_items="center", margin=(8, 0, 0, 0)),
            self.believed,
            pmui.Column(pmui.Divider(sizing_mode="stretch_width"), heading, self.agreement, visible=there,
                        sizing_mode="stretch_width"),
            sizing_mode="stretch_width",
        )  # fmt: skip
