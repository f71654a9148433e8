"""Who is taken for whom by the open model, and how did its training go?"""

from functools import lru_cache

import numpy as np
import pandas as pd
import panel as pn
import panel_material_ui as pmui
import param

from studykit.draw import Curve, chart, confusion_table, line_mark
from studykit.draw.quality import COLORS
from studykit.training import Run
from studykit.training.compared import confusion
from studykit.ui.address import link
from studykit.ui.model_choice import ModelChoice
from studykit.ui.model_dots import span
from studykit.ui.part_title import part_title
from studykit.ui.plain import sentence


class ConfusionView(pn.viewable.Viewer):
    """The open model's labels by predictions; on a page a cell leads to its cases on the Cases page."""

    choice = param.ClassSelector(class_=ModelChoice)

    def __init__(self, choice: ModelChoice, **params):
        super().__init__(choice=choice, **params)

    @param.depends("choice.shown", "choice.one", "choice.session.shown")
    def table(self) -> pn.viewable.Viewable:
        """Counts and percent of each label's cases; a sentence where there is nothing to count."""
        choice, session = self.choice, self.choice.session
        found = choice.answers(session.model)
        if not choice.the_task.classes or not len(found.labelled):
            return pmui.Column()
        first = session.runs[session.model][0].schema.tasks[0].name == choice.task
        leads = pn.state.location is not None and first and found.task.kind != "multilabel"

        def way(label: str, said: str) -> str:
            return link("cases", session, label=label, predicted=said)

        told = "Counts, and percent of the label's cases; blue is right, orange wrong."
        told += " Each count opens its cases on the Cases page." if leads else ""
        drawn = confusion_table(confusion(found, choice.one), way if leads else None)
        return pmui.Column(
            part_title("Who is taken for what?"),
            pn.pane.HTML(drawn, margin=(5, 10), sizing_mode="stretch_width"),
            pn.pane.Markdown(told, margin=(0, 10), max_width=520),
            sizing_mode="stretch_width",
        )

    def __panel__(self):
        """The table."""
        return pmui.Column(self.table, sizing_mode="stretch_width")


class LearningView(pn.viewable.Viewer):
    """The open model's losses by epoch and fold, with the epoch whose weights were kept."""

    choice = param.ClassSelector(class_=ModelChoice)

    def __init__(self, choice: ModelChoice, **params):
        super().__init__(choice=choice, **params)

    @param.depends("choice.shown")
    def charts(self) -> pn.viewable.Viewable:
        """A chart for each number that training kept, over a legend of the folds."""
        session = self.choice.session
        found = {run.fold: history(run) for run in session.runs[session.model]}
        found = {fold: table for fold, table in found.items() if len(table)}
        kept = [name.removeprefix("val_") for table in found.values() for name in table if name[:4] == "val_"]
        if not kept:
            told = (
                f"No course of training is stored of '{session.model}'; carry out its recipe again with "
                "`python -m studykit run RECIPE.json`."
            )
            return pn.pane.Markdown(sentence(told), margin=(0, 10))
        charts = [pn.pane.HTML(_course(name, found)) for name in dict.fromkeys(kept)]
        legend = "".join(
            f'<span style="white-space:nowrap">{line_mark(_color(at), "")} fold {fold}: {_best(table)}</span>'
            for at, (fold, table) in enumerate(found.items())
        )
        over = f'<div style="display:flex;flex-wrap:wrap;gap:4px 18px;font-size:0.9em">{legend}</div>'
        told = (
            "Solid: validation cases; dashed: training cases. The dot is the epoch whose weights were kept."
        )
        return pmui.Column(
            pmui.FlexBox(*charts, gap="4px"),
            pn.pane.HTML(over, margin=(0, 10), max_width=1000),
            pn.pane.Markdown(told, margin=(0, 10)),
        )

    def __panel__(self):
        """The charts."""
        return pmui.Column(self.charts, sizing_mode="stretch_width")


def history(run: Run) -> pd.DataFrame:
    """A run's history.csv; no rows where it cannot be read."""
    path = run.folder / "history.csv"
    return _history(run, path.stat().st_mtime_ns) if path.is_file() else pd.DataFrame()


@lru_cache(maxsize=256)
def _history(run: Run, changed: int) -> pd.DataFrame:
    try:
        table = pd.read_csv(run.folder / "history.csv")
    except (pd.errors.ParserError, pd.errors.EmptyDataError):
        return pd.DataFrame()
    return table if {"epoch", "best"} <= set(table) else pd.DataFrame()


def _course(name: str, found: dict[int, pd.DataFrame]) -> str:
    """One number by epoch, a pair of lines a fold."""
    curves, told = [], []
    for at, (fold, table) in enumerate(found.items()):
        for part, dash, width in (("train", "5 3", 1.2), ("val", "", 2)):
            if f"{part}_{name}" in table:
                about = f"fold {fold}, {'validation' if part == 'val' else 'training'}"
                values = table[f"{part}_{name}"].astype(float)
                curves.append(Curve(about, table["epoch"], values, _color(at), dash, width))
        kept = table[table["best"].astype(bool)].tail(1)
        values = kept[f"val_{name}"].astype(float).tolist()
        about = f"fold {fold}, kept"
        curves.append(
            Curve(
                about, kept["epoch"].tolist(), values, _color(at), low=values, high=values, n=[1] * len(kept)
            )
        )
        told.append(f"fold {fold}: {_best(table)}")
    values = np.concatenate([np.asarray(curve.y, dtype=float) for curve in curves])
    values = values[np.isfinite(values)]
    last = max(float(np.max(curve.x)) for curve in curves if len(curve.x))
    ends = {"xlim": (0, max(last, 1)), "ylim": span(values.tolist())}
    return chart(name.replace("_", " ").capitalize(), "epoch", name, curves, "; ".join(told), **ends)


def _best(table: pd.DataFrame) -> str:
    kept = table.loc[table["best"].astype(bool), "epoch"]
    return f"epoch {kept.iloc[-1]} of {len(table)} kept" if len(kept) else f"{len(table)} epochs"


def _color(at: int) -> str:
    return COLORS[at % len(COLORS)]
