"""Which model is better, and is it sure? All models of a data set side by side, then one model's answers."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterable
from concurrent.futures import Future

import numpy as np
import pandas as pd
import panel as pn
import panel_material_ui as pmui
import param

from studykit.draw import leaderboard, model_looks
from studykit.models.overview import written
from studykit.scores import ERRORS, SCORES
from studykit.training.compared import COLUMNS
from studykit.ui.address import link
from studykit.ui.model_answers import ConfusionView, LearningView
from studykit.ui.model_choice import LOGISTIC, MOST, ModelChoice, done
from studykit.ui.model_curves import CURVES, NUMBERS, curves_of
from studykit.ui.model_dots import AnswerDots
from studykit.ui.part_title import part_title
from studykit.ui.plain import listed, sentence
from studykit.ui.session import Session
from studykit.ui.studies import as_csv

CHANCE = {"AUROC": 0.5, "R2": 0.0}
INTERVALS = (
    "Intervals are 95 %, over patients drawn with replacement, all cases of a patient together. Differences "
    "are paired: the same draws for both models, on the cases that both held out. An interval beside the "
    "dashed line is a difference that these cases show; none is adjusted for how many models are compared."
)


class ModelsView(pn.viewable.Viewer):
    """Works on a page and in a notebook cell: `ModelsView(Session("data/demo"))`."""

    session = param.ClassSelector(class_=Session)
    choice = param.ClassSelector(class_=ModelChoice)
    ready = param.Boolean(default=False, doc="whether all numbers of the table are there")

    def __init__(self, session: Session, **params):
        super().__init__(session=session, choice=ModelChoice(session), **params)

    def numbers(self) -> pd.DataFrame:
        """What is computed by now: model, against (empty for its own scores) and `measures`' columns."""
        choice, parts = self.choice, []
        for model in choice.models:
            asked = {"": choice.scores(model)}
            asked |= {other: choice.difference(model, other) for other in self._others(model)}
            for against, future in asked.items():
                found = done(future)
                if isinstance(found, pd.DataFrame):
                    parts.append(found.assign(model=model, against=against))
        parts += self._of_regression()
        columns = ["model", "against", *(name for name in COLUMNS if name != "group")]
        return pd.concat(parts, ignore_index=True)[columns] if parts else pd.DataFrame(columns=columns)

    def _others(self, model: str) -> list[str]:
        return [name for name in self.choice.against() if name not in (model, LOGISTIC)]

    def _of_regression(self) -> list[pd.DataFrame]:
        """What is stored of logistic regression: its scores beside the open model, and the differences."""
        choice, parts = self.choice, []
        stored = choice.beside(self.session.model)
        own = stored[stored["group"] == LOGISTIC]
        if len(own):
            parts.append(own.assign(model=LOGISTIC, against=""))
        less = {model: choice.beside(model) for model in choice.models}
        less = {model: rows[rows["group"] != LOGISTIC] for model, rows in less.items()}
        if LOGISTIC in choice.against():
            parts += [rows.assign(model=model, against=LOGISTIC) for model, rows in less.items()]
        for other in choice.against():
            if other != LOGISTIC and len(own):
                turned = less[other].assign(
                    estimate=-less[other]["estimate"], low=-less[other]["high"], high=-less[other]["low"]
                )
                parts.append(turned.assign(model=LOGISTIC, against=other))
        return parts

    def board(self) -> pn.viewable.Viewable:
        """The table as far as it is computed, what it says, and what is still coming."""
        choice, numbers = self.choice, self.numbers()
        main, *rest = SCORES[choice.the_task.kind]
        cells = {(row.model, row.against, row.statistic): row for row in numbers.itertuples()}
        order, rows, lines = self._order(cells, main), [], {}
        for statistic in (main, *rest):
            title = statistic + (", low is good" if statistic in ERRORS else "")
            lines |= {title: CHANCE[statistic]} if statistic in CHANCE else {}
            rows += [_shown(model, title, cells.get((model, "", statistic))) for model in order]
            for other in choice.against() if statistic == main else ():
                title = f"{main} minus that of {other}"
                lines[title] = 0.0
                rows += [self._differing(model, other, main, title, cells) for model in order]
        facts = pd.DataFrame({name: self._facts(name, cells.get((name, "", main))) for name in order}).T
        kept = {"reference": choice.reference, **dict.fromkeys(choice.several_tasks, choice.task)}
        ways = {name: link("models", self.session, model=name, **kept) for name in choice.models}
        drawn = leaderboard(
            _rounded(pd.DataFrame(rows)), facts, lines, self.looks, self.session.model, self._baselines(),
            ways if pn.state.location is not None else {},
        )  # fmt: skip
        return pmui.Column(
            pn.pane.HTML(drawn, margin=(5, 10), sizing_mode="stretch_width"),
            pn.pane.Markdown(self._told(numbers), margin=(0, 10), max_width=1000),
            sizing_mode="stretch_width",
        )

    @property
    def looks(self) -> dict[str, tuple[str, str]]:
        """{model: colour, dashes}, whichever are drawn."""
        return model_looks(self.choice.models)

    def _order(self, cells: dict, main: str) -> list[str]:
        """The best first by the main score; those without one yet, or at all, last."""
        worth = {
            model: row.estimate
            for (model, against, name), row in cells.items()
            if (against, name) == ("", main)
        }
        there = [model for model, value in worth.items() if not np.isnan(value)]
        there = sorted(there, key=worth.get, reverse=main not in ERRORS)
        return list(dict.fromkeys([*there, *worth, *self.choice.models]))

    def _differing(self, model: str, other: str, main: str, title: str, cells: dict) -> dict:
        """The cell of a model's paired difference to another; says on how many cases, where not on all."""
        found, own = cells.get((model, other, main)), cells.get((model, "", main))
        row = _shown(model, title, found)
        if model == other:
            return {**row, "why": "the reference"}
        if found is None:
            return {**row, "why": "not stored with its run" if LOGISTIC in (model, other) else ""}
        if own is not None and found.n != own.n and not found.why:
            return {**row, "why": f"on {found.n} common cases"}
        return row

    def _facts(self, model: str, own: object) -> dict[str, str]:
        """What stands below a model's name, and its size; own: its main score."""
        if model == LOGISTIC:
            under = f"stored with the open model · {own.n:,} cases"
            return {"under": under, "parameters": "–", "multiply-adds": "–"}
        found, size = self.choice.answers(model), done(self.choice.size(model))
        kind = self.session.runs[model][0].about["model"]["name"]
        told = [kind, *([f"looks at the {listed(size[2])}"] if isinstance(size, tuple) else [])]
        told += [f"{len(found.labelled):,} cases", f"{found.folds} of {found.asked} folds"]
        told += [size] if isinstance(size, str) else []
        counts = (
            [written(n) for n in size[:2]] if isinstance(size, tuple) else ["…" if size is None else "–"] * 2
        )
        return {"under": " · ".join(told), "parameters": counts[0], "multiply-adds": counts[1]}

    def _baselines(self) -> frozenset[str]:
        """Regression on the record, and models that look at one modality of several."""
        several = len(self.session.runs[self.session.model][0].schema.modalities) > 1
        sizes = {model: done(self.choice.size(model)) for model in self.choice.models}
        alone = {name for name, size in sizes.items() if isinstance(size, tuple) and len(size[2]) == 1}
        return frozenset({LOGISTIC, *(alone if several else ())})

    def _told(self, numbers: pd.DataFrame) -> str:
        there = numbers.loc[numbers["against"] == "", "model"].nunique() - (LOGISTIC in set(numbers["model"]))
        count, told = len(self.choice.models), []
        if not all(future.done() for future in self.asked()):
            told.append(f"**The numbers are being computed: {there} of {count} models have their scores.**")
        elif count == 1:
            told.append("One model answers this; train others on the same cases to compare them.")
        found = self.choice.answers(self.session.model)
        silent = len(found.table) - len(found.labelled)
        if silent:
            told.append(f"{silent:,} of the open model's held-out cases have no label and are left out.")
        if self._baselines() & {*numbers["model"]}:
            told.append("Diamonds are baselines: regression on the record, or a model of one modality.")
        return " ".join([*told, INTERVALS])

    def asked(self) -> list[Future]:
        """All that the table needs, in the order in which it is computed; sizes come last."""
        choice, models = self.choice, self.choice.models
        first = [self.session.model, *(name for name in models if name != self.session.model)]
        asked = [choice.scores(model) for model in first]
        asked += [choice.difference(model, other) for model in first for other in self._others(model)]
        return [*asked, *(choice.size(model) for model in first)]

    def curves(self) -> pn.viewable.Viewable:
        """Curves of the chosen models; or, of a number, how far they err."""
        found = {name: self.choice.answers(name) for name in self.choice.chosen}
        return curves_of(found, self.choice.one, self.looks, self.session.model)

    def table(self) -> pd.DataFrame:
        """All numbers, to be downloaded: every row says which models, data set and task, and their size."""
        numbers, choice = self.numbers(), self.choice
        facts = {}
        for model in choice.models:
            size, found = done(choice.size(model)), choice.answers(model)
            counts = size[:2] if isinstance(size, tuple) else (np.nan, np.nan)
            facts[model] = (found.folds, found.asked, *counts)
        names = ["folds", "folds asked", "parameters", "multiply-adds"]
        about = pd.DataFrame(facts, index=names).T.rename_axis("model")
        named = numbers.assign(task=choice.task, **{"data set": choice.about})
        return named.merge(about.reset_index(), on="model", how="left")

    def __panel__(self):
        """From all models to a few, then to the open one."""
        choice = self.choice
        board = self._coming(self.board, self.asked, choice.param.shown, choice.param.reference)
        follows = (choice.param.shown, choice.param.chosen, choice.param.one)
        said = choice.param.shown.rx.pipe(lambda _: CURVES if choice.the_task.classes else NUMBERS)
        told = pn.pane.Markdown(said, margin=(0, 10), max_width=1000)
        curves = self._coming(self.curves, self._first, *follows)
        parts = [
            ([part_title("Which model is better, and is it sure?")], None),
            (self._over_board(), board),
            ([part_title("Where do they differ?")], None),
            (self._over_curves(), pmui.Column(told, curves, sizing_mode="stretch_width")),
            (
                [part_title("In which cases?")],
                pmui.FlexBox(AnswerDots(choice), ConfusionView(choice), gap="40px"),
            ),
            ([part_title("How was the open model trained?")], LearningView(choice)),
        ]
        return pmui.Column(*_arranged(parts), sizing_mode="stretch_width")

    def _over_board(self) -> list[pn.viewable.Viewable]:
        """Which data set, task and models, where there is more than one; and the download."""
        choice, look = self.choice, {"size": "small", "margin": (5, 10)}
        task = pmui.Select.from_param(choice.param.task, label="Task", width=180, **look)
        task.visible = choice.param.shown.rx.pipe(lambda _: len(choice.param.task.objects) > 1)
        about = pmui.Select.from_param(choice.param.about, label="Data set", width=300, **look)
        about.visible = len(choice.param.about.objects) > 1
        model = pmui.Select.from_param(self.session.param.model, label="Open model", width=300, **look)
        with_ = pmui.Select.from_param(choice.param.reference, label="Compare all with", width=300, **look)
        download = pmui.FileDownload(
            callback=lambda: as_csv(self.table()), label="All numbers (CSV)", size="small",
            filename="models.csv", disabled=self.param.ready.rx.not_(), margin=(10, 10),
        )  # fmt: skip
        return [about, task, model, with_, download]

    def _over_curves(self) -> list[pn.viewable.Viewable]:
        """Which models are drawn and, of several classes, which one."""
        choice = self.choice
        drawn = pmui.MultiChoice.from_param(
            choice.param.chosen, label=f"Models that are drawn ({MOST} at most)", max_items=MOST, width=620
        )
        one = pmui.Select.from_param(choice.param.one, label="Class", width=220, size="small")
        several = ("multiclass", "multilabel")
        one.visible = choice.param.shown.rx.pipe(lambda _: choice.the_task.kind in several)
        return [drawn, one]

    def _first(self) -> list[Future]:
        """What must be known before curves are drawn: who is best, where nobody chose."""
        return [] if self.choice.chosen else [self.choice.scores(model) for model in self.choice.models]

    def _coming(self, show: Callable, asks: Callable, *follows: param.Parameter) -> pn.viewable.Viewable:
        """A view whose numbers are computed beside the page, and which says so; at once in a notebook."""

        def finish() -> pn.viewable.Viewable:
            if show == self.curves:
                self.choice.suggest()
            else:
                self.ready = True
            return show()

        async def come(*_) -> AsyncIterator[pn.viewable.Viewable]:
            try:
                self.ready = self.ready and show != self.board
                waiting = [asyncio.wrap_future(future) for future in asks()]
                if show != self.board and waiting:
                    yield pmui.LinearProgress(width=300)
                while waiting:
                    _, waiting = await asyncio.wait(waiting, timeout=0.7)
                    if waiting and show == self.board:
                        yield show()
                yield finish()
            except Exception as why:  # else the page would say for ever that it computes
                logging.getLogger(__name__).exception("the Models page")
                told = (
                    f"This failed, which is a mistake of the program ({type(why).__name__}: {why}); tell us."
                )
                yield pmui.Alert(object=sentence(told), severity="error", margin=10)

        def at_once(*_) -> pn.viewable.Viewable:
            for future in asks():
                future.exception()  # waits
            return finish()

        bound = pn.bind(at_once if pn.state.location is None else come, *follows)
        # deferred: what is replaced before the page stands in the browser may be lost
        return pn.panel(bound, defer_load=True, sizing_mode="stretch_width")


def _shown(model: str, title: str, found: object) -> dict:
    """A cell of the table; empty where nothing is there yet."""
    names = ("estimate", "low", "high", "why")
    values = dict(zip(names, (np.nan, np.nan, np.nan, ""), strict=True))
    told = {name: getattr(found, name) for name in names} if found is not None else values
    return {"row": model, "column": title, **told}


def _rounded(table: pd.DataFrame) -> pd.DataFrame:
    """With the decimals that a column's largest number asks for: three for shares, fewer for more."""
    sizes = table.groupby("column")[["estimate", "low", "high"]].agg(lambda v: v.abs().max()).max(axis=1)
    digits = (3 - np.ceil(np.log10(sizes.fillna(1).clip(lower=1e-9)))).clip(0, 3).astype(int)
    return table.assign(digits=table["column"].map(digits))


def _arranged(parts: Iterable[tuple[list, object]]) -> list:
    """Sections under their heads, a line before each title but the first."""
    shown = []
    for head, body in parts:
        if shown and head and isinstance(head[0], pn.pane.HTML):
            shown.append(pmui.Divider(sizing_mode="stretch_width"))
        if head:
            shown.append(pmui.FlexBox(*head, align_items="center"))
        if body is not None:
            shown.append(body)
    return shown
