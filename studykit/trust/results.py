"""All that a study's ratings can answer, each question by the statistics that suit its scale.

Decided here is only which statistic is asked about which item: the numbers, and the reasons where there
is none, are the statistics' own.
"""

from collections.abc import Callable, Iterator
from typing import Any

import pandas as pd

from studykit.catalog import build, check_choice
from studykit.trust.item import Item
from studykit.trust.statistic import COLUMNS, Statistic
from studykit.trust.study import Study

ALL = "all"
MANY = 4  # readers; of more, every pair by itself is no longer read
Asked = tuple[str, str, dict[str, Any] | str, pd.DataFrame]  # item, condition, statistic, table

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

    section: one of SECTIONS alone; all by habit. Raises InputError for an unknown one.
    """
    if section:
        check_choice("section of the results", section, SECTIONS)
    tables = []
    for name in [section] if section else SECTIONS:
        for item, condition, asked, table in SECTIONS[name](study):
            statistic = build(Statistic, asked)
            about = {"section": name, "item": item, "condition": condition, "method": statistic.name}
            tables.append(statistic(table).assign(**about))
    columns = ["section", "item", "condition", "method", *COLUMNS]
    return pd.concat(tables, ignore_index=True)[columns] if tables else pd.DataFrame(columns=columns)


def agreement(study: Study) -> Iterator[Asked]:
    """Every item that is rated case by case, condition by condition."""
    for item in _answered(study):
        for condition in study.conditions:
            table = study.table(item.name, condition)
            if not len(table):
                continue
            once = table[table["repeat"] == 0]
            for asked in AGREEMENT[item.scale]:
                yield item.name, str(condition), _given(asked, item), once
            if item.scale in PAIRS and (study.anonymous or once["reader"].nunique() <= MANY):
                yield item.name, str(condition), _given(PAIRS[item.scale], item), once
            if (table["repeat"] > 0).any():
                asked = {"name": "intra_reader", "scale": item.scale}
                yield item.name, str(condition), _given(asked, item), table


def conditions(study: Study) -> Iterator[Asked]:
    """What the conditions do to every item whose answers have an order."""
    if len(study.conditions) < 2:
        return
    for item in _answered(study):
        if item.scale != "nominal" and item.role != "score":
            table = _once(study, item)
            for asked in ("friedman", "wilcoxon", "mixed_model"):
                yield item.name, ALL, asked, table


def accuracy(study: Study) -> Iterator[Asked]:
    """How well readers told the truth, and whether an aid changed it."""
    if study.cases["truth"].notna().sum() == 0:
        return
    for item in study.of_role("score"):
        yield item.name, ALL, {"name": "mrmc", "positive": study.positive}, _once(study, item)
    for item in study.of_role("answer"):
        asked = {"name": "sensitivity_specificity", "positive": study.positive}
        yield item.name, ALL, asked, _once(study, item)


def reliance(study: Study) -> Iterator[Asked]:
    """What readers did with the aid's advice; of conditions that give one, where an answer came before."""
    for item in study.of_role("answer"):
        table = _once(study, item)
        if table["first"].notna().any() and table["aid"].notna().any():
            yield item.name, ALL, "reliance", table[table["aid"].notna()]


def trust(study: Study) -> Iterator[Asked]:
    """Whether trust goes with being right."""
    answers = study.of_role("answer")
    for item in study.of_role("trust"):
        if not answers:
            return
        low, high = bounds(item)
        asked = {"name": "trust_calibration", "low": low, "high": high}
        for condition, table in with_correct(study, item, answers[0]).groupby("condition", sort=False):
            yield item.name, str(condition), asked, table


def questionnaires(study: Study) -> Iterator[Asked]:
    """The questionnaires that were filled in."""
    items = [item for item in study.of_role("questionnaire") if item.questionnaire]
    for name in dict.fromkeys(item.questionnaire for item in items):
        own = [item.name for item in items if item.questionnaire == name]
        table = pd.concat([study.table(item) for item in own], ignore_index=True)
        yield name, ALL, name, table
        questionnaire = build(Statistic, name)
        for scale in questionnaire.scales:
            yield scale, ALL, "cronbach_alpha", questionnaire.keyed(table, scale)


def time(study: Study) -> Iterator[Asked]:
    """How long answers took, and what the session itself changed."""
    for item in study.of_role("answer")[:1] or study.of_role("score")[:1]:
        table = _once(study, item)
        if table["elapsed"].notna().any():
            yield item.name, ALL, "time_on_task", table
        if table["order"].nunique() > 1:
            yield item.name, ALL, "learning", table


SECTIONS: dict[str, Callable[[Study], Iterator[Asked]]] = {
    "agreement": agreement, "conditions": conditions, "accuracy": accuracy, "reliance": reliance,
    "trust": trust, "questionnaires": questionnaires, "time": time,
}  # fmt: skip


def with_correct(study: Study, item: Item, answer: Item) -> pd.DataFrame:
    """A trust item's ratings with `correct`: whether the same reader's answer to the same case was right."""
    same = ["reader", "case", "condition", "repeat"]
    answered = study.table(answer.name)
    known = answered["truth"].notna() & answered["rating"].notna()
    right = (answered["rating"] == answered["truth"]).astype(object).where(known)
    return _once(study, item).merge(answered[same].assign(correct=right), on=same, how="left")


def bounds(item: Item) -> tuple[float, float]:
    """Where an item's scale begins and ends."""
    if item.categories:
        return float(min(item.categories)), float(max(item.categories))
    return float(item.low or 0.0), float(item.high if item.high is not None else 1.0)


def _answered(study: Study) -> list[Item]:
    """The items that are rated case by case, on a scale."""
    there = set(study.ratings.loc[study.ratings["case"].notna(), "item"])
    return [item for item in study.items.values() if item.name in there and item.scale in AGREEMENT]


def _once(study: Study, item: Item) -> pd.DataFrame:
    table = study.table(item.name)
    return table[table["repeat"] == 0]


def _given(asked: dict[str, Any] | str, item: Item) -> dict[str, Any]:
    """The statistic's spec with the item's own categories, where it takes categories."""
    spec = {"name": asked} if isinstance(asked, str) else asked
    takes = "categories" in getattr(Statistic.catalogue[spec["name"]], "__dataclass_fields__", {})
    return {**spec, "categories": list(item.categories)} if takes and item.categories else spec
