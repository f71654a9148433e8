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
