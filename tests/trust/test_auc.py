"""AUC, placements and pseudovalues against the definition by loops, and the curves against scikit-learn."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score, roc_curve

from studykit.catalog import InputError
from studykit.scores import auroc
from studykit.trust import NotEstimable
from studykit.trust.auc import auc, placements, pseudovalues, roc_curves, weighted_auc
from studykit.trust.roe_metz import roe_metz

RATINGS = st.lists(st.integers(0, 4).map(float), min_size=1, max_size=12).map(np.array)


def by_pairs(positive, negative):
    """The definition."""
    won = [1 if x > y else 0.5 if x == y else 0 for x in positive for y in negative]
    return sum(won) / len(won)


@settings(max_examples=60, deadline=None)
@given(RATINGS, RATINGS)
def test_placements_are_the_definition(positive, negative):
    p, q = placements(positive, negative)
    np.testing.assert_allclose(p, [by_pairs([x], negative) for x in positive], atol=1e-15)
    np.testing.assert_allclose(q, [by_pairs(positive, [y]) for y in negative], atol=1e-15)
    truth = np.repeat([1, 0], [len(positive), len(negative)])
    assert auc(positive, negative) == pytest.approx(roc_auc_score(truth, [*positive, *negative]), abs=1e-12)
    assert p.mean() == pytest.approx(q.mean(), abs=1e-12)


@settings(max_examples=60, deadline=None)
@given(RATINGS, RATINGS)
def test_pseudovalues_are_those_of_recomputing(positive, negative):
    n = len(positive) + len(negative)
    told = pseudovalues(positive, negative)
    whole = by_pairs(positive, negative)
    for k in range(len(positive)):
        left = np.delete(positive, k)
        wanted = n * whole - (n - 1) * by_pairs(left, negative) if len(left) else np.nan
        assert told[0][k] == pytest.approx(wanted, abs=1e-12, nan_ok=True)
    for k in range(len(negative)):
        left = np.delete(negative, k)
        wanted = n * whole - (n - 1) * by_pairs(positive, left) if len(left) else np.nan
        assert told[1][k] == pytest.approx(wanted, abs=1e-12, nan_ok=True)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6))
def test_weighted_auc_is_that_of_repeated_cases(seed):
    rng = np.random.default_rng(seed)
    ratings, positive = rng.integers(0, 4, 15).astype(float), rng.random(15) < 0.5
    weights = rng.integers(0, 3, (20, 15)).astype(float)
    told = weighted_auc(ratings, positive, weights)
    p = np.stack([-ratings, ratings], axis=1)
    np.testing.assert_allclose(told, auroc(positive.astype(int), p, weights), atol=1e-12)


def test_auc_needs_both_classes():
    assert np.isnan(auc(np.array([]), np.array([1.0]))) and np.isnan(auc(np.array([1.0]), np.array([])))


@pytest.mark.parametrize("binned", [False, True])
def test_curves_are_those_of_scikit_learn_and_hold_the_area(binned):
    table = roe_metz(readers=2, positive=15, negative=20, seed=1, binned=binned)
    curves = roc_curves(table)
    assert list(curves) == ["reader", "condition", "false_positive", "true_positive", "threshold"]
    for (reader, condition), curve in curves.groupby(["reader", "condition"]):
        mine = table[(table["reader"] == reader) & (table["condition"] == condition)]
        wanted = roc_curve(mine["truth"], mine["rating"], drop_intermediate=False)
        for name, values in zip(("false_positive", "true_positive", "threshold"), wanted, strict=True):
            np.testing.assert_allclose(curve[name], values, atol=1e-12)
        area = np.trapezoid(curve["true_positive"], curve["false_positive"])
        assert area == pytest.approx(roc_auc_score(mine["truth"], mine["rating"]), abs=1e-12)


def test_curves_of_what_has_none():
    table = roe_metz(readers=2, positive=5, negative=5)
    one_class = table[(table["reader"] != "reader 1") | (table["truth"] == 1)]
    assert set(roc_curves(one_class)["reader"]) == {"reader 2"}
    with pytest.raises(NotEstimable, match="no case's truth is 1"):
        roc_curves(table.assign(truth="benign"))
    with pytest.raises(InputError, match="'truth'"):
        roc_curves(table.drop(columns="truth"))
    words = table.assign(truth=table["truth"].map({1: "malignant", 0: "benign"}))
    named = roc_curves(words.rename(columns={"rating": "score"}), positive="malignant", rating="score")
    pd.testing.assert_frame_equal(named, roc_curves(table))
