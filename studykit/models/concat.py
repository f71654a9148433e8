"""Concatenation: the features of all modalities side by side, and one linear layer over them.

z = [norm(f_1), ..., norm(f_M)],  logits = W dropout(z) + b; with `hidden`, one layer stands between.
The plainest fusion there is, and the one that every other must beat.
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from studykit.case import Modality, Schema
from studykit.models.encoders import Columns, Encoder, Residual, Timm, encoders_of
from studykit.models.fusion import FusionModel
from studykit.models.norm import BatchNorm
from studykit.models.words import Words


class SideBySide(FusionModel):
    """Some modalities of a schema, each encoded, normalised and laid beside the others."""

    def __init__(
        self,
        schema: Schema,
        modalities: tuple[Modality, ...],
        image: Encoder,
        volume: Encoder,
        table: Encoder,
        text: Encoder,
        hidden: int,
        dropout: float,
    ):
        super().__init__(schema)
        self.encoders = encoders_of(modalities, image, volume, table, text)
        self.norms = nn.ModuleDict(
            {name: BatchNorm(encoder.width) for name, encoder in self.encoders.items()}
        )
        width = sum(encoder.width for encoder in self.encoders.values())
        self.trunk = nn.Sequential(nn.Dropout(dropout))
        if hidden:
            self.trunk.extend([nn.Linear(width, hidden), nn.GELU(), nn.Dropout(dropout)])
        self.logits = self.linear_heads(hidden or width)

    def fuse(self, features: Mapping[str, Tensor]) -> dict[str, Tensor]:  # noqa: D102
        z = torch.cat([norm(features[name]) for name, norm in self.norms.items()], dim=1)  # (B, width)
        z = self.trunk(z)
        return {name: layer(z) for name, layer in self.logits.items()}


class Concat(SideBySide, name="concat"):
    """Settings: the encoder of each kind, the hidden layer's width (0: none), the dropout."""

    def __init__(
        self,
        schema: Schema,
        *,
        image: Encoder = Timm(),
        volume: Encoder = Residual(),
        table: Encoder = Columns(),
        text: Encoder = Words(),
        hidden: int = 0,
        dropout: float = 0.5,
    ):
        super().__init__(schema, schema.modalities, image, volume, table, text, hidden, dropout)
