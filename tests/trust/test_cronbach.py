"""Cronbach's alpha: pingouin, its definition, its identity with ICC(3,k)."""

import numpy as np
import pandas as pd
import pingouin
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from studykit.trust.cronbach_alpha import CronbachAlpha
from studykit.trust.icc import Icc
from tests.trust.agreement_tables import SEEDS, SHROUT_FLEISS, long, value

ALPHA = "Cronbach's alpha"


def answers(x):
    """The long table of answers (readers, items)."""
    return long(x).rename(columns={"case": "item"})


@settings(max_examples=25, deadline=None)
@given(SEEDS, st.integers(2, 12), st.integers(3, 30))
def test_alpha_and_its_interval_are_pingouin_s(seed, items, readers):
    rng = np.random.default_rng(seed)
    x = rng.normal(0, 1, (readers, 1)) + rng.normal(0, 1, (readers, items))
    told = CronbachAlpha()(answers(x))
    alpha, ends = pingouin.cronbach_alpha(pd.DataFrame(x))
    assert value(told, ALPHA) == pytest.approx(alpha, abs=1e-10)
    assert value(told, ALPHA, "low") == pytest.approx(ends[0], abs=0.000501)
    assert value(told, ALPHA, "high") == pytest.approx(ends[1], abs=0.000501)
    variances = sum(np.var(x[:, k], ddof=1) for k in range(items))
    wanted = items / (items - 1) * (1 - variances / np.var(x.sum(axis=1), ddof=1))
    assert value(told, ALPHA) == pytest.approx(wanted, abs=1e-10)


def test_alpha_is_icc_3_k_of_items_as_readers():
    told = CronbachAlpha()(answers(SHROUT_FLEISS.T))
    icc = Icc()(long(SHROUT_FLEISS)).set_index("statistic").loc["ICC(3,k)"]
    for column in ("estimate", "low", "high"):
        assert value(told, ALPHA, column) == pytest.approx(icc[column])


def test_each_item_left_out():
    x = np.random.default_rng(0).normal(size=(20, 1)) + np.random.default_rng(1).normal(size=(20, 5))
    x[:, 4] = np.random.default_rng(2).normal(size=20)  # asks another thing
    told = CronbachAlpha()(answers(x))
    for item in range(5):
        alpha, _ = pingouin.cronbach_alpha(pd.DataFrame(np.delete(x, item, axis=1)))
        assert value(told, "alpha without the item", group=str(item)) == pytest.approx(alpha, abs=1e-10)
    assert value(told, "alpha without the item", group="4") > value(told, ALPHA)


def test_a_reader_who_left_an_item_out_is_left_out_and_counted():
    x = np.random.default_rng(0).integers(1, 6, (9, 4)).astype(float)
    whole = CronbachAlpha()(answers(x[:8]))
    x[8, 2] = np.nan
    told = CronbachAlpha()(answers(x))
    assert value(told, ALPHA) == pytest.approx(value(whole, ALPHA))
    assert value(told, ALPHA, "n") == 8
    assert value(told, "readers left out (an item is missing)") == 1


@pytest.mark.parametrize(
    ("x", "why"),
    [
        (np.ones((5, 3)), "the same sum"),
        ([[1], [2], [3]], "one item only"),
        ([[1, 2, 3]], "1 readers answered"),
        ([["agree", "agree"], ["agree", "no"]], "is no number"),
        (np.full((4, 3), np.nan), "no ratings"),
    ],
)
def test_what_cannot_be_told_says_why(x, why):
    told = CronbachAlpha()(answers(np.array(x)))
    assert np.isnan(told["estimate"].iloc[0]) and why in told["why"].iloc[0]


def test_answers_without_a_name_are_refused():
    table = answers(np.arange(12).reshape(4, 3)).assign(reader=np.nan)
    assert "no reader's name" in CronbachAlpha()(table)["why"].iloc[0]


def test_items_that_are_all_alike_give_1_and_no_interval():
    told = CronbachAlpha()(answers(np.tile(np.arange(1, 6)[:, None], 3)))
    assert value(told, ALPHA) == pytest.approx(1)
    assert np.isnan(value(told, ALPHA, "low")) and "no interval" in value(told, ALPHA, "why")
