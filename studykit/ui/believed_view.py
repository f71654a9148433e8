"""Which cases do readers disagree about, and in which do they trust what is wrong? A row a case."""

import pandas as pd
import panel as pn
import panel_material_ui as pmui
import param
from bokeh.models.widgets.tables import NumberFormatter

from studykit.ui.address import link
from studykit.ui.joined_view import JoinedView
from studykit.ui.plain import safe, sentence
from studykit.ui.read_cases import BELIEVE, DISAGREE, FOLLOW, filters, sets
from studykit.ui.trust_sections import line

FIRST = {BELIEVE: "with_model", FOLLOW: "followed", DISAGREE: "disagreement"}  # the most of it stands first
MEANS = {
    BELIEVE: "Its prediction is wrong there, and half or more of the final answers are that prediction (of "
    "readers whose aid said so, where there are such), or trust in an aid that said so lies in the upper "
    "half.",
    FOLLOW: "The aid was wrong there, and half or more of the final answers under it are the aid's.",
    DISAGREE: "Some two readers gave different final answers under one condition.",
}
SHARES = {
    "with_model": "answers as the model", "followed": "took the wrong aid", "wrong": "wrong answers",
    "disagreement": "pairs that disagree", "trust": "trust",
}  # fmt: skip
COLUMNS = {
    "case": "case",
    "label": "what is so",
    "predicted": "the model says",
    "readers": "readers",
    **SHARES,
}


class BelievedView(JoinedView):
    """The visitor's study beside the session's model; a row that is tapped becomes the session's case."""

    which = param.Selector(default="", objects=[""], doc="which cases are listed; the first that has some")
    _drawn = param.Tuple(default=("", "", ""), doc="study, model and list, once they fit")

    def _offer(self) -> None:
        there = {} if isinstance(self._table, str) else sets(self._table)
        there = {name: there[name] for name in FIRST if name in there}
        self.param.which.objects = {f"{name} ({len(ids)})": name for name, ids in there.items()} or [""]
        self.which = next((name for name, ids in there.items() if ids), next(iter(there), ""))
        self._settle()

    @param.depends("which", watch=True)
    def _settle(self) -> None:
        self._drawn = (*self._whose, self.which)

    @property
    def rows(self) -> pd.DataFrame:
        """The listed cases, columns as `joined`, the most of it first."""
        table = self._table
        rows = table[table["case"].isin(sets(table)[self.which])]
        return rows.sort_values(FIRST[self.which], ascending=False, kind="stable", ignore_index=True)

    @param.depends("_drawn")
    def listed(self) -> pn.viewable.Viewable:
        """The table, under how many cases it has; or why there is none."""
        if isinstance(self._table, str):
            return line(sentence(self._table))
        rows, whole = self.rows, self._table
        told = (
            f"{len(rows)} of {len(whole)} cases that were read and '{safe(self.session.model)}' held out; "
            f"the model is wrong in {int(whole['model_wrong'].sum())}. {MEANS[self.which]}"
        )
        if rows.empty:
            return line(told)
        if self._linked:
            told += f" A tap on a row opens its case here, on its name the Cases page. {self._all()}"
        return pmui.Column(line(told), self._tabled(rows), sizing_mode="stretch_width")

    @property
    def _linked(self) -> bool:
        return pn.state.location is not None  # not in a notebook

    def _tabled(self, rows: pd.DataFrame) -> pn.widgets.Tabulator:
        shown = rows[list(COLUMNS)].dropna(axis="columns", how="all")
        looks = {
            SHARES[name]: NumberFormatter(format="0 %", nan_format="–") for name in shown if name in SHARES
        }
        shown = shown.rename(columns=COLUMNS)
        if self._linked:
            show = self.which if filters(self.studies, self.session) else ""
            shown["address"] = [link("cases", self.session, case=case, show=show) for case in rows["case"]]
            looks["case"] = {"type": "link", "urlField": "address"}
        table = pn.widgets.Tabulator(
            shown, show_index=False, disabled=True, pagination="local", page_size=10, theme="materialize",
            layout="fit_data_stretch", sizing_mode="stretch_width", hidden_columns=["address"],
            formatters=looks, selectable=False,
        )  # fmt: skip
        table.on_click(lambda event: self._tapped(rows["case"].iloc[event.row], event.column))
        return table

    def _tapped(self, case: str, column: str) -> None:
        if column != "case" or not self._linked:  # there the browser goes to another page
            self._open(case)

    def _all(self) -> str:
        """To all of them on the Cases page; nothing where that page asks another study."""
        if not filters(self.studies, self.session):
            return ""
        return f"[Open all of them on the Cases page]({link('cases', self.session, show=self.which)})"

    def __panel__(self):
        """Which list, then the table."""
        which = pmui.Select.from_param(
            self.param.which, label="Cases in which", width=380, size="small",
            visible=self.param._drawn.rx.pipe(lambda drawn: bool(drawn[2])),
        )  # fmt: skip
        return pmui.Column(which, self.listed, sizing_mode="stretch_width")
