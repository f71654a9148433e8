"""Learning: slopes against statsmodels, reader by reader, and a made drift that is found."""

import numpy as np
import pandas as pd
import pytest
import statsmodels.formula.api as formula
from scipy import stats

from studykit.trust.learning import Learning
from tests.trust.telling import value


def session(seed=0, readers=6, cases=40, drift=0.0, conditions=2):
    """Each reader sees the cases in an order of his own; ratings and log times drift by `drift` a case."""
    rng = np.random.default_rng(seed)
    rows = []
    for reader in range(readers):
        for order, case in enumerate(rng.permutation(cases)):
            truth, condition = case % 2, rng.integers(conditions)
            right = rng.random() < 0.5 + drift * order
            seconds = np.exp(3 - drift * order + 0.5 * condition + rng.normal(0, 0.2))
            rating = truth if right else 1 - truth
            rows.append((f"r{reader}", f"c{case}", f"k{condition}", order, rating, truth, seconds))
    return pd.DataFrame(rows, columns=["reader", "case", "condition", "order", "rating", "truth", "elapsed"])


def test_slopes_are_those_of_a_regression_for_each_reader():
    table = session(drift=0.005)
    told = Learning()(table)
    table = table.assign(
        right=(table["rating"] == table["truth"]).astype(float), log=np.log(table["elapsed"])
    )
    for column, name, change in (
        ("right", "change in accuracy per 10 cases", lambda x: x),
        ("log", "time ratio per 10 cases", np.exp),
        ("rating", "change in rating per 10 cases", lambda x: x),
    ):
        slopes = [
            10 * formula.ols(f"{column} ~ order + condition", part).fit().params["order"]
            for _, part in table.groupby("reader")
        ]
        assert value(told, name) == pytest.approx(change(np.mean(slopes)))
        ends = stats.t.interval(0.95, 5, np.mean(slopes), stats.sem(slopes))
        assert [value(told, name, column=of) for of in ("low", "high")] == pytest.approx(
            change(np.array(ends))
        )
    steps = [
        formula.ols("log ~ late + condition", part.assign(late=part["order"] > 19.5))
        .fit()
        .params["late[T.True]"]
        for _, part in table.groupby("reader")
    ]
    assert value(told, "time ratio, second half to first") == pytest.approx(np.exp(np.mean(steps)))


def test_a_drift_is_found_and_none_where_there_is_none():
    told = Learning()(session(1, readers=10, cases=60, drift=0.008))
    assert value(told, "time ratio per 10 cases") == pytest.approx(np.exp(-0.08), abs=0.01)
    assert value(told, "change in accuracy per 10 cases") == pytest.approx(0.08, abs=0.03)
    assert value(told, "change in accuracy per 10 cases", column="low") > 0
    assert value(told, "change in accuracy, second half minus first", column="low") > 0
    hits = 0
    for seed in range(100):
        still = Learning()(session(seed, readers=5, cases=20))
        low, high = (value(still, "time ratio per 10 cases", column=of) for of in ("low", "high"))
        hits += low <= 1 <= high
    assert hits / 100 >= 0.88


def test_sittings_and_conditions_are_held_fixed():
    table = session(2, conditions=1)
    apart = [
        table,
        table.assign(order=table["order"], elapsed=5 * table["elapsed"], case=table["case"] + "b"),
    ]
    both = pd.concat([part.assign(session=f"s{k}") for k, part in enumerate(apart)])
    one = Learning()(table)
    name = "time ratio per 10 cases"
    assert value(Learning()(both), name) == pytest.approx(value(one, name))
    later = table.assign(condition="aid", order=table["order"] + 40, elapsed=table["elapsed"] / 9)
    assert value(Learning()(pd.concat([table, later])), name) == pytest.approx(value(one, name))


def test_says_why_not():
    table = session()
    told = Learning()(table.drop(columns=["truth", "elapsed"]))
    assert value(told, "change in accuracy per 10 cases", column="why") == "there is no truth"
    assert value(told, "time ratio, second half to first", column="why") == "there is no elapsed"
    assert np.isfinite(value(told, "change in rating per 10 cases"))
    words = {0: "benign", 1: "malignant"}
    told = Learning()(table.assign(rating=table["rating"].map(words)))
    assert "write both alike" in value(told, "change in accuracy per 10 cases", column="why")
    assert "is no number" in value(told, "change in rating per 10 cases", column="why")
    still = Learning()(table.assign(order=3))
    assert value(still, "time ratio per 10 cases", column="why") == (
        "no reader has two readings in different places"
    )
    assert Learning()(table.assign(order=np.nan))["why"].tolist() == ["no reading has a place in the session"]
    one = Learning()(table[table["reader"] == "r0"])
    assert value(one, "time ratio per 10 cases", column="why") == "one reader gives no interval over readers"
