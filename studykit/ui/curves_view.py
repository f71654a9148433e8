"""What does the model say while a case is taken away bit by bit? Mean curves of every method."""

import panel as pn
import panel_material_ui as pmui
import param

from studykit.draw import curve_bands, legend, method_looks
from studykit.quality.curves import OUT_OF_DISTRIBUTION
from studykit.ui.measured import mean_curves, measured, method_titles
from studykit.ui.plain import sentence
from studykit.ui.session import Session, is_control

FIRST = ("morf", "insertion")  # in the order in which they are shown; "lerf" is insertion backwards
TITLES = {
    "morf": "Deletion: the most relevant go first (low is good)",
    "insertion": "Insertion: the most relevant return first (high is good)",
    "lerf": "The least relevant go first",
    "cascading": "Weights drawn anew from the heads down",
    "independent": "Weights drawn anew, layer by layer",
}
X = {"insertion": "share of places that are back", "cascading": "groups of layers"}
X |= {"independent": "which group of layers"}
RANDOMISED = ("cascading", "independent")


class CurvesView(pn.viewable.Viewer):
    """Of the session's model and one modality; the session's method is drawn thick, controls in gray."""

    session = param.ClassSelector(class_=Session)
    modality = param.String(allow_refs=True)
    _seen = param.Tuple(default=("", "", ""), doc="model, method and modality; another case changes nothing")

    def __init__(self, session: Session, **params):
        super().__init__(session=session, **params)
        self._settle()

    @param.depends("session.shown", "modality", watch=True)
    def _settle(self) -> None:
        self._seen = (self.session.model, self.session.method, self.modality)

    @param.depends("_seen")
    def curves(self) -> pmui.Column:
        """The curves that are stored, their legend, and what to be careful of; or what to run."""
        session = self.session
        found = measured(session, session.model)
        if isinstance(found, str):
            return pmui.Column(pn.pane.Markdown(sentence(found), margin=(0, 10)))
        table = mean_curves(found, self.modality)
        if table.empty:
            told = (
                f"No curves are stored of the {self.modality}. Run `python -m studykit quality "
                f"{session.folder} --scores deletion insertion` and reload the page."
            )
            return pmui.Column(pn.pane.Markdown(sentence(told), margin=(0, 10)))
        methods = {method: is_control(method) for method in found.methods(self.modality)}
        looks, (titles, _) = method_looks(methods), method_titles(methods)
        kinds = [kind for kind in FIRST if kind in set(table["curve"])]
        kinds += [kind for kind in table["curve"].unique() if kind not in TITLES]
        kinds += [kind for kind in RANDOMISED if kind in set(table["curve"])]
        drawn = [self._drawn(table[table["curve"] == kind], kind, looks, titles) for kind in kinds]
        told = (
            f"Means over {table['n'].max()} cases, bands are 95 % intervals over patients. "
            f"{OUT_OF_DISTRIBUTION}"
        )
        return pmui.Column(
            pn.pane.HTML(legend(looks, titles, session.method), margin=(5, 10), max_width=1100),
            pmui.FlexBox(*drawn, gap="12px"),
            pn.pane.Markdown(told, margin=(0, 10), max_width=1000),
            sizing_mode="stretch_width",
        )

    def _drawn(self, table, kind: str, looks, titles) -> pn.pane.HoloViews:
        session = self.session
        task = session.runs[session.model][0].schema.tasks[0]
        answer = "predicted value" if task.kind == "regression" else "P of the class explained"
        answer = "similarity (Spearman)" if kind in RANDOMISED else answer
        xlabel = X.get(kind, "share of places taken away")
        title = TITLES.get(kind, kind)
        shown = curve_bands(table, looks, titles, title, xlabel, answer, session.method)
        return pn.pane.HoloViews(shown, linked_axes=False, margin=5)

    def __panel__(self):
        """What there is."""
        return pmui.Column(self.curves, sizing_mode="stretch_width")
