"""Networks cut into stages, so that something can pass between two of them after each stage.

Every stage takes and gives channel-first maps (B, C, *space), or (B, C) for a record or a text.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from studykit.case import Modality
from studykit.catalog import InputError
from studykit.models.encoders import Normalise, known_config
from studykit.models.weights import source
from studykit.models.words import Words

import timm  # isort: skip  (encoders brought torchvision_ops)
from timm.models._features import FeatureListNet


@dataclass(frozen=True)
class Stages:
    """parts: one module a stage; channels: what each gives; dims: of space (0 for a record or a text)."""

    parts: tuple[nn.Module, ...]
    channels: tuple[int, ...]
    dims: int


def timm_stages(shape: tuple[int, ...], architecture: str, weights: str, frozen: bool) -> Stages:
    """A timm network for pictures of `shape` (C, H, W) in [0, 1], cut into its last four stages.

    Raises InputError for networks whose stages do not follow one another.
    """
    config = known_config(architecture)
    settings = source(architecture, weights)
    if config.fixed_input_size:
        settings["img_size"] = shape[1:]
    normalise = Normalise(shape[0], config)
    network = timm.create_model(architecture, in_chans=normalise.channels, **settings)
    parts, channels, layout = _token_parts(network) if hasattr(network, "pos_embed") else _map_parts(network)
    if layout != "NCHW":
        parts = [_ChannelFirst(part, first=k == 0) for k, part in enumerate(parts)]
    parts[0] = nn.Sequential(normalise, parts[0])
    if frozen:
        parts = [_Frozen(part) for part in parts]
    return Stages(tuple(parts), tuple(channels), 1 if layout == "NLC" else 2)


def _map_parts(network: nn.Module) -> tuple[list[nn.Module], list[int], str]:
    """The children of a network between its feature taps, the last four of them."""
    count = len(getattr(network, "feature_info", None) or [])
    layout = getattr(network, "output_fmt", "NCHW")
    for flat in (False, True) if count else ():
        try:
            listed = FeatureListNet(
                network, tuple(range(count)), output_fmt=str(layout), flatten_sequential=flat
            )
        except (AssertionError, TypeError):
            continue
        cuts = list(listed.return_layers)[-4:]
        parts, part = [], []
        for name, module in listed.items():
            part.append(module)
            if name in cuts:
                parts.append(nn.Sequential(*part))
                part = []
        return parts, listed.feature_info.channels()[-4:], getattr(layout, "value", layout)
    raise InputError(
        f"The network {type(network).__name__} cannot be cut into stages; choose one whose stages follow one "
        "another, such as resnet18, mobilenetv3_small_050, convnext_atto or vit_tiny_patch16_224."
    )


def _token_parts(network: nn.Module) -> tuple[list[nn.Module], list[int], str]:
    """A vision transformer's blocks in four parts; the first also cuts the picture into tokens."""
    blocks = list(getattr(network, "blocks", []))
    if len(blocks) < 4 or not hasattr(network, "_pos_embed"):
        return _map_parts(network)
    at = [round(len(blocks) * k / 4) for k in range(5)]
    parts = [nn.Sequential(*blocks[a:b]) for a, b in zip(at, at[1:], strict=False)]
    parts[0] = nn.Sequential(_Tokens(network), parts[0])
    return parts, [network.embed_dim] * 4, "NLC"


class _Tokens(nn.Module):
    """A picture as a vision transformer's first tokens (B, N, C)."""

    def __init__(self, network: nn.Module):
        super().__init__()
        self.patch_embed, self.norm_pre = network.patch_embed, network.norm_pre
        self.pos_embed, self.cls_token = network.pos_embed, network.cls_token

    def forward(self, x: Tensor) -> Tensor:
        x = self.patch_embed(x)
        if self.cls_token is not None:
            x = torch.cat([self.cls_token.expand(len(x), -1, -1), x], dim=1)
        return self.norm_pre(x + self.pos_embed)


class _ChannelFirst(nn.Module):
    """A channel-last stage that takes and gives channel-first maps."""

    def __init__(self, part: nn.Module, first: bool):
        super().__init__()
        self.part, self.first = part, first

    def forward(self, x: Tensor) -> Tensor:
        return self.part(x if self.first else x.movedim(1, -1)).movedim(-1, 1)


class _Frozen(nn.Module):
    """A stage whose weights and batch-norm statistics stay."""

    def __init__(self, part: nn.Module):
        super().__init__()
        self.part = part.requires_grad_(False)
        self.part.eval()

    def train(self, mode: bool = True) -> "_Frozen":
        super().train(mode)
        self.part.eval()
        return self

    def forward(self, x: Tensor) -> Tensor:
        return self.part(x)


def table_stages(columns: int, channels: tuple[int, ...]) -> Stages:
    """A record (B, F) as rows (B, C) of as many numbers as the pictures' stages have channels."""
    before = (columns, *channels[:-1])
    parts = (
        nn.Sequential(nn.Linear(a, b), nn.LayerNorm(b), nn.GELU())
        for a, b in zip(before, channels, strict=True)
    )
    return Stages(tuple(parts), tuple(channels), 0)


def text_stages(modality: Modality, channels: tuple[int, ...]) -> Stages:
    """A text (B, T) as rows (B, C): its words through the small transformer, then as a record."""
    words = Words()(modality)
    rows = table_stages(words.width, channels)
    return Stages((nn.Sequential(words, rows.parts[0]), *rows.parts[1:]), channels, 0)
