"""Cross-attention: each place of a picture, column of a record and word asks the others what matters to it.

t_m = tokens of modality m (places of its last map, columns of a table, words), each of `width` numbers
a_m = CA(norm t_m, norm [t_k for k != m]),  h_m = mean (a_m + W_2 gelu(W_1 norm a_m))
logits = W dropout [h_1; ...; h_M]
CA(q, kv) = q + softmax((q W_q)(kv W_k)^T / sqrt(c)) kv W_v, as in MMCAF-Net. The record's tokens are KAN's.

Vaswani A et al. Attention is all you need. NeurIPS 2017.
"""

from collections.abc import Mapping
from dataclasses import asdict

import torch
from torch import Tensor, nn

from studykit.case import Schema
from studykit.models.encoders import Encoder, LastMap, Residual, Timm
from studykit.models.fusion import FusionModel
from studykit.models.kan import KanEncoder
from studykit.models.mmcaf import CrossAttention as Attention
from studykit.models.taps import Tap
from studykit.models.words import Words, WordsEncoder


class CrossAttention(FusionModel, name="cross_attention"):
    """Settings: the encoder of pictures and volumes (their last map is used), the tokens' width (a multiple
    of the heads), the heads, the dropout.
    """

    paper = "Vaswani et al. 2017 (NeurIPS)"
    shows = "which places and columns of the other modalities each place and column asked"
    least = 2

    def __init__(
        self,
        schema: Schema,
        *,
        image: Encoder = Timm(),
        volume: Encoder = Residual(),
        width: int = 32,
        heads: int = 4,
        dropout: float = 0.25,
    ):
        super().__init__(schema)
        self.encoders, self.tokens = nn.ModuleDict(), nn.ModuleDict()
        for m in schema.modalities:
            if m.kind == "table":
                self.encoders[m.name] = KanEncoder(m, width, reach=3.0, return_tokens=True)
                self.tokens[m.name] = nn.Identity()
            elif m.kind == "text":
                words = asdict(Words(width, heads=heads))
                self.encoders[m.name] = WordsEncoder(m, **words, return_tokens=True)
                self.tokens[m.name] = nn.Identity()
            else:
                encoder = LastMap((image if m.kind == "image" else volume)(m))
                self.encoders[m.name], self.tokens[m.name] = encoder, Places(encoder.width, width)
        names = list(self.encoders)
        self.norms = nn.ModuleDict({n: nn.LayerNorm(width) for n in names})
        self.attend = nn.ModuleDict({n: Attention(width, heads, key_bias=False) for n in names})
        says = "how much each token of the others counts for each token of"
        others = {n: tuple(other for other in names if other != n) for n in names}
        self.taps = nn.ModuleDict({n: Tap(f"{says} '{n}', by head", "tokens", others[n]) for n in names})
        self.after = nn.ModuleDict({n: feed_forward(width) for n in names})
        self.dropout = nn.Dropout(dropout)
        self.logits = self.linear_heads(width * len(names))

    def fuse(self, features: Mapping[str, Tensor]) -> dict[str, Tensor]:  # noqa: D102
        tokens = {n: norm(self.tokens[n](features[n])) for n, norm in self.norms.items()}  # (B, N, width)
        rows = []
        for name, attend in self.attend.items():
            others = torch.cat([t for other, t in tokens.items() if other != name], dim=1)
            asked = attend(tokens[name], others, tap=self.taps[name])
            rows.append((asked + self.after[name](asked)).mean(dim=1))  # (B, width)
        z = self.dropout(torch.cat(rows, dim=1))
        return {name: layer(z) for name, layer in self.logits.items()}


class Places(nn.Module):
    """A map (B, C, *space) as tokens (B, N, width), one a place."""

    def __init__(self, channels: int, width: int):
        super().__init__()
        self.linear = nn.Linear(channels, width)

    def forward(self, f: Tensor) -> Tensor:
        """One linear layer for all places."""
        return self.linear(f.flatten(2).transpose(1, 2))


def feed_forward(width: int) -> nn.Sequential:
    """W_2 gelu(W_1 norm a)."""
    return nn.Sequential(
        nn.LayerNorm(width), nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width)
    )
