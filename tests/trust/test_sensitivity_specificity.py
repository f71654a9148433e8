"""Sensitivity and specificity against counts by hand, statsmodels' intervals and the sample covariance."""

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.stats.proportion import proportion_confint

from studykit.catalog import InputError
from studykit.trust.mrmc import Mrmc
from studykit.trust.roe_metz import roe_metz
from studykit.trust.sensitivity_specificity import SensitivitySpecificity
from tests.trust.tables import wrong_tables
from tests.trust.test_mrmc import ends, real_data, value
from tests.trust.test_mrmc_designs import viper

PAIR = "condition 1 - condition 2"


def binary(readers=4, positive=20, negative=25, seed=0, **settings):
    table = roe_metz(readers, positive, negative, (0.75, 0.85), "HH", seed=seed, **settings)
    return table.assign(rating=(table["rating"] > 0.7).astype(int))


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from(["wilson", "clopper_pearson"]))
def test_each_readers_shares(seed, interval):
    table = binary(2, seed=seed)
    told = SensitivitySpecificity(interval=interval)(table)
    method = {"wilson": "wilson", "clopper_pearson": "beta"}[interval]
    for (reader, condition), mine in table.groupby(["reader", "condition"]):
        right = mine["rating"] == mine["truth"]
        classes = {
            "sensitivity": mine["truth"] == 1,
            "specificity": mine["truth"] == 0,
            "accuracy": right | ~right,
        }
        for name, of_class in classes.items():
            hits, tries = int((right & of_class).sum()), int(of_class.sum())
            group = f"{reader}, {condition}"
            assert value(told, name, group) == pytest.approx(hits / tries)
            wanted = proportion_confint(hits, tries, method=method)
            assert ends(told, name, group) == pytest.approx(wanted, abs=1e-9)
            assert value(told, name, group, "n") == tries
        both = value(told, "sensitivity", group) + value(told, "specificity", group) - 1
        assert value(told, "Youden's index", group) == pytest.approx(both)


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from(["jackknife", "delong"]))
def test_covariances_are_those_of_samples(seed, covariance):
    """Of a mean the jackknife is the sample variance by the number of cases; so is DeLong's equation."""
    table = binary(3, seed=seed)
    told = SensitivitySpecificity(covariance=covariance)(table)
    diseased = table[table["truth"] == 1]
    cube = diseased.pivot(index="case", columns=["condition", "reader"], values="rating")
    by = np.cov(cube.to_numpy().T) / len(cube)
    conditions, readers = (cube.columns.codes[axis] for axis in (0, 1))
    same_c, same_r = np.equal.outer(conditions, conditions), np.equal.outer(readers, readers)
    kinds = {
        "Var": same_c & same_r,
        "Cov1": ~same_c & same_r,
        "Cov2": same_c & ~same_r,
        "Cov3": ~same_c & ~same_r,
    }
    group = f"sensitivity, {covariance}"
    for name, kind in kinds.items():
        assert value(told, name, group) == pytest.approx(by[kind].mean(), abs=1e-14)
    values = cube.mean().to_numpy().reshape(2, 3)
    gap = values[0] - values[1]
    assert value(told, "sensitivity difference (RRRC)", PAIR) == pytest.approx(gap.mean())
    assert value(told, "MS(TR)", "sensitivity") == pytest.approx(gap.var(ddof=1) / 2)
    term = gap.var(ddof=1) / 2 + 3 * max(by[kinds["Cov2"]].mean() - by[kinds["Cov3"]].mean(), 0)
    if term > 1e-12:
        wanted = 3 * gap.mean() ** 2 / 2 / term
        assert value(told, "F (RRRC)", "sensitivity") == pytest.approx(wanted, rel=1e-9, abs=1e-12)


def test_the_area_of_two_answers_is_half_of_youdens_index_and_one():
    table = binary(seed=3)
    area, told = Mrmc()(table), SensitivitySpecificity()(table)
    index = value(told, "mean Youden's index (RRRC)", "condition 1")
    assert value(area, "mean AUC (RRRC)", "condition 1") == pytest.approx((index + 1) / 2)
    for name in (
        "F (RRRC)",
        "df (RRRC)",
    ):  # jackknife of classes by themselves, or of all cases: nearly the same
        assert value(told, name, "Youden's index") == pytest.approx(value(area, name), rel=0.02)


@real_data
def test_viper_as_a_whole():
    table = viper("screeningMedP").drop(columns="rating")
    told = SensitivitySpecificity(answer=1)(table, rating="recall")
    assert value(told, "design", column="group").startswith("split-plot: 4 blocks")
    by_reader = table.assign(right=(table["recall"] == 1) == (table["truth"] == 1))
    for name, truth in (("sensitivity", 1), ("specificity", 0)):
        mine = by_reader[by_reader["truth"] == truth]
        means = mine.groupby(["condition", "reader"])["right"].mean().groupby("condition").mean()
        for condition in ("FFDM", "SFM"):
            assert value(told, f"mean {name} (RRRC)", condition) == pytest.approx(means[condition], abs=1e-12)
        assert 0 < value(told, "p (RRRC)", name) < 1
    assert value(told, "mean sensitivity (RRRC)", "FFDM", "n") == 115
    refused = SensitivitySpecificity()(table, rating="recall")
    assert "give the one that is positive (answer)" in refused["why"][0]


def test_answers_in_words_and_from_a_rating_on():
    table = binary(seed=4)
    wanted = SensitivitySpecificity()(table)
    words = table.replace({"rating": {1: "cancer", 0: "no"}, "truth": {1: "cancer", 0: "no"}})
    told = SensitivitySpecificity(positive="cancer")(words)
    assert (told["estimate"].dropna() == wanted["estimate"].dropna()).all()
    graded = table.assign(rating=table["rating"] * 2 + 1)
    told = SensitivitySpecificity(at_least=2)(graded)
    assert (told["estimate"].dropna() == wanted["estimate"].dropna()).all()
    other = table.replace({"rating": {1: "recall", 0: "home"}})
    told = SensitivitySpecificity(answer="recall")(other)
    assert (told["estimate"].dropna() == wanted["estimate"].dropna()).all()


def test_only_positive_cases_still_have_sensitivity():
    table = binary(seed=5)
    told = SensitivitySpecificity()(table[table["truth"] == 1])
    assert value(told, "sensitivity difference (RRRC)", PAIR) != 0
    assert value(told, "specificity", column="why") == "no case is negative"
    assert "classes that it needs" in value(told, "Youden's index", column="why")


def test_everybody_always_right():
    table = binary(seed=6)
    told = SensitivitySpecificity()(table.assign(rating=table["truth"]))
    assert value(told, "mean sensitivity (RRRC)", "condition 1") == 1
    assert np.isnan(ends(told, "mean sensitivity (RRRC)", "condition 1")).all()
    assert np.isnan(value(told, "F (RRRC)", "sensitivity"))
    assert ends(told, "sensitivity", "reader 1, condition 1")[0] < 1  # Wilson's still tells


def test_settings_are_checked():
    with pytest.raises(InputError, match="interval"):
        SensitivitySpecificity(interval="wald")
    with pytest.raises(InputError, match="covariance"):
        SensitivitySpecificity(covariance="none")


@pytest.mark.parametrize("settings", [{"covariance": "bootstrap", "resamples": 30}, {"at_least": 3.0}])
def test_nothing_is_a_crash(settings):
    statistic = SensitivitySpecificity(**settings)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for what, table in wrong_tables(statistic):
            told = statistic(table)
            assert (told["estimate"].notna() | (told["why"] != "")).all(), what


def test_an_answer_that_nobody_gave():
    table = binary().assign(rating=lambda t: np.where(t["rating"] == 1, "pos", "neg"))
    told = SensitivitySpecificity(answer="Pos")(table)
    assert told["estimate"].isna().all()
    assert "nobody answered 'Pos' (answer); the answers are" in told["why"].iloc[0]
    assert value(SensitivitySpecificity(answer="pos")(table), "sensitivity", "reader 1, condition 1") > 0
    never = SensitivitySpecificity(answer="pos")(table.assign(rating="neg"))
    assert value(never, "specificity", "reader 1, condition 1") == 1


@pytest.mark.parametrize("several", [True, False])
def test_shares_of_clustered_cases_carry_a_caution(several):
    table = binary()
    number = table["case"].str[5:].astype(int)
    told = SensitivitySpecificity()(table.assign(patient=number // 5 if several else number))
    why = value(told, "specificity", "reader 1, condition 1", "why")
    assert ("some are of one patient" in why) == several
