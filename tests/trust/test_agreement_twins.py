"""Coefficients of agreement against their definitions in nested loops, and against three libraries."""

from itertools import combinations, permutations

import krippendorff
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import cohen_kappa_score
from statsmodels.stats.inter_rater import cohens_kappa, fleiss_kappa

from studykit.trust.agreement import Ratings, agreed_by_case, ratings_of
from studykit.trust.brennan_prediger import BrennanPrediger
from studykit.trust.cohen_kappa import CohenKappa
from studykit.trust.conger_kappa import CongerKappa
from studykit.trust.fleiss_kappa import FleissKappa
from studykit.trust.gwet_ac import GwetAC
from studykit.trust.krippendorff_alpha import Alpha, KrippendorffAlpha
from studykit.trust.light_kappa import LightKappa
from studykit.trust.weights import WEIGHTS, agreement_weights
from tests.trust.agreement_tables import GWET, KRIPPENDORFF, SEEDS, drawn, long, value

FEW = settings(max_examples=25, deadline=None)
PAIR = {"group": "0, 1"}
OWN = ((0, 1, 3), (1, 0, 6), (3, 6, 0))


def slow_weight(name, k, j, q):
    """Agreement of the k-th and the j-th of q categories 0, 1, ..."""
    far = abs(k - j)
    between = far + 1  # categories from k to j
    return {
        "unweighted": float(k == j),
        "linear": 1 - far / (q - 1),
        "quadratic": 1 - (far / (q - 1)) ** 2,
        "ordinal": 1 - (between * (between - 1) / 2) / (q * (q - 1) / 2),
    }[name]


def slow_agreed(x, weight):
    """pa: the mean over cases rated twice of the mean agreement of pairs of ratings."""
    each = []
    for case in x.T:
        told = case[~np.isnan(case)]
        if len(told) >= 2:
            each.append(np.mean([weight(a, b) for a, b in permutations(told, 2)]))
    return np.mean(each)


def slow_shares(x, q):
    """pi_k: the mean over cases of the share of a case's ratings in category k."""
    cases = [case[~np.isnan(case)] for case in x.T]
    return [np.mean([np.mean(case == k) for case in cases if len(case)]) for k in range(q)]


def slow_chance(statistic, x, q, weight):
    if isinstance(statistic, BrennanPrediger):
        return np.mean([weight(k, j) for k in range(q) for j in range(q)])
    pi = slow_shares(x, q)
    if isinstance(statistic, FleissKappa):
        return sum(pi[k] * pi[j] * weight(k, j) for k in range(q) for j in range(q))
    if isinstance(statistic, GwetAC):
        total = sum(weight(k, j) for k in range(q) for j in range(q))
        return total * sum(p * (1 - p) for p in pi) / (q * (q - 1))
    used = [[np.mean(one[~np.isnan(one)] == k) for k in range(q)] for one in x]
    return np.mean(
        [
            sum(a[k] * b[j] * weight(k, j) for k in range(q) for j in range(q))
            for a, b in permutations(used, 2)
        ]
    )


@FEW
@given(SEEDS, st.integers(2, 5), st.integers(2, 4), st.sampled_from([0, 0.3]), st.sampled_from(WEIGHTS))
@pytest.mark.parametrize("kind", [FleissKappa, GwetAC, BrennanPrediger, CongerKappa])
def test_the_coefficients_are_their_definitions(kind, seed, readers, q, missing, weights):
    x = drawn(seed, readers, 14, q, missing)
    x[:, 0], x[:, 1] = 0, q - 1  # every category and reader is there
    statistic = kind(weights=weights, categories=tuple(range(q)))

    def weight(k, j):
        return slow_weight(weights, k, j, q)

    observed, chance = slow_agreed(x, weight), slow_chance(statistic, x, q, weight)
    told = statistic(long(x))
    assert value(told, statistic.called) == pytest.approx((observed - chance) / (1 - chance), abs=1e-12)
    assert value(told, "observed agreement") == pytest.approx(observed, abs=1e-12)
    assert value(told, "agreement by chance") == pytest.approx(chance, abs=1e-12)
    same = slow_agreed(x, lambda a, b: float(a == b))
    assert value(told, "percent agreement") == pytest.approx(same, abs=1e-12)


def weighted(ratings, times):
    """The ratings with each case counted as often as `times` says."""
    case = np.repeat(np.arange(len(times)), times)
    rows = [np.flatnonzero(ratings.case == one) for one in case]
    place = np.concatenate(rows)
    return Ratings(
        ratings.categories, True, list(range(len(case))), ratings.readers, ratings.code[place],
        np.repeat(np.arange(len(case)), [len(row) for row in rows]), ratings.reader[place],
        np.arange(len(case)),
    )  # fmt: skip


@settings(max_examples=8, deadline=None)
@given(SEEDS, st.sampled_from(["unweighted", "quadratic"]))
@pytest.mark.parametrize("kind", [FleissKappa, GwetAC, BrennanPrediger, CongerKappa])
def test_the_standard_error_is_what_each_case_moves(kind, seed, weights):
    """The infinitesimal jackknife: each case counted 201 times instead of 200, n / (n - 1) aside."""
    x = drawn(seed, 3, 12, 3)
    x[:, 0], x[:, 1], x[:, 2] = 0, 1, 2
    statistic, ratings = kind(weights=weights), ratings_of(long(x))
    w, n = agreement_weights(weights, ratings.categories), 12

    def coefficient(times):
        many = weighted(ratings, times)
        chance = statistic.chance(many, w)[0]
        return (np.nanmean(agreed_by_case(many.counts, w)) - chance) / (1 - chance)

    whole = coefficient(np.full(n, 200))
    moved = [(coefficient(np.full(n, 200) + np.eye(n, dtype=int)[k]) - whole) * 200 * n for k in range(n)]
    error = np.sqrt(np.sum(np.square(moved)) / (n * (n - 1)))
    assert value(statistic(long(x)), "standard error") == pytest.approx(error, rel=1e-2)


@FEW
@given(SEEDS, st.integers(2, 5), st.integers(10, 80), st.sampled_from(["unweighted", "linear", "quadratic"]))
def test_cohen_is_scikit_learn_s_and_statsmodels_(seed, q, cases, weights):
    x = drawn(seed, 2, cases, q).astype(int)
    x[:, 0], x[:, 1] = 0, q - 1
    statistic = CohenKappa(weights=weights, categories=tuple(range(q)))
    told = statistic(long(x))
    name = None if weights == "unweighted" else weights
    wanted = cohen_kappa_score(*x, weights=name, labels=np.arange(q))
    assert value(told, statistic.called, **PAIR) == pytest.approx(wanted, abs=1e-12)
    counts = np.zeros((q, q))
    np.add.at(counts, tuple(x), 1)
    theirs = cohens_kappa(counts, wt=name)
    assert value(told, "standard error", **PAIR) == pytest.approx(theirs.std_kappa, rel=1e-9)
    assert value(told, "standard error under chance", **PAIR) == pytest.approx(theirs.std_kappa0, rel=1e-9)
    assert value(told, "z", **PAIR) == pytest.approx(theirs.z_value, rel=1e-9)
    assert value(told, "p", **PAIR) == pytest.approx(theirs.pvalue_two_sided, rel=1e-9, abs=1e-300)


def test_own_weights_are_statsmodels_own_weights():
    x = drawn(3, 2, 60, 3).astype(int)
    counts = np.zeros((3, 3))
    np.add.at(counts, tuple(x), 1)
    theirs = cohens_kappa(counts, weights=np.array(OWN))
    told = CohenKappa(weights=OWN)(long(x))
    assert value(told, "Cohen's kappa (own weights)", **PAIR) == pytest.approx(theirs.kappa, abs=1e-12)
    assert value(told, "standard error", **PAIR) == pytest.approx(theirs.std_kappa, rel=1e-9)


@FEW
@given(SEEDS, st.integers(2, 6), st.integers(2, 5))
def test_fleiss_and_randolph_are_statsmodels(seed, readers, q):
    x = drawn(seed, readers, 30, q).astype(int)
    x[:, 0], x[:, 1] = 0, q - 1
    counts = np.stack([(x == k).sum(axis=0) for k in range(q)], axis=1)
    told = {kind: kind(categories=tuple(range(q)))(long(x)) for kind in (FleissKappa, BrennanPrediger)}
    fleiss, randolph = (fleiss_kappa(counts, method=method) for method in ("fleiss", "randolph"))
    assert value(told[FleissKappa], "Fleiss' kappa") == pytest.approx(fleiss, abs=1e-12)
    assert value(told[BrennanPrediger], "Brennan-Prediger kappa") == pytest.approx(randolph, abs=1e-12)


METRICS = ("nominal", "ordinal", "interval", "ratio")


@FEW
@given(SEEDS, st.integers(2, 6), st.integers(2, 6), st.sampled_from([0, 0.2, 0.5]), st.sampled_from(METRICS))
def test_alpha_is_the_krippendorff_package_s(seed, readers, q, missing, metric):
    x = drawn(seed, readers, 15, q, missing)
    x[:, 0], x[:, 1] = 0, q - 1
    told = KrippendorffAlpha(metric=metric, resamples=1)(long(x))
    wanted = krippendorff.alpha(x, level_of_measurement=metric)
    assert value(told, f"Krippendorff's alpha ({metric} metric)") == pytest.approx(wanted, abs=1e-12)


@settings(max_examples=10, deadline=None)
@given(SEEDS, st.sampled_from(METRICS))
def test_every_bootstrap_sample_is_the_package_s_alpha_of_these_cases(seed, metric):
    x = np.round(drawn(seed, 4, 20, 5, 0.1) * 1.7 + 0.3, 1)
    x[:2, :] = np.where(np.isnan(x[:2]), 0.3, x[:2])  # every case is pairable
    seen = np.unique(x[~np.isnan(x)])
    counts = np.stack([(x == one).sum(axis=0) for one in seen], axis=1).astype(float)
    times = np.random.default_rng(seed).multinomial(20, np.full(20, 1 / 20), size=5)
    ours = Alpha(counts, metric, (seen - seen[0]) / np.ptp(seen) if metric == "interval" else seen)(
        times.astype(float)
    )
    theirs = [krippendorff.alpha(np.repeat(x, row, axis=1), level_of_measurement=metric) for row in times]
    np.testing.assert_allclose(ours, theirs, atol=1e-12)


def slow_alpha(x, distance):
    """1 - Do / De by all pairs of ratings."""
    cases = [case[~np.isnan(case)] for case in x.T]
    cases = [case for case in cases if len(case) >= 2]
    every = np.concatenate(cases)
    observed = sum(sum(distance(a, b) for a, b in permutations(case, 2)) / (len(case) - 1) for case in cases)
    by_chance = sum(distance(a, b) for a, b in permutations(every, 2)) / (len(every) - 1)
    return 1 - observed / by_chance


def test_gwet_s_ordinal_weights_as_distances_give_another_alpha():
    """The two numbers of the specification: 0.815 and 0.834 on the same ratings."""
    w = agreement_weights("ordinal", [1, 2, 3, 4, 5])
    other = slow_alpha(KRIPPENDORFF, lambda a, b: 1 - w[int(a) - 1, int(b) - 1])
    ours = KrippendorffAlpha(metric="ordinal", resamples=1)(long(KRIPPENDORFF))
    assert round(other, 3) == 0.834
    assert round(value(ours, "Krippendorff's alpha (ordinal metric)"), 3) == 0.815


def test_interval_alpha_is_alpha_of_quadratic_weights():
    x = np.where(np.isnan(GWET), np.nan, np.array([np.nan, 0, 2, 3, 7, 11])[np.nan_to_num(GWET).astype(int)])
    seen = [0, 2, 3, 7, 11]
    w = agreement_weights("quadratic", seen)
    wanted = slow_alpha(x, lambda a, b: 1 - w[seen.index(a), seen.index(b)])
    told = KrippendorffAlpha(metric="interval", resamples=1)(long(x))
    assert value(told, "Krippendorff's alpha (interval metric)") == pytest.approx(wanted, abs=1e-12)


@FEW
@given(SEEDS, st.integers(2, 4), st.sampled_from(WEIGHTS))
def test_two_readers_identities(seed, q, weights):
    """Conger is Cohen, Light is Cohen, and alpha is Fleiss with its correction for few ratings."""
    x = drawn(seed, 2, 25, q)
    x[:, 0], x[:, 1] = 0, q - 1
    settings_ = {"weights": weights, "categories": tuple(range(q))}
    table, cohen = long(x), CohenKappa(**settings_)
    told = cohen(table)
    kappa, error = (value(told, row, **PAIR) for row in (cohen.called, "standard error"))
    for kind in (CongerKappa, LightKappa):
        statistic = kind(**settings_)
        assert value(statistic(table), statistic.called) == pytest.approx(kappa, abs=1e-12)
    conger = value(CongerKappa(**settings_)(table), "standard error")
    assert conger == pytest.approx(error * np.sqrt(25 / 24), rel=1e-9)
    fleiss = FleissKappa(categories=tuple(range(q)))(table)
    alpha = KrippendorffAlpha(resamples=1)(table)
    wanted = 1 - (1 - value(fleiss, "Fleiss' kappa")) * (50 - 1) / 50
    assert value(alpha, "Krippendorff's alpha (nominal metric)") == pytest.approx(wanted, abs=1e-12)


@settings(max_examples=8, deadline=None)
@given(SEEDS, st.sampled_from([0, 0.3]), st.sampled_from(WEIGHTS))
def test_light_is_the_mean_of_all_cohen_s(seed, missing, weights):
    x = drawn(seed, 4, 30, 3, missing)
    x[:, 0], x[:, 1], x[:, 2] = 0, 1, 2
    cohen, light = CohenKappa(weights=weights), LightKappa(weights=weights, resamples=1)
    told = cohen(long(x))
    each = [value(told, cohen.called, group=f"{a}, {b}") for a, b in combinations(range(4), 2)]
    ours = light(long(x))
    assert value(ours, light.called) == pytest.approx(np.mean(each), abs=1e-12)
    assert value(ours, "lowest of the pairs") == pytest.approx(min(each), abs=1e-12)
    assert value(ours, "highest of the pairs") == pytest.approx(max(each), abs=1e-12)


def test_numbers_keep_their_distance_where_one_between_was_not_used():
    """Grades 1, 2 and 4 are not 1, 2 and 3."""
    x = np.array([[1, 2, 4, 4, 1, 2], [1, 2, 4, 2, 2, 2]])
    seen, all_four = (
        CohenKappa(weights="quadratic", categories=categories)(long(x)) for categories in ((), (1, 2, 3, 4))
    )
    name = "Cohen's kappa (quadratic weights)"
    assert value(seen, name, **PAIR) == pytest.approx(value(all_four, name, **PAIR), abs=1e-12)
    words = np.array(["-", "a", "b", "?", "c"])[x]
    in_order = CohenKappa(weights="quadratic", categories=("a", "b", "c"))(long(words))
    assert value(in_order, name, **PAIR) != pytest.approx(value(seen, name, **PAIR), abs=1e-3)
