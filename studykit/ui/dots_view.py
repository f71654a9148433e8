"""What does a model lean on from case to case? One dot a case; a tap on it opens the case."""

import holoviews as hv
import numpy as np
import pandas as pd
import panel as pn
import panel_material_ui as pmui
import param

from studykit.contribution import Contribution
from studykit.draw import case_dots, chosen_dot, dot_heights, modality_colors
from studykit.ui.plain import listed
from studykit.ui.session import Session
from studykit.ui.taps import on_tap

CORRECT, EVIDENCE = "right or wrong", "where the label shows"
KINDS = {"right": "#8594a3", "wrong": "#d55e00", "not labelled": "#56b4e9", "predicted": "#8594a3"}
SEVERAL, NOWHERE = "#6a51a3", "nowhere"
ROWS = 10  # classes; with more, all cases stand in one row


class DotsView(pn.viewable.Viewer):
    """Of the session's model, while it has contributions; `output` as `SharesView` takes it."""

    session = param.ClassSelector(class_=Session)
    output = param.String(allow_refs=True)
    of = param.Selector(objects=[""], doc="the modality whose share is shown")
    coloured = param.Selector(default=CORRECT, objects=[CORRECT], doc="by what the dots are coloured")
    _drawn = param.Tuple(default=("", "", "", ""), doc="these and the model, once they fit")

    def __init__(self, session: Session, **params):
        super().__init__(session=session, **params)
        self._offer()

    @property
    def found(self) -> Contribution | None:
        """The contributions that are shown."""
        found = self.session.contributed(self.session.model, self.output)
        return None if isinstance(found, str) else found

    @param.depends("session.model", "output", watch=True)
    def _offer(self) -> None:
        """Offer the model's modalities and, on phantoms, the planted truth; keep what was chosen."""
        session, found = self.session, self.found
        self.param.of.objects = list(found.modalities) if found else [""]
        planted = any(session.evidence(session.model).values())
        self.param.coloured.objects = [CORRECT, EVIDENCE] if planted else [CORRECT]
        chosen = {}
        for name in ("of", "coloured"):
            offered = self.param[name].objects
            chosen[name] = getattr(self, name) if getattr(self, name) in offered else offered[0]
        self.param.update(**chosen)
        self._settle()

    @param.depends("of", "coloured", watch=True)
    def _settle(self) -> None:
        found = self.found
        if found is None or self.of in found.modalities:
            self.dots = pd.DataFrame() if found is None else self.table()
            self._drawn = (self.session.model, self.output, self.of, self.coloured)

    def table(self) -> pd.DataFrame:
        """One row a case in which anything moved: id, share, row, kind, said, y; in the order of drawing."""
        session, found = self.session, self.found
        cases = session.cases_of(session.model).set_index("id").loc[found.ids]
        task = session.runs[session.model][0].schema.tasks[0]
        parted = task.kind in ("binary", "multiclass") and len(task.classes) <= ROWS
        label = cases["label"].astype(object).where(cases["label"].notna(), "not known")
        pairs = zip(cases["predicted"], label, strict=True)
        dots = pd.DataFrame(
            {
                "id": found.ids,
                "share": found.per_case()[self.of].to_numpy(),
                "row": cases["predicted"].to_numpy() if parted else "all cases",
                "kind": self._kinds(cases),
                "said": [f"predicted {said}, label {known}" for said, known in pairs],
            }
        )
        dots = dots[dots["share"].notna()]
        rows, kinds = task.classes if parted else ["all cases"], list(self.colors)
        order = dots.assign(row=dots["row"].map(rows.index), kind=dots["kind"].map(kinds.index))
        dots = dots.loc[order.sort_values(["row", "kind", "share"], kind="stable").index]
        return dots.assign(y=dot_heights(dots)).reset_index(drop=True)

    def rows(self) -> pd.DataFrame | str:
        """The dots as a table; a sentence that says what to run where there are none."""
        if self.found is None:
            return self.session.contributed(self.session.model, self.output)
        shown = self.dots.drop(columns="y", errors="ignore")
        return shown.rename(columns={"share": f"share of the {self.of}", "row": "predicted"})

    def _kinds(self, cases: pd.DataFrame) -> list[str]:
        """What each case's dot is coloured by; `colors` says how, in the legend's order."""
        session = self.session
        if self.coloured == EVIDENCE:
            evidence, own = session.evidence(session.model), modality_colors(session.modalities)
            kinds = [_where(evidence[case]) for case in cases.index]
            self.colors = {_where((name,)): color for name, color in own.items()}
            self.colors |= dict.fromkeys(sorted(set(kinds) - {*self.colors, NOWHERE}), SEVERAL)
            self.colors[NOWHERE] = KINDS["right"]
            return kinds
        self.colors = KINDS
        number = cases["predicted"].dtype.kind == "f"  # which is never simply right
        known = np.where(cases["label"].notna(), "predicted" if number else "right", "not labelled")
        return np.where(cases["wrong"], "wrong", known).tolist()

    @param.depends("_drawn")
    def scene(self) -> hv.Overlay:
        """The dots, with a ring around the session's case that follows it."""
        if self.dots.empty:
            return hv.Div("")
        rows = "" if "all cases" in set(self.dots["row"]) else "predicted"
        points = case_dots(self.dots, self.of, self.colors, rows)
        self._taps = on_tap(points, self._open)
        return points * hv.DynamicMap(pn.bind(self._ring, self.session.param.shown))

    def _open(self, index: list[int]) -> None:
        if index:
            self.session.case = self.dots["id"].iloc[index[0]]

    def _ring(self, shown: tuple[str, str, str]) -> hv.Points:
        """Around the chosen case, or nowhere where nothing moved in it."""
        here = self.dots[self.dots["id"] == shown[1]]
        return chosen_dot(*(here[["share", "y"]].iloc[0] if len(here) else (np.nan, np.nan)))

    @param.depends("_drawn")
    def note(self) -> str:
        """How many cases have no dot, and why."""
        if self.found is None:
            return ""
        still = len(self.found.ids) - len(self.dots)
        told = "One dot a case; tap one to open it."
        if not still:
            return told
        few = "1 case has" if still == 1 else f"{still} cases have"
        return f"{told} {few} no dot: nothing that was taken away changed the answer, so there is no share."

    def __panel__(self):
        """Two choices over the dots."""
        of = pmui.Select.from_param(self.param.of, label="Share of", width=190, size="small")
        coloured = pmui.Select.from_param(self.param.coloured, label="Colours", width=220, size="small")
        return pmui.Column(
            pmui.FlexBox(of, coloured),
            pn.pane.HoloViews(self.scene, linked_axes=False),
            pn.pane.Markdown(self.note, margin=(0, 10), width=520),
        )


def _where(modalities: tuple[str, ...]) -> str:
    return f"in the {listed(modalities)}" if modalities else NOWHERE
