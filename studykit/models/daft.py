"""DAFT: picture and record together decide how each channel of the picture's map is scaled and shifted.

[gamma; beta] = W_2 relu(W_1 [mean F; c]),  y = (1 + gamma) F + beta; the rest is as in FiLM, which sees c
alone.

Wolf TN et al. DAFT: a universal module to interweave tabular data and 3D images in CNNs. NeuroImage 2022,
arXiv 2107.05990.

Departures from the paper: as for FiLM; the bottleneck W_1 is a seventh of its input, at least 4 wide.
"""

import torch
from torch import Tensor, nn

from studykit.models.film import FiLM
from studykit.models.fusion import pooled


class DAFT(FiLM, name="daft"):
    """Settings: as FiLM's."""

    paper = "Wolf et al. 2022 (NeuroImage)"

    def generator(self, width: int, others: int) -> nn.Module:  # noqa: D102
        joint = width + others
        few = max(4, joint // 7)
        return nn.Sequential(nn.Linear(joint, few), nn.ReLU(), nn.Linear(few, 2 * width))

    def seen(self, f: Tensor, condition: Tensor) -> Tensor:  # noqa: D102
        return torch.cat([pooled(f), condition], dim=1)
