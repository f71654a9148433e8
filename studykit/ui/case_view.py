"""One case: what the model saw, where its map points, what the record added, how sure each model is.

Of a volume one slice is shown; one slider moves through all volumes of the case, whatever their depth.
"""

import html
import re
from functools import partial

import holoviews as hv
import numpy as np
import pandas as pd
import panel as pn
import panel_material_ui as pmui
import param

from studykit.case import Task
from studykit.catalog import build
from studykit.datasets.text import places
from studykit.draw import (
    class_probabilities,
    column_effects,
    heat,
    marked_words,
    outline,
    picture,
    predicted_values,
)
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
    slice = param.Integer(default=1, bounds=(1, 2), doc="of the deepest volume, counted from 1")
    _pictures = param.List(doc="name and kind of the image and volume modalities, in order")
    _volumes = param.Dict(default={}, doc="how many slices each volume has, by name")
    _seen = param.Tuple(default=("", "", "", 0), doc="what volumes follow: `shown`, and the slice")

    def __init__(self, session: Session, **params):
        self._opened = None  # the data set and the case whose slice the slider stands at
        super().__init__(session=session, **params)
        self._lay_out()

    @param.depends("session.shown", watch=True)
    def _lay_out(self) -> None:
        dataset = self.session.run.prepared.dataset
        self._volumes = {m.name: m.shape[1] for m in dataset.pictures if m.kind == "volume"}
        self._pictures = [(m.name, m.kind) for m in dataset.pictures]
        before, self._opened = self._opened, (dataset, self.session.case)
        if self._volumes and before != self._opened:  # another method keeps the slice
            self.param["slice"].bounds = (1, max(2, *self._volumes.values()))
            self.slice = self._first_slice()
        self._look()

    @param.depends("slice", watch=True)
    def _look(self) -> None:
        self._seen = (*self.session.shown, self.slice)

    def _first_slice(self) -> int:
        """Where most of the first outlined volume's finding is, else the middle."""
        for name, depth in self._volumes.items():
            area = self.session.scan(name)[1].sum(axis=(1, 2))  # (D,)
            if area.any():
                return 1 + round(int(area.argmax()) * self._step(depth))
        return (max(self._volumes.values()) + 1) // 2

    def _step(self, depth: int) -> float:
        """How many steps of the slider one slice of a volume with `depth` slices takes."""
        return (self.param["slice"].bounds[1] - 1) / max(1, depth - 1)

    @param.depends("session.shown")
    def heading(self) -> str:
        """Whose case it is and what is known of it."""
        session = self.session
        row = session.cases.set_index("id").loc[session.case]
        planted = session.run.prepared.dataset.planted(session.case)
        parts = [*self._answers(), f"group {_safe(row['group'])}", f"held out in fold {row['fold']}"]
        truth = f"\n\nPlanted truth: {_safe(planted)}" if planted else ""
        return f"### {_safe(session.case)}\n{' · '.join(parts)}{truth}"

    def _answers(self) -> list[str]:
        """What is known and what is predicted, task by task."""
        run, parts = self.session.run, []
        row = run.predictions.set_index("id").loc[self.session.case]
        for task in run.schema.tasks:
            known = _safe(_shown(row[task.name])) if not pd.isna(row[task.name]) else "not labelled"
            name = "label" if len(run.schema.tasks) == 1 else _safe(task.name)
            parts.append(f"{name} **{known}**")
            said = row.get(f"{task.name}.predicted", row.get(f"{task.name}.value"))
            if task.kind == "regression":
                parts.append(f"predicted **{said:.3g}**")
            elif said is not None:
                said = _safe(said)
                wrong = " (wrong)" if known not in (said, "not labelled") else ""
                parts.append(f"predicted **{said}**{wrong}")
        return parts

    @param.depends("_pictures")
    def scans(self) -> hv.Layout:
        """Each picture with its outline, and again under the map; the zoom outlasts a new case."""
        if not self._pictures:
            return hv.Div("")
        views = []
        for name, kind in self._pictures:
            followed = self.param._seen if kind == "volume" else self.session.param.shown
            for mapped in (False, True):
                views.append(hv.DynamicMap(pn.bind(partial(self._scan, name, mapped), followed)))
        layout = hv.Layout().opts(toolbar="left", shared_axes=True)  # empty, else every frame is styled anew
        layout.update(hv.Layout(views))
        return layout.cols(2)

    def _scan(self, modality: str, mapped: bool, _) -> hv.Overlay:
        session, at, where = self.session, ..., ""
        explanation, (values, mask) = session.explanation, session.scan(modality)
        if modality in self._volumes:
            depth = len(mask)
            at = min(round((self.slice - 1) / self._step(depth)), depth - 1)
            values, mask, where = values[:, at], mask[at], f", slice {at + 1} of {depth}"
        lacking = bool(np.isnan(values).all())
        base, line = picture(np.nan_to_num(values)), outline(mask)
        if lacking:
            over = heat(np.zeros(mask.shape), False, 1.0, 0.0)
            return (base * over * line if mapped else base * line).opts(title=f"no {modality} in this case")
        if not mapped:
            return (base * line).opts(title=f"{modality} and reference outline{where}")
        if explanation is None or modality not in explanation.maps:
            over = heat(np.zeros(mask.shape), False, 1.0, self.opacity)
            return (base * over * line).opts(title=f"no map of the {modality}")
        over = heat(
            explanation.maps[modality][0].sum(axis=0)[at],  # (C, [D,] H, W) to (H, W)
            explanation.signed[modality],
            session.limit(modality),
            self.opacity,
        )
        unit = self._worded(build(Explainer, explanation.spec).unit)
        title = f"{title_of(session.method)} for {self._class(explanation)} ({unit})"
        return (base * over * line).opts(title=title)

    def _class(self, explanation: Explanation) -> str:
        """The class that the maps speak for, as a person reads it."""
        return self._named(self.session.task_of(explanation.head), int(explanation.targets[0]))

    def _named(self, task: Task, index: int) -> str:
        """A class of a task, with the task's name where the model answers several."""
        if not task.classes:
            return task.name
        several = len(self.session.run.schema.tasks) > 1
        return f"{task.name}: {task.classes[index]}" if several else task.classes[index]

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
        if not names:
            return f"These cases have no pictures. {explainer.title}: {self._worded(explainer.gives)}."
        unseen = [name for name in names if name not in explanation.maps]
        blind = f" This model does not look at the {' or the '.join(unseen)}, so it has no map."
        if len(unseen) == len(names):
            return blind.strip()
        signed = any(explanation.signed.values())
        colours = "orange speaks for it, blue against it" if signed else "orange speaks for it"
        off = explanation.checks.get("completeness")
        error = "" if off is None else f" Completeness error in this case: {abs(off[0]):.2f} (logit)."
        same = "Colours end at the same value in every case of the run."
        told = self._worded(f"{explainer.title}: {explainer.gives}; {colours}. {same}{error}")
        return f"{told}{blind if unseen else ''}"

    def _worded(self, sentence: str) -> str:
        """A task that asks for a number has no class and no logit."""
        if self.session.task_of(self.session.explanation.head).kind != "regression":
            return sentence
        return sentence.replace("the class's logit", "the number").replace("logit", "number")

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
            text = "\n".join(f"- {_safe(label)}" for label in labels.values())
            return pn.pane.Markdown(f"**Record.**{why}\n\n{text}", width=380)
        values, sources = explanation.maps["record"][0], run.schema.modality("record").sources
        effects = {name: float(values[at].sum()) for name, at in sources.items() if name in labels}
        unit = self._worded(build(Explainer, explanation.spec).unit)
        return pn.pane.HoloViews(column_effects(effects, labels, session.limit("record"), unit))

    @param.depends("session.shown")
    def texts(self) -> pn.viewable.Viewable:
        """Each text as it stands, its words marked by their effects where the method gives them."""
        session, explanation = self.session, self.session.explanation
        dataset = session.run.prepared.dataset
        shown = []
        for name in dataset.texts:
            text = dataset.cases.at[session.case, name]
            if pd.isna(text):
                shown.append(f"<p><b>{html.escape(name)}</b>: none in this case</p>")
                continue
            told = explanation is not None and name in explanation.maps
            effects = explanation.maps[name][0] if told else []
            limit = session.limit(name) if told else 1.0
            body = marked_words(text, places(text), effects, limit) if told else html.escape(text)
            unit = self._worded(build(Explainer, explanation.spec).unit) if told else "no word effects here"
            shown.append(f"<p><b>{html.escape(name)}</b> ({unit})<br>{body}</p>")
        return pn.pane.HTML("".join(shown), max_width=800, margin=(0, 10), visible=bool(shown))

    @param.depends("session.shown")
    def probabilities(self) -> hv.Overlay:
        """Every model's probability for the class, where it held this very case out."""
        session = self.session
        source, task = session.run.about["dataset"], session.run.schema.tasks[0]
        names, values, numeric = [], [], task.kind == "regression"
        for name, runs in session.runs.items():
            table = session.cases_of(name).set_index("id")
            if runs[0].about["dataset"] == source and session.case in table.index:
                names.append(f"{name} ←" if name == session.model else name)
                values.append(float(table.loc[session.case, "predicted" if numeric else "p"]))
        if numeric:
            return predicted_values(names, values, task.name)
        if task.kind == "multilabel":
            row = session.run.predictions.set_index("id").loc[session.case]
            values = [float(row[f"{task.name}.{name}"]) for name in task.classes]
            return class_probabilities(task.classes, values, f"each {task.name}")
        label = self._named(task, 1) if task.kind == "binary" else "the class it predicts"
        return class_probabilities(names, values, label)

    def __panel__(self):
        """Heading, scans with their two controls, then record and probabilities side by side."""
        some = self.param._pictures.rx.bool()
        scans = pn.pane.HoloViews(self.scans, linked_axes=True, visible=some)
        slider = pmui.FloatSlider.from_param(
            self.param.opacity, label="Opacity of the map", width=260, visible=some
        )
        slider.jscallback(args={"target": scans}, value=SET_OPACITY)
        slices = pmui.IntSlider.from_param(
            self.param["slice"], label="Slice", width=260, visible=self.param._volumes.rx.bool()
        )
        method = pmui.Select.from_param(self.session.param.method, label="Method", width=260, size="small")
        return pmui.Column(
            pn.pane.Markdown(self.heading, margin=(0, 10)),
            pmui.FlexBox(method, slider, slices),
            scans,
            pn.pane.Markdown(self.note, margin=(0, 10), max_width=800),
            self.texts,
            pmui.FlexBox(self.record, pn.pane.HoloViews(self.probabilities)),
            sizing_mode="stretch_width",
        )


def _shown(value) -> str:
    if value is None or value != value:
        return "not known"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _safe(text: object) -> str:
    """What a table holds, as a Markdown pane may show it: no HTML, no marks of its own."""
    return re.sub(r"([\\`*\[\]])", r"\\\1", html.escape(str(text)))
