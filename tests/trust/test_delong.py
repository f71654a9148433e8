"""DeLong's test against its definition by loops, and against the difference of two samples."""

import itertools

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from studykit.trust.delong import DeLong
from studykit.trust.roe_metz import roe_metz
from tests.trust.test_mrmc import ends, real_data, value, van_dyke


def slow(first, second, truth):
    """AUCs and covariance matrix of two ratings of the same cases, by the equations of the paper."""

    def won(x, y):
        return 1 if x > y else 0.5 if x == y else 0

    positive, negative = [k for k, t in enumerate(truth) if t], [k for k, t in enumerate(truth) if not t]
    m, n = len(positive), len(negative)
    ratings = (first, second)
    areas = [sum(won(r[i], r[j]) for i in positive for j in negative) / m / n for r in ratings]
    v10 = [[sum(won(r[i], r[j]) for j in negative) / n for i in positive] for r in ratings]
    v01 = [[sum(won(r[i], r[j]) for i in positive) / m for j in negative] for r in ratings]
    by = np.empty((2, 2))
    for a, b in itertools.product(range(2), range(2)):
        s10 = sum((x - areas[a]) * (y - areas[b]) for x, y in zip(v10[a], v10[b])) / (m - 1)
        s01 = sum((x - areas[a]) * (y - areas[b]) for x, y in zip(v01[a], v01[b])) / (n - 1)
        by[a, b] = s10 / m + s01 / n
    return areas, by


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10**6), st.booleans())
def test_is_the_definition(seed, binned):
    table = roe_metz(2, 8, 11, (0.7, 0.8), seed=seed, binned=binned)
    told = DeLong()(table)
    for reader, mine in table.groupby("reader"):
        wide = mine.pivot(index="case", columns="condition", values="rating")
        truth = mine.groupby("case")["truth"].first().to_numpy()
        areas, by = slow(*wide.to_numpy().T, truth)
        pair = f"{reader}: condition 1 - condition 2"
        for k, condition in enumerate(wide.columns):
            assert value(told, "AUC", f"{reader}, {condition}") == pytest.approx(areas[k], abs=1e-12)
            if by[k, k] > 1e-15:
                error = value(told, "standard error of AUC", f"{reader}, {condition}")
                assert error == pytest.approx(np.sqrt(by[k, k]), rel=1e-9)
        variance = by[0, 0] + by[1, 1] - 2 * by[0, 1]
        if variance > 1e-15:
            z = (areas[0] - areas[1]) / np.sqrt(variance)
            assert value(told, "z of AUC difference", pair) == pytest.approx(z, rel=1e-9)
            assert value(told, "p of AUC difference", pair) == pytest.approx(
                2 * stats.norm.sf(abs(z)), rel=1e-9
            )
            wide = stats.norm.ppf(0.975) * np.sqrt(variance)
            gap = areas[0] - areas[1]
            assert ends(told, "AUC difference", pair) == pytest.approx((gap - wide, gap + wide), rel=1e-9)


@real_data
def test_van_dykes_readers():
    told = DeLong()(van_dyke())
    assert value(told, "AUC", "4, 2") == pytest.approx(0.99935588, abs=5.1e-9)
    assert ends(told, "AUC", "4, 2")[1] == 1  # not above 1
    assert value(told, "z of AUC difference", "1: 1 - 2") == pytest.approx(-1.1111, abs=5.1e-5)


def test_different_cases_have_no_covariance():
    table = roe_metz(1, 15, 15, (0.7, 0.8), seed=3, design="cases nested")
    told = DeLong()(table)
    errors = told[told["statistic"] == "standard error of AUC"]["estimate"]
    wanted = np.sqrt((errors**2).sum())
    assert value(told, "standard error of AUC difference") == pytest.approx(wanted, rel=1e-12)


def test_what_it_cannot_tell():
    table = roe_metz(2, 8, 8, seed=4)
    perfect = DeLong()(table.assign(rating=table["truth"]))
    assert (perfect["why"] != "").all() and perfect["low"].isna().all()
    one_class = DeLong()(table[(table["truth"] == 1) | (table["reader"] == "reader 2")])
    lost = one_class[one_class["group"].str.startswith("reader 1")]
    assert lost["estimate"].isna().all() and lost["why"].str.contains("no cases of a class").all()
    assert value(one_class, "AUC", "reader 2, condition 1") > 0.5
    single = DeLong()(table[table["condition"] == "condition 1"])
    assert set(single["statistic"]) == {"AUC", "standard error of AUC"}


def test_cases_of_a_patient_move_together():
    table = roe_metz(1, 15, 15, seed=5)
    copies = pd.concat([table.assign(case=table["case"] + c, patient=table["case"]) for c in "ab"])
    pd.testing.assert_series_equal(DeLong()(table)["low"], DeLong()(copies)["low"])
