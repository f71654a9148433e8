"""One case: what readers answered before and after the aid, beside what the model saw and said."""

from functools import cached_property

import pandas as pd
import panel as pn
import panel_material_ui as pmui
import param

from studykit.trust import Item, Study
from studykit.ui.address import link
from studykit.ui.case_view import CaseView
from studykit.ui.contributed_case import ContributedCase
from studykit.ui.measured import AGREEMENT, measured, method_titles, score_title
from studykit.ui.part_title import part_title
from studykit.ui.plain import listed, safe, sentence, shown
from studykit.ui.read_cases import of_the_same, whose_aid
from studykit.ui.session import Session, is_control, title_of
from studykit.ui.studies import Studies, as_csv, kind
from studykit.ui.takeaway import study_file

SHORT = 10  # letters that are not broken into lines
WRONG = "⚠ wrong"
LEFT = ["th {text-align: left !important}", ":host {overflow-x: auto}"]
READING = ["reader", "condition", "repeat"]


class TrustCaseView(pn.viewable.Viewer):
    """Of the visitor's study; its case is the session's where a model held that case out."""

    studies = param.ClassSelector(class_=Studies)
    session = param.ClassSelector(class_=Session)
    case = param.Selector(default="", objects=[""], doc="an id among the study's cases")
    _seen = param.Boolean(default=False, doc="whether a model held the case out")

    def __init__(self, studies: Studies, session: Session | None = None, **params):
        super().__init__(studies=studies, session=session, **params)
        self._offer()

    @param.depends("studies.study", watch=True)
    def _offer(self) -> None:
        """Offer the study's cases, first the session's."""
        found = self.studies.found
        cases = [] if isinstance(found, str) else list(found.ratings["case"].dropna().unique())
        here = self.session.case if self.session else ""
        cases = sorted(cases, key=lambda case: (str(type(case)), case))
        self.param.case.objects = {str(case): case for case in cases} or {"no case": ""}
        self.case = here if here in cases else next(iter(self.param.case.objects))
        self._open()

    @param.depends("case", watch=True)
    def _open(self) -> None:
        """Make it the session's case, with a model that held it out."""
        found, models = self.studies.found, []  # a published study's cases are others, whatever their ids
        if self.session and not isinstance(found, str) and kind(found) != "published":
            models = sorted(self.session.runs, key=lambda name: name != self.session.model)
        tables = {name: self.session.cases_of(name) for name in models}
        held = [name for name, table in tables.items() if (table["id"] == self.case).any()]
        model = next((name for name in held if of_the_same(found, tables[name])), "")
        if model:
            case = self.case  # another model may open a case of its own first, which `_follow` takes over
            self.session.model = model
            self.session.case = case
        self._seen = bool(model)

    @param.depends("session.case", watch=True)
    def _follow(self) -> None:
        if self.session.case in list(self.param.case.objects):
            self.case = self.session.case

    @param.depends("case", "studies.study")
    def readers(self) -> pn.viewable.Viewable:
        """Who answered what about the case, with which aid."""
        found = self.studies.found
        if isinstance(found, str):
            return _line("")
        table = told(found, self.case)
        if table.empty:
            return _line("Nobody answered anything about this case.")
        truth = found.cases.loc[found.cases["case"] == self.case, "truth"]
        known = safe(shown(truth.iloc[0])) if len(truth) else "not known"
        lines = [f"What is so: **{known}**."]
        if table.map(lambda cell: "→" in cell).any(axis=None):
            lines.append("Left of an arrow: before the aid was shown.")
        if "aid" in table and table["aid"].str.contains(WRONG).any():
            lines.append(f"{WRONG}: this aid was planted wrong.")
        said = "\n".join(f"- {safe(who)}: {safe(text)}" for who, text in comments(found, self.case))
        return pmui.Column(_line(f"### {safe(self.case)}\n{' '.join(lines)}"), _table(table), _line(said))

    def answers(self) -> pd.DataFrame:
        """What readers answered about the case, to be downloaded; every row says whose ratings these are."""
        found = self.studies.found
        return told(found, self.case).assign(case=self.case, study=found.name, ratings=kind(found))

    @param.depends("studies.study", "case")
    def aids(self) -> str:
        """Whose prediction, and whose map, the aid was."""
        found = self.studies.found
        if self.session is None or isinstance(found, str) or found.aids["aid"].isna().all():
            return ""
        models = [f"'{safe(model)}'" for model in whose_aid(self.session, found)]
        told = "The aid is what no model of this folder predicts for all these cases."
        if models:
            told = f"The aid is what {listed(models)} predict{'s' * (len(models) == 1)} for these cases"
            told += f"{', those planted wrong aside' if found.planted else ''}."
        maps = [f"in '{safe(name)}' by {safe(title_of(key))}" for name, key in self.studies.maps.items()]
        return f"{told} A map was shown {listed(maps)}." if maps else told

    @param.depends("session.shown", "_seen")
    def scores(self) -> pn.viewable.Viewable:
        """How good the model's maps of the case are, a row a method; or what to run."""
        if not self._seen:
            return _line("")
        found = measured(self.session, self.session.model)
        if isinstance(found, str):
            return _line(sentence(found))
        table = of_case(found.table, self.session.case)
        if table.empty:
            return _line(safe(f"The maps of {self.session.case} are not scored; --cases drew others."))
        return _table(table)

    @param.depends("session.shown", "_seen")
    def ways(self) -> str:
        """To the case on other pages; nothing in a notebook."""
        if not self._seen or pn.state.location is None:
            return ""
        pages = {"cases": "Cases", "contributions": "Contributions", "map_quality": "Map quality"}
        ways = [f"[{title}]({link(page, self.session)})" for page, title in pages.items()]
        return f"This case on the pages {listed(ways)}."

    @param.depends("_seen")
    def models(self) -> pn.viewable.Viewable:
        """The case as the models saw it, with what the answer hung on; or why there is nothing."""
        if not self._seen:
            return _line("No model that is served here held this case out, so no map stands beside it.")
        case, parts = self._beside
        return pmui.Column(
            pn.pane.Markdown(self.ways, margin=(0, 10)), case,
            pmui.Divider(), part_title("How good are its maps?"), self.scores,
            pmui.Divider(), part_title("What did the answer hang on?"), parts,
        )  # fmt: skip

    @cached_property
    def _beside(self) -> tuple[CaseView, ContributedCase]:
        """Made when a case is first there; they follow the session, and link to its Cases page."""
        return CaseView(self.session), ContributedCase(self.session)

    def __panel__(self):
        """The readers' answers on the left of the models."""
        case = pmui.Select.from_param(self.param.case, label="Case", width=260, size="small", searchable=True)
        csv = pmui.FileDownload(
            callback=lambda: as_csv(self.answers()), label="Answers (CSV)", size="small",
            filename=self.param.case.rx.pipe(lambda case: study_file(self.studies, case)),
        )  # fmt: skip
        return pmui.Column(
            pmui.FlexBox(case, csv, align_items="center", margin=(8, 0, 0, 0)),
            pmui.FlexBox(
                pmui.Column(
                    self.readers,
                    pn.pane.Markdown(self.aids, margin=(2, 10)),
                    max_width=self.param._seen.rx.where(640, 1400),
                ),
                pmui.Column(self.models, max_width=800),
                align_items="flex-start",
            ),
            sizing_mode="stretch_width",
        )


def told(study: Study, case: object) -> pd.DataFrame:
    """What readers answered about a case, in words: a row a reading, a column an item, first → final.

    Of readers who are not named, whose answers to two items cannot be joined, a row a condition.
    """
    ratings = study.ratings[study.ratings["case"] == case].copy()
    there = set(ratings["item"])
    items = [item for item in study.items.values() if item.name in there and item.scale != "text"]
    ratings["repeat"] = ratings["repeat"].fillna(0).astype(int)
    of = READING
    if study.anonymous:
        ratings["reader"], of = "not named", ["reader", "condition"]
    aids = study.aids[study.aids["case"] == case].set_index("condition")
    rows = []
    for key, reading in ratings.groupby(of, dropna=False, sort=False):
        at = dict(zip(of, key, strict=True))
        row = {"reader": str(at["reader"]), "condition": shown(at["condition"])}
        row["condition"] += f", reading {at['repeat'] + 1}" if at.get("repeat") else ""
        row["aid"] = _aid(aids.loc[at["condition"]]) if at["condition"] in aids.index else "none"
        for item in items:
            row[item.name] = _answer(reading[reading["item"] == item.name], item)
        row["seconds"] = _seconds(reading)
        rows.append(row)
    if not rows:
        return pd.DataFrame()
    table = pd.DataFrame(rows).sort_values(["reader", "condition"], kind="stable", ignore_index=True)
    return table.drop(columns=[name for name in ("aid", "seconds") if set(table[name]) <= {"none", ""}])


def _aid(row: pd.Series) -> str:
    return f"{shown(row['aid'])} {WRONG}" if row["wrong"] == True else shown(row["aid"])  # noqa: E712


def _answer(rows: pd.DataFrame, item: Item) -> str:
    """What stands in a cell: first → final, several anonymous answers in a row."""
    said = []
    for step in ("first", "final"):
        given = rows.loc[rows["step"] == step, "rating"]
        words = [
            item.label(rating) if rating == rating and rating is not None else "skipped" for rating in given
        ]
        said += [", ".join(words)] if words else []
    return "\u00a0→ ".join(said) if len("".join(said)) > SHORT else "\u00a0→\u00a0".join(said)


def comments(study: Study, case: object) -> list[tuple[str, str]]:
    """Who wrote what about a case."""
    texts = [item.name for item in study.items.values() if item.scale == "text"]
    ratings = study.ratings
    rows = ratings[(ratings["case"] == case) & ratings["item"].isin(texts)].dropna(subset=["rating"])
    return [(f"{shown(row.reader)}, {shown(row.condition)}", row.rating) for row in rows.itertuples()]


def _seconds(rows: pd.DataFrame) -> str:
    """How long all answers of a reading took."""
    whole = rows["elapsed"].sum(min_count=1)
    return f"{whole:.0f}" if whole == whole else ""


def of_case(scores: pd.DataFrame, case: str) -> pd.DataFrame:
    """A case's rows of a table of scores in words: a row a method and modality, a column a score."""
    rows = scores[(scores["case"] == case) & ~scores["score"].str.match(AGREEMENT)]
    rows = rows[rows["value"].notna() & ~rows["method"].map(is_control).astype(bool)]
    titles, _ = method_titles(rows["method"].unique())
    table = rows.pivot(index=["modality", "method"], columns="score", values="value")
    table = table[list(dict.fromkeys(rows["score"]))].map(
        lambda value: "–" if value != value else f"{value:.3f}"
    )
    table = table.rename(columns=score_title).rename_axis(columns=None).reset_index()
    maps = [f"{titles[row.method]} of the {row.modality}" for row in table.itertuples()]
    return table.drop(columns=["modality", "method"]).assign(maps=maps).set_index("maps").reset_index()


def _table(rows: pd.DataFrame) -> pn.pane.DataFrame:
    return pn.pane.DataFrame(rows, index=False, text_align="start", margin=(5, 10), stylesheets=LEFT)


def _line(text: str) -> pn.pane.Markdown:
    return pn.pane.Markdown(text, margin=(2, 10), visible=bool(text))
