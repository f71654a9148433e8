"""What readers made of each case, against a slow twin that walks the ratings; two things together."""

import tracemalloc
from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from studykit.scores import draws
from studykit.trust.across_cases import mean_difference, rank_correlation
from studykit.trust.by_case import COLUMNS, by_case
from studykit.trust.item import Item
from studykit.trust.over_readers import percentiles
from studykit.trust.published import published_studies
from studykit.trust.recorded import recorded
from studykit.trust.simulate import simulated_events
from studykit.trust.study import RATINGS, Study
from tests.trust.test_simulate import ITEMS, ready

AID_TRUST = {"name": "relied", "role": "trust in the aid", "categories": [1, 2, 3, 4, 5]}
CLASS = Item("class", "", "nominal", "answer", ("x", "y", "z"))


def given(value):
    return value is not None and value == value


def twin(study):
    """{case: the row}, by the definitions, a rating at a time."""
    rows = study.ratings.to_dict("records")
    truth = {row["case"]: row["truth"] for row in study.cases.to_dict("records") if given(row["truth"])}
    aids = {(row["case"], row["condition"]): row for row in study.aids.to_dict("records")}

    def finals(item):
        """The rating of the earliest reading of each reader, case and condition."""
        step = "first" if item.asked == "first" else "final"
        some = [row for row in rows if row["item"] == item.name and row["step"] == step]
        earliest = {}
        for row in some:
            key = row["reader"] if given(row["reader"]) else "", row["case"], row["condition"]
            earliest[key] = min(earliest.get(key, 9), row["repeat"] or 0)
        for row in some:
            key = row["reader"] if given(row["reader"]) else "", row["case"], row["condition"]
            if (row["repeat"] or 0) == earliest[key] and given(row["rating"]):
                yield row

    def is_bad(row):
        aid = aids.get((row["case"], row["condition"]))
        if aid is None or not given(aid["aid"]):
            return False
        planted = given(aid["wrong"]) and bool(aid["wrong"])
        return planted or (row["case"] in truth and truth[row["case"]] != aid["aid"])

    answers = list(finals(study.of_role("answer")[0])) if study.of_role("answer") else []
    role = "trust" if study.of_role("trust") else "trust in the aid"
    trust = []
    for item in study.of_role(role):
        low, high = item.ends
        trust += [(row, (row["rating"] - low) / (high - low)) for row in finals(item)]
    told = {}
    for case in dict.fromkeys([*study.cases["case"], *study.ratings["case"].dropna()]):
        mine = [row for row in answers if row["case"] == case]
        by_condition = {}
        for row in mine:
            by_condition.setdefault(row["condition"], []).append(row["rating"])
        shares = [
            np.mean([a != b for a, b in combinations(some, 2)])
            for some in by_condition.values()
            if len(some) > 1
        ]
        bad = [row for row in mine if is_bad(row)]
        marks = [(is_bad(row), value) for row, value in trust if row["case"] == case]
        marks = [one for one in marks if one[0]] or marks
        own = [row for row in rows if row["case"] == case]
        told[case] = {
            "readers": len({row["reader"] for row in own if given(row["rating"])}),
            "disagreement": np.mean(shares) if shares else np.nan,
            "wrong": np.mean([row["rating"] != truth[case] for row in mine])
            if mine and case in truth
            else np.nan,
            "aid_wrong": any(is_bad(row) for row in own),
            "followed": np.mean([row["rating"] == aids[case, row["condition"]]["aid"] for row in bad])
            if bad
            else np.nan,
            "trust": np.mean([value for _, value in marks]) if marks else np.nan,
        }
    return told


def same(found, wanted, columns=COLUMNS[1:]):
    assert list(found.columns) == COLUMNS and found["case"].tolist() == list(wanted)
    for name in columns:
        values = np.array([row[name] for row in wanted.values()], dtype=float)
        np.testing.assert_allclose(found[name].to_numpy(dtype=float), values, err_msg=name)


@pytest.mark.parametrize(
    "changed",
    [
        {"repeats": 0.3},
        {"two_step": False},
        {"items": [*[item for item in ITEMS if item["name"] != "confidence"], AID_TRUST]},
    ],
    ids=["two steps, repeats", "one step", "trust in the aid"],
)
def test_simulated_studies_against_the_twin(changed):
    protocol = ready(6, 24, **changed)
    study = recorded(protocol, simulated_events(protocol, 0), simulated=True)
    found = by_case(study)
    same(found, twin(study))
    assert 0 < found["aid_wrong"].sum() < len(found) and found["followed"].gt(0).any()
    assert found["disagreement"].between(0.01, 1).any() and found["trust"].between(0, 1).all()


def small(ratings, aids=(), truth="x", items=(CLASS,), **told):
    """A study from (reader, case, condition, rating) of one question."""
    table = pd.DataFrame(ratings, columns=["reader", "case", "condition", "rating"]).astype(object)
    table = table.assign(item=items[0].name, step="final", repeat=0)
    cases = pd.DataFrame({"case": list(dict.fromkeys(row[1] for row in ratings))}, dtype=object)
    cases = cases.assign(patient=cases["case"], truth=truth)
    shown = pd.DataFrame(aids, columns=["case", "condition", "aid", "wrong"], dtype=object)
    items = {item.name: item for item in items}
    return Study("small", table.reindex(columns=RATINGS), items, cases, shown, **told)


def test_a_study_that_can_be_counted_on_fingers():
    four = [(reader, 1, "aided", said) for reader, said in zip("abcd", "xyyy", strict=True)]
    plain = [(reader, 1, "plain", said) for reader, said in zip("ab", "xx", strict=True)]
    found = by_case(small([*four, *plain, ("a", 2, "plain", "x")], [(1, "aided", "y", False)])).set_index(
        "case"
    )
    assert found.loc[1, ["readers", "aid_wrong"]].tolist() == [4, True]
    assert found.at[1, "disagreement"] == pytest.approx((3 / 6 + 0) / 2)
    assert found.at[1, "wrong"] == pytest.approx(3 / 6) and found.at[1, "followed"] == pytest.approx(3 / 4)
    assert found.loc[2, ["readers", "wrong", "aid_wrong"]].tolist() == [1, 0.0, False]
    assert found.loc[2, ["disagreement", "followed", "trust"]].isna().all()


def test_an_aid_that_was_planted_wrong_is_wrong_though_the_truth_is_not_known():
    study = small(
        [("a", "k", "aided", "y"), ("b", "k", "aided", "x")], [("k", "aided", "y", True)], truth=None
    )
    row = by_case(study).iloc[0]
    assert row["aid_wrong"] and row["followed"] == 0.5 and np.isnan(row["wrong"])


def test_an_aid_of_a_condition_in_which_nobody_read_the_case_does_not_count():
    study = small([("a", "k", "plain", "y")], [("k", "aided", "y", True)])
    assert not by_case(study).at[0, "aid_wrong"]


def test_answers_and_truths_that_are_written_unlike_say_nothing_of_being_wrong():
    rows = [("a", "k", "plain", "1"), ("b", "k", "plain", "0")]
    study = small(rows, truth=1, items=(Item("class", "", "nominal", "answer", ("0", "1")),))
    row = by_case(study).iloc[0]
    assert np.isnan(row["wrong"]) and row["disagreement"] == 1


def test_readers_who_are_not_named_are_counted_by_their_ratings():
    study = small([(None, "k", "plain", "x"), (None, "k", "plain", "y"), (None, "l", "plain", "x")])
    found = by_case(study)
    assert found["readers"].tolist() == [2, 1] and found["disagreement"].tolist()[0] == 1


def test_degenerate_studies_give_nan_and_no_error():
    nobody = by_case(small([]))
    assert list(nobody.columns) == COLUMNS and nobody.empty
    skipped = by_case(small([("a", "k", "plain", None)])).iloc[0]
    assert skipped["readers"] == 0 and skipped.drop(["case", "readers", "aid_wrong"]).isna().all()
    opinions = by_case(
        small([("a", "k", "plain", "x")], items=(Item("o", "", "nominal", categories=("x", "y")),))
    )
    assert opinions["readers"].tolist() == [1] and opinions["disagreement"].isna().all()
    once = small([("a", np.nan, np.nan, "x")])
    assert by_case(Study("q", once.ratings, once.items, once.cases.iloc[:0])).empty


def test_trust_on_a_scale_of_ordered_words_goes_from_nought_to_one():
    words = Item("sure", "", "ordinal", "trust", ("no", "some", "much"))
    study = small(
        [("a", "k", "plain", "no"), ("b", "k", "plain", "some"), ("a", "l", "plain", "much")], items=(words,)
    )
    assert by_case(study)["trust"].tolist() == [0.25, 1.0]


@pytest.mark.real_data
@pytest.mark.parametrize("name", sorted(published_studies()) or ["none"])
def test_published_studies_against_the_twin(name):
    study = published_studies()[name].study()
    cases = list(study.cases["case"])[:60]
    study = Study(
        study.name, study.ratings[study.ratings["case"].isin(cases)], study.items,
        study.cases[study.cases["case"].isin(cases)], study.aids,
    )  # fmt: skip
    same(by_case(study), twin(study), COLUMNS[1 + study.anonymous :])
    if name == "viper":
        assert by_case(study)["disagreement"].gt(0).any()


def of_patients(seed, n=40):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=n).round(1)
    return x, (x + rng.normal(size=n)).round(1), rng.integers(n // 2, size=n)


def test_the_rank_correlation_is_scipys_and_its_interval_that_of_drawn_patients():
    x, y, patients = of_patients(0)
    told = rank_correlation(x, y, patients, resamples=400)
    assert told["estimate"] == pytest.approx(stats.spearmanr(x, y).statistic) and told["n"] == 40
    rng, drawn = np.random.default_rng(5), []
    for _ in range(1500):  # the slow way: whole patients, their cases one below the other
        picked = rng.choice(np.unique(patients), len(np.unique(patients)))
        at = np.concatenate([np.flatnonzero(patients == one) for one in picked])
        drawn.append(stats.spearmanr(x[at], y[at]).statistic)
    assert told["low"] == pytest.approx(np.quantile(drawn, 0.02), abs=0.08)
    assert told["high"] == pytest.approx(np.quantile(drawn, 0.98), abs=0.08)


def test_ranks_of_draws_are_those_of_all_pairs_and_many_cases_take_little_room():
    """The slow twin: each case against each other, a matrix of cases by cases."""

    def slow(x, y, weights):
        one, other = ((weights * np.sign(v[:, None] - v)).sum(axis=1) for v in (x, y))
        spread = (weights * one**2).sum() * (weights * other**2).sum()
        return (weights * one * other).sum() / np.sqrt(spread) if spread > 0 else np.nan

    x, y, patients = of_patients(3, n=60)
    y = np.clip(y, -0.5, 0.5)  # many ties
    told = rank_correlation(x, y, patients, resamples=300, seed=4)
    found = [slow(x, y, weights) for weights in draws(patients, 300, 4)]
    ends = percentiles(np.array(found), len(set(patients)))
    assert (told["estimate"], told["low"], told["high"]) == (slow(x, y, np.ones(60)), *ends)
    x, y, patients = of_patients(3, n=5000)
    tracemalloc.start()
    rank_correlation(x, y, patients, resamples=20)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < 5000**2, "bytes: not even a byte a pair"


def test_the_difference_of_means_has_the_interval_of_drawn_patients():
    _, y, patients = of_patients(1)
    first = np.arange(40) < 15
    told = mean_difference(y, first, patients, resamples=400)
    assert told["estimate"] == pytest.approx(y[first].mean() - y[~first].mean())
    rng, drawn = np.random.default_rng(5), []
    for _ in range(1500):
        picked = rng.choice(np.unique(patients), len(np.unique(patients)))
        at = np.concatenate([np.flatnonzero(patients == one) for one in picked])
        drawn.append(y[at][first[at]].mean() - y[at][~first[at]].mean())
    assert told["low"] == pytest.approx(np.quantile(drawn, 0.02), abs=0.15)
    assert told["high"] == pytest.approx(np.quantile(drawn, 0.98), abs=0.15)


def test_why_there_is_no_number_or_no_interval():
    x, y, patients = of_patients(2)
    lacking = np.where(np.arange(40) < 38, np.nan, x)
    assert rank_correlation(lacking, y, patients)["why"] == "fewer than three cases have both"
    flat = rank_correlation(np.ones(40), y, patients)
    assert np.isnan(flat["estimate"]) and "same in all cases" in flat["why"]
    few = rank_correlation(x, y, patients % 3)
    assert (
        "3 patients are fewer" in few["why"] and np.isnan(few["low"]) and few["estimate"] == few["estimate"]
    )
    assert "one kind" in mean_difference(y, np.ones(40, bool), patients)["why"]
    assert mean_difference(np.full(40, np.nan), np.ones(40, bool), patients)["n"] == 0
