"""Occlusion: cover a part of the case with "nothing there" and see how much of the answer goes with it.

    a_i = mean over the windows w that cover i of F(x) - F(x without w)

F the class's logit, x without w the case with the data set's "absent" inside of w and all else kept, the
other modalities too. In pictures the window slides, is cut off at the far edges, and covers all channels at
once, so that a pixel has one value. A table's columns are taken away by their source: a category's columns go
together and share the value evenly; their sum is what the source took along. Of a text one word after the
other is taken away. The effect of a modality is F(x) - F(x without all of it), not the sum of its map, in
which windows overlap.

Zeiler MD, Fergus R. Visualizing and understanding convolutional networks. ECCV 2014.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from captum import attr
from torch import Tensor

from studykit.case import Batch, Modality, Schema
from studykit.catalog import InputError
from studykit.explain.explainer import Explainer
from studykit.explain.integrated_gradients import absent_like, lacks, rows_together, standing_in
from studykit.models import FusionModel, Head, class_logit

ROWS = 64  # altered cases that go through the model at once, at most


@dataclass(frozen=True)
class Occlusion(Explainer, name="occlusion"):
    """window: pixels of its side, as many as a picture has at most. stride: pixels to the next one; 0: half.

    millimetres: the window's side in mm instead, along every side of the picture; 0: `window` counts.
    A stride never steps over pixels: along sides where the window is shorter, it is the window.
    """

    window: int = 16
    stride: int = 0
    millimetres: float = 0.0

    title = "Occlusion"
    unit = "taken from the logit"
    gives = "what the class's logit loses where a window, a column or a word is covered with absent"

    def __post_init__(self):
        if self.window < 1:
            raise InputError(f"The 'window' of occlusion is 1 pixel or more, not {self.window}.")
        if not 0 <= self.millimetres < np.inf:
            raise InputError(
                f"'millimetres' of occlusion is the window's side in mm, or 0 to count pixels, "
                f"not {self.millimetres:g}."
            )
        if self.stride < 0 or (self.stride > self.window and not self.millimetres):
            raise InputError(
                f"The 'stride' of occlusion is at most its window ({self.window}), so that every pixel is "
                f"covered, not {self.stride}; 0 takes half the window."
            )

    def suits(self, model: FusionModel, schema: Schema) -> str:  # noqa: D102
        for name in model.modalities if self.millimetres else ():
            modality = model.schema.modality(name)
            if modality.kind in ("image", "volume") and not modality.spacing:
                return (
                    f"Occlusion cannot count millimetres in '{name}', whose spacing is not known; set "
                    "'millimetres' to 0 and give the window in pixels."
                )
        return ""

    def windows(self, modality: Modality) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """The sides of a picture's window in pixels, and its strides, without the channels."""
        space = modality.shape[1:]
        wanted = [self.window] * len(space)
        if self.millimetres:
            wanted = [max(1, round(self.millimetres / step)) for step in modality.spacing]
        sides = tuple(min(pair) for pair in zip(wanted, space, strict=True))
        return sides, tuple(min(side, self.stride or max(1, side // 2)) for side in sides)

    @torch.no_grad()
    def maps(self, model, batch: Batch, head: Head, targets: Tensor):  # noqa: D102
        features = model.encode(batch.inputs)
        maps, effects = {}, {}
        for name in model.modalities:
            modality, given = model.schema.modality(name), batch.inputs[name]
            missing, x = lacks(given), standing_in(given, modality)
            start = absent_like(x, modality)
            others = {s: f for s, f in features.items() if model.sources.get(s, s) != name}
            logit = _logit(model, head, name, list(features), list(others))
            along = (targets, *others.values())
            taken = self._taken(logit, x, start, modality, along)
            maps[name] = _there(taken, missing).float().numpy()
            effects[name] = _there(logit(x, *along) - logit(start, *along), missing).double().numpy()
        return maps, dict.fromkeys(maps, True), effects, {}

    def _taken(self, logit: Callable, x: Tensor, start: Tensor, modality: Modality, along: tuple) -> Tensor:
        """The map of one modality x (B, *shape); of a picture (B, 1, *space)."""
        settings = {"baselines": start, "additional_forward_args": along}
        settings["perturbations_per_eval"] = max(1, rows_together([x], ROWS) // len(x))
        if modality.kind in ("image", "volume"):
            sides, strides = self.windows(modality)
            channels = x.shape[1]
            found = attr.Occlusion(logit).attribute(
                x, sliding_window_shapes=(channels, *sides), strides=(channels, *strides), **settings
            )
            return found[:, :1]  # all channels were covered together and hold the same value
        group = _words(x) if modality.kind == "text" else _sources(modality)
        found = attr.FeatureAblation(logit).attribute(x, feature_mask=group[None], **settings)
        if modality.kind == "text":
            return found * (x > 0)
        return found / group.bincount()[group]  # Captum gives the whole value to each column


def _logit(model: FusionModel, head: Head, name: str, streams: list[str], others: list[str]) -> Callable:
    """The class's logit (B,), as a function of one modality; the others come as features, by stream."""

    def forward(x: Tensor, target: Tensor, *known: Tensor) -> Tensor:
        found = model.encode({name: x}) | dict(zip(others, known, strict=True))
        answer = model.fuse({stream: found[stream] for stream in streams})[head.name]
        return class_logit(answer, head.task, target)

    return forward


def _there(values: Tensor, missing: Tensor) -> Tensor:
    """Values (B, ...), 0 where the modality is missing (B,): nothing can be taken from there."""
    return values.masked_fill(missing.view(-1, *[1] * (values.ndim - 1)), 0.0)


def _sources(modality: Modality) -> Tensor:
    """Which source each of a table's columns was made from, (F,); columns without names are one each."""
    group = torch.arange(modality.shape[0])
    for number, positions in enumerate(modality.sources.values()):
        group[positions] = number
    return group


def _words(x: Tensor) -> Tensor:
    """A number a place of texts (B, T); one for all the places behind the last word of the longest, (T,)."""
    longest = int((x > 0).any(dim=0).nonzero().max()) + 1 if (x > 0).any() else 0
    return torch.arange(x.shape[1]).clamp(max=longest)
