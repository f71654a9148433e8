"""MRMC against printed output of Van Dyke's study, a slow twin by loops, and tables that tell nothing."""

import itertools
import os
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from studykit.catalog import InputError
from studykit.trust.delong import DeLong
from studykit.trust.mrmc import Mrmc
from studykit.trust.roe_metz import roe_metz
from tests.trust.tables import wrong_tables

real_data = pytest.mark.real_data
COVARIANCES = ("jackknife", "delong", "bootstrap")


def folder():
    return Path(os.environ["STUDYKIT_DATA"]) / "readers"


def van_dyke():
    return pd.read_csv(folder() / "mrmc" / "VanDyke.csv").rename(columns={"treatment": "condition"})


def value(told, statistic, group=None, column="estimate"):
    """One number of a table of estimates."""
    rows = told[told["statistic"] == statistic]
    if group is not None:
        rows = rows[rows["group"] == group]
    assert len(rows) == 1, (statistic, group, list(rows["group"]))
    return rows[column].iloc[0]


def ends(told, statistic, group=None):
    return value(told, statistic, group, "low"), value(told, statistic, group, "high")


# ---- Printed values: the specification's, and OR-DBM MRMC 2.51 (University of Iowa), trapezoid, jackknife

PRINTED = {
    "MS(T)": 0.00479617, "MS(R)": 0.00383620, "MS(TR)": 0.00055103,
    "Var(R)": 0.00153500, "Var(TR)": 0.00020040, "Var": 0.00080229,
    "Cov1": 0.00034661, "Cov2": 0.00034407, "Cov3": 0.00023903,
}  # fmt: skip
AREAS = {
    1: (0.91964573, 0.85877617, 0.90386473, 0.97310789, 0.82979066),
    2: (0.94782609, 0.90531401, 0.92173913, 0.99935588, 0.92995169),
}
# {condition: {analysis: (standard error, low, high)}}
SINGLE = {
    1: {
        "RRRC": (0.03317360, 0.82522360, 0.96885048),
        "FRRC": (0.02428971, 0.84943008, 0.94464399),
        "RRFC": (0.02482994, 0.82809808, 0.96597599),
    },
    2: {
        "RRRC": (0.02156637, 0.89413783, 0.98753689),
        "FRRC": (0.01677632, 0.90795637, 0.97371835),
        "RRFC": (0.01615303, 0.89598936, 0.98568536),
    },
}
# {analysis: (standard error, low, high, p)} of 1 - 2
DIFFERENCE = {
    "RRRC": (0.02075, -0.08796, 0.00036, 0.0517),
    "FRRC": (0.01872, -0.08049, -0.00711, 0.0193),
    "RRFC": (0.01485, -0.08502, -0.00258, 0.0420),
}
# {reader: (difference, standard error, z, p, low, high)}
READERS = {
    1: (-0.02818, 0.02551, -1.10, 0.2693, -0.07818, 0.02182),
    2: (-0.04654, 0.02630, -1.77, 0.0768, -0.09809, 0.00501),
    3: (-0.01787, 0.03121, -0.57, 0.5668, -0.07904, 0.04330),
    4: (-0.02625, 0.01729, -1.52, 0.1290, -0.06014, 0.00764),
    5: (-0.10016, 0.04406, -2.27, 0.0230, -0.18651, -0.01381),
}


@real_data
def test_van_dyke_is_what_is_printed():
    told = Mrmc()(van_dyke())
    for name, wanted in PRINTED.items():
        assert value(told, name) == pytest.approx(wanted, abs=5.1e-9), name
    for condition, areas in AREAS.items():
        for reader, wanted in enumerate(areas, 1):
            assert value(told, "AUC", f"{reader}, {condition}") == pytest.approx(wanted, abs=5.1e-9)
    assert value(told, "F (RRRC)") == pytest.approx(4.456319, abs=5.1e-7)
    assert value(told, "df (RRRC)") == pytest.approx(15.25967, abs=5.1e-6)
    assert value(told, "p (RRRC)") == pytest.approx(0.05166569, abs=5.1e-9)
    assert value(told, "AUC difference (RRRC)") == pytest.approx(-0.04380032, abs=5.1e-9)
    assert value(told, "standard error of AUC difference (RRRC)") == pytest.approx(0.02074862, abs=5.1e-9)
    assert value(told, "chi2 (FRRC)") == pytest.approx(5.47595, abs=5.1e-6)
    assert value(told, "p (FRRC)") == pytest.approx(0.01928, abs=5.1e-6)
    assert value(told, "F (RRFC)") == pytest.approx(8.7040, abs=5.1e-5)
    assert (value(told, "numerator df (RRFC)"), value(told, "df (RRFC)")) == (1, pytest.approx(4))
    assert value(told, "p (RRFC)") == pytest.approx(0.0420, abs=5.1e-5)
    assert value(told, "design", column="group") == "fully crossed"


@real_data
def test_van_dykes_intervals_are_what_iowa_prints():
    told = Mrmc()(van_dyke())
    for analysis, (error, low, high, p) in DIFFERENCE.items():
        name = f"AUC difference ({analysis})"
        assert value(told, f"standard error of {name}") == pytest.approx(error, abs=5.1e-6)
        assert ends(told, name) == pytest.approx((low, high), abs=5.1e-6)
        assert value(told, f"p of {name}") == pytest.approx(p, abs=5.1e-5)
    for condition, analyses in SINGLE.items():
        for analysis, (error, low, high) in analyses.items():
            name = f"mean AUC ({analysis})"
            assert value(told, name, str(condition)) == pytest.approx(np.mean(AREAS[condition]), abs=1e-8)
            assert value(told, f"standard error of {name}", str(condition)) == pytest.approx(
                error, abs=5.1e-9
            )
            assert ends(told, name, str(condition)) == pytest.approx((low, high), abs=5.1e-9)
    for reader, (gap, error, z, p, low, high) in READERS.items():
        group = f"{reader}: 1 - 2"
        assert value(told, "AUC difference", group) == pytest.approx(gap, abs=5.1e-6)
        assert value(told, "standard error of AUC difference", group) == pytest.approx(error, abs=5.1e-6)
        assert value(told, "z of AUC difference", group) == pytest.approx(z, abs=5.1e-3)
        assert value(told, "p of AUC difference", group) == pytest.approx(p, abs=5.1e-5)
        assert ends(told, "AUC difference", group) == pytest.approx((low, high), abs=5.1e-6)


@real_data
def test_van_dyke_with_other_covariances_is_near():
    jackknife = Mrmc()(van_dyke())
    for covariance in ("delong", "bootstrap"):
        other = Mrmc(covariance=covariance)(van_dyke())
        for name in ("Var", "Cov1", "Cov2", "Cov3"):
            assert value(other, name) == pytest.approx(value(jackknife, name), rel=0.12)
            assert value(other, name, column="group") == f"AUC, {covariance}"
        assert value(other, "MS(TR)") == value(jackknife, "MS(TR)")
    again = Mrmc(covariance="bootstrap")(van_dyke())
    pd.testing.assert_frame_equal(again, other)  # from the same seed


# ---- The slow twin


def counted(ratings, truth):
    won = [
        (x > y) + (x == y) / 2 for x, t in zip(ratings, truth) if t for y, u in zip(ratings, truth) if not u
    ]
    return sum(won) / len(won)


def slow(table):
    """Obuchowski-Rockette with Hillis' df from the definitions, of a fully crossed table."""
    cube = table.pivot_table(index=["condition", "reader"], columns="case", values="rating")
    truth = table.groupby("case")["truth"].first().to_numpy()
    conditions, readers = sorted(set(table["condition"])), sorted(set(table["reader"]))
    t, r, n = len(conditions), len(readers), len(truth)
    area, without = {}, {}
    for i, j in itertools.product(conditions, readers):
        ratings = cube.loc[(i, j)].to_numpy()
        area[i, j] = counted(ratings, truth)
        without[i, j] = [counted(np.delete(ratings, k), np.delete(truth, k)) for k in range(n)]
    kinds = {"Var": [], "Cov1": [], "Cov2": [], "Cov3": []}
    for (i, j), (k, m) in itertools.product(area, area):
        a, b = np.array(without[i, j]), np.array(without[k, m])
        name = {(1, 1): "Var", (0, 1): "Cov1", (1, 0): "Cov2", (0, 0): "Cov3"}[(i == k, j == m)]
        kinds[name].append((n - 1) / n * ((a - a.mean()) * (b - b.mean())).sum())
    by = {name: np.mean(all_of) for name, all_of in kinds.items()}
    grand = np.mean(list(area.values()))
    of_i = {i: np.mean([area[i, j] for j in readers]) for i in conditions}
    of_j = {j: np.mean([area[i, j] for i in conditions]) for j in readers}
    mst = r * sum((m - grand) ** 2 for m in of_i.values()) / (t - 1)
    mstr = sum((a - of_i[i] - of_j[j] + grand) ** 2 for (i, j), a in area.items()) / ((t - 1) * (r - 1))
    term = mstr + max(r * (by["Cov2"] - by["Cov3"]), 0)
    df = term**2 / (mstr**2 / ((t - 1) * (r - 1)))
    fixed = by["Var"] - by["Cov1"] + (r - 1) * max(by["Cov2"] - by["Cov3"], 0)
    return {
        **by, "MS(T)": mst, "MS(TR)": mstr, "F (RRRC)": mst / term, "df (RRRC)": df,
        "p (RRRC)": stats.f.sf(mst / term, t - 1, df), "chi2 (FRRC)": (t - 1) * mst / fixed,
        "p (FRRC)": stats.chi2.sf((t - 1) * mst / fixed, t - 1), "F (RRFC)": mst / mstr,
        "p (RRFC)": stats.f.sf(mst / mstr, t - 1, (t - 1) * (r - 1)),
    }  # fmt: skip


@settings(max_examples=12, deadline=None)
@given(st.integers(0, 10**6), st.integers(2, 4), st.integers(2, 3), st.booleans())
def test_is_the_slow_twin(seed, readers, conditions, binned):
    areas = (0.75, 0.8, 0.85)[:conditions]
    table = roe_metz(readers, 6, 7, areas, "LH", seed=seed, binned=binned)
    told = Mrmc()(table)
    for name, wanted in slow(table).items():
        if value(told, name) == value(told, name):  # where it is told
            assert value(told, name) == pytest.approx(wanted, rel=1e-9, abs=1e-12), name
        else:
            assert wanted < 1e-12 or not np.isfinite(wanted) or slow(table)["MS(TR)"] < 1e-12


# ---- Identities


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 10**6))
def test_with_two_conditions_fixed_cases_are_the_paired_t_test(seed):
    table = roe_metz(5, 20, 20, (0.8, 0.85), seed=seed)
    told = Mrmc()(table)
    areas = told[told["statistic"] == "AUC"].set_index("group")["estimate"]
    first, second = (areas[[g for g in areas.index if g.endswith(c)]].to_numpy() for c in ("n 1", "n 2"))
    wanted = stats.ttest_rel(first, second)
    assert value(told, "F (RRFC)") == pytest.approx(wanted.statistic**2, rel=1e-9)
    assert value(told, "p (RRFC)") == pytest.approx(wanted.pvalue, rel=1e-9)
    interval = wanted.confidence_interval()
    assert ends(told, "AUC difference (RRFC)") == pytest.approx((interval.low, interval.high), rel=1e-9)


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 10**6))
def test_one_reader_with_delong_covariances_is_delongs_test(seed):
    table = roe_metz(1, 20, 25, (0.8, 0.85), seed=seed)
    told, test = Mrmc(covariance="delong")(table), DeLong()(table)
    group = "reader 1: condition 1 - condition 2"
    assert value(told, "AUC difference (FRRC)") == value(test, "AUC difference", group)
    assert ends(told, "AUC difference (FRRC)") == pytest.approx(ends(test, "AUC difference", group))
    assert value(told, "chi2 (FRRC)") == pytest.approx(value(test, "z of AUC difference", group) ** 2)
    assert value(told, "p (FRRC)") == pytest.approx(value(test, "p of AUC difference", group))
    why = told.set_index("statistic").loc["F (RRRC)", "why"]
    assert "one reader alone" in why
    assert np.isnan(value(told, "F (RRFC)")) and np.isnan(value(told, "AUC difference (RRRC)", column="low"))


def test_cases_of_one_patient_move_together():
    table = roe_metz(4, 20, 20, seed=3)
    alone = Mrmc()(table.assign(patient=table["case"]))
    pd.testing.assert_frame_equal(alone, Mrmc()(table))
    copies = pd.concat([table.assign(case=table["case"] + c, patient=table["case"]) for c in "ab"])
    twice, naive = Mrmc()(copies), Mrmc()(copies.drop(columns="patient"))
    for name in ("Var", "Cov1", "Cov2", "Cov3"):  # each case twice tells no more than once
        assert value(twice, name) == pytest.approx(value(alone, name), rel=1e-9)
        assert value(naive, name) < 0.6 * value(alone, name)


# ---- Truth and ratings of other kinds


def test_words_of_truth_and_ordered_categories():
    table = roe_metz(3, 10, 10, seed=5, binned=True)
    wanted = Mrmc()(table)
    truth = table["truth"].map({1: "malignant", 0: "benign"})
    words = ["no", "hardly", "perhaps", "likely", "sure"]
    rated = pd.Categorical([words[int(x) - 1] for x in table["rating"]], categories=words, ordered=True)
    told = Mrmc(positive="malignant")(table.assign(truth=truth, rating=rated))
    pd.testing.assert_frame_equal(told, wanted)
    boolean = Mrmc(positive=True)(table.assign(truth=table["truth"] == 1))
    pd.testing.assert_frame_equal(boolean, wanted)
    unnamed = Mrmc()(table.assign(truth=truth))
    assert unnamed["estimate"].isna().all() and "malignant" in unnamed["why"][0]


def test_a_case_without_truth_is_left_out_and_told():
    table = roe_metz(3, 10, 10, seed=6)
    lost = table.assign(truth=table["truth"].where(table["case"] != "case 01"))
    told = Mrmc()(lost)
    assert value(told, "cases", "truth unknown") == 1
    without = Mrmc()(table[table["case"] != "case 01"])
    assert value(told, "F (RRRC)") == value(without, "F (RRRC)")


def test_two_truths_of_a_case():
    table = roe_metz(3, 5, 5)
    table.loc[table.index[0], "truth"] = 0
    assert "has two truths" in Mrmc()(table)["why"][0]


def test_settings_are_checked():
    with pytest.raises(InputError, match="covariance"):
        Mrmc(covariance="jacknife")


# ---- What cannot be told


def test_one_condition_still_tells_its_mean():
    table = roe_metz(4, 20, 20, (0.8,), seed=7)
    told = Mrmc()(table)
    assert "one condition only" in value(told, "F (RRRC)", column="why")
    low, high = ends(told, "mean AUC (RRRC)")
    assert low < value(told, "mean AUC (RRRC)") < high
    assert value(told, "Cov1", column="why") and value(told, "Cov2") > 0


def test_all_areas_are_one():
    table = roe_metz(3, 8, 8)
    told = Mrmc()(table.assign(rating=table["truth"]))
    assert value(told, "AUC difference (RRRC)") == 0
    assert value(told, "mean AUC (RRRC)", "condition 1") == 1
    assert np.isnan(ends(told, "mean AUC (RRRC)", "condition 1")).all()
    assert np.isnan(value(told, "F (RRRC)")) and value(told, "F (RRRC)", column="why")
    areas = told[told["statistic"] == "AUC"]
    assert (areas["estimate"] == 1).all() and areas["low"].isna().all() and (areas["why"] != "").all()


def test_readers_who_are_copies_of_each_other():
    table = roe_metz(1, 20, 20, (0.7, 0.8), seed=8)
    told = Mrmc()(pd.concat([table.assign(reader=name) for name in "abc"]))
    assert np.isnan(value(told, "df (RRRC)")) and "infinite" in value(told, "df (RRRC)", column="why")
    assert value(told, "p (RRRC)") == pytest.approx(value(told, "p (FRRC)"), abs=1e-9)
    assert "readers do not differ" in value(told, "F (RRFC)", column="why")


def test_one_positive_case_has_areas_but_no_intervals():
    table = roe_metz(3, 1, 20, seed=9)
    told = Mrmc()(table)
    assert told[told["statistic"] == "AUC"]["estimate"].notna().all()
    assert "one case of a class" in value(told, "F (RRRC)", column="why")
    assert np.isfinite(value(told, "F (RRFC)"))


def test_a_reader_with_one_class_is_left_out():
    table = roe_metz(4, 10, 10, seed=10)
    lame = table[
        (table["reader"] != "reader 4") | (table["truth"] == 1) | (table["condition"] == "condition 1")
    ]
    told = Mrmc()(lame)
    assert value(told, "readers left out", column="group") == "reader 4"
    assert (
        value(told, "AUC", "reader 4, condition 2", "why")
        == "this reader has no cases of a class that it needs"
    )
    three = Mrmc()(table[table["reader"] != "reader 4"])
    assert value(told, "F (RRRC)") == pytest.approx(value(three, "F (RRRC)"))


@pytest.mark.parametrize("covariance", COVARIANCES)
def test_nothing_is_a_crash_with_any_covariance(covariance):
    statistic = Mrmc(covariance=covariance, resamples=30)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for what, table in wrong_tables(statistic):
            told = statistic(table)
            assert len(told), what
            assert (told["estimate"].notna() | (told["why"] != "")).all(), what
