"""Wilcoxon's test against SciPy and pingouin, all signs counted out, and R's printed example."""

import itertools

import numpy as np
import pingouin
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.multitest import multipletests

from studykit.trust.wilcoxon import Wilcoxon, signed_ranks
from tests.trust.telling import crossed, value

# Hollander and Wolfe 1973, depression scores; expected is what R's paired wilcox.test prints
FIRST = [1.83, 0.50, 1.62, 2.48, 1.68, 1.88, 1.55, 3.06, 1.30]
SECOND = [0.878, 0.647, 0.598, 2.05, 1.06, 1.29, 1.06, 3.14, 1.29]


def paired(first, second):
    return crossed(np.stack([first, second], axis=1)[:, None, :])


def test_equals_the_printed_example():
    told = Wilcoxon()(paired(FIRST, SECOND))
    assert value(told, "Wilcoxon's signed-rank sum", "k0, k1") == 5
    assert value(told, "p, exact", "k0, k1") == pytest.approx(2 * 0.01953125)
    difference = [
        value(told, "Hodges-Lehmann difference", "k0, k1", of) for of in ("estimate", "low", "high")
    ]
    assert difference == pytest.approx([0.46, 0.01, 0.786])
    theirs = pingouin.wilcoxon(FIRST, SECOND)
    assert value(told, "rank-biserial correlation", "k0, k1") == pytest.approx(theirs["RBC"].iloc[0])
    assert value(told, "smallest p that n readers can reach", "k0, k1") == 2 / 2**9


def slow_p(gap):
    """The share of all signs that give a rank sum as far out."""
    gap = gap[gap != 0]
    ranks = stats.rankdata(np.abs(gap))
    found = min(ranks[gap > 0].sum(), ranks[gap < 0].sum())
    sums = [np.dot(signs, ranks) for signs in itertools.product((0, 1), repeat=len(gap))]
    return min(1.0, 2 * np.mean(np.array(sums) <= found + 1e-9))


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(-4, 4), min_size=1, max_size=9))
def test_exact_p_counts_out_all_signs_ties_included(gap):
    total, p, how = signed_ranks(np.array(gap, float))
    assert how == "exact"
    if any(gap):
        assert p == pytest.approx(slow_p(np.array(gap)))
        assert p >= 2.0 ** (1 - np.count_nonzero(gap)) - 1e-12
    else:
        assert np.isnan(p) and np.isnan(total)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000), st.integers(3, 40))
def test_equals_scipy_without_ties(seed, n):
    gap = np.random.default_rng(seed).normal(0.3, 1, n)
    scipy = stats.wilcoxon(gap, method="exact")
    total, p, _ = signed_ranks(gap)
    assert (total, p) == pytest.approx((scipy.statistic, scipy.pvalue))


@pytest.mark.parametrize("seed", range(3))
def test_many_readers_with_ties_equal_scipys_approximation(seed):
    gap = np.random.default_rng(seed).integers(-4, 6, 90).astype(float)
    scipy = stats.wilcoxon(gap, method="asymptotic", correction=True, zero_method="wilcox")
    total, p, how = signed_ranks(gap)
    assert how == "normal approximation"
    assert (total, p) == pytest.approx((scipy.statistic, scipy.pvalue), rel=1e-9)


@pytest.mark.parametrize("n", [6, 7, 11, 60])
def test_the_interval_holds_what_the_test_does_not_reject(n):
    first = np.random.default_rng(n).normal(0.4, 1, n)
    told = Wilcoxon(resamples=20)(paired(first, np.zeros(n)))
    low, high = (value(told, "Hodges-Lehmann difference", "k0, k1", of) for of in ("low", "high"))
    for inside, outside in ((low + 1e-6, low - 1e-6), (high - 1e-6, high + 1e-6)):
        assert signed_ranks(first - inside)[1] > 0.05 - 0.002
        assert signed_ranks(first - outside)[1] <= 0.05 + 0.002


def test_holm_is_over_pairs_and_means_are_over_cases():
    ratings = np.random.default_rng(1).normal(size=(12, 5, 4)) + np.arange(4) / 3
    told = Wilcoxon(resamples=20)(crossed(ratings))
    pairs = list(itertools.combinations(range(4), 2))
    means = ratings.mean(axis=1)
    raw = [stats.wilcoxon(means[:, a], means[:, b]).pvalue for a, b in pairs]
    assert [value(told, "p, exact", f"k{a}, k{b}") for a, b in pairs] == pytest.approx(raw)
    adjusted = [value(told, "p, Holm", f"k{a}, k{b}") for a, b in pairs]
    assert adjusted == pytest.approx(multipletests(raw, method="holm")[1])


def test_rounding_does_not_break_ties():
    first = np.array([3.3, 2.2, 1.1, 4.4, 0.3, 9.9])
    gap = np.array([0.3, 0.3, -0.3, 0.3, -0.3, 0.3])
    table = paired(first + gap, first)
    assert len({*(np.round(first + gap - first, 17))}) > 2  # as floats they differ
    told = Wilcoxon(resamples=20)(table)
    assert value(told, "p, exact", "k0, k1") == pytest.approx(slow_p(gap))


def test_the_effects_interval_is_that_of_redrawn_readers():
    rng = np.random.default_rng(2)
    gap = rng.normal(0.5, 1, 30)
    told = Wilcoxon(resamples=3000)(paired(gap, np.zeros(30)))

    def effect(gap):
        ranks = stats.rankdata(np.abs(gap[gap != 0]))
        return (np.sign(gap[gap != 0]) * ranks).sum() / ranks.sum()

    drawn = [effect(rng.choice(gap, 30)) for _ in range(3000)]
    ends = [value(told, "rank-biserial correlation", "k0, k1", of) for of in ("estimate", "low", "high")]
    assert ends[0] == pytest.approx(effect(gap))
    assert ends[1:] == pytest.approx(np.quantile(drawn, [0.0226, 0.9774]), abs=0.04)


def test_says_why_not():
    same = Wilcoxon()(paired(np.ones(6), np.ones(6)))
    assert value(same, "p, exact", "k0, k1", "why") == "no reader differs between them"
    assert value(same, "readers without a difference", "k0, k1") == 6
    few = Wilcoxon()(paired(FIRST[:5], SECOND[:5]))
    assert value(few, "Hodges-Lehmann difference", "k0, k1", "why").startswith("5 readers cannot give a 95 %")
    assert value(few, "smallest p that n readers can reach", "k0, k1") == 0.0625
    upwards = Wilcoxon()(paired(np.arange(1.0, 8), np.zeros(7)))
    assert value(upwards, "rank-biserial correlation", "k0, k1") == 1
    assert "one direction" in value(upwards, "rank-biserial correlation", "k0, k1", "why")
    apart = paired(FIRST, SECOND)
    apart = apart[(apart["condition"] == "k0") ^ (apart["reader"] < "r04")]
    told = Wilcoxon()(apart)
    assert value(told, "p, Holm", "k0, k1", "why") == "no reader rated both"
    assert (
        Wilcoxon()(apart[apart["condition"] == "k0"])["why"].iloc[0].startswith("there is one condition only")
    )


def test_ratings_beyond_what_can_be_subtracted():
    table = paired([1e308, 2, 3], [-1e308, 3, 1])
    for ratings in (table["rating"], table["rating"].astype(object)):
        told = Wilcoxon()(table.assign(rating=ratings))
        assert told["estimate"].isna().all() and "too large" in told["why"].iloc[0]
