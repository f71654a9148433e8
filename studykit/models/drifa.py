"""DRIFA-Net: gates that weigh each channel of one picture, and gates that all pictures share.

Within a modality (MFA, F a map with C channels, s the sigmoid, conv 1x1):
    U1 = s(conv1 F)  U2 = s(conv2 U1)  p = mean U1 + max U2                                  (HIFA)
    U3 = s(conv3 (U1 + U2))  U4 = s(conv4 U3)  q = mean U3 + max U4      g = s(W [p; q] + b)
    v1 = mean s(conv5 F)  v2 = s(conv6 v1)                               l = v1 + v2         (CLIA)
    A = s(a_g g + a_l l)                                                 MFA(F) = F A alpha
Across modalities (MIFA, one A for all of them; P is min, mean or max over space):
    g = sum_P s(W sum_m P(F_m) + b)      l = sum_P sum_m P(s(conv_m F_m))
    A = s(a_g g + a_l l)                                                 F_m' = F_m A alpha_m

Dhar et al. Multimodal Fusion Learning with Dual Attention for Medical Imaging. WACV 2025, arXiv 2412.01248.

Departures from the authors' code. `preset="faithful"` gives their numbers, Keras' padding, batch-norm
constants and initialisation included; only their mixed precision is not imitated. `preset="repaired"`:
a sum of sigmoids cannot fall below 1/2 after the outer sigmoid, so the inner ones on g and l go and
A = 1 + tanh(a_g g + a_l l) with both scales 0 at the start (the gate is the identity there, it can close
and it can amplify); ReLU stands between HIFA's convolutions and before conv6; conv5 follows the mean, with
which it commutes; MFA follows batch norm, which would undo a constant gain; convolutions before batch norm
have no bias. Ours in both presets: any number of modalities, 3D, timm networks, records (a row is a map
without space, so all three P give the row itself), a missing modality (the sums leave it out and grow by
M / present), `squeeze` (HIFA and the convolutions work on C / squeeze channels, and l = v2).
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from studykit.case import Modality, Schema
from studykit.catalog import InputError, unknown
from studykit.models.norm import BatchNorm
from studykit.models.stages import Stages, table_stages, timm_stages
from studykit.models.streams import Streams
from studykit.models.taps import Tap

PRESETS = ("repaired", "faithful")
GATES = ("learned", "random", "constant")
CONV = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)  # by the dimensions of space


def conv1(channels: int, width: int, dims: int) -> nn.Module:
    """A 1x1 convolution in `dims` dimensions; a linear layer where there is no space."""
    return CONV[dims](channels, width) if not dims else CONV[dims](channels, width, 1)


class ChannelGate(nn.Module):
    """What MFA and MIFA share: A from g and l, (B, C) each."""

    def __init__(self, channels: int, preset: str, says: str):
        super().__init__()
        self.faithful = preset == "faithful"
        start = 1.0 if self.faithful else 0.0
        self.global_scale = nn.Parameter(torch.full((1,), start))
        self.local_scale = nn.Parameter(torch.full((channels,), start))
        span = "never below 1/2" if self.faithful else "1 leaves the channel as it is"
        self.tap = Tap(f"{says}; {span}")

    def squash(self, x: Tensor) -> Tensor:
        """The inner nonlinearity of g and l."""
        return torch.sigmoid(x) if self.faithful else x

    def between(self, x: Tensor) -> Tensor:
        """The nonlinearity between convolutions."""
        return torch.sigmoid(x) if self.faithful else torch.relu(x)

    def gate(self, g: Tensor, l: Tensor) -> Tensor:  # noqa: E741
        """g, l (B, C) to A (B, C)."""
        x = self.global_scale * g + self.local_scale * l
        return self.tap(torch.sigmoid(x) if self.faithful else 1 + torch.tanh(x))


class MultiBranchFusionAttention(ChannelGate):
    """MFA: (B, C, *space) to the same shape; 8 C^2 + 9 C + 1 parameters without `squeeze`."""

    def __init__(self, channels: int, dims: int = 2, preset: str = "faithful", squeeze: int = 1):
        super().__init__(channels, preset, "MFA: what each channel is multiplied with")
        few = max(1, channels // squeeze)
        self.squeezed = squeeze > 1
        self.global_conv1 = conv1(channels, few, dims)
        self.global_conv2 = conv1(few, few, dims)
        self.global_conv3 = conv1(few, few, dims)
        self.global_conv4 = conv1(few, few, dims)
        self.global_attention = nn.Linear(2 * few, channels)
        self.local_conv1 = conv1(channels, few, dims)
        self.local_conv2 = conv1(few, channels, dims)
        self.alpha = nn.Parameter(torch.ones(channels))

    def forward(self, f: Tensor) -> Tensor:
        """Weigh the channels of F."""
        space = [1] * (f.ndim - 2)
        u1 = self.between(self.global_conv1(f))  # (B, C, *space)
        u2 = self.between(self.global_conv2(u1))
        u3 = self.between(self.global_conv3(u1 + u2))
        u4 = self.between(self.global_conv4(u3))
        p, q = _mean(u1) + _max(u2), _mean(u3) + _max(u4)  # (B, C)
        g = self.squash(self.global_attention(torch.cat([p, q], dim=1)))
        if self.faithful:
            v1 = _mean(torch.sigmoid(self.local_conv1(f)))
        else:
            v1 = self.local_conv1(_mean(f).view(*f.shape[:2], *space)).flatten(1)
        v2 = self.local_conv2(self._before_v2(v1).view(*v1.shape, *space)).flatten(1)
        v2 = self.squash(v2)
        a = self.gate(g, v2 if self.squeezed else v1 + v2)
        return f * (a * self.alpha).view(*a.shape, *space)

    def _before_v2(self, v1: Tensor) -> Tensor:
        return v1 if self.faithful else torch.relu(v1)


class MultimodalInformationFusionAttention(ChannelGate):
    """MIFA over M modalities with C channels each; 3 C^2 + 6 C + 1 parameters for two.

    dims: of space, by modality; sizes may differ. Called with maps (B, C, *space) and the modalities'
    weights (B, M) or None; gives the maps, all multiplied with one gate.
    """

    def __init__(
        self, channels: int, dims: tuple[int, ...] = (2, 2), preset: str = "faithful", squeeze: int = 1
    ):
        super().__init__(channels, preset, "MIFA: what each channel of every modality is multiplied with")
        few = max(1, channels // squeeze)
        self.global_attention = _squeezed(channels, few) if squeeze > 1 else nn.Linear(channels, channels)
        self.local_convs = nn.ModuleList(conv1(channels, few, d) for d in dims)
        self.expand = nn.Linear(few, channels) if squeeze > 1 else nn.Identity()
        self.alphas = nn.ParameterList(torch.ones(channels) for _ in dims)

    def forward(self, maps: list[Tensor], weight: Tensor | None = None) -> list[Tensor]:
        """Weigh the channels of all maps alike."""
        if any(f.shape[1] != maps[0].shape[1] for f in maps):
            widths = " and ".join(str(f.shape[1]) for f in maps)
            raise InputError(f"MIFA shares one gate, so all maps need equal channels, not {widths}.")
        weights = [None] * len(maps) if weight is None else weight.unbind(dim=1)
        g = l = 0  # noqa: E741
        sums = sum(_weighted(_poolings(f), w) for f, w in zip(maps, weights, strict=True))  # (3, B, C)
        g = self.squash(self.global_attention(sums)).sum(dim=0)
        for f, conv, w in zip(maps, self.local_convs, weights, strict=True):
            local = conv(f)
            l = l + _weighted(_poolings(torch.sigmoid(local) if self.faithful else local), w)  # noqa: E741
        a = self.gate(g, self.expand(l.sum(dim=0)))
        return [
            f * (a * alpha).view(*a.shape, *[1] * (f.ndim - 2))
            for f, alpha in zip(maps, self.alphas, strict=True)
        ]


class RobustResidualAttentionBlock(nn.Module):
    """RRA: relu(b(b'(F)) + shortcut(F)), b a 3x3 convolution with MFA and batch norm.

    (B, C, *space) to (B, width, *space / stride). MFA stands before batch norm in the faithful preset,
    after it in the repaired one; `mfa` None leaves a plain residual block.
    """

    def __init__(self, channels, width, stride=1, dims=2, preset="faithful", squeeze=1, mfa=True):
        super().__init__()
        self.faithful = preset == "faithful"

        def attention():
            made = MultiBranchFusionAttention(width, dims, preset, squeeze)
            return made if mfa else nn.Identity()

        self.conv1 = _conv(channels, width, 3, stride, dims, preset)
        self.mfa1, self.bn1 = attention(), _norm(width, preset)
        self.conv2 = _conv(width, width, 3, 1, dims, preset)
        self.mfa2, self.bn2 = attention(), _norm(width, preset)
        self.shortcut_conv = self.shortcut_bn = nn.Identity()
        if stride != 1 or channels != width:
            self.shortcut_conv = _conv(channels, width, 1, stride, dims, preset)
            self.shortcut_bn = _norm(width, preset)

    def forward(self, f: Tensor) -> Tensor:
        """One block."""
        y = self._gated(self.conv1(f), self.mfa1, self.bn1)
        y = self._gated(self.conv2(torch.relu(y)), self.mfa2, self.bn2)
        return torch.relu(y + self.shortcut_bn(self.shortcut_conv(f)))

    def _gated(self, y: Tensor, mfa: nn.Module, norm: nn.Module) -> Tensor:
        return norm(mfa(y)) if self.faithful else mfa(norm(y))


class Stem(nn.Module):
    """Convolution 7x7 of stride 2, MFA and batch norm, ReLU, max-pooling 3x3 of stride 2."""

    def __init__(self, channels, width, dims=2, preset="faithful", squeeze=1, mfa=True):
        super().__init__()
        self.faithful = preset == "faithful"
        self.conv = _conv(channels, width, 7, 2, dims, preset)
        self.mfa = MultiBranchFusionAttention(width, dims, preset, squeeze) if mfa else nn.Identity()
        self.bn = _norm(width, preset)
        self.pool = SamePadded((nn.MaxPool2d, nn.MaxPool3d)[dims - 2](3, 2), 3, 2, dims, -torch.inf)
        if not self.faithful:
            self.pool = (nn.MaxPool2d, nn.MaxPool3d)[dims - 2](3, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, *space) to (B, width, *space / 4)."""
        y = self.conv(x)
        y = self.bn(self.mfa(y)) if self.faithful else self.mfa(self.bn(y))
        return self.pool(torch.relu(y))


class SamePadded(nn.Module):
    """Keras' padding "same": as much as gives ceil(n / stride), the smaller half first."""

    def __init__(self, layer: nn.Module, kernel: int, stride: int, dims: int, value: float = 0.0):
        super().__init__()
        self.layer, self.kernel, self.stride, self.dims, self.value = layer, kernel, stride, dims, value

    def forward(self, x: Tensor) -> Tensor:
        """Pad (B, C, *space), then the layer."""
        pads = []
        for size in reversed(x.shape[-self.dims :]):
            whole = max((-(-size // self.stride) - 1) * self.stride + self.kernel - size, 0)
            pads += [whole // 2, whole - whole // 2]
        return self.layer(F.pad(x, pads, value=self.value) if any(pads) else x)


class DRIFANet(Streams, name="drifa"):
    """Settings:

    preset: see the file. backbone: "own" (the paper's ResNet-18 layout, from scratch) or a timm network,
    whose last four stages then carry one MFA and one MIFA each; weights, frozen: of that network.
    widths, depths: of the own layout, for volumes too. dropout: also what Monte-Carlo dropout draws.
    mfa, mifa: leave either attention out. gate: "learned", "random" (frozen at its start) or
    "constant" (1 everywhere). squeeze: work on C / squeeze channels inside the attention (light: 8).
    """

    paper = "Dhar et al. 2025 (WACV)"
    shows = "which channels each gate lets pass, by stage and modality (no place in the picture)"

    def __init__(
        self,
        schema: Schema,
        *,
        preset: str = "repaired",
        backbone: str = "own",
        weights: str = "scratch",
        frozen: bool = False,
        widths: tuple[int, ...] = (64, 128, 256, 512),
        depths: tuple[int, ...] = (2, 2, 2, 2),
        dropout: float = 0.25,
        mfa: bool = True,
        mifa: bool = True,
        gate: str = "learned",
        squeeze: int = 1,
    ):
        check_choice("preset of the model drifa", preset, PRESETS)
        check_choice("gate", gate, GATES)
        mfa, mifa = mfa and gate != "constant", mifa and gate != "constant"
        layout = {"preset": preset, "squeeze": squeeze, "mfa": mfa}
        stages, channels = all_stages(schema, backbone, weights, frozen, widths, depths, layout)
        for name, made in stages.items():
            parts = [
                self._part(part, k, len(channels), made, backbone == "own", dropout, layout)
                for k, part in enumerate(made.parts)
            ]
            stages[name] = Stages(tuple(parts), made.channels, made.dims)
        dims = tuple(made.dims for made in stages.values())
        exchanges = [
            MultimodalInformationFusionAttention(c, dims, preset, squeeze) if mifa else Unchanged()
            for c in channels
        ]
        super().__init__(schema, stages, exchanges, dropout)
        if preset == "faithful" and backbone == "own":
            self.apply(_glorot)
        if gate == "random":
            for module in self.modules():
                if isinstance(module, ChannelGate):
                    module.requires_grad_(False)

    @staticmethod
    def _part(part, k, count, made, own, dropout, layout) -> nn.Sequential:
        """A stage with what the paper puts behind it: dropout but for the last two, MFA but for the last.

        A timm network has no MFA inside, so its last stage has one behind it, too.
        """
        drop = nn.Dropout(dropout) if own and k < count - 2 else nn.Identity()
        extra = nn.Identity()
        if layout["mfa"] and made.dims and (k < count - 1 or not own):
            extra = MultiBranchFusionAttention(
                made.channels[k], made.dims, layout["preset"], layout["squeeze"]
            )
        return nn.Sequential(part, drop, extra)


class Unchanged(nn.Module):
    """An exchange that passes nothing."""

    def forward(self, maps: list[Tensor], weight: Tensor | None = None) -> list[Tensor]:
        """The maps."""
        return maps


def all_stages(schema, backbone, weights, frozen, widths, depths, layout) -> tuple[dict, tuple[int, ...]]:
    """{modality: Stages} of one network layout for all modalities, and their channels by stage.

    Raises InputError where widths and depths do not fit each other.
    """
    if len(widths) != len(depths) or not all(depths):
        raise InputError(
            f"'widths' names {len(widths)} stages and 'depths' {len(depths)}; give both one number a stage."
        )
    found: dict[str, Stages] = {}
    channels = tuple(width for width, depth in zip(widths, depths, strict=True) for _ in range(depth))
    if backbone != "own":
        for m in schema.modalities:
            if m.kind == "image":
                found[m.name] = timm_stages(m.shape, backbone, weights, frozen)
                channels = found[m.name].channels
    for m in schema.modalities:
        if m.kind == "table":
            found[m.name] = table_stages(m.shape[0], channels)
        elif m.name not in found:
            found[m.name] = own_stages(m, channels, layout)
    return {m.name: found[m.name] for m in schema.modalities}, channels


def own_stages(modality: Modality, channels: tuple[int, ...], layout: dict) -> Stages:
    """The paper's layout: a stem, then one residual block a stage, of stride 2 where channels grow."""
    dims = len(modality.shape) - 1
    parts, before = [], channels[0]
    for width in channels:
        stride = 1 if width == before else 2
        parts.append(RobustResidualAttentionBlock(before, width, stride, dims, **layout))
        before = width
    parts[0] = nn.Sequential(Stem(modality.shape[0], channels[0], dims, **layout), parts[0])
    return Stages(tuple(parts), channels, dims)


def check_choice(what: str, given: str, known: tuple[str, ...]) -> None:
    """InputError, with the nearest names, where `given` is none of `known`."""
    if given not in known:
        raise InputError(unknown(what, given, known))


def _conv(channels, width, kernel, stride, dims, preset) -> nn.Module:
    if preset == "faithful":
        conv = CONV[dims](channels, width, kernel, stride)
        return SamePadded(conv, kernel, stride, dims)
    return CONV[dims](channels, width, kernel, stride, kernel // 2, bias=False)


def _norm(width: int, preset: str) -> nn.Module:
    return BatchNorm(width, eps=1e-3, momentum=0.01) if preset == "faithful" else BatchNorm(width)


def _glorot(module: nn.Module) -> None:
    """Keras' initialisation."""
    if isinstance(module, CONV):
        nn.init.xavier_uniform_(module.weight)
        nn.init.zeros_(module.bias)


def _squeezed(channels: int, few: int) -> nn.Module:
    return nn.Sequential(nn.Linear(channels, few), nn.Linear(few, channels))


def _mean(f: Tensor) -> Tensor:
    return f.flatten(2).mean(dim=2)


def _max(f: Tensor) -> Tensor:
    return f.flatten(2).amax(dim=2)


def _poolings(f: Tensor) -> Tensor:
    """Minimum, mean and maximum over space, (3, B, C); a row (B, C) is all three."""
    if f.ndim == 2:
        return f.expand(3, -1, -1)
    flat = f.flatten(2)
    return torch.stack([flat.amin(dim=2), flat.mean(dim=2), flat.amax(dim=2)])


def _weighted(x: Tensor, weight: Tensor | None) -> Tensor:
    return x if weight is None else x * weight[:, None]  # (3, B, C) * (B, 1)
