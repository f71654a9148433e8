"""Reliance on a table made by hand, by its definitions reading by reading, and its two kinds of interval."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.stats.proportion import proportion_confint

from studykit.catalog import InputError
from studykit.trust.over_readers import percentiles, share, wilson
from studykit.trust.reliance import Reliance
from tests.trust.telling import value

COLUMNS = ["reader", "case", "condition", "first", "aid", "rating", "truth"]
# Schemmer et al. 2023, figure 2: the four ways to meet advice, by hand
BY_HAND = pd.DataFrame(
    [
        ("ann", "a", "map", 0, 1, 1, 1),  # wrong, good advice, taken
        ("ann", "b", "map", 0, 1, 0, 1),  # wrong, good advice, left
        ("ann", "c", "map", 1, 0, 1, 1),  # right, bad advice, left
        ("ann", "d", "map", 1, 0, 0, 1),  # right, bad advice, taken
        ("bob", "a", "map", 0, 1, 1, 1),  # wrong, good advice, taken
        ("bob", "b", "map", 1, 1, 1, 1),  # right, confirmed
        ("bob", "c", "plain", 1, 0, 1, 1),  # right, bad advice, left
        ("bob", "d", "plain", 0, 0, 0, 1),  # wrong, bad advice, confirmed
    ],
    columns=COLUMNS,
)


def test_by_hand():
    told = Reliance()(BY_HAND)
    expected = {
        "RAIR": (2, 3), "RSR": (2, 3), "under-reliance": (1, 3), "over-reliance": (1, 3),
        "switch fraction": (3, 6), "agreement fraction": (5, 8),
    }  # fmt: skip
    for name, (hits, tries) in expected.items():
        assert value(told, name) == pytest.approx(hits / tries)
        assert value(told, f"{name}, numerator") == hits
        assert value(told, f"{name}, denominator") == tries
        assert value(told, name, column="n") == tries
    assert value(told, "RAIR", "reader ann") == 0.5
    assert value(told, "RAIR", "reader bob") == 1
    assert value(told, "RSR", "condition plain") == 1
    assert value(told, "RAIR", "condition plain", "why") == "no reading was first wrong with a right aid"
    assert np.isnan(value(told, "RAIR", "condition plain"))


def slow(table):
    """Numerators and denominators, reading by reading."""
    counted = {name: [0, 0] for name in ("RAIR", "RSR", "switch fraction", "agreement fraction")}
    for one in table.to_dict("records"):
        known = {name: one[name] for name in ("first", "aid", "truth") if one[name] is not None}
        if "first" not in known or "aid" not in known:
            continue
        counted["agreement fraction"][1] += 1
        counted["agreement fraction"][0] += one["rating"] == one["aid"]
        if one["first"] != one["aid"]:
            counted["switch fraction"][1] += 1
            counted["switch fraction"][0] += one["rating"] == one["aid"]
        if "truth" not in known:
            continue
        if one["first"] != one["truth"] and one["aid"] == one["truth"]:
            counted["RAIR"][1] += 1
            counted["RAIR"][0] += one["rating"] == one["truth"]
        if one["first"] == one["truth"] and one["aid"] != one["truth"]:
            counted["RSR"][1] += 1
            counted["RSR"][0] += one["rating"] == one["truth"]
    return counted


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_equals_the_definition_with_three_classes_and_gaps(data):
    answer = st.sampled_from(["benign", "malignant", "unsure"])
    lost = st.one_of(answer, st.none())
    rows = [
        (f"r{k % 3}", f"c{k // 3}", "aid", *data.draw(st.tuples(lost, lost, answer, lost)))
        for k in range(data.draw(st.integers(1, 30)))
    ]
    table = pd.DataFrame(rows, columns=COLUMNS).astype(object)
    table = table.where(table.notna(), None)
    told = Reliance(resamples=20)(table)
    if len(told) == 1:
        assert "write both alike" in told["why"].iloc[0]
        return
    for name, (hits, tries) in slow(table).items():
        assert value(told, f"{name}, numerator") == hits, name
        assert value(told, f"{name}, denominator") == tries, name
        if tries:
            assert value(told, name) == pytest.approx(hits / tries)
    for one, other in (("RAIR", "under-reliance"), ("RSR", "over-reliance")):
        total = value(told, one) + value(told, other)
        assert np.isnan(total) or total == pytest.approx(1)


def many(readers, cases, seed=0, unlike=0.3):
    """Readers who take good advice with chances of their own."""
    rng = np.random.default_rng(seed)
    takes = np.clip(rng.normal(0.6, unlike, readers), 0.02, 0.98)
    rows = []
    for r in range(readers):
        for c in range(cases):
            first, aid = int(rng.random() < 0.5), int(rng.random() < 0.8)
            rows.append(
                (f"r{r:02}", f"c{c}", "aid", first, aid, aid if rng.random() < takes[r] else first, 1)
            )
    return pd.DataFrame(rows, columns=COLUMNS)


def test_few_readers_and_single_readers_have_wilsons_interval():
    told = Reliance()(many(4, 20))
    hits, tries = (value(told, f"RAIR, {part}") for part in ("numerator", "denominator"))
    ends = proportion_confint(hits, tries, method="wilson")
    assert [value(told, "RAIR", column=of) for of in ("low", "high")] == pytest.approx(ends)
    assert value(told, "RAIR", column="why").startswith(
        "4 readers are fewer than 5, so the interval is Wilson's"
    )
    hits, tries = (value(told, f"RSR, {part}", "reader r01") for part in ("numerator", "denominator"))
    ends = proportion_confint(hits, tries, method="wilson")
    assert [value(told, "RSR", "reader r01", of) for of in ("low", "high")] == pytest.approx(ends)


def test_many_readers_are_drawn_whole():
    table = many(12, 30)
    told = Reliance(resamples=4000)(table)
    assert value(told, "RAIR", column="why") == ""
    good = table[(table["first"] == 0) & (table["aid"] == 1)]
    each = good.groupby("reader")["rating"].agg(["sum", "count"]).to_numpy()
    rng = np.random.default_rng(9)
    drawn = [np.divide(*each[rng.integers(0, 12, 12)].sum(axis=0)) for _ in range(4000)]
    ends = [value(told, "RAIR", column=of) for of in ("low", "high")]
    assert ends == pytest.approx(percentiles(np.array(drawn), 12), abs=0.015)
    wilsons = proportion_confint(each[:, 0].sum(), each[:, 1].sum(), method="wilson")
    assert ends[1] - ends[0] > 1.5 * (wilsons[1] - wilsons[0])  # readers are unlike


def test_cases_can_be_drawn_too():
    table = many(8, 25).assign(patient=lambda t: t["case"].str[:2])
    readers = Reliance()(table.drop(columns="patient"))
    both = Reliance(over="readers and cases")(table.drop(columns="patient"))
    patients = Reliance(over="readers and cases")(table)
    width = [
        value(told, "agreement fraction", column="high") - value(told, "agreement fraction", column="low")
        for told in (readers, both, patients)
    ]
    assert width[1] > width[0]
    assert width[2] != width[1]
    with pytest.raises(InputError, match="readers and cases"):
        Reliance(over="reader and case")


def test_intervals_cover_where_readers_differ():
    rng, hits, plain = np.random.default_rng(4), 0, 0
    for _ in range(150):
        chance = rng.beta(3, 2, 10)  # mean 0.6
        tries = np.full((10, 1), 15.0)
        taken = rng.binomial(15, chance)[:, None].astype(float)
        times = rng.multinomial(10, np.full(10, 0.1), 400).astype(float)
        told = share(taken, tries, times)
        hits += told["low"] <= 0.6 <= told["high"]
        told = wilson(taken.sum(), tries.sum())
        plain += told["low"] <= 0.6 <= told["high"]
    assert hits / 150 >= 0.9 > plain / 150


def test_says_why_not():
    told = Reliance()(BY_HAND.assign(first=np.nan))
    assert value(told, "readings without first") == 8
    assert value(told, "RSR", column="why") == "no reading was first right with a wrong aid"
    told = Reliance()(BY_HAND.assign(reader=None))
    assert value(told, "RAIR") == pytest.approx(2 / 3)
    assert value(told, "RAIR", column="why").startswith("the readers are anonymous")
    assert not told["group"].str.startswith("reader ").any()
    in_words = Reliance()(BY_HAND.assign(truth="malignant"))
    assert "no answer ever equals a truth (0, 1 against malignant)" in in_words["why"].iloc[0]
    final = Reliance()(BY_HAND.assign(rating=BY_HAND["rating"].astype(str)))  # "1" is not 1
    assert "write both alike" in final["why"].iloc[0]
    alike = pd.concat([BY_HAND.iloc[:1].assign(reader=f"r{k}") for k in range(6)])
    told = Reliance()(alike)
    assert value(told, "RAIR") == 1
    assert value(told, "RAIR", column="why").startswith("all readers have the same share")
    assert value(told, "RAIR", column="low") == pytest.approx(proportion_confint(6, 6, method="wilson")[0])
    categories = BY_HAND.assign(
        **{name: pd.Categorical(BY_HAND[name]) for name in ("first", "aid", "rating", "truth")}
    )
    pd.testing.assert_frame_equal(Reliance()(categories), Reliance()(BY_HAND))
