"""Intervals of agreement: they hold the truth, cases of one patient count together, the bootstrap is BCa."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from studykit.trust.agreement import bootstrapped, drawings
from studykit.trust.brennan_prediger import BrennanPrediger
from studykit.trust.cohen_kappa import CohenKappa
from studykit.trust.conger_kappa import CongerKappa
from studykit.trust.fleiss_kappa import FleissKappa
from studykit.trust.gwet_ac import GwetAC
from studykit.trust.icc import Icc
from studykit.trust.krippendorff_alpha import Alpha, KrippendorffAlpha
from studykit.trust.light_kappa import LightKappa
from tests.benchmarks.agreement_coverage import (
    CROSSED,
    NESTED,
    PATIENTS,
    SEVERAL,
    TWO,
    alpha,
    holds,
    intervals,
    kappa,
    table,
)
from tests.trust.agreement_tables import drawn, long, value

REPEATS = 120
LEAST = stats.binom.ppf(0.0005, REPEATS, 0.95) / REPEATS  # one wrong alarm in 2,000
ONE, MANY, PATIENT = TWO["2 readers, 2 categories"], SEVERAL["3 readers, 2 categories"], *PATIENTS.values()
COVERED = [
    (CohenKappa(), "Cohen's kappa", ONE, kappa(ONE, "own")),
    (FleissKappa(), "Fleiss' kappa", MANY, kappa(MANY, "shared")),
    (FleissKappa(), "Fleiss' kappa", PATIENT, kappa(PATIENT, "shared")),
    (GwetAC(), "Gwet's AC1", MANY, kappa(MANY, "ac")),
    (KrippendorffAlpha(resamples=400), "Krippendorff's alpha (nominal metric)", MANY, alpha(MANY, "nominal")),
    (Icc(), "ICC(1,1)", NESTED["1 to 4 readers a case"], NESTED["1 to 4 readers a case"].icc()),
    (Icc(), "ICC(2,1)", CROSSED["3 readers"], CROSSED["3 readers"].icc()),
    (Icc(), "ICC(3,1)", CROSSED["3 readers"], CROSSED["3 readers"].icc(consistency=True)),
]


@pytest.mark.parametrize(("statistic", "name", "population", "truth"), COVERED)
def test_intervals_hold_the_truth_and_half_of_them_would_not(statistic, name, population, truth):
    found = intervals(statistic, name, population, n=60, repeats=REPEATS, seed=7)
    assert not np.isnan(found).any()
    assert holds(found, truth) >= LEAST
    middle = found.mean(axis=1, keepdims=True)
    assert holds(middle + (found - middle) / 2, truth) < LEAST


def test_the_truth_of_a_population_is_what_very_many_cases_give():
    many = PATIENT.drawn(120_000, np.random.default_rng(0))
    assert value(FleissKappa()(many), "Fleiss' kappa") == pytest.approx(kappa(PATIENT, "shared"), abs=0.006)
    grades = TWO["2 readers, 5 grades"]
    counts = np.zeros((120_000, 5))
    ratings = grades.drawn(120_000, np.random.default_rng(1))
    np.add.at(counts, (ratings["case"], ratings["rating"]), 1)
    for metric in ("nominal", "ordinal", "interval"):
        x = np.arange(5) / 4
        assert Alpha(counts, metric, x)(np.ones((1, 120_000)))[0] == pytest.approx(
            alpha(grades, metric), abs=0.01
        )


EVERY = [FleissKappa(), CongerKappa(), GwetAC(), BrennanPrediger(), CohenKappa()]


@pytest.mark.parametrize("statistic", EVERY)
def test_a_case_told_twice_tells_no_more_where_both_are_of_one_patient(statistic):
    x = drawn(5, 2, 30, 3)
    once = statistic(long(x))
    twice = statistic(table(np.repeat(x, 2, axis=1), np.repeat(np.arange(30), 2)))
    independent = statistic(long(np.repeat(x, 2, axis=1)))
    group = once["group"].iloc[0]
    about = {"group": group}
    for column in ("estimate", "low", "high"):
        ours = [value(told, statistic.called, column, **about) for told in (once, twice)]
        assert ours[0] == pytest.approx(ours[1], abs=1e-12)
    errors = [value(told, "standard error", **about) for told in (once, twice, independent)]
    assert errors[0] == pytest.approx(errors[1], rel=1e-9)
    assert errors[2] < 0.75 * errors[0]


def test_light_s_bootstrap_draws_patients():
    x, light = drawn(6, 3, 25, 3), LightKappa(resamples=200)
    once = light(long(x)).iloc[0]
    twice = light(table(np.repeat(x, 2, axis=1), np.repeat(np.arange(25), 2))).iloc[0]
    np.testing.assert_allclose(
        once[["estimate", "low", "high"]].astype(float), twice[["estimate", "low", "high"]].astype(float)
    )


def test_cohen_does_not_test_cases_of_one_patient_as_if_independent():
    x = drawn(5, 2, 30, 3)
    told = CohenKappa()(table(x, np.arange(30) // 2))
    for name in ("standard error under chance", "z", "p"):
        assert "patient" in value(told, name, "why", group="0, 1")


def test_the_interval_is_even_on_the_logarithm_of_what_disagrees():
    told = FleissKappa(level=0.9)(long(drawn(1, 3, 40, 3)))
    estimate, low, high = told[["estimate", "low", "high"]].iloc[0]
    error = value(told, "standard error")
    reach = stats.t.ppf(0.95, 39) * error / (1 - estimate)
    assert np.log((1 - low) / (1 - estimate)) == pytest.approx(reach)
    assert np.log((1 - estimate) / (1 - high)) == pytest.approx(reach)


def test_the_bootstrap_interval_is_scipy_s_bca():
    x = drawn(2, 4, 150, 3)
    counts = np.stack([(x == k).sum(axis=0) for k in range(3)], axis=1).astype(float)
    coefficient = Alpha(counts, "nominal", np.arange(3.0))

    def of_cases(cases):
        return coefficient(np.bincount(cases.astype(int), minlength=150)[None].astype(float))[0]

    settings = {"n_resamples": 4000, "method": "BCa", "vectorized": False}
    cases = (np.arange(150),)
    theirs = stats.bootstrap(cases, of_cases, **settings, rng=np.random.default_rng(0)).confidence_interval
    ours = bootstrapped(coefficient, np.arange(150), 0.95, 4000, seed=1)
    assert ours["low"] == pytest.approx(theirs.low, abs=0.012)
    assert ours["high"] == pytest.approx(theirs.high, abs=0.012)
    skewed = np.random.default_rng(3).lognormal(size=150)
    theirs = stats.bootstrap((skewed,), np.mean, **settings, rng=np.random.default_rng(0)).confidence_interval
    ours = bootstrapped(lambda w: w @ skewed / w.sum(axis=1), np.arange(150), 0.95, 4000, seed=1)
    assert ours["low"] == pytest.approx(theirs.low, abs=0.03)
    assert ours["high"] == pytest.approx(theirs.high, abs=0.05)


def test_draws_come_in_blocks_and_are_of_whole_patients(monkeypatch):
    monkeypatch.setattr("studykit.trust.agreement.BLOCK", 100)
    blocks = list(drawings(30, 10, seed=4))
    assert [len(block) for block in blocks] == [3, 3, 3, 1]
    assert (np.vstack(blocks).sum(axis=1) == 30).all()
    monkeypatch.setattr("studykit.trust.krippendorff_alpha.BLOCK", 7)
    x = drawn(4, 3, 12, 4)
    counts = np.stack([(x == k).sum(axis=0) for k in range(4)], axis=1).astype(float)
    weights = np.random.default_rng(0).multinomial(12, np.full(12, 1 / 12), size=9).astype(float)
    for metric in ("nominal", "ordinal", "ratio"):
        of_blocks = Alpha(counts, metric, np.arange(4.0))
        with monkeypatch.context() as whole:
            whole.setattr("studykit.trust.krippendorff_alpha.BLOCK", 10**6)
            np.testing.assert_allclose(
                Alpha(counts, metric, np.arange(4.0))(weights), of_blocks(weights), atol=1e-12
            )


def test_patients_left_out_in_groups_bend_the_interval_alike(monkeypatch):
    skewed = np.random.default_rng(3).lognormal(size=400)
    ours = [bootstrapped(lambda w: w @ skewed / w.sum(axis=1), np.arange(400), 0.95, 2000, seed=1)]
    monkeypatch.setattr("studykit.trust.agreement.LEAVES", 100)
    ours.append(bootstrapped(lambda w: w @ skewed / w.sum(axis=1), np.arange(400), 0.95, 2000, seed=1))
    width = ours[0]["high"] - ours[0]["low"]
    assert pd.DataFrame(ours).diff().abs().iloc[1].max() < 0.1 * width
