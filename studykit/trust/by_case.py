"""Which cases do readers disagree about, get wrong, or believe a wrong aid in? A row a case."""

import numpy as np
import pandas as pd

from studykit.trust.item import Item
from studykit.trust.reliance import check_alike, equal
from studykit.trust.results import first_readings
from studykit.trust.statistic import NotEstimable
from studykit.trust.study import Study

COLUMNS = ["case", "readers", "disagreement", "wrong", "aid_wrong", "followed", "trust"]


def by_case(study: Study) -> pd.DataFrame:
    """What readers made of each case of a study: COLUMNS, a row a case; never an error.

    Answers are final ones to the study's first item of role "answer"; of a case that was read twice under a
    condition, the first reading counts.
    readers: how many rated the case; of readers who are not named, most ratings of an item in a condition.
    disagreement: the share of pairs of readers whose answers differ, the mean over conditions with two
    readers or more. wrong: the share of answers that are not the truth. aid_wrong: whether in a condition in
    which the case was read the aid was planted wrong or is not the truth. followed: of the readings with such
    an aid, the share whose answer is that aid. trust: the mean rating of the items of role "trust" (where
    there are none, "trust in the aid") from 0 to 1, over the readings with a wrong aid where there are such.
    NaN where nothing can be said; so is what is held against truths that are written otherwise (1 and "1").
    """
    rated = study.ratings[study.ratings["case"].notna()]
    cases = list(dict.fromkeys([*study.cases["case"], *rated["case"]]))
    answers, aids = answers_of(study), aids_of(study)
    bad = answers[answers["bad"] & answers["rating"].notna()]
    told = {
        "readers": _readers(study, rated),
        "disagreement": _disagreement(answers),
        "wrong": _share(
            answers, ~equal(answers["rating"], answers["truth"]), _known(study, answers, "rating")
        ),
        "aid_wrong": aids[aids["bad"]].groupby("case", sort=False)["bad"].any(),
        "followed": _share(bad, equal(bad["rating"], bad["aid"]), np.ones(len(bad), bool)),
        "trust": mean_trust(study, "trust" if study.of_role("trust") else "trust in the aid"),
    }
    table = pd.DataFrame({name: some.reindex(cases) for name, some in told.items()}, index=cases)
    table = table.astype(dict.fromkeys(("disagreement", "wrong", "followed", "trust"), float))
    table["readers"] = table["readers"].fillna(0).astype(int)
    table["aid_wrong"] = table["aid_wrong"].notna()
    return table.rename_axis("case").reset_index()[COLUMNS]


def answers_of(study: Study) -> pd.DataFrame:
    """The final answers of first readings, columns as `Study.table`, and `bad`: whether the aid was wrong.

    Of a question that is asked before the aid only, there is no aid. No rows where nothing asks for answers.
    """
    items = study.of_role("answer")
    if items:
        return _read(study, items[0])
    columns = [*study.ratings.columns, *study.cases.columns, *study.aids.columns, "bad"]
    return pd.DataFrame(columns=list(dict.fromkeys(columns))).astype({"bad": bool})


def aids_of(study: Study) -> pd.DataFrame:
    """case, condition, aid and truth of what was read with an aid; `bad`: planted wrong, or not the truth."""
    read = study.ratings.loc[study.ratings["case"].notna(), ["case", "condition"]].drop_duplicates()
    aids = read.astype(object).merge(study.aids.astype(object), on=["case", "condition"])
    aids = aids.merge(study.cases[["case", "truth"]].astype({"case": object}), on="case", how="left")
    planted = aids["wrong"].map(lambda value: value is not None and value == value and bool(value))
    untrue = ~equal(aids["aid"], aids["truth"]) & _known(study, aids, "aid")
    return aids.assign(bad=(planted & aids["aid"].notna()).to_numpy(dtype=bool) | untrue)


def mean_trust(study: Study, role: str) -> pd.Series:
    """Of each case: the mean rating of the items of a role, from 0 to 1; see `by_case`."""
    rows = trust_of(study, role)
    warned = rows.groupby("case", sort=False)["bad"].transform("any")
    return rows[rows["bad"] | ~warned].groupby("case", sort=False)["trust"].mean()


def trust_of(study: Study, role: str) -> pd.DataFrame:
    """A row a rating of the items of a role in a case: case, aid, bad (as `answers_of`), trust (0 to 1)."""
    tables = [pd.DataFrame(columns=["case", "aid", "bad", "trust"]).astype({"bad": bool, "trust": float})]
    for item in study.of_role(role):
        table, (low, high) = _read(study, item), item.ends
        ratings = table["rating"].cat.codes + 1 if item.graded else table["rating"]
        scaled = (pd.to_numeric(ratings, errors="coerce").astype(float) - low) / (high - low)
        scaled = scaled.where(table["rating"].notna() & scaled.between(0, 1))  # beyond its ends: no scale
        rows = table[["case", "aid", "bad"]].astype({"case": object, "aid": object})
        tables.append(rows.assign(trust=scaled))
    return pd.concat(tables[1:] or tables, ignore_index=True).dropna(subset=["case", "trust"])


def _read(study: Study, item: Item) -> pd.DataFrame:
    """First readings of an item with `bad`, whether the aid that was seen was wrong."""
    table = first_readings(study.table(item.name))
    if item.asked == "first":
        table = table.assign(aid=np.nan, wrong=np.nan)
    aids = aids_of(study)
    bad = set(aids.loc[aids["bad"], ["case", "condition"]].itertuples(index=False, name=None))
    pairs = zip(table["case"], table["condition"], table["aid"].notna(), strict=True)
    return table.assign(bad=[seen and (case, condition) in bad for case, condition, seen in pairs])


def _readers(study: Study, rated: pd.DataFrame) -> pd.Series:
    given = rated[rated["rating"].notna()]
    if not study.anonymous:
        return given.groupby("case", sort=False)["reader"].nunique()
    of_one = given.groupby(["case", "condition", "item", "step", "repeat"], sort=False, dropna=False).size()
    return of_one.groupby("case", sort=False).max()


def _disagreement(answers: pd.DataFrame) -> pd.Series:
    given = answers[answers["rating"].notna() & answers["case"].notna()].astype({"rating": object})
    alike = given.groupby(["case", "condition", "rating"], sort=False, dropna=False).size()
    within = alike.groupby(["case", "condition"], sort=False, dropna=False)
    n, same = (
        within.sum(),
        (alike * (alike - 1)).groupby(["case", "condition"], sort=False, dropna=False).sum(),
    )
    differ = 1 - same[n > 1] / (n * (n - 1))[n > 1]
    return differ.groupby("case", sort=False).mean()


def _share(rows: pd.DataFrame, which: np.ndarray, of: np.ndarray) -> pd.Series:
    """Of each case: in how many of the rows `of` it is so."""
    return pd.Series(which[of], dtype=float).groupby(rows["case"].to_numpy()[of], sort=False).mean()


def _known(study: Study, rows: pd.DataFrame, column: str) -> np.ndarray:
    """(n,): which rows have a truth to hold a column against; none where truths are written otherwise."""
    answers = [item.name for item in study.of_role("answer")[:1]]
    given = study.ratings.loc[study.ratings["item"].isin(answers), "rating"]
    try:
        check_alike(study.cases["truth"], pd.concat([given, study.aids["aid"]]).astype(object))
    except NotEstimable:
        return np.zeros(len(rows), bool)
    return (rows["truth"].notna() & rows[column].notna()).to_numpy()
