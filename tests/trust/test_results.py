"""Every question that a study can answer is asked of the statistics that suit, and the numbers are theirs."""

import os

import numpy as np
import pandas as pd
import pytest

from studykit.catalog import InputError, build
from studykit.trust import Item, Statistic, Study
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
    table = with_correct(simulated, simulated.items["confidence"])
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


def by_hand(ratings, items, cases=8, aids=None, **about):
    """A study of ratings given as dictionaries; cases c0, c1, ... are in turn of class 0 and 1."""
    common = {"condition": "aid", "step": "final", "repeat": 0, "order": 0, "session": "", "elapsed": np.nan}
    table = pd.DataFrame([{**common, "when": pd.NaT, **rating} for rating in ratings])
    names = [f"c{k}" for k in range(cases)]
    known = pd.DataFrame({"case": names, "patient": names, "truth": [k % 2 for k in range(cases)]})
    aided = {} if aids is None else {"aids": aids}
    return Study("by hand", table, {item.name: item for item in items}, known, **aided, **about)


ANSWER = Item("answer", scale="nominal", role="answer", categories=(0, 1), asked="both")


def test_the_time_of_an_aided_reading_is_that_of_both_its_steps():
    ratings = []
    for reader in "abcdef":
        for k in range(8):
            one = {"reader": reader, "case": f"c{k}", "item": "answer", "rating": k % 2}
            if k < 4:
                ratings.append({**one, "condition": "none", "elapsed": 40.0})
            else:
                ratings.append({**one, "step": "first", "elapsed": 40.0})
                ratings.append({**one, "elapsed": 10.0})
    study = by_hand(ratings, [ANSWER])
    assert set(study.table("answer", "aid")["elapsed"]) == {50.0}
    told = results(study, "time").set_index(["statistic", "group"])
    assert told.loc[("ratio of times", "aid, none"), "estimate"] == pytest.approx(50 / 40)


def test_answers_before_the_aid_are_compared_with_those_after():
    rng, ratings = np.random.default_rng(0), []
    for reader in "abcdef":
        for k in range(8):
            for step, noise in (("first", 0.4), ("final", 0.1)):
                rating = (k % 2) ^ (rng.random() < noise)
                ratings.append(
                    {"reader": reader, "case": f"c{k}", "item": "answer", "rating": rating, "step": step}
                )
    told = results(by_hand(ratings, [ANSWER]), "accuracy")
    sequential = told[told["condition"] == "aid"].set_index(["statistic", "group"])
    row = sequential.loc[("sensitivity difference (RRRC)", "aid - aid, before the aid")]
    table = pd.DataFrame(ratings)[lambda t: t["case"].isin(["c1", "c3", "c5", "c7"])]
    mean = table.groupby("step")["rating"].mean()
    assert row["estimate"] == pytest.approx(mean["final"] - mean["first"])
    agreed = results(by_hand(ratings, [ANSWER]), "agreement")
    assert set(agreed["condition"]) == {"aid, before the aid", "aid"}


def test_what_is_asked_before_the_aid_only_is_told():
    item = Item("sure", role="trust", categories=(1, 2, 3), asked="first")
    ratings = [
        {"reader": r, "case": f"c{k}", "item": "sure", "rating": 1 + k % 3, "step": "first", "condition": c}
        for r in "abc" for k in range(8) for c in ("aid", "map")
    ]  # fmt: skip
    told = results(by_hand(ratings, [item]), "agreement")
    assert set(told["condition"]) == {"aid", "map"}
    assert told.loc[told["statistic"] == "Krippendorff's alpha (ordinal metric)", "estimate"].eq(1).all()
    assert results(by_hand(ratings, [item]), "conditions")["estimate"].notna().any()


def test_words_with_an_order_are_graded_in_it():
    words = ("low", "mid", "high")  # by the alphabet high comes first
    item = Item("doubt", scale="ordinal", role="score", categories=words)
    ratings = [
        {"reader": r, "case": f"c{k}", "item": "doubt", "rating": words[2 if k % 2 else k // 4]}
        for r in "abc"
        for k in range(8)
    ]
    told = results(by_hand(ratings, [item]), "accuracy")
    assert (told.loc[told["statistic"].str.startswith("mean AUC"), "estimate"] == 1).all()


def test_repeats_may_be_counted_from_one():
    ratings = [
        {"reader": r, "case": f"c{k}", "item": "answer", "rating": k % 2, "repeat": 1}
        for r in "abc" for k in range(8)
    ]  # fmt: skip
    told = results(by_hand(ratings, [ANSWER]), "agreement")
    assert (told.loc[told["statistic"] == "Fleiss' kappa", "estimate"] == 1).all()
    assert "intra_reader" not in set(told["method"])


def trusting(rating, truth_as=int, **changed):
    ratings = []
    for r in "abcdef":
        for k in range(8):
            about = {"reader": r, "case": f"c{k}", **changed}
            ratings.append({**about, "item": "answer", "rating": truth_as(k % 2 if k < 6 else 1 - k % 2)})
            ratings.append({**about, "item": "sure", "rating": rating(k)})
    return ratings


def test_trust_is_refused_where_it_cannot_be_joined_or_answers_are_written_unlike():
    sure = Item("sure", role="trust", categories=(1, 2, 3, 4, 5))
    nobody = results(by_hand(trusting(lambda k: 5, reader=np.nan), [ANSWER, sure]), "trust")
    assert nobody["estimate"].isna().all() and nobody["why"].str.contains("anonymous").all()
    unlike = results(by_hand(trusting(lambda k: 5, str), [ANSWER, sure]), "trust")
    assert unlike["estimate"].isna().all() and unlike["why"].str.contains("write both alike").all()


def test_trust_in_the_aid_is_held_against_the_aid():
    names = [f"c{k}" for k in range(8)]
    aids = pd.DataFrame({"case": names, "condition": "aid", "aid": [0, 1, 0, 1, 1, 0, 1, 0], "wrong": False})
    item = Item("relied", role="trust in the aid", categories=(1, 2, 3, 4, 5))
    ratings = [
        {"reader": r, "case": f"c{k}", "item": "relied", "rating": 5 if k < 4 else 1}
        for r in "abcdef"
        for k in range(8)
    ]
    told = results(by_hand(ratings, [item], aids=aids), "trust").set_index("statistic")
    assert (told.loc[["AUROC"], "estimate"] == 1).all()
    table = with_correct(by_hand(ratings, [item], aids=aids), item)
    assert table["correct"].tolist() == [k < 4 for _ in "abcdef" for k in range(8)]


def test_a_questionnaire_may_be_filled_in_for_each_condition():
    ratings = [
        {"reader": r, "case": np.nan, "condition": c, "item": f"sus_{k}", "rating": 4 if k % 2 else 2}
        for r in "abc" for c in ("aid", "map") for k in range(1, 11)
    ]  # fmt: skip
    told = results(by_hand(ratings, Sus().asked()), "questionnaires")
    means = told[(told["statistic"] == "System Usability Scale") & (told["group"] == "all")]
    assert dict(zip(means["condition"], means["estimate"])) == {"aid": 75.0, "map": 75.0}
