"""Encoders: one modality of a batch of cases in, one row of numbers a case out."""

import logging
from collections.abc import Iterable
from dataclasses import asdict, dataclass

import torch
from torch import Tensor, nn

from studykit.case import Modality
from studykit.catalog import InputError, Named, check_choice
from studykit.models import torchvision_ops  # noqa: F401  (before timm)
from studykit.models.norm import BatchNorm
from studykit.models.weights import source

import timm  # isort: skip

# timm lists the classifier's weights as "unexpected" whenever only the feature stages are made.
logging.getLogger("timm.models._builder").setLevel(logging.ERROR)


class Encoder(Named):
    """A recipe for encoding one kind of modality; called with a Modality it makes the module.

    The module has `width` (how many numbers it gives a case) and takes (B, *shape).
    """

    suits: tuple[str, ...]  # the kinds of modality

    def __call__(self, modality: Modality) -> nn.Module:
        """The module for this modality."""
        raise NotImplementedError


@dataclass(frozen=True)
class Timm(Encoder, name="timm"):
    """Any 2D network of timm; the mean and the spread of its feature maps at several stages.

    architecture: a timm name. weights: "scratch", "hub", "package" or a file (see `weights`).
    frozen: leave the weights as they are; the features of a case are then computed once a run.
    stages: which of timm's feature stages to pool (0 is the finest). Later stages of networks trained
        on photographs know photographs; the middle ones carry over better to small medical sets.
    """

    architecture: str = "tf_efficientnet_lite0"
    weights: str = "package"
    frozen: bool = True
    stages: tuple[int, ...] = (1, 2, 3)
    suits = ("image",)

    def __call__(self, modality: Modality) -> "TimmEncoder":  # noqa: D102
        return TimmEncoder(modality.shape, **asdict(self))


class MapEncoder(nn.Module):
    """A network with feature maps: `maps(x)` gives them, finest first; called, it pools them.

    channels: of each map. width: of the pooled row, the mean and the spread of every channel.
    """

    channels: tuple[int, ...]

    def __init__(self):
        super().__init__()
        self.tap = nn.Identity()  # the last map passes here for Grad-CAM to watch

    @property
    def width(self) -> int:
        """How many numbers a case gets."""
        return 2 * sum(self.channels)

    def maps(self, x: Tensor) -> list[Tensor]:
        """(B, C, *space) to maps (B, channels[i], *space_i)."""
        raise NotImplementedError

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, *space) to features (B, width)."""
        flat = [t.flatten(2) for t in self.maps(x)]  # (B, C, N) a stage
        # The floor keeps the root's slope finite where a map is flat.
        spread = [(t.var(2, unbiased=False) + 1e-6).sqrt() for t in flat]
        return torch.cat([t.mean(2) for t in flat] + spread, dim=1)


class LastMap(nn.Module):
    """A map encoder without its pooling: the last map (B, width, *space)."""

    def __init__(self, encoder: MapEncoder):
        super().__init__()
        self.encoder = encoder
        self.width = encoder.channels[-1]

    @property
    def tap(self) -> nn.Module:
        """Where Grad-CAM watches."""
        return self.encoder.tap

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, *space) to (B, width, *space_last)."""
        return self.encoder.maps(x)[-1]


class TimmEncoder(MapEncoder):
    """See `Timm`. Input (B, C, H, W) in [0, 1]; output (B, 2 * sum of the stages' channels)."""

    def __init__(self, shape, architecture, weights, frozen, stages):
        super().__init__()
        config = known_config(architecture)
        settings = source(architecture, weights)
        if config.fixed_input_size:
            settings["img_size"] = shape[1:]
        self.normalise = Normalise(shape[0], config)
        try:
            self.trunk = timm.create_model(
                architecture,
                features_only=True,
                feature_cls="getter",  # makes no layer behind the last stage that is asked for
                out_indices=stages,
                in_chans=self.normalise.channels,
                **settings,
            )
        except (IndexError, AssertionError, AttributeError, RuntimeError, OSError) as why:
            raise InputError(
                f"The encoder {architecture} cannot be made with stages {tuple(stages)} and weights "
                f"'{weights}' ({why}); choose other stages (0 is the finest) or other weights."
            ) from None
        self.frozen = frozen
        if frozen:
            self.trunk.requires_grad_(False)
        self.channels = tuple(self.trunk.feature_info.channels())
        self.train()  # modules start in training mode, a frozen one must not

    def train(self, mode: bool = True) -> "TimmEncoder":
        """A frozen network stays in evaluation mode, so its batch-norm statistics stay too."""
        return super().train(mode and not self.frozen)

    def maps(self, x: Tensor) -> list[Tensor]:  # noqa: D102
        maps = self.trunk(self.normalise(x).contiguous(memory_format=torch.channels_last))
        return [*maps[:-1], self.tap(maps[-1])]


def known_config(architecture: str):
    """The configuration of a timm network; InputError, with the nearest names, for one it has not."""
    check_choice("timm encoder", architecture, timm.list_models())
    return timm.get_pretrained_cfg(architecture)


class Normalise(nn.Module):
    """Pictures in [0, 1] as a timm network wants them; a gray one is shown to all three channels."""

    def __init__(self, channels: int, config):
        super().__init__()
        self.channels = 3 if channels == 1 else channels
        for name in ("mean", "std"):
            values = torch.tensor(getattr(config, name))
            values = values if self.channels == 3 else values.mean().repeat(self.channels)
            self.register_buffer(name, values.view(1, -1, 1, 1), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to (B, channels, H, W)."""
        return (x.expand(-1, self.channels, -1, -1) - self.mean) / self.std


@dataclass(frozen=True)
class Residual(Encoder, name="residual"):
    """A small residual network for pictures or volumes, learned from scratch; one block a width.

    widths: channels of the stages. Each halves the picture; the first leaves a volume's slices as they are.
    """

    widths: tuple[int, ...] = (16, 32, 64)
    suits = "image", "volume"

    def __call__(self, modality: Modality) -> "ResidualEncoder":  # noqa: D102
        return ResidualEncoder(modality.shape[0], self.widths, len(modality.shape) - 1)


class ResidualEncoder(MapEncoder):
    """See `Residual`. Input (B, C, *space); a map of each stage."""

    def __init__(self, channels, widths, dims):
        super().__init__()
        self.channels = tuple(widths)
        before = (channels, *widths[:-1])
        strides = ((1, 2, 2) if dims == 3 else 2, *[2] * (len(widths) - 1))
        shapes = zip(before, widths, strides, strict=True)
        self.stages = nn.ModuleList(_Residual(*shape, dims) for shape in shapes)

    def maps(self, x: Tensor) -> list[Tensor]:  # noqa: D102
        found = []
        for stage in self.stages:
            x = stage(x)
            found.append(x)
        return [*found[:-1], self.tap(x)]


class _Residual(nn.Module):
    """relu(bn(conv(relu(bn(conv x)))) + bn(conv1 x))."""

    def __init__(self, channels, width, stride, dims):
        super().__init__()
        conv = nn.Conv3d if dims == 3 else nn.Conv2d
        self.body = nn.Sequential(
            conv(channels, width, 3, stride, 1, bias=False),
            BatchNorm(width),
            nn.ReLU(),
            conv(width, width, 3, 1, 1, bias=False),
            BatchNorm(width),
        )
        self.shortcut = nn.Sequential(conv(channels, width, 1, stride, bias=False), BatchNorm(width))

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.body(x) + self.shortcut(x))


@dataclass(frozen=True)
class Columns(Encoder, name="columns"):
    """The record: its columns, missing ones marked by their indicators, through a small network.

    width: numbers a case; 0 gives the columns themselves, so that what follows stays linear in them.
    """

    width: int = 64
    suits = ("table",)

    def __call__(self, modality: Modality) -> "ColumnsEncoder":  # noqa: D102
        return ColumnsEncoder(modality.shape[0], self.width)


class ColumnsEncoder(nn.Module):
    """See `Columns`. Input (B, F); output (B, width)."""

    def __init__(self, columns, width):
        super().__init__()
        self.width = width or columns
        self.layers = nn.Sequential(nn.Linear(columns, width), nn.GELU()) if width else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """Columns (B, F) to features (B, width)."""
        return self.layers(x)


def encoders_of(
    modalities: Iterable[Modality], image: Encoder, volume: Encoder, table: Encoder, text: Encoder
) -> nn.ModuleDict:
    """{modality: its encoder}, by kind; InputError for an encoder that does not suit its kind."""
    makers = {"image": image, "volume": volume, "table": table, "text": text}
    for kind, maker in makers.items():
        if kind not in maker.suits:
            fitting = [name for name, cls in Encoder.catalogue.items() if kind in cls.suits]
            raise InputError(
                f"The encoder '{maker.name}' does not take a {kind}; choose {' or '.join(fitting)}."
            )
    return nn.ModuleDict({m.name: makers[m.kind](m) for m in modalities})
