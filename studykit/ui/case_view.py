"""One case: what the model saw, where its map points, what the record added, how sure each model is."""

import html

import numpy as np
import pandas as pd
import panel as pn
import panel_material_ui as pmui
import param

from studykit.case import Task
from studykit.catalog import build
from studykit.datasets.text import places
from studykit.draw import class_probabilities, column_effects, marked_words, predicted_values
from studykit.explain import Explainer, Explanation
from studykit.ui.plain import listing, safe, sentence
from studykit.ui.plain import shown as _shown
from studykit.ui.scans import Scans
from studykit.ui.session import OF, title_of


class CaseView(Scans):
    """Works on a page and in a notebook cell: `CaseView(Session("data/demo"))`."""

    def map_of(self, modality: str) -> tuple[np.ndarray, bool, float] | None:  # noqa: D102
        explanation = self.session.explanation
        if explanation is None or modality not in explanation.maps:
            return None
        values = explanation.maps[modality][0].sum(axis=0)  # (C, [D,] H, W) to ([D,] H, W)
        return values, explanation.signed[modality], self.session.limit(modality)

    def titled(self, modality: str) -> str:  # noqa: D102
        explanation = self.session.explanation
        unit = self._worded(build(Explainer, explanation.spec).unit)
        name, *settings = self.session.method.split(",")
        method = title_of(",".join([name, *(one for one in settings if one not in OF)]))
        return f"{method} for {self._class(explanation)} ({unit})"

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
        if explanation is None and session.method:
            name = session.method.split(",")[0]
            return sentence(
                f"{title_of(session.method)} does not stand here for this case. Ask for it below, or run "
                f"`python -m studykit explain {session.folder} --methods {name}` and reload the page."
            )
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
        blind = f" This model does not look at the {safe(' or the '.join(unseen))}, so it has no map."
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
    def record(self) -> str:
        """The record, with the effect of each source column where the method gives one, in HTML."""
        session = self.session
        run, explanation = session.run, session.explanation
        dataset = run.prepared.dataset
        if not dataset.record:
            return html.escape(f"{dataset.name} has no record.")
        row = dataset.cases.loc[session.case, list(dataset.record)]
        labels = {name: f"{name}: {_shown(row[name])}" for name in dataset.record}
        if explanation is None or "record" not in explanation.maps:
            why = "" if explanation is None else " It has no column effects by this method or model."
            return listing(f"Record.{why}", labels.values())
        values, sources = explanation.maps["record"][0], run.schema.modality("record").sources
        effects = {name: float(values[at].sum()) for name, at in sources.items() if name in labels}
        unit = self._worded(build(Explainer, explanation.spec).unit)
        return column_effects(effects, labels, session.limit("record"), unit)

    @param.depends("session.shown")
    def texts(self) -> str:
        """Each text as it stands, its words marked by their effects where the method gives them, in HTML."""
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
        return "".join(shown)

    @param.depends("session.shown")
    def probabilities(self) -> str:
        """Every model's probability for the class, where it held this very case out, in HTML."""
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
        """Heading, pictures with what moves them, then record and probabilities side by side."""
        pictures, moving = self.controls()
        method = pmui.Select.from_param(self.session.param.method, label="Method", width=380, size="small")
        return pmui.Column(
            pn.pane.Markdown(self.heading, margin=(0, 10)),
            pmui.FlexBox(method, *moving),
            pictures,
            pn.pane.Markdown(self.note, margin=(0, 10), max_width=800),
            pn.pane.HTML(self.texts, max_width=800, margin=(0, 10)),
            pmui.FlexBox(
                pn.pane.HTML(self.record, margin=(8, 10)), pn.pane.HTML(self.probabilities, margin=(8, 10)),
                gap="24px", align_items="flex-start",
            ),
            sizing_mode="stretch_width",
        )  # fmt: skip
