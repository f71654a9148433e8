from collections import defaultdict
from math import comb

import numpy as np
import pytest

from audit.planted import GROUPS, STATES, Planted, found, one
from studykit.audit import Missing, checked
from studykit.datasets import BreastLesionsUSG

CHECK = (Missing(),)


def only(**planted):
    return checked(Planted(**planted), checks=CHECK)


def by_patient(lacks, labels, groups):
    """{class: (patients lacking it in any case of the class, all of the class)}, counted one by one."""
    lacking, all_of = defaultdict(set), defaultdict(set)
    for lack, label, group in zip(lacks, labels, groups, strict=True):
        all_of[label].add(group)
        if lack:
            lacking[label].add(group)
    return {label: (len(lacking[label]), len(all_of[label])) for label in all_of}


def fisher(k, n, j, m):
    """Two-sided: the sum of the chances of all tables that are no likelier than this one."""
    total = comb(n + m, k + j)
    chances = [comb(n, i) * comb(m, k + j - i) / total for i in range(k + j + 1) if i <= n and k + j - i <= m]
    own = comb(n, k) * comb(m, j) / total
    return sum(chance for chance in chances if chance <= own * (1 + 1e-7))


def level(k, n, j, m, comparisons=1):
    gap, p = abs(k / n - j / m), fisher(k, n, j, m) * comparisons
    if p < 0.001 and (gap >= 0.25 or k in (0, n) or j in (0, m)):
        return "problem"
    return "note" if p < 0.01 and gap >= 0.1 else "fact"


def words(lacks):
    return [None if lack else "word" for lack in lacks]


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("more", [0.0, 0.3, 0.6])
def test_counts_difference_and_level_are_those_of_plain_loops(seed, more):
    draw = np.random.default_rng(seed)
    lacks = draw.random(60) < 0.1 + more * (STATES == "ill")
    row = one(only(columns=(("Word", words(lacks)),)), "missing", None, "Word")
    counts = by_patient(lacks, STATES, GROUPS)
    (k, n), (j, m) = counts["ill"], counts["well"]
    assert f"patients by state: well {j} of {m}, ill {k} of {n}." in row["says"]
    assert row["cases"] == lacks.sum() and row["value"] == pytest.approx(k / n - j / m)
    assert row["level"] == level(k, n, j, m)


@pytest.mark.parametrize("seed", range(6))
def test_each_of_three_classes_is_compared_with_all_others(seed):
    draw = np.random.default_rng(seed)
    labels = ["well", "ill", "worse"] * 20
    lacks = draw.random(60) < np.where(np.array(labels) == "ill", 0.15 + 0.1 * seed, 0.15)
    table = only(labels=tuple(labels), classes=("well", "ill", "worse"), columns=(("Word", words(lacks)),))
    row = one(table, "missing", None, "Word")
    found = []
    for name in ("well", "ill", "worse"):
        counts = by_patient(lacks, [label == name for label in labels], GROUPS)
        found.append((level(*counts[True], *counts[False], comparisons=3), counts))
    worst = min(("problem", "note", "fact").index(one) for one, _ in found)
    assert row["level"] == ("problem", "note", "fact")[worst]
    gaps = [counts[True][0] / counts[True][1] - counts[False][0] / counts[False][1] for _, counts in found]
    assert row["value"] == pytest.approx(next(gap for gap in gaps if abs(gap) == max(map(abs, gaps))))


def test_missingness_tied_to_the_label_is_a_problem_that_names_the_class():
    lacks = (STATES == "well") & (np.arange(60) < 40)
    row = one(only(columns=(("Smoking", words(lacks)),)), "missing", "problem")
    assert row["subject"] == "Smoking" and row["value"] == pytest.approx(-0.8)
    assert "speaks against ill" in row["says"] and "leave it out" in row["says"]


def test_columns_missing_together_are_told_together():
    lacks = (STATES == "well") & (np.arange(60) < 40)
    columns = tuple((name, words(lacks)) for name in ("Smoking", "Drinking", "Fever"))
    row = one(only(columns=columns), "missing", "problem")
    assert row["subject"] == "Smoking and 2 more" and "Smoking, Drinking, Fever: missing" in row["says"]


def test_pictures_and_texts_are_looked_at_too():
    ill = tuple(f"c{n:02d}" for n in range(60) if STATES[n] == "ill")
    table = only(absent=ill, notes_of=tuple("" if s == "ill" else "a text" for s in STATES))
    row = one(table, "missing", "problem")
    assert row["says"].startswith("image, Report: missing in 30 cases of 25 patients (50.0% of the cases)")


def test_words_that_mean_missing_are_noted():
    row = one(only(columns=(("Sex", ["female", "Unknown", "male"] * 20),)), "missing", "note", "Sex")
    assert row["cases"] == 20


def test_nothing_missing_is_one_fact():
    row = one(only(), "missing")
    assert row["level"] == "fact" and row["says"] == "nothing is missing in image, Age."


@pytest.mark.real_data
def test_the_breast_record_lacks_what_its_table_lacks():
    dataset = BreastLesionsUSG()
    table = checked(dataset, checks=CHECK)
    cases = dataset.cases
    for column in dataset.record:
        row = one(table, "missing", None, column)
        lacks = [value is None or value != value for value in cases[column]]
        (k, n), (j, m) = (by_patient(lacks, cases["lesion"], cases["group"])[c] for c in dataset.classes)
        assert row["cases"] == sum(lacks) and f"benign {k} of {n}, malignant {j} of {m}." in row["says"]
        assert row["level"] == level(j, m, k, n)


@pytest.mark.real_data
def test_the_skin_questionnaire_that_no_cancer_lacks_is_flagged():
    from studykit.datasets.pad_ufes_20 import PADUFES20

    dataset = PADUFES20()
    task = dataset.tasks[0].name
    table = found(checked(dataset, checks=CHECK), "missing", "problem")
    row = table[table["says"].str.contains("smoke, drink")].iloc[0]
    lacks = dataset.cases["smoke"].isna()
    counts = by_patient(lacks, dataset.cases[task], dataset.cases["group"])
    assert row["cases"] == lacks.sum() == 184
    assert all(counts[name][0] == 0 for name in ("BCC", "MEL", "SCC"))
    for name, (without, of) in counts.items():
        assert f"{name} {without} of {of}" in row["says"]
    assert "age" not in ", ".join(table["subject"])
