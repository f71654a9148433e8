"""Classes, patients, splits and copies: what is counted over cases."""

from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd
import pytest

from audit.planted import GROUPS, Planted, found, one
from studykit.audit import checked
from studykit.case import Task
from studykit.catalog import InputError
from studykit.datasets import BUSI, split


@dataclass(frozen=True)
class Manifold(Planted):
    """The same with a multilabel task and a number to be predicted."""

    tasks = (
        Task("state", "binary", ("well", "ill")),
        Task("signs", "multilabel", ("cough", "fever", "rash")),
        Task("weight", "regression"),
    )

    @property
    def cases(self):
        rows = super().cases.copy()
        rows["signs"] = ["cough&fever", "fever", None, "cough"] * 15
        rows["weight"] = [70.0, np.nan, 60.0] * 20
        return rows


def test_cases_and_patients_of_each_class():
    row = one(checked(Planted()), "classes", "fact", "state: ill")
    assert (row["cases"], row["patients"], row["value"]) == (30, 25, 0.5)
    assert row["says"] == "30 cases of 25 patients, 50% of those with a label."


def test_a_class_with_fewer_patients_than_folds_is_a_problem():
    labels = tuple(["ill"] * 4 + ["well"] * 56)
    row = one(checked(Planted(labels=labels)), "classes", "problem")
    assert row["subject"] == "state: ill" and "too few patients for 5 folds" in row["says"]
    five = checked(Planted(labels=("ill", *labels[:-1])))
    assert found(five, "classes", "problem").empty
    assert one(five, "classes", "note")["value"] == pytest.approx(45 / 5)


def test_a_declared_class_without_cases_and_a_label_that_is_not_declared_are_problems():
    table = found(checked(Planted(labels=("well",) * 30 + ("sick",) * 30)), "classes", "problem")
    assert table["subject"].tolist() == ["state: ill", "state"]
    assert table["says"].tolist()[0] == "no case has it: leave the class out."
    assert table["says"].tolist()[1].endswith("with what is no class of the task: sick.")


def test_several_labels_a_case_numbers_and_missing_labels():
    table = found(checked(Manifold()), "classes")
    assert one(table, "classes", None, "signs: cough")["cases"] == 30
    assert one(table, "classes", None, "signs: fever")["value"] == pytest.approx(30 / 45)
    assert one(table, "classes", "problem")["subject"] == "signs: rash"
    assert "15 cases" in one(table, "classes", "fact", "signs")["says"]
    weights = found(table, "classes", "fact", "weight")["says"].tolist()
    assert weights[0].startswith("a number, known of 40 cases") and "20 cases" in weights[1]
    assert weights[0].endswith("patients, from 60 to 70; quartiles 60, 65, 70.")


def test_patients_with_several_cases_and_with_different_labels():
    row = one(checked(Planted()), "groups")
    assert row["says"] == "10 of 50 patients have several cases (20 cases of 10 patients), at most 2."
    labels = [*Planted().cases["state"]]
    labels[55] = "well"  # its patient's other case is c45, ill
    row = one(checked(Planted(labels=tuple(labels))), "groups", "note")
    assert row["says"] == "1 patient with cases of different labels (2 cases, c45, c55)."


def test_copies_in_one_group_are_a_fact_and_of_two_patients_a_problem():
    same_patient, same_label, other_label = ("c50", "c40"), ("c04", "c02"), ("c07", "c06")
    table = found(checked(Planted(twins=(same_patient, same_label, other_label))), "duplicates")
    fact, apart, differ = (table.iloc[i] for i in range(3))
    assert fact["level"] == "fact" and fact["says"].endswith("They are c40 = c50.")
    assert apart["level"] == "problem" and apart["says"].endswith("They are c02 = c04, c06 = c07.")
    assert differ["level"] == "problem" and "different labels of state" in differ["says"]
    assert differ["says"].endswith("They are c06 = c07.") and len(table) == 3


def test_missing_and_blank_pictures_are_no_copies_of_each_other():
    table = checked(Planted(absent=("c01", "c03"), blank=("c05", "c07")))
    assert one(table, "duplicates")["says"] == "no two pictures are the same."


def by_patient(part_of):
    return pd.Series([part_of(int(group[1:])) for group in GROUPS], index=Planted().cases.index)


THIRDS = by_patient(lambda n: ("train", "train", "val", "val", "test", "test")[n % 6])


def test_a_clean_split_counts_its_classes():
    table = checked(Planted(), THIRDS)
    assert found(table, "split", "problem").empty
    test = Planted().cases[THIRDS == "test"]
    row = one(table, "split", "fact", "state: test")
    for name in ("well", "ill"):
        of_class = test[test["state"] == name]
        assert f"{name} {len(of_class)} cases of {of_class['group'].nunique()} patients" in row["says"]


def test_a_patient_on_two_sides_is_a_problem():
    torn = THIRDS.copy()
    torn["c50"] = "test" if torn["c40"] == "train" else "train"
    row = one(checked(Planted(), torn), "split", "problem")
    assert row["says"] == "on two sides: 1 patient (2 cases, c40, c50); split by patient."


def test_unlabelled_cases_of_patients_that_train_are_a_fact_and_their_copies_too():
    labels = [*Planted().cases["state"]]
    for case in (50, 57):
        labels[case] = None  # whose patients' other cases, c40 and c47, train and test
    planted = Planted(labels=tuple(labels), twins=(("c50", "c40"),))
    parts = THIRDS.copy()
    parts["c40"], parts["c47"], parts["c50"], parts["c57"] = "train", "test", "test", "test"
    table = checked(planted, parts)
    assert found(table, "split", "problem").empty
    row = found(table, "split", "fact", "patients").iloc[1]
    assert row["says"] == "without a label, of patients that train: 1 case of 1 patient; only looked at."
    assert found(checked(planted, split(planted.cases, "state", 5, 0, seed=0)), "split", "problem").empty


def test_copies_across_sides_are_a_problem_and_on_one_side_none():
    planted = Planted(twins=(("c04", "c00"), ("c06", "c01")))  # train and test; train both
    row = one(checked(planted, THIRDS), "split", "problem")
    assert row["subject"] == "image" and "c00 = c04;" in row["says"] and row["cases"] == 2


def test_a_class_that_a_part_lacks_is_a_problem():
    parts = by_patient(lambda n: "val" if n % 2 and n < 20 else "test" if n < 20 else "train")
    says = found(checked(Planted(), parts), "split", "problem")["says"].tolist()
    assert len(says) == 2 and says[0].startswith("no case of well in val")
    assert says[1].startswith("no case of ill in test")


def test_no_split_and_a_split_of_other_cases():
    assert "no split was given" in one(checked(Planted()), "split")["says"]
    with pytest.raises(InputError, match="holds the case 'x9'"):
        checked(Planted(), pd.Series({"x9": "train"}))
    with pytest.raises(InputError, match="into 'validation'; a part is train, val, test"):
        checked(Planted(), pd.Series({"c01": "validation"}))


@pytest.mark.real_data
def test_busi_is_grouped_as_its_index_says_and_its_copies_are_those_that_loops_find():
    dataset = BUSI(size=64)
    parts = split(dataset.cases, "lesion", 5, 0, seed=0)
    table = checked(dataset, parts)
    pictures = {case: dataset.picture(case, "image") for case in dataset.cases.index}
    same = [(a, b) for a, b in combinations(pictures, 2) if np.array_equal(pictures[a], pictures[b])]
    assert same == [("benign (433)", "malignant (145)")]
    problem = one(table, "duplicates", "problem")
    assert "different labels" in problem["says"] and "benign (433) = malignant (145)" in problem["says"]
    assert found(table, "split", "problem").empty
    assert len(found(table, "duplicates")) == 2 and one(table, "groups", "note")["cases"] > 2
    ungrouped = parts.copy()
    ungrouped["benign (433)"], ungrouped["malignant (145)"] = "train", "test"
    torn = found(checked(dataset, ungrouped), "split", "problem")
    assert {"patients", "image"} <= set(torn["subject"])
    assert torn["says"].str.contains("benign (433) = malignant (145)", regex=False).any()
