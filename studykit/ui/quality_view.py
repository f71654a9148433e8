"""Does the map point at what matters? Every score of every method, beside what knowing nothing gives."""

import pandas as pd
import panel as pn
import panel_material_ui as pmui
import param

from studykit.draw import agreement_grid, interval_grid, spoken
from studykit.quality import Score
from studykit.quality.grading import FORGOTTEN
from studykit.quality.summary import COHERENCE
from studykit.ui.curves_view import CurvesView
from studykit.ui.gallery_view import GalleryView
from studykit.ui.measured import (
    Measured,
    agreements,
    class_adjusted,
    graded,
    measured,
    method_titles,
    score_title,
    summed,
)
from studykit.ui.part_title import part_title
from studykit.ui.plain import safe, sentence
from studykit.ui.session import Session, is_control
from studykit.ui.takeaway import takeaway

STRATA = {
    "all cases": "", "each label": "label", "right and wrong predictions": "right",
    "size of the region, in thirds": "size",
}  # fmt: skip
BETTER = {"more": "higher", "less": "lower", "": ""}
MEASURES = {
    "spearman": "Ranks of places (Spearman)", "ssim": "Structure (SSIM)", "jaccard": "Top places (Jaccard)"
}  # fmt: skip
LOST = ("deletion", "insertion", "degradation")
ALIKE = {
    "": "Ranks (Spearman)", "absolute": "Ranks, whichever way round", "SSIM": "Structure (SSIM)",
    "of sizes": "Ranks, signs aside", "HOG": "Edges (HOG)", "another class": "Ranks, map of another class",
}  # fmt: skip
RULE = (
    "A method can be believed for a model where the first two questions are answered yes and none no. "
    "*Finds*: the whole interval of the mass in the planted region, over chance, lies above 1 and above "
    "both controls' intervals. *Follows*: maps of the model with its weights drawn anew are no longer alike "
    f"(similarity within {FORGOTTEN} of 0). *Matters*: the degradation score's interval lies above 0. What "
    "was not asked is open."
)


class QualityView(pn.viewable.Viewer):
    """Works on a page and in a notebook cell: `QualityView(Session("data/demo"))`."""

    session = param.ClassSelector(class_=Session)
    modality = param.Selector(default="", objects=[""], doc="whose maps are scored")
    by = param.Selector(default="", objects=STRATA, doc="into what the cases are parted")
    _seen = param.Tuple(default=("", "", "", ""), doc="model, method, modality and stratum, once they fit")

    def __init__(self, session: Session, **params):
        super().__init__(session=session, **params)
        self._offer()
        self.curves, self.gallery = CurvesView(session, modality=self.param.modality), GalleryView(session)

    @property
    def found(self) -> Measured | str:
        """What is stored of the session's model."""
        return measured(self.session, self.session.model)

    @param.depends("session.model", watch=True)
    def _offer(self) -> None:
        """Offer the modalities that have scores, and open a method that has some."""
        found, session = self.found, self.session
        names = [""] if isinstance(found, str) else found.modalities
        self.param.modality.objects = names
        if self.modality not in names:
            self.modality = names[0]
        if not isinstance(found, str):
            scored = [m for m in found.methods(self.modality) if m in session.param.method.objects]
            if scored and session.method not in scored:
                session.method = scored[0]
        self._settle()

    @param.depends("session.shown", "modality", "by", watch=True)
    def _settle(self) -> None:
        self._seen = (self.session.model, self.session.method, self.modality, self.by)

    @param.depends("_seen")
    def coherence(self) -> pn.viewable.Viewable:
        """Do the maps lie where the evidence is? Lift over chance of every method, controls apart."""
        found = self.found
        if isinstance(found, str):
            return _line(sentence(found))
        rows = self._rows(found, COHERENCE, ("lift", "lift_low", "lift_high"))
        if rows["estimate"].isna().all():
            return _line(
                "Nothing tells where the evidence lies: these cases have no reference mask and no planted "
                "truth, so maps cannot be compared with it."
            )
        held = rows.groupby("column")["estimate"].transform("count") > 0
        _, common = method_titles(found.methods(self.modality))
        told = (
            "How many times more than a map that knows nothing; the dashed line is chance, 1, and the bar "
            f"the 95 % interval over patients. {f'All maps are {common}.' if common else ''} "
        )
        return self._grid(told + " ".join(map(safe, found.notes)), rows[held], 1.0)

    @param.depends("_seen")
    def randomisation(self) -> pn.viewable.Viewable:
        """Are the maps others when the model has forgotten what it learned?"""
        found = self.found
        if isinstance(found, str):
            return _line("")
        names = [s for s in found.table["score"].unique() if s.partition(",")[0] == "randomisation"]
        rows = self._rows(found, names, ("estimate", "low", "high"))
        if rows.empty:
            return _line(
                sentence(
                    "It was not asked whether maps follow the model. Run `python -m studykit quality "
                    f"{self.session.folder} --scores randomisation` and reload the page."
                )
            )
        told = (
            "How much the maps are like those of the same model with all its weights drawn anew: near the "
            "dashed line, 0, a map shows the model; near 1 it shows the picture. "
        )
        rows["column"] = rows["column"].map(lambda name: ALIKE.get(name.partition(", ")[2], name))
        return self._grid(told, rows, 0.0, (-1.0, 1.0))

    def _rows(self, found: Measured, scores, columns: tuple[str, str, str]) -> pd.DataFrame:
        """What `interval_grid` draws: of all cases, the estimate and interval in these columns."""
        table = summed(found, self.modality)
        order = [name for name in scores if name in set(table["statistic"])]
        methods = found.methods(self.modality)
        titles, _ = method_titles(methods)
        cells = table.set_index(["method", "statistic"])
        at = [(method, score) for method in methods for score in order if (method, score) in cells.index]
        names = dict(zip(columns, ("estimate", "low", "high"), strict=True))
        rows = cells.loc[at, [*columns, "why"]].rename(columns=names).reset_index()
        return rows.assign(
            row=rows["method"].map(titles),
            column=rows["statistic"].map(score_title),
            control=rows["method"].map(is_control).astype(bool),
        )

    def _grid(self, told: str, rows: pd.DataFrame, line: float, ends=None) -> pmui.Column:
        titles, _ = method_titles(self.found.methods(self.modality))
        drawn = interval_grid(rows, line, titles.get(self.session.method, ""), ends)
        return pmui.Column(_line(told), pn.pane.HTML(drawn, margin=(4, 10)))

    @param.depends("_seen")
    def table(self) -> pn.viewable.Viewable:
        """The chosen method, number by number."""
        found, session = self.found, self.session
        if isinstance(found, str):
            return _line("")
        rows = summed(found, self.modality, self.by)
        rows = rows[rows["method"] == session.method]
        if rows.empty:
            titles, _ = method_titles(found.methods(self.modality))
            return _line(safe(f"This method was not scored on it; scored are {', '.join(titles.values())}."))
        order = {name: at for at, name in enumerate((*COHERENCE, *LOST))}
        rows = rows.sort_values(
            "statistic", key=lambda names: names.map(lambda name: order.get(name, len(order))), kind="stable"
        )
        return _table(numbers(rows, bool(self.by)))

    def summed(self) -> pd.DataFrame | str:
        """The summaries of all methods, as `quality.summary` gives them; a sentence where there are none."""
        found = self.found
        return found if isinstance(found, str) else summed(found, self.modality, self.by)

    @param.depends("_seen")
    def agreement(self) -> pn.viewable.Viewable:
        """Which methods show the same places."""
        found = self.found
        squares = {} if isinstance(found, str) else agreements(found, self.modality)
        if not squares:
            return _line("Methods were not compared: it takes two, and the score `agreement`.")
        titles, _ = method_titles(found.methods(self.modality))
        grids = [agreement_grid(square, titles, MEASURES[name]) for name, square in squares.items()]
        told = "Means over cases. Methods may agree and be wrong; the measures disagree with each other, too."
        return pmui.Column(
            _line(told), pmui.FlexBox(*[pn.pane.HTML(grid, margin=(0, 10)) for grid in grids], gap="24px")
        )

    @param.depends("_seen")
    def degradation(self) -> pn.viewable.Viewable:
        """The degradation score by class, and less what is owed to one class alone."""
        found = self.found
        if isinstance(found, str):
            return _line("")
        rows = class_adjusted(found, self.modality)
        if rows.empty:
            return _line("The degradation score was not computed.")
        told = (
            "LeRF less MoRF, above 0 where the map knows what the answer hangs on; class-adjusted: less half "
            "the mean gap between classes (Baer et al. 2025)."
        )
        return pmui.Column(_line(told), _table(by_class(rows, found.methods(self.modality))))

    @param.depends("session.model")
    def believed(self) -> pn.viewable.Viewable:
        """On phantoms: which method can be believed for which model."""
        session, tables, told = self.session, [], []
        for model, runs in session.runs.items():
            if not runs[0].prepared.dataset.simulated:
                continue
            found = measured(session, model)
            grade = found if isinstance(found, str) else graded(found, model)
            if isinstance(grade, str):
                told.append(grade)
            else:
                tables.append(grade)
        if not tables and not told:
            return _line("No model of this folder was asked about phantoms, whose evidence is known.")
        whole = [_table(answers(pd.concat(tables, ignore_index=True)))] if tables else []
        return pmui.Column(_line(RULE), *whole, *[_line(sentence(why)) for why in told])

    @param.depends("_seen", "session.shown")
    def case(self) -> pn.viewable.Viewable:
        """The chosen case's own scores, a row a method."""
        found, session = self.found, self.session
        if isinstance(found, str):
            return _line("")
        table = found.table
        rows = table[(table["case"] == session.case) & (table["modality"] == self.modality)]
        rows = rows[~rows["score"].str.contains(" with ")]
        if rows.empty:
            return _line(safe(f"The maps of {session.case} are not scored; --cases drew others."))
        methods = found.methods(self.modality)
        titles, _ = method_titles(methods)
        shown = rows.pivot(index="method", columns="score", values="value").reindex(methods)
        shown = shown[list(dict.fromkeys(rows["score"]))].dropna(axis="columns", how="all")
        shown = shown.rename(index=titles, columns=score_title).map(lambda v: "–" if v != v else f"{v:.3f}")
        return _table(shown.rename_axis(index="method", columns=None).reset_index())

    def __panel__(self):
        """From all cases and methods to one method, then to one case."""
        session = self.session

        def taken(body, name: str, table=None, of=("model",)) -> pn.Column:
            return takeaway(body, name, table, of, whose=self)

        choose = [
            pmui.Select.from_param(session.param.model, label="Model", width=300, size="small"),
            pmui.Select.from_param(self.param.modality, label="Maps of the", width=140, size="small"),
            pmui.Select.from_param(session.param.method, label="Method", width=480, size="small"),
        ]
        by = pmui.Select.from_param(self.param.by, label="Cases", width=260, size="small")
        case = pmui.Select.from_param(
            session.param.case, label="Case", width=220, size="small", searchable=True
        )
        parts = [
            (
                [part_title("Do the maps lie where the evidence is?"), *choose],
                taken(self.coherence, "Coherence"),
            ),
            (
                [part_title("The chosen method, number by number"), by],
                taken(self.table, "Map quality", self.summed, ("model", "method")),
            ),
            (
                [part_title("What is lost when what the map marks is taken away?")],
                taken(_later(self.curves), "Deletion and insertion"),
            ),
            ([], self.degradation),
            ([part_title("Do the maps follow the model?")], taken(self.randomisation, "Randomisation")),
            ([part_title("Do methods show the same places?")], taken(self.agreement, "Agreement of methods")),
            (
                [part_title("Which method can be believed for which model?")],
                taken(self.believed, "Grades", of=()),
            ),
            (
                [part_title("One case, all maps"), case],
                taken(_later(self.gallery), "One case, all maps", of=("model", "case")),
            ),
            ([], self.case),
        ]
        shown = []
        for head, body in parts:
            if head and shown:
                shown.append(pmui.Divider(sizing_mode="stretch_width"))
            shown += (
                [pmui.FlexBox(*head, align_items="center", margin=(8, 0, 0, 0)), body] if head else [body]
            )
        return pmui.Column(*shown, sizing_mode="stretch_width")


def _later(view: pn.viewable.Viewable) -> pn.param.ParamFunction:
    """What is dear to draw comes once the page stands."""
    return pn.panel(lambda: view, defer_load=True, sizing_mode="stretch_width")


def numbers(rows: pd.DataFrame, parted: bool) -> pd.DataFrame:
    """Rows of `summary` in a reader's words; `parted`: with the stratum."""
    names = rows["statistic"].str.partition(", ")[0]
    better = [BETTER[Score.catalogue[name].better] if name in Score.catalogue else "" for name in names]
    spans = [spoken(*span, digits=3) for span in rows[["estimate", "low", "high"]].to_numpy()]
    lifts = [spoken(*span) for span in rows[["lift", "lift_low", "lift_high"]].to_numpy()]
    shown = pd.DataFrame(
        {
            "score": [score_title(name) for name in rows["statistic"]],
            "cases of": rows["group"].astype(str),
            "mean (95 % interval)": spans,
            "sd": [f"{value:.3f}" if value == value else "–" for value in rows["sd"]],
            "chance": [f"{value:.3f}" if value == value else "–" for value in rows["chance"]],
            "times chance": lifts,
            "better": better,
            "cases": rows["n"],
            "not told": rows["empty"],
            "why": rows["why"],
        }
    )
    shown["score"] = shown["score"].where(~shown["score"].duplicated(), "")
    shown = shown if parted else shown.drop(columns="cases of")
    return shown if rows["why"].any() else shown.drop(columns="why")


def by_class(rows: pd.DataFrame, methods: list[str]) -> pd.DataFrame:
    """Rows of `adjusted`, a method a row and a class a column."""
    told = rows.assign(said=[spoken(*r, digits=3) for r in rows[["estimate", "low", "high"]].to_numpy()])
    columns = [name for name in dict.fromkeys(told["group"]) if name not in ("all", "class-adjusted")]
    shown = told.pivot(index="method", columns="group", values="said")
    shown = shown.reindex(index=methods, columns=["all", *columns, "class-adjusted"]).dropna(how="all")
    titles, _ = method_titles(methods)
    shown = shown.rename(index=titles, columns={"all": "all cases"}).fillna("–")
    return shown.rename_axis(index="method", columns=None).reset_index()


def answers(table: pd.DataFrame) -> pd.DataFrame:
    """`grades` in a reader's words."""
    titles, _ = method_titles(table["method"])
    lifts = [spoken(*r) for r in table[["lift", "lift_low", "lift_high"]].to_numpy()]
    lost = [spoken(*r) for r in table[["degradation", "degradation_low", "degradation_high"]].to_numpy()]
    similar = [spoken(value, float("nan"), float("nan")) for value in table["similarity"]]
    return pd.DataFrame(
        {
            "model": table["model"].where(~table["model"].duplicated(), ""),
            "method": table["method"].map(titles),
            "of the": table["modality"],
            "believed": table["believed"],
            "finds": [f"{a}: {n}" for a, n in zip(table["finds"], lifts, strict=True)],
            "follows": [f"{a}: {n}" for a, n in zip(table["follows"], similar, strict=True)],
            "matters": [f"{a}: {n}" for a, n in zip(table["matters"], lost, strict=True)],
            "cases": table["n"],
        }
    )


def _line(text: str) -> pn.pane.Markdown:
    return pn.pane.Markdown(text, margin=(2, 10), max_width=1000, visible=bool(text))


def _table(rows: pd.DataFrame) -> pn.pane.DataFrame:
    """Escaped by Panel, and aligned as it is read."""
    left = ["th {text-align: left !important}"]
    return pn.pane.DataFrame(rows, index=False, text_align="start", margin=(5, 10), stylesheets=left)
