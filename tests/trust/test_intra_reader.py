"""Intra-reader agreement is agreement of a reader's first and second reading."""

import numpy as np
import pandas as pd
import pingouin
import pytest
from scipy import stats
from sklearn.metrics import cohen_kappa_score

from studykit.trust.icc import FORMS, Icc
from studykit.trust.intra_reader import IntraReader
from tests.trust.agreement_tables import drawn, long, value


def readings(*each):
    """The long table of readings, each (readers, cases)."""
    return pd.concat([long(x).assign(repeat=k) for k, x in enumerate(each)], ignore_index=True)


def seen_again(x, seed=0, change=0.2):
    rng = np.random.default_rng(seed)
    return np.where(rng.random(x.shape) < change, rng.integers(0, 4, x.shape), x)


@pytest.mark.parametrize(
    ("scale", "weights", "name"),
    [
        ("nominal", None, "Cohen's kappa"),
        ("ordinal", "quadratic", "Cohen's kappa (quadratic weights)"),
    ],
)
def test_kappa_of_each_reader_is_scikit_learn_s(scale, weights, name):
    x = drawn(0, 3, 40, 4)
    again = seen_again(x)
    told = IntraReader(scale=scale)(readings(x, again))
    each = [cohen_kappa_score(a, b, weights=weights) for a, b in zip(x, again)]
    for reader in range(3):
        assert value(told, name, group=str(reader)) == pytest.approx(each[reader], abs=1e-12)
        same = (x[reader] == again[reader]).mean()
        assert value(told, "percent agreement", group=str(reader)) == pytest.approx(same)
    assert value(told, name, group="mean over readers") == pytest.approx(np.mean(each))
    assert value(told, name, "n", group="mean over readers") == 3


@pytest.mark.filterwarnings("ignore")  # pingouin's
@pytest.mark.parametrize("scale", ["interval", "ratio"])
def test_icc_of_each_reader_is_pingouin_s(scale):
    rng = np.random.default_rng(1)
    x = rng.normal(5, 1, (2, 25))
    again = x + rng.normal(0.2, 0.4, x.shape)
    told = IntraReader(scale=scale)(readings(x, again))
    for reader in range(2):
        table = long(np.stack([x[reader], again[reader]]))
        theirs = pingouin.intraclass_corr(table, targets="case", raters="reader", ratings="rating")
        wanted = theirs.set_index("Type").loc["ICC(A,1)", "ICC"]
        assert value(told, "ICC(2,1)", group=str(reader)) == pytest.approx(wanted, abs=1e-10)


def test_of_three_readings_kappa_is_told_for_each_two():
    x = drawn(2, 1, 40, 4)
    told = IntraReader(scale="nominal")(readings(x, seen_again(x, 1), seen_again(x, 2)))
    groups = told.loc[told["statistic"] == "Cohen's kappa", "group"].tolist()
    assert groups == ["0, readings 0, 1", "0, readings 0, 2", "0, readings 1, 2", "mean over readers"]


def test_a_reader_who_read_nothing_twice_is_told_beside_the_others():
    x = drawn(3, 3, 30, 3)
    table = readings(x, seen_again(x))
    table = table[(table["reader"] != 1) | (table["repeat"] == 0)]
    told = IntraReader(scale="nominal")(table)
    assert np.isnan(value(told, "Cohen's kappa", group="1"))
    assert "read no case twice" in value(told, "Cohen's kappa", "why", group="1")
    assert value(told, "Cohen's kappa", "n", group="mean over readers") == 2


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda t: t[t["repeat"] == 0], "no case was read twice"),
        (lambda t: t.assign(repeat=t["repeat"].where(t.index > 3)), "have no repeat"),
        (lambda t: t.assign(reader=np.nan), "anonymous"),
        (lambda t: t.assign(rating=9), "none of the categories"),
        (lambda t: t.iloc[:0], "no ratings"),
    ],
)
def test_what_cannot_be_told_says_why(change, why):
    x = drawn(4, 2, 12, 3)
    told = IntraReader(categories=(0, 1, 2))(change(readings(x, seen_again(x) % 3)))
    told = told[told["statistic"] != "percent agreement"]
    assert told["estimate"].isna().all() and why in told["why"].iloc[0]


def test_the_scale_of_all_readers_is_one_scale():
    """Words need their order; a reader who used two grades of three is compared on all three."""
    words = np.array(["none", "mild", "severe"])
    x = np.array([[0, 2, 1, 0, 2, 1, 0, 2], [0, 2, 2, 0, 2, 2, 0, 0]])
    again = np.array([[0, 2, 1, 1, 2, 0, 0, 2], [0, 2, 0, 0, 2, 2, 2, 0]])
    assert "order" in IntraReader()(readings(words[x], words[again]))["why"].iloc[0]
    told = IntraReader(categories=("none", "mild", "severe"))(readings(words[x], words[again]))
    name = "Cohen's kappa (quadratic weights)"
    for reader in range(2):
        wanted = cohen_kappa_score(x[reader], again[reader], weights="quadratic", labels=[0, 1, 2])
        assert value(told, name, group=str(reader)) == pytest.approx(wanted, abs=1e-12)


def measured(seed=5):
    rng = np.random.default_rng(seed)
    x = rng.normal(5, 1, (2, 20))
    return readings(*(x + rng.normal(0, 0.4, x.shape) for _ in range(3)))


@pytest.mark.parametrize("scale", ["interval", "ratio"])
def test_icc_takes_the_cases_that_a_reader_read_every_time(scale):
    table = measured()
    some = table[(table["repeat"] == 0) | (table["case"] < 8 + table["reader"])]
    told = IntraReader(scale=scale)(some)
    for reader in range(2):
        whole = some[(some["reader"] == reader) & (some["case"] < 8 + reader)]
        wanted = value(Icc()(whole.assign(reader=whole["repeat"])), "ICC(2,1)", group=FORMS["ICC(2,1)"])
        assert value(told, "ICC(2,1)", group=str(reader)) == pytest.approx(wanted)
        assert value(told, "ICC(2,1)", "n", group=str(reader)) == 8 + reader
    apart = table[(table["repeat"] != 1) | (table["case"] < 9)]
    never = IntraReader(scale=scale)(apart[(apart["repeat"] != 2) | (apart["case"] >= 9)])
    assert value(never, "ICC(2,1)", "why", group="0") == "no case was read every time"
    assert value(never, "within-reader standard deviation", "n", group="0") == 20


def test_repeatability_is_the_scatter_within_cases():
    table = measured()
    some = table[(table["repeat"] == 0) | (table["case"] < 8)].assign(patient=lambda t: t["case"])
    told = IntraReader(scale="interval")(some)
    name = "within-reader standard deviation"
    for reader, own in some.groupby("reader"):
        squares = sum(((mine - mine.mean()) ** 2).sum() for _, mine in own.groupby("case")["rating"])
        spread = np.sqrt(squares / 16)  # eight cases, read three times
        assert value(told, name, group=str(reader)) == pytest.approx(spread)
        limits = value(told, "limits of agreement, plus or minus", group=str(reader))
        assert limits == pytest.approx(1.96 * np.sqrt(2) * spread)
        ends = [value(told, name, of, group=str(reader)) for of in ("low", "high")]
        assert [16 * (spread / end) ** 2 for end in ends] == pytest.approx(stats.chi2.ppf([0.975, 0.025], 16))
    assert "percent agreement" not in set(told["statistic"])
    pairs = IntraReader(scale="interval")(some.assign(patient=some["case"] // 2))
    assert value(pairs, name, group="0") == value(told, name, group="0")
    assert np.isnan(value(pairs, name, "low", group="0"))
    assert "one patient" in value(pairs, name, "why", group="0")
    twice = readings(np.arange(12.0).reshape(2, 6), np.arange(12.0).reshape(2, 6))
    assert "read alike" in value(IntraReader(scale="ratio")(twice), name, "why", group="0")
