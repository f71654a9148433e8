import numpy as np
import pandas as pd
import pytest

from studykit.catalog import InputError
from studykit.datasets import split


def cases(labels):
    return pd.DataFrame({"group": [f"p{i}" for i in range(len(labels))], "t": labels})


@pytest.mark.parametrize(
    ("labels", "folds", "fold", "sentence"),
    [
        (["a"] * 20, 5, 0, r"one class of 't' \(a\)"),
        (["a"] * 20 + ["b"] * 3, 5, 0, "Class 'b' of 't' has 3 patients, too few for 5 folds"),
        (["a", "b"] * 9, 5, 5, "no fold 5 of 5"),
        (["a", "b"] * 9, 2, 0, "nothing to validate on"),
    ],
)
def test_impossible_splits_get_a_sentence(labels, folds, fold, sentence):
    with pytest.raises(InputError, match=sentence):
        split(cases(labels), "t", folds, fold, 0)


def test_the_unlabelled_are_never_learned_from():
    parts = split(cases(["a", "b", None] * 10), "t", 3, 0, 0)
    assert set(parts[2::3]) == {"test"}


def test_numbers_are_balanced_by_their_order():
    numbers = [float(i * i) for i in range(100)]
    for fold in range(4):
        parts = split(cases(numbers), "t", 4, fold, 0, "regression")
        for part in ("train", "val", "test"):
            shown = np.sqrt(np.array(numbers)[parts == part])
            assert 40 < shown.mean() < 60 and shown.max() - shown.min() > 75


def test_several_labels_are_balanced_by_the_rarest():
    labels = ["common"] * 60 + ["common&rare"] * 12 + ["rare"] * 12 + [""] * 36
    for fold in range(4):
        parts = split(cases(labels), "t", 4, fold, 0, "multilabel")
        for part, least in (("train", 8), ("val", 4), ("test", 4)):
            there = [labels[i] for i in np.flatnonzero(parts == part)]
            assert sum("rare" in label for label in there) >= least
            assert there.count("") >= least and there.count("common") >= least
