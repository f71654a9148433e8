import math

import pytest
import torch

from studykit.case import Task
from studykit.catalog import InputError, build
from studykit.training.loss import Loss, class_weights, losses

NAN = float("nan")
TARGETS = {
    "binary": (torch.tensor([[0.3], [-1.0], [2.0]]), torch.tensor([1.0, NAN, 0.0])),
    "multiclass": (torch.tensor([[0.3, 1.0], [-1.0, 2.0], [2.0, 0.0]]), torch.tensor([1.0, NAN, 0.0])),
    "multilabel": (torch.tensor([[0.3, 1.0], [-1.0, 2.0]]), torch.tensor([[1.0, NAN], [0.0, 1.0]])),
    "regression": (torch.tensor([[0.3], [-1.0], [2.0]]), torch.tensor([1.0, NAN, 0.0])),
}


def entries(kind, gamma):
    """Each labelled entry's loss by the definition, one at a time."""
    logits, target = (t.tolist() for t in TARGETS[kind])
    for row, goal in zip(logits, target, strict=True):
        if kind == "regression":
            if not math.isnan(goal):
                yield (row[0] - goal) ** 2
            continue
        if kind == "multiclass":
            if math.isnan(goal):
                continue
            total = sum(math.exp(value) for value in row)
            p = [math.exp(row[int(goal)]) / total]
        else:
            pairs = zip(row, goal if kind == "multilabel" else [goal], strict=True)
            sides = [(1 / (1 + math.exp(-z)), y) for z, y in pairs if not math.isnan(y)]
            p = [s if y else 1 - s for s, y in sides]
        yield from (-((1 - value) ** gamma) * math.log(value) for value in p)


@pytest.mark.parametrize(("name", "kind"), [(n, k) for n, c in Loss.catalogue.items() for k in c.kinds])
def test_against_the_definition_with_unlabelled_entries(name, kind):
    slow = list(entries(kind, gamma=2.0 if name == "focal" else 0.0))
    found = build(Loss, name)(*TARGETS[kind])
    assert float(found) == pytest.approx(sum(slow) / len(slow), rel=1e-5)


@pytest.mark.parametrize(("name", "kind"), [(n, k) for n, c in Loss.catalogue.items() for k in c.kinds])
def test_nothing_labelled_teaches_nothing(name, kind):
    logits, target = TARGETS[kind]
    logits = logits.clone().requires_grad_()
    loss = build(Loss, name)(logits, torch.full_like(target, NAN))
    loss.backward()
    assert loss.item() == 0 and not logits.grad.any()


def test_weights_make_classes_count_alike():
    task = Task("t", "binary", ("a", "b"))
    weights = class_weights(torch.tensor([0.0, 0, 0, 1, NAN]), task)
    assert weights.tolist() == pytest.approx([4 / 6, 2.0])
    assert 3 * weights[0] == weights[1]


def test_a_loss_is_chosen_by_the_tasks_kind_or_by_name():
    tasks = (Task("t", "binary", ("a", "b")), Task("r", "regression"))
    assert {k: v.name for k, v in losses(tasks, {}).items()} == {"t": "binary", "r": "squared_error"}
    assert losses(tasks, {"t": {"name": "focal", "gamma": 1.0}})["t"].gamma == 1.0
    with pytest.raises(InputError, match="does not suit task 't', which is binary; choose binary or focal"):
        losses(tasks, {"t": "cross_entropy"})
    with pytest.raises(InputError, match="chosen for task 'x'"):
        losses(tasks, {"x": "focal"})
