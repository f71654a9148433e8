"""What a reporting list asks of a paper about the study, filled in as far as the ratings tell it."""

import pandas as pd
import panel as pn
import panel_material_ui as pmui
import param

from studykit.trust.checklist_items import ITEMS
from studykit.trust.checklists import NOT_RECORDED, checklist
from studykit.ui.plain import safe
from studykit.ui.studies import Studies, as_csv
from studykit.ui.takeaway import study_file

LEFT = ["th {text-align: left !important}"]


class ReportingView(pn.viewable.Viewer):
    """Of the visitor's study."""

    studies = param.ClassSelector(class_=Studies)
    name_of_list = param.Selector(objects=list(ITEMS), doc="GRRAS is about agreement, the others about AI")

    def table(self) -> pd.DataFrame:
        """The chosen list: item, section, asked, answer."""
        return checklist(self.studies.found, self.name_of_list)

    @param.depends("studies.study", "name_of_list")
    def filled(self) -> pn.viewable.Viewable:
        """The list, and how much of it is filled in."""
        if isinstance(self.studies.found, str):
            return pn.pane.Markdown("")
        table = self.table()
        count = int((table["answer"] != NOT_RECORDED).sum())
        told = (
            f"{count} of {len(table)} items are told by the ratings, the rest by you. All is in our words; "
            f"for those of the guideline see {safe(table.attrs['source'])}."
        )
        rows = pn.pane.DataFrame(
            table, index=False, text_align="start", margin=(5, 10), max_width=1200, stylesheets=LEFT
        )
        return pmui.Column(pn.pane.Markdown(told, margin=(2, 10), max_width=1000), rows)

    def __panel__(self):
        """The choice and the download over the list."""
        choice = pmui.Select.from_param(
            self.param.name_of_list, label="Reporting list", width=240, size="small"
        )
        download = pmui.FileDownload(
            callback=lambda: as_csv(self.table()), label="The list (CSV)", size="small",
            filename=pn.bind(lambda name, _: study_file(self.studies, name), self.param.name_of_list,
                             self.studies.param.study),
        )  # fmt: skip
        over = pmui.FlexBox(choice, download, align_items="center", margin=(8, 0, 0, 0))
        return pmui.Column(over, self.filled, sizing_mode="stretch_width")
