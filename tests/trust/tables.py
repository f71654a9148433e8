"""Tables of ratings for the contract tests: one that is well, and the many ways in which it is not."""

import itertools

import numpy as np
import pandas as pd

from studykit.trust.statistic import WORDS

COUNTS = {"reader": 6, "case": 16, "condition": 2, "item": 12, "repeat": 2, "coder": 2}
CODES = ("unclear border", "calcium", "artefact")


def well(statistic, seed=0):
    """A table that holds all that a statistic wants and uses, crossed in full."""
    rng = np.random.default_rng(seed)
    wanted = [*statistic.wants, *statistic.uses]
    asked = getattr(statistic, "items", None)
    counts = {**COUNTS, "item": len(asked) if asked else COUNTS["item"]}
    crossed = [name for name in counts if name in statistic.wants or name == "reader" and name in wanted]
    levels = [[f"{name}{k + 1}" if name != "repeat" else k for k in range(counts[name])] for name in crossed]
    if asked and "item" in crossed:
        levels[crossed.index("item")] = list(asked)
    table = pd.DataFrame(list(itertools.product(*levels)), columns=crossed)
    n = len(table)
    binary = "first" in wanted or statistic.kinds == ("nominal",)
    number = {name: k for k, name in enumerate(dict.fromkeys(table["case"]))} if "case" in table else {}
    truth = np.array([number[case] % 2 for case in table["case"]]) if number else rng.integers(0, 2, n)
    each = 1 if statistic.name == "dbm" else 2  # cases of a patient; dbm refuses several
    made = {
        "patient": [f"p{number[case] // each}" for case in table["case"]]
        if number
        else rng.integers(0, 4, n),
        "rating": np.where(rng.random(n) < 0.7, truth, 1 - truth) if binary else _graded(table, truth, rng),
        "first": np.where(rng.random(n) < 0.6, truth, 1 - truth),
        "aid": [(t if number.get(c, 0) % 5 else 1 - t) for t, c in zip(truth, table.get("case", truth))],
        "truth": truth,
        "correct": rng.random(n) < 0.7,
        "repeat": 0,
        "order": [number[case] for case in table["case"]] if number else np.arange(n),
        "session": "s1",
        "elapsed": np.exp(rng.normal(3, 0.4, n)),
        "code": rng.choice(CODES, n),
        "reader": "reader1",
        "condition": "condition1",
    }
    for name in wanted:
        if name not in table:
            table[name] = made[name]
    assert set(wanted) <= set(WORDS)
    return table


def _graded(table, truth, rng):
    """1 to 5, higher where the truth is 1, alike among readers."""
    of_case = {case: rng.normal() for case in dict.fromkeys(table.get("case", table.index))}
    own = np.array([of_case[case] for case in table.get("case", table.index)])
    return np.clip(np.round(3 + 0.8 * own + truth - 0.5 + rng.normal(0, 0.5, len(table))), 1, 5).astype(int)


def _only(column, keep=1):
    def change(table):
        first = list(dict.fromkeys(table[column]))[:keep]
        return table[table[column].isin(first)]

    return column, change


def _all(column, value):
    def change(table):
        return table.assign(**{column: value})

    return column, change


def _some(column, value, share, seed=1):
    def change(table):
        hit = np.random.default_rng(seed).random(len(table)) < share
        return table.assign(**{column: table[column].astype(object).mask(hit, value)})

    return column, change


def _whole(change):
    return "", change


def _thinned(share):
    return _whole(lambda t: t[np.random.default_rng(2).random(len(t)) < share])


def _disjoint(table):
    """Every reader has cases of his own."""
    names = {reader: k for k, reader in enumerate(dict.fromkeys(table["reader"]))}
    place = {case: k for k, case in enumerate(dict.fromkeys(table["case"]))}
    own = [names[r] == place[c] % len(names) for r, c in zip(table["reader"], table["case"])]
    return table[own]


def _one_case_each(table):
    place = {case: k for k, case in enumerate(dict.fromkeys(table["case"]))}
    names = {reader: k for k, reader in enumerate(dict.fromkeys(table["reader"]))}
    return table[[names[r] == place[c] for r, c in zip(table["reader"], table["case"])]]


# {what is wrong: (the column that it needs, "" for any; what is done to the table)}
WRONG = {
    "no rows": _whole(lambda t: t.iloc[:0]),
    "one row": _whole(lambda t: t.iloc[:1]),
    "two rows": _whole(lambda t: t.iloc[:2]),
    "half the rows": _thinned(0.5),
    "few rows": _thinned(0.06),
    "twice the rows": _whole(lambda t: pd.concat([t, t])),
    "one reader": _only("reader"),
    "two readers": _only("reader", 2),
    "one case": _only("case"),
    "two cases": _only("case", 2),
    "one condition": _only("condition"),
    "one item": _only("item"),
    "one coder": _only("coder"),
    "one repeat": _only("repeat"),
    "one category": _all("rating", 1),
    "one category in words": _all("rating", "benign"),
    "words": ("rating", lambda t: t.assign(rating=np.where(np.arange(len(t)) % 3, "benign", "malignant"))),
    "numbers as words": ("rating", lambda t: t.assign(rating=t["rating"].astype(str))),
    "a category with order": (
        "rating",
        lambda t: t.assign(rating=pd.Categorical(t["rating"], categories=range(7), ordered=True)),
    ),
    "an unseen category": _some("rating", 99, 0.1),
    "mixed kinds": _some("rating", "unsure", 0.1),
    "all missing": _all("rating", np.nan),
    "all None": _all("rating", None),
    "most missing": _some("rating", np.nan, 0.9),
    "some missing": _some("rating", np.nan, 0.2),
    "infinite": ("rating", lambda t: t.assign(rating=np.where(np.arange(len(t)) % 7, 1.0, np.inf))),
    "huge": ("rating", lambda t: t.assign(rating=t["rating"] * 1e300)),
    "huge and far apart": (
        "rating",
        lambda t: t.assign(rating=np.where(np.arange(len(t)) % 2, 1e308, -1e308)),
    ),
    "infinite among objects": _some("rating", np.inf, 0.1),
    "too large for a float": _some("rating", 10**400, 0.1),
    "complex": ("rating", lambda t: t.assign(rating=np.arange(len(t)) * 1j)),
    "lists as ratings": ("rating", lambda t: t.assign(rating=[[1]] * len(t))),
    "lists as readers": ("reader", lambda t: t.assign(reader=[[1]] * len(t))),
    "lists as cases": ("case", lambda t: t.assign(case=[[1]] * len(t))),
    "tiny": ("rating", lambda t: t.assign(rating=t["rating"] * 1e-300)),
    "negative": ("rating", lambda t: t.assign(rating=-t["rating"].astype(float))),
    "truth of one class": _all("truth", 1),
    "truth of three classes": ("truth", lambda t: t.assign(truth=np.arange(len(t)) % 3)),
    "no truth": _all("truth", np.nan),
    "truth of some": _some("truth", np.nan, 0.4),
    "never correct": _all("correct", False),
    "correct unknown": _all("correct", np.nan),
    "aid unknown": _all("aid", None),
    "no first answer": _all("first", np.nan),
    "anonymous": _all("reader", np.nan),
    "half anonymous": _some("reader", np.nan, 0.5),
    "cases without a name": _some("case", np.nan, 0.3),
    "conditions without a name": _all("condition", None),
    "no time": _all("elapsed", np.nan),
    "time of zero": _all("elapsed", 0.0),
    "negative time": _all("elapsed", -1.0),
    "order unknown": _all("order", np.nan),
    "all in the first place": _all("order", 0),
    "one patient": _all("patient", "p"),
    "patient unknown": _all("patient", None),
    "one code": _all("code", "calcium"),
    "no code": _all("code", None),
}
CROSSING = {"every reader his own cases": _disjoint, "one case each": _one_case_each}


def wrong_tables(statistic):
    """{what is wrong: the table}, of all that can go wrong with what a statistic wants."""
    table, wanted = well(statistic), {*statistic.wants, *statistic.uses, ""}
    for name, (column, change) in WRONG.items():
        if column in wanted:
            yield name, change(table)
    if {"reader", "case"} <= set(statistic.wants):
        for name, change in CROSSING.items():
            yield name, change(table)
