"""Trust calibration against scikit-learn and slow twins, and its intervals against readers drawn by hand."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import brier_score_loss, roc_auc_score

from studykit.catalog import InputError
from studykit.trust.over_readers import percentiles
from studykit.trust.trust_calibration import TrustCalibration, reliability
from tests.trust.telling import value


def rated(seed=0, readers=8, cases=25, high=5):
    """Readers who are surer where they are right, each in his own way."""
    rng = np.random.default_rng(seed)
    table = pd.MultiIndex.from_product(
        [[f"r{k}" for k in range(readers)], [f"c{k}" for k in range(cases)]], names=["reader", "case"]
    ).to_frame(index=False)
    own = np.repeat(rng.normal(0, 0.8, readers), cases)
    table["correct"] = rng.random(len(table)) < 0.7
    rating = 3 + own + table["correct"] + rng.normal(0, 1, len(table))
    return table.assign(rating=np.clip(np.round(rating), 1, high).astype(int))


def slow_error(chance, right, bins):
    """Bin by bin; a bin a distinct rating where there are no more of these than bins."""
    distinct = sorted(set(chance))
    total = 0.0
    for k in range(max(bins, len(distinct))):
        if len(distinct) <= bins:
            inside = [c == distinct[k] for c in chance] if k < len(distinct) else [False] * len(chance)
        else:
            inside = [min(int(c * bins), bins - 1) == k for c in chance]
        inside = np.array(inside)
        if inside.any():
            total += inside.mean() * abs(np.mean(chance[inside]) - np.mean(right[inside]))
    return total


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_equals_scikit_learn_and_the_definition(data):
    n = data.draw(st.integers(4, 40))
    scale = data.draw(st.sampled_from([st.integers(0, 4), st.integers(0, 100)]))
    rating = np.array(data.draw(st.lists(scale, min_size=n, max_size=n)))
    right = np.array(data.draw(st.lists(st.booleans(), min_size=n, max_size=n)))
    high = 4 if rating.max() <= 4 else 100
    table = pd.DataFrame({"reader": [f"r{k % 4}" for k in range(n)], "case": range(n), "rating": rating})
    told = TrustCalibration(low=0, high=high, resamples=20)(table.assign(correct=right))
    chance = rating / high
    if 0 < right.sum() < n:
        assert value(told, "AUROC") == pytest.approx(roc_auc_score(right, rating))
    else:
        assert value(told, "AUROC", column="why") == "all answers are right, or all wrong"
    assert value(told, "Brier score") == pytest.approx(brier_score_loss(right, chance, pos_label=True))
    error = slow_error(chance, right, 10)
    assert value(told, "expected calibration error") == pytest.approx(error)
    assert value(told, "overconfidence") == pytest.approx(chance.mean() - right.mean())


def test_the_intervals_are_those_of_drawn_readers():
    table = rated()
    told = TrustCalibration(low=1, high=5, resamples=3000)(table)
    parts = [part for _, part in table.groupby("reader")]
    rng = np.random.default_rng(1)
    auc, brier = [], []
    for _ in range(800):
        drawn = pd.concat([parts[k] for k in rng.integers(0, 8, 8)])
        auc.append(roc_auc_score(drawn["correct"], drawn["rating"]))
        brier.append((((drawn["rating"] - 1) / 4 - drawn["correct"]) ** 2).mean())
    for name, by_hand in (("AUROC", auc), ("Brier score", brier)):
        ends = [value(told, name, column=of) for of in ("low", "high")]
        assert ends == pytest.approx(percentiles(np.array(by_hand), 8), abs=0.03), name
        assert ends[0] < value(told, name) < ends[1]


def test_within_readers_is_untouched_by_their_habits():
    table = rated()
    each = table.groupby("reader")[["correct", "rating"]].apply(
        lambda t: roc_auc_score(t["correct"], t["rating"])
    )
    told = TrustCalibration(resamples=50)(table)
    assert value(told, "AUROC within readers") == pytest.approx(each.mean())
    moved = table.assign(rating=table["rating"] + 100 * table["reader"].str[1:].astype(int))
    again = TrustCalibration(resamples=50)(moved)
    assert value(again, "AUROC within readers") == pytest.approx(each.mean())
    assert value(again, "AUROC") != pytest.approx(value(told, "AUROC"), abs=1e-3)


def test_conditions_are_told_apart():
    one, other = rated(1), rated(2)
    table = pd.concat([one.assign(condition="plain"), other.assign(condition="map")])
    told = TrustCalibration(low=1, high=5, resamples=200)(table)
    for name, part in (("plain", one), ("map", other)):
        alone = TrustCalibration(low=1, high=5, resamples=200)(part)
        mine = told[told["group"] == f"condition {name}"].assign(group="all").reset_index(drop=True)
        pd.testing.assert_frame_equal(mine, alone)
    assert value(told, "AUROC", column="n") == len(table)


def test_reliability_tells_the_bins():
    table = rated()
    bins = reliability(table, TrustCalibration(low=1, high=5))
    assert bins["rating"].tolist() == [1, 2, 3, 4, 5]
    assert bins["chance"].tolist() == [0, 0.25, 0.5, 0.75, 1]
    by_rating = table.groupby("rating")["correct"].agg(["mean", "count"])
    assert bins["share"].tolist() == pytest.approx(by_rating["mean"].tolist())
    assert bins["n"].tolist() == by_rating["count"].tolist()
    assert ((bins["low"] <= bins["share"]) & (bins["share"] <= bins["high"])).all()
    told = TrustCalibration(low=1, high=5)(table)
    error = (bins["n"] * (bins["chance"] - bins["share"]).abs()).sum() / len(table)
    assert value(told, "expected calibration error") == pytest.approx(error)
    fine = rated(high=5).assign(rating=np.linspace(0, 1, 200))
    assert len(reliability(fine, TrustCalibration(bins=4))) == 4
    assert not len(reliability(table.assign(correct=None)))
    with pytest.raises(InputError, match="'correct'"):
        reliability(table.drop(columns="correct"))
    renamed = table.rename(columns={"rating": "trust"})
    assert len(reliability(renamed, TrustCalibration(low=1, high=5), rating="trust")) == 5


def test_says_why_not():
    table = rated()
    told = TrustCalibration(resamples=50)(table)
    assert value(told, "Brier score", column="why").startswith(
        "ratings lie outside 0 to 1; give low and high"
    )
    assert np.isfinite(value(told, "AUROC", column="low"))
    few = TrustCalibration(low=1, high=5, resamples=50)(table[table["reader"] < "r3"])
    assert value(few, "AUROC", column="why") == "fewer than 5 readers, so cases were drawn for the interval"
    nobody = TrustCalibration(low=1, high=5, resamples=50)(table.assign(reader=None))
    assert value(nobody, "Brier score", column="why").startswith("readers are anonymous")
    assert value(nobody, "AUROC within readers", column="why") == "the readers are anonymous"
    right = TrustCalibration(low=1, high=5, resamples=50)(table.assign(correct=True))
    assert value(right, "AUROC", column="why") == "all answers are right, or all wrong"
    assert value(right, "share right") == 1
    unknown = TrustCalibration()(table.assign(correct=None))
    assert unknown["why"].tolist() == ["it is not known of any answer whether it was right"]
    with pytest.raises(InputError, match="from low to high"):
        TrustCalibration(low=5, high=1)


def test_many_fine_ratings_are_done_in_parts():
    rng = np.random.default_rng(0)
    table = pd.DataFrame({"reader": np.arange(6000) % 20, "case": np.arange(6000) // 20})
    table = table.assign(rating=rng.random(6000), correct=rng.random(6000) < 0.5)
    told = TrustCalibration(resamples=1000)(table)
    assert value(told, "AUROC") == pytest.approx(roc_auc_score(table["correct"], table["rating"]))
    assert 0.45 < value(told, "AUROC", column="low") < value(told, "AUROC", column="high") < 0.55


def test_the_auroc_within_readers_has_an_interval_from_0_to_1():
    alike = {"rating": [1, 2, 3, 4], "correct": [0, 0, 1, 1]}
    worse = {"rating": [1, 2, 3, 4], "correct": [0, 1, 0, 1]}
    parts = [pd.DataFrame(of).assign(reader=k, case=range(4)) for k, of in enumerate([alike, alike, worse])]
    told = TrustCalibration(low=1, high=4)(pd.concat(parts))
    assert value(told, "AUROC within readers") == pytest.approx(2.75 / 3)
    assert value(told, "AUROC within readers", column="high") == 1
