import numpy as np
import pytest
import torch

from studykit.case import Batch, Modality, Schema, Task
from studykit.training.augment import augmented

IMAGE = Modality("image", "image", (1, 24, 32), absent=0.3)
VOLUME = Modality("volume", "volume", (1, 4, 16, 24), absent=0.1)
RECORD = Modality("record", "table", (2,), ("a", "b"), (0.0, 0.0))
SCHEMA = Schema((IMAGE, VOLUME, RECORD), (Task("t", "binary", ("n", "y")),))
COUNT = 12


def cases():
    """Pictures that are bright exactly where their mask is."""
    draw = np.random.default_rng(0)
    inputs, masks = {"record": torch.rand(COUNT, 2)}, {}
    for m in (IMAGE, VOLUME):
        mask = torch.zeros(COUNT, *m.shape[1:], dtype=torch.bool)
        for row in mask:
            y, x = draw.integers(6, m.shape[-2] - 8), draw.integers(2, m.shape[-1] - 8)
            row[..., y : y + 4, x : x + 6] = True
        masks[m.name] = mask
        inputs[m.name] = torch.where(mask[:, None], 0.8, m.absent).float()
    names = [str(i) for i in range(COUNT)]
    return Batch(names, names, inputs, {"t": torch.zeros(COUNT)}, masks)


@pytest.mark.parametrize("settings", [{}, {"turn": 25.0}, {"shift": 0.1}, {"turn": 10.0, "shift": 0.1}])
def test_the_mask_moves_with_the_picture(settings):
    batch = cases()
    moved = augmented(batch, SCHEMA, np.random.default_rng(1), **settings)
    for m in (IMAGE, VOLUME):
        there, mask = moved.inputs[m.name][:, 0], moved.masks[m.name]
        assert not torch.equal(mask, batch.masks[m.name]) and mask.dtype == torch.bool
        flat = there.flatten(1)
        middle = (flat.max(dim=1).values + flat.min(dim=1).values) / 2
        bright = there > middle.view(-1, *[1] * (there.ndim - 1))
        both = (bright & mask).sum() / (bright | mask).sum()
        assert both > (0.999 if not settings else 0.8)
    assert torch.equal(moved.inputs["record"], batch.inputs["record"])


def test_cases_move_differently_and_slices_of_one_alike():
    batch = cases()
    moved = augmented(batch, SCHEMA, np.random.default_rng(1), turn=20.0)
    mask = moved.masks["volume"]
    assert (mask == mask[:, :1]).all()
    assert any(not torch.equal(a, b) for a, b in zip(mask, batch.masks["volume"], strict=True))


def test_what_comes_from_outside_is_absent():
    batch = cases()
    batch.inputs["volume"][:] = VOLUME.absent
    moved = augmented(batch, SCHEMA, np.random.default_rng(1), turn=20.0, shift=0.2)
    torch.testing.assert_close(moved.inputs["volume"], batch.inputs["volume"])


def test_a_missing_picture_stays_missing():
    batch = cases()
    batch.inputs["image"][3] = torch.nan
    moved = augmented(batch, SCHEMA, np.random.default_rng(1), turn=20.0, shift=0.2)
    gone = moved.inputs["image"].isnan().flatten(1)
    assert gone[3].all() and gone.sum() == gone[3].sum()


def test_the_picture_turns_as_a_slow_twin_does():
    """Each place of the turned picture comes from the place turned back about the middle, in pixels."""
    plain = cases()
    only = Schema((IMAGE,), SCHEMA.tasks)
    batch = Batch(plain.ids, plain.groups, {"image": plain.inputs["image"]}, plain.targets)
    seen, turn = np.random.default_rng(5), 30.0
    flip, light = seen.random(COUNT) < 0.5, seen.uniform(0.8, 1.2, COUNT)
    angle, move = np.deg2rad(seen.uniform(-turn, turn, COUNT)), seen.uniform(-0.2, 0.2, (COUNT, 2))
    moved = augmented(batch, only, np.random.default_rng(5), turn=turn, shift=0.1).inputs["image"]
    height, width = IMAGE.shape[1:]
    for case in (0, 3, 7):
        picture = plain.inputs["image"][case, 0].numpy()
        picture = np.clip((picture[:, ::-1] if flip[case] else picture) * np.float32(light[case]), 0, 1)
        for row, column in [(12, 16), (8, 10), (5, 20), (18, 25)]:
            x, y = column + 0.5 - width / 2, row + 0.5 - height / 2
            c, s = np.cos(angle[case]), np.sin(angle[case])
            from_x = c * x - s * y + move[case, 0] * width / 2 + width / 2 - 0.5
            from_y = s * x + c * y + move[case, 1] * height / 2 + height / 2 - 0.5
            assert moved[case, 0, row, column] == pytest.approx(_between(picture, from_y, from_x), abs=1e-4)


def _between(picture, y, x):
    """Bilinear, absent outside."""
    total = 0.0
    for row in (int(np.floor(y)), int(np.floor(y)) + 1):
        for column in (int(np.floor(x)), int(np.floor(x)) + 1):
            inside = 0 <= row < picture.shape[0] and 0 <= column < picture.shape[1]
            value = picture[row, column] if inside else IMAGE.absent
            total += value * (1 - abs(y - row)) * (1 - abs(x - column))
    return total
