"""The six intraclass correlations: printed values, pingouin, the analysis of variance in loops."""

import warnings

import numpy as np
import pandas as pd
import pingouin
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from studykit.trust.icc import FORMS, Icc
from studykit.trust.statistic import ANONYMOUS
from tests.benchmarks.agreement_coverage import Effects, holds, intervals
from tests.trust.agreement_tables import SEEDS, SHROUT_FLEISS, drawn, lidc, long, published

NAMES = {
    "ICC(1,1)": "ICC(1,1)", "ICC(2,1)": "ICC(A,1)", "ICC(3,1)": "ICC(C,1)",
    "ICC(1,k)": "ICC(1,k)", "ICC(2,k)": "ICC(A,k)", "ICC(3,k)": "ICC(C,k)",
}  # fmt: skip
FEW = settings(max_examples=25, deadline=None)


def of(x, statistic=None, **more):
    return (statistic or Icc())(long(x, **more)).set_index("statistic")


@pytest.mark.parametrize(
    ("form", "text"),
    list(zip(FORMS, [".166", ".290", ".715", ".443", ".620", ".909"], strict=True)),
)
def test_shrout_and_fleiss_1979(form, text):
    told = of(SHROUT_FLEISS)
    assert f"{told.loc[form, 'estimate']:.3f}" == f"0{text}"
    assert told.loc[form, "group"] == FORMS[form] and told.loc[form, "n"] == 6


def test_shrout_and_fleiss_mean_squares_and_their_degrees_of_freedom():
    told = of(SHROUT_FLEISS)
    printed = {"between cases": (11.24, 5), "within cases": (6.26, 18), "between readers": (32.49, 3)}
    for name, (square, freedom) in {**printed, "left (error)": (1.02, 15)}.items():
        found = told.loc[f"mean square {name}"]
        assert round(found["estimate"], 2) == square and found["n"] == freedom


@pytest.mark.real_data
@pytest.mark.parametrize(
    ("path", "text"), [("irr/video.csv", "0.157"), ("pad_hair/hair_ratings.csv", "0.757")]
)
def test_published_ratings(path, text):
    x = published(path).filter(like="rater").to_numpy().T
    assert f"{of(x).loc['ICC(2,1)', 'estimate']:.3f}" == text


@pytest.mark.filterwarnings("ignore")  # pingouin's
@FEW
@given(SEEDS, st.integers(2, 6), st.integers(3, 25))
def test_all_six_are_pingouin_s(seed, readers, cases):
    rng = np.random.default_rng(seed)
    x = rng.normal(0, 1, cases) + rng.normal(0, 0.5, (readers, 1)) + rng.normal(0, 1, (readers, cases))
    told = of(x, Icc(interval="shrout_fleiss"))
    theirs = pingouin.intraclass_corr(long(x), targets="case", raters="reader", ratings="rating")
    theirs = theirs.set_index("Type")
    for ours, name in NAMES.items():
        if theirs.loc[name, "ICC"] > 1:  # a variance below 0: no correlation
            assert np.isnan(told.loc[ours, "estimate"]) and told.loc[ours, "why"]
            continue
        assert told.loc[ours, "estimate"] == pytest.approx(theirs.loc[name, "ICC"], abs=1e-10)
        if told.loc[ours, "why"] == "":
            ends = told.loc[ours, ["low", "high"]].to_numpy(dtype=float)
            wanted = np.where(np.isfinite(theirs.loc[name, "CI95"]), theirs.loc[name, "CI95"], ends)
            np.testing.assert_allclose(ends, wanted, atol=0.00501)


@FEW
@given(SEEDS, st.integers(2, 5))
def test_one_way_of_ragged_cases_is_the_analysis_of_variance(seed, most):
    rng = np.random.default_rng(seed)
    cases = [rng.normal(rng.normal(), 1, rng.integers(1, most + 1)) for _ in range(12)]
    cases[0], cases[1] = np.array([1.0, 2.5]), np.array([-1.0, 0.5])
    table = pd.DataFrame(
        [(k, value) for k, case in enumerate(cases) for value in case], columns=["case", "rating"]
    )
    count, grand = len(table), table["rating"].mean()
    between = sum(len(case) * (case.mean() - grand) ** 2 for case in cases) / 11
    within = sum(((case - case.mean()) ** 2).sum() for case in cases) / (count - 12)
    k = (count - sum(len(case) ** 2 for case in cases) / count) / 11
    told = Icc()(table).set_index("statistic")["estimate"]
    assert told["ICC(1,1)"] == pytest.approx((between - within) / (between + (k - 1) * within))
    assert told["ICC(1,k)"] == pytest.approx((between - within) / between)
    assert told["mean square between cases"] == pytest.approx(between)
    assert told["mean square within cases"] == pytest.approx(within)
    f, _ = stats.f_oneway(*cases)
    assert f == pytest.approx(between / within)


def test_the_interval_is_where_the_f_test_would_no_longer_refuse():
    """ICC(1,1) = rho is refused at 2.5 % where F / (1 + k rho / (1 - rho)) is beyond the F distribution."""
    told = of(SHROUT_FLEISS, Icc(level=0.95))
    f = told.loc["mean square between cases", "estimate"] / told.loc["mean square within cases", "estimate"]
    for end, tail in (("low", 0.025), ("high", 0.975)):
        rho = told.loc["ICC(1,1)", end]
        assert stats.f.sf(f / (1 + 4 * rho / (1 - rho)), 5, 18) == pytest.approx(tail)


@pytest.mark.parametrize("interval", ["covering", "shrout_fleiss"])
def test_the_mean_of_k_readers_is_spearman_and_brown(interval):
    told = of(SHROUT_FLEISS, Icc(interval=interval))[["estimate", "low", "high"]]
    for one, many in (("ICC(1,1)", "ICC(1,k)"), ("ICC(2,1)", "ICC(2,k)"), ("ICC(3,1)", "ICC(3,k)")):
        np.testing.assert_allclose(4 * told.loc[one] / (1 + 3 * told.loc[one]), told.loc[many], rtol=2e-3)


@pytest.mark.parametrize("differ", [1.0, 0.05])
def test_the_generalised_interval_is_its_definition_in_a_loop(differ):
    """Variances as they could be, given these mean squares and chi-square; Weerahandi 1993."""
    means = SHROUT_FLEISS.mean(axis=1, keepdims=True)
    told, rng, n, k = of(SHROUT_FLEISS - means + differ * means), np.random.default_rng(1), 6, 4
    b, r, e = (told.loc[f"mean square {name}", "estimate"] for name in
               ("between cases", "between readers", "left (error)"))  # fmt: skip
    drawn = []
    for _ in range(20_000):
        of_error = e * 15 / rng.chisquare(15)
        of_cases = (b * 5 / rng.chisquare(5) - of_error) / k
        of_readers = max(0, (r * 3 / rng.chisquare(3) - of_error) / n)
        drawn.append(of_cases / (of_cases + of_readers + of_error))
    ends = told.loc["ICC(2,1)", ["low", "high"]].to_numpy(dtype=float)
    np.testing.assert_allclose(ends, np.quantile(drawn, [0.025, 0.975]), atol=0.01)


def test_few_readers_who_differ_and_many_cases_need_the_generalised_interval():
    population = Effects((1, 0.3, 0.3), readers=3)
    held = {
        interval: holds(
            intervals(Icc(interval=interval), "ICC(2,1)", population, n=200, repeats=100), population.icc()
        )
        for interval in ("covering", "shrout_fleiss")
    }
    assert held["covering"] >= stats.binom.ppf(0.0005, 100, 0.95) / 100
    assert held["shrout_fleiss"] < 0.87


def test_a_reader_who_rates_all_higher_costs_agreement_not_consistency():
    x = np.array([[1.0, 2, 3, 5, 4], [1.2, 2.1, 2.9, 5.1, 4.2]])
    higher = x + np.array([[0], [3]])
    assert of(higher).loc["ICC(3,1)", "estimate"] == pytest.approx(of(x).loc["ICC(3,1)", "estimate"])
    assert of(higher).loc["ICC(2,1)", "estimate"] < of(x).loc["ICC(2,1)", "estimate"] - 0.3


def test_cases_of_one_patient_are_drawn_together():
    rng = np.random.default_rng(0)
    x = np.repeat(rng.normal(0, 1, 20), 4) + rng.normal(0, 0.6, (3, 80))
    patient = np.tile(np.repeat(np.arange(20), 4), 3)
    alone, together = of(x), of(x, patient=patient)
    np.testing.assert_allclose(alone["estimate"], together["estimate"])
    width = {form: told.loc[form, "high"] - told.loc[form, "low"] for form, told in
             {"ICC(1,1)": together, "ICC(2,1)": together}.items()}  # fmt: skip
    for form, wide in width.items():
        assert wide > 1.2 * (alone.loc[form, "high"] - alone.loc[form, "low"])


@pytest.mark.real_data
@pytest.mark.parametrize("exactly", [4, 0])
def test_lidc_s_anonymous_readers_have_icc_1_and_no_other(exactly):
    told = Icc(resamples=200)(lidc(exactly)).set_index("statistic")
    one = told.loc["ICC(1,1)"]
    assert one["why"] == "" and 0.3 < one["low"] < one["estimate"] < one["high"] < 0.9
    for form in ("ICC(2,1)", "ICC(3,1)", "ICC(2,k)", "ICC(3,k)"):
        assert np.isnan(told.loc[form, "estimate"]) and told.loc[form, "why"] == ANONYMOUS


@pytest.mark.parametrize(
    ("x", "why"),
    [
        (np.full((3, 6), 2.0), "every rating is the same"),
        ([[1.0, 2, 3]], "no case has two ratings"),
        ([[1.0], [2.0]], "only one case"),
        ([["low", "high"], ["low", "low"]], "is no number"),
        ([[1e200, 2e200], [3e200, 1e200]], "infinite, or all lie beyond"),
    ],
)
def test_what_cannot_be_told_says_why(x, why):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        told = Icc()(long(np.array(x)))
    assert told["estimate"].isna().all() and why in told["why"].iloc[0]


def test_readers_who_agree_in_full_have_an_icc_of_1_and_no_interval():
    told = of(np.tile(np.arange(5.0), (3, 1)))
    for form in FORMS:
        assert told.loc[form, "estimate"] == 1
        assert np.isnan(told.loc[form, "low"]) and "no interval" in told.loc[form, "why"]


def test_cases_that_do_not_differ_have_no_icc_of_means():
    told = of(np.array([[1.0, 1, 1, 1], [3, 3, 3, 3]]))
    assert np.isnan(told.loc["ICC(3,k)", "estimate"]) and "cases" in told.loc["ICC(3,k)", "why"]


@FEW
@given(SEEDS, st.sampled_from([1e-6, 1.0, 1e6]), st.sampled_from([0.0, 1e3]))
def test_neither_unit_nor_origin_matters(seed, unit, origin):
    x = drawn(seed, 3, 12, 5)
    x[:, 0], x[:, 1] = [0, 1, 0], 4
    told, moved = of(x), of(origin + unit * x)
    for column in ("estimate", "low", "high"):
        np.testing.assert_allclose(moved.loc[list(FORMS), column], told.loc[list(FORMS), column], atol=1e-6)
