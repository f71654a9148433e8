"""Every question that a study can answer is asked of the statistics that suit, and the numbers are theirs."""

import os

import numpy as np
import pandas as pd
import pytest

from studykit.catalog import InputError, build
from studykit.trust import Statistic
from studykit.trust.published import Published, published_studies
from studykit.trust.recorded import recorded
from studykit.trust.results import SECTIONS, results, with_correct
from studykit.trust.simulate import simulated_events
from studykit.trust.statistic import COLUMNS, KINDS
from studykit.trust.sus import Sus
from tests.trust.test_simulate import ITEMS, ready

NAMED = ["section", "item", "condition", "method"]


@pytest.fixture(scope="module")
def simulated():
    from dataclasses import asdict

    asked = [
        {name: value for name, value in asdict(item).items() if value is not None} for item in Sus().asked()
    ]
    protocol = ready(6, 24, items=[*ITEMS[:-1], *asked], repeats=0.25)
    return recorded(protocol, simulated_events(protocol, 0), simulated=True)


@pytest.fixture(scope="module")
def told(simulated):
    return results(simulated)


def test_a_simulated_study_answers_every_question(told):
    assert list(told.columns) == [*NAMED, *COLUMNS]
    assert set(told["section"]) == set(SECTIONS)
    for name in SECTIONS:
        assert told.loc[told["section"] == name, "estimate"].notna().any(), name
    methods = set(told["method"])
    assert {"intra_reader", "reliance", "mrmc", "sensitivity_specificity", "sus", "cronbach_alpha"} <= methods
    assert (told["why"] != "")[told["estimate"].isna()].all()


def test_numbers_are_the_statistics_own(simulated, told):
    pd.testing.assert_frame_equal(results(simulated, "accuracy")[COLUMNS], told.loc[
        told["section"] == "accuracy", COLUMNS
    ].reset_index(drop=True))  # fmt: skip
    table = simulated.table("answer", "prediction")
    mine = build(
        Statistic, {"name": "fleiss_kappa", "categories": list(simulated.items["answer"].categories)}
    )
    mine = mine(table[table["repeat"] == 0])
    theirs = told[(told["item"] == "answer") & (told["condition"] == "prediction")]
    theirs = theirs[theirs["method"] == "fleiss_kappa"]
    pd.testing.assert_frame_equal(mine, theirs[COLUMNS].reset_index(drop=True))


def test_statistics_suit_the_scale(simulated, told):
    for item, method in told[["item", "method"]].drop_duplicates().itertuples(index=False):
        if item in simulated.items and method != "learning":
            scale = simulated.items[item].scale
            assert scale in Statistic.catalogue[method].kinds, (item, method)
            assert scale in KINDS


def test_trust_is_held_against_the_same_readers_answer(simulated):
    table = with_correct(simulated, simulated.items["confidence"], simulated.items["answer"])
    answers = simulated.table("answer").set_index(["reader", "case", "condition", "repeat"])
    for row in table.to_dict("records"):
        answer = answers.loc[(row["reader"], row["case"], row["condition"], row["repeat"])]
        assert row["correct"] == (answer["rating"] == answer["truth"])


def test_opposed_questions_are_turned_before_cronbachs_alpha(simulated, told):
    wide = pd.concat([simulated.table(name) for name in Sus().items]).pivot(
        index="reader", columns="item", values="rating"
    )
    wide = wide.astype(float).dropna()
    opposed = [f"sus_{k}" for k in Sus.opposed]
    wide[opposed] = 6 - wide[opposed]
    k, items, whole = wide.shape[1], wide.var(ddof=1).sum(), wide.sum(axis=1).var(ddof=1)
    row = told[(told["method"] == "cronbach_alpha") & (told["statistic"] == "Cronbach's alpha")].iloc[0]
    assert row["estimate"] == pytest.approx(k / (k - 1) * (1 - items / whole))


def test_an_unknown_section_is_named(simulated):
    with pytest.raises(InputError, match="did you mean agreement"):
        results(simulated, "agrement")


def published(name):
    if not os.environ.get("STUDYKIT_DATA"):
        pytest.skip("real data: set STUDYKIT_DATA")
    return build(Published, name).study()


@pytest.mark.real_data
def test_every_published_study_is_told_or_refused():
    assert len(published_studies()) == len(Published.catalogue) >= 9
    for name in published_studies():
        study = build(Published, name).study()
        told = results(study)
        assert told["estimate"].notna().any(), name
        assert (told["why"] != "")[told["estimate"].isna()].all(), name


@pytest.mark.real_data
def test_the_anonymous_readers_of_lidc_are_refused_where_they_would_have_to_be_known():
    told = results(published("lidc"), "agreement")
    told = told[told["item"] == "malignancy"].set_index("statistic")
    assert told.loc["Conger's kappa", "why"].startswith("the readers are anonymous")
    assert told.loc["ICC(2,1)", "why"].startswith("the readers are anonymous")
    for statistic in ("Krippendorff's alpha (ordinal metric)", "ICC(1,1)", "Gwet's AC2 (quadratic weights)"):
        row = told.loc[statistic]
        assert row["low"] < row["estimate"] < row["high"], statistic


@pytest.mark.real_data
def test_vipers_split_plot_study_is_analysed_whole():
    told = results(published("viper"), "accuracy")
    row = told[(told["statistic"] == "AUC difference (RRRC)") & (told["item"] == "score")].iloc[0]
    assert np.isfinite([row["estimate"], row["low"], row["high"]]).all() and row["why"] == ""
