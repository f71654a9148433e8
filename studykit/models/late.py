"""Late fusion: every modality has its own network and its own say; the answers are averaged.

logits = mean over the modalities present of (W_m f_m + b_m). Each modality is trained as if alone (its own
head carries the loss), so the average is that of independent models; it can express no interaction.
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from studykit.case import Schema
from studykit.models.encoders import Columns, Encoder, Residual, Timm, encoders_of
from studykit.models.fusion import FusionModel, Head, present
from studykit.models.norm import BatchNorm
from studykit.models.words import Words


class Late(FusionModel, name="late"):
    """Settings: the encoder of each kind and the dropout."""

    least = 2
    drops = True

    def __init__(
        self,
        schema: Schema,
        *,
        image: Encoder = Timm(),
        volume: Encoder = Residual(),
        table: Encoder = Columns(),
        text: Encoder = Words(),
        dropout: float = 0.5,
    ):
        super().__init__(schema)
        self.encoders = encoders_of(schema.modalities, image, volume, table, text)
        fused = [Head(task.name, task, 0.0) for task in schema.tasks]
        own = [Head(f"{t.name}_{name}", t) for t in schema.tasks for name in self.encoders]
        self.heads = (*fused, *own)
        self.logits = nn.ModuleDict(
            {
                f"{task.name}_{name}": nn.Sequential(
                    BatchNorm(encoder.width), nn.Dropout(dropout), nn.Linear(encoder.width, task.outputs)
                )
                for task in schema.tasks
                for name, encoder in self.encoders.items()
            }
        )

    def fuse(self, features: Mapping[str, Tensor]) -> dict[str, Tensor]:  # noqa: D102
        here = torch.stack([present(features[name]) for name in self.encoders])[..., None]  # (M, B, 1)
        found = {}
        for task in self.schema.tasks:
            names = [f"{task.name}_{name}" for name in self.encoders]
            own = [self.logits[f"{task.name}_{name}"](features[name].nan_to_num()) for name in self.encoders]
            found |= dict(zip(names, own, strict=True))
            found[task.name] = (torch.stack(own) * here).sum(dim=0) / here.sum(dim=0).clamp_min(1)
        return found
