"""Networks side by side, one a modality; after each stage something passes between them.

h_m = stage_k,m(h_m) for every modality m;  h = exchange_k(h);  logits = W dropout([mean h_1, ..., mean h_M]).
"encode" is the first stage, before anything has mixed.
"""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from studykit.case import Schema
from studykit.models.fusion import FusionModel, pooled, present
from studykit.models.stages import Stages

# An exchange takes the maps and the weight of each modality (B, M), and gives the maps.
Exchange = Callable[[list[Tensor], Tensor | None], list[Tensor]]


class Streams(FusionModel):
    """A missing modality is left out of every exchange, and its features at the end are 0."""

    least = 2
    pictured = True
    drops = True

    def __init__(self, schema: Schema, stages: Mapping[str, Stages], exchanges: list[nn.Module], drop: float):
        super().__init__(schema)
        self.encoders = nn.ModuleDict({name: s.parts[0] for name, s in stages.items()})
        self.later = nn.ModuleDict({name: nn.ModuleList(s.parts[1:]) for name, s in stages.items()})
        self.exchanges = nn.ModuleList(exchanges)
        self.dropout = nn.Dropout(drop)
        self.ends = nn.ModuleDict({name: nn.Identity() for name, s in stages.items() if s.dims})
        self.logits = self.linear_heads(sum(s.channels[-1] for s in stages.values()))

    def map_layers(self) -> dict[str, nn.Module]:  # noqa: D102
        return dict(self.ends)

    def embedding(self, features: Mapping[str, Tensor]) -> Tensor:
        """First-stage features to the row (B, sum of the last channels) that the heads read."""
        maps = [features[name] for name in self.encoders]
        here = torch.stack([present(x) for x in maps], dim=1)  # (B, M)
        weight = None
        if not here.all():
            maps = [x.nan_to_num() for x in maps]
            weight = here * here.shape[1] / here.sum(dim=1, keepdim=True).clamp_min(1)
            weight = weight.to(maps[0].dtype)
        for k, exchange in enumerate(self.exchanges):
            if k:
                maps = [self.later[name][k - 1](x) for name, x in zip(self.encoders, maps, strict=True)]
            maps = exchange(maps, weight)
        rows = []
        for position, name in enumerate(self.encoders):
            x = self.ends[name](maps[position]) if name in self.ends else maps[position]
            row = pooled(self.dropout(x))
            rows.append(row if weight is None else row * here[:, position, None])
        return torch.cat(rows, dim=1)

    def fuse(self, features: Mapping[str, Tensor]) -> dict[str, Tensor]:  # noqa: D102
        z = self.embedding(features)
        return {name: layer(z) for name, layer in self.logits.items()}
