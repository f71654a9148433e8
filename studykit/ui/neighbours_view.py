"""What do other measures say of the same model? Their shares beside each other, and what each one asks."""

import pandas as pd
import panel as pn
import panel_material_ui as pmui
import param

from studykit.draw import measure_shares, modality_colors
from studykit.ui.plain import sentence
from studykit.ui.session import Session

ABOUT = ["measure", "asks", "labels", "cost"]
LABELS = {True: "needed", False: "not needed"}


class NeighboursView(pn.viewable.Viewer):
    """Of the session's model, one of its folds."""

    session = param.ClassSelector(class_=Session)

    def __init__(self, session: Session, **params):
        super().__init__(session=session, **params)

    @param.depends("session.model")
    def measures(self) -> pmui.Column:
        """A sentence, the shares and the table; or what to run."""
        session = self.session
        stored = session.beside(session.model)
        if stored is None:
            told = (
                f"No other measure was asked of {session.model} yet. Run "
                f"`python -m studykit contributions {session.folder} --beside` and reload the page."
            )
            return pmui.Column(pn.pane.Markdown(sentence(told), margin=(0, 10)))
        run, table = stored
        told = (
            f"Of fold {run.fold}, on {table['n'].max()} of its held-out cases. No single number answers what "
            "a model looks at: occlusion by part misses what two modalities both say, others need labels. "
            "Lines that name parts are modality contribution with those parts."
        )
        shares, measures = shares_of(table), table.drop_duplicates("measure")
        beside = [_table(measures.assign(labels=measures["labels"].map(LABELS))[ABOUT])]
        if len(shares):
            drawn = measure_shares(shares, modality_colors(session.modalities))
            beside.insert(0, pn.pane.HoloViews(drawn, linked_axes=False))
        return pmui.Column(
            pn.pane.Markdown(told, margin=(0, 10), max_width=900),
            pmui.FlexBox(*beside, gap="24px"),
            _table(numbers(table)),
            sizing_mode="stretch_width",
        )

    def table(self) -> pd.DataFrame | str:
        """What is stored of the model's measures; a sentence where nothing is."""
        stored = self.session.beside(self.session.model)
        return "No other measure was asked of this model yet." if stored is None else stored[1]

    def __panel__(self):
        """What there is, once the page stands."""
        return pmui.Column(pn.panel(self.measures, defer_load=True), sizing_mode="stretch_width")


def shares_of(table: pd.DataFrame) -> pd.DataFrame:
    """The rows of `beside` that share the whole out among modalities, named by their parts."""
    shares = table[table["statistic"].str.match(r"share(,|$)") & table["estimate"].notna()]
    other = shares["statistic"].str.removeprefix("share, ")
    return shares.assign(measure=shares["measure"].where(shares["statistic"] == "share", other))


def numbers(table: pd.DataFrame) -> pd.DataFrame:
    """The rows of `beside` in a reader's words, each measure named once; why, where one cannot be told."""
    spans = zip(table["low"], table["high"], strict=True)
    shown = pd.DataFrame(
        {
            "measure": table["measure"].where(~table["measure"].duplicated(), ""),
            "statistic": table["statistic"],
            "of": table["group"],
            "estimate": [f"{value:.3f}" if value == value else "-" for value in table["estimate"]],
            "95 % interval": [f"{low:.3f} to {high:.3f}" if low == low else "-" for low, high in spans],
            "cases": table["n"],
            "why": table["why"],
        }
    )
    return shown if table["why"].any() else shown.drop(columns="why")


def _table(rows: pd.DataFrame) -> pn.pane.DataFrame:
    """Escaped by Panel, and aligned as it is read."""
    left = ["th {text-align: left !important}"]
    return pn.pane.DataFrame(
        rows, index=False, text_align="start", max_width=780, margin=(5, 10), stylesheets=left
    )
