"""The table people read: by SciPy, by slow twins, by closed forms, and whatever the order of the rows."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import bootstrap, t

from studykit.catalog import InputError
from studykit.quality.summary import (
    BOOTSTRAP,
    COLUMNS,
    STUDENT,
    THIRDS,
    adjusted,
    class_adjusted,
    coherence,
    summary,
)


def rows(count=24, patients=None, seed=0, scores=("relevance_mass",), methods=("a", "b")):
    """A table as `quality.parquet` has it; one case has no region and one is told by no one."""
    rng, made = np.random.default_rng(seed), []
    about = [
        (f"c{at:02}", ["n", "y"][at % 2], ["n", "y", "y"][rng.integers(3)], rng.uniform(0.01, 0.3))
        for at in range(count)
    ]
    for method in methods:
        for score in scores:
            for at, (case, label, predicted, size) in enumerate(about):
                untold = at == 3
                made.append(
                    {"method": method, "modality": "image", "score": score, "case": case,
                     "group": f"p{at % (patients or count):02}",
                     "value": np.nan if untold else rng.beta(2, 3),
                     "chance": np.nan if untold else size, "why": "no region" if untold else "",
                     "label": label, "predicted": predicted, "right": label == predicted,
                     "size": np.nan if untold else size, "control": method == "b"}
                )  # fmt: skip
    return pd.DataFrame(made)


def test_one_case_a_patient_gives_students_interval():
    table = rows()
    found = summary(table, resamples=200)
    assert tuple(found.columns) == COLUMNS and len(found) == 2
    for _, row in found.iterrows():
        values = table[table["method"] == row["method"]]["value"].dropna()
        low, high = t.interval(0.95, len(values) - 1, values.mean(), values.std() / np.sqrt(len(values)))
        assert [row["estimate"], row["sd"], row["low"], row["high"]] == pytest.approx(
            [values.mean(), values.std(), low, high], abs=1e-12
        )
        assert (row["n"], row["empty"], row["interval"], row["group"]) == (23, 1, STUDENT, "all")
    wide = summary(table, resamples=200, level=0.99)
    assert (wide["high"] - wide["low"] > found["high"] - found["low"]).all()


def test_several_cases_of_a_patient_are_drawn_together():
    table = rows(24, patients=6)
    table["value"] = table["group"].str[1:].astype(float)  # cases of a patient are alike
    found = summary(table, resamples=4000).iloc[0]
    alone = summary(table.assign(group=table["case"]), resamples=50).iloc[0]
    assert found["interval"] == BOOTSTRAP and alone["interval"] == STUDENT
    # Six patients 0 to 5, each with the same weight: SciPy draws the patients, one value each.
    wanted = bootstrap(
        (np.arange(6.0),), np.mean, n_resamples=4000, method="percentile", rng=np.random.default_rng(0)
    ).confidence_interval
    assert [found["low"], found["high"]] == pytest.approx([wanted.low, wanted.high], abs=0.2)
    assert found["high"] - found["low"] > 1.5 * (alone["high"] - alone["low"])


def test_the_lift_is_the_mean_over_the_mean_of_chance():
    table = rows()
    found = summary(table, resamples=3000, seed=1).iloc[0]
    told = table[(table["method"] == "a") & table["value"].notna()]
    assert found["chance"] == pytest.approx(told["chance"].mean(), abs=1e-12)
    assert found["lift"] == pytest.approx(told["value"].mean() / told["chance"].mean(), abs=1e-12)
    wanted = bootstrap(
        (told["value"], told["chance"]),
        lambda v, c, axis: v.mean(axis=axis) / c.mean(axis=axis),
        paired=True, n_resamples=3000, method="percentile", rng=np.random.default_rng(0),
    ).confidence_interval  # fmt: skip
    assert [found["lift_low"], found["lift_high"]] == pytest.approx([wanted.low, wanted.high], rel=0.05)
    unknown = summary(table.assign(chance=np.nan), resamples=10)
    assert unknown[["chance", "lift", "lift_low", "lift_high"]].isna().all(axis=None)
    nil = summary(table.assign(chance=0.0), resamples=10)
    assert (nil["chance"] == 0).all() and nil["lift"].isna().all()


@pytest.mark.parametrize("by", ["", "label", "right", "size", "true positives"])
def test_the_order_of_the_rows_does_not_matter(by):
    table = rows(scores=("relevance_mass", "sparseness"), patients=20)
    asked = {"by": by, "resamples": 60, "positive": "y"}
    shuffled = table.sample(frac=1, random_state=3, ignore_index=False)
    pd.testing.assert_frame_equal(summary(table, **asked), summary(shuffled, **asked), check_exact=True)


def test_strata_are_the_cases_they_say():
    table = rows(methods=("a",))
    told = table[table["value"].notna()]
    for by, column in (("label", "label"), ("right", "right")):
        found = summary(table, by=by, resamples=20).set_index("group")["estimate"]
        wanted = told.groupby(column)["value"].mean().rename({True: "right", False: "wrong"})
        assert len(found) == 2 and found.to_dict() == pytest.approx(wanted.to_dict())
    hits = told[(told["label"] == "y") & (told["predicted"] == "y")]
    found = summary(table, by="true positives", positive="y", resamples=20).iloc[0]
    assert (found["group"], found["n"]) == ("true positives", len(hits))
    assert found["estimate"] == pytest.approx(hits["value"].mean()) and 0 < len(hits) < len(told)
    unsure = table.assign(right=table["right"].where(table.index != 0, None))
    counts = summary(unsure, by="right", resamples=20)
    assert counts["n"].sum() + counts["empty"].sum() == 23


def test_thirds_of_the_sizes_are_counted_once_a_case_and_joined_by_its_name():
    table = rows(25, scores=("relevance_mass", "sparseness"))
    table.loc[table["score"] == "sparseness", "size"] = np.nan  # found by the case's other rows
    found = summary(table, by="size", resamples=20)
    sizes = table.dropna(subset="size").drop_duplicates("case").set_index("case")["size"].sort_values()
    assert len(sizes) == 24
    thirds = {name: THIRDS[at // 8] for at, name in enumerate(sizes.index)}
    for _, row in found.iterrows():
        cells = table[(table["method"] == row["method"]) & (table["score"] == row["statistic"])]
        wanted = cells[cells["case"].map(thirds) == row["group"]]["value"]
        assert row["estimate"] == pytest.approx(wanted.mean()) and row["n"] == wanted.notna().sum()
    assert found["group"].tolist() == [*THIRDS] * 4 and (found["n"] == 8).all()


def test_where_there_is_nothing_to_tell_the_commonest_reason_stands():
    table = rows(6, methods=("a",)).assign(value=np.nan, why=["x", "y", "y", "x", "y", ""])
    row = summary(table, resamples=10).iloc[0]
    assert (row["n"], row["empty"], row["why"], row["interval"]) == (0, 6, "y", "")
    assert row[["estimate", "sd", "low", "high", "lift"]].isna().all()
    one = summary(rows(1, methods=("a",)), resamples=10).iloc[0]
    assert one["n"] == 1 and np.isnan(one["low"]) and "one patient" in one["why"]
    alone = summary(rows(5, patients=1, methods=("a",)), resamples=10).iloc[0]
    assert alone["n"] == 4 and np.isnan(alone[["low", "lift_low"]].astype(float)).all()
    nothing = summary(table.iloc[:0])
    assert len(nothing) == 0 and tuple(nothing.columns) == COLUMNS


def test_coherence_is_the_summary_of_the_scores_against_regions():
    table = rows(scores=("relevance_mass", "relevance_rank", "iou", "dice", "pointing_game", "sparseness"))
    found = coherence(table, by="label", resamples=10)
    assert set(found["statistic"]) == {
        "relevance_mass", "relevance_rank", "iou", "dice", "pointing_game",
    } and len(found) == 2 * 5 * 2  # fmt: skip


def test_the_class_adjusted_score_of_the_printed_example():
    assert class_adjusted([0.2, 0.1], 0.15) == pytest.approx(0.10, abs=1e-12)
    assert class_adjusted({"a": 0.1, "b": 0.2}, 0.15, alpha=0.5) == pytest.approx(0.125, abs=1e-12)
    # three classes: |.3-.1|, |.3-.2|, |.1-.2|, their mean .4 / 3, half of it .2 / 3
    assert class_adjusted([0.3, 0.1, 0.2], 0.2) == pytest.approx(0.2 - 0.2 / 3, abs=1e-12)
    assert np.isnan(class_adjusted([0.3], 0.3))


def test_adjusted_tells_classes_all_cases_and_the_adjusted_value():
    table = rows(scores=("degradation", "iou"))
    found = adjusted(table, resamples=400)
    assert found["group"].tolist() == ["n", "y", "all", "class-adjusted"] * 2
    assert set(found["statistic"]) == {"degradation"}
    first = found.iloc[:4].set_index("group")
    gap = abs(first.loc["n", "estimate"] - first.loc["y", "estimate"]) / 2
    last = first.loc["class-adjusted"]
    assert last["estimate"] == pytest.approx(first.loc["all", "estimate"] - gap, abs=1e-12)
    assert last["low"] < last["estimate"] < first.loc["all", "high"] and last["interval"] == BOOTSTRAP
    single = adjusted(table[table["label"] == "n"], resamples=10).iloc[2]
    assert np.isnan(single["estimate"]) and "of 1 class" in single["why"]
    assert len(adjusted(table, "deletion")) == 0


@pytest.mark.parametrize(
    ("change", "asked", "sentence"),
    [
        (lambda x: x.drop(columns="group"), {}, "needs the column 'group'"),
        (lambda x: pd.concat([x, x.iloc[:1]]), {}, "'c00' has relevance_mass of a twice"),
        (lambda x: x, {"by": "sex"}, "no stratum named 'sex'"),
        (lambda x: x, {"by": "true positives"}, "positive='n' or 'y'"),
        (lambda x: x.drop(columns="right"), {"by": "right"}, "need the column 'right'"),
    ],
)
def test_what_cannot_be_gets_a_sentence(change, asked, sentence):
    with pytest.raises(InputError, match=sentence):
        summary(change(rows()), **asked)
