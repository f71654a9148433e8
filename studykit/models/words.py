"""A text's words, each of which may ask all others what it means here, through a small transformer.

t_0 = s, t_i = dropout(E[word i]) + p_i;  each layer: t = t + attention(norm t), t = t + W_2 gelu(W_1 norm t);
f = mean over the words and s of norm t. s is a learned start, so a text without words has features, too.

Vaswani A et al. Attention is all you need. NeurIPS 2017.
"""

from dataclasses import asdict, dataclass

import torch
from torch import Tensor, nn

from studykit.case import Modality
from studykit.catalog import InputError
from studykit.models.encoders import Encoder

UNKNOWN = 1  # the number of a word that the vocabulary lacks


@dataclass(frozen=True)
class Words(Encoder, name="words"):
    """Settings: numbers a word (a multiple of the heads), layers, heads, dropout.

    forget: the share of words that training hides as unknown; so the unknown word is learned, too.
    """

    width: int = 32
    layers: int = 1
    heads: int = 4
    dropout: float = 0.1
    forget: float = 0.1
    suits = ("text",)

    def __post_init__(self):
        if self.width % self.heads:
            raise InputError(
                f"The encoder words has {self.width} numbers a word, which {self.heads} heads cannot share; "
                "choose a 'width' that is a multiple of 'heads'."
            )

    def __call__(self, modality: Modality) -> "WordsEncoder":  # noqa: D102
        return WordsEncoder(modality, **asdict(self))


class WordsEncoder(nn.Module):
    """See `Words`. Input (B, T) whole numbers as in `Modality.vocabulary`; output (B, width).

    return_tokens: give the start and the words (B, 1 + T, width); what is behind the end is 0.
    embed gives each word's numbers (B, T, width), by itself: what explanations of single words watch.
    """

    def __init__(self, modality, width, layers, heads, dropout, forget, return_tokens=False):
        super().__init__()
        self.width, self.forget, self.return_tokens = width, forget, return_tokens
        self.embed = nn.Embedding(max(2, len(modality.vocabulary)), width, padding_idx=0)
        self.start = nn.Parameter(torch.randn(width) * 0.1)
        self.place = nn.Parameter(torch.randn(modality.shape[0], width) * 0.1)
        self.drop = nn.Dropout(dropout)
        self.layers = nn.ModuleList(
            nn.TransformerEncoderLayer(
                width, heads, 2 * width, dropout, "gelu", batch_first=True, norm_first=True
            )
            for _ in range(layers)
        )
        self.norm = nn.LayerNorm(width)

    def forward(self, x: Tensor) -> Tensor:
        """Words (B, T) to features (B, width), or to tokens (B, 1 + T, width)."""
        number = x.long()
        if self.training and self.forget:
            hidden = (torch.rand(x.shape, device=x.device) < self.forget) & (number > 0)
            number = number.masked_fill(hidden, UNKNOWN)
        t = self.drop(self.embed(number)) + self.place  # (B, T, width)
        t = torch.cat([self.start.expand(len(x), 1, -1), t], dim=1)
        there = torch.cat([torch.ones_like(number[:, :1]), number], dim=1) > 0
        for layer in self.layers:
            t = layer(t, src_key_padding_mask=~there)
        t = self.norm(t) * there[..., None]
        return t if self.return_tokens else t.sum(dim=1) / there.sum(dim=1, keepdim=True)
