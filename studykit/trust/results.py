"""All that a study's ratings can answer, each question by the statistics that suit its scale.

Decided here is only which statistic is asked about which item: the numbers, and the reasons where there
is none, are the statistics' own.
"""

from collections.abc import Callable, Iterator
from typing import Any

import pandas as pd

from studykit.catalog import build, check_choice
from studykit.trust.item import Item
from studykit.trust.reliance import check_alike, equal
from studykit.trust.statistic import COLUMNS, NotEstimable, Statistic, row
from studykit.trust.study import SAME, Study

ALL = "all"
MANY = 4  # readers; of more, every pair by itself is no longer read
# item, condition, statistic, table (or why there is none)
Asked = tuple[str, str, dict[str, Any] | str, pd.DataFrame | NotEstimable]

AGREEMENT: dict[str, list[dict[str, Any] | str]] = {
    "nominal": [
        "fleiss_kappa", "conger_kappa", "light_kappa", {"name": "krippendorff_alpha", "metric": "nominal"},
        "gwet_ac", "brennan_prediger",
    ],
    "ordinal": [
        {"name": "krippendorff_alpha", "metric": "ordinal"}, {"name": "gwet_ac", "weights": "quadratic"},
        {"name": "conger_kappa", "weights": "quadratic"}, "icc",
    ],
    "interval": [{"name": "krippendorff_alpha", "metric": "interval"}, "icc"],
    "ratio": [{"name": "krippendorff_alpha", "metric": "ratio"}, "icc"],
}  # fmt: skip
PAIRS = {"nominal": "cohen_kappa", "ordinal": {"name": "cohen_kappa", "weights": "quadratic"}}


def results(study: Study, section: str = "") -> pd.DataFrame:
    """The estimates of a study: section, item, condition, method and the columns of every statistic.

    section: one of SECTIONS alone; all by habit. Only first readings enter, except where readings are
    repeated to be compared. Raises InputError for an unknown section.
    """
    if section:
        check_choice("section of the results", section, SECTIONS)
    tables = []
    for name in [section] if section else SECTIONS:
        for item, condition, asked, table in SECTIONS[name](study):
            statistic = build(Statistic, asked)
            about = {"section": name, "item": item, "condition": condition, "method": statistic.name}
            if isinstance(table, NotEstimable):
                told = pd.DataFrame([row(statistic.title, why=str(table))])
            else:
                told = statistic(table)
            tables.append(told.assign(**about))
    columns = ["section", "item", "condition", "method", *COLUMNS]
    return pd.concat(tables, ignore_index=True)[columns] if tables else pd.DataFrame(columns=columns)


def agreement(study: Study) -> Iterator[Asked]:
    """Every item that is rated case by case, condition by condition, before and with the aid."""
    for item in _answered(study):
        for condition, table in _by_condition(study, item):
            once = first_readings(table)
            for asked in AGREEMENT[item.scale]:
                yield item.name, condition, _given(asked, item), once
            if item.scale in PAIRS and (study.anonymous or once["reader"].nunique() <= MANY):
                yield item.name, condition, _given(PAIRS[item.scale], item), once
            if len(once) < len(table):
                asked = {"name": "intra_reader", "scale": item.scale}
                yield item.name, condition, _given(asked, item), table


def conditions(study: Study) -> Iterator[Asked]:
    """What the conditions, and seeing the aid, do to every item whose answers have an order."""
    for item in _answered(study):
        if item.scale != "nominal" and item.role != "score":
            for condition, table in _compared(study, item):
                for asked in ("friedman", "wilcoxon", "mixed_model"):
                    yield item.name, condition, asked, table


def accuracy(study: Study) -> Iterator[Asked]:
    """How well readers told the truth, and whether a condition, or seeing the aid, changed it."""
    if study.cases["truth"].notna().sum() == 0:
        return
    for role, name in (("score", "mrmc"), ("answer", "sensitivity_specificity")):
        for item in study.of_role(role):
            for condition, table in _compared(study, item, alone=True):
                yield item.name, condition, {"name": name, "positive": study.positive}, table


def reliance(study: Study) -> Iterator[Asked]:
    """What readers did with the aid's advice; of conditions that give one, where an answer came before."""
    for item in study.of_role("answer"):
        table = first_readings(study.table(item.name))
        if table["first"].notna().any() and table["aid"].notna().any():
            yield item.name, ALL, "reliance", table[table["aid"].notna()]


def trust(study: Study) -> Iterator[Asked]:
    """Whether trust goes with being right: of the reader, or of the aid."""
    for item in [*study.of_role("trust"), *study.of_role("trust in the aid")]:
        low, high = item.ends
        asked = {"name": "trust_calibration", "low": low, "high": high}
        table = with_correct(study, item)
        if isinstance(table, NotEstimable):
            yield item.name, ALL, asked, table
            continue
        for condition, part in table.groupby("condition", sort=False):
            yield item.name, str(condition), asked, part


def questionnaires(study: Study) -> Iterator[Asked]:
    """The questionnaires that were filled in, once a reader or once a condition."""
    items = [item for item in study.of_role("questionnaire") if item.questionnaire]
    for name in dict.fromkeys(item.questionnaire for item in items):
        own = [item.name for item in items if item.questionnaire == name]
        whole = pd.concat([study.table(item) for item in own], ignore_index=True)
        questionnaire = build(Statistic, name)
        for condition, table in whole.groupby("condition", sort=False, dropna=False):
            where = str(condition) if condition == condition else ALL
            yield name, where, name, table
            for scale in questionnaire.scales:
                yield scale, where, "cronbach_alpha", questionnaire.keyed(table, scale)


def time(study: Study) -> Iterator[Asked]:
    """How long readings took, both steps together, and what the session itself changed."""
    for item in study.of_role("answer")[:1] or study.of_role("score")[:1]:
        table = study.table(item.name)
        timed = table["elapsed"].notna().any()
        if timed:
            yield item.name, ALL, "time_on_task", table
        if timed or table["order"].nunique() > 1:
            yield item.name, ALL, "learning", first_readings(table)


SECTIONS: dict[str, Callable[[Study], Iterator[Asked]]] = {
    "agreement": agreement, "conditions": conditions, "accuracy": accuracy, "reliance": reliance,
    "trust": trust, "questionnaires": questionnaires, "time": time,
}  # fmt: skip

LACKING = {  # why a section is empty
    "agreement": "No question was answered case by case on a scale, so there is nothing to agree on.",
    "conditions": "There is one condition only, or no question whose answers have an order.",
    "accuracy": "What is so is not known of these cases, or nobody said what they are.",
    "reliance": "No answers before and after an aid were recorded (a protocol with two steps asks for them).",
    "trust": "Nobody was asked how sure they are, or how far they trust the aid.",
    "questionnaires": "No questionnaire was filled in.",
    "time": "No times were recorded.",
}


def with_correct(study: Study, item: Item) -> pd.DataFrame | NotEstimable:
    """An item of trust with `correct`: whether what is trusted was right; or why that is not known.

    Trust in an answer is held against the same reader's answer (to the study's first item of that role) to
    the same case; trust in the aid against the aid.
    """
    table = first_readings(study.table(item.name))
    if item.role == "trust in the aid":
        answered, said = table, "aid"
    elif study.anonymous:
        return NotEstimable("the readers are anonymous, so no trust can be joined to the answer it is about")
    elif not (answers := study.of_role("answer")):
        return NotEstimable("no item says what the case is (role 'answer')")
    else:
        answered, said = study.table(answers[0].name), "rating"
    try:
        check_alike(answered["truth"], answered[said])
    except NotEstimable as why:
        return why
    known = (answered["truth"].notna() & answered[said].notna()).to_numpy()
    right = pd.Series(equal(answered[said], answered["truth"]), answered.index, dtype=object)
    right = answered[SAME].drop(columns="item").assign(correct=right.where(known))
    return table.merge(right, on=list(right.columns[:-1]), how="left", validate="many_to_one")


def first_readings(table: pd.DataFrame) -> pd.DataFrame:
    """Of a case that a reader read more than once under a condition, the first reading."""
    repeat = pd.to_numeric(table["repeat"], errors="coerce").fillna(0)
    earliest = repeat.groupby([table[name] for name in ("reader", "case", "condition")], dropna=False)
    return table[repeat == earliest.transform("min")]


def _by_condition(study: Study, item: Item) -> Iterator[tuple[str, pd.DataFrame]]:
    """An item's ratings in each condition, after those before the aid, where there were such."""
    before = [] if item.asked == "first" else [study.before(item.name)]  # else the table holds them
    for table in [*before, study.table(item.name)]:
        for condition, part in table.groupby("condition", sort=False):
            yield str(condition), part


def _compared(study: Study, item: Item, alone: bool = False) -> Iterator[tuple[str, pd.DataFrame]]:
    """All conditions with one another; and each with the same readings before the aid.

    alone: a single condition, too.
    """
    table = first_readings(study.table(item.name))
    if len(table) and (alone or table["condition"].nunique() > 1):
        yield ALL, table
    if item.asked == "first":
        return
    for condition in study.conditions:
        before = first_readings(study.before(item.name, condition))
        if len(before):
            yield str(condition), pd.concat([before, table[table["condition"] == condition]])


def _answered(study: Study) -> list[Item]:
    """The items that are rated case by case, on a scale."""
    there = set(study.ratings.loc[study.ratings["case"].notna(), "item"])
    return [item for item in study.items.values() if item.name in there and item.scale in AGREEMENT]


def _given(asked: dict[str, Any] | str, item: Item) -> dict[str, Any]:
    """The statistic's spec with the item's own categories, where it takes categories."""
    spec = {"name": asked} if isinstance(asked, str) else asked
    takes = "categories" in getattr(Statistic.catalogue[spec["name"]], "__dataclass_fields__", {})
    return {**spec, "categories": list(item.categories)} if takes and item.categories else spec
