"""Each column of the record gets its own learned curves, and a case is the sum of what its columns say.

One Kolmogorov-Arnold layer from I columns to O numbers:

    y_o = sum_i phi_io(x_i)
    phi_io(x) = w^b_io SiLU(x) + w^s_io sum_g c_iog B_g(x)

with the B-splines of order k over G intervals of [a, b] and k more on either side (Cox and de Boor):

    B_g^0(x) = 1 where t_g <= x < t_(g+1), else 0
    B_g^k(x) = (x - t_g) / (t_(g+k) - t_g) B_g^(k-1)(x)
               + (t_(g+k+1) - x) / (t_(g+k+1) - t_(g+1)) B_(g+1)^(k-1)(x)

Within [a, b] the B_g sum to 1. Beyond the outer knots (for G = 5, k = 3 and [-1, 1]: beyond -2.2 and 2.2)
they are 0 and only the SiLU term is left, so columns should be scaled to about [a, b].

Reference: Liu et al., KAN: Kolmogorov-Arnold networks, arXiv:2404.19756 (2024); as the record's encoder:
Yu et al., MMCAF-Net, MICCAI 2025, arXiv:2508.04205.

Departures from the authors' code: the knots are a buffer and the mask of pruned curves (all ones there) is
left out, so all parameters are trainable ones; nothing else than y is given back. `Kan` reaches to 3 instead
of 1 where nothing else is said, since studykit's record is in standard deviations.
"""

from dataclasses import asdict, dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from studykit.case import Modality
from studykit.catalog import InputError
from studykit.models.encoders import Encoder


def spline_basis(x: Tensor, knots: Tensor, order: int) -> Tensor:
    """The B-splines of `order` at x (B, F) over each column's knots (F, T): (B, F, T - 1 - order)."""
    x = x[..., None]
    basis = ((x >= knots[:, :-1]) & (x < knots[:, 1:])).to(x.dtype)  # (B, F, T - 1)
    for k in range(1, order + 1):
        rising = (x - knots[:, : -k - 1]) / (knots[:, k:-1] - knots[:, : -k - 1])
        falling = (knots[:, k + 1 :] - x) / (knots[:, k + 1 :] - knots[:, 1:-k])
        basis = rising * basis[..., :-1] + falling * basis[..., 1:]  # (B, F, T - 1 - k)
    return basis


class KANLayer(nn.Module):
    """A learned curve from every input to every output: (B, in_features) to (B, out_features).

    grid: intervals G of `grid_range`. order: of the splines; 3 is cubic.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        grid: int = 5,
        order: int = 3,
        grid_range: tuple[float, float] = (-1.0, 1.0),
    ):
        if grid < 1 or order < 0 or grid_range[0] >= grid_range[1]:
            raise InputError(
                f"A KAN layer with grid {grid}, order {order} and range {tuple(grid_range)} has no knots; "
                "choose a grid of at least 1, an order of at least 0 and a range that rises."
            )
        super().__init__()
        self.order, self.width = order, out_features
        low, high = grid_range
        steps = torch.arange(-order, grid + order + 1).to(torch.get_default_dtype())
        knots = low + (high - low) / grid * steps
        self.register_buffer("knots", knots.repeat(in_features, 1))  # (F, G + 2k + 1)
        shape = (in_features, out_features)
        self.coef = nn.Parameter(torch.randn(*shape, grid + order) * 0.1)
        self.scale_base = nn.Parameter((2 * torch.rand(shape) - 1) * in_features**-0.5)
        self.scale_sp = nn.Parameter(torch.full(shape, in_features**-0.5))

    def edges(self, x: Tensor) -> Tensor:
        """What each column says: x (B, F) to phi (B, F, out_features), whose sum over F is the output."""
        curves = self.scale_sp[..., None] * self.coef  # (F, O, G + k)
        spline = torch.einsum("bfg,fog->bfo", spline_basis(x, self.knots, self.order), curves)
        return F.silu(x)[..., None] * self.scale_base + spline

    def forward(self, x: Tensor) -> Tensor:
        """Columns (B, F) to (B, out_features)."""
        return self.edges(x).sum(dim=1)


@dataclass(frozen=True)
class Kan(Encoder, name="kan"):
    """The record through one KAN layer.

    width: numbers a case. grid, order: intervals and order of the splines. reach: the splines' own range is
    -reach to reach; in standard deviations for studykit's record, 1 in the paper.
    """

    width: int = 24
    grid: int = 5
    order: int = 3
    reach: float = 3.0
    suits = ("table",)

    def __call__(self, modality: Modality) -> "KanEncoder":  # noqa: D102
        return KanEncoder(modality, **asdict(self))


def membership(modality: Modality) -> Tensor:
    """Which columns belong to one source column: (S, F) of 0 and 1; unnamed columns stand for themselves."""
    columns = modality.shape[0]
    if not modality.columns:
        return torch.eye(columns)
    found = torch.zeros(len(modality.sources), columns)
    for row, positions in enumerate(modality.sources.values()):
        found[row, positions] = 1.0
    return found


class KanEncoder(nn.Module):
    """See `Kan`. Input (B, F); output (B, width), or one token a source column (B, S, width).

    A token is the sum of the curves of the columns made from one source column ("Signs=lump",
    "Signs=missing") and of a learned place, by which attention can tell the columns apart.
    """

    def __init__(self, modality, width, grid=5, order=3, reach=1.0, return_tokens=False):
        super().__init__()
        self.width = width
        self.layer = KANLayer(modality.shape[0], width, grid, order, (-reach, reach))
        self.return_tokens = return_tokens
        if return_tokens:
            self.register_buffer("member", membership(modality), persistent=False)  # (S, F)
            self.place = nn.Parameter(torch.randn(len(self.member), width) * 0.5)

    def forward(self, x: Tensor) -> Tensor:
        """Columns (B, F) to (B, width), or to tokens (B, S, width)."""
        if not self.return_tokens:
            return self.layer(x)
        return self.member @ self.layer.edges(x) + self.place


class TabEncoder(nn.Module):
    """The published alternative: relu(W_1 x + b_1), then W_2. Input (B, F); output (B, width).

    Tokens (B, S, width): the same for each source column by itself, with a b_1 of its own.
    """

    def __init__(self, modality, width=24, return_tokens=False):
        super().__init__()
        self.width = width
        self.l1, self.l2 = nn.Linear(modality.shape[0], width), nn.Linear(width, width)
        self.return_tokens = return_tokens
        if return_tokens:
            self.register_buffer("member", membership(modality), persistent=False)  # (S, F)
            self.place = nn.Parameter(torch.randn(len(self.member), width) * 0.5)

    def forward(self, x: Tensor) -> Tensor:
        """Columns (B, F) to (B, width), or to tokens (B, S, width)."""
        if not self.return_tokens:
            return self.l2(torch.relu(self.l1(x)))
        parts = self.member @ (x[..., None] * self.l1.weight.T)  # (B, S, width)
        return self.l2(torch.relu(parts + self.l1.bias + self.place))
