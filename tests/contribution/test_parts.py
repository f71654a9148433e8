"""Into which parts a modality is cut, place by place, and painting them back."""

import itertools

import numpy as np
import pytest
import torch

from studykit.case import Modality
from studykit.contribution import Columns, Patches, Whole, Words, cut, modality_contribution, painted
from tests.contribution.twin import laid_bare, normal, tiles

IMAGE, VOLUME, TABLE = normal(3, 2, 5, 7, seed=1), normal(3, 1, 3, 5, 4, seed=2), normal(3, 6, seed=3)
TEXT = torch.tensor([[3, 1, 4, 1], [9, 2, 0, 0], [5, 0, 0, 0]])
NAMED = Modality("x", "table", (6,), ("Age", "Sex=f", "Sex=m", "Lump", "Side=left", "Side=right"))


def changes_only(x, ids, **settings):
    """Each part changes its places and no others. ids: (1 or N, *shape) part numbers, -1 for none."""
    asked, d = laid_bare(x, **settings)
    ids = ids.expand(x.shape)
    assert d.shape[1] == len(asked.parts["x"]) == int(ids.max()) + 1
    for part in range(d.shape[1]):
        assert torch.equal(d[:, part] != 0, (ids == part) & (x != 0))
        assert (asked.same["x"][:, part] == ~((ids == part) & (x != 0)).flatten(1).any(dim=1).numpy()).all()
    return asked


@pytest.mark.parametrize(
    ("x", "wish", "sides"),
    [
        (IMAGE, 2, (2, 2)),
        (IMAGE, Patches(3), (3, 3)),
        (IMAGE, Patches(6), (5, 6)),
        (IMAGE, {"name": "patches", "size": [4, 2]}, (4, 2)),
        (IMAGE, "patches", (1, 1)),
        (IMAGE, None, (1, 1)),
        (VOLUME, 2, (2, 2, 2)),
        (VOLUME, Patches((3, 2, 1)), (3, 2, 1)),
        (normal(1, 1, 17, 3, seed=4), None, (3, 3)),
    ],
    ids=lambda given: "" if isinstance(given, torch.Tensor) else str(given),
)
def test_patches_are_tiles_of_which_the_last_may_be_smaller(x, wish, sides):
    ids = tiles(x.shape[1:], sides)
    asked = changes_only(x, ids, parts=wish)
    for part, name in enumerate(asked.parts["x"]):  # "y 0-1, x 4-6": from pixel to pixel
        places = [tuple(int(n) for n in words.split(" ")[1].split("-")) for words in name.split(", ")]
        inside = ids[(0, *(slice(low, high + 1) for low, high in places))]
        assert (inside == part).all() and inside.numel() == (ids[0] == part).sum()


@pytest.mark.parametrize(
    ("wish", "groups"),
    [
        (None, {"Age": [0], "Sex": [1, 2], "Lump": [3], "Side": [4, 5]}),
        (Columns(), {"Age": [0], "Sex": [1, 2], "Lump": [3], "Side": [4, 5]}),
        (
            {"sex and lump": ["Sex=f", "Sex=m", "Lump"], "left": "Side=left"},
            {"sex and lump": [1, 2, 3], "left": [4]},
        ),
        ({"last": -1, "rest": range(3)}, {"last": [5], "rest": [0, 1, 2]}),
        ("whole", {"x": range(6)}),
        (Whole(), {"x": range(6)}),
    ],
    ids=str,
)
def test_columns_of_one_source_go_together_and_columns_in_no_part_stay(wish, groups):
    ids = torch.full((6,), -1)
    for part, columns in enumerate(groups.values()):
        ids[list(columns)] = part
    asked = changes_only(TABLE, ids, parts=wish, modalities={"x": NAMED})
    assert asked.parts["x"] == tuple(groups)


def test_a_table_without_names_is_cut_column_by_column():
    asked = changes_only(TABLE, torch.arange(6))
    assert asked.parts["x"] == tuple(f"column {k}" for k in range(6))


def test_words_and_never_the_places_after_the_last():
    ids = torch.tensor([[0, 1, 2, 3], [0, 1, -1, -1], [0, -1, -1, -1]])
    asked = changes_only(TEXT, ids)
    assert asked.forwards == 3 + 7
    asked, d = laid_bare(TEXT, fill=8)  # a fill that would change those places, too
    assert torch.equal(d.sum(dim=1) != 0, TEXT != 0) and asked.forwards == 3 + 7
    asked, d = laid_bare(TEXT + 1, parts=Words(padding=1), fill=8)
    assert torch.equal(d.sum(dim=1) != 0, TEXT != 0)
    asked, d = laid_bare(TEXT, parts="whole", fill=8)
    assert d.shape[1] == 1 and torch.equal(d[:, 0] != 0, TEXT != 0)


def test_a_mask_says_by_its_numbers_which_places_go_together():
    one = torch.tensor([[7, 7, 3, 3, 3, -1, -1]] * 4 + [[7, 7, 7, 7, 7, 7, 3]])
    ids = torch.where(one == 3, 0, torch.where(one == 7, 1, -1))
    for mask in (one[None, None], one[None], one[None, None].numpy(), one[None].expand(2, 5, 7)):
        asked = changes_only(IMAGE, ids, parts=mask)
        assert asked.parts["x"] == ("part 3", "part 7")
    each = torch.stack([one, one.flip(0), one * 0 + 3])[:, None]  # a mask a case
    asked = changes_only(IMAGE, torch.where(each == 3, 0, torch.where(each == 7, 1, -1)), parts=each)
    assert asked.same["x"].tolist() == [[False, False], [False, False], [False, True]]
    channels = torch.tensor([0, 1])[:, None, None]
    changes_only(IMAGE, channels, parts=channels)


def test_a_number_in_two_modalities_masks_is_two_parts():
    masks = {"a": torch.tensor([0, 0, 1]), "b": torch.tensor([0, 1, 1])}
    inputs = {"a": normal(2, 3, seed=5), "b": normal(2, 3, seed=6)}
    asked = modality_contribution(lambda a, b: torch.cat([a, b], dim=1), inputs, masks)
    assert (asked.differences["a"][..., 3:] == 0).all() and (asked.differences["b"][..., :3] == 0).all()


def test_regions_of_a_picture_by_name():
    lesion = torch.zeros(3, 5, 7, dtype=torch.bool)
    lesion[0, 1:3, 2:5] = lesion[1, 4, 0] = True  # the third case has none
    rim = torch.zeros(5, 7, dtype=torch.bool)
    rim[:, 6] = True
    ids = torch.full((3, 1, 5, 7), -1)
    ids[lesion[:, None]], ids[..., 6] = 0, 1
    asked = changes_only(IMAGE, ids, parts={"lesion": lesion, "rim": rim.numpy()})
    assert asked.parts["x"] == ("lesion", "rim") and asked.same["x"][2, 0]
    changes_only(IMAGE, torch.where(ids == 1, 0, -1), parts={"rim": rim})
    inside = torch.zeros(3, 5, 4, dtype=torch.bool)
    inside[1] = True
    changes_only(VOLUME, torch.where(inside, 0, -1), parts={"slice": inside})


def test_the_parts_are_written_down():
    asked, _ = laid_bare(IMAGE, parts=2)
    assert asked.about["parts"] == {"x": {"name": "patches", "size": 2}}
    asked, _ = laid_bare(TABLE, parts={"a": range(2), "b": 5})
    assert asked.about["parts"] == {"x": {"name": "columns", "groups": {"a": [0, 1], "b": [5]}}}
    asked, _ = laid_bare(TABLE, parts=torch.arange(6))
    assert asked.about["parts"] == {"x": "a mask that was given"}


@pytest.mark.parametrize("x", [IMAGE, VOLUME], ids=["image", "volume"])
def test_painting_puts_each_value_at_its_places(x):
    sides = (2,) * (x.ndim - 2)
    made = cut(2, x, Modality("x", "image" if x.ndim == 4 else "volume", x.shape[1:]))
    values = np.random.default_rng(0).normal(size=(3, len(made.names)))
    found = np.broadcast_to(painted(made, values), x.shape)
    ids = tiles(x.shape[1:], sides)
    for case, *place in itertools.product(range(3), *map(range, x.shape[1:])):
        assert found[(case, *place)] == values[case, ids[tuple(place)]]


def test_a_contribution_paints_its_cases():
    mask = torch.full((3, 1, 5, 7), -1)
    mask[0, :, :2], mask[1, :, 3:], mask[2, :, :, 3] = 0, 1, 2
    asked, d = laid_bare(IMAGE, parts=mask)
    sizes = d.abs().flatten(2).sum(dim=2)
    wanted = torch.zeros(3, 1, 5, 7, dtype=torch.float64)
    for case in range(3):
        wanted[case][mask[case] == case] = sizes[case, case]
    np.testing.assert_allclose(asked.painted("x"), wanted, rtol=1e-12)
    signed = np.broadcast_to(asked.painted("x", "output 9"), IMAGE.shape).copy()
    assert signed[0, 0, 0, 0] == d[0, 0].flatten()[9] and (signed[2] == 0).all()


def test_a_painted_text_is_0_where_no_word_is():
    asked, _ = laid_bare(TEXT)
    assert (asked.painted("x") == np.abs(TEXT.numpy())).all()
