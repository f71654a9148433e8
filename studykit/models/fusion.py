"""What every fusion model is: encode each modality alone, then fuse.

encode(inputs) -> {modality: features}      fuse(features) -> {head: logits}
forward = fuse(encode(inputs))
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from studykit.case import Schema, Task
from studykit.catalog import InputError, Named


@dataclass(frozen=True)
class Head:
    """One output of a model: the task it answers and its weight in the loss."""

    name: str
    task: Task
    weight: float = 1.0


class FusionModel(Named, nn.Module):
    """A model over the modalities of a schema.

    encoders: one module a modality that the model uses; heads: what it answers.
    """

    encoders: nn.ModuleDict
    heads: tuple[Head, ...]

    def __init__(self, schema: Schema):
        reason = self.suits(schema)
        if reason:
            raise InputError(reason)
        super().__init__()
        self.schema = schema

    @classmethod
    def suits(cls, schema: Schema) -> str:
        """Why this model cannot take cases of `schema`, with the remedy; empty where it can."""
        return ""

    def encode(self, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Each modality alone: {modality: (B, *shape)} to {modality: features}."""
        self._check(inputs)
        return {name: encoder(inputs[name]) for name, encoder in self.encoders.items() if name in inputs}

    def fuse(self, features: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Everything that mixes modalities: features to {head: logits (B, outputs)}."""
        raise NotImplementedError

    def forward(self, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """{modality: (B, *shape)} to {head: logits (B, outputs)}."""
        lacking = [name for name in self.encoders if name not in inputs]
        if lacking:
            raise InputError(
                f"The model {self.name} needs the modality '{lacking[0]}'; "
                "where a case lacks it, give the modality's 'absent'."
            )
        return self.fuse(self.encode(inputs))

    def map_layers(self) -> dict[str, nn.Module]:
        """The layer whose feature map Grad-CAM should watch, by modality."""
        return {name: e.tap for name, e in self.encoders.items() if hasattr(e, "tap")}

    def _check(self, inputs: Mapping[str, Tensor]) -> None:
        for name in self.encoders:
            shape = self.schema.modality(name).shape
            if name in inputs and tuple(inputs[name].shape[1:]) != shape:
                raise InputError(
                    f"The model {self.name} takes '{name}' as (B, {', '.join(map(str, shape))}), "
                    f"not {tuple(inputs[name].shape)}; prepare the cases with the run's own data set."
                )


def probabilities(logits: Tensor, task: Task) -> Tensor:
    """Logits (B, outputs) as probabilities (B, classes), or the value (B, 1) for regression."""
    if task.kind == "binary":
        positive = torch.sigmoid(logits[:, 0])
        return torch.stack([1 - positive, positive], dim=1)
    if task.kind == "multiclass":
        return logits.softmax(dim=1)
    return torch.sigmoid(logits) if task.kind == "multilabel" else logits


def class_logit(logits: Tensor, task: Task, target: Tensor) -> Tensor:
    """The logit (B,) that speaks for class `target` (B,) of each case; for regression, the value."""
    if task.kind == "binary":
        return torch.where(target == 1, logits[:, 0], -logits[:, 0])
    if task.kind == "regression":
        return logits[:, 0]
    return logits.gather(1, target[:, None])[:, 0]
