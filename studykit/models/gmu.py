"""GMU: for each number of the joint description, a gate says how much each modality contributes.

h_m = tanh(W_m f_m),  z = softmax over m of (V_m [f_1; ...; f_M] + c_m),  h = sum_m z_m h_m,  logits = W h + b
For two modalities the softmax is the sigmoid of the published unit.

Arevalo J et al. Gated multimodal units for information fusion. ICLR workshop 2017, arXiv 1702.01992.

Departures from the paper: any number of modalities share one softmax; a missing modality gets the weight 0.
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from studykit.case import Schema
from studykit.models.encoders import Columns, Encoder, Residual, Timm, encoders_of
from studykit.models.fusion import FusionModel, present
from studykit.models.norm import BatchNorm
from studykit.models.taps import Tap
from studykit.models.words import Words


class GMU(FusionModel, name="gmu"):
    """Settings: the encoder of each kind, the width of the joint description, the dropout."""

    paper = "Arevalo et al. 2017"
    shows = "how much each modality contributes to each number of the joint description"
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
        width: int = 64,
        dropout: float = 0.25,
    ):
        super().__init__(schema)
        self.encoders = encoders_of(schema.modalities, image, volume, table, text)
        widths = {name: encoder.width for name, encoder in self.encoders.items()}
        self.norms = nn.ModuleDict({name: BatchNorm(w) for name, w in widths.items()})
        self.dropout = nn.Dropout(dropout)
        self.each = nn.ModuleDict({name: nn.Linear(w, width) for name, w in widths.items()})
        self.gates = nn.ModuleDict({name: nn.Linear(sum(widths.values()), width) for name in widths})
        self.tap = Tap("GMU: each modality's weight in each number; they sum to 1 over the modalities")
        self.logits = self.linear_heads(width)

    def fuse(self, features: Mapping[str, Tensor]) -> dict[str, Tensor]:  # noqa: D102
        here = torch.stack([present(features[name]) for name in self.encoders], dim=1)  # (B, M)
        rows = []
        for position, (name, norm) in enumerate(self.norms.items()):
            row = self.dropout(norm(features[name].nan_to_num()))
            rows.append(row * here[:, position, None])
        joint = torch.cat(rows, dim=1)
        scores = torch.stack([gate(joint) for gate in self.gates.values()], dim=1)  # (B, M, width)
        lacking = ~here[..., None] & here.any(dim=1)[:, None, None]
        z = self.tap(scores.masked_fill(lacking, -torch.inf).softmax(dim=1))
        h = torch.stack(
            [torch.tanh(layer(row)) for layer, row in zip(self.each.values(), rows, strict=True)], 1
        )
        joined = (z * h).sum(dim=1)  # (B, width)
        return {name: layer(joined) for name, layer in self.logits.items()}
