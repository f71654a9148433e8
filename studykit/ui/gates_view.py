"""What passed the gates of a model, case by case, and what is lost where they are held constant."""

import holoviews as hv
import numpy as np
import pandas as pd
import panel as pn
import panel_material_ui as pmui
import param

from studykit.draw import case_spreads, spoken
from studykit.draw.contribution import CHOSEN
from studykit.explain.gates import ALL, Gates
from studykit.scores import ERRORS
from studykit.ui.dots_view import KINDS
from studykit.ui.measured import gated, taps_of
from studykit.ui.part_title import part_title
from studykit.ui.plain import listed, safe, sentence
from studykit.ui.session import Session
from studykit.ui.taps import on_tap

WAYS = {"mean over cases": "the same for every case", "one number": "one number everywhere"}
MORE, NONE = "more than decoration", "no difference that these cases can show"
HARM = "the score is better without it"
ABOUT = (
    "A gate is held: its coefficients are *the same for every case* (each at its mean over the cases), or "
    "*one number everywhere*, so that no case, place or channel counts more. If nothing is lost, the answer "
    "does not hang on that attention. Each line is a test of its own: of twenty, one errs by luck."
)


class GatesView(pn.viewable.Viewer):
    """Of the session's model, one fold and one tap at a time."""

    session = param.ClassSelector(class_=Session)
    fold = param.Selector(default=None, objects=[None], doc="of those whose gates are stored")
    tap = param.Selector(default="", objects=[""], doc="a place in the model that attention passes")
    _seen = param.Tuple(default=("", None, ""), doc="model, fold and tap, once they fit")

    def __init__(self, session: Session, **params):
        super().__init__(session=session, **params)
        self._offer()

    @param.depends("session.model", watch=True)
    def _offer(self) -> None:
        """Offer the folds that are stored, the chosen case's own first."""
        folds = list(gated(self.session, self.session.model)) or [None]
        own = self.session.run.fold
        self.param.fold.objects = folds
        self.fold = own if own in folds else folds[0]
        self._offer_taps()

    @param.depends("fold", watch=True)
    def _offer_taps(self) -> None:
        gates = self.found
        names = list(dict.fromkeys(gates.coefficients["tap"])) if gates else [""]
        self.param.tap.objects = names
        if self.tap not in names:
            self.tap = names[0]
        self._settle()

    @param.depends("tap", watch=True)
    def _settle(self) -> None:
        self._seen = (self.session.model, self.fold, self.tap)

    @property
    def found(self) -> Gates | None:
        """What is stored of the chosen fold."""
        return gated(self.session, self.session.model).get(self.fold)

    @param.depends("_seen")
    def there(self) -> bool:
        """Whether the gates of the chosen model are stored."""
        return self.found is not None

    @param.depends("_seen")
    def empty(self) -> str:
        """Why there is nothing, and what to run; "" where there is something."""
        session = self.session
        if self.found is not None:
            return ""
        if taps_of(session.run):
            return sentence(
                f"The gates of '{session.model}' were not read yet. Run `python -m studykit quality "
                f"{session.folder} --attention` and reload the page."
            )
        having = [name for name in session.runs if taps_of(session.runs[name][0])]
        told = f"; of this folder, {listed(having)} {'have' if len(having) > 1 else 'has'}" if having else ""
        return sentence(
            f"'{session.model}' has no gates and no attention{told}. What it leans on is told on the page "
            "Contributions."
        )

    @param.depends("_seen")
    def taps(self) -> pn.viewable.Viewable:
        """What each tap says, weighs and passes."""
        return pmui.Row(visible=False) if self.found is None else _table(self.passing())

    def passing(self) -> pd.DataFrame:
        """One row a tap: what it says and weighs, and its coefficients over the cases."""
        run = next(run for run in self.session.runs[self.session.model] if run.fold == self.fold)
        modules, rows = taps_of(run), []
        for name, cases in self.found.coefficients.groupby("tap", sort=False):
            tap = modules[name]
            rows.append(
                {
                    "tap": name,
                    "what it says": tap.says,
                    "weighs": f"{tap.of}{' of the ' + listed(tap.weighs) if tap.weighs else ''}",
                    "mean over cases": f"{cases['mean'].mean():.3f}",
                    "sd between cases": f"{cases['mean'].std():.3f}",
                    "sd within a case": f"{cases['sd'].mean():.3f}",
                    "smallest to largest": f"{cases['min'].min():.3f} to {cases['max'].max():.3f}",
                }
            )
        return pd.DataFrame(rows)

    @param.depends("_seen")
    def spreads(self) -> hv.Overlay | hv.Div:
        """The chosen tap's coefficients, one dot a case that opens it."""
        if self.found is None:
            return hv.Div("")
        self.dots = self.of_cases()
        drawn, points = case_spreads(self.dots, KINDS)
        self._taps = on_tap(points, self._open)
        ring = hv.DynamicMap(pn.bind(self._ring, self.session.param.shown))
        return drawn * ring

    def of_cases(self) -> pd.DataFrame:
        """One row a case by the mean of the chosen tap's coefficients: id, mean, sd, kind, said."""
        table = self.found.coefficients
        table = table[table["tap"] == self.tap].sort_values("mean", kind="stable")
        cases = self.session.cases.drop_duplicates("id").set_index("id").reindex(table["id"])
        number = cases["predicted"].dtype.kind == "f"  # which is never simply right
        right = np.where(cases["label"].notna(), "predicted" if number else "right", "not labelled")
        pairs = zip(cases["predicted"], cases["label"].astype(object), strict=True)
        said = [f"predicted {a}, label {'not known' if b != b else b}" for a, b in pairs]
        kind = np.where(cases["wrong"].eq(True), "wrong", right)
        return table[["id", "mean", "sd"]].assign(kind=kind, said=said).reset_index(drop=True)

    def _open(self, index: list[int]) -> None:
        if index and self.dots["id"].iloc[index[0]] in self.session.param.case.objects:
            self.session.case = self.dots["id"].iloc[index[0]]

    def _ring(self, shown: tuple[str, str, str]) -> hv.Points:
        here = self.dots[self.dots["id"] == shown[1]]
        at = (float(here.index[0]), here["mean"].iloc[0]) if len(here) else (np.nan, np.nan)
        return hv.Points([at], ["place", "mean"]).opts(
            fill_alpha=0, line_color=CHOSEN, line_width=3, size=16, nonselection_alpha=1
        )

    @param.depends("_seen")
    def verdicts(self) -> str:
        """One sentence a tap and way of holding it, by the first score that could be told."""
        if self.found is None:
            return ""
        table = self.found.ablation
        told = table[table["difference"].notna()]
        first = (told if len(told) else table)["statistic"].iloc[0]
        lines = [self._verdict(row) for row in table[table["statistic"] == first].itertuples()]
        return f"{ABOUT}\n\n" + "\n".join(f"- {line}" for line in lines)

    def _verdict(self, row) -> str:
        numeric = self.session.runs[self.session.model][0].schema.tasks[0].kind == "regression"
        moved = "the value" if numeric else "the probability"
        name = "All taps together" if row.tap == ALL else f"**{safe(row.tap)}**"
        held = f"{name}, held constant ({WAYS.get(row.held, row.held)})"
        also = f"On average {moved} moves by {row.change:.3f}."
        if row.difference != row.difference:
            return f"{held}: what is lost cannot be told; {safe(row.why)}. {also}"
        change = spoken(-row.difference, -row.high, -row.low, digits=3)
        return f"{held}: {safe(row.statistic)} changes by {change}: **{verdict(row)}**. {also}"

    @param.depends("_seen")
    def ablation(self) -> pn.viewable.Viewable:
        """Every score with and without the gates."""
        if self.found is None:
            return pmui.Row(visible=False)
        return _table(scored(self.found.ablation))

    @param.depends("_seen")
    def folds(self) -> pn.viewable.Viewable:
        """The first score of every fold whose gates are stored, where there are several."""
        found = gated(self.session, self.session.model)
        if len(found) < 2:
            return pmui.Row(visible=False)
        rows = [gates.ablation.assign(fold=fold) for fold, gates in found.items()]
        whole = pd.concat(rows, ignore_index=True)
        first = whole[whole["statistic"] == whole["statistic"].iloc[0]]
        first = first.assign(
            said=[
                spoken(-d, -h, -lo, digits=3) for d, lo, h in first[["difference", "low", "high"]].to_numpy()
            ],
            fold=[f"fold {fold}" for fold in first["fold"]],
            way=first["held"].map(WAYS),
        )
        square = first.pivot(index=["tap", "way"], columns="fold", values="said").fillna("–")
        told = f"The same in every fold: how {safe(first['statistic'].iloc[0])} changes."
        return pmui.Column(
            pn.pane.Markdown(told, margin=(5, 10)), _table(square.rename_axis(columns=None).reset_index())
        )

    def controls(self) -> list[pmui.Select]:
        """Which fold and which tap are shown."""
        look = {"size": "small", "visible": self.there}
        fold = pmui.Select.from_param(self.param.fold, label="Fold", width=90, **look)
        return [fold, pmui.Select.from_param(self.param.tap, label="Tap", width=300, **look)]

    def one(self) -> pmui.Column:
        """One tap's coefficients case by case, and in sentences what holding each costs."""
        told = "Each case's mean ± sd of the tap's coefficients; tap a dot to open the case."
        return pmui.Column(
            pn.pane.Markdown(self.empty, margin=(0, 10), max_width=560),
            pmui.Column(
                pn.pane.HoloViews(self.spreads, linked_axes=False),
                pn.pane.Markdown(told, margin=(0, 10)),
                pn.pane.Markdown(self.verdicts, margin=(0, 10), max_width=560),
                visible=self.there,
            ),
        )

    def every(self) -> pmui.Column:
        """All taps and all scores, as tables."""
        parts = [("What the taps say and pass", self.taps), ("With and without them", self.ablation)]
        shown = [part for title, table in parts for part in (part_title(title), table)]
        return pmui.Column(*shown, self.folds, visible=self.there, sizing_mode="stretch_width")

    def __panel__(self):
        """What the gates pass, what holding them costs, then the numbers."""
        return pmui.Column(
            pmui.FlexBox(*self.controls()), self.one(), self.every(), sizing_mode="stretch_width"
        )


def verdict(row) -> str:
    """What a row of the ablation says, in words: is there a difference beyond chance, and which way?"""
    low, high = (-row.high, -row.low) if row.statistic in ERRORS else (row.low, row.high)
    if low != low:
        return "no interval, so nothing is said"
    return MORE if low > 0 else HARM if high < 0 else NONE


def scored(table: pd.DataFrame) -> pd.DataFrame:
    """The ablation in a reader's words, each tap named once."""
    spans = table[["difference", "low", "high"]].to_numpy()
    shown = pd.DataFrame(
        {
            "tap": table["tap"],
            "held constant": table["held"].map(WAYS),
            "score": table["statistic"],
            "as it is": [_number(value) for value in table["score"]],
            "held": [_number(value) for value in table["score_held"]],
            "change (95 % interval)": [spoken(-d, -high, -low, digits=3) for d, low, high in spans],
            "answer moves by": [_number(value) for value in table["change"]],
            "cases": table["n"],
            "why": table["why"],
        }
    )
    again = shown.duplicated(["tap", "held constant"])
    shown.loc[again, ["tap", "held constant", "answer moves by"]] = ""
    return shown if table["why"].any() else shown.drop(columns="why")


def _number(value: float) -> str:
    return "–" if value != value else f"{value:.3f}"


def _table(rows: pd.DataFrame) -> pn.pane.DataFrame:
    """Escaped by Panel, and aligned as it is read."""
    left = ["th {text-align: left !important}"]
    return pn.pane.DataFrame(
        rows, index=False, text_align="start", max_width=1100, margin=(5, 10), stylesheets=left
    )
