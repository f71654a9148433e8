"""What every statistic in the catalogue keeps: one form of table, and a reason where there is no number."""

import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from studykit.catalog import InputError, build, spec
from studykit.trust import Statistic
from studykit.trust.statistic import COLUMNS, KINDS, WORDS
from tests.trust.tables import well, wrong_tables

NAMES = sorted(Statistic.catalogue)


@pytest.fixture(autouse=True)
def _nothing_is_warned_of():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def few_draws(name):
    """The statistic with few draws, where it draws at all."""
    made = build(Statistic, name)
    return build(Statistic, {**spec(made), "resamples": 40}) if "resamples" in spec(made) else made


def check(told):
    assert list(told.columns) == COLUMNS
    assert len(told)
    for row in told.to_dict("records"):
        lost = np.isnan(row["estimate"])
        assert not lost or row["why"], row
        assert not lost or np.isnan(row["low"]), row
        assert not np.isinf([row["estimate"], row["low"], row["high"]]).any(), row
        assert not row["low"] > row["high"], row
        assert row["why"] == "" or not row["why"].endswith("."), row  # half a sentence
        assert row["n"] >= 0 and isinstance(row["group"], str)


@pytest.mark.parametrize("name", NAMES)
def test_says_what_it_is(name):
    cls = Statistic.catalogue[name]
    assert cls.title and cls.question.endswith("?") and cls.__doc__
    assert set(cls.wants) <= set(WORDS) and set(cls.uses) <= set(WORDS) and set(cls.kinds) <= set(KINDS)
    assert build(Statistic, spec(build(Statistic, name))) == build(Statistic, name)
    assert cls.__module__ == f"studykit.trust.{name}"


@pytest.mark.parametrize("name", NAMES)
def test_tells_a_number_where_ratings_are_well(name):
    statistic = few_draws(name)
    told = statistic(well(statistic))
    check(told)
    assert told["estimate"].notna().any(), told["why"].unique()


@pytest.mark.parametrize("name", NAMES)
def test_is_the_same_whatever_the_order_of_rows(name):
    statistic = few_draws(name)
    table = well(statistic)
    mixed = statistic(table.sample(frac=1, random_state=3))
    pd.testing.assert_frame_equal(statistic(table), mixed, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_does_not_change_what_it_is_given(name):
    statistic = few_draws(name)
    table = well(statistic)
    before = table.copy()
    statistic(table)
    pd.testing.assert_frame_equal(table, before)


@pytest.mark.parametrize("name", NAMES)
def test_is_never_a_crash_nor_silent(name):
    statistic = few_draws(name)
    for what, table in wrong_tables(statistic):
        try:
            check(statistic(table))
        except Exception as wrong:
            raise AssertionError(f"{name}, {what}: {type(wrong).__name__}: {wrong}") from wrong


@pytest.mark.parametrize("name", [n for n in NAMES if "reader" in Statistic.catalogue[n].wants])
def test_crossed_statistics_refuse_anonymous_readers(name):
    statistic = few_draws(name)
    told = statistic(well(statistic).assign(reader=np.nan))
    if statistic.crossed:
        assert told["estimate"].isna().all() and told["why"].str.contains("anonymous").all()


@pytest.mark.parametrize("name", NAMES)
def test_a_missing_column_is_named(name):
    statistic = few_draws(name)
    column = statistic.wants[-1]
    with pytest.raises(InputError, match=f"'{column}'"):
        statistic(well(statistic).drop(columns=column))
    with pytest.raises(InputError, match="no column 'nowhere'"):
        statistic(well(statistic), **{column: "nowhere"})


@pytest.mark.parametrize("name", NAMES)
def test_columns_may_have_other_names(name):
    statistic = few_draws(name)
    table = well(statistic)
    other = {column: f"my {column}" for column in statistic.wants}
    pd.testing.assert_frame_equal(statistic(table), statistic(table.rename(columns=other), **other))


CELL = st.one_of(
    st.none(), st.floats(width=32), st.integers(-2, 6), st.sampled_from(["a", "b", ""]), st.booleans()
)


@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
@pytest.mark.parametrize("name", NAMES)
def test_holds_whatever_is_in_the_cells(name, data):
    statistic = few_draws(name)
    rows = data.draw(st.integers(0, 12))
    columns = {
        column: pd.Series(data.draw(st.lists(CELL, min_size=rows, max_size=rows)), dtype=object)
        for column in (*statistic.wants, *statistic.uses)
    }
    check(statistic(pd.DataFrame(columns)))


@pytest.mark.parametrize("name", [n for n in NAMES if "rating" in Statistic.catalogue[n].wants])
@pytest.mark.parametrize(
    "wrong, why",
    [
        ([1.0, np.inf], "infinite or too large"),
        ([1, 10**400], "infinite or too large"),
        ([[1], [2]], "of kind 'list'"),
        ([1j, 2.0], "of kind 'complex'"),
    ],
)
def test_ratings_that_are_no_ratings_are_named(name, wrong, why):
    statistic = few_draws(name)
    table = well(statistic)
    ratings = pd.Series([wrong[k % 2] for k in range(len(table))], dtype=object)
    told = statistic(table.assign(rating=ratings))
    assert told["estimate"].isna().all() and why in told["why"].iloc[0]
