"""A scan and a record ask each other, at three levels of detail, what of the other matters to them.

MMCAF-Net. I image tokens (B, N, 24), T record tokens (B, M, 24), normalised; W_1, W_2 shared by both:

    I_1 = I,  I_2 = dropout(relu(W_1 I)) (24 to 12),  I_3 = dropout(relu(W_2 I)) (24 to 6);  T likewise
    CA_s(q, kv) = q + softmax((q W_q)(kv W_k)^T / sqrt(c)) (kv W_v),  c numbers a head
    scale s: oI = CA_s(I_s, T_s),  oT = CA_s(T_s, I_s),  O_s = (mean oI + mean oT) / 2, or [mean oI, mean oT]
             I_(s+1) += S_s oI,  T_(s+1) += S'_s oT
    BSF(x, y): x' = A x + a,  y' = C y + c,  e = softmax over features of x' * y',  out = (x' + y') * (1 + e)
    out = BSF(O_1, BSF(O_2, O_3)),  logits = W out + b

With one token a side (tokens="vector", as published) the softmax runs over one key and is 1: CA(q, kv) =
q + kv W_v whatever q and k are, a third of the fusion's parameters never move, and the mean O_1 depends on
I + T alone.

Reference: Yu et al., MMCAF-Net, MICCAI 2025, pp. 589-598, arXiv:2508.04205. The scan's encoder is in
`mmcaf_image`, the record's in `kan`.

Departures from the authors' code: preset "faithful" is its computation, with a head on the 24 numbers that
there are (theirs takes 48 and stops), for any number of classes, and with PENet's unused parts not built.
"repaired" gives attention something to choose among: a token for every place of the scan's last map and one
for every source column; the two directions stand side by side, as the paper says; LayerNorm replaces
BatchNorm, which cannot train on a last batch of one case; each scale has a spatial attention of its own; keys
have no bias, which the softmax would cancel; the record's splines reach 3 standard deviations. In both, the
small backbone is ours, freezing means evaluation mode too, and where one case gives one value a channel the
running statistics serve (theirs stops).
"""

import math
import re
import warnings
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from studykit.case import Modality, Schema
from studykit.catalog import InputError, check_choice
from studykit.models.encoders import MapEncoder, ResidualEncoder
from studykit.models.fusion import FusionModel
from studykit.models.kan import KanEncoder, TabEncoder
from studykit.models.mmcaf_image import PENet, PyramidImageEncoder3d
from studykit.models.norm import BatchNorm
from studykit.models.taps import Tap, taps

PRESETS = {
    "repaired": {"tokens": "sequence", "merge": "concat", "norm": "layer", "shared": False, "reach": 3.0},
    "faithful": {"tokens": "vector", "merge": "mean", "norm": "batch", "shared": True, "reach": 1.0},
}
NORMS = {"batch": BatchNorm, "layer": nn.LayerNorm}
HALVED = {"small": (2, 3, 3), "penet": (3, 4, 4)}  # how often a backbone halves D, H and W
CHOICES = {
    "preset": PRESETS,
    "tokens": ("vector", "sequence"),
    "merge": ("mean", "concat"),
    "reduce": ("parallel", "consecutive"),
    "norm": NORMS,
    "backbone": HALVED,
    "table": ("kan", "mlp"),
    "residual": ("projected", "raw"),
    "joining": ("sum", "concat"),
}
ONE_TOKEN = (
    "With tokens='vector' each modality is one token, so the softmax over one key is always 1: attention "
    "over one token is a linear map and its weights show nothing; choose tokens='sequence' to let it choose."
)


class CrossAttention(nn.Module):
    """query (B, N, dim), context (B, M, context_dim) to (B, N, dim), the query added.

    key_bias: as the authors have it; the softmax cancels it.
    """

    def __init__(self, dim: int, heads: int, context_dim: int = 0, key_bias: bool = True):
        if dim % heads:
            raise InputError(
                f"Cross-attention over {dim} numbers cannot have {heads} heads; choose a divisor of {dim}."
            )
        super().__init__()
        self.heads = heads
        self.q_proj = nn.Linear(dim, dim)
        self.k_proj = nn.Linear(context_dim or dim, dim, bias=key_bias)
        self.v_proj = nn.Linear(context_dim or dim, dim)

    def forward(
        self, query: Tensor, context: Tensor, need_weights: bool = False, tap: nn.Module | None = None
    ):
        """The attended query, and the weights (B, heads, N, M) where asked; these pass `tap`."""
        q, k, v = self.q_proj(query), self.k_proj(context), self.v_proj(context)
        q, k, v = (t.unflatten(-1, (self.heads, -1)).transpose(1, 2) for t in (q, k, v))  # (B, K, N, c)
        weights = (q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1])).softmax(dim=-1)  # (B, K, N, M)
        weights = weights if tap is None else tap(weights)
        out = query + (weights @ v).transpose(1, 2).flatten(2)  # (B, N, dim)
        return (out, weights) if need_weights else out


class BidirectionalScaleFusion(nn.Module):
    """BSF: x (B, dim), y (B, lower_dim) to (B, out_features).

    residual: "projected" adds x' and y' (code), "raw" adds x itself, and y itself where it is as wide as x
    (paper).
    merge: "sum" (code, dim numbers) or "concat" (paper, 2 dim numbers).
    """

    def __init__(self, dim: int, lower_dim: int, residual: str = "projected", merge: str = "sum"):
        _known("residual", residual)
        _known("joining", merge)
        super().__init__()
        self.raw, self.concat = residual == "raw", merge == "concat"
        self.out_features = 2 * dim if self.concat else dim
        self.of_x, self.of_y = nn.Linear(dim, dim), nn.Linear(lower_dim, dim)
        self.tap = Tap("how much more each fused number counts, 1 in sum over the numbers")

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """Both scales' vectors, raised where they agree."""
        projected_x, projected_y = self.of_x(x), self.of_y(y)
        agreed = self.tap((projected_x * projected_y).softmax(dim=-1))
        stays_x = x if self.raw else projected_x
        stays_y = y if self.raw and y.shape == x.shape else projected_y
        parts = stays_x + agreed * projected_x, stays_y + agreed * projected_y
        return torch.cat(parts, dim=-1) if self.concat else parts[0] + parts[1]


class MultiScaleCrossAttention(nn.Module):
    """MSCA: image (B, dim) or tokens (B, N, dim), table (B, dim) or (B, M, dim), to (B, out_features).

    merge: of the two directions. share_directions: one attention serves both. reduce: every scale from the
    first ("parallel", code), or from the one before ("consecutive", paper). norm: "batch" or "layer".
    """

    def __init__(
        self,
        dim: int = 24,
        scales: tuple[int, ...] = (1, 2, 4),
        heads: tuple[int, ...] = (4, 2, 2),
        merge: str = "mean",
        share_directions: bool = True,
        reduce: str = "parallel",
        *,
        norm: str = "batch",
        dropout: float = 0.5,
        key_bias: bool = True,
    ):
        for what, given in (("merge", merge), ("reduce", reduce), ("norm", norm)):
            _known(what, given)
        super().__init__()
        dims = [dim // scale for scale in scales]
        steps = list(zip(dims, dims[1:]))
        self.consecutive, self.concat = reduce == "consecutive", merge == "concat"
        self.norm_image, self.norm_table = (NORMS[norm](dim) for _ in range(2))
        self.down = nn.ModuleList(
            nn.Sequential(nn.Linear(a if self.consecutive else dim, b), nn.ReLU(), nn.Dropout(dropout))
            for a, b in steps
        )
        self.attention, *back = (
            nn.ModuleList(CrossAttention(d, h, 0, key_bias) for d, h in zip(dims, heads, strict=True))
            for _ in range(1 if share_directions else 2)
        )
        self.attention_back = back[0] if back else None
        self.sample_image, self.sample_table = (
            nn.ModuleList(nn.Linear(a, b) for a, b in steps) for _ in range(2)
        )
        times = 2 if self.concat else 1
        self.fusions = nn.ModuleList(BidirectionalScaleFusion(times * a, times * b) for a, b in steps)
        self.out_features = times * dim
        self.image_asks = nn.ModuleList(Tap(_asks("image", "table", d), "tokens") for d in dims)
        self.table_asks = nn.ModuleList(Tap(_asks("table", "image", d), "tokens") for d in dims)

    def scales(self, image: Tensor, table: Tensor) -> list[Tensor]:
        """O_1, O_2, O_3 of the equations: (B, dim / scale), twice as wide where directions are joined."""
        images = self._reduced(_normalised(self.norm_image, image))
        tables = self._reduced(_normalised(self.norm_table, table))
        back, found = self.attention_back or self.attention, []
        for s, attend in enumerate(self.attention):
            of_image = attend(images[s], tables[s], tap=self.image_asks[s])  # (B, N, d)
            of_table = back[s](tables[s], images[s], tap=self.table_asks[s])  # (B, M, d)
            if s < len(self.sample_image):
                images[s + 1] = images[s + 1] + self.sample_image[s](of_image)
                tables[s + 1] = tables[s + 1] + self.sample_table[s](of_table)
            pair = of_image.mean(dim=1), of_table.mean(dim=1)
            found.append(torch.cat(pair, dim=-1) if self.concat else (pair[0] + pair[1]) / 2)
        return found

    def forward(self, image: Tensor, table: Tensor) -> Tensor:
        """The three scales, the coarsest fused into the next finer one."""
        *finer, out = self.scales(image, table)
        for fusion, scale in zip(reversed(self.fusions), reversed(finer), strict=True):
            out = fusion(scale, out)
        return out

    def _reduced(self, x: Tensor) -> list[Tensor]:
        found = [x]
        for down in self.down:
            found.append(down(found[-1] if self.consecutive else x))
        return found


def _asks(who: str, whom: str, dim: int) -> str:
    return f"how much each {whom} token counts for each {who} token, by head (scale of {dim} numbers)"


def _normalised(norm: nn.Module, x: Tensor) -> Tensor:
    """Tokens (B, N, dim), from (B, dim) or tokens, each number or each token normalised."""
    x = x[:, None] if x.ndim == 2 else x
    return norm(x.flatten(0, 1)).view_as(x)


class MMCAF(FusionModel, name="mmcaf"):
    """One volume and one table.

    preset: "repaired" or "faithful"; it decides `tokens` ("vector" or "sequence") and `merge` of the two
    directions ("mean" or "concat") where they are empty. width: numbers a token, a multiple of 8.
    backbone: "small" (of `widths`) or "penet" (the authors' 89 million parameters). table: "kan" or "mlp".
    frozen: nothing of the image encoder changes, so load trained weights first. dropout: of features;
    drop_maps: of the backbone's maps. places: the image tokens' grid (D, H, W); columns: the table tokens.
    """

    paper = "Yu et al. 2025 (MICCAI)"
    shows = "which places of the scan and which columns of the record ask for each other"
    kinds = ("volume", "table")
    least = 2

    def __init__(
        self,
        schema: Schema,
        *,
        preset: str = "repaired",
        tokens: str = "",
        merge: str = "",
        width: int = 24,
        backbone: str = "small",
        widths: tuple[int, ...] = (16, 32, 64),
        table: str = "kan",
        frozen: bool = False,
        dropout: float = 0.5,
        drop_maps: float = 0.3,
    ):
        super().__init__(schema)
        if width < 8 or width % 8:
            raise InputError(f"The width of mmcaf is a multiple of 8, not {width}; choose 24.")
        chosen = _chosen(preset, tokens=tokens, merge=merge)
        self.tokens, self.frozen = chosen["tokens"], frozen
        many = self.tokens == "sequence"
        volume, record = (next(m for m in schema.modalities if m.kind == kind) for kind in self.kinds)
        self.volume, self.record = volume.name, record.name
        self.places = _places(volume, backbone)
        self.columns = tuple(record.sources) or tuple(str(i) for i in range(record.shape[0]))
        network = _backbone(volume, backbone, widths)
        drops = {"dropout": dropout, "drop_maps": drop_maps, "frozen": frozen}
        image = PyramidImageEncoder3d(
            network, network.channels, width, many, share_spatial=chosen["shared"], **drops
        )
        columns = _columns(record, table, width, chosen["reach"], many)
        self.encoders = nn.ModuleDict({volume.name: image, record.name: columns})
        self.fusion = MultiScaleCrossAttention(
            width, merge=chosen["merge"], norm=chosen["norm"], dropout=dropout, key_bias=not many
        )
        self.logits = self.linear_heads(self.fusion.out_features)
        self._tell_taps()

    @classmethod
    def suits(cls, schema: Schema) -> str:
        """Why not, with the remedy: it takes exactly one volume and one table."""
        reason = super().suits(schema)
        if reason or sorted(m.kind for m in schema.modalities) == ["table", "volume"]:
            return reason
        there = ", ".join(f"'{m.name}' ({m.kind})" for m in schema.modalities)
        return (
            f"The model {cls.name} takes exactly one volume and one table and the data set has {there}; "
            "choose a data set with one of each, or the model 'concat'."
        )

    @classmethod
    def takes(cls) -> str:
        """The modalities it takes, in words."""
        return "one volume and one table"

    @property
    def notes(self) -> list[str]:
        """What a person should know before reading this model's attention or training it."""
        found = [] if self.tokens == "sequence" else [ONE_TOKEN]
        for name, tokens in ((self.volume, math.prod(self.places)), (self.record, len(self.columns))):
            if self.tokens == "sequence" and tokens == 1:
                found.append(
                    f"'{name}' gives one token, so what the other modality asks of it is always 1; "
                    "choose larger volumes, or a record of more columns."
                )
        if self.frozen:
            found.append("The image encoder is frozen and keeps the weights it has; load trained ones first.")
        return found

    def fuse(self, features: Mapping[str, Tensor]) -> dict[str, Tensor]:  # noqa: D102
        z = self.fusion(features[self.volume], features[self.record])  # (B, out_features)
        return {name: layer(z) for name, layer in self.logits.items()}

    def sides(self, features: Mapping[str, Tensor]) -> dict[str, tuple[int, ...]]:  # noqa: D102
        return {self.volume: self.places}

    def _tell_taps(self) -> None:
        """What they weigh; one token a side is no place and no column."""
        for tap in taps(self.encoders[self.volume]).values():
            tap.weighs = (self.volume,) if tap.of == "places" else ()
        if self.tokens == "sequence":
            for image, table in zip(self.fusion.image_asks, self.fusion.table_asks, strict=True):
                image.weighs, table.weighs = (self.record,), (self.volume,)
            return
        for tap in (*self.fusion.image_asks, *self.fusion.table_asks):
            tap.says += "; with one token a side it is always 1"
        warnings.warn(ONE_TOKEN, UserWarning, stacklevel=3)

    def dead_parameters(self) -> tuple[str, ...]:
        """With one token a side, what only shapes the attention weights: queries and keys."""
        if self.tokens == "sequence":
            return ()
        named = (name for name, _ in self.named_parameters())
        return tuple(name for name in named if name.startswith("fusion.") and re.search(r"[qk]_proj", name))


def _known(what: str, given: str) -> None:
    check_choice(f"{what} of mmcaf", given, CHOICES[what])


def _chosen(preset: str, **given: str) -> dict[str, object]:
    """The preset's values, with what is given in their place."""
    _known("preset", preset)
    for what, value in given.items():
        if value:
            _known(what, value)
    return {**PRESETS[preset], **{what: value for what, value in given.items() if value}}


def _backbone(volume: Modality, backbone: str, widths: tuple[int, ...]) -> MapEncoder:
    if backbone == "penet":
        return PENet(volume.shape[0])
    if len(widths) != 3 or min(widths) < 1:
        raise InputError(f"'widths' of mmcaf names the channels of three maps, not {widths}; try 16, 32, 64.")
    return ResidualEncoder(volume.shape[0], widths, 3)


def _columns(record: Modality, table: str, width: int, reach: float, tokens: bool) -> nn.Module:
    _known("table", table)
    if table == "mlp":
        return TabEncoder(record, width, tokens)
    return KanEncoder(record, width, reach=reach, return_tokens=tokens)


def _places(volume: Modality, backbone: str) -> tuple[int, ...]:
    """The size (D, H, W) of the last map."""
    _known("backbone", backbone)
    return tuple(-(-n // 2**times) for n, times in zip(volume.shape[1:], HALVED[backbone], strict=True))
