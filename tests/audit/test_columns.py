from dataclasses import dataclass
from itertools import product

import numpy as np
import pandas as pd
import pytest

from audit.planted import GROUPS, STATES, Planted, found, one
from studykit.audit import Columns, checked
from studykit.audit.columns import readout
from studykit.case import Task
from studykit.catalog import InputError

CHECK = (Columns(),)


def only(**planted):
    return checked(Planted(**planted), checks=CHECK)


def slow_area(values, inside):
    """The share of pairs (one inside, one not) that the number orders; ties count half."""
    middle = sorted(v for v in values if v == v)
    half = len(middle) // 2
    middle = middle[half] if len(middle) % 2 else (middle[half - 1] + middle[half]) / 2
    values = [v if v == v else middle for v in values]
    ill = [v for v, i in zip(values, inside) if i]
    well = [v for v, i in zip(values, inside) if not i]
    wins = sum((a > b) + 0.5 * (a == b) for a, b in product(ill, well))
    area = wins / (len(ill) * len(well))
    return max(area, 1 - area)


def slow_guess(cells, inside, groups):
    """The mean over both sides of the share guessed right from other patients with the same word."""
    right = {True: [], False: []}
    for case, (cell, side) in enumerate(zip(cells, inside)):
        share = {}
        for other in (True, False):
            of_side = [i for i in range(len(cells)) if inside[i] == other]
            same = [i for i in of_side if cells[i] == cell and groups[i] != groups[case]]
            share[other] = len(same) / len(of_side)
        right[side].append(share[side] > share[not side])
    return (np.mean(right[True]) + np.mean(right[False])) / 2


@pytest.mark.parametrize("seed", range(6))
def test_the_score_of_numbers_and_of_words_is_that_of_plain_loops(seed):
    draw = np.random.default_rng(seed)
    inside = draw.random(40) < 0.4
    groups = draw.integers(0, 25, 40)
    numbers = draw.integers(0, 8, 40) + 2.0 * inside
    numbers[draw.random(40) < 0.2] = np.nan
    words = [["a", "b", "c", None][i] for i in (draw.integers(0, 3, 40) + inside) % 4]
    owners = pd.Series(groups)
    assert readout(pd.Series(numbers), inside, owners) == pytest.approx(slow_area(numbers, inside))
    assert readout(pd.Series(words), inside, owners) == pytest.approx(slow_guess(words, inside, groups))


def test_a_score_needs_two_sides():
    with pytest.raises(InputError, match="one side"):
        readout(pd.Series([1.0, 2.0], name="Age"), np.array([True, True]), pd.Series(["a", "b"]))


@pytest.mark.parametrize(
    "values",
    [
        STATES.tolist(),
        (STATES == "ill").tolist(),
        (3.0 - 2 * (STATES == "ill")).tolist(),
        ["mass" if s == "ill" else None for s in STATES],
    ],
    ids=["the same words", "yes and no", "lower numbers", "named only in one class"],
)
def test_a_column_that_equals_the_label_is_named(values):
    row = one(only(columns=(("Histology", values),)), "columns", "problem")
    assert row["subject"] == "Histology" and row["value"] == 1.0
    assert "tells ill (state)" in row["says"] and "leave it out" in row["says"]


def test_a_column_that_tells_the_label_only_where_it_is_known_is_a_note():
    known = [s if n % 2 else None for n, s in enumerate(np.repeat(["well", "ill"], 30))]
    labels = tuple(np.repeat(["well", "ill"], 30))
    table = checked(Planted(columns=(("Biopsy", known),), labels=labels), checks=CHECK)
    row = one(table, "columns", "note", "Biopsy")
    assert row["cases"] == 30 and "where it is missing it cannot" in row["says"]
    assert found(table, "columns", "problem").empty


def test_too_few_patients_are_not_judged():
    labels = tuple(["ill"] * 9 + ["well"] * 51)
    table = checked(Planted(columns=(("Same", list(labels)),), labels=labels), checks=CHECK)
    assert found(table, "columns", subject="Same").empty


def test_a_word_of_one_patient_each_names_the_patient_and_is_not_called_the_label():
    row = one(only(columns=(("Code", [f"x{g}" for g in GROUPS]),)), "columns", "note")
    assert row["subject"] == "Code" and "names the patient" in row["says"]


def test_refused_columns_are_facts_and_in_use_a_problem():
    row = one(only(), "columns", "fact", "Result")
    assert row["says"] == "refused: it is late."
    harmless = ["a", "b"] * 15 + ["b", "a"] * 15
    row = one(only(columns=(("Result", harmless),)), "columns", "problem")
    assert row["says"] == "in use although it is refused: it is late."


def test_texts_that_hold_the_name_of_their_class_are_counted_and_not_shown():
    notes = ["Looks ill, secret" if s == "ill" and n < 20 else "willing" for n, s in enumerate(STATES)]
    row = one(only(notes_of=tuple(notes)), "columns", "note", "Report")
    assert (
        row["cases"] == 10 and row["says"] == "the very word stands in 10 of 30 texts of class ill (state)."
    )
    assert row["value"] == pytest.approx(10 / 30)


def test_of_three_classes_the_one_that_a_column_reads_out_is_named():
    labels = tuple(["well", "ill", "worse"] * 20)
    groups = ("Group", [1.0 if label == "worse" else 0.0 for label in labels])
    table = only(labels=labels, classes=("well", "ill", "worse"), columns=(groups,))
    row = one(table, "columns", "problem")
    assert row["subject"] == "Group" and "tells worse (state)" in row["says"]
    words = ("Word", ["x" if n % 3 == 1 and n < 30 else "y" for n in range(60)])
    table = only(labels=labels, classes=("well", "ill", "worse"), columns=(words,))
    scores = [
        slow_guess(words[1], [label == c for label in labels], GROUPS) for c in ("well", "ill", "worse")
    ]
    assert one(table, "columns", "fact", "Word")["value"] == pytest.approx(max(scores))


@dataclass(frozen=True)
class Weighed(Planted):
    tasks = (Task("weight", "regression"),)

    @property
    def cases(self):
        return super().cases.assign(weight=WEIGHTS)


WEIGHTS = np.where(np.arange(60) % 10 == 9, np.nan, np.random.default_rng(3).normal(70, 9, 60))


def slow_variance(words, targets, groups):
    """One minus the squared errors of guessing other patients' mean of the word, over those of the mean."""
    mean, wrong, spread = np.mean(targets), 0.0, 0.0
    for word, target, group in zip(words, targets, groups):
        same = [t for w, t, g in zip(words, targets, groups) if w == word and g != group]
        wrong += (target - (np.mean(same) if same else mean)) ** 2
        spread += (target - mean) ** 2
    return max(0.0, 1 - wrong / spread)


def test_a_number_that_is_predicted_is_followed_by_numbers_and_by_words():
    draw = np.random.default_rng(0)
    near = WEIGHTS + draw.normal(0, 6, 60)
    near[::7] = np.nan
    words = ["heavy" if w > 72 else "light" if n % 2 else f"own{n}" for n, w in enumerate(WEIGHTS)]
    used = {"Lean": -(WEIGHTS**3), "Near": near, "Word": words, "Flat": [1.0] * 60, "Code": list(GROUPS)}
    table = checked(Weighed(columns=tuple((k, list(v)) for k, v in used.items())), checks=CHECK)
    row = one(table, "columns", "problem")
    assert row["subject"] == "Lean" and row["value"] == pytest.approx(1) and "follows weight" in row["says"]
    both = ~np.isnan(WEIGHTS) & ~np.isnan(near)
    ranks = [np.argsort(np.argsort(v[both])) for v in (WEIGHTS, near)]
    assert one(table, "columns", "fact", "Near")["value"] == pytest.approx(abs(np.corrcoef(*ranks)[0, 1]))
    known = ~np.isnan(WEIGHTS)
    expected = slow_variance(np.array(words)[known], WEIGHTS[known], GROUPS[known])
    assert expected > 0.3 and one(table, "columns", "fact", "Word")["value"] == pytest.approx(expected)
    assert (
        one(table, "columns", "fact", "Flat")["value"] == one(table, "columns", "fact", "Code")["value"] == 0
    )
    assert one(table, "columns", "fact", "in use")["says"] == "Age, Lean, Near, Word, Flat, Code."


def test_columns_in_use_are_named_though_none_can_be_judged():
    table = only(labels=tuple(["ill"] * 9 + ["well"] * 51))
    assert one(table, "columns", "fact", "in use")["says"] == "Age."
