"""What cannot be told about agreement says why, with the percent agreement where there is one."""

import warnings

import numpy as np
import pandas as pd
import pytest

from studykit.catalog import InputError, build, spec
from studykit.trust import Statistic
from studykit.trust.brennan_prediger import BrennanPrediger
from studykit.trust.cohen_kappa import CohenKappa
from studykit.trust.conger_kappa import CongerKappa
from studykit.trust.fleiss_kappa import FleissKappa
from studykit.trust.gwet_ac import GwetAC
from studykit.trust.icc import Icc
from studykit.trust.intra_reader import IntraReader
from studykit.trust.krippendorff_alpha import KrippendorffAlpha
from studykit.trust.light_kappa import LightKappa
from studykit.trust.weights import WEIGHTS
from tests.trust.agreement_tables import GWET, drawn, long, value
from tests.trust.tables import well, wrong_tables
from tests.trust.test_contract import check

OF_COUNTS = [FleissKappa(), GwetAC(), BrennanPrediger(), KrippendorffAlpha(resamples=20)]
OF_READERS = [CohenKappa(), CongerKappa(), LightKappa(resamples=20)]
NAN = np.nan


def first(statistic, table):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return statistic(table).iloc[0]


@pytest.mark.parametrize("statistic", OF_COUNTS + OF_READERS)
def test_one_category_only(statistic):
    told = statistic(long(np.ones((3, 8))))
    coefficient = told[told["statistic"] != "percent agreement"].iloc[0]
    assert np.isnan(coefficient["estimate"]) and coefficient["why"]
    same = told[told["statistic"] == "percent agreement"]
    assert (same["estimate"] == 1).all()
    assert same["low"].isna().all() and (same["why"] != "").all()


def test_one_category_of_two_that_could_be_chosen_is_full_agreement_to_gwet():
    told = first(GwetAC(categories=("no", "yes")), long(np.full((3, 8), "no")))
    assert told["estimate"] == 1 and np.isnan(told["low"]) and "no interval" in told["why"]


@pytest.mark.parametrize("statistic", OF_COUNTS + OF_READERS + [Icc()])
@pytest.mark.parametrize(
    ("x", "why"),
    [
        ([[1, 2, 1, 2]], "two"),
        ([[1], [2]], "only one case"),
        ([[1, NAN, 2, NAN], [NAN, 1, NAN, 2]], "no case|no kappa"),
        ([[NAN, NAN], [NAN, NAN]], "no ratings"),
    ],
)
def test_one_reader_one_case_and_nothing_in_common(statistic, x, why):
    told = first(statistic, long(np.array(x, dtype=float)))
    assert np.isnan(told["estimate"])
    assert pd.Series([told["why"]]).str.contains(why).all(), told["why"]


def test_ragged_counts_are_told_by_fleiss_and_refused_by_icc_2():
    table = long(GWET).dropna()
    assert first(FleissKappa(), table)["why"] == ""
    told = Icc()(table)
    assert told["why"][told["statistic"].str.startswith("ICC(1")].eq("").all()
    refused = told[told["statistic"].str.contains(r"ICC\([23]")]
    assert refused["estimate"].isna().all() and refused["why"].str.contains("did not rate case").all()


@pytest.mark.parametrize("statistic", OF_COUNTS + [Icc()])
def test_no_reader_s_name_is_needed(statistic):
    table = long(drawn(0, 4, 20, 4))
    without = statistic(table.drop(columns="reader"))
    pd.testing.assert_series_equal(
        without.iloc[0][["estimate", "low", "high"]], statistic(table).iloc[0][["estimate", "low", "high"]]
    )


@pytest.mark.parametrize("statistic", OF_COUNTS + OF_READERS + [Icc()])
def test_a_case_rated_twice_by_one_reader_is_named(statistic):
    table = long(drawn(0, 3, 5, 3))
    told = first(statistic, pd.concat([table, table.iloc[[4]]]))
    assert np.isnan(told["estimate"]) and "more than once" in told["why"]


@pytest.mark.parametrize("statistic", OF_COUNTS + OF_READERS)
def test_a_case_of_two_patients_is_named(statistic):
    table = long(drawn(0, 3, 5, 3)).assign(patient=lambda t: np.arange(len(t)))
    assert "more than one patient" in first(statistic, table)["why"]


@pytest.mark.parametrize("statistic", OF_COUNTS)
def test_one_patient_gives_no_interval(statistic):
    told = first(statistic, long(drawn(0, 3, 12, 3), patient="p"))
    assert not np.isnan(told["estimate"]) and np.isnan(told["low"]) and "one patient" in told["why"]


def test_patients_that_are_not_known_are_their_own():
    x = drawn(0, 3, 12, 3)
    known = FleissKappa()(long(x, patient=np.tile([f"p{k}" for k in range(12)], 3)))
    some = FleissKappa()(long(x, patient=np.tile(["p0", None, "p2"] + [None] * 9, 3)))
    pd.testing.assert_frame_equal(known, some)


KINDS = [FleissKappa, GwetAC, BrennanPrediger, CohenKappa, CongerKappa, LightKappa]


@pytest.mark.parametrize("kind", KINDS)
def test_a_rating_that_is_no_category_is_named(kind):
    x = drawn(0, 2, 9, 3).astype(int)
    told = kind(categories=(0, 1))(long(x))
    assert np.isnan(told["estimate"].iloc[0])
    assert told["why"].iloc[0] == "the rating '2' is none of the categories 0, 1"
    same = told.loc[told["statistic"] == "percent agreement", "estimate"]
    assert same.tolist() == [(x[0] == x[1]).mean()]  # stands all the same


@pytest.mark.parametrize("kind", KINDS)
def test_words_have_no_order_until_it_is_given(kind):
    words = np.array(["none", "mild", "severe"])
    table = long(words[drawn(0, 2, 30, 3).astype(int)])
    unknown = kind(weights="quadratic")(table)
    assert "order" in unknown["why"].iloc[0]
    assert unknown.loc[unknown["statistic"] == "percent agreement", "estimate"].notna().all()
    assert first(kind(), table)["why"] == ""
    given = kind(weights="quadratic", categories=("none", "mild", "severe"))
    graded = table.assign(rating=pd.Categorical(table["rating"], categories=words, ordered=True))
    numbers = table.assign(rating=table["rating"].map({"none": 0, "mild": 1, "severe": 2}))
    wanted = first(kind(weights="quadratic"), numbers)["estimate"]
    assert first(given, table)["estimate"] == pytest.approx(wanted, abs=1e-12)
    assert first(kind(weights="quadratic"), graded)["estimate"] == pytest.approx(wanted, abs=1e-12)
    assert "order" in first(KrippendorffAlpha(metric="ordinal"), table)["why"]


def test_the_metric_must_suit_the_ratings():
    words = long(np.array([["a", "b", "a"], ["a", "b", "b"]]))
    assert "is no number" in first(KrippendorffAlpha(metric="interval"), words)["why"]
    below = long(np.array([[-1, 2, 3], [1, 2, 3]]))
    assert "0 or more" in first(KrippendorffAlpha(metric="ratio"), below)["why"]
    assert not np.isnan(first(KrippendorffAlpha(metric="interval"), below)["estimate"])
    numerals = long(np.array([["1", "10", "9"], ["1", "10", "10"]]))
    numbers = numerals.assign(rating=numerals["rating"].astype(int))
    interval = KrippendorffAlpha(metric="interval", resamples=20)
    assert first(interval, numerals)["estimate"] == pytest.approx(first(interval, numbers)["estimate"])


def test_a_pair_that_shares_no_case_leaves_the_others_told():
    x = drawn(1, 3, 20, 2)
    x[0, :10], x[1, 10:] = NAN, NAN
    told = CohenKappa()(long(x))
    assert np.isnan(value(told, "Cohen's kappa", group="0, 1"))
    assert value(told, "percent agreement", "why", group="0, 1") == "no case has two ratings"
    assert not np.isnan(value(told, "Cohen's kappa", group="1, 2"))
    assert "readers 0 and 1 have no kappa" in first(LightKappa(resamples=20), long(x))["why"]


OWN = ((0, 1, 3), (1, 0, 6), (3, 6, 0))


@pytest.mark.parametrize(
    "wrong",
    [
        {"weights": "cubic"},
        {"weights": ((0, 1), (2, 0))},
        {"weights": ((1, 0), (0, 1))},
        {"weights": ((0, -1), (-1, 0))},
        {"weights": ((0, 1, 2), (1, 0, 1))},
        {"weights": ((0, "far"), ("far", 0))},
        {"level": 1.0},
        {"categories": (1, 2, 2)},
    ],
)
@pytest.mark.parametrize("kind", KINDS)
def test_settings_that_cannot_be_are_refused(kind, wrong):
    with pytest.raises(InputError):
        kind(**wrong)


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": "krippendorff_alpha", "metric": "circular"},
        {"name": "krippendorff_alpha", "resamples": 0},
        {"name": "icc", "level": 0.0},
        {"name": "cronbach_alpha", "level": 95.0},
        {"name": "intra_reader", "scale": "text"},
        {"name": "light_kappa", "resamples": -1},
    ],
)
def test_settings_by_name_that_cannot_be_are_refused(wrong):
    with pytest.raises(InputError):
        build(Statistic, wrong)


def test_own_weights_must_fit_the_categories():
    told = first(GwetAC(weights=OWN), long(drawn(0, 3, 12, 2)))
    assert "for 3 categories" in told["why"]


MANY = [kind(weights=weights) for kind in KINDS for weights in (*WEIGHTS[1:], OWN)]
MANY += [kind(categories=categories) for kind in KINDS for categories in ((1, 2, 3, 4, 5, 99), ("a", "b"))]
MANY += [KrippendorffAlpha(metric=metric, resamples=20) for metric in ("ordinal", "interval", "ratio")]
MANY += [IntraReader(scale=scale) for scale in ("nominal", "interval", "ratio")]


@pytest.mark.parametrize("statistic", MANY, ids=lambda s: f"{s.name}-{list(spec(s).values())[1:3]}")
def test_no_setting_crashes_or_is_silent(statistic):
    for what, table in wrong_tables(statistic):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            try:
                check(statistic(table))
            except Exception as wrong:
                raise AssertionError(f"{what}: {type(wrong).__name__}: {wrong}") from wrong


@pytest.mark.parametrize("statistic", OF_COUNTS + OF_READERS)
def test_what_is_well_is_told_with_an_interval(statistic):
    told = first(statistic, well(statistic))
    assert -1 <= told["low"] < told["estimate"] < told["high"] <= 1


@pytest.mark.parametrize("number", [1, 1.0, 2.5])
@pytest.mark.parametrize("statistic", [*OF_COUNTS, *OF_READERS, IntraReader(scale="nominal")])
def test_a_rating_is_a_number_or_a_word_and_not_both(statistic, number):
    """Reader A's table holds numbers and reader B's words: else they would seem never to agree."""
    table = long(np.array([[number, 7] * 4, [f"{number:g}", "x"] * 4], dtype=object))
    if "repeat" in statistic.wants:
        table = table.assign(repeat=table["reader"], reader="A")
    told = first(statistic, table)
    assert np.isnan(told["estimate"])
    assert told["why"] == f"the rating {number:g} stands as a number and as a word; write all alike"
    assert "as a word" not in first(statistic, table.assign(rating=table["rating"].astype(str)))["why"]
