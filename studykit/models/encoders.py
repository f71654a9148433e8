"""Encoders: one modality of a batch of cases in, one row of numbers a case out."""

import logging
from dataclasses import asdict, dataclass

import torch
from torch import Tensor, nn

from studykit.case import Modality
from studykit.catalog import InputError, Named, unknown
from studykit.models import torchvision_ops  # noqa: F401  (before timm)
from studykit.models.weights import source

import timm  # isort: skip

# timm lists the classifier's weights as "unexpected" whenever only the feature stages are made.
logging.getLogger("timm.models._builder").setLevel(logging.ERROR)


class Encoder(Named):
    """A recipe for encoding one kind of modality; called with a Modality it makes the module.

    The module has `width` (how many numbers it gives a case) and takes (B, *shape).
    """

    suits: str  # the kind of modality

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
    suits = "image"

    def __call__(self, modality: Modality) -> "TimmEncoder":  # noqa: D102
        return TimmEncoder(modality.shape, **asdict(self))


class TimmEncoder(nn.Module):
    """See `Timm`. Input (B, C, H, W) in [0, 1]; output (B, 2 * sum of the stages' channels)."""

    def __init__(self, shape, architecture, weights, frozen, stages):
        super().__init__()
        if architecture not in timm.list_models():
            raise InputError(unknown("timm encoder", architecture, timm.list_models()))
        given = 3 if shape[0] == 1 else shape[0]  # a gray picture is shown to all three channels
        settings, config = source(architecture, weights), timm.get_pretrained_cfg(architecture)
        if config.fixed_input_size:
            settings["img_size"] = shape[1:]
        try:
            self.trunk = timm.create_model(
                architecture,
                features_only=True,
                feature_cls="getter",  # makes no layer behind the last stage that is asked for
                out_indices=stages,
                in_chans=given,
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
        self.width = 2 * sum(self.trunk.feature_info.channels())
        for name in ("mean", "std"):
            values = torch.tensor(getattr(config, name))
            values = values if given == 3 else values.mean().repeat(given)
            self.register_buffer(name, values.view(1, -1, 1, 1), persistent=False)
        self.tap = nn.Identity()  # the last stage's map passes here for Grad-CAM to watch
        self.train()  # modules start in training mode, a frozen one must not

    def train(self, mode: bool = True) -> "TimmEncoder":
        """A frozen network stays in evaluation mode, so its batch-norm statistics stay too."""
        return super().train(mode and not self.frozen)

    def forward(self, x: Tensor) -> Tensor:
        """Pictures (B, C, H, W) to features (B, width)."""
        x = (x.expand(-1, self.mean.shape[1], -1, -1) - self.mean) / self.std
        maps = self.trunk(x.contiguous(memory_format=torch.channels_last))
        maps[-1] = self.tap(maps[-1])
        pooled = [t.mean((2, 3)) for t in maps]  # (B, C) a stage
        # The floor keeps the root's slope finite where a map is flat.
        spread = [(t.var((2, 3), unbiased=False) + 1e-6).sqrt() for t in maps]
        return torch.cat(pooled + spread, dim=1)


@dataclass(frozen=True)
class Columns(Encoder, name="columns"):
    """The record: its columns, missing ones marked by their indicators, through a small network.

    width: numbers a case; 0 gives the columns themselves, so that what follows stays linear in them.
    """

    width: int = 64
    suits = "table"

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
