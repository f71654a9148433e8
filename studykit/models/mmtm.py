"""MMTM: the pooled maps of all modalities together decide what each channel of each map is multiplied with.

s_m = mean F_m,  z = relu(W [s_1; ...; s_M] + b),  F_m' = 2 sigmoid(W_m z + b_m) F_m, after every stage.
The ancestor of DRIFA-Net's MIFA: here every modality has its own gate, there all share one.

Joze HRV et al. MMTM: Multimodal Transfer Module for CNN Fusion. CVPR 2020.

Departures from the paper: any number of modalities; a record's row is its own mean; a missing modality's
part of the joint row is 0.
"""

import torch
from torch import Tensor, nn

from studykit.case import Schema
from studykit.models.drifa import all_stages
from studykit.models.fusion import pooled
from studykit.models.streams import Streams
from studykit.models.taps import Tap


class TransferModule(nn.Module):
    """MMTM over modalities with the given channels: maps (B, C_m, *space) to the same shapes."""

    def __init__(self, channels: tuple[int, ...], ratio: int = 4):
        super().__init__()
        joint = max(8, sum(channels) // ratio)
        self.squeeze = nn.Linear(sum(channels), joint)
        self.excite = nn.ModuleList(nn.Linear(joint, c) for c in channels)
        self.taps = nn.ModuleList(
            Tap("MMTM: what each channel is multiplied with; 1 leaves it as it is") for _ in channels
        )

    def forward(self, maps: list[Tensor], weight: Tensor | None = None) -> list[Tensor]:
        """Weigh the channels of each map by what all of them hold."""
        rows = [pooled(f) for f in maps]  # (B, C_m)
        if weight is not None:
            rows = [row * (w > 0)[:, None] for row, w in zip(rows, weight.unbind(dim=1), strict=True)]
        z = torch.relu(self.squeeze(torch.cat(rows, dim=1)))
        found = []
        for f, layer, tap in zip(maps, self.excite, self.taps, strict=True):
            gate = tap(2 * torch.sigmoid(layer(z)))
            found.append(f * gate.view(*gate.shape, *[1] * (f.ndim - 2)))
        return found


class MMTM(Streams, name="mmtm"):
    """Settings: backbone ("own": DRIFA-Net's residual layout without attention, or a timm network), weights
    and frozen of it, widths and depths of the own layout, ratio of the squeeze, dropout.
    """

    paper = "Joze et al. 2020 (CVPR)"
    shows = "which channels each modality's gate lets pass, by stage; no place"

    def __init__(
        self,
        schema: Schema,
        *,
        backbone: str = "own",
        weights: str = "scratch",
        frozen: bool = False,
        widths: tuple[int, ...] = (64, 128, 256, 512),
        depths: tuple[int, ...] = (2, 2, 2, 2),
        ratio: int = 4,
        dropout: float = 0.25,
    ):
        layout = {"preset": "repaired", "squeeze": 1, "mfa": False}
        stages, channels = all_stages(schema, backbone, weights, frozen, widths, depths, layout)
        exchanges = [TransferModule((c,) * len(stages), ratio) for c in channels]
        super().__init__(schema, stages, exchanges, dropout)
