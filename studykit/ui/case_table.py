"""The table of a model's held-out cases; a row that is clicked becomes the session's case."""

import panel as pn
import panel_material_ui as pmui
import param

from studykit.ui.session import Session

SHOW = ("all cases", "wrong predictions", "right predictions", "unlabelled")
WIDTHS = {"id": 118, "label": 92, "predicted": 98, "p": 58, "uncertainty": 80}
COLUMNS = ["id", "label", "predicted", "p", "uncertainty", "group"]


class CaseTable(pn.viewable.Viewer):
    """Filter by correctness above, by label, prediction or group in the heads; previous and next below."""

    session = param.ClassSelector(class_=Session)
    show = param.Selector(default=SHOW[0], objects=list(SHOW))

    def __init__(self, session: Session, **params):
        super().__init__(session=session, **params)
        self.table = pn.widgets.Tabulator(
            show_index=False, disabled=True, selectable=1, pagination="local", page_size=14,
            sizing_mode="stretch_width", layout="fit_data_stretch", theme="materialize",
            text_align={"p": "right"},
            titles={"id": "case", "p": "P", "uncertainty": "doubt"},
            formatters={
                "p": {"type": "money", "precision": 2}, "uncertainty": {"type": "money", "precision": 2}
            },
            header_filters={
                "id": {"type": "input", "placeholder": "find"},
                "label": {"type": "list", "valuesLookup": True, "clearable": True},
                "predicted": {"type": "list", "valuesLookup": True, "clearable": True},
                "group": {"type": "input", "placeholder": "find"},
            },
            widths=WIDTHS,
        )  # fmt: skip
        self.table.on_click(self._clicked)
        self._fill()

    @param.depends("session.model", "show", watch=True)
    def _fill(self) -> None:
        cases = self.session.cases
        keep = {
            "wrong predictions": cases["wrong"],
            "right predictions": ~cases["wrong"] & cases["label"].notna(),
            "unlabelled": cases["label"].isna(),
        }.get(self.show)
        shown = cases if keep is None else cases[keep]
        widest = cases["id"].str.len().max()
        self.table.widths = {**WIDTHS, "id": int(min(200, max(WIDTHS["id"], 30 + 7.5 * widest)))}
        self.table.hidden_columns = [name for name in ("p", "uncertainty") if cases[name].isna().all()]
        self.table.value = shown[COLUMNS].reset_index(drop=True)
        self._mark()

    @param.depends("session.shown", watch=True)
    def _mark(self) -> None:
        """Select the session's case, on the page of the table where it stands."""
        rows = self.table.value["id"].tolist()
        self.table.selection = [rows.index(self.session.case)] if self.session.case in rows else []

    def _clicked(self, event) -> None:
        self.session.case = self.table.value["id"].iloc[event.row]

    def _step(self, by: int) -> None:
        """Go on in the order that is seen: filtered and sorted."""
        rows = self.table.current_view["id"].tolist()
        if rows:
            here = rows.index(self.session.case) if self.session.case in rows else -by
            self.session.case = rows[(here + by) % len(rows)]

    def __panel__(self):
        """The filter, the table, and the buttons to the case before and after."""
        show = pmui.Select.from_param(self.param.show, label="Show", size="small", margin=(5, 10))
        before = pmui.Button(label="Previous", variant="outlined", size="small")
        after = pmui.Button(label="Next", variant="outlined", size="small")
        before.on_click(lambda _: self._step(-1))
        after.on_click(lambda _: self._step(+1))
        return pmui.Column(show, self.table, pmui.Row(before, after), sizing_mode="stretch_width")
