"""Questionnaires: printed scoring rules item by item, missing answers, and slots for wording."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from studykit.catalog import InputError
from studykit.trust.hoffman import Hoffman
from studykit.trust.jian_trust import JianTrust
from studykit.trust.sus import Sus
from studykit.trust.system_causability import SystemCausability
from tests.trust.telling import value

SPANS = {Sus: (0, 100), SystemCausability: (0.2, 1), JianTrust: (1, 7), Hoffman: (1, 5)}
ALL = tuple(SPANS)


def answered(statistic, grid):
    """Answers (readers, items) as rows; NaN is left out."""
    rows = [
        (f"r{r}", item, answer)
        for r, line in enumerate(grid)
        for item, answer in zip(statistic.items, line, strict=True)
        if not np.isnan(answer)
    ]
    return pd.DataFrame(rows, columns=["reader", "item", "rating"])


def slow_scores(statistic, line):
    """By the rules as they are printed, item by item."""
    if isinstance(statistic, Sus):
        odd = sum(line[k] - 1 for k in (0, 2, 4, 6, 8))
        even = sum(5 - line[k] for k in (1, 3, 5, 7, 9))
        return {"System Usability Scale": 2.5 * (odd + even)}
    if isinstance(statistic, SystemCausability):
        return {"System Causability Scale": sum(line) / 50}
    if isinstance(statistic, JianTrust):
        return {"distrust (Jian)": np.mean(line[:5]), "trust (Jian)": np.mean(line[5:])}
    trust = [*line[8:13], 6 - line[13], *line[14:]]
    return {"explanation satisfaction": np.mean(line[:8]), "trust (Hoffman)": np.mean(trust)}


@settings(max_examples=15, deadline=None)
@given(st.data())
@pytest.mark.parametrize("cls", ALL)
def test_scores_are_the_printed_ones(cls, data):
    statistic = cls()
    answers = st.integers(statistic.lowest, statistic.highest)
    lines = st.lists(answers, min_size=len(statistic.items), max_size=len(statistic.items))
    grid = np.array(data.draw(st.lists(lines, min_size=1, max_size=5)), dtype=float)
    told = statistic(answered(statistic, grid))
    by_reader = [slow_scores(statistic, line) for line in grid]
    for name in statistic.scales:
        each = [scores[name] for scores in by_reader]
        assert [value(told, name, f"reader r{r}") for r in range(len(grid))] == pytest.approx(each)
        assert value(told, name) == pytest.approx(np.mean(each))
        if len(grid) > 1 and np.ptp(each) > 1e-9:
            ends = stats.t.interval(0.95, len(each) - 1, np.mean(each), stats.sem(each))
            assert [value(told, name, column=of) for of in ("low", "high")] == pytest.approx(
                np.clip(ends, *SPANS[cls])
            )
        else:
            assert "no interval" in value(told, name, column="why")


def test_the_ends_of_the_scales():
    best = np.array([[5, 1] * 5], dtype=float)
    assert value(Sus()(answered(Sus(), best)), "System Usability Scale") == 100
    assert value(Sus()(answered(Sus(), 6 - best)), "System Usability Scale") == 0
    assert value(Sus()(answered(Sus(), np.full((1, 10), 3.0))), "System Usability Scale") == 50
    causability = SystemCausability()
    assert value(causability(answered(causability, np.full((1, 10), 5.0))), "System Causability Scale") == 1
    assert value(causability(answered(causability, np.ones((1, 10)))), "System Causability Scale") == 0.2


def test_jian_is_never_one_sum():
    told = JianTrust()(answered(JianTrust(), np.full((3, 12), 4.0)))
    assert set(told["statistic"]) == {
        "distrust (Jian)",
        "trust (Jian)",
        "distrust (Jian), unanswered items",
        "trust (Jian), unanswered items",
    }


def test_what_becomes_of_unanswered_items():
    grid = np.tile([4.0, 2] * 5, (4, 1))
    grid[0, 3] = np.nan
    grid[1, :6] = np.nan
    name, table = "System Usability Scale", answered(Sus(), grid)
    refused = Sus()(table)
    assert value(refused, name, column="n") == 2
    assert np.isnan(value(refused, name, "reader r0"))
    assert value(refused, name, "reader r0", "why").startswith("1 item unanswered; a reader who left out")
    assert value(refused, f"{name}, unanswered items") == 7
    mean = Sus("mean")(table)
    assert value(mean, name, "reader r0") == pytest.approx(75)  # all others say 3 of 4
    assert np.isnan(value(mean, name, "reader r1"))  # four of ten are too few
    middle = Sus("middle")(table)
    assert value(middle, name, "reader r0") == pytest.approx(2.5 * (9 * 3 + 2))
    assert np.isnan(value(middle, name, "reader r1"))
    half = Sus("middle")(answered(Sus(), np.array([[5, 1, 5, 1, 5] + [np.nan] * 5])))
    assert value(half, name, "reader r0") == pytest.approx(2.5 * (5 * 4 + 5 * 2))
    with pytest.raises(InputError, match="unanswered items"):
        Sus("zero")


def test_one_of_two_scales_can_be_asked_alone():
    grid = np.full((3, 16), np.nan)
    grid[:, 8:] = np.arange(3)[:, None] + 2
    told = Hoffman()(answered(Hoffman(), grid))
    assert value(told, "trust (Hoffman)", "reader r0") == pytest.approx((7 * 2 + 4) / 8)
    assert value(told, "explanation satisfaction", column="why").startswith("no reader answered enough items")


def test_says_why_not():
    table = answered(Sus(), np.full((2, 10), 3.0))
    above = Sus()(table.assign(rating=np.where(table.index == 12, 7, 3)))
    assert above["why"].tolist() == ["reader r1 answered 7 to sus_3; answers go from 1 to 5"]
    other = Sus()(table.assign(item=table["item"].str.replace("sus", "nasa")))
    assert other["why"].tolist() == ["no item sus_1 to sus_10 was answered"]
    twice = Sus()(pd.concat([table, table]))
    assert "rated more than once" in twice["why"].iloc[0]
    more = pd.concat([table, pd.DataFrame({"reader": ["r0"], "item": ["sus_11"], "rating": [3]})])
    assert value(Sus()(more), "items left out", column="why") == "sus_11: no such item"
    assert value(Sus()(more), "System Usability Scale") == 50
    words = Sus()(table.assign(rating="often"))
    assert words["why"].tolist() == ["the rating 'often' is no number"]


@pytest.mark.parametrize("cls", ALL)
def test_items_can_be_put_into_a_study(cls):
    items = cls().asked()
    assert [item.name for item in items] == list(cls().items)
    assert {item.role for item in items} == {"questionnaire"} and {item.asked for item in items} == {"end"}
    assert {item.questionnaire for item in items} == {cls.name}
    assert items[0].refused(cls.highest) == "" and items[0].refused(cls.highest + 1)
    assert all(bool(item.text) == bool(cls.wording) for item in items)
    assert cls.source
    texts = [f"Question {k}?" for k in range(len(items))]
    assert [item.text for item in cls().asked(texts)] == texts
    with pytest.raises(InputError, match="texts were given"):
        cls().asked(texts[1:])


def test_wording_is_shipped_only_where_it_may_be():
    assert [bool(cls.wording) for cls in ALL] == [True, True, False, False]
    assert "source acknowledged" in Sus.source and "CC BY 4.0" in SystemCausability.source
    for cls in (JianTrust, Hoffman):
        assert "slot" in cls.source and "doi" in cls.source


def test_the_interval_of_a_mean_stays_on_the_scale():
    best, middle = [5, 1] * 5, [3] * 10
    told = Sus()(answered(Sus(), np.array([best, best, middle], dtype=float)))
    assert value(told, "System Usability Scale", column="high") == 100
    assert 0 <= value(told, "System Usability Scale", column="low") < 83
