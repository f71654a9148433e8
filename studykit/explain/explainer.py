"""What every explanation is: for some cases, one map a modality, of what spoke for a class.

An `Explainer` is a frozen dataclass whose fields are its settings; calling it with a model and a batch
does the work.
"""

import zlib
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from studykit.case import Batch, Schema, Task
from studykit.catalog import InputError, Named, check_choice, spec
from studykit.models import FusionModel, Head, class_logit

CLASSES_EXPLAINED = ("usual", "predicted", "true")


@dataclass
class Explanation:
    """Maps of some cases.

    ids: (B,) case ids. head: the output explained. targets: (B,) class index explained.
    spec: how it was made. maps: {modality: (B, *shape) float32}, of a picture perhaps (B, 1, *space);
    positive speaks for the class and, where `signed`, negative against it. A modality of which the method
    says nothing has none. effects: {modality: (B,)}, what the modality as a whole added to the class's logit;
    empty where the method does not say. checks: {name: (B,)} numbers that tell how far the maps can be
    trusted.
    """

    ids: list[str]
    head: str
    targets: np.ndarray
    spec: dict[str, Any]
    maps: dict[str, np.ndarray]
    signed: dict[str, bool]
    effects: dict[str, np.ndarray] = field(default_factory=dict)
    checks: dict[str, np.ndarray] = field(default_factory=dict)

    def shares(self) -> dict[str, np.ndarray]:
        """Each modality's |effect| as a share of all, (B,); NaN where nothing moved."""
        size = {name: np.abs(effect) for name, effect in self.effects.items()}
        whole = sum(size.values()) if size else np.zeros(len(self.ids))
        moved = whole > 0
        return {
            name: np.divide(part, whole, out=np.full(len(self.ids), np.nan), where=moved)
            for name, part in size.items()
        }


class Explainer(Named):
    """A method. `title` is its name on a page; `gives` says what its numbers mean; `unit` is theirs.

    control: whether it is none, and only shows what a score gives to maps that know nothing of the model.
    """

    title: str
    gives: str
    unit: str
    control: ClassVar[bool] = False

    def suits(self, model: FusionModel, schema: Schema) -> str:
        """Why this method cannot explain this model, with the remedy; empty where it can."""
        return ""

    def __call__(self, model: FusionModel, batch: Batch, head: str = "", of: str = "usual") -> Explanation:
        """Explain the head (the first by default) for every case of the batch.

        of: the class explained. usual: the positive one of a binary task, else the one that the model
        predicts; predicted: the latter for all; true: the case's label, where it has none the predicted one.
        Raises InputError where the method does not suit.
        """
        reason = self.suits(model, model.schema)
        if reason:
            raise InputError(reason)
        chosen = _head(model, head)
        model.eval()
        targets = _targets(model, batch, chosen, of)
        maps, signed, effects, checks = self.maps(model, batch, chosen, targets)
        return Explanation(batch.ids, chosen.name, targets.numpy(), spec(self), maps, signed, effects, checks)

    def maps(
        self, model: FusionModel, batch: Batch, head: Head, targets: Tensor
    ) -> tuple[dict, dict, dict, dict]:
        """The parts of an Explanation: maps, signed, effects, checks (see there)."""
        raise NotImplementedError


def key(explainer: Explainer, of: str = "usual") -> str:
    """The name under which an explanation is stored: the method's, and its settings where they differ."""
    settings = spec(explainer)
    usual = spec(type(explainer)())
    changed = [f"{name}={value}" for name, value in settings.items() if value != usual.get(name)]
    changed += [f"of={of}"] if of != "usual" else []
    return ",".join([settings["name"], *changed]).replace("/", "-")


def logit_of(model: FusionModel, head: Head, names: list[str]):
    """A function of one tensor a modality (in the order of `names`) and the targets: the logits (B,)."""

    def forward(*tensors: Tensor) -> Tensor:
        *inputs, target = tensors
        return class_logit(model(dict(zip(names, inputs, strict=True)))[head.name], head.task, target)

    return forward


def _head(model: FusionModel, name: str) -> Head:
    for head in model.heads:
        if name in ("", head.name):
            return head
    raise InputError(f"The model has no head '{name}'; it has {', '.join(h.name for h in model.heads)}.")


def drawing(case: str, seed: int = 0) -> np.random.Generator:
    """What a method that draws takes for this case, so that a batch gives what its single cases give."""
    return np.random.default_rng([seed, zlib.crc32(case.encode())])


@torch.no_grad()
def _targets(model: FusionModel, batch: Batch, head: Head, of: str) -> Tensor:
    check_choice("class explained", of, CLASSES_EXPLAINED)
    if of == "usual" and head.task.kind in ("binary", "regression"):  # without asking the model
        return chosen_classes(torch.zeros(len(batch), 1), head.task)
    logits = model(batch.inputs)[head.name]
    if of == "usual" or head.task.kind == "regression":
        return chosen_classes(logits, head.task)
    said = (logits[:, 0] > 0).long() if head.task.kind == "binary" else logits.argmax(dim=1)
    if of == "predicted" or head.task.kind == "multilabel":
        return said
    truth = batch.targets[head.task.name]
    return torch.where(truth.isnan(), said, truth.nan_to_num().long())


def chosen_classes(logits: Tensor, task: Task) -> Tensor:
    """The class explained for each case (B,): the positive one, or the predicted one of several."""
    if task.kind in ("multiclass", "multilabel"):
        return logits.argmax(dim=1)
    return torch.full((len(logits),), 1 if task.kind == "binary" else 0)
