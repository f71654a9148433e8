"""What a foreign model gives is taken for what it is said to be."""

import numpy as np
import pytest
import torch

from studykit.case import Task
from studykit.catalog import InputError
from studykit.contribution import Question, beside

TASK = Task("label", "binary", ("no", "yes"))


@pytest.fixture
def cases():
    draw = torch.Generator().manual_seed(0)
    inputs = {name: torch.randn(60, 3, generator=draw) for name in ("a", "b")}
    logits = 2 * inputs["a"].sum(1) + inputs["b"].sum(1)
    return inputs, (torch.rand(60, generator=draw) < logits.sigmoid()).float()


def logit(a, b):
    return 2 * a.sum(1) + b.sum(1)


WAYS = {
    "one logit": (logit, "logit"),
    "two logits": (lambda a, b: torch.stack([0 * logit(a, b), logit(a, b)], 1), "logit"),
    "one probability": (lambda a, b: logit(a, b).sigmoid(), "probability"),
    "two probabilities": (
        lambda a, b: torch.stack([1 - logit(a, b).sigmoid(), logit(a, b).sigmoid()], 1),
        "probability",
    ),
}


@pytest.mark.parametrize("way", WAYS)
def test_the_same_probabilities_however_they_are_given(cases, way):
    (inputs, targets), (model, gives) = cases, WAYS[way]
    question = Question(model, inputs, targets=targets, task=TASK, gives=gives)
    p = question.with_only(inputs)[1]
    wanted = logit(**inputs).sigmoid().numpy()
    np.testing.assert_allclose(p, np.stack([1 - wanted, wanted], 1), atol=1e-6)
    table = beside(question, ["missing", "perceptual"])
    own = table[table["group"] == "everything"]["estimate"].iloc[0]
    assert own > 0.8 and table["estimate"].notna().all()


def test_targets_of_one_column_are_targets(cases):
    inputs, targets = cases
    one, other = (Question(logit, inputs, targets=t, task=TASK) for t in (targets, targets[:, None]))
    tables = [beside(question, ["perceptual"])["estimate"] for question in (one, other)]
    np.testing.assert_array_equal(*tables)


def test_a_strange_kind_of_answer_gets_a_sentence(cases):
    with pytest.raises(InputError, match="no kind of answer .* named 'logits'; did you mean logit"):
        Question(logit, cases[0], gives="logits")
