"""Time on task: ratios against SciPy's t tests on log times, and made tables with a known ratio."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from studykit.trust.time_on_task import TimeOnTask
from tests.trust.telling import crossed, value


def timed(seed=0, readers=7, cases=12, ratio=1.5):
    rng = np.random.default_rng(seed)
    logs = 3 + rng.normal(0, 0.4, (readers, cases, 2)) + rng.normal(0, 0.5, (readers, 1, 1))
    logs[:, :, 1] -= np.log(ratio)
    return logs, crossed(np.exp(logs)).rename(columns={"rating": "elapsed"})


def test_equals_t_tests_of_the_readers_mean_log_times():
    logs, table = timed()
    told = TimeOnTask()(table)
    of_reader = logs.mean(axis=1)
    for k in (0, 1):
        assert value(told, "geometric mean time", f"k{k}") == pytest.approx(
            stats.gmean(np.exp(of_reader[:, k]))
        )
        ends = stats.t.interval(0.95, 6, of_reader[:, k].mean(), stats.sem(of_reader[:, k]))
        found = [value(told, "geometric mean time", f"k{k}", of) for of in ("low", "high")]
        assert found == pytest.approx(np.exp(ends))
    paired = stats.ttest_rel(of_reader[:, 0], of_reader[:, 1]).confidence_interval()
    ratio = [value(told, "ratio of times", "k0, k1", of) for of in ("low", "high")]
    assert ratio == pytest.approx(np.exp([paired.low, paired.high]))
    assert value(told, "ratio of times", "k0, k1") == pytest.approx(1.5, rel=0.2)


def test_readers_count_alike_and_only_those_with_both_conditions():
    _, table = timed()
    short = table[~((table["reader"] == "r00") & (table["condition"] == "k1"))]
    told = TimeOnTask()(short)
    assert value(told, "geometric mean time", "k0", "n") == 7
    assert value(told, "ratio of times", "k0, k1", "n") == 6
    without = TimeOnTask()(table[table["reader"] != "r00"])
    assert value(told, "ratio of times", "k0, k1") == pytest.approx(
        value(without, "ratio of times", "k0, k1")
    )


def test_a_repetition_is_compared_with_the_first_reading_and_enters_nothing_else():
    rng = np.random.default_rng(1)
    _, table = timed()
    faster = np.repeat(np.exp(rng.normal(-0.3, 0.05, 7)), 24)
    again = table.assign(repeat=1, elapsed=table["elapsed"] * faster)
    both = pd.concat([table.assign(repeat=0), again]).sample(frac=1, random_state=0)
    told = TimeOnTask()(both)
    ratio = value(told, "ratio of times, second reading to first")
    assert ratio == pytest.approx(stats.gmean(faster[::24]))
    ends = stats.t.interval(0.95, 6, np.log(faster[::24]).mean(), stats.sem(np.log(faster[::24])))
    assert value(told, "ratio of times, second reading to first", column="low") == pytest.approx(
        np.exp(ends[0])
    )
    alone = TimeOnTask()(table)
    assert value(told, "ratio of times", "k0, k1") == pytest.approx(value(alone, "ratio of times", "k0, k1"))
    assert value(alone, "ratio of times, second reading to first", column="why") == "no reading was repeated"


def test_intervals_of_the_ratio_cover():
    hits = 0
    for seed in range(200):
        told = TimeOnTask()(timed(seed, readers=4, cases=5)[1])
        low, high = (value(told, "ratio of times", "k0, k1", of) for of in ("low", "high"))
        hits += low <= 1.5 <= high
    assert 0.9 <= hits / 200 <= 0.99


def test_says_why_not():
    _, table = timed()
    lost = table.assign(elapsed=table["elapsed"].where(table.index % 2 == 0, [0, -1, np.nan, np.inf] * 42))
    told = TimeOnTask()(lost)
    assert value(told, "readings without a time") == 84
    assert TimeOnTask()(table.assign(elapsed=0))["why"].tolist() == ["no reading has a time above nought"]
    one = TimeOnTask()(table[table["reader"] == "r03"])
    assert value(one, "ratio of times", "k0, k1", "why") == "one reader gives no interval over readers"
    assert np.isfinite(value(one, "ratio of times", "k0, k1"))
    words = TimeOnTask()(table.assign(elapsed="long"))
    assert words["why"].tolist() == ["the elapsed 'long' is no number"]
