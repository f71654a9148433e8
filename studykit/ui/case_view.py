"""One case: what the model saw, where its map points, what the record added, how sure each model is."""

from functools import partial

import holoviews as hv
import numpy as np
import panel as pn
import panel_material_ui as pmui
import param

from studykit.catalog import build
from studykit.draw import class_probabilities, column_effects, heat, outline, picture
from studykit.explain import Explainer, Explanation
from studykit.ui.session import Session, title_of

# The slider moves the map's opacity in the browser, without asking the server.
SET_OPACITY = """
const walk = (model) => {
  for (const renderer of model.renderers ?? []) {
    if (renderer.name == 'heat') renderer.glyph.global_alpha = {value: source.value}
  }
  for (const child of model.children ?? []) walk(Array.isArray(child) ? child[0] : child)
}
walk(target)
"""


class CaseView(pn.viewable.Viewer):
    """Works on a page and in a notebook cell: `CaseView(Session("data/demo"))`."""

    session = param.ClassSelector(class_=Session)
    opacity = param.Number(default=0.7, bounds=(0, 1), step=0.05)
    _pictures = param.List(doc="the image modalities, in order")

    def __init__(self, session: Session, **params):
        super().__init__(session=session, **params)
        self._lay_out()

    @param.depends("session.shown", watch=True)
    def _lay_out(self) -> None:
        self._pictures = [m.name for m in self.session.run.prepared.dataset.pictures]

    @param.depends("session.shown")
    def heading(self) -> str:
        """Whose case it is and what is known of it."""
        session = self.session
        row = session.cases.set_index("id").loc[session.case]
        known = row["label"] if isinstance(row["label"], str) else "not labelled"
        said = f"predicted **{row['predicted']}**" + (" (wrong)" if row["wrong"] else "")
        planted = session.run.prepared.dataset.planted(session.case)
        parts = [f"label **{known}**", said, f"group {row['group']}", f"held out in fold {row['fold']}"]
        truth = f"\n\nPlanted truth: {planted}" if planted else ""
        return f"### {session.case}\n{' · '.join(parts)}{truth}"

    @param.depends("_pictures")
    def scans(self) -> hv.Layout:
        """Each picture with its outline, and again under the map; the zoom outlasts a new case."""
        views = []
        for name in self._pictures:
            for mapped in (False, True):
                scan = pn.bind(partial(self._scan, name, mapped), self.session.param.shown)
                views.append(hv.DynamicMap(scan))
        return hv.Layout(views).cols(2).opts(toolbar="left", shared_axes=True)

    def _scan(self, modality: str, mapped: bool, shown: tuple[str, str, str]) -> hv.Overlay:
        session, (*_, method) = self.session, shown
        explanation, (values, mask) = session.explanation, session.scan(modality)
        base, line = picture(values), outline(mask)
        if not mapped:
            return (base * line).opts(title=f"{modality} and reference outline")
        if explanation is None or modality not in explanation.maps:
            over = heat(np.zeros(values.shape[1:]), False, 1.0, self.opacity)
            return (base * over * line).opts(title=f"no map of the {modality}")
        over = heat(
            explanation.maps[modality][0].sum(axis=0),  # (C, H, W) to (H, W)
            explanation.signed[modality],
            session.limit(modality),
            self.opacity,
        )
        unit = build(Explainer, explanation.spec).unit
        title = f"{title_of(method)} for {self._class(explanation)} ({unit})"
        return (base * over * line).opts(title=title)

    def _class(self, explanation: Explanation) -> str:
        """The class that the maps speak for, as a person reads it."""
        task = self.session.run.schema.task(explanation.head)
        return task.classes[int(explanation.targets[0])] if task.classes else task.name

    @param.depends("session.shown")
    def note(self) -> str:
        """What the map's colours mean, or why there is none and what to run."""
        session = self.session
        explanation = session.explanation
        if explanation is None:
            return (
                "Nothing explains this model yet. Run "
                f"`python -m studykit explain {session.folder}` and reload the page."
            )
        explainer = build(Explainer, explanation.spec)
        names = [modality.name for modality in session.run.prepared.dataset.pictures]
        unseen = [name for name in names if name not in explanation.maps]
        if unseen:
            return f"This model does not look at the {unseen[0]}, so it has no map."
        signed = any(explanation.signed.values())
        colours = "orange speaks for it, blue against it" if signed else "orange speaks for it"
        off = explanation.checks.get("completeness")
        error = "" if off is None else f" Completeness error in this case: {abs(off[0]):.2f} (logit)."
        same = "Colours end at the same value in every case of the run."
        return f"{explainer.title}: {explainer.gives}; {colours}. {same}{error}"

    @param.depends("session.shown")
    def record(self) -> pn.viewable.Viewable:
        """The record, with the effect of each source column where the method gives one."""
        session = self.session
        run, explanation = session.run, session.explanation
        dataset = run.prepared.dataset
        if not dataset.record:
            return pmui.Typography(f"{dataset.name} has no record.", variant="body2")
        row = dataset.cases.loc[session.case, list(dataset.record)]
        labels = {name: f"{name}: {_shown(row[name])}" for name in dataset.record}
        if explanation is None or "record" not in explanation.maps:
            why = "" if explanation is None else " It has no column effects by this method or model."
            text = "\n".join(f"- {label}" for label in labels.values())
            return pn.pane.Markdown(f"**Record.**{why}\n\n{text}", width=380)
        values, sources = explanation.maps["record"][0], run.schema.modality("record").sources
        effects = {name: float(values[at].sum()) for name, at in sources.items() if name in labels}
        return pn.pane.HoloViews(column_effects(effects, labels, session.limit("record")))

    @param.depends("session.shown")
    def probabilities(self) -> hv.Overlay:
        """Every model's probability for the class, where it held this very case out."""
        session = self.session
        source = session.run.about["dataset"]
        names, values = [], []
        for name, runs in session.runs.items():
            table = session.cases_of(name).set_index("id")
            if runs[0].about["dataset"] == source and session.case in table.index:
                names.append(f"{name} ←" if name == session.model else name)
                values.append(float(table.loc[session.case, "p"]))
        task = session.run.schema.tasks[0]
        label = task.classes[1] if task.kind == "binary" else "the class it predicts"
        return class_probabilities(names, values, label)

    def __panel__(self):
        """Heading, scans with their two controls, then record and probabilities side by side."""
        scans = pn.pane.HoloViews(self.scans, linked_axes=True)
        slider = pmui.FloatSlider.from_param(self.param.opacity, label="Opacity of the map", width=260)
        slider.jscallback(args={"target": scans}, value=SET_OPACITY)
        method = pmui.Select.from_param(self.session.param.method, label="Method", width=260, size="small")
        return pmui.Column(
            pn.pane.Markdown(self.heading, margin=(0, 10)),
            pmui.Row(method, slider),
            scans,
            pn.pane.Markdown(self.note, margin=(0, 10), max_width=800),
            pmui.FlexBox(self.record, pn.pane.HoloViews(self.probabilities)),
            sizing_mode="stretch_width",
        )


def _shown(value) -> str:
    if value is None or value != value:
        return "not known"
    return f"{value:g}" if isinstance(value, float) else str(value)
