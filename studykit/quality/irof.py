"""IROF: how much of its answer does the model lose while whole patches of tissue go, the most relevant first?

IROF = 1 - area under p_l / p_0 over l / L, l = 0 ... L,  p_l the probability of the class explained when the
l superpixels with the highest mean relevance have the picture's mean, channel by channel. At most 1; below 0
where the answer grows, and far below where the class is improbable to begin with.

Superpixels (SLIC; in volumes supervoxels) follow the edges of the picture, so none of them is half taken
away, and a map of coarse grain is not held back by single pixels. Taken away is still like nothing the model
has learned from; see OUT_OF_DISTRIBUTION in curves.

Rieger L, Hansen LK. IROF: a low resource evaluation metric for explanation methods. ICLR workshop AI for
affordable healthcare, 2020. Achanta R et al. SLIC superpixels. IEEE TPAMI 2012.
"""

from dataclasses import dataclass

import numpy as np
import torch
from skimage.segmentation import slic

from studykit.case import Modality
from studykit.catalog import InputError
from studykit.quality.curves import OUT_OF_DISTRIBUTION, answered, filled, having, ranked
from studykit.quality.score import Score, Scored

COMPACTNESS = 0.1  # of SLIC: the picture's channels lie in [0, 1], one by one
SMOOTH = 1.0  # pixels; without, the grain of a scan joins most of it into one superpixel


@dataclass(frozen=True)
class IROF(Score, name="irof"):
    """segments: superpixels that are wished for (SLIC gives about as many)."""

    segments: int = 50

    title = "IROF (superpixels)"
    asks = "How much of its answer does the model lose while whole patches go, the most relevant first?"
    better = "more"
    caution = OUT_OF_DISTRIBUTION
    kinds = ("image", "volume")

    def __post_init__(self):
        if self.segments < 2:
            raise InputError(f"'segments' of irof is 2 or more, not {self.segments}.")

    def suits(self, asked):  # noqa: D102
        if asked.modality.kind in self.kinds and asked.head.task.kind == "regression":
            return f"{self.title} is a share of a probability and a regression has none; use degradation."
        return super().suits(asked)

    def scored(self, asked):  # noqa: D102
        values, (cases, why) = asked.batch.inputs[asked.modality.name], having(asked)
        turn = torch.full((len(asked), 1, *values.shape[2:]), -1, dtype=torch.int32)
        for case in cases:
            labels = superpixels(values[case].numpy(), self.segments, asked.modality)
            ranks = ranked(mean_relevance(asked.heat[case], labels), asked.batch.ids[case], asked.seed)
            turn[case, 0] = torch.from_numpy(ranks[labels])
        counts = turn.flatten(1).amax(dim=1).numpy()[cases] + 1
        shares = [np.arange(count + 1) / count for count in counts]
        at = np.repeat(cases, counts + 1)
        said = answered(asked, filled(asked, "mean"), turn, at, np.concatenate([*shares, np.zeros(0)]))
        steps = np.linspace(0.0, 1.0, self.segments + 1)
        scores, curves = np.full(len(asked), np.nan), np.full((len(asked), len(steps)), np.nan)
        ends = np.cumsum(counts + 1)
        for case, share, end in zip(cases, shares, ends, strict=True):
            p = said[end - len(share) : end]
            if p[0] > 0:
                scores[case] = 1 - np.trapezoid(p / p[0], share)
            else:
                why[case] = "The model gives the class explained no chance at all, so none can be lost."
            curves[case] = np.interp(steps, share, p)
        return {self.name: Scored(scores, None, why, {"irof": curves}, steps)}


def superpixels(picture: np.ndarray, segments: int, modality: Modality) -> np.ndarray:
    """Which superpixel each place (*space) of a picture (C, *space) belongs to, from 0 and without gaps."""
    space = tuple(range(1, picture.ndim))
    picture = picture.astype(np.float64)
    low = picture.min(axis=space, keepdims=True)
    wide = picture.max(axis=space, keepdims=True) - low
    found = slic(
        (picture - low) / np.where(wide > 0, wide, 1.0),
        n_segments=segments,
        compactness=COMPACTNESS,
        sigma=SMOOTH,
        channel_axis=0,
        convert2lab=False,
        spacing=modality.spacing if len(modality.spacing) == len(space) == 3 else None,
    )
    return np.unique(found, return_inverse=True)[1].reshape(found.shape)


def mean_relevance(heat: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """The mean of a map (*space) over each superpixel, (L,)."""
    return np.bincount(labels.ravel(), heat.ravel()) / np.bincount(labels.ravel())
