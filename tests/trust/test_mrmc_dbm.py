"""Dorfman-Berbaum-Metz against printed values and against Obuchowski-Rockette with the jackknife."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from statsmodels.formula.api import ols
from statsmodels.stats.anova import anova_lm
from statsmodels.stats.multitest import multipletests

from studykit.trust.dbm import Dbm, mean_squares
from studykit.trust.mrmc import Mrmc
from studykit.trust.roe_metz import roe_metz
from tests.trust.test_mrmc import ends, real_data, value, van_dyke

PRINTED = {
    "R": 0.00153500, "C": 0.02724923, "TR": 0.00020040, "TC": 0.01197530, "RC": 0.01226473,
    "error": 0.03997160,
}  # fmt: skip
SHARED = ("Var", "Cov1", "Cov2", "Cov3", "F (RRRC)", "df (RRRC)", "p (RRRC)", "chi2 (FRRC)", "F (RRFC)")


@real_data
def test_van_dykes_components_are_what_is_printed():
    told = Dbm()(van_dyke())
    for name, wanted in PRINTED.items():
        assert value(told, f"component {name}") == pytest.approx(wanted, abs=5.1e-9), name
    assert value(told, "F (RRRC)") == pytest.approx(4.456319, abs=5.1e-7)


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 10**6), st.integers(2, 4), st.sampled_from([(0.8, 0.8), (0.7, 0.8, 0.9)]))
@example(418, 2, (0.8, 0.8))  # both readers gain alike, so there is no degree of freedom
def test_is_obuchowski_rockette_with_the_jackknife(seed, readers, areas):
    table = roe_metz(readers, 15, 20, areas, "LL", seed=seed)
    told, other = Dbm()(table), Mrmc()(table)
    for name in SHARED:
        wanted = pytest.approx(value(other, name), rel=1e-8, abs=1e-14, nan_ok=True)  # or both refuse
        assert value(told, name) == wanted, name
    assert value(told, "component TR") == pytest.approx(value(other, "Var(TR)"), rel=1e-8, abs=1e-14)
    assert value(told, "component R") == pytest.approx(value(other, "Var(R)"), rel=1e-8, abs=1e-14)
    pair = "condition 1 - condition 2"
    for analysis in ("RRRC", "FRRC", "RRFC"):
        name = f"AUC difference ({analysis})"
        assert ends(told, name, pair) == pytest.approx(ends(other, name, pair), rel=1e-8, nan_ok=True)


def test_mean_squares_are_those_of_statsmodels():
    values = np.random.default_rng(3).normal(size=(2, 3, 4))
    t, r, k = (index.ravel() for index in np.indices(values.shape))
    table = pd.DataFrame({"y": values.ravel(), "T": t, "R": r, "K": k})
    fitted = ols("y ~ C(T) + C(R) + C(K) + C(T):C(R) + C(T):C(K) + C(R):C(K)", table)
    wanted = anova_lm(fitted.fit())
    wanted = dict(
        zip(["T", "R", "C", "TR", "TC", "RC", "TRC"], zip(wanted["mean_sq"], wanted["df"]), strict=True)
    )
    for name, (square, df) in mean_squares(values).items():
        assert (square, df) == pytest.approx(wanted[name]), name


@pytest.mark.parametrize(
    "change, why",
    [
        (lambda t: t.iloc[1:], "1 of 240 readings are not there"),
        (lambda t: t[t["reader"] == "reader 1"], "one reader only"),
        (lambda t: t[t["condition"] == "condition 1"], "one condition only"),
        (lambda t: t[(t["truth"] == 0) | (t["case"] == "case 01")], "fewer than two positive"),
    ],
)
def test_what_it_cannot_tell(change, why):
    told = Dbm()(change(roe_metz(4, 15, 15, seed=2)))
    assert why in told["why"][0] and told["estimate"].isna().all()


def test_all_areas_are_one():
    table = roe_metz(3, 8, 8)
    told = Dbm()(table.assign(rating=table["truth"]))
    assert value(told, "component error") == pytest.approx(0, abs=1e-20)
    assert np.isnan(value(told, "F (RRRC)")) and value(told, "F (RRRC)", column="why")


def test_cases_of_one_patient_are_refused():
    table = roe_metz(3, 10, 10, seed=4)
    told = Dbm()(table.assign(patient=table["case"].str[5:].astype(int) // 2))
    assert told["why"].str.contains("cases of one patient are not independent here; use mrmc").any()
    assert np.isnan(told["estimate"]).all()
    pd.testing.assert_frame_equal(Dbm()(table.assign(patient=table["case"])), Dbm()(table))


@pytest.mark.parametrize("statistic", [Dbm(), Mrmc()])
def test_p_of_several_pairs_is_adjusted_by_holm(statistic):
    told = statistic(roe_metz(4, 20, 20, (0.7, 0.8, 0.9), seed=5))
    for analysis in ("RRRC", "FRRC", "RRFC"):
        name = f"p of AUC difference ({analysis})"
        each = told[told["statistic"] == name]
        adjusted = told[told["statistic"] == f"{name}, Holm"]
        wanted = multipletests(each["estimate"], method="holm")[1]
        assert list(adjusted["group"]) == list(each["group"]) and len(each) == 3
        assert adjusted["estimate"].to_numpy() == pytest.approx(wanted)
    two = statistic(roe_metz(4, 20, 20, seed=5))
    assert not two["statistic"].str.contains("Holm").any()
