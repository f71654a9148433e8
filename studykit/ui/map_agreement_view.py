"""Do readers agree more where the map is good, or where the model is right? One dot a case."""

import holoviews as hv
import numpy as np
import pandas as pd
import panel as pn
import panel_material_ui as pmui
import param

from studykit.draw import agreement_dots, chosen_dot, spoken
from studykit.quality.summary import COHERENCE
from studykit.trust.across_cases import mean_difference, rank_correlation
from studykit.ui.joined_view import JoinedView
from studykit.ui.measured import AGREEMENT, Measured, measured, method_titles, score_title
from studykit.ui.plain import safe, sentence
from studykit.ui.taps import on_tap
from studykit.ui.trust_sections import line

KINDS = {"right": "#8594a3", "wrong": "#d55e00", "not labelled": "#56b4e9"}
FEW = "How far readers agree cannot be told: no case has two readers under one condition."
CAUTION = (
    "This is association, not cause: an easy case may give readers who agree, a model that is right and a "
    "map that points well, and readers may have seen another map or none. Intervals are of other patients; "
    "the readers stay the same, and a few of them tell coarsely how far they agree."
)


class MapAgreementView(JoinedView):
    """The visitor's study beside maps of the session's model; a dot that is tapped becomes the case."""

    maps = param.Selector(default="", objects=[""], doc="method and modality")
    score = param.Selector(default="", objects=[""], doc="by which a map is good")
    _drawn = param.Tuple(default=("", "", "", ""), doc="study, model, maps and score, once they fit")

    def _offer(self) -> None:
        """Offer the maps that are scored, those of the session's method first."""
        found, session = self.found, self.session
        there = (
            [] if isinstance(found, str) else [(m, of) for of in found.modalities for m in found.methods(of)]
        )
        titles, self._common = method_titles([method for method, _ in there])
        self.param.maps.objects = {f"{titles[m]} of the {of}": (m, of) for m, of in there} or [""]
        mine = [one for one in there if one[0] == session.method]
        self.maps = self.maps if self.maps in there else next(iter([*mine, *there]), "")
        self._rate()

    @property
    def found(self) -> Measured | str:
        """The scores of the model's maps; a sentence that says what to run, where there are none."""
        return "" if isinstance(self._table, str) else measured(self.session, self.session.model)

    @param.depends("maps", watch=True)
    def _rate(self) -> None:
        """Offer the scores that the chosen maps have in cases that were read."""
        names = [] if isinstance(self.found, str) or not self.maps else list(self._scored())
        self.param.score.objects = {score_title(name): name for name in names} or [""]
        if self.score not in (names or [""]):
            self.score = next((name for name in COHERENCE if name in names), next(iter(names), ""))
        self._settle()

    @param.depends("score", watch=True)
    def _settle(self) -> None:
        if self.score in list(self.param.score.objects):
            self._drawn = (*self._whose, str(self.maps), self.score)

    def _scored(self) -> dict[str, pd.Series]:
        """{score: the chosen maps' values by case, of cases that were read}."""
        table, (method, modality) = self.found.table, self.maps
        rows = table[(table["method"] == method) & (table["modality"] == modality) & table["value"].notna()]
        rows = rows[rows["case"].isin(self._table["case"]) & ~rows["score"].str.match(AGREEMENT)]
        return {name: some.set_index("case")["value"] for name, some in rows.groupby("score", sort=False)}

    @property
    def cases(self) -> pd.DataFrame:
        """`joined` with agreement (1 - disagreement) and share, the chosen score of each case's map."""
        table = self._table.assign(agreement=1 - self._table["disagreement"], share=np.nan)
        if self.score:
            table["share"] = table["case"].map(self._scored()[self.score]).astype(float)
        return table

    def dots(self) -> pd.DataFrame:
        """A row a case that has both: id, share, agreement, kind, said."""
        table = self.cases.dropna(subset=["share", "agreement"]).reset_index(drop=True)
        known = table["label"].notna()
        kinds = np.where(table["model_wrong"], "wrong", np.where(known, "right", "not labelled"))
        pairs = zip(table["predicted"], table["label"].where(known, "not known"), strict=True)
        said = [f"predicted {said}, label {label}" for said, label in pairs]
        return table.rename(columns={"case": "id"})[["id", "share", "agreement"]].assign(
            kind=kinds, said=said
        )

    @param.depends("_drawn")
    def scene(self) -> pn.viewable.Viewable:
        """The dots, with a ring around the session's case; or what to run."""
        if isinstance(self._table, str):
            return line("")
        if isinstance(self.found, str):
            return line(sentence(self.found))
        dots = self.dots()
        if dots.empty:
            return line(
                "No case that was read by two readers has a score of these maps (`--cases` drew others)."
            )
        points = agreement_dots(dots, score_title(self.score), KINDS)
        self._taps = on_tap(points, lambda index: index and self._open(dots["id"].iloc[index[0]]))

        def ring(shown: tuple[str, str, str]) -> hv.Points:
            here = dots[dots["id"] == shown[1]]
            return chosen_dot(*(here[["share", "agreement"]].iloc[0] if len(here) else (np.nan, np.nan)))

        return pn.pane.HoloViews(
            points * hv.DynamicMap(pn.bind(ring, self.session.param.shown)), linked_axes=False
        )

    @param.depends("_drawn")
    def said(self) -> str:
        """The correlation, and the agreement where the model is right and wrong, in words."""
        if isinstance(self._table, str):
            return ""
        table = self.cases
        if table["agreement"].isna().all():
            return FEW
        patients = table["group"].astype(str).to_numpy()
        parts = []
        if self.score:
            told = rank_correlation(table["share"].to_numpy(), table["agreement"].to_numpy(), patients)
            parts.append(_correlated(told, score_title(self.score)))
        known = table[table["label"].notna() & table["agreement"].notna()]
        wrong = known["model_wrong"].to_numpy(dtype=bool)
        told = mean_difference(known["agreement"].to_numpy(), ~wrong, known["group"].astype(str).to_numpy())
        parts.append(_right_and_wrong(told, known["agreement"].to_numpy(), wrong))
        return "\n\n".join([*parts, CAUTION])

    def __panel__(self):
        """The choices over the dots, and what they say beside them."""
        some = self.param._drawn.rx.pipe(lambda drawn: bool(drawn[3]))
        maps = pmui.Select.from_param(self.param.maps, label="Maps by", width=480, size="small", visible=some)
        score = pmui.Select.from_param(self.param.score, label="Score", width=260, size="small", visible=some)
        said = pn.pane.Markdown(self.said, margin=(2, 10), max_width=480)
        body = pmui.FlexBox(self.scene, said, align_items="flex-start", gap="24px")
        return pmui.Column(pmui.FlexBox(maps, score), body, sizing_mode="stretch_width")


def _correlated(told: dict, name: str) -> str:
    """A rank correlation as a sentence."""
    if told["estimate"] != told["estimate"]:
        return f"{safe(name)} and agreement: no correlation, as {told['why']} (n = {told['n']})."
    number = spoken(told["estimate"], told["low"], told["high"])
    sure = f"{told['why']}; " if told["why"] else "95 % interval from drawing patients; "
    if told["why"]:
        meaning = ""
    elif told["low"] <= 0 <= told["high"]:
        meaning = " The interval holds 0: these cases do not tell whether the two go together."
    else:
        more = "more" if told["estimate"] > 0 else "less"
        meaning = f" Readers agree {more} where the score is higher."
    return (
        f"{safe(name)} and how far readers agree, Spearman's correlation: **{number}** ({sure}"
        f"n = {told['n']} cases).{meaning}"
    )


def _right_and_wrong(told: dict, agreement: np.ndarray, wrong: np.ndarray) -> str:
    """How far readers agree where the model is right and where it is wrong, as a sentence."""
    if told["estimate"] != told["estimate"]:
        if not len(wrong):
            return "What is so is not known of these cases, so nothing is said of the model's mistakes."
        return f"The model is {'wrong' if wrong.all() else 'right'} in all {len(wrong)} of these cases."
    number = spoken(told["estimate"], told["low"], told["high"])
    sure = told["why"] or "95 % interval from drawing patients"
    return (
        f"Readers agree by {agreement[~wrong].mean():.2f} in the {(~wrong).sum()} cases where the model is "
        f"right, by {agreement[wrong].mean():.2f} in the {wrong.sum()} where it is wrong; difference "
        f"**{number}** ({sure})."
    )
