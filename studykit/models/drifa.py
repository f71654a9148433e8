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
M / present), `squeeze` (one 1x1 convolution brings F to C / squeeze channels, the attention works on these,
and one linear layer brings a_g g + a_l l back to C).
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from studykit.case import Modality, Schema
from studykit.catalog import InputError, check_choice
from studykit.models.norm import BatchNorm
from studykit.models.stages import Stages, table_stages, text_stages, timm_stages
from studykit.models.streams import Streams
from studykit.models.taps import Tap

PRESETS = ("repaired", "faithful")
GATES = ("learned", "random", "constant")
MFA = ("all", "stage", "none")
CONV = {2: nn.Conv2d, 3: nn.Conv3d}  # by the dimensions of space


class Pointwise(nn.Linear):
    """A 1x1 convolution over maps whose space is flat: (B, C) or (B, C, N) to (B, width[, N])."""

    def forward(self, x: Tensor) -> Tensor:
        """As one matrix product, which is two to four times as fast as torch's convolution."""
        if x.ndim == 2:
            return super().forward(x)
        return torch.baddbmm(self.bias[:, None], self.weight.expand(len(x), -1, -1), x)


class ChannelGate(nn.Module):
    """What MFA and MIFA share: A (B, C) from g and l, on C / squeeze channels until the last moment."""

    def __init__(self, channels: int, preset: str, squeeze: int, says: str):
        super().__init__()
        self.faithful, self.few = preset == "faithful", max(1, channels // squeeze)
        start = 1.0 if self.faithful else 0.0
        self.global_scale = nn.Parameter(torch.full((1,), start))
        self.local_scale = nn.Parameter(torch.full((self.few,), start))
        self.expand = nn.Linear(self.few, channels, bias=False) if squeeze > 1 else nn.Identity()
        span = "never below 1/2" if self.faithful else "1 leaves the channel as it is"
        self.tap = Tap(f"{says}; {span}")

    def squash(self, x: Tensor) -> Tensor:
        """The inner nonlinearity of g and l."""
        return torch.sigmoid(x) if self.faithful else x

    def between(self, x: Tensor) -> Tensor:
        """The nonlinearity between convolutions."""
        return torch.sigmoid(x) if self.faithful else torch.relu(x)

    def gate(self, g: Tensor, l: Tensor) -> Tensor:  # noqa: E741
        """g, l (B, C / squeeze) to A (B, C)."""
        x = self.expand(self.global_scale * g + self.local_scale * l)
        return self.tap(torch.sigmoid(x) if self.faithful else 1 + torch.tanh(x))


class MultiBranchFusionAttention(ChannelGate):
    """MFA: (B, C, *space) to the same shape; 8 C^2 + 9 C + 1 parameters without `squeeze`."""

    def __init__(self, channels: int, preset: str = "faithful", squeeze: int = 1):
        super().__init__(channels, preset, squeeze, "MFA: what each channel is multiplied with")
        few = self.few
        self.reduce = Pointwise(channels, few) if squeeze > 1 else nn.Identity()
        self.global_conv1, self.global_conv2 = Pointwise(few, few), Pointwise(few, few)
        self.global_conv3, self.global_conv4 = Pointwise(few, few), Pointwise(few, few)
        self.global_attention = nn.Linear(2 * few, few)
        self.local_conv1, self.local_conv2 = Pointwise(few, few), Pointwise(few, few)
        self.alpha = nn.Parameter(torch.ones(channels))

    def forward(self, f: Tensor) -> Tensor:
        """Weigh the channels of F."""
        flat = self.reduce(f.flatten(2))  # (B, C / squeeze, N)
        u1 = self.between(self.global_conv1(flat))
        u2 = self.between(self.global_conv2(u1))
        u3 = self.between(self.global_conv3(u1 + u2))
        u4 = self.between(self.global_conv4(u3))
        p, q = _mean(u1) + _max(u2), _mean(u3) + _max(u4)  # (B, C / squeeze)
        g = self.squash(self.global_attention(torch.cat([p, q], dim=1)))
        if self.faithful:
            v1 = _mean(torch.sigmoid(self.local_conv1(flat)))
            v2 = torch.sigmoid(self.local_conv2(v1))
        else:
            v1 = self.local_conv1(_mean(flat))
            v2 = self.local_conv2(torch.relu(v1))
        return f * _like(self.gate(g, v1 + v2) * self.alpha, f)


class MultimodalInformationFusionAttention(ChannelGate):
    """MIFA over M modalities with C channels each; 3 C^2 + 6 C + 1 parameters for two.

    Called with maps (B, C, *space) or rows (B, C), whose sizes may differ, and the modalities' weights
    (B, M) or None; gives them back, all multiplied with one gate.
    """

    def __init__(self, channels: int, modalities: int = 2, preset: str = "faithful", squeeze: int = 1):
        says = "MIFA: what each channel of every modality is multiplied with"
        super().__init__(channels, preset, squeeze, says)
        few, many = self.few, range(modalities)
        self.reduce = nn.ModuleList(Pointwise(channels, few) if squeeze > 1 else nn.Identity() for _ in many)
        self.global_attention = nn.Linear(few, few)
        self.local_convs = nn.ModuleList(Pointwise(few, few) for _ in many)
        self.alphas = nn.ParameterList(torch.ones(channels) for _ in many)

    def forward(self, maps: list[Tensor], weight: Tensor | None = None) -> list[Tensor]:
        """Weigh the channels of all maps alike."""
        if any(f.shape[1] != maps[0].shape[1] for f in maps):
            widths = " and ".join(str(f.shape[1]) for f in maps)
            raise InputError(f"MIFA shares one gate, so all maps need equal channels, not {widths}.")
        weights = [None] * len(maps) if weight is None else weight.unbind(dim=1)
        sums = l = 0  # noqa: E741
        for f, reduce, conv, w in zip(maps, self.reduce, self.local_convs, weights, strict=True):
            flat = reduce(f.flatten(2) if f.ndim > 2 else f)  # (B, C / squeeze, N) or (B, C / squeeze)
            local = conv(flat)
            sums = sums + _weighted(_poolings(flat), w)  # (3, B, C / squeeze)
            l = l + _weighted(_poolings(torch.sigmoid(local) if self.faithful else local), w)  # noqa: E741
        g = self.squash(self.global_attention(sums)).sum(dim=0)
        a = self.gate(g, l.sum(dim=0))
        return [f * _like(a * alpha, f) for f, alpha in zip(maps, self.alphas, strict=True)]


class RobustResidualAttentionBlock(nn.Module):
    """RRA: relu(b(b'(F)) + shortcut(F)), b a 3x3 convolution with MFA and batch norm.

    (B, C, *space) to (B, width, *space / stride). MFA stands before batch norm in the faithful preset,
    after it in the repaired one; without `mfa` it is a plain residual block.
    """

    def __init__(self, channels, width, stride=1, dims=2, preset="faithful", squeeze=1, mfa=True):
        super().__init__()
        self.faithful = preset == "faithful"

        def attention():
            made = MultiBranchFusionAttention(width, preset, squeeze)
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
        self.mfa = MultiBranchFusionAttention(width, preset, squeeze) if mfa else nn.Identity()
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
    mfa: "all" (in each block and after each stage), "stage" (only after each stage) or "none".
    mifa: false leaves it out. squeeze: the attention works on C / squeeze channels; light: mfa "stage" and
    squeeze 8. gate: "learned", "random" (frozen at its start) or "constant" (1 everywhere).
    """

    paper = "Dhar et al. 2025 (WACV)"
    shows = "which channels each gate lets pass, by stage and modality; no place"

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
        mfa: str = "all",
        mifa: bool = True,
        gate: str = "learned",
        squeeze: int = 1,
    ):
        check_choice("preset of the model drifa", preset, PRESETS)
        check_choice("gate", gate, GATES)
        check_choice("mfa of the model drifa", mfa, MFA)
        if squeeze < 1:
            raise InputError(f"'squeeze' of the model drifa is 1 or more, not {squeeze}; light is 8.")
        mfa, mifa = ("none", False) if gate == "constant" else (mfa, mifa)
        layout = {"preset": preset, "squeeze": squeeze, "mfa": mfa == "all"}
        stages, channels = all_stages(schema, backbone, weights, frozen, widths, depths, layout)
        for name, made in stages.items():
            parts = [
                self._part(part, k, made, backbone == "own", dropout, layout, mfa != "none")
                for k, part in enumerate(made.parts)
            ]
            stages[name] = Stages(tuple(parts), made.channels, made.dims)
        exchanges = [
            MultimodalInformationFusionAttention(c, len(stages), preset, squeeze) if mifa else Unchanged()
            for c in channels
        ]
        super().__init__(schema, stages, exchanges, dropout)
        if preset == "faithful" and backbone == "own":
            self.apply(_glorot)
        self.frozen_gates = gate == "random"
        for module in self.modules() if self.frozen_gates else ():
            if isinstance(module, ChannelGate):
                module.requires_grad_(False)
                module.global_scale.fill_(1.0), module.local_scale.fill_(1.0)  # else repaired gates are 1

    def dead_parameters(self) -> tuple[str, ...]:
        """Those of gates that stay at their random start."""
        if not self.frozen_gates:
            return ()
        gates = {name: m for name, m in self.named_modules() if isinstance(m, ChannelGate)}
        return tuple(f"{gate}.{name}" for gate, m in gates.items() for name, _ in m.named_parameters())

    @staticmethod
    def _part(part, k, made, own, dropout, layout, gated) -> nn.Sequential:
        """A stage with what the paper puts behind it: dropout but for the last two, MFA but for the last.

        A timm network has no MFA inside, so its last stage has one behind it, too.
        """
        count, extra = len(made.parts), nn.Identity()
        drop = nn.Dropout(dropout) if own and k < count - 2 else nn.Identity()
        if gated and made.dims and (k < count - 1 or not own):
            extra = MultiBranchFusionAttention(made.channels[k], layout["preset"], layout["squeeze"])
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
        elif m.kind == "text":
            found[m.name] = text_stages(m, channels)
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


def _conv(channels, width, kernel, stride, dims, preset) -> nn.Module:
    if preset == "faithful":
        conv = CONV[dims](channels, width, kernel, stride)
        return SamePadded(conv, kernel, stride, dims)
    return CONV[dims](channels, width, kernel, stride, kernel // 2, bias=False)


def _norm(width: int, preset: str) -> nn.Module:
    return BatchNorm(width, eps=1e-3, momentum=0.01) if preset == "faithful" else BatchNorm(width)


def _glorot(module: nn.Module) -> None:
    """Keras' initialisation."""
    if isinstance(module, nn.Linear | nn.Conv2d | nn.Conv3d):
        nn.init.xavier_uniform_(module.weight)
        nn.init.zeros_(module.bias)


def _mean(flat: Tensor) -> Tensor:
    return flat.mean(dim=2)


def _max(flat: Tensor) -> Tensor:
    return flat.max(dim=2).values  # its slope costs a third of amax'


def _poolings(flat: Tensor) -> Tensor:
    """Minimum, mean and maximum over space, (3, B, C); a row (B, C) is all three."""
    if flat.ndim == 2:
        return flat.expand(3, -1, -1)
    return torch.stack([flat.min(dim=2).values, _mean(flat), _max(flat)])


def _like(a: Tensor, f: Tensor) -> Tensor:
    """A gate (B, C) in the dimensions of a map (B, C, *space)."""
    return a.view(*a.shape, *[1] * (f.ndim - 2))


def _weighted(x: Tensor, weight: Tensor | None) -> Tensor:
    return x if weight is None else x * weight[:, None]  # (3, B, C) * (B, 1)
