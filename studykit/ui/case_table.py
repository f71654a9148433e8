"""The table of a model's held-out cases; a row that is clicked becomes the session's case."""

import html
import io

import numpy as np
import pandas as pd
import panel as pn
import panel_material_ui as pmui
import param

from studykit.ui.case_filter import CaseFilter
from studykit.ui.plain import sentence
from studykit.ui.session import Session
from studykit.ui.studies import as_csv

COLUMNS = ["id", "label", "predicted", "p", "uncertainty", "group", "fold"]
WIDTHS = {"id": 118, "label": 92, "predicted": 98, "p": 58, "uncertainty": 76, "group": 110, "fold": 60}
TEXT, SHARE = {"type": "plaintext"}, {"type": "money", "precision": 2}  # what data hold is never run
ROWS = 14  # a page's
TOLD = ".tabulator-tooltip { color: #222; background: #fff; font-size: 0.85rem; padding: 4px 8px }"


class CaseTable(pn.viewable.Viewer):
    """The filter, the cases that pass it, and the way to the case before and after; 10,000 rows and more.

    Only the rows of one page travel. `filter` is what an address follows.
    """

    session = param.ClassSelector(class_=Session)
    filter = param.ClassSelector(class_=CaseFilter)
    steps = param.Boolean(default=True, doc="whether Previous and Next stand below; a page may have `Keys`")

    def __init__(self, session: Session, **params):
        super().__init__(session=session, filter=CaseFilter(session), **params)
        self.table = pn.widgets.Tabulator(
            session.cases[COLUMNS],
            show_index=False, disabled=True, selectable=1, pagination="remote", page_size=ROWS,
            sizing_mode="stretch_width", layout="fit_data_stretch", theme="materialize",
            text_align={"p": "right", "uncertainty": "right", "fold": "right"},
            titles={"id": "case", "p": "P", "uncertainty": "doubt"},
            formatters={name: SHARE if name in ("p", "uncertainty") else TEXT for name in COLUMNS},
            stylesheets=[TOLD],
            header_tooltips={
                "p": "probability of the positive class, or of the predicted one of several",
                "uncertainty": "entropy of the probabilities: 0 is sure, 1 is torn",
                "fold": "where the case was held out",
            },
        )  # fmt: skip
        self._fitted = None
        self._count = pn.pane.HTML(margin=(6, 10), max_width=440)
        self._empty = pmui.Alert(severity="info", margin=10)
        self.table.on_click(self._clicked)
        self.table.param.watch(self._to_top, "sorters")
        self.table.add_filter(pn.bind(self._passing, chosen=self.filter.param.chosen))
        self.filter.param.watch(self._tell, "chosen")
        self._tell()

    def _passing(self, rows: pd.DataFrame, **_) -> pd.DataFrame | np.ndarray:
        """Which rows pass; none while they are another model's."""
        return self.filter.passing() if self._fitted == self.session.model else rows[:0]

    def _tell(self, *_) -> None:
        """The table is filtered: say so, and begin with its first page, or with the session's case."""
        if self._fitted != self.session.model:
            self._fit()
        count = len(self.table.current_view)
        why = "" if count else sentence(self.filter.why())
        self.table.param.update(page=1, visible=not why)
        self._count.object = f'<span role="status">{html.escape(self.filter.told(count))}</span>'
        self._empty.param.update(object=why, visible=bool(why))
        self._mark()

    def _fit(self) -> None:
        """The model's cases, and columns for what they have."""
        self._fitted, cases = self.session.model, self.session.cases
        nothing = [name for name in ("p", "uncertainty") if cases[name].isna().all()]
        widest = cases["id"].str.len().max()
        self.table.widths = {**WIDTHS, "id": int(min(200, max(WIDTHS["id"], 30 + 8.6 * widest)))}
        self.table.hidden_columns = nothing + ["fold"] * (cases["fold"].nunique() < 2)
        self.table.value = cases[COLUMNS]

    @property
    def seen(self) -> pd.DataFrame:
        """The session's cases as they are seen: filtered and sorted, with all that is known of them."""
        return self.session.cases.loc[self.table.current_view.index]

    @param.depends("session.shown", watch=True)
    def _mark(self) -> None:
        """Select the session's case, on the page of the table where it stands."""
        if self._fitted != self.session.model:
            return  # its cases come in a moment, and mark again
        at = self._places()
        if at is None:
            self.table.selection = []
            return
        self.table.page = at // ROWS + 1
        self.table.selection = [int(self.table.current_view.index[at])]  # a row's number among all cases

    def _places(self) -> int | None:
        """Where the session's case stands in the order that is seen."""
        found = np.flatnonzero(self.table.current_view["id"] == self.session.case)
        return int(found[0]) if len(found) else None

    def _to_top(self, *_) -> None:
        """Whoever sorts wants to see what comes first."""
        self.table.page = 1

    def _clicked(self, event) -> None:
        self.session.case = self.table.value["id"].iloc[event.row]
        self._mark()  # a second click would take the mark away

    def step(self, by: int) -> None:
        """Go on in the order that is seen; from the last to the first, and from a case that is not there."""
        rows = self.table.current_view["id"]
        if len(rows):
            here = self._places()
            here = (-1 if by > 0 else 0) if here is None else here
            self.session.case = rows.iloc[(here + by) % len(rows)]

    def download(self) -> io.StringIO:
        """What is shown, as CSV: every row says which model."""
        return as_csv(self.seen.assign(model=self.session.model))

    def __panel__(self):
        """The filter, the table, and the buttons to the case before and after."""
        look = {"variant": "outlined", "size": "small"}
        clear = pmui.Button(label="Clear", variant="text", size="small", margin=(0, 10))
        clear.visible = self.filter.param.chosen.rx.pipe(lambda _: bool(self.filter.asked))
        clear.on_click(self.filter.clear)
        ways = [pmui.Button(label=label, **look) for label in ("Previous", "Next")] if self.steps else []
        for button, by in zip(ways, (-1, +1)):
            button.on_click(lambda _, by=by: self.step(by))
        file = pmui.FileDownload(
            callback=self.download, filename="cases.csv", label="CSV of these cases", **look
        )
        return pmui.Column(
            self.filter,
            pmui.FlexBox(self._count, clear, align_items="center"),
            self._empty,
            self.table,
            pmui.FlexBox(*ways, file),
            sizing_mode="stretch_width",
        )
