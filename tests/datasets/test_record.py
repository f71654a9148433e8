import json

import numpy as np
import pandas as pd
import pytest
import torch

from studykit.case import Task
from studykit.catalog import InputError
from studykit.datasets.prepared import targets
from studykit.datasets.record import Record

ROWS = pd.DataFrame(
    {"Age": [30.0, np.nan, 50.0], "Signs": ["no", "lump&scar", None], "Side": ["l", "r", "l"]}
)


def test_the_encoding_by_hand():
    record = Record.fit(ROWS)
    names = (
        "Age",
        "Signs=lump",
        "Signs=no",
        "Signs=scar",
        "Side=l",
        "Side=r",
        "Age=missing",
        "Signs=missing",
    )
    assert record.columns == names
    wanted = [[-1, 0, 1, 0, 1, 0, 0, 0], [0, 1, 0, 1, 0, 1, 1, 0], [1, 0, 0, 0, 1, 0, 0, 1]]
    assert record.encode(ROWS).tolist() == wanted
    assert record.modality.absent == (0, 0, 0, 0, 0, 0, 1, 1)


def test_only_the_training_fold_is_learned_from():
    record = Record.fit(ROWS.iloc[:1])
    later = record.encode(pd.DataFrame({"Age": [31.0], "Signs": ["lump"], "Side": ["r"]}))
    assert later.tolist() == [[1, 0, 0]]  # Age - 30, no such sign, no such side


def test_it_survives_json():
    record = Record.fit(ROWS)
    assert Record.from_json(json.loads(json.dumps(record.to_json()))) == record


def test_labels_become_targets():
    nan = float("nan")
    binary = targets(pd.Series(["b", None, "a"]), Task("t", "binary", ("a", "b")))
    assert torch.equal(binary.nan_to_num(9), torch.tensor([1.0, 9, 0]))
    many = targets(pd.Series(["a&b", None]), Task("t", "multilabel", ("a", "b", "c")))
    assert torch.equal(many.nan_to_num(9), torch.tensor([[1.0, 1, 0], [9, 9, 9]]))
    assert targets(pd.Series([1.5, nan]), Task("t", "regression")).isnan().tolist() == [False, True]
    with pytest.raises(InputError, match="also hold c"):
        targets(pd.Series(["c"]), Task("t", "binary", ("a", "b")))
