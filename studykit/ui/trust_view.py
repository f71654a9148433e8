"""What did the clinicians say, and how far do they agree? Answers, and what statistics make of them."""

import asyncio
import html
import logging
from collections.abc import AsyncIterator, Callable
from functools import cached_property, lru_cache

import pandas as pd
import panel as pn
import panel_material_ui as pmui
import param

from studykit.catalog import InputError
from studykit.trust import Study
from studykit.trust.results import LACKING, SECTIONS
from studykit.ui.answers_view import BEFORE, AnswersView, choices
from studykit.ui.badge import badge
from studykit.ui.part_title import part_title
from studykit.ui.plain import listed, safe, sentence
from studykit.ui.readers_view import ReadersView
from studykit.ui.reporting_view import ReportingView
from studykit.ui.session import Session
from studykit.ui.studies import ALL, Studies, as_csv, kind
from studykit.ui.tabs import tabs
from studykit.ui.takeaway import SIMULATED, study_file, takeaway
from studykit.ui.trust_case_view import TrustCaseView
from studykit.ui.trust_sections import line, section

BADGES = {
    "simulated": (SIMULATED, "warning"),
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
JOINED = "readers and models"
FILTERS = {"agreement": 2, "conditions": 1}  # how many of question and condition can be chosen there


class TrustView(pn.viewable.Viewer):
    """Works on a page and in a notebook cell: `TrustView(study)`, or `TrustView(Studies(folder=runs))`."""

    studies = param.ClassSelector(class_=Studies)
    session = param.ClassSelector(class_=Session, doc="whose models are shown beside readers; none by habit")
    part = param.Selector(
        default="answers",
        objects=["answers", *QUESTIONS, JOINED, "one case", "reporting"],
        doc="what is open",
    )

    def __init__(self, studies: Studies | Study, session: Session | None = None, **params):
        studies = Studies(studies) if isinstance(studies, Study) else studies
        super().__init__(studies=studies, session=session, **params)
        self.answers = AnswersView(studies=studies, session=session)
        self.case = TrustCaseView(studies, session)
        self.reporting = ReportingView(studies=studies)

    @param.depends("studies.study", watch=True, on_init=True)
    def _tell_whose(self) -> None:
        """A published study is not about the runs' cases, so the page's head says nothing of these."""
        if self.session is not None:
            found = self.studies.found
            self.session.elsewhere = not isinstance(found, str) and kind(found) == "published"

    @param.depends("part", "studies.study", watch=True)
    def _ask_what_is_asked(self) -> None:
        """Open a part that is about one question on a question that is asked there."""
        found = self.studies.found
        if self.part in FILTERS and not isinstance(found, str):
            there = _asked_about(found, self.part)
            if there and self.studies.item not in there:
                self.studies.item = there[0]

    @cached_property
    def readers(self) -> ReadersView:
        """Made when it is first opened; a case that is chosen there opens in "one case"."""
        view = ReadersView(self.studies, self.session)
        view.param.watch(lambda _: self.param.update(part="one case"), "opened")
        return view

    @param.depends("studies.study")
    def about(self) -> pn.viewable.Viewable:
        """Whose ratings these are, how many, and what to know of them; or what to run."""
        found = self.studies.found
        if isinstance(found, str):
            return pmui.Alert(object=sentence(found), severity="info", margin=10)
        title = part_title(found.title or found.name)
        notes = " ".join(map(_ended, [*found.notes, *filter(None, [found.planted])]))
        lines = [size(found), _ended(found.source), notes]
        told = pn.pane.HTML("<br>".join(html.escape(text) for text in lines if text), margin=(0, 10, 8, 10))
        body = [pmui.FlexBox(title, badge(*BADGES[kind(found)]), align_items="center"), told]
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
            filename=self.studies.param.study.rx.pipe(lambda _: study_file(self.studies, "results")),
        )  # fmt: skip

    def __panel__(self):
        """The study over its parts, of which one is open."""
        studies = self.studies
        study = pmui.Select.from_param(studies.param.study, label="Study", width=420, size="small")
        there = studies.param.study.rx.pipe(lambda _: not isinstance(studies.found, str))
        return pmui.Column(
            pmui.FlexBox(study, self.download(), align_items="center", margin=(8, 0, 0, 0)),
            self.about,
            pmui.Column(tabs(self, "part"), self._opened, visible=there, sizing_mode="stretch_width"),
            sizing_mode="stretch_width",
        )

    @param.depends("part")
    def _opened(self) -> pn.viewable.Viewable:
        """A section under its filters; on a page its numbers are computed beside it, and it says so."""
        whole = {"answers": self.answers, "one case": self.case, "reporting": self.reporting}
        name = f"Trust, {self.part}"
        if self.part in whole or self.part == JOINED:
            view = whole.get(self.part) or self.readers
            return view.__panel__() if self.part == "reporting" else takeaway(view, name, of=())
        come = self._at_once if pn.state.location is None else self._coming
        # deferred: what is replaced before the page stands in the browser may be lost
        body = pn.panel(pn.bind(come(self.part), self.studies.param.shown), defer_load=True)
        over = pmui.FlexBox(*choices(self.studies)[: FILTERS.get(self.part, 0)], margin=(8, 0, 0, 0))
        taken = takeaway(body, name, lambda: self.numbers(self.part), (), self)
        return pmui.Column(over, taken, sizing_mode="stretch_width")

    def numbers(self, name: str) -> pd.DataFrame | str:
        """The results of a section as a table, or why there is none."""
        found = self.studies.found
        return found if isinstance(found, str) else self.rows(name)

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


@lru_cache(maxsize=64)
def _asked_about(study: Study, name: str) -> list[str]:
    """The items that a section asks something about."""
    return list(dict.fromkeys(item for item, *_ in SECTIONS[name](study)))


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
