"""The model's own attention: how much each place, column or word counts, as the model itself weighs it.

With a the coefficients that pass a tap of the model (see `models.taps`), in their own unit, mostly 0 to 1:

    of places  (B, C, *S)       map(u) = mean over c of a_c(u), enlarged to the picture
    of tokens  (B, K, N, N')    map(j) = mean over heads k and askers i of a_k(i, j), what token j gets:
                                a picture's in the shape S of its map and enlarged, a source column's in equal
                                parts at the columns made from it, a word's at the word

Gates of channels have no place and so no map; the table of gates tells of them. Attention is no explanation
by itself: a place that counts much may speak for any class, or for none. Whether the answer hangs on it is
asked by holding it constant (see `gates`).

Jain S, Wallace BC. Attention is not explanation. NAACL 2019. Wiegreffe S, Pinter Y. Attention is not not
explanation. EMNLP 2019. Schlemper J et al. Attention gated networks. Medical Image Analysis 2019.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod

import numpy as np
import torch
from torch import Tensor

from studykit.case import Batch, Modality, Schema
from studykit.catalog import unknown
from studykit.explain.class_evidence import enlarged
from studykit.explain.explainer import Explainer
from studykit.explain.players import laid_over_columns, source_positions
from studykit.models import FusionModel, Head, taps, watch
from studykit.models.taps import Tap


@dataclass(frozen=True)
class Attention(Explainer, name="attention"):
    """tap: the place in the model whose coefficients are shown; "" takes for each modality its last one."""

    tap: str = ""

    title = "The model's attention"
    unit = "coefficient"
    gives = "how much each place, column or word counts in the model, for whichever class"

    def suits(self, model: FusionModel, schema: Schema) -> str:  # noqa: D102
        every = taps(model)
        showing = [name for name, tap in every.items() if tap.weighs]
        if self.tap and self.tap not in every:
            return unknown("tap with a place" if showing else "tap", self.tap, showing or every)
        if showing and (not self.tap or self.tap in showing):
            return ""
        if self.tap and showing:
            return f"The tap '{self.tap}' weighs what has no place; choose one of {', '.join(showing)}."
        what = "weighs only what has no place (channels or numbers)" if every else "has no attention"
        return f"The model {model.name} {what}; use grad_cam or integrated_gradients."

    @torch.no_grad()
    def maps(self, model, batch: Batch, head: Head, targets: Tensor):  # noqa: D102
        every = {name: tap for name, tap in taps(model).items() if tap.weighs}
        chosen = {self.tap: every[self.tap]} if self.tap else every
        inputs = {name: batch.inputs[name] for name in model.modalities}
        with watch(model, *chosen) as seen:
            features = model.encode(inputs)
            model.fuse(features)
        sides, maps = model.sides(features), {}
        for name, tap in chosen.items():  # a later tap's map takes the place of an earlier one's
            maps |= _maps_of(tap, seen[name], model, inputs, sides)
        return maps, dict.fromkeys(maps, False), {}, {}


def _maps_of(
    tap: Tap, passed: Tensor, model: FusionModel, inputs: Mapping[str, Tensor], sides: Mapping[str, tuple]
) -> dict[str, np.ndarray]:
    """The maps of the modalities that a tap weighs, from the coefficients that passed it (B, ...)."""
    found, start = {}, 0
    if tap.of == "tokens":
        passed = passed.flatten(1, -2).mean(dim=1)  # (B, N'): the mean over heads and who asks
    for stream in tap.weighs:
        modality = model.schema.modality(model.sources.get(stream, stream))
        name, pictured = modality.name, modality.kind in ("image", "volume")
        if tap.of == "places":
            places = passed.mean(dim=1, keepdim=True)  # (B, 1, *S)
        else:
            stop = start + _tokens(modality, sides.get(stream, ()))
            got, start = passed[:, start:stop], stop
            places = got.unflatten(1, (1, *sides[stream])) if pictured else got
        if pictured:
            large = enlarged(places, inputs[name].shape[2:], model.encoders[stream])
            found[name] = large.float().numpy()
        elif modality.kind == "table":
            found[name] = laid_over_columns(places.float().numpy(), modality)
        else:  # the first token is the text's start
            found[name] = (places[:, 1:] * (inputs[name].nan_to_num() > 0)).float().numpy()
    return found


def _tokens(modality: Modality, sides: tuple[int, ...]) -> int:
    """How many tokens a modality has, where a picture's map has these sides."""
    if modality.kind == "table":
        return len(source_positions(modality))
    return modality.shape[0] + 1 if modality.kind == "text" else prod(sides)
