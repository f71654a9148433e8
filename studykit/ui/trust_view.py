"""What did the clinicians say, and how far do they agree? Answers, and what statistics make of them."""

import asyncio
import html
import logging
from collections.abc import AsyncIterator, Callable

import pandas as pd
import panel as pn
import panel_material_ui as pmui
import param

from studykit.catalog import InputError
from studykit.trust import Study
from studykit.trust.results import LACKING
from studykit.ui.answers_view import BEFORE, AnswersView, choices
from studykit.ui.plain import listed, safe, sentence
from studykit.ui.reporting_view import ReportingView
from studykit.ui.session import Session
from studykit.ui.studies import ALL, Studies, as_csv, kind
from studykit.ui.trust_case_view import TrustCaseView
from studykit.ui.trust_sections import line, section

BADGES = {
    "simulated": ("Simulated readers: no person gave these ratings", "warning"),
    "published": ("Published study: real readers", "info"),
    "recorded here": ("Recorded here: real readers", "success"),
}
QUESTIONS = {
    "agreement": "How far do readers agree beyond chance? The dashed line is chance.",
    "conditions": "Do the same readers answer otherwise in another condition? Dashed: no difference.",
    "accuracy": "How well do readers tell what is so, and does the aid change it? RRRC speaks of readers and "
    "cases like these, FRRC of these readers, RRFC of these cases.",
    "reliance": "What do readers make of the aid's advice? Filled: how often, of all the occasions.",
    "trust": "Are readers who trust more also right more often?",
    "questionnaires": "What do readers say of the aid as a whole?",
    "time": "How long do answers take, and what does practice change?",
}
FILTERS = {"agreement": 2, "conditions": 1}  # how many of question and condition can be chosen there


class TrustView(pn.viewable.Viewer):
    """Works on a page and in a notebook cell: `TrustView(study)`, or `TrustView(Studies(folder=runs))`."""

    studies = param.ClassSelector(class_=Studies)
    session = param.ClassSelector(class_=Session, doc="whose models are shown beside readers; none by habit")
    part = param.Selector(
        default="answers", objects=["answers", *QUESTIONS, "one case", "reporting"], doc="what is open"
    )

    def __init__(self, studies: Studies | Study, session: Session | None = None, **params):
        studies = Studies(studies) if isinstance(studies, Study) else studies
        super().__init__(studies=studies, session=session, **params)
        self.answers, self.case = AnswersView(studies=studies), TrustCaseView(studies, session)
        self.reporting = ReportingView(studies=studies)

    @param.depends("studies.study", watch=True, on_init=True)
    def _tell_whose(self) -> None:
        """A published study is not about the runs' cases, so the page's head says nothing of these."""
        if self.session is not None:
            found = self.studies.found
            self.session.elsewhere = not isinstance(found, str) and kind(found) == "published"

    @param.depends("studies.study")
    def about(self) -> pn.viewable.Viewable:
        """Whose ratings these are, how many, and what to know of them; or what to run."""
        found = self.studies.found
        if isinstance(found, str):
            return pmui.Alert(object=sentence(found), severity="info", margin=10)
        label, color = BADGES[kind(found)]
        badge = pmui.Chip(label=label, color=color, size="small", margin=(8, 10))
        title = pmui.Typography(safe(found.title or found.name), variant="h6", margin=(5, 10))
        notes = " ".join(map(_ended, [*found.notes, *filter(None, [found.planted])]))
        lines = [size(found), _ended(found.source), notes]
        told = pn.pane.HTML("<br>".join(html.escape(text) for text in lines if text), margin=(0, 10, 8, 10))
        body = [pmui.FlexBox(title, badge, align_items="center"), told]
        if self.studies.why:
            body.append(pmui.Alert(object=sentence(self.studies.why), severity="warning", margin=10))
        return pmui.Column(*body)

    def rows(self, name: str) -> pd.DataFrame:
        """The results of a section; of the chosen item and condition, where these are chosen there."""
        rows = self.studies.asked(name).result()
        if name in FILTERS:
            rows = rows[rows["item"] == self.studies.item]
        if FILTERS.get(name) == 2 and self.studies.condition != ALL:
            chosen = self.studies.condition
            rows = rows[rows["condition"].isin([chosen, f"{chosen}{BEFORE}"])]
        return rows

    def section(self, name: str) -> pn.viewable.Viewable:
        """What a section shows, or why it shows nothing."""
        found = self.studies.found
        if isinstance(found, str):
            return line("")
        try:
            rows = self.rows(name)
        except InputError as why:
            return line(sentence(str(why)))
        if rows.empty:
            others = self.studies.asked(name).result()["item"].unique() if name in FILTERS else []
            told = (
                f"This is not asked of this question, but of {safe(listed(others))}." if len(others) else ""
            )
            return line(told or LACKING[name])
        return pmui.Column(line(QUESTIONS[name]), section(name, found, rows), sizing_mode="stretch_width")

    def download(self) -> pmui.FileDownload:
        """All numbers of the study as CSV."""
        return pmui.FileDownload(
            callback=lambda: as_csv(self.studies.table()), label="All numbers (CSV)", size="small",
            filename=self.studies.param.study.rx.pipe(lambda _: f"{self.studies.file} results.csv"),
        )  # fmt: skip

    def __panel__(self):
        """The study over its parts, of which one is open."""
        studies, names = self.studies, list(self.param.part.objects)
        study = pmui.Select.from_param(studies.param.study, label="Study", width=420, size="small")
        tabs = pmui.TabMenu(
            items=[{"label": name.capitalize()} for name in names], active=names.index(self.part),
            variant="scrollable", margin=(0, 10, 12, 10),
        )  # fmt: skip
        tabs.param.watch(lambda event: self.param.update(part=names[event.new]), "active")
        self.param.watch(lambda event: tabs.param.update(active=names.index(event.new)), "part")
        there = studies.param.study.rx.pipe(lambda _: not isinstance(studies.found, str))
        return pmui.Column(
            pmui.FlexBox(study, self.download(), align_items="center", margin=(8, 0, 0, 0)),
            self.about,
            pmui.Column(tabs, self._opened, visible=there, sizing_mode="stretch_width"),
            sizing_mode="stretch_width",
        )

    @param.depends("part")
    def _opened(self) -> pn.viewable.Viewable:
        """A section under its filters; on a page its numbers are computed beside it, and it says so."""
        whole = {"answers": self.answers, "one case": self.case, "reporting": self.reporting}
        if self.part in whole:
            return whole[self.part].__panel__()
        come = self._at_once if pn.state.location is None else self._coming
        # deferred: what is replaced before the page stands in the browser may be lost
        body = pn.panel(pn.bind(come(self.part), self.studies.param.shown), defer_load=True)
        over = pmui.FlexBox(*choices(self.studies)[: FILTERS.get(self.part, 0)], margin=(8, 0, 0, 0))
        return pmui.Column(over, body, sizing_mode="stretch_width")

    def _at_once(self, name: str) -> Callable:
        return lambda _: self.section(name)

    def _coming(self, name: str) -> Callable:
        async def come(_) -> AsyncIterator[pn.viewable.Viewable]:
            try:
                if not isinstance(self.studies.found, str):
                    asked = asyncio.wrap_future(self.studies.asked(name))
                    if not (await asyncio.wait([asked], timeout=0.4))[0]:  # most come at once
                        told = line("The numbers are being computed.")
                        yield pmui.Column(told, pmui.LinearProgress(width=300))
                        await asyncio.wait([asked])
                yield self.section(name)
            except Exception as why:  # else the page would say for ever that it computes
                logging.getLogger(__name__).exception("the section '%s'", name)
                told = (
                    f"This failed, which is a mistake of the program ({type(why).__name__}: {why}); tell us."
                )
                yield pmui.Alert(object=sentence(told), severity="error", margin=10)

        return come


def size(study: Study) -> str:
    """How many readers, cases, conditions and ratings."""
    ratings = study.ratings
    readers = "Anonymous readers" if study.anonymous else _many(len(study.readers), "reader")
    cases = _many(ratings["case"].nunique(), "case")
    conditions = _many(len(study.conditions), "condition")
    return f"{readers} × {cases} × {conditions}; {_many(int(ratings['rating'].notna().sum()), 'rating')}."


def _many(count: int, word: str) -> str:
    return f"{count:,} {word}{'s' * (count != 1)}"


def _ended(text: str) -> str:
    """A text as a sentence."""
    text = text.strip()
    return text if not text or text.endswith(".") else f"{text[0].upper()}{text[1:]}."
