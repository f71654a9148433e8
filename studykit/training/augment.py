"""The same cases seen a little differently: a picture and its outline are always moved together.

Each case is flipped left-right or not and, where asked for, turned and moved; a volume's slices all alike.
Images are also brightened by up to a fifth (volumes are not: their values have a unit). What comes into view
from outside is the modality's "absent". A record and a text stay as they are: augment no cases whose record
says left or right.
"""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from studykit.case import Batch, Modality, Schema


def augmented(
    batch: Batch, schema: Schema, draw: np.random.Generator, turn: float = 0.0, shift: float = 0.0
) -> Batch:
    """The batch with every image and volume, and its mask, changed at random.

    turn: up to so many degrees either way. shift: up to so much of the picture's side either way.
    """
    inputs, masks = dict(batch.inputs), dict(batch.masks)
    for name, x in batch.inputs.items():
        modality = schema.modality(name)
        if modality.kind not in ("image", "volume"):
            continue
        flip = torch.from_numpy(draw.random(len(x)) < 0.5).to(x.device)
        x = _flipped(x, flip)
        if modality.kind == "image":
            light = torch.from_numpy(draw.uniform(0.8, 1.2, len(x))).to(x)
            x = (x * _like(light, x)).clamp(0, 1)
        grid = _grid(x, draw, turn, shift) if turn or shift else None
        inputs[name] = x if grid is None else _moved(x, grid, modality)
        if name in masks:
            outline = _flipped(masks[name], flip)
            masks[name] = outline if grid is None else _moved_mask(outline, grid)
    return Batch(batch.ids, batch.groups, inputs, batch.targets, masks)


def _like(values: Tensor, x: Tensor) -> Tensor:
    return values.view(-1, *[1] * (x.ndim - 1))


def _flipped(x: Tensor, flip: Tensor) -> Tensor:
    return torch.where(_like(flip, x), x.flip(-1), x)


def _grid(x: Tensor, draw: np.random.Generator, turn: float, shift: float) -> Tensor:
    """Where each place of the turned and moved plane (B, H, W, 2) comes from, as grid_sample counts."""
    height, width = x.shape[-2:]
    angle = np.deg2rad(draw.uniform(-turn, turn, len(x)))
    move = draw.uniform(-2 * shift, 2 * shift, (len(x), 2))
    cos, sin, tall = np.cos(angle), np.sin(angle), height / width
    rows = [[cos, -sin * tall, move[:, 0]], [sin / tall, cos, move[:, 1]]]
    matrix = torch.from_numpy(np.array(rows).transpose(2, 0, 1)).to(x)  # (B, 2, 3)
    return F.affine_grid(matrix, (len(x), 1, height, width), align_corners=False)


def _moved(x: Tensor, grid: Tensor, modality: Modality) -> Tensor:
    flat = x.flatten(1, -3) - modality.absent  # (B, C [x D], H, W)
    moved = (F.grid_sample(flat, grid, align_corners=False) + modality.absent).view(x.shape)
    return torch.where(x.isnan(), x, moved)  # a missing modality stays missing


def _moved_mask(mask: Tensor, grid: Tensor) -> Tensor:
    flat = mask.view(len(mask), -1, *mask.shape[-2:]).to(grid)
    return (F.grid_sample(flat, grid, align_corners=False) >= 0.5).view(mask.shape)
