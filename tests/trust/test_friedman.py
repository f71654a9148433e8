"""Friedman's test and Kendall's W against SciPy, pingouin, printed quantiles, and W by its definition."""

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pingouin
import pytest
import statsmodels.formula.api as formula
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.multitest import multipletests

from studykit.catalog import InputError
from studykit.scores import draws
from studykit.trust.free_text import FreeText
from studykit.trust.friedman import Friedman, kendall_w
from studykit.trust.holm import holm
from studykit.trust.reliance import Reliance
from studykit.trust.trust_calibration import TrustCalibration
from studykit.trust.wilcoxon import Wilcoxon
from tests.trust.telling import crossed, value

RATINGS = st.integers(0, 4)


def grid(data, blocks, conditions):
    cells = st.lists(RATINGS, min_size=conditions, max_size=conditions)
    return np.array(data.draw(st.lists(cells, min_size=blocks, max_size=blocks)), dtype=float)


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_equals_scipy_and_pingouin_with_ties(data):
    ratings = grid(data, data.draw(st.integers(3, 8)), data.draw(st.integers(3, 5)))
    told = Friedman(resamples=50)(crossed(ratings[:, None, :]))
    if (ratings == ratings[:, :1]).all():
        assert value(told, "Friedman's chi-square", column="why") == "every block rates all conditions alike"
        return
    scipy = stats.friedmanchisquare(*ratings.T)
    assert value(told, "Friedman's chi-square") == pytest.approx(scipy.statistic, abs=1e-9)
    assert value(told, "p") == pytest.approx(scipy.pvalue, abs=1e-12)
    table = crossed(ratings[:, None, :])
    theirs = pingouin.friedman(table, dv="rating", within="condition", subject="reader", method="f")
    assert value(told, "Kendall's W") == pytest.approx(theirs["W"].iloc[0], abs=1e-9)
    f = value(told, "Iman-Davenport F")
    assert np.isnan(f) or f == pytest.approx(theirs["F"].iloc[0])


def test_conovers_pairs_are_the_t_tests_of_a_linear_model_of_ranks():
    ratings = np.random.default_rng(1).integers(0, 5, (9, 4)).astype(float)
    table = crossed(ratings[:, None, :])
    told = Friedman()(table)
    table["rank"] = table.groupby("reader")["rating"].rank()
    model = formula.ols("rank ~ reader + condition", table).fit()
    raw = [model.pvalues[f"condition[T.k{k}]"] for k in (1, 2, 3)]
    ends = model.conf_int().loc["condition[T.k1]"]
    pairs = [f"k{a}, k{b}" for a in range(4) for b in range(a + 1, 4)]
    p = [value(told, "p, Conover, Holm", pair) for pair in pairs]
    all_raw = [
        model.t_test(f"condition[T.k{b}] - condition[T.k{a}] = 0").pvalue.item()
        for a in (1, 2) for b in range(a + 1, 4)
    ]  # fmt: skip
    assert p == pytest.approx(multipletests([*raw, *all_raw], method="holm")[1], rel=1e-9)
    assert value(told, "difference of mean ranks", "k0, k1", "low") == pytest.approx(-ends[1])
    assert value(told, "difference of mean ranks", "k0, k1", "high") == pytest.approx(-ends[0])


@pytest.mark.parametrize("conditions, printed", [(2, 1.960), (3, 2.343), (4, 2.569), (5, 2.728), (10, 3.164)])
def test_nemenyis_critical_difference_is_the_printed_one(conditions, printed):
    # Demsar, J Machine Learning Research 2006;7:1, table 5 (a)
    ratings = np.random.default_rng(2).random((12, 1, conditions))
    told = Friedman(post_hoc="nemenyi", resamples=10)(crossed(ratings))
    apart, high = (value(told, "difference of mean ranks", "k0, k1", of) for of in ("estimate", "high"))
    critical = printed * np.sqrt(conditions * (conditions + 1) / (6 * 12))
    assert high - apart == pytest.approx(critical, rel=4e-4)
    assert (value(told, "p, Nemenyi", "k0, k1") < 0.05) == (abs(apart) > high - apart)


def slow_w(centred, reader, drawn):
    """W over every two blocks of the drawn readers, no two of which are copies of one reader."""
    between, within, own = [], [], []
    for i, one in enumerate(drawn):
        for j, other in enumerate(drawn):
            for a in np.flatnonzero(reader == one):
                for b in np.flatnonzero(reader == other):
                    if i != j and one != other:
                        between.append(centred[a] @ centred[b])
                    if i == j and a != b:
                        within.append(centred[a] @ centred[b])
                    if i == j and a == b:
                        own.append(centred[a] @ centred[b])
    m = len(centred)
    same = sum((reader == k).sum() * ((reader == k).sum() - 1) for k in np.unique(reader))
    other = m * m - m - same
    if not between or not np.mean(own):
        return np.nan
    total = other * np.mean(between) + (same * np.mean(within) if within else 0) + m * np.mean(own)
    return np.clip(total / (m**2 * np.mean(own)), 0, 1)


@settings(max_examples=20, deadline=None)
@given(st.data())
def test_each_draw_is_w_over_pairs_of_different_readers(data):
    count = data.draw(st.lists(st.integers(1, 3), min_size=3, max_size=5))
    reader = np.repeat(np.arange(len(count)), count)
    centred = stats.rankdata(grid(data, len(reader), 3), axis=1) - 2
    times = draws(np.arange(len(count)), 6, data.draw(st.integers(0, 99)))
    fast = kendall_w(centred, reader, times)
    for row, found in zip(times.astype(int), fast, strict=True):
        drawn = np.repeat(np.arange(len(count)), row)
        assert found == pytest.approx(slow_w(centred, reader, drawn), abs=1e-9, nan_ok=True)
    whole = kendall_w(centred, reader, np.ones((1, len(count))))[0]
    if centred.any():
        m = len(centred)
        assert whole == pytest.approx((centred.sum(axis=0) ** 2).sum() / (m * (centred**2).sum()), abs=1e-9)


def test_ws_interval_covers_more_often_than_a_plain_bootstrap_would():
    rng, truth, hits, plain = np.random.default_rng(3), [], 0, 0
    mean, readers, repeats = np.array([0, 0.5, 1.0]), 8, 150
    times = draws(np.arange(readers), 300, 0)
    for _ in range(3000):
        ranks = stats.rankdata(mean + rng.normal(size=(readers, 3)), axis=1) - 2
        truth.append((ranks.sum(axis=0) ** 2).sum() / (readers * (ranks**2).sum()))
    for k in range(repeats):
        told = Friedman(resamples=300, seed=k)(crossed(mean + rng.normal(size=(readers, 1, 3))))
        low, high = (value(told, "Kendall's W", column=of) for of in ("low", "high"))
        hits += low <= np.mean(truth) <= high
        ranks = stats.rankdata(mean + rng.normal(size=(readers, 3)), axis=1) - 2
        w = ((times @ ranks) ** 2).sum(axis=1) / (readers * (times @ (ranks**2).sum(axis=1)))
        low, high = np.quantile(w, [0.025, 0.975])
        plain += low <= np.mean(truth) <= high
    assert hits / repeats >= 0.92
    assert plain < hits


def test_blocks_are_readers_or_readers_with_cases():
    ratings = np.random.default_rng(4).random((6, 5, 3))
    table = crossed(ratings)
    of_readers = Friedman()(table)
    assert value(of_readers, "Friedman's chi-square") == pytest.approx(
        stats.friedmanchisquare(*ratings.mean(axis=1).T).statistic
    )
    of_cells = Friedman(blocks="reader and case")(table)
    assert value(of_cells, "Friedman's chi-square") == pytest.approx(
        stats.friedmanchisquare(*ratings.reshape(-1, 3).T).statistic
    )
    assert "not independent" in value(of_cells, "p", column="why")
    short = table[~((table["reader"] == "r00") & (table["condition"] == "k2"))]
    assert value(Friedman()(short), "blocks left out") == 1
    assert value(Friedman(blocks="reader and case")(short), "blocks left out") == 5


@pytest.mark.real_data
def test_of_the_published_ranks_of_saliency_methods():
    path = Path(os.environ["STUDYKIT_DATA"]) / "readers/xai_preference/ranks_long.csv"
    names = {"reader": "subject", "case": "image", "condition": "method", "rating": "rank"}
    table = pd.read_csv(path)
    told = Friedman(blocks="reader and case")(table, **names)
    assert value(told, "Friedman's chi-square") == pytest.approx(32.06, abs=1e-9)
    assert value(told, "Kendall's W") == pytest.approx(0.178111, abs=1e-6)
    assert value(told, "Kendall's W", column="n") == 60
    of_subjects = Friedman()(table, **names)
    assert value(of_subjects, "Friedman's chi-square") == pytest.approx(10.770833, abs=1e-6)
    assert value(of_subjects, "p") == pytest.approx(0.013032, abs=1e-6)
    ranks = {method: value(told, "mean rank", method) for method in table["method"].unique()}
    assert min(ranks, key=ranks.get) == "BPT"
    assert sum(ranks.values()) == pytest.approx(10)


def test_says_why_not():
    rng = np.random.default_rng(5)
    one = Friedman()(crossed(rng.random((6, 3, 1))))
    assert one["why"].tolist() == ["there is one condition only; nothing to compare"]
    alone = Friedman()(crossed(rng.random((1, 3, 3))))
    assert "two are needed" in alone["why"].iloc[0]
    few = Friedman()(crossed(rng.random((3, 3, 3))))
    assert "3 readers are fewer than the 5" in value(few, "Kendall's W", column="why")
    assert np.isfinite(value(few, "Kendall's W"))
    same = np.tile(np.arange(3.0), (6, 1, 1))
    alike = Friedman()(crossed(same))
    assert value(alike, "Kendall's W") == 1
    assert np.isnan(value(alike, "Kendall's W", column="low"))
    assert "no spread" in value(alike, "p, Conover, Holm", "k0, k1", "why")
    assert value(Friedman(post_hoc="nemenyi")(crossed(same)), "p, Nemenyi", "k0, k2") < 0.01
    for wrong in ({"blocks": "case"}, {"post_hoc": "dunn"}):
        with pytest.raises(InputError, match="There is no"):
            Friedman(**wrong)


@pytest.mark.parametrize("cls", [Friedman, FreeText, Reliance, TrustCalibration, Wilcoxon])
def test_no_draws_are_no_setting(cls):
    with pytest.raises(InputError, match="'resamples' of .* is 1 or more, not 0"):
        cls(resamples=0)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holm_equals_statsmodels(p):
    assert holm(p) == pytest.approx(multipletests(p, method="holm")[1], abs=1e-12)
    with_gap = holm([*p, np.nan])
    assert np.isnan(with_gap[-1]) and with_gap[:-1] == pytest.approx(holm(p))


def test_intervals_of_several_pairs_are_told_to_be_unadjusted():
    ratings = np.random.default_rng(8).normal(size=(7, 1, 3))
    name, pair = "difference of mean ranks", "k0, k1"
    assert "p is adjusted for all" in value(Friedman(resamples=9)(crossed(ratings)), name, pair, "why")
    assert value(Friedman(resamples=9)(crossed(ratings[:, :, :2])), name, pair, "why") == ""
    told = Friedman(resamples=9, post_hoc="nemenyi")(crossed(ratings))
    assert value(told, name, pair, "why") == ""
