"""Losses, chosen by name and by the task's kind; targets that are NaN (unlabelled) count for nothing.

One loss serves every model: sum over heads of weight * loss(logits[head], targets[head.task]).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from studykit.case import Task
from studykit.catalog import InputError, Named, build
from studykit.models import FusionModel


class Loss(Named):
    """Called with logits (B, outputs), targets as in `Task`, and weights per case or None.

    kinds: the kinds of task that it suits.
    """

    kinds: ClassVar[tuple[str, ...]]

    def __call__(self, logits: Tensor, target: Tensor, weight: Tensor | None = None) -> Tensor:
        """The weighted mean over the labelled entries; 0 (with a slope) where nothing is labelled."""
        if logits.shape[1] == 1 and target.ndim == 1:
            target = target[:, None]
        known = ~target.isnan() if target.ndim == 2 else ~target.isnan()[:, None]
        each = self.each(logits, target.nan_to_num())
        weight = torch.ones_like(each) if weight is None else weight.view(each.shape)
        weight = weight * known
        return (each * weight).sum() / weight.sum().clamp_min(1e-12)

    def each(self, logits: Tensor, target: Tensor) -> Tensor:
        """The loss of every entry: (B, outputs), or (B, 1) for multiclass."""
        raise NotImplementedError


@dataclass(frozen=True)
class CrossEntropy(Loss, name="cross_entropy"):
    """-log softmax(logits)[target]; `smoothing` spreads that share over all classes."""

    smoothing: float = 0.0
    kinds = ("multiclass",)

    def each(self, logits: Tensor, target: Tensor) -> Tensor:  # noqa: D102
        settings = {"reduction": "none", "label_smoothing": self.smoothing}
        return F.cross_entropy(logits, target.long(), **settings)[:, None]


@dataclass(frozen=True)
class Binary(Loss, name="binary"):
    """Binary cross-entropy of each logit by itself."""

    kinds = ("binary", "multilabel")

    def each(self, logits: Tensor, target: Tensor) -> Tensor:  # noqa: D102
        return F.binary_cross_entropy_with_logits(logits, target, reduction="none")


@dataclass(frozen=True)
class Focal(Loss, name="focal"):
    """(1 - p)^gamma * cross-entropy, p the probability given to the truth (Lin et al. 2017)."""

    gamma: float = 2.0
    kinds = ("binary", "multiclass", "multilabel")

    def each(self, logits: Tensor, target: Tensor) -> Tensor:  # noqa: D102
        if target.ndim == 1:
            plain = F.cross_entropy(logits, target.long(), reduction="none")[:, None]
        else:
            plain = F.binary_cross_entropy_with_logits(logits, target, reduction="none")
        return (1 - torch.exp(-plain)) ** self.gamma * plain


@dataclass(frozen=True)
class SquaredError(Loss, name="squared_error"):
    """(value - target)^2."""

    kinds = ("regression",)

    def each(self, logits: Tensor, target: Tensor) -> Tensor:  # noqa: D102
        return (logits - target) ** 2


BY_KIND = {
    "binary": "binary",
    "multiclass": "cross_entropy",
    "multilabel": "binary",
    "regression": "squared_error",
}


def losses(tasks: tuple[Task, ...], chosen: Mapping[str, object]) -> dict[str, Loss]:
    """The loss of each task: the one `chosen` for it by spec, else its kind's own.

    Raises InputError for a loss that does not suit the task's kind, or a task that is not there.
    """
    names = [task.name for task in tasks]
    for name in chosen:
        if name not in names:
            raise InputError(f"A loss is chosen for task '{name}'; the tasks are {', '.join(names)}.")
    made = {}
    for task in tasks:
        loss = build(Loss, chosen.get(task.name, BY_KIND[task.kind]))
        if task.kind not in loss.kinds:
            fitting = [name for name, cls in Loss.catalogue.items() if task.kind in cls.kinds]
            raise InputError(
                f"The loss '{loss.name}' does not suit task '{task.name}', which is {task.kind}; "
                f"choose {' or '.join(fitting)}."
            )
        made[task.name] = loss
    return made


def class_weights(target: Tensor, task: Task) -> Tensor | None:
    """Weights that make every class count alike in the training fold: n / (classes * n_class).

    (classes,) for binary and multiclass; None where the kind has no classes to balance.
    """
    if task.kind not in ("binary", "multiclass"):
        return None
    known = target[~target.isnan()].long()
    counts = torch.bincount(known, minlength=len(task.classes)).float()
    return len(known) / (len(task.classes) * counts.clamp_min(1))


def total(
    model: FusionModel,
    logits: Mapping[str, Tensor],
    targets: Mapping[str, Tensor],
    by_task: Mapping[str, Loss],
    balance: Mapping[str, Tensor | None],
) -> Tensor:
    """Sum over heads of weight * loss."""
    terms = []
    for head in model.heads:
        target, weight = targets[head.task.name], None
        if head.task.kind == "regression":
            mean, sd = head.task.scale
            target = (target - mean) / sd
        if balance.get(head.task.name) is not None:
            weight = balance[head.task.name][target.nan_to_num().long()]
        terms.append(head.weight * by_task[head.task.name](logits[head.name], target, weight))
    return torch.stack(terms).sum()
