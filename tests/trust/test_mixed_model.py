"""The mixed model against the analysis of variance, statsmodels, a dense likelihood, and known variances."""

import warnings

import numpy as np
import pandas as pd
import pytest
import statsmodels.formula.api as formula
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.multitest import multipletests

from studykit.trust.mixed_model import Crossed, MixedModel
from studykit.trust.over_readers import coded
from tests.trust.telling import crossed, value


def simulated(rng, shape, reader=0.5, case=1.0, rest=0.7, shift=0.3):
    readers, cases, conditions = shape
    ratings = shift * np.arange(conditions) + rng.normal(0, rest, shape)
    return ratings + rng.normal(0, reader, (readers, 1, 1)) + rng.normal(0, case, (1, cases, 1))


def variances(told):
    return [value(told, "variance", part) for part in ("reader", "case", "rest")]


def anova(ratings):
    """Variance components and degrees of freedom of the rest, by expected mean squares of a full crossing."""
    readers, cases, conditions = ratings.shape
    total, grand = ratings.size, ratings.mean()
    of_reader = cases * conditions * ((ratings.mean(axis=(1, 2)) - grand) ** 2).sum()
    of_case = readers * conditions * ((ratings.mean(axis=(0, 2)) - grand) ** 2).sum()
    of_condition = readers * cases * ((ratings.mean(axis=(0, 1)) - grand) ** 2).sum()
    left = ((ratings - grand) ** 2).sum() - of_reader - of_case - of_condition
    freedom = total - readers - cases - conditions + 2
    rest = left / freedom
    reader = (of_reader / (readers - 1) - rest) / (cases * conditions)
    case = (of_case / (cases - 1) - rest) / (readers * conditions)
    return np.array([reader, case, rest]), freedom


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 10_000), st.integers(3, 7), st.integers(4, 12), st.integers(2, 3))
def test_equals_the_analysis_of_variance_where_cells_are_full(seed, readers, cases, conditions):
    ratings = simulated(np.random.default_rng(seed), (readers, cases, conditions))
    expected, freedom = anova(ratings)
    if (expected <= 1e-3).any():
        return  # REML stops at nought there
    told = MixedModel()(crossed(ratings))
    assert variances(told) == pytest.approx(expected, rel=1e-6)
    means = ratings.mean(axis=(0, 1))
    error = np.sqrt(2 * expected[2] / (readers * cases))
    assert value(told, "difference of means", "k0, k1") == pytest.approx(means[0] - means[1])
    assert value(told, "standard error", "k0, k1") == pytest.approx(error, rel=1e-6)
    assert value(told, "degrees of freedom", "k0, k1") == pytest.approx(freedom, rel=1e-3)
    width = stats.t.ppf(0.975, freedom) * error
    assert value(told, "difference of means", "k0, k1", "high") == pytest.approx(
        means[0] - means[1] + width, abs=1e-4 * width
    )
    ends = [value(told, "variance", "rest", of) for of in ("low", "high")]
    assert ends == pytest.approx(freedom * expected[2] / stats.chi2.ppf([0.975, 0.025], freedom), rel=2e-3)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_equals_statsmodels_where_cells_are_missing(seed):
    rng = np.random.default_rng(seed)
    table = crossed(simulated(rng, (6, 15, 2))).sample(frac=0.6, random_state=seed).assign(one=1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        parts = {"reader": "0 + C(reader)", "case": "0 + C(case)"}
        model = formula.mixedlm(
            "rating ~ 0 + condition", table, groups="one", re_formula="0", vc_formula=parts
        )
        theirs = model.fit(reml=True, method=["lbfgs", "powell"])
    found = MixedModel()(table)
    named = dict(zip(theirs.model.exog_vc.names, theirs.vcomp, strict=True))
    assert variances(found)[:2] == pytest.approx([named["reader"], named["case"]], rel=2e-3)
    assert value(found, "variance", "rest") == pytest.approx(theirs.scale, rel=1e-3)
    means = [value(found, "mean", group) for group in ("k0", "k1")]
    assert means == pytest.approx(theirs.fe_params.to_numpy(), abs=1e-4)
    errors = [value(found, "standard error", group) for group in ("k0", "k1")]
    assert errors == pytest.approx(theirs.bse_fe.to_numpy(), rel=0.02)


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 10_000), st.floats(0, 3), st.floats(0, 3))
def test_the_criterion_is_that_of_the_whole_matrix(seed, a, b):
    rng = np.random.default_rng(seed)
    table = crossed(simulated(rng, (4, 6, 3))).sample(frac=0.7, random_state=seed)
    reader, case, condition = (coded(table[name])[0] for name in ("reader", "case", "condition"))
    y = table["rating"].to_numpy()
    x, z_r, z_c = (np.eye(of.max() + 1)[of] for of in (condition, reader, case))
    v = np.eye(len(y)) + a * z_r @ z_r.T + b * z_c @ z_c.T
    inverse = np.linalg.inv(v)
    design = x.T @ inverse @ x
    left = y - x @ np.linalg.solve(design, x.T @ inverse @ y)
    slow = (len(y) - x.shape[1]) * np.log(left @ inverse @ left)
    slow += np.linalg.slogdet(v)[1] + np.linalg.slogdet(design)[1]
    fast = Crossed(reader, case, condition, y).profile(np.sqrt([a, b]))
    assert fast == pytest.approx(slow, abs=1e-8)


def test_intervals_of_a_difference_and_of_a_mean_cover():
    rng, hits = np.random.default_rng(7), np.zeros(2)
    for _ in range(120):
        told = MixedModel()(crossed(simulated(rng, (5, 12, 2), case=0.6)))
        for k, (name, group, truth) in enumerate(
            (("difference of means", "k0, k1", -0.3), ("mean", "k0", 0.0))
        ):
            hits[k] += value(told, name, group, "low") <= truth <= value(told, name, group, "high")
    assert (hits / 120 >= 0.9).all(), hits / 120


def test_does_not_care_for_the_unit_and_tells_its_limits():
    table = crossed(simulated(np.random.default_rng(3), (5, 8, 2)))
    told, other = MixedModel()(table), MixedModel()(table.assign(rating=1000 * table["rating"] + 7))
    assert value(other, "p", "k0, k1") == pytest.approx(value(told, "p", "k0, k1"), rel=1e-6)
    assert variances(other) == pytest.approx(1e6 * np.array(variances(told)), rel=1e-6)
    assert value(other, "mean", "k1") == pytest.approx(1000 * value(told, "mean", "k1") + 7)
    shares = [value(told, "share of variance", part) for part in ("reader", "case", "rest")]
    assert sum(shares) == pytest.approx(1)
    assert "every reader alike" in value(told, "variance of reader x condition", column="why")


def test_a_variance_at_nought_has_no_interval():
    ratings = simulated(np.random.default_rng(5), (4, 10, 2), reader=0)
    ratings -= ratings.mean(axis=(1, 2), keepdims=True)  # readers alike by construction
    told = MixedModel()(crossed(ratings))
    assert value(told, "variance", "reader") == 0
    assert "no interval" in value(told, "variance", "reader", "why")
    assert np.isfinite(value(told, "difference of means", "k0, k1", "low"))


def test_says_why_not():
    rng = np.random.default_rng(6)
    full = simulated(rng, (4, 5, 2))

    def why(ratings):
        told = MixedModel()(crossed(ratings))
        assert told["estimate"].isna().all()
        return told["why"].iloc[0]

    assert why(np.ones((3, 3, 2))) == "all ratings are the same, so nothing varies"
    assert why(full[:1]) == "readers: 1, cases: 5; two of each are needed"
    assert why(full[:, :1]) == "readers: 4, cases: 1; two of each are needed"
    additive = np.arange(3.0)[:, None, None] + np.array([0, 2, 5, 1.0])[None, :, None] + np.array([0, 0.5])
    assert "explain every rating" in why(additive)
    once = np.full((3, 6, 1), np.nan)
    for case in range(6):
        once[case % 3, case, 0] = rng.normal()
    assert "every case was rated once" in why(once)
    assert "no more ratings than" in why(full[:2, :2, :1] + np.array([[[np.nan], [0]], [[0], [0]]]))
    one = MixedModel()(crossed(full[:, :, :1]))
    assert "difference of means" not in set(one["statistic"])
    assert np.isfinite(value(one, "mean", "k0"))


def test_patients_are_told_to_be_left_out():
    table = crossed(simulated(np.random.default_rng(9), (5, 12, 2)))
    number = table["case"].str[1:].astype(int)
    name = "patients with several cases"
    told = MixedModel()(table.assign(patient=number // 3))
    assert value(told, name) == 4 and "not in this model" in value(told, name, column="why")
    alone = MixedModel()(table.assign(patient=number))
    assert value(alone, name) == 0 and value(alone, name, column="why") == ""
    assert name not in set(MixedModel()(table)["statistic"])


def test_several_differences_have_their_p_adjusted():
    rng = np.random.default_rng(2)
    rows = [(f"r{r}", f"c{c}", k) for r in range(5) for c in range(12) for k in "abc"]
    table = pd.DataFrame(rows, columns=["reader", "case", "condition"])
    table["rating"] = rng.normal(size=len(table)) + 0.4 * (table["condition"] == "c")
    told = MixedModel()(table)
    raw, holm = (told[told["statistic"] == name].set_index("group")["estimate"] for name in ("p", "p, Holm"))
    assert holm.tolist() == pytest.approx(multipletests(raw, method="holm")[1].tolist())
