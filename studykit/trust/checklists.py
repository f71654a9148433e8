"""Reporting lists (GRRAS, DECIDE-AI, CLAIM 2024, STARD-AI), filled in from a study as far as it has a record.

What the ratings cannot know (why so many readers, what is known already, funding) is "not recorded".
"""

from collections.abc import Callable

import pandas as pd

from studykit.catalog import check_choice
from studykit.trust.checklist_items import ITEMS, SOURCES
from studykit.trust.learning import Learning
from studykit.trust.reliance import Reliance
from studykit.trust.study import Study
from studykit.trust.sus import Sus

NOT_RECORDED = "not recorded"


def checklist(study: Study, name: str) -> pd.DataFrame:
    """A reporting list: item, section, asked (in our words), answer (from the study, or "not recorded").

    name: "GRRAS", "DECIDE-AI", "CLAIM 2024" or "STARD-AI"; where each stands is in `checklist_items.SOURCES`,
    and in `attrs["source"]` of the table. Answers from a simulated study say so. Raises InputError for an
    unknown list.
    """
    check_choice("reporting list", name, ITEMS)
    known = {what: fill(study) for what, fill in FILLED.items()}
    mark = "simulated: " if study.simulated else ""
    answers = [mark + known[what] if known.get(what) else NOT_RECORDED for *_, what in ITEMS[name]]
    table = pd.DataFrame([row[:3] for row in ITEMS[name]], columns=["item", "section", "asked"])
    table["answer"] = answers
    table.attrs["source"] = SOURCES[name]
    return table


def _counts(study: Study) -> str:
    ratings = study.ratings
    cases = ratings["case"].dropna()
    told = [_many(len(study.readers), "reader") if not study.anonymous else "anonymous readers"]
    told.append(_many(cases.nunique(), "case"))
    patients = study.cases.loc[study.cases["case"].isin(cases), "patient"].nunique()
    told += [_many(patients, "patient")] if patients else []
    told.append(_many(len(study.conditions), "condition"))
    told.append(_many(len(ratings), "rating"))
    again = int((ratings["repeat"].fillna(0) > 0).sum())
    return ", ".join([*told, f"{again} of them repetitions" if again else "none of them a repetition"])


def _scales(study: Study) -> str:
    there = set(study.ratings["item"])
    told = []
    for item in study.items.values():
        if item.name in there and item.role != "questionnaire" and item.scale != "text":
            ends = f", {item.categories[0]} to {item.categories[-1]}" if item.categories else ""
            told.append(f"{item.name} ({item.scale}{ends})")
    return "; ".join(told)


def _conditions(study: Study) -> str:
    return "conditions: " + ", ".join(map(str, study.conditions)) if study.conditions else ""


def _process(study: Study) -> str:
    ratings, told = study.ratings, []
    if (ratings["step"] == "first").any():
        told.append("first answers were given before the aid was seen")
    if ratings["order"].notna().any():
        told.append("the order of cases is recorded for each reader")
    sittings = ratings.groupby("reader", observed=True)["session"].nunique()
    if len(sittings) and sittings.max() > 0:
        count = str(sittings.max()) if sittings.nunique() == 1 else f"{sittings.min()} to {sittings.max()}"
        told.append(f"sittings a reader: {count}")
    return "; ".join(told)


def _truth(study: Study) -> str:
    truth = study.cases["truth"].dropna()
    if not len(truth) or truth.nunique() > 10:
        return ""
    counted = truth.astype(str).value_counts().sort_index()
    return "cases by truth: " + ", ".join(f"{name} {count}" for name, count in counted.items())


def _source(study: Study) -> str:
    return study.source


def _exposure(study: Study) -> str:
    aided = study.aids.loc[study.aids["aid"].notna(), ["case", "condition"]].drop_duplicates()
    readings = (
        study.ratings[["reader", "case", "condition", "repeat"]].dropna(subset=["case"]).drop_duplicates()
    )
    shown = len(readings.merge(aided, on=["case", "condition"]))
    return f"{shown} of {_many(len(readings), 'reading')} were with an aid" if shown else ""


def _reliance(study: Study) -> str:
    for item in study.of_role("answer"):
        table = study.table(item.name)
        table = table[(table["repeat"] == 0) & table["aid"].notna() & table["first"].notna()]
        if not len(table):
            continue
        told = Reliance(resamples=1)(table)
        told = told[told["group"] == "all"].set_index("statistic")["estimate"]
        parts = [
            f"{words} in {told[f'{name}, numerator']:.0f} of {told[f'{name}, denominator']:.0f} readings"
            for name, words in (
                ("agreement fraction", "final answer as the aid's"),
                ("switch fraction", "aid followed after disagreeing"),
                ("over-reliance", "wrong aid followed, first answer right"),
                ("under-reliance", "right aid left, first answer wrong"),
            )
            if f"{name}, numerator" in told
        ]
        if parts:
            return "; ".join(parts)
    return ""


def _questionnaires(study: Study) -> str:
    asked = {item.questionnaire for item in study.of_role("questionnaire") if item.questionnaire}
    return "questionnaires: " + ", ".join(sorted(asked)) if asked else ""


def _usability(study: Study) -> str:
    items = [item.name for item in study.of_role("questionnaire") if item.questionnaire == Sus.name]
    if not items:
        return ""
    told = Sus()(pd.concat([study.table(name) for name in items], ignore_index=True)).iloc[0]
    return _number("System Usability Scale", told)


def _learning(study: Study) -> str:
    for item in study.of_role("answer"):
        told = Learning()(study.table(item.name).query("repeat == 0")).set_index("statistic")
        names = [name for name in told.index if name.endswith("per 10 cases") and "rating" not in name]
        found = [_number(name, told.loc[name]) for name in names if pd.notna(told.at[name, "estimate"])]
        if found:
            return "; ".join(found)
    return ""


def _number(name: str, told: pd.Series) -> str:
    if pd.isna(told["estimate"]):
        return ""
    ends = f" ({told['low']:.3g} to {told['high']:.3g})" if pd.notna(told["low"]) else ""
    return f"{name} {told['estimate']:.3g}{ends}, {_many(int(told['n']), 'reader')}"


def _many(count: int, word: str) -> str:
    return f"{count} {word}{'' if count == 1 else 's'}"


FILLED: dict[str, Callable[[Study], str]] = {
    "counts": _counts, "scales": _scales, "conditions": _conditions, "process": _process, "truth": _truth,
    "source": _source, "exposure": _exposure, "reliance": _reliance, "questionnaires": _questionnaires,
    "usability": _usability, "learning": _learning,
}  # fmt: skip
