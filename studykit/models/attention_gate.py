"""Attention gate: small windows of a picture decide how much each place of the whole view counts.

    Fg = global network (B, C, *S), Fl = BagNet (B, C', *S'), pg and pl their means over space, r the record
    g~ = Fl resized to S        a = sigma( psi( relu( theta Fg + phi g~ + rho r ) ) )        (B, 1, *S)
    Y  = norm( W (a . Fg) )     U = norm1(Y)     V = norm2( FF(U) ),  FF two 1x1 convolutions
    z_fusion = L [pg ; pl ; V ; r]      z_global = L_g pg      z_local = L_l pl
    loss = .4 fusion + .3 global + .3 local;  with `residual`: U = norm1(Fg + Y), V = norm2(U + FF(U))

Instead of the gate: Y = relu( one of m ), m = [Fg ; g~] (concat, or cross_attention, where g~ is fetched from
Fl by softmax(Q K) instead of resized), Fg . g~ (product) or Fg + g~ (sum).

Reference: Abbaspour Onari et al. 2025, Multimodal Attention-Aware Fusion for Diagnosing Distal Myopathy,
arXiv 2508.01316; the gate of Schlemper et al. 2019, Medical Image Analysis 53.

Departures from the authors' code. Both presets: every parameter exists from the start, one forward pass gives
logits and coefficients, and the tap passes the coefficients a, not the gated map. The record (rho r, and r in
the head), a second picture for the local network, volumes, `sum` and `cross_attention` are ours; so is that a
picture too small for the last stage (a map of one place: nothing to weigh) is gated at the stage before.
"faithful" keeps that the fusion branch stayed at its random start, because no optimiser held it (gate
"random"), and the head over every place of V (flatten). "repaired" trains the branch, takes V's mean (gap),
normalises for the backbone (theirs: .5 and .5), lets the BagNet stem's batch norm follow at momentum .1
(theirs: .001), and leaves out what a batch norm undoes (the gate's own norm before norm1, biases before one).
Baselines for the comparison that the paper lacks: gate "random" and "constant", and the other fusions.
"""

import math
from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from studykit.case import Modality, Schema
from studykit.catalog import InputError, check_choice
from studykit.models.bagnet import CONV, HALF, evidence, local_network
from studykit.models.encoders import Columns, Encoder, LastMap, MapEncoder, Normalise, Residual, TimmEncoder
from studykit.models.fusion import FusionModel, Head, pooled
from studykit.models.norm import BatchNorm
from studykit.models.taps import Tap, taps
from studykit.models.words import Words

FUSIONS = ("gate", "concat", "product", "sum", "cross_attention")
GATES = ("learned", "random", "constant")
DECIDED = ("backbone", "local_widths", "gate", "head")
PRESETS = {
    "faithful": ("resnet50", (64, 128, 256, 512), "random", "flatten"),
    "repaired": ("resnet18", (16, 32, 64, 128), "learned", "gap"),
}


def resized(g: Tensor, like: Tensor) -> Tensor:
    """Map g (B, C', *S') at the size of `like` (B, C, *S), corner on corner: (B, C', *S)."""
    mode = {2: "bilinear", 3: "trilinear"}[like.ndim - 2]
    return F.interpolate(g, like.shape[2:], mode=mode, align_corners=True)


class AttentionGate(nn.Module):
    """a = sigma(psi(relu(theta x + phi g~ + rho r))); out = norm(W (a . x)).

    x (B, in_channels, *S), g (B, gating_channels, *S'), r (B, record) or None give out (B, out_channels, *S)
    and the coefficients alpha (B, 1, *S). norm: "batch" or "none". constant: alpha is 1 everywhere.
    """

    def __init__(
        self,
        in_channels: int,
        gating_channels: int,
        inter_channels: int | None = None,
        out_channels: int | None = None,
        spatial_dims: int = 2,
        norm: str = "batch",
        *,
        bias: bool = True,
        record: int = 0,
        constant: bool = False,
    ):
        super().__init__()
        check_choice("norm of the attention gate", norm, ("batch", "none"))
        conv, inter = CONV[spatial_dims], inter_channels or in_channels
        out = out_channels or inter
        self.constant = constant
        if not constant:
            self.theta = conv(in_channels, inter, 1, bias=False)
            self.phi = conv(gating_channels, inter, 1)
            self.rho = nn.Linear(record, inter, bias=False) if record else None
            self.psi = conv(inter, 1, 1)
        self.alpha = Tap("how much each place of the global map counts, from 0 to 1", "places")
        self.W = conv(in_channels, out, 1, bias=bias)
        self.norm = BatchNorm(out) if norm == "batch" else nn.Identity()

    def forward(self, x: Tensor, g: Tensor, r: Tensor | None = None) -> tuple[Tensor, Tensor]:  # noqa: D102
        alpha = self.alpha(self._coefficients(x, g, r))  # (B, 1, *S)
        return self.norm(self.W(alpha * x)), alpha

    def _coefficients(self, x: Tensor, g: Tensor, r: Tensor | None) -> Tensor:
        if self.constant:
            return torch.ones_like(x[:, :1])
        together = self.theta(x) + self.phi(resized(g, x))
        if self.rho is not None:
            together = together + self.rho(r).view(*together.shape[:2], *[1] * (x.ndim - 2))
        return torch.sigmoid(self.psi(torch.relu(together)))


class Fetch(nn.Module):
    """Every place u of x asks all places v of g: g~_u = sum_v A_uv g_v, A = softmax_v(q_u . k_v / sqrt d).

    x (B, in_channels, *S), g (B, C', *S') give g~ (B, C', *S).
    """

    def __init__(self, conv: type, in_channels: int, gating_channels: int, inter: int):
        super().__init__()
        self.query = conv(in_channels, inter, 1)
        self.key = conv(gating_channels, inter, 1, bias=False)  # a bias would fall out of the softmax
        says = "how much each place of the global map (rows) takes from each window (columns)"
        self.alpha = Tap(says, "tokens")

    def forward(self, x: Tensor, g: Tensor) -> Tensor:  # noqa: D102
        q, k = self.query(x).flatten(2), self.key(g).flatten(2)  # (B, d, N), (B, d, N')
        weights = self.alpha((q.transpose(1, 2) @ k / math.sqrt(q.shape[1])).softmax(dim=2))  # (B, N, N')
        return (g.flatten(2) @ weights.transpose(1, 2)).view(*g.shape[:2], *x.shape[2:])


class Mixture(nn.Module):
    """Y = dropout(relu(one of m)), m = [x ; g~], x . g~ or x + g~; see the file's docstring.

    x (B, C, *S), g (B, C', *S') give Y (B, C, *S). Where C' is not C, product and sum bring g~ to C first.
    """

    def __init__(self, fusion, in_channels, gating_channels, inter, spatial_dims, dropout):
        super().__init__()
        conv, beside = CONV[spatial_dims], fusion in ("concat", "cross_attention")
        self.fusion, self.match = fusion, nn.Identity()
        if fusion == "cross_attention":
            self.fetch = Fetch(conv, in_channels, gating_channels, inter)
        if not beside and gating_channels != in_channels:
            self.match = conv(gating_channels, in_channels, 1, bias=False)
        self.one = conv(in_channels + gating_channels if beside else in_channels, in_channels, 1)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, g: Tensor) -> Tensor:  # noqa: D102
        g = self.match(self.fetch(x, g) if self.fusion == "cross_attention" else resized(g, x))
        mixed = {"product": torch.mul, "sum": torch.add}.get(self.fusion)
        m = mixed(x, g) if mixed else torch.cat([x, g], dim=1)  # (B, C or C + C', *S)
        return self.dropout(torch.relu(self.one(m)))


class FusionEncoder(nn.Module):
    """V = norm2(FF(norm1(Y))), Y from the gate or a mixture; see the file's docstring for `residual`.

    x (B, channels, *S), g (B, gating_channels, *S'), r (B, record) or None give V (B, channels, *S).
    hidden: between the two convolutions of FF. lean: without what a batch norm would undo.
    """

    def __init__(
        self,
        channels: int,
        gating_channels: int,
        fusion: str = "gate",
        inter: int = 0,
        hidden: int = 0,
        residual: bool = False,
        dropout: float = 0.25,
        spatial_dims: int = 2,
        lean: bool = False,
        record: int = 0,
        constant: bool = False,
    ):
        super().__init__()
        conv, hidden, inter = CONV[spatial_dims], hidden or channels, inter or channels
        self.fusion, self.residual, self.lean = fusion, residual, lean
        if fusion == "gate":
            shape = (channels, gating_channels, inter, channels, spatial_dims, "none" if lean else "batch")
            self.mix = AttentionGate(*shape, bias=not lean, record=record, constant=constant)
        else:
            self.mix = Mixture(fusion, channels, gating_channels, inter, spatial_dims, dropout)
        self.norm1, self.norm2 = BatchNorm(channels), BatchNorm(channels)
        self.feed_forward = nn.Sequential(
            conv(channels, hidden, 1),
            nn.ReLU(),
            nn.Dropout(dropout),
            conv(hidden, channels, 1, bias=not lean),
        )

    def forward(self, x: Tensor, g: Tensor, r: Tensor | None = None) -> Tensor:  # noqa: D102
        y = self.mix(x, g, r)[0] if self.fusion == "gate" else self.mix(x, g)
        u = self.norm1(x + y if self.residual else y)
        v = self.feed_forward(u)
        return self.norm2(u + v if self.residual else v)

    def undone(self) -> tuple[str, ...]:
        """Biases that the batch norm behind them takes away again while training."""
        before = () if self.lean else ("feed_forward.3.bias",)
        gate = self.fusion == "gate" and not self.lean
        return (*before, "mix.W.bias", "mix.norm.bias") if gate else before


class AttentionGateFusion(FusionModel, name="attention_gate"):
    """The first picture (image or volume) goes to the global network, the second to the local one.

    Where there is one picture, both see it; records and texts join the gate's sum and the fusion head.

    preset: "repaired" or "faithful"; what it decides is "" or () in the other settings. backbone: a timm
    network, with `weights` and `frozen` as in the encoder timm. volume, table, text: encoders of those kinds.
    receptive_field, local_widths: of the BagNet. fusion: gate, concat, product, sum or cross_attention.
    gate: "learned"; "random": the whole fusion branch stays at its random start; "constant": alpha is 1.
    inter: the gate's inner width (0: the global map's). head: "gap" or "flatten". loss_weights: of the
    global, the local and the fusion head.
    """

    paper = "Abbaspour Onari et al. 2025 (arXiv)"
    shows = "how much each place of the global map counts, as the local network asks"

    def __init__(
        self,
        schema: Schema,
        *,
        preset: str = "repaired",
        backbone: str = "",
        weights: str = "scratch",
        frozen: bool = False,
        volume: Encoder = Residual(),
        table: Encoder = Columns(),
        text: Encoder = Words(),
        receptive_field: int = 33,
        local_widths: tuple[int, ...] = (),
        fusion: str = "gate",
        gate: str = "",
        inter: int = 0,
        residual: bool = False,
        head: str = "",
        dropout: float = 0.25,
        loss_weights: tuple[float, ...] = (0.3, 0.3, 0.4),
    ):
        super().__init__(schema)
        given = {"backbone": backbone, "local_widths": local_widths, "gate": gate, "head": head}
        chosen, faithful = settled(preset, given), preset == "faithful"
        self.gate, self.head = chosen["gate"], chosen["head"]
        _check(fusion, self.gate, self.head, loss_weights)
        makers = {"table": table, "text": text}
        pictures = [m for m in schema.modalities if m.kind not in makers]
        tables = [m for m in schema.modalities if m.kind in makers]
        whole, close = pictures[0], pictures[-1]
        self.whole, self.close, self.tables = whole.name, close.name, tuple(m.name for m in tables)
        if close is whole:
            self.close = f"{whole.name}_local"
            self.sources = {self.close: whole.name}
        local = local_network(close, receptive_field, chosen["local_widths"], 0.001 if faithful else 0.1)
        if whole.kind == "volume":
            net = _volume_network(whole, volume)
        else:
            net = _global_network(whole, chosen["backbone"], weights, frozen, faithful)
        rows = {m.name: makers[m.kind](m) for m in tables}
        self.encoders = nn.ModuleDict({self.whole: LastMap(net), self.close: LastMap(local), **rows})
        record = sum(row.width for row in rows.values())
        self.fusion = FusionEncoder(
            net.channels[-1], local.channels[-1], fusion, inter, residual=residual, dropout=dropout,
            spatial_dims=len(whole.shape) - 1, lean=not faithful, record=record,
            constant=self.gate == "constant",
        )  # fmt: skip
        for tap in taps(self.fusion).values():
            tap.weighs = (self.whole,) if tap.of == "places" else (self.close,)
        places = math.prod(map_sides(net, whole)) if self.head == "flatten" else 1
        self._make_heads(net.channels[-1], local.channels[-1], places, record, loss_weights)
        if self.gate == "random":
            for name in self.dead_parameters():
                self.get_parameter(name).requires_grad_(False)

    @classmethod
    def suits(cls, schema: Schema) -> str:  # noqa: D102
        reason = super().suits(schema)
        pictures = [m for m in schema.modalities if m.kind in ("image", "volume")]
        if reason or (len(pictures) in (1, 2) and len({m.kind for m in pictures}) == 1):
            return reason
        there = ", ".join(f"'{m.name}' ({m.kind})" for m in schema.modalities)
        return (
            f"The model {cls.name} takes one or two pictures, both images or both volumes, and the data set "
            f"has {there}; choose a data set with them, or the model 'concat'."
        )

    @classmethod
    def takes(cls) -> str:  # noqa: D102
        return "one or two images (or volumes), and tables and texts"

    def fuse(self, features: Mapping[str, Tensor]) -> dict[str, Tensor]:  # noqa: D102
        whole, close = features[self.whole], features[self.close]  # (B, C, *S), (B, C', *S')
        records = [features[name] for name in self.tables]
        v = self.fusion(whole, close, torch.cat(records, dim=1) if records else None)  # (B, C, *S)
        p_whole, p_close = pooled(whole), pooled(close)
        z = torch.cat([p_whole, p_close, v.flatten(1) if self.head == "flatten" else pooled(v), *records], 1)
        seen = {"": z, "_global": p_whole, "_local": p_close}
        return {
            f"{task.name}{part}": self.logits[f"{task.name}{part}"](seen[part])
            for task in self.schema.tasks
            for part in seen
        }

    def evidence_map(self, inputs: Mapping[str, Tensor], head: str = "") -> Tensor:
        """(B, K, *S') of a local head (by default the first task's); its mean over S' is that head's logit.

        Raises InputError for a head that is not local.
        """
        heads = [f"{task.name}_local" for task in self.schema.tasks]
        check_choice("local head", head or heads[0], heads)
        features = self.encode(inputs, without=set(self.encoders) - {self.close})
        return evidence(features[self.close], self.logits[head or heads[0]])

    def dead_parameters(self) -> tuple[str, ...]:  # noqa: D102
        if self.gate != "random":
            return tuple(f"fusion.{name}" for name in self.fusion.undone())
        heads = [f"logits.{task.name}.{part}" for task in self.schema.tasks for part in ("weight", "bias")]
        return (*[f"fusion.{name}" for name, _ in self.fusion.named_parameters()], *heads)

    def _make_heads(self, channels: int, windows: int, places: int, record: int, weights: tuple) -> None:
        whole, close, fused = weights
        everything = channels + windows + channels * places + record
        parts = {"": (fused, everything), "_global": (whole, channels), "_local": (close, windows)}
        pairs = [
            (Head(task.name + part, task, weight), width)
            for task in self.schema.tasks
            for part, (weight, width) in parts.items()
        ]
        self.heads = tuple(head for head, _ in pairs)
        self.logits = nn.ModuleDict({head.name: nn.Linear(n, head.task.outputs) for head, n in pairs})


def map_sides(net: MapEncoder, modality: Modality) -> tuple[int, ...]:
    """The sides S of the last map (1, C, *S) that `net` makes of this image or volume."""
    training = net.training
    net.eval()
    with torch.no_grad():
        sides = tuple(net.maps(torch.zeros(1, *modality.shape))[-1].shape[2:])
    net.train(training)
    return sides


def _global_network(modality: Modality, backbone: str, weights: str, frozen: bool, faithful: bool):
    """The last stage with more than one place a side gives the map to be gated."""
    for stage in (-1, -2, -3):
        net = TimmEncoder(modality.shape, backbone, weights, frozen, (stage,))
        if faithful:
            net.normalise = Normalise(modality.shape[0], HALF)
        if min(map_sides(net, modality)) > 1:
            break
    return net


def _volume_network(modality: Modality, volume: Encoder) -> MapEncoder:
    net = volume(modality) if "volume" in volume.suits else None
    if not isinstance(net, MapEncoder):
        raise InputError(f"The encoder '{volume.name}' makes no maps of volumes; choose 'residual'.")
    return net


def settled(preset: str, given: Mapping[str, object]) -> dict[str, object]:
    """The settings with what is empty in `given` as the preset has it."""
    check_choice("preset of the attention gate", preset, PRESETS)
    return {key: given[key] or value for key, value in zip(DECIDED, PRESETS[preset], strict=True)}


def _check(fusion: str, gate: str, head: str, loss_weights: tuple[float, ...]) -> None:
    choices = {"fusion": (fusion, FUSIONS), "gate": (gate, GATES), "head": (head, ("gap", "flatten"))}
    for what, (chosen, known) in choices.items():
        check_choice(f"{what} of the attention gate", chosen, known)
    if gate == "constant" and fusion != "gate":
        raise InputError(
            f"The fusion '{fusion}' has no gate to hold at 1; choose gate 'learned' or 'random'."
        )
    if len(loss_weights) != 3 or min(loss_weights) < 0:
        raise InputError(
            "The loss_weights are three numbers of 0 or more, for the global, the local and the fusion head, "
            f"not {tuple(loss_weights)}."
        )
