import numpy as np
import pandas as pd
import pytest

from studykit.catalog import InputError
from studykit.datasets.inference import inferred_kind, inferred_task, number, reads_out, sorted_classes

COUNT = 24
LABEL = pd.Series(["no", "yes"] * (COUNT // 2), name="label", dtype=object)
DRAW = np.random.default_rng(0)
ROWS = pd.Series([f"p{n}" for n in range(COUNT)], dtype=object)  # each row a patient


def column(*cells):
    """COUNT cells, the given ones again and again."""
    return pd.Series([cells[n % len(cells)] for n in range(COUNT)], dtype=object)


def drawn(*cells):
    """COUNT cells, drawn at random from the given ones."""
    return pd.Series(
        [cells[n] for n in np.random.default_rng(1).integers(len(cells), size=COUNT)], dtype=object
    )


def kind(name, cells, folders=(), patients=ROWS):
    return inferred_kind(name, cells, [LABEL], patients, lambda cell: cell in folders)


NUMBERED = [str(n) for n in range(COUNT)]
AGES = [str(n) for n in np.random.default_rng(2).integers(20, 90, COUNT)]


@pytest.mark.parametrize(
    ("name", "cells", "expected"),
    [
        ("photo", column(*[f"p/{n}.PNG" for n in NUMBERED]), "image"),
        ("photo", column(*[f"p/{n}.jpg" for n in NUMBERED[:20]], None, "not taken"), "image"),
        ("ct", column(*[f"{n}.nii.gz" for n in NUMBERED]), "volume"),
        ("ct", column(*[f"scan{n}.dcm" for n in NUMBERED]), "volume"),
        ("report", column(*[f"reports/{n}.txt" for n in NUMBERED]), "text"),
        ("report", column(*[f"a mass of {n} mm on the left" for n in NUMBERED]), "text"),
        ("age", column(*AGES), "number"),
        ("psa", column(*[f"{int(n) * 1.37:.2f}" for n in AGES], None), "number"),
        ("smoker", drawn("0", "1"), "number"),
        ("sex", drawn("f", "m"), "category"),
        ("covid", drawn("f", "m"), "category"),  # no word of it is "id"
        ("ulcer", drawn("x", None), "category"),  # no word may mean no
        ("symptoms", drawn("pain", "pain&lump", "lump", None), "category"),
        ("findings", drawn("none at all was seen", "a mass was seen here"), "category"),
    ],
)
def test_kinds_are_told_from_the_cells(name, cells, expected):
    found, reason = kind(name, cells)
    assert found == expected and reason


@pytest.mark.parametrize(
    ("name", "cells", "reason"),
    [
        ("PatientName", drawn("Ann", "Eve"), "looks like an identifier"),
        ("MRN", drawn("17", "18"), "looks like an identifier"),
        ("dob", drawn("1", "2"), "looks like an identifier"),
        ("study_id", drawn("1", "2"), "looks like an identifier"),
        ("Series", drawn("a", "b"), "looks like an identifier"),
        ("study no.", drawn("a", "b"), "looks like an identifier"),
        ("e-mail", drawn("a", "b"), "looks like an identifier"),
        ("code", column(*[f"K{n}x" for n in NUMBERED]), "looks like an identifier: 24 different values"),
        ("nr", column(*NUMBERED), "looks like an identifier: whole numbers"),
        ("case number", column(*[str(7000000 + 17 * int(n)) for n in NUMBERED]), "whole numbers"),
        ("seen", column(*[f"2020-01-{int(n) + 1:02d}" for n in NUMBERED]), "holds dates"),
        ("seen", column("17.5.1961", "3.12.1970", "4/5/66", "1950-01-01T10:00:00"), "holds dates"),
        ("site", column("Basel"), "says the same"),
        ("empty", column(None), "is empty"),
        ("size", column(*AGES[:22], ">90", "2.5"), "row 22 holds '>90', which is no number"),
        ("size", column(*AGES[:22], "2.5", "Mrs Doe said no"), "^row 23 holds no number, and numbers are"),
        ("size", column(*AGES[:22], "2.5", "19.5.61"), "^row 23 holds no number, and numbers are"),
        ("size", column(*[f"{n},5" for n in AGES]), r"decimal commas \(row 0\); write them with a point"),
        ("size", column("1.5", "2", "2,5", "4"), r"decimal commas \(row 2\); write them with a point"),
        ("dose", column("1", "inf", "2"), "row 1 holds an endless or too large number"),
        ("dose", column("1", "2", "1e400", "2.5"), "row 2 holds an endless or too large number"),
        ("finding", column("no", "yes"), "reads out 'label'"),
        ("finding", column("0", "1"), "reads out 'label'"),
        ("biopsy", column(None, "core", None, "fine"), "reads out 'label'"),
        ("stage", column("n1", "y1", "n2", "y2"), "reads out 'label'"),
    ],
)
def test_columns_that_should_not_be_used_are_left_out_with_a_reason(name, cells, reason):
    found, why = kind(name, cells)
    assert found == "ignore"
    assert pd.Series([why]).str.contains(reason).all(), why


def test_a_category_that_stands_for_patients_is_left_out():
    patients = column(*[f"p{n}" for n in range(8)])  # three cases each
    codes = ("ab", "cd", "ef", "gh", "ij", "kl", "mn", "op")
    for cells in (
        column(*codes),  # one code a patient
        column(*codes[:7], "ab"),  # of which two share one
        column(*codes, *[code * 2 for code in codes[:2]], *codes[2:], *codes),  # two have another one
    ):
        found, why = kind("code", cells, patients=patients)
        assert found == "ignore" and "values stand for single patients" in why
    assert kind("code", column(*codes[:7], "ab"))[0] == "category"  # each row a patient: shared by three
    assert kind("site", drawn(*codes[:7]), patients=patients)[0] == "category"  # changes within a patient
    assert kind("sex", column(*"fmfmfmmm"), patients=patients)[0] == "category"
    assert kind("sex", column("f", "m", "m"), patients=column("p0", "p1", "p2"))[0] == "category"


def test_inf_may_be_a_word():
    assert kind("part", drawn("sup", "inf", "mid"))[0] == "category"


def test_folders_of_slices_are_volumes_but_a_category_that_is_a_folder_is_not():
    series = [f"ct/{n}" for n in NUMBERED]
    assert kind("ct", column(*series), series) == ("volume", "its cells name folders")
    assert kind("site", drawn("basel", "bern"), ("basel", "bern"))[0] == "category"


def test_reading_out_needs_more_than_chance():
    assert not reads_out(column("a", "b").head(2), LABEL.head(2))  # two rows prove nothing
    assert not reads_out(pd.Series(NUMBERED, dtype=object), LABEL)  # nor do values that come once
    almost = column("a", "b").copy()
    almost[0] = "b"
    assert not reads_out(almost, LABEL)
    assert reads_out(column("a", "b"), LABEL.where(LABEL.index > 5, None))


def test_a_number_that_is_the_label_in_another_unit_reads_it_out():
    size = pd.Series([f"{n:.3f}" for n in DRAW.normal(10, 2, COUNT)], name="size", dtype=object)
    inch = size.map(lambda cell: f"{float(cell) / 2.54 + 1:.5f}")
    noisy = size.map(lambda cell: f"{float(cell) + DRAW.normal(0, 1):.3f}")
    assert reads_out(inch, size) and not reads_out(noisy, size)


@pytest.mark.parametrize(
    ("cells", "task", "classes"),
    [
        (column("yes", "no"), "binary", ("no", "yes")),
        (column("0", "1"), "binary", ("0", "1")),
        (column("Healthy", "cancer", None), "binary", ("Healthy", "cancer")),
        (column("abnormal", "normal"), "binary", ("normal", "abnormal")),
        (column("10", "9", "2"), "multiclass", ("2", "9", "10")),
        (column("c", "a", "b"), "multiclass", ("a", "b", "c")),
        (column("a&b", "b", "a & c"), "multilabel", ("a", "b", "c")),
        (column("a&b", "b", "None"), "multilabel", ("a", "b")),
        (column("none", "mild", "severe"), "multiclass", ("none", "mild", "severe")),
        (column(*[f"{n}.5" for n in NUMBERED]), "regression", ()),
    ],
)
def test_tasks_are_told_from_the_label(cells, task, classes):
    found, reason = inferred_task("label", cells, "cases.csv")
    assert (found.name, found.kind, found.classes) == ("label", task, classes) and reason


@pytest.mark.parametrize(
    ("cells", "sentence"),
    [
        (column(None), "The label 'label' of cases.csv says nothing in every row"),
        (column("yes"), "says 'yes' in every row; a model needs"),
        (column("no sign of anything else"), r"says 'no sign of anythi\.\.\.' in every row"),
        (column(*[f"{n},5" for n in NUMBERED]), "label' of cases.csv looks like numbers with decimal commas"),
        (pd.Series([f"x{n}" for n in range(60)], dtype=object), "has 60 different values, no classes"),
    ],
)
def test_labels_that_are_none_get_a_sentence(cells, sentence):
    with pytest.raises(InputError, match=sentence):
        inferred_task("label", cells, "cases.csv")


@pytest.mark.parametrize(
    "cell", ["1,5", "nan", "inf", "1_000", "1e999", "1e40", "0x1f", "٣", "", " ", "1 2", "--1"]
)
def test_what_is_no_number_is_none(cell):
    assert np.isnan(number(cell))


@pytest.mark.parametrize(
    ("cell", "value"), [("1", 1), ("-1.5", -1.5), (".5", 0.5), ("1.", 1), ("+2e-3", 0.002)]
)
def test_numbers_are_numbers(cell, value):
    assert number(cell) == value


def test_classes_are_sorted_by_size_and_by_what_says_no():
    assert sorted_classes({"10", "9", "b", "a", "benign"}) == ("benign", "9", "10", "a", "b")
