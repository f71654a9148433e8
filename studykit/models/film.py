"""FiLM: the other modalities scale and shift each channel of the picture's feature map.

c = [f_2, ..., f_M],  y = (1 + gamma(c)) F + beta(c),  logits = W dropout(mean relu(conv3x3 relu(y) + F))
F is the last feature map of the first image or volume, f_m what the other modalities' encoders give.

Perez E et al. FiLM: visual reasoning with a general conditioning layer. AAAI 2018.

Departures from the paper: one modulated block behind the encoder (which may be frozen) instead of several
inside it; gamma is counted from 1, so the untrained layer changes little.
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from studykit.case import Schema
from studykit.models.encoders import Columns, Encoder, LastMap, Residual, Timm, encoders_of
from studykit.models.fusion import FusionModel, pooled
from studykit.models.norm import BatchNorm
from studykit.models.taps import Tap
from studykit.models.words import Words


class FiLM(FusionModel, name="film"):
    """Settings: the encoder of each kind (the first picture's last map is used), width, dropout."""

    paper = "Perez et al. 2018 (AAAI)"
    shows = "what the other modalities multiply each channel of the picture's map with"
    least = 2
    pictured = True

    def __init__(
        self,
        schema: Schema,
        *,
        image: Encoder = Timm(),
        volume: Encoder = Residual(),
        table: Encoder = Columns(),
        text: Encoder = Words(),
        width: int = 64,
        dropout: float = 0.25,
    ):
        super().__init__(schema)
        self.encoders = encoders_of(schema.modalities, image, volume, table, text)
        picture = self._picture(schema)
        self.picture = picture.name
        self.encoders[self.picture] = LastMap(self.encoders[self.picture])
        conv = nn.Conv2d if picture.kind == "image" else nn.Conv3d
        others = sum(e.width for name, e in self.encoders.items() if name != self.picture)
        entering = self.encoders[self.picture].width
        self.enter = nn.Sequential(conv(entering, width, 1, bias=False), BatchNorm(width))
        self.condition = nn.Sequential(BatchNorm(others), nn.Dropout(dropout))
        self.scales = self.generator(width, others)
        self.tap = Tap("gamma: what each channel of the map is multiplied with; 1 leaves it as it is")
        self.conv = nn.Sequential(conv(width, width, 3, padding=1, bias=False), BatchNorm(width))
        self.dropout = nn.Dropout(dropout)
        self.logits = self.linear_heads(width)

    @staticmethod
    def _picture(schema: Schema):
        return next((m for m in schema.modalities if m.kind in ("image", "volume")), None)

    def generator(self, width: int, others: int) -> nn.Module:
        """The layer that gives gamma and beta, (B, 2 width)."""
        return nn.Linear(others, 2 * width)

    def seen(self, f: Tensor, condition: Tensor) -> Tensor:
        """What gamma and beta are made from."""
        return condition

    def fuse(self, features: Mapping[str, Tensor]) -> dict[str, Tensor]:  # noqa: D102
        f = self.enter(features[self.picture])  # (B, C, *space)
        others = [features[name] for name in self.encoders if name != self.picture]
        condition = self.condition(torch.cat(others, dim=1))
        gamma, beta = self.scales(self.seen(f, condition)).chunk(2, dim=1)  # (B, C) each
        space = [1] * (f.ndim - 2)
        y = f * self.tap(1 + gamma).view(*gamma.shape, *space) + beta.view(*beta.shape, *space)
        z = self.dropout(pooled(torch.relu(self.conv(torch.relu(y)) + f)))
        return {name: layer(z) for name, layer in self.logits.items()}
