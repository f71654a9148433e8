"""One dot a case: how sure was the open model, beside the label or beside another model?"""

import holoviews as hv
import numpy as np
import pandas as pd
import panel as pn
import panel_material_ui as pmui
import param

from studykit.draw import answer_dots, dot_heights, dot_ring, dot_rules, kinds_legend, ticks
from studykit.training.compared import HeldOut, limits_of_agreement
from studykit.ui.address import link
from studykit.ui.model_choice import ModelChoice
from studykit.ui.plain import safe
from studykit.ui.taps import on_tap

LABEL, ERROR = "the label", "its error"
LOOKS = ("xlabel", "ylabel", "xlim", "ylim", "yticks")
ROWS = 10  # classes; with more, all cases stand in one row


class AnswerDots(pn.viewable.Viewer):
    """One dot a case: the open model's answer against another's or the label; a tap opens the case."""

    choice = param.ClassSelector(class_=ModelChoice)
    other = param.Selector(objects=[LABEL], doc="what stands on the other axis")
    _drawn = param.Tuple(default=("", "", "", ""), doc="model, task, class and other, once they fit")

    def __init__(self, choice: ModelChoice, **params):
        super().__init__(choice=choice, **params)
        self._offer()

    @param.depends("choice.shown", "choice.one", watch=True)
    def _offer(self) -> None:
        choice = self.choice
        own = [LABEL, *([ERROR] if choice.the_task.kind == "regression" else [])]
        others = [name for name in choice.models if name != choice.session.model]
        self.param.other.objects = [*own, *others]
        if self.other not in self.param.other.objects:
            self.other = LABEL
        self._settle()

    @param.depends("other", watch=True)
    def _settle(self) -> None:
        if self.other in self.param.other.objects:
            self.dots = self.table()
            self._drawn = (*self.choice.shown, self.choice.one, self.other)

    @property
    def found(self) -> HeldOut:
        """The open model's answers."""
        return self.choice.answers(self.choice.session.model)

    def table(self) -> pd.DataFrame:
        """One row a labelled case: id, x, y, kind, said; as `answer_dots` takes it."""
        held, one = self.found, self.choice.one
        if not len(held.labelled):
            return pd.DataFrame(columns=["id", "x", "y", "kind", "said"])
        if self.other not in (LABEL, ERROR):
            return self._of_two(held, self.choice.answers(self.other), one)
        rows = held.labelled
        dots = pd.DataFrame({"id": rows.index, "label": rows["label"].to_numpy()})
        if not one:
            known, said = rows["label"].astype(float).to_numpy(), rows["p.value"].to_numpy()
            x, y = ((known + said) / 2, said - known) if self.other == ERROR else (known, said)
            told = [f"known {k:.4g}, predicted {s:.4g}" for k, s in zip(known, said, strict=True)]
            return dots.assign(x=x, y=y, kind="predicted", said=told)
        p, wrong = held.p(one), held.wrong(one)
        dots = dots.assign(x=p, share=p, kind=np.where(wrong, "wrong", "right"))
        pairs = zip(rows["label"], rows["predicted"], p, strict=True)
        dots["said"] = [
            f"label {k or 'none'}, predicted {s or 'none'}, P({one}) {v:.2f}" for k, s, v in pairs
        ]
        names = self.rows(held, one)
        dots["row"] = held.is_of(one).astype(int) if held.task.kind == "multilabel" else dots["label"]
        dots["row"] = [names[row] if isinstance(row, int) else row for row in dots["row"].tolist()]
        dots["row"] = dots["row"] if len(names) > 1 else names[0]
        order = dots.assign(at=dots["row"].map(names.index)).sort_values(["at", "kind", "share"])
        dots = dots.loc[order.index[::-1]].reset_index(drop=True)
        places = dot_heights(dots)  # rows that no case has are left out there
        return dots.assign(y=dots["row"].map(names.index) + places - places.round())

    @staticmethod
    def rows(held: HeldOut, one: str) -> list[str]:
        """What the rows of dots are, from the lowest."""
        if held.task.kind == "multilabel":
            return [f"without {one}", f"with {one}"]
        return list(held.task.classes) if len(held.task.classes) <= ROWS else ["all cases"]

    def _of_two(self, held: HeldOut, other: HeldOut, one: str) -> pd.DataFrame:
        columns = ["id", "x", "y", "kind", "said"]
        own, others = held.labelled, other.labelled
        common = own.index.intersection(others.index, sort=False)
        at, to = own.index.get_indexer(common), others.index.get_indexer(common)
        name = one or "value"
        x, y = own[f"p.{name}"].to_numpy()[at], others[f"p.{name}"].to_numpy()[to]
        kind = np.full(len(common), "predicted", dtype=object)
        if one:
            wrong = held.wrong(one)[at], other.wrong(one)[to]
            kind = np.select(
                [wrong[0] & wrong[1], wrong[1], wrong[0]],
                ["both wrong", "right on x alone", "right on y alone"],
                "both right",
            )
        said = [
            f"label {k if k == k and k != '' else 'none'}, {a:.3g} and {b:.3g}"
            for k, a, b in zip(own["label"].to_numpy()[at], x, y, strict=True)
        ]
        return pd.DataFrame(dict(zip(columns, (common, x, y, kind, said), strict=True)))

    def scene(self) -> hv.DynamicMap:
        """The dots, lines behind them, a ring around the session's case. Its data change."""
        points = hv.DynamicMap(pn.bind(self._points, self.param._drawn))
        self._taps = on_tap(points, self._opened)
        rules = hv.DynamicMap(pn.bind(self._rules, self.param._drawn))
        ring = hv.DynamicMap(pn.bind(self._ring, self.choice.session.param.shown, self.param._drawn))
        return rules * points * ring

    def _points(self, _) -> hv.Points:
        return answer_dots(self.dots)

    def _rules(self, _) -> hv.Segments:
        return dot_rules(self.lines()).opts(**{name: self._look(name) for name in LOOKS})

    def _look(self, name: str) -> object:
        """What the axes say, and where they end."""
        one, model, rows = self.choice.one, self.choice.session.model, self.labels
        what = f"P({one})" if one else "predicted"
        xlabel, ylabel = f"{what} by {model}", f"{what} by {self.other}"
        if self.other == ERROR:
            xlabel, ylabel = "mean of known and predicted", "predicted minus known"
        elif self.other == LABEL:
            xlabel, ylabel = (xlabel, "label") if one else ("known", xlabel)
        if name in ("xlabel", "ylabel"):
            return {"xlabel": xlabel, "ylabel": ylabel}[name]
        if name == "yticks":  # always in words, else a label of before stays
            return list(enumerate(rows)) or [(at, f"{at:g}") for at in ticks(*self._look("ylim"))]
        if one:
            return (-0.6, len(rows) - 0.4) if rows and name == "ylim" else (-0.03, 1.03)
        lines = [end for line in self.lines() for end in line[name == "ylim" :: 2]]
        return span([*self.dots[name[0]], *lines])

    @property
    def labels(self) -> list[str]:
        """What the rows of dots are, from the lowest; none where the other axis is of numbers."""
        return self.rows(self.found, self.choice.one) if self.other == LABEL and self.choice.one else []

    def lines(self) -> list[tuple[float, float, float, float]]:
        """The line of equal answers; of errors their mean and the limits of agreement."""
        if self.labels or self.dots.empty:
            return []
        if self.other == ERROR:
            low, high = self.dots["x"].min(), self.dots["x"].max()
            ends = limits_of_agreement(self.found.errors)
            return [(low, end, high, end) for end in ends if np.isfinite(end)]
        low, high = self.dots[["x", "y"]].min().min(), self.dots[["x", "y"]].max().max()
        return [(low, low, high, high)]

    def legend(self, _) -> str:
        """What the colours mean."""
        return kinds_legend(self.dots["kind"])

    def _opened(self, index: list[int]) -> None:
        if index:
            self.choice.session.case = self.dots["id"].iloc[index[0]]

    def _ring(self, shown: tuple[str, str, str], _) -> hv.Points:
        here = self.dots[self.dots["id"] == shown[1]]
        return dot_ring(*(here[["x", "y"]].iloc[0] if len(here) else (np.nan, np.nan)))

    @param.depends("_drawn", "choice.session.shown")
    def note(self) -> str:
        """What the dots are, which case is open, and the way to it."""
        session = self.choice.session
        if not len(self.found.labelled):
            return "None of the open model's held-out cases has a label, so there is nothing to compare."
        told = ["One dot a labelled case; tap one to open it."]
        if self.other == ERROR:
            told.append("The lines are the mean error and the limits of agreement.")
        here = self.dots[self.dots["id"] == session.case]
        if len(here):
            told.append(f"Open: **{safe(session.case)}**, {safe(here['said'].iloc[0])}.")
        if pn.state.location is not None:
            told.append(f"[Open on the Cases page]({link('cases', session)})")
        return " ".join(told)

    def __panel__(self):
        """One choice over the dots, which are there where some case has a label."""
        some = self.param._drawn.rx.pipe(lambda _: len(self.dots) > 0)
        other = pmui.Select.from_param(
            self.param.other, label="The open model against", width=300, size="small"
        )
        return pmui.Column(
            other,
            pn.pane.HTML(pn.bind(self.legend, self.param._drawn), margin=(0, 10)),
            pn.pane.HoloViews(self.scene(), linked_axes=False, visible=some),
            pn.pane.Markdown(self.note, margin=(0, 10), max_width=520),
        )


def span(values: list[float]) -> tuple[float, float]:
    """From the lowest to the highest of some numbers, and a little further."""
    low, high = (min(values), max(values)) if values else (0.0, 1.0)
    edge = 0.05 * (high - low) or 0.5
    return float(low - edge), float(high + edge)
