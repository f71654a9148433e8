"""A scan is read at three scales, the coarse ones tell the fine ones where to look, and these answer back.

MMCAF-Net's image encoder. From a backbone's maps F1, F2, F3, finest first, * elementwise, s the sigmoid:

    E3D-MSCA(x) = DCFB(SAB(CAB(x)))
        CAB: x <- a * x,  a = s(W_2 relu(W_1 avgpool(x)) + W_2 relu(W_1 maxpool(x)))   one number a channel
        SAB: x <- m * x,  m = s(conv_7([mean_c x, max_c x]))                           one number a place
        DCFB: z = relu6(bn(W x)),  y = shuffle(sum over k in (1, 3, 5) of relu6(bn(depthwise_k(z)))),
              out = x + bn(W' y)
    UCB(x) = conv_1(relu(bn(depthwise_3(x upsampled by 2))))
    down:  E3 = E3D-MSCA(F3),  E2 = E3D-MSCA(F2 + UCB(E3)),  E1 = E3D-MSCA(F1 + UCB(E2))
    BFPU(x, y): y resized to x, then conv_1;  M = s(conv_3(x) * conv_3(y));
                for v in x, y: (g, h) = conv_3([v, M * v]),  v' = g v + h M * v;
                out = x' + y'        (in the paper out = [x + M * x, y + M * y])
    up:    b1 = BFPU(E2, E1),  b2 = BFPU(E3, b1)
    features: dropout(relu(W maxpool(b2))), or one token for every place of b2 without the maxpool

Reference: Yu et al., MMCAF-Net, MICCAI 2025, arXiv:2508.04205; E3D-MSCA after EMCAD (Rahman et al.,
CVPR 2024), the backbone PENet after Huang et al., npj Digital Medicine 2020.

Departures from the authors' code: maps are resized to each other's own size, so every size of scan works
(theirs: only 192 x 192), and a map that already has the size passes the same layers; PENet's pooling pyramid
and decoders, 17.6 million parameters whose output is never used, are not built; a frozen encoder is really
frozen, batch-norm statistics included. The shuffle within UCB is the identity (as many groups as channels)
and is left out. Two things are taken, not known: UCB's output is resized corners on corners, as BFPU's input
is; and of PENet's stochastic depth, whose chances fall from 1 to 0.5, each case leaves a block's branch out
by itself and a branch that stays counts 1 / chance.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from studykit.catalog import InputError, check_choice
from studykit.models.encoders import MapEncoder
from studykit.models.norm import BatchNorm
from studykit.models.taps import Tap

ACTIVATIONS = {"relu6": nn.ReLU6, "relu": nn.ReLU}
MERGES = ("gated_sum", "concat")


def channel_shuffle(x: Tensor, groups: int) -> Tensor:
    """Channels (B, C, *space) in groups, the first of each group first, then the second of each."""
    return x.unflatten(1, (groups, -1)).transpose(1, 2).flatten(1, 2)


def resized(x: Tensor, size: tuple[int, ...]) -> Tensor:
    """(B, C, D, H, W) to that size of space, trilinear, corners on corners; as it is where it has it."""
    if tuple(x.shape[2:]) == tuple(size):
        return x
    return F.interpolate(x, size=tuple(size), mode="trilinear", align_corners=True)


class ChannelAttention3d(nn.Module):
    """CAB's coefficients in (0, 1): (B, C, D, H, W) to (B, C, 1, 1, 1)."""

    def __init__(self, in_channels: int, ratio: int = 16):
        super().__init__()
        hidden = max(1, in_channels // ratio)
        self.fc1 = nn.Conv3d(in_channels, hidden, 1, bias=False)
        self.fc2 = nn.Conv3d(hidden, in_channels, 1, bias=False)
        # Maps come from a ReLU: weights above 0 start every unit alive, and there may be only one.
        nn.init.uniform_(self.fc1.weight, 0.0, in_channels**-0.5)

    def forward(self, x: Tensor) -> Tensor:
        """The average and the maximum over space through the same two layers, summed."""
        pooled = x.mean(dim=(2, 3, 4), keepdim=True), x.amax(dim=(2, 3, 4), keepdim=True)
        return torch.sigmoid(sum(self.fc2(torch.relu(self.fc1(p))) for p in pooled))


class SpatialAttention3d(nn.Module):
    """SAB's coefficients in (0, 1): (B, C, D, H, W) to (B, 1, D, H, W)."""

    def __init__(self, kernel_size: int = 7):
        super().__init__()
        self.conv = nn.Conv3d(2, 1, kernel_size, padding=kernel_size // 2, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """The mean and the maximum over channels, in this order, through one convolution."""
        return torch.sigmoid(self.conv(torch.cat([x.mean(1, keepdim=True), x.amax(1, keepdim=True)], dim=1)))


class DepthwiseConvFusion3d(nn.Module):
    """DCFB: (B, in, D, H, W) to (B, out, D, H, W), through depthwise kernels of several sizes.

    parallel: the kernels see the same map; else each adds to what the next sees. expansion: of the channels
    between. Where `in` and `out` differ, the shortcut is a convolution.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_sizes: tuple[int, ...] = (1, 3, 5),
        expansion: int = 2,
        parallel: bool = True,
        act: str = "relu6",
    ):
        check_choice("activation of DCFB", act, ACTIVATIONS)
        super().__init__()
        wide, act = expansion * in_channels, ACTIVATIONS[act]
        self.parallel, self.groups = parallel, math.gcd(wide, out_channels)
        self.expand = nn.Sequential(
            nn.Conv3d(in_channels, wide, 1, bias=False), BatchNorm(wide), act(inplace=True)
        )
        self.depthwise = nn.ModuleList(
            nn.Sequential(
                nn.Conv3d(wide, wide, k, padding=k // 2, groups=wide, bias=False),
                BatchNorm(wide),
                act(inplace=True),
            )
            for k in kernel_sizes
        )
        self.reduce = nn.Sequential(nn.Conv3d(wide, out_channels, 1, bias=False), BatchNorm(out_channels))
        same = in_channels == out_channels
        self.shortcut = nn.Identity() if same else nn.Conv3d(in_channels, out_channels, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """The map and what the kernels found in it."""
        z, y = self.expand(x), 0
        for kernel in self.depthwise:
            found = kernel(z)
            y = y + found
            z = z if self.parallel else z + found
        return self.shortcut(x) + self.reduce(channel_shuffle(y, self.groups))


class MultiScaleConvAttention3d(nn.Module):
    """E3D-MSCA: a map (B, C, D, H, W) to one of the same shape.

    share_spatial: a spatial attention that belongs to another module and is used here too.
    """

    def __init__(self, channels: int, share_spatial: SpatialAttention3d | None = None):
        super().__init__()
        self.channel = ChannelAttention3d(channels)
        self._borrowed = (share_spatial,)  # in a tuple, so that only its owner registers it
        if share_spatial is None:
            self.spatial = SpatialAttention3d()
        self.fusion = DepthwiseConvFusion3d(channels, channels)
        self.channel_tap = Tap("how much each channel of the map counts, 0 to 1")
        self.spatial_tap = Tap("how much each place of the map counts, 0 to 1", "places")

    def forward(self, x: Tensor) -> Tensor:
        """Channels are weighed, then places, then neighbourhoods of three sizes."""
        x = self.channel_tap(self.channel(x)) * x
        spatial = self._borrowed[0] or self.spatial
        x = self.spatial_tap(spatial(x)) * x
        return self.fusion(x)


class UpConvBlock3d(nn.Module):
    """UCB: (B, C, D, H, W) to (B, out, 2D, 2H, 2W), or to `size` of space; out is C / 2 by default."""

    def __init__(self, channels: int, out_channels: int = 0):
        super().__init__()
        self.depthwise = nn.Sequential(
            nn.Conv3d(channels, channels, 3, padding=1, groups=channels, bias=False),
            BatchNorm(channels),
            nn.ReLU(inplace=True),
        )
        self.pointwise = nn.Conv3d(channels, out_channels or channels // 2, 1)

    def forward(self, x: Tensor, size: tuple[int, ...] | None = None) -> Tensor:
        """Twice as large, and then resized where `size` is not that."""
        x = F.interpolate(x, scale_factor=2, mode="trilinear", align_corners=True)
        x = self.pointwise(self.depthwise(x))
        return x if size is None else resized(x, size)


class FeedbackPropagation3d(nn.Module):
    """BFPU: x (B, C, *space) and y (B, lateral, *any space) to (B, out_channels, *space).

    merge: "gated_sum" as in the code (C channels), "concat" as in the paper (2C channels).
    """

    def __init__(self, channels: int, lateral_channels: int, merge: str = "gated_sum"):
        check_choice("merge of BFPU", merge, MERGES)
        super().__init__()
        self.out_channels = channels if merge == "gated_sum" else 2 * channels
        self.adjust = nn.Conv3d(lateral_channels, channels, 1)
        self.query = nn.Conv3d(channels, channels, 3, padding=1)
        self.key = nn.Conv3d(channels, channels, 3, padding=1)
        gates = 2 if merge == "gated_sum" else 0
        self.gates = nn.ModuleList(nn.Conv3d(2 * channels, 2, 3, padding=1) for _ in range(gates))
        self.tap = Tap("how far two scales agree at each channel and place, 0 to 1", "places")

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """Where the two agree, both are let through more."""
        y = self.adjust(resized(y, x.shape[2:]))
        agreed = self.tap(torch.sigmoid(self.query(x) * self.key(y)))  # (B, C, D, H, W)
        if not self.gates:
            return torch.cat([x + agreed * x, y + agreed * y], dim=1)
        out = 0
        for v, gate in zip((x, y), self.gates, strict=True):
            g, h = gate(torch.cat([v, agreed * v], dim=1)).split(1, dim=1)
            out = out + (g + h * agreed) * v
        return out


class PyramidImageEncoder3d(nn.Module):
    """A scan (B, C, D, H, W) to (B, out_features), or to tokens (B, N, out_features), one a place of b2.

    backbone: anything with `maps(x)`, three maps, finest first. channels: of these maps.
    share_spatial: one spatial attention for the three scales. merge: of BFPU. drop_maps: of the backbone's
    maps. frozen: nothing in here changes in training.
    """

    def __init__(
        self,
        backbone: nn.Module,
        channels: tuple[int, int, int],
        out_features: int = 24,
        return_tokens: bool = False,
        *,
        share_spatial: bool = True,
        merge: str = "gated_sum",
        dropout: float = 0.5,
        drop_maps: float = 0.3,
        frozen: bool = False,
    ):
        if len(channels) != 3:
            raise InputError(f"The pyramid has three maps, not {len(channels)}; give three widths.")
        super().__init__()
        fine, middle, coarse = channels
        self.backbone, self.width, self.return_tokens = backbone, out_features, return_tokens
        self.norms = nn.ModuleList(
            nn.Sequential(BatchNorm(c), nn.ReLU(inplace=True), nn.Dropout(drop_maps)) for c in channels
        )
        self.coarse = MultiScaleConvAttention3d(coarse)
        shared = self.coarse.spatial if share_spatial else None
        self.middle = MultiScaleConvAttention3d(middle, shared)
        self.fine = MultiScaleConvAttention3d(fine, shared)
        self.up2, self.up1 = UpConvBlock3d(coarse, middle), UpConvBlock3d(middle, fine)
        self.back1 = FeedbackPropagation3d(middle, fine, merge)
        self.back2 = FeedbackPropagation3d(coarse, self.back1.out_channels, merge)
        self.tap = nn.Identity()  # b2 passes here for Grad-CAM to watch
        self.head = nn.Sequential(
            nn.Linear(self.back2.out_channels, out_features), nn.ReLU(), nn.Dropout(dropout)
        )
        self.frozen = frozen
        if frozen:
            self.requires_grad_(False)
        self.train()  # modules start in training mode, a frozen one must not

    def train(self, mode: bool = True) -> "PyramidImageEncoder3d":
        """A frozen encoder stays in evaluation mode, so batch-norm statistics and dropout stay still."""
        return super().train(mode and not self.frozen)

    def last_map(self, x: Tensor) -> Tensor:
        """The scan (B, C, D, H, W) to b2 (B, channels, D', H', W')."""
        maps = zip(self.norms, self.backbone.maps(x), strict=True)
        # Depthwise convolutions learn three times as fast on a processor with the channels last.
        f1, f2, f3 = (norm(f.contiguous(memory_format=torch.channels_last_3d)) for norm, f in maps)
        e3 = self.coarse(f3)
        e2 = self.middle(f2 + self.up2(e3, f2.shape[2:]))
        e1 = self.fine(f1 + self.up1(e2, f1.shape[2:]))
        return self.tap(self.back2(e3, self.back1(e2, e1)))

    def forward(self, x: Tensor) -> Tensor:
        """The largest value of each channel, or each place, through one layer."""
        b2 = self.last_map(x)
        if self.return_tokens:
            return self.head(b2.flatten(2).transpose(1, 2))  # (B, N, out_features)
        return self.head(b2.amax(dim=(2, 3, 4)))


class PENet(MapEncoder):
    """The authors' backbone: (B, 1, D, H, W) to maps of 256, 512 and 1024 channels, finest first.

    One channel is shown to three inputs. depths: blocks of the three encoders.
    """

    def __init__(self, in_channels: int = 1, depths=(3, 4, 6), channels=(256, 512, 1024), stem: int = 64):
        super().__init__()
        self.channels = tuple(channels)
        self.inputs = 3 if in_channels == 1 else in_channels
        self.stem = nn.Sequential(
            nn.Conv3d(self.inputs, stem, 7, (1, 2, 2), 3, bias=False),
            _group_norm(stem),
            nn.LeakyReLU(inplace=True),
            nn.MaxPool3d(3, 2, 1),
        )
        chances = iter(torch.linspace(1.0, 0.5, sum(depths), device="cpu").tolist())
        self.encoders = nn.ModuleList()
        for k, (before, width) in enumerate(zip((stem, *channels[:-1]), channels, strict=True)):
            blocks = [PENetBlock(before, width, 1 if k == 0 else 2, next(chances))]
            blocks += [PENetBlock(width, width, 1, next(chances)) for _ in range(depths[k] - 1)]
            self.encoders.append(nn.Sequential(*blocks))

    def maps(self, x: Tensor) -> list[Tensor]:  # noqa: D102
        x, found = self.stem(x.expand(-1, self.inputs, -1, -1, -1)), []
        for encoder in self.encoders:
            x = encoder(x)
            found.append(x)
        return [*found[:-1], self.tap(x)]


class PENetBlock(nn.Module):
    """leaky(shortcut + e * branch): a grouped bottleneck, e its squeezed-and-excited channels.

    chance: with which a case keeps the branch in training.
    """

    def __init__(self, before: int, width: int, stride: int, chance: float, cardinality: int = 32):
        super().__init__()
        inner, squeezed, self.chance = width // 2, width // 16, chance
        self.branch = nn.Sequential(
            *(nn.Conv3d(before, inner, 1, bias=False), _group_norm(inner), nn.LeakyReLU(inplace=True)),
            nn.Conv3d(inner, inner, 3, stride, 1, groups=cardinality, bias=False),
            *(_group_norm(inner), nn.LeakyReLU(inplace=True)),
            *(nn.Conv3d(inner, width, 1, bias=False), _group_norm(width)),
        )
        self.excite = nn.Sequential(
            nn.AdaptiveAvgPool3d(1),
            *(nn.Conv3d(width, squeezed, 1), nn.ReLU(inplace=True)),
            *(nn.Conv3d(squeezed, width, 1), nn.Sigmoid()),
        )
        self.shortcut = nn.Identity()
        if stride != 1 or before != width:
            self.shortcut = nn.Sequential(nn.Conv3d(before, width, 1, stride, bias=False), _group_norm(width))

    def forward(self, x: Tensor) -> Tensor:
        """(B, before, D, H, W) to (B, width, D / stride, H / stride, W / stride)."""
        branch = self.branch(x)
        branch = self.excite(branch) * branch
        if self.training and self.chance < 1:
            kept = branch.new_empty(len(x), 1, 1, 1, 1).bernoulli_(self.chance)
            branch = branch * (kept / self.chance)
        return F.leaky_relu(self.shortcut(x) + branch)


def _group_norm(channels: int) -> nn.GroupNorm:
    return nn.GroupNorm(max(1, channels // 16), channels)
