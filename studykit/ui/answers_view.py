"""What did readers answer? How often each answer was given, by condition, reader or question."""

import pandas as pd
import panel as pn
import panel_material_ui as pmui
import param

from studykit.draw import answer_bars, condition_looks, spread_boxes
from studykit.trust import Item, Study
from studykit.trust.results import first_readings
from studykit.ui.address import link
from studykit.ui.plain import safe
from studykit.ui.read_cases import DISAGREE, filters, read
from studykit.ui.session import Session
from studykit.ui.studies import ALL, Studies, answered

BY = ("each condition", "each reader", "each question of this scale")
MANY = 11  # different numbers; more are shown as spreads
COMMENTS = 100
TRUTH = "what is so"
BEFORE = ", before the aid"  # as `Study.before` and `results` call it


class AnswersView(pn.viewable.Viewer):
    """Of the visitor's study, item and condition."""

    studies = param.ClassSelector(class_=Studies)
    session = param.ClassSelector(class_=Session, doc="whose Cases page is linked to; none by habit")
    by = param.Selector(default=BY[0], objects=list(BY), doc="what a bar stands for")

    @param.depends("studies.shown", "by")
    def picture(self) -> pn.viewable.Viewable:
        """The chosen item's answers, as its scale wants them shown."""
        found = self.studies.found
        if isinstance(found, str) or self.studies.item not in found.items:
            return _line("Nobody answered anything in this study yet.")
        item = found.items[self.studies.item]
        rows = self.rows(found, item)
        given = rows.dropna(subset=["rating"])
        if given.empty:
            return _line("Nobody answered this here yet.")
        if item.scale == "text":
            return _comments(given)
        told = _about(item, rows)
        answers = categories(item, given)
        if not answers:
            looks = condition_looks(list(dict.fromkeys(given["row"])))
            boxes = spread_boxes(given.rename(columns={"rating": "value"}), "", looks)
            said = f"{told} Boxes hold the middle half, lines all but the lowest and highest twentieth."
            return pmui.Column(_line(said), pn.pane.HTML(boxes, margin=(5, 10)))
        counts = given.groupby(["row", "rating"], sort=False).size().rename("count").reset_index()
        counts = counts.rename(columns={"rating": "answer"})
        diverging = item.scale != "nominal" and len(answers) > 2
        bars = answer_bars(counts, answers, [item.label(answer) for answer in answers], diverging)
        around = " Bars lie around the middle of the scale." if diverging else ""
        return pmui.Column(_line(f"{told}{around}"), pn.pane.HTML(bars, margin=(5, 10)))

    def rows(self, study: Study, item: Item) -> pd.DataFrame:
        """The ratings behind the bars: row (whose bar) and rating; first readings only."""
        if self.by == BY[0]:
            rows = self._of(study.table(item.name))
            before = self._of(study.before(item.name)) if item.asked != "first" else rows[:0]
            return _by_condition(study, item, pd.concat([before, rows], ignore_index=True))
        if self.by == BY[1]:
            rows = self._of(study.table(item.name))
            rows["row"] = rows["reader"].astype(object).where(rows["reader"].notna(), "not named").map(str)
            return rows.sort_values("row", kind="stable")
        alike = [one for one in answered(study) if _scale(one) == _scale(item)]
        tables = [self._of(study.table(one.name)).assign(row=one.text or one.name) for one in alike]
        return pd.concat(tables, ignore_index=True)

    def _of(self, table: pd.DataFrame) -> pd.DataFrame:
        """The first readings in the chosen condition, before the aid and with it."""
        chosen = self.studies.condition
        if chosen != ALL:
            table = table[table["condition"].astype(str).isin([chosen, f"{chosen}{BEFORE}"])]
        return first_readings(table).astype({"rating": object})

    @param.depends("studies.shown")
    def disagreed(self) -> str:
        """In how many cases readers differ in their answers, and a way to these on the Cases page."""
        found = self.studies.found
        if isinstance(found, str) or self.studies.item not in [
            item.name for item in found.of_role("answer")[:1]
        ]:
            return ""
        told = read(found)["disagreement"].dropna()
        several = f"{len(told):,} cases that several read in one condition"
        said = f"Readers disagree about {(told > 0).sum():,} of {several}."
        if self.session is None or pn.state.location is None or not filters(self.studies, self.session):
            return said if len(told) else ""
        return f"{said} [Open them on the Cases page]({link('cases', self.session, show=DISAGREE)})"

    def __panel__(self):
        """The choices over the picture."""
        by = pmui.Select.from_param(self.param.by, label="A bar for", width=240, size="small")
        return pmui.Column(
            pmui.FlexBox(*choices(self.studies), by),
            self.picture,
            pn.pane.Markdown(self.disagreed, margin=(2, 10), max_width=1000),
            sizing_mode="stretch_width",
        )


def choices(studies: Studies) -> list[pmui.Select]:
    """Of an item and a condition."""
    item = pmui.Select.from_param(studies.param.item, label="Question", width=420, size="small")
    condition = pmui.Select.from_param(studies.param.condition, label="Condition", width=280, size="small")
    return [item, condition]


def categories(item: Item, given: pd.DataFrame) -> list:
    """The answers that bars are parted into, in order; none where numbers are too many for that."""
    if item.categories:
        return list(item.categories) if len(item.categories) <= MANY else []
    there = sorted(given["rating"].unique(), key=lambda value: (str(type(value)), value))
    return there if item.scale == "nominal" or len(there) <= MANY else []


def _by_condition(study: Study, item: Item, rows: pd.DataFrame) -> pd.DataFrame:
    """A bar a condition; two where an answer came before the aid; and the truth beside answers."""
    names = rows["condition"].map(str).where(rows["condition"].notna(), "all readers")
    places = {
        name: at for at, name in enumerate(f"{one}{end}" for one in study.conditions for end in (BEFORE, ""))
    }
    rows = rows.assign(row=names, place=names.map(places)).sort_values("place", kind="stable")
    truth = study.cases.loc[study.cases["case"].isin(rows["case"]), "truth"].dropna()
    if item.role == "answer" and len(truth):
        rows = pd.concat([rows, pd.DataFrame({"row": TRUTH, "rating": truth})], ignore_index=True)
    return rows


def _scale(item: Item) -> tuple:
    return item.scale, item.role, item.categories, item.labels, item.low, item.high


def _about(item: Item, rows: pd.DataFrame) -> str:
    """The question, and how many answered it."""
    asked = rows["rating"][rows["row"] != TRUTH]
    skipped = f"; {int(asked.isna().sum()):,} were skipped" if asked.isna().any() else ""
    question = f"*{safe(item.text)}* " if item.text else ""
    return f"{question}{asked.notna().sum():,} answers{skipped}."


def _comments(given: pd.DataFrame) -> pn.viewable.Viewable:
    """Free text as it stands, the first of it."""
    more = f" The first {COMMENTS} are shown." if len(given) > COMMENTS else ""
    shown = given[["row", "rating"]].head(COMMENTS).set_axis(["", "comment"], axis="columns")
    table = pn.pane.DataFrame(shown, index=False, text_align="start", margin=(5, 10))
    return pmui.Column(_line(f"{len(given):,} comments.{more}"), table)


def _line(text: str) -> pn.pane.Markdown:
    return pn.pane.Markdown(text, margin=(2, 10), max_width=1000)
