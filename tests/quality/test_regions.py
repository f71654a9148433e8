"""How a map fits a region: each score by slow twins, closed forms, and by what it must not depend on."""

import itertools

import numpy as np
import pytest
import torch

from studykit.case import Batch, Modality, Schema, Task
from studykit.catalog import InputError, build
from studykit.explain import IntegratedGradients
from studykit.models import FusionModel
from studykit.quality import Asked
from studykit.quality.dice import Dice, dice
from studykit.quality.iou import IoU, iou
from studykit.quality.pointing_game import PointingGame, pointing_game
from studykit.quality.relevance_mass import RelevanceMass, area, relevance_mass
from studykit.quality.relevance_rank import RelevanceRank, relevance_rank
from studykit.quality.score import Score
from studykit.quality.threshold import GRID, tuned
from studykit.training.fit import Training, fit

SHAPES = {"image": (9, 11), "volume": (4, 5, 6), "table": (12,), "text": (17,)}
ALL = [RelevanceMass(), RelevanceRank(), IoU(), Dice(), PointingGame()]


def drawn(kind="image", count=3, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(count, *SHAPES[kind])), rng.random((count, *SHAPES[kind])) < 0.3


def by_hand(heat, region, threshold=0.5):
    """The five scores of one map in plain Python, for a map without ties."""
    places = sorted(np.ndindex(heat.shape), key=lambda at: -heat[at])
    inside = {at for at in places if region[at]}
    whole = sum(max(heat[at], 0) for at in places)
    mass = sum(max(heat[at], 0) for at in inside) / whole
    rank = len(inside & set(places[: len(inside)])) / len(inside)
    marked = {at for at in places if max(heat[at], 0) / heat[places[0]] > threshold}
    shared, either = len(marked & inside), len(marked | inside)
    dice = 2 * shared / (len(marked) + len(inside))
    return [mass, rank, shared / either, dice, float(places[0] in inside)]


@pytest.mark.parametrize("kind", SHAPES)
def test_each_score_by_a_slow_twin(kind, asked_of):
    heat, region = drawn(kind)
    asked = asked_of(heat, region, kind)
    wanted = np.array([by_hand(h, r) for h, r in zip(asked.heat, region, strict=True)])
    found = np.stack([score(asked)[score.name].values for score in ALL], axis=1)
    np.testing.assert_allclose(found, wanted, rtol=1e-12)
    for name, score in ((s.name, s) for s in ALL):
        assert score(asked)[name].why == [""] * 3
        one = score(asked_of(heat[1:2], region[1:2], kind))[name].values
        assert one[0] == score(asked)[name].values[1]


@pytest.mark.parametrize("score", ALL, ids=lambda s: s.name)
def test_a_map_that_is_the_mask_scores_one_and_its_complement_zero(score, asked_of):
    _, region = drawn()
    assert score(asked_of(region, region))[score.name].values.tolist() == [1.0] * 3
    assert score(asked_of(~region, region))[score.name].values.tolist() == [0.0] * 3


@pytest.mark.parametrize("score", [RelevanceMass(), RelevanceRank(), PointingGame()], ids=lambda s: s.name)
def test_a_uniform_map_scores_the_area_fraction(score, asked_of):
    _, region = drawn()
    found = score(asked_of(np.full(region.shape, 0.7), region))[score.name]
    np.testing.assert_allclose(found.values, region.mean((1, 2)), rtol=1e-6)
    np.testing.assert_allclose(found.chance, region.mean((1, 2)), rtol=1e-12)


def test_random_maps_score_chance_within_three_standard_errors(asked_of):
    rng, count = np.random.default_rng(1), 4000
    region = np.zeros((count, 6, 7), dtype=bool)
    region[:, 1:3, 2:6] = True
    heat = rng.random(region.shape)
    for score in ALL:
        found = score(asked_of(heat, region))[score.name]
        gap = found.values - found.chance
        assert abs(gap.mean()) < 3 * gap.std(ddof=1) / np.sqrt(count), score.name
        assert found.chance[0] == pytest.approx(8 / 42) or score.name in ("iou", "dice")


@pytest.mark.parametrize("score", [relevance_rank, pointing_game])
def test_an_added_shift_changes_neither_rank_nor_pointing(score):
    heat, region = drawn()
    heat = np.round(heat * 8)  # whole numbers: adding is exact
    assert score(heat + 40, region).tolist() == score(heat, region).tolist()
    assert score(heat - 40, region).tolist() == score(heat, region).tolist()


def test_ties_at_the_last_rank_are_the_mean_over_all_orders():
    heat = np.array([[3.0, 1, 1, 1, 0, 1, -2]])
    region = np.array([[True, True, False, False, False, True, False]])
    hits = []
    for order in itertools.permutations(range(7)):
        ranked = sorted(order, key=lambda at: -heat[0, at])[:3]
        hits.append(np.mean([region[0, at] for at in ranked]))
    assert relevance_rank(heat, region)[0] == pytest.approx(np.mean(hits), abs=1e-12)


def test_clipped_percentiles_must_not_hand_the_game_to_the_first_pixel_of_the_raster():
    """A clip at the 99th percentile ties 1 % of the pixels; the first of them in the raster would score 0."""
    rng, count = np.random.default_rng(2), 300
    region = np.zeros((count, 40, 40), dtype=bool)
    region[:, 20:36, 20:36] = True  # 16 %, far from the raster's first pixels
    heat = rng.random(region.shape)
    clipped = np.minimum(heat, np.quantile(heat, 0.99, axis=(1, 2), keepdims=True))
    first = [region[at].flat[clipped[at].argmax()] for at in range(count)]
    assert np.mean(first) < 0.02  # the trap
    found = pointing_game(clipped, region)
    assert abs(found.mean() - 0.16) < 3 * found.std(ddof=1) / np.sqrt(count)
    top = (clipped == clipped.max(axis=(1, 2), keepdims=True)) & region
    np.testing.assert_allclose(found, top.sum((1, 2)) / 16, rtol=1e-12)  # 1 % of 1600 pixels tie


def test_what_speaks_against_the_class_is_cut_shifted_or_counted():
    heat, region = np.array([[3.0, -1.0, 1.0]]), np.array([[True, False, False]])
    found = [relevance_mass(heat, region, how)[0] for how in ("cut", "shift", "absolute")]
    assert found == pytest.approx([3 / 4, 4 / 6, 3 / 5])
    moved = relevance_mass(heat + 5, region, "shift")[0]
    assert moved == pytest.approx(4 / 6) and relevance_mass(heat + 5, region)[0] == pytest.approx(8 / 18)


def test_a_tolerance_widens_the_region_and_its_chance(asked_of):
    heat, region = np.zeros((1, 7, 7)), np.zeros((1, 7, 7), dtype=bool)
    region[0, 3, 3], heat[0, 1, 3] = True, 1.0
    for tolerance, hit, places in ((0, 0, 1), (1, 0, 5), (1.5, 0, 9), (2, 1, 13)):
        found = PointingGame(tolerance)(asked_of(heat, region))["pointing_game"]
        assert (found.values[0], found.chance[0]) == (hit, places / 49)
        assert pointing_game(heat, region, tolerance)[0] == hit
    with pytest.raises(InputError, match="Columns have no neighbours; play on 'm' with a tolerance of 0"):
        PointingGame(2)(asked_of(np.ones((1, 4)), np.ones((1, 4), dtype=bool), "table"))
    far = PointingGame(2)(asked_of(heat, np.zeros((1, 7, 7), dtype=bool)))["pointing_game"]
    assert np.isnan(far.values[0]) and far.why == ["no region is known in this case"]


def test_a_threshold_is_strict_and_comes_from_other_cases_unless_it_is_set(asked_of):
    heat, region = np.array([[[4.0, 2.0, 1.0, -9.0]]]), np.array([[[True, True, False, False]]])
    assert iou(heat, region, 0.5)[0] == 0.5 and iou(heat, region, 0.49)[0] == 1.0
    asked = asked_of(heat, region, threshold=0.1)
    assert IoU()(asked)["iou"].values[0] == pytest.approx(2 / 3)
    assert IoU(threshold=0.5)(asked)["iou"].values[0] == 0.5
    assert build(Score, {"name": "iou", "threshold": 0.5}) == IoU(0.5)
    assert Dice()(asked)["dice"].values[0] == pytest.approx(4 / 5)


def test_the_tuned_threshold_is_the_best_of_all_on_the_cases_given():
    rng = np.random.default_rng(3)
    region = np.zeros((12, 10, 10), dtype=bool)
    region[:11, 2:6, 3:8] = True  # the last case has none
    heat = rng.random(region.shape) * 0.62 + 0.38 * region
    for score in (dice, iou):
        best = tuned(heat, region, score)
        each = [np.nanmean(score(heat, region, t)) for t in GRID]
        assert best in GRID and 0.4 < best < 0.9
        assert np.nanmean(score(heat, region, best)) == max(each) > each[0] + 0.1
    with pytest.raises(InputError, match="no validation case has a region"):
        tuned(heat[11:], region[11:], dice)
    assert tuned(region * 1.0, region, dice) == 0.0  # all tie: the lowest


def test_chance_of_an_overlap_by_all_ways_to_mark_as_many_places(asked_of):
    heat, region = np.array([[5.0, 4.0, 3.5, 1, 0, 0]]), np.array([[1, 0, 0, 1, 0, 0]], dtype=bool)
    asked = asked_of(heat, region, "table")
    each = {"iou": [], "dice": []}
    for marked in itertools.combinations(range(6), 3):
        shared = len({0, 3} & set(marked))
        each["iou"].append(shared / (5 - shared))
        each["dice"].append(2 * shared / 5)
    for score in (IoU(), Dice()):
        assert score(asked)[score.name].chance[0] == pytest.approx(np.mean(each[score.name]), abs=1e-12)
    assert np.mean(each["dice"]) == pytest.approx(2 * 3 * 2 / (6 * 5))


def test_where_nothing_can_be_told_there_is_a_reason(asked_of):
    heat, region = drawn(count=5)
    region[1] = False
    heat[2] = -1.0
    heat[4, 0, 0] = np.nan
    inputs = np.ones((5, 1, 9, 11), dtype=np.float32)
    inputs[3] = np.nan
    asked = asked_of(heat, region, inputs=inputs)
    silent = "nothing in the map speaks for the class"
    for score in ALL:
        found = score(asked)[score.name]
        ranked = score.name in ("relevance_rank", "pointing_game")
        assert found.why[:2] == ["", "no region is known in this case"]
        assert found.why[2] == ("" if ranked else silent)
        assert found.why[3] == "the case has no m" and "no numbers" in found.why[4]
        assert [bool(reason) for reason in found.why] == np.isnan(found.values).tolist()
        assert np.isnan(found.chance[1])


def test_places_beyond_the_end_of_a_text_do_not_count(asked_of):
    words = np.array([[4.0, 7, 2, 9, 0, 0, 0, 0], [0] * 8, [np.nan] * 8], dtype=np.float32)
    region = np.zeros((3, 8), dtype=bool)
    region[0, [0, 6]] = True  # one place of it is no word
    heat = np.zeros((3, 8))
    heat[0, :4] = [-1, -2, -3, -4]  # padding's 0 would rank highest
    for score in (RelevanceRank(), PointingGame()):
        found = score(asked_of(heat, region, "text", words))[score.name]
        assert (found.values[0], found.chance[0]) == (1.0, 1 / 4)
        assert np.isnan(found.values[1:]).all() and found.why[2] == "the case has no m"
    region[0] = [False] * 4 + [True] * 4  # beyond the end alone; a tolerance must not reach the words
    found = PointingGame(2)(asked_of(heat, region, "text", words))["pointing_game"]
    assert found.why[0] == "no region is known in this case" and np.isnan(found.values[0])


def test_a_region_of_other_cases_or_of_another_size_is_refused(asked_of):
    heat, region = drawn()
    asked = asked_of(heat, region, ids=["a", "b", "c"])
    shuffled = asked.explanation
    shuffled.ids = ["b", "a", "c"]
    with pytest.raises(InputError, match="are of other cases than the batch"):
        type(asked)(None, asked.batch, asked.explainer, shuffled, asked.modality, region)
    with pytest.raises(InputError, match=r"The maps are \(3, 9, 11\) and the region is \(2, 9, 11\)"):
        relevance_mass(heat, region[:2])
    for score in ALL:
        with pytest.raises(InputError, match="needs a reference mask or a planted region"):
            score(asked_of(heat))


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: RelevanceMass(negative="drop"), "'negative' of relevance_mass"),
        (lambda: IoU(threshold=1.0), "at least 0 and below 1"),
        (lambda: Dice(threshold=-0.1), "at least 0 and below 1"),
        (lambda: PointingGame(tolerance=-1.0), "0 or more pixels"),
        (lambda: iou(*drawn(), threshold=2), "at least 0 and below 1"),
    ],
)
def test_settings_that_cannot_be_get_a_sentence(make, sentence):
    with pytest.raises(InputError, match=sentence):
        make()


def test_the_area_is_the_regions_share_of_the_places():
    heat, region = drawn()
    np.testing.assert_allclose(area(heat, region), region.mean((1, 2)))
    heat[0, 0] = np.nan
    assert area(heat, region)[0] == region[0, 1:].mean()


def test_a_patch_that_decides_the_label_holds_the_weight_of_faithful_maps():
    """A patch anywhere in the noise, bright or dark, is the label; only once the model has learned it."""
    rng = np.random.default_rng(0)
    pictures, region = rng.uniform(0.2, 0.8, (240, 16, 16)), np.zeros((240, 16, 16), dtype=bool)
    for at, (down, right) in enumerate(rng.integers(0, 12, (240, 2))):
        region[at, down : down + 4, right : right + 4] = True
    pictures[region] = (0.15 + 0.7 * (np.arange(240) % 2)).repeat(16)
    names = [str(at) for at in range(240)]
    truth = {"t": torch.arange(240) % 2.0}
    cases = Batch(names, names, {"image": torch.as_tensor(pictures[:, None], dtype=torch.float32)}, truth)
    modality = Modality("image", "image", (1, 16, 16), absent=0.5)
    torch.manual_seed(0)
    model = build(
        FusionModel,
        {"name": "alone", "image": {"name": "residual", "widths": [8, 16]}, "dropout": 0.0},
        Schema((modality,), (Task("t", "binary", ("dark", "bright")),)),
    )
    test = cases.take(range(200, 240))
    fit(
        model,
        cases.take(range(160)),
        cases.take(range(160, 200)),
        Training(epochs=30, batch=16, rate=0.01, augment=False),
    )
    with torch.no_grad():
        right = (model.eval()(test.inputs)["t"][:, 0] > 0) == (test.targets["t"] == 1)
    assert right.float().mean() >= 0.95
    found = IntegratedGradients(steps=32)(model, test, of="true")
    asked = Asked(model, test, IntegratedGradients(), found, modality, region[200:])
    for score in (RelevanceMass(), RelevanceRank(), PointingGame()):
        told = score(asked)[score.name]
        assert told.values.mean() > 5 * told.chance.mean(), score.name
