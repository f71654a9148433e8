"""BagNet: a network that sees a picture through small windows only, so each window's evidence can be shown.

    F(u) = f(window u of 9, 17 or 33 px)        logit_k = mean_u E_k(u),   E_k(u) = w_k . F(u) + b_k

Windows start 8 px apart. All 3x3 kernels go without padding, at most one a stage; every other kernel is 1x1.

Reference: Brendel and Bethge, Approximating CNNs with bag-of-local-features models, ICLR 2019; as the local
network of Abbaspour Onari et al. 2025 (arXiv 2508.01316).

Departures from the authors' code: widths, input channels and the axes of space are settings; the stem's batch
norm follows its cases at the usual momentum unless told otherwise; volumes with few slices get windows that
are less deep; the evidence map E is given beside the logits (theirs explains by the channel mean, which knows
no class).
"""

from dataclasses import dataclass
from types import SimpleNamespace

import torch
from torch import Tensor, nn

from studykit.case import Modality
from studykit.catalog import InputError
from studykit.models.encoders import Encoder, MapEncoder, Normalise
from studykit.models.norm import BatchNorm

CONV = {2: nn.Conv2d, 3: nn.Conv3d}
# Side of the window: which of the stem and the four stages hold a kernel of 3. Depths may be less than 9.
LOOKS = {1: (0, 0, 0, 0, 0), 3: (1, 0, 0, 0, 0), 5: (1, 1, 0, 0, 0), 9: (1, 1, 1, 0, 0), 17: (1, 1, 1, 1, 0),
         33: (1, 1, 1, 1, 1)}  # fmt: skip
FIELDS = (9, 17, 33)
BLOCKS, STRIDES, EXPANSION = (3, 4, 6, 3), (2, 2, 2, 1), 4
HALF = SimpleNamespace(mean=(0.5,) * 3, std=(0.5,) * 3)  # [0, 1] to [-1, 1], as published


def misfit(name: str, sides: tuple[int, ...], windows: tuple[int, ...]) -> str:
    """Why a picture of these `sides` has no whole window, with the remedy; empty where it has one."""
    if all(side >= window for side, window in zip(sides, windows, strict=True)):
        return ""
    least = min(side for side, window in zip(sides, windows, strict=True) if window in FIELDS)
    fitting = [size for size in FIELDS if size <= least]
    remedy = (
        f"choose receptive_field {max(fitting)}" if fitting else f"{min(FIELDS)} is the smallest there is"
    )
    shape, window = (" x ".join(map(str, each)) for each in (sides, windows))
    return (
        f"The local network looks at windows of {window} and {name} is {shape}; {remedy}, or prepare larger "
        "pictures."
    )


def evidence(features: Tensor, classifier: nn.Linear) -> Tensor:
    """E_k(u) = w_k . F(u) + b_k: features (B, C, *S) to (B, K, *S); the mean over S is the logit."""
    return classifier(features.movedim(1, -1)).movedim(-1, 1)


class BagNet(MapEncoder):
    """Input (B, in_channels, *S), no side under the window's; one map (B, C, *S').

    receptive_field: 9, 17 or 33. spatial_dims: 2 or 3. widths: of the four stages; the map's C is four times
    the last. momentum: of the stem's batch norm. classes: K of its own classifier; 0 for none.
    normalise: what is done to the picture first. depth: of a volume's windows, 0 for as deep as wide, else a
    key of LOOKS. S' is (S - window) // 8 + 1 on each axis.
    """

    def __init__(
        self,
        receptive_field: int = 33,
        in_channels: int = 3,
        spatial_dims: int = 2,
        widths: tuple[int, ...] = (64, 128, 256, 512),
        classes: int = 0,
        momentum: float = 0.1,
        normalise: nn.Module | None = None,
        depth: int = 0,
    ):
        super().__init__()
        if receptive_field not in FIELDS:
            raise InputError(f"A BagNet's receptive_field is 9, 17 or 33, not {receptive_field}.")
        if len(widths) != len(BLOCKS) or min(widths) < 1:
            raise InputError(
                f"A BagNet has {len(BLOCKS)} stages and so as many widths above 0, not {tuple(widths)}."
            )
        self.channels = (EXPANSION * widths[-1],)
        self.normalise, conv = normalise or nn.Identity(), CONV[spatial_dims]
        self.windows = (depth or receptive_field, receptive_field, receptive_field)[-spatial_dims:]
        stem, *kernels = zip(*[[1 + 2 * look for look in LOOKS[side]] for side in self.windows], strict=True)
        self.stem = nn.Sequential(
            conv(in_channels, widths[0], 1, bias=False),
            conv(widths[0], widths[0], stem, bias=False),
            BatchNorm(widths[0], momentum=momentum),
            nn.ReLU(),
        )
        before, self.stages = widths[0], nn.ModuleList()
        for planes, count, stride, kernel in zip(widths, BLOCKS, STRIDES, kernels, strict=True):
            first = Bottleneck(conv, before, planes, kernel, stride, changes=True)
            before = EXPANSION * planes
            later = [Bottleneck(conv, before, planes) for _ in range(count - 1)]
            self.stages.append(nn.Sequential(first, *later))
        self.classifier = nn.Linear(before, classes) if classes else None
        for module in self.modules():
            if isinstance(module, conv):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def maps(self, x: Tensor) -> list[Tensor]:
        """(B, in_channels, *S) to one map (B, C, *S'); InputError for a side under the window's."""
        reason = misfit("the picture", x.shape[2:], self.windows)
        if reason:
            raise InputError(reason)
        x = self.stem(self.normalise(x))
        for stage in self.stages:
            x = stage(x)
        return [self.tap(x)]

    def logits(self, x: Tensor) -> Tensor:
        """(B, in_channels, *S) to (B, K), by its own classifier."""
        return self._own()(self.maps(x)[0].flatten(2).mean(2))

    def evidence_map(self, x: Tensor) -> Tensor:
        """(B, in_channels, *S) to (B, K, *S'); place u speaks for the window that starts at pixel 8 u."""
        return evidence(self.maps(x)[0], self._own())

    def _own(self) -> nn.Linear:
        if self.classifier is None:
            raise InputError("This BagNet has no classes of its own; make it with `classes`.")
        return self.classifier


class Bottleneck(nn.Module):
    """relu(stretch(look(squeeze x)) + shortcut x); the far ends of a larger shortcut are cropped.

    (B, channels, *S) to (B, 4 planes, *S'). `changes`: the shortcut is a convolution, else x itself.
    """

    def __init__(self, conv, channels, planes, kernel=1, stride=1, changes=False):
        super().__init__()
        width = EXPANSION * planes
        self.squeeze = nn.Sequential(conv(channels, planes, 1, bias=False), BatchNorm(planes), nn.ReLU())
        self.look = nn.Sequential(
            conv(planes, planes, kernel, stride, bias=False), BatchNorm(planes), nn.ReLU()
        )
        self.stretch = nn.Sequential(conv(planes, width, 1, bias=False), BatchNorm(width))
        self.shortcut = nn.Identity()
        if changes:
            self.shortcut = nn.Sequential(conv(channels, width, 1, stride, bias=False), BatchNorm(width))

    def forward(self, x: Tensor) -> Tensor:  # noqa: D102
        y = self.stretch(self.look(self.squeeze(x)))
        kept = (..., *[slice(side) for side in y.shape[2:]])
        return torch.relu(y + self.shortcut(x)[kept])


@dataclass(frozen=True)
class Windows(Encoder, name="bagnet"):
    """A BagNet over a picture or volume, learned from scratch: only windows of `receptive_field` are seen."""

    receptive_field: int = 33
    widths: tuple[int, ...] = (16, 32, 64, 128)
    suits = "image", "volume"

    def __call__(self, modality: Modality) -> BagNet:
        """The module for this image or volume; InputError where it is too small."""
        return local_network(modality, self.receptive_field, self.widths)


def local_network(
    modality: Modality, receptive_field: int, widths: tuple[int, ...], momentum: float = 0.1
) -> BagNet:
    """A BagNet for this image in [0, 1] (a gray one is shown to three channels), or this volume as it is.

    A volume with fewer slices than `receptive_field` gets windows as deep as fit. Raises InputError, with
    the largest receptive field that fits, where the picture is too small.
    """
    channels, sides, normalise, depth = modality.shape[0], modality.shape[1:], None, 0
    if modality.kind == "image":
        normalise = Normalise(channels, HALF)
        channels = normalise.channels
    else:
        depth = max(deep for deep in LOOKS if deep <= min(sides[0], receptive_field))
    net = BagNet(receptive_field, channels, len(sides), widths, 0, momentum, normalise, depth)
    reason = misfit(f"'{modality.name}'", sides, net.windows)
    if reason:
        raise InputError(reason)
    return net
