"""What every fusion model is: encode each modality alone, then fuse.

encode(inputs) -> {modality: features}      fuse(features) -> {head: logits}
forward = fuse(encode(inputs))

A case that lacks a modality has NaN all over it there. It is given the modality's "absent" in its place,
or, where the model `drops` what is missing, its features are NaN and `fuse` leaves them out.
"""

from collections.abc import Container, Mapping
from dataclasses import dataclass
from typing import ClassVar

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

    encoders: one module a stream; a stream is a modality unless `sources` says otherwise.
    heads: what it answers, the head that counts for each task first.
    paper: who published it. shows: what its attention can show; empty where it has none.
    kinds: the kinds of modality it takes; least: how many modalities it wants.
    pictured: whether one of them must be an image or a volume.
    drops: whether a missing modality is left out, instead of standing there as "absent".
    """

    encoders: nn.ModuleDict
    heads: tuple[Head, ...]
    paper: ClassVar[str] = ""
    shows: ClassVar[str] = ""
    kinds: ClassVar[tuple[str, ...]] = ("image", "volume", "table", "text")
    least: ClassVar[int] = 1
    pictured: ClassVar[bool] = False
    drops: ClassVar[bool] = False

    def __new__(cls, *schema: Schema, **settings):
        """Nothing is made for a schema that does not suit (InputError); a copy comes without one."""
        reason = cls.suits(*schema) if schema else ""
        if reason:
            raise InputError(reason)
        return super().__new__(cls, *schema, **settings)

    def __init__(self, schema: Schema):
        super().__init__()
        self.schema = schema
        self.sources: dict[str, str] = {}
        self.heads = tuple(Head(task.name, task) for task in schema.tasks)

    @classmethod
    def suits(cls, schema: Schema) -> str:
        """Why this model cannot take cases of `schema`, with the remedy; empty where it can."""
        for modality in schema.modalities:
            if modality.kind not in cls.kinds:
                return (
                    f"The model {cls.name} takes {', '.join(cls.kinds)}; '{modality.name}' is "
                    f"{modality.kind}. Choose a data set without it, or another model."
                )
        if len(schema.modalities) < cls.least:
            there = ", ".join(f"'{m.name}' ({m.kind})" for m in schema.modalities)
            return (
                f"The model {cls.name} fuses {cls.least} modalities or more and the data set has only "
                f"{there}; choose a data set with more, or the model 'alone'."
            )
        if cls.pictured and all(m.kind in ("table", "text") for m in schema.modalities):
            there = ", ".join(f"'{m.name}' ({m.kind})" for m in schema.modalities)
            return (
                f"The model {cls.name} needs an image or a volume and the data set has only {there}; "
                "choose the model 'concat'."
            )
        return ""

    @classmethod
    def takes(cls) -> str:
        """The modalities it takes, in words."""
        return f"{cls.least} or more of {', '.join(cls.kinds)}"

    def encode(self, inputs: Mapping[str, Tensor], without: Container[str] = ()) -> dict[str, Tensor]:
        """Each modality alone: {modality: (B, *shape)} to {stream: features}, but for streams `without`."""
        self._check(inputs)
        found = {}
        for stream, encoder in self.encoders.items():
            source = self.sources.get(stream, stream)
            if source in inputs and stream not in without:
                found[stream] = self._encoded(encoder, inputs[source], source)
        return found

    def fuse(self, features: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Everything that mixes modalities: features to {head: logits (B, outputs)}."""
        raise NotImplementedError

    def forward(self, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """{modality: (B, *shape)} to {head: logits (B, outputs)}."""
        lacking = [name for name in self.modalities if name not in inputs]
        if lacking:
            raise InputError(
                f"The model {self.name} needs the modality '{lacking[0]}'; "
                "where a case lacks it, fill it with NaN."
            )
        return self.fuse(self.encode(inputs))

    @property
    def modalities(self) -> tuple[str, ...]:
        """The modalities that the model looks at, in the schema's order."""
        used = {self.sources.get(stream, stream) for stream in self.encoders}
        return tuple(m.name for m in self.schema.modalities if m.name in used)

    def linear_heads(self, width: int) -> nn.ModuleDict:
        """One linear layer from `width` numbers to the logits of each head."""
        return nn.ModuleDict({head.name: nn.Linear(width, head.task.outputs) for head in self.heads})

    def map_layers(self) -> dict[str, nn.Module]:
        """The layer whose feature map Grad-CAM should watch, by modality."""
        found = self.encoders.items()
        return {name: e.tap for name, e in found if hasattr(e, "tap") and name not in self.sources}

    def word_layers(self) -> dict[str, nn.Module]:
        """The layer that gives a text's words their numbers, (B, T) to (B, T, width), by modality."""
        texts = [m.name for m in self.schema.modalities if m.kind == "text" and m.name in self.encoders]
        return {
            name: next(m for m in self.encoders[name].modules() if isinstance(m, nn.Embedding))
            for name in texts
        }

    def sides(self, features: Mapping[str, Tensor]) -> dict[str, tuple[int, ...]]:
        """The sides S of the map whose places are the tokens of a stream, by stream; see `taps`."""
        return {stream: tuple(f.shape[2:]) for stream, f in features.items() if f.ndim > 3}

    @property
    def notes(self) -> list[str]:
        """Sentences that a person should read before training or reading this very model."""
        return []

    def dead_parameters(self) -> tuple[str, ...]:
        """Parameters that no training can move, by the published design."""
        return ()

    def _encoded(self, encoder: nn.Module, x: Tensor, name: str) -> Tensor:
        missing = x.isnan().flatten(1).all(dim=1)
        if not missing.any():
            return encoder(x)
        cases = (-1, *[1] * (x.ndim - 1))
        absent = torch.tensor(self.schema.modality(name).absent, dtype=x.dtype, device=x.device)
        features = encoder(torch.where(missing.view(cases), absent.expand(x.shape), x))
        if self.drops:
            features = features.masked_fill(missing.view(-1, *[1] * (features.ndim - 1)), torch.nan)
        return features

    def _check(self, inputs: Mapping[str, Tensor]) -> None:
        for name in self.modalities:
            shape = self.schema.modality(name).shape
            if name in inputs and tuple(inputs[name].shape[1:]) != shape:
                raise InputError(
                    f"The model {self.name} takes '{name}' as (B, {', '.join(map(str, shape))}), "
                    f"not {tuple(inputs[name].shape)}; prepare the cases with the run's own data set."
                )


def present(features: Tensor) -> Tensor:
    """Which cases (B,) have this modality, where the model drops what is missing."""
    return ~features.flatten(1)[:, 0].isnan()


def pooled(features: Tensor) -> Tensor:
    """The mean over space of a map (B, C, *space); a vector (B, C) as it is."""
    return features.flatten(2).mean(dim=2) if features.ndim > 2 else features


def probabilities(logits: Tensor, task: Task) -> Tensor:
    """Logits (B, outputs) as probabilities (B, classes), or the value (B, 1) for regression."""
    if task.kind == "binary":
        positive = torch.sigmoid(logits[:, 0])
        return torch.stack([1 - positive, positive], dim=1)
    if task.kind == "multiclass":
        return logits.softmax(dim=1)
    if task.kind == "multilabel":
        return torch.sigmoid(logits)
    mean, sd = task.scale
    return mean + sd * logits


def class_logit(logits: Tensor, task: Task, target: Tensor) -> Tensor:
    """The logit (B,) that speaks for class `target` (B,) of each case; for regression, the value."""
    if task.kind == "binary":
        return torch.where(target == 1, logits[:, 0], -logits[:, 0])
    if task.kind == "regression":
        return probabilities(logits, task)[:, 0]
    return logits.gather(1, target[:, None])[:, 0]
