"""ROAD and IROF against dense solves, closed forms and slow twins."""

import numpy as np
import pytest
import torch
from quantus.functions.perturb_func import noisy_linear_imputation

from quality.test_curves import (
    IMAGE,
    LINEAR,
    RECORD,
    VOLUME,
    asked_about,
    cases,
    drawn_heat,
    network,
)
from studykit.case import Modality, Task
from studykit.catalog import InputError
from studykit.quality.irof import IROF, mean_relevance, superpixels
from studykit.quality.road import ROAD, imputed


def dense(picture, gone):
    """Place by place: the weighted mean of the neighbours within the border, all in one dense system."""
    places = [tuple(p) for p in np.argwhere(gone)]
    system, given = np.zeros((len(places), len(places))), np.zeros((len(places), len(picture)))
    for row, (y, x) in enumerate(places):
        for dy in (-1, 0, 1):
            for dx in (-1, 0, 1):
                at = (y + dy, x + dx)
                if at == (y, x) or min(at) < 0 or at[0] >= gone.shape[0] or at[1] >= gone.shape[1]:
                    continue
                weight = 1 / 12 if dy and dx else 1 / 6
                system[row, row] += weight
                if gone[at]:
                    system[row, places.index(at)] -= weight
                else:
                    given[row] += weight * picture[:, at[0], at[1]]
    found = picture.copy()
    found[:, gone] = np.linalg.solve(system, given).T
    return found


@pytest.mark.parametrize("share", [0.1, 0.5, 0.95])
def test_painting_over_is_what_a_dense_system_gives(share):
    draw = np.random.default_rng(0)
    picture = draw.normal(size=(2, 8, 8))
    gone = draw.permutation(64).reshape(8, 8) < round(share * 64)
    found = imputed(picture, gone)
    np.testing.assert_allclose(found, dense(picture, gone), atol=1e-12)
    np.testing.assert_array_equal(found[:, ~gone], picture[:, ~gone])
    assert np.abs(found - picture)[:, gone].max() > 0.1


def test_painting_over_agrees_with_quantus():
    draw = np.random.default_rng(1)
    picture = draw.normal(size=(3, 12, 12))
    gone = draw.random((12, 12)) < 0.6
    theirs = noisy_linear_imputation(picture, np.flatnonzero(gone), noise=0.0)
    np.testing.assert_allclose(imputed(picture, gone), theirs, atol=1e-9)


def test_a_constant_picture_is_painted_with_its_constant():
    gone = np.ones((8, 8), dtype=bool)
    gone[7, 0] = False
    np.testing.assert_allclose(imputed(np.full((1, 8, 8), 3.7), gone), 3.7, atol=1e-12)
    none = np.zeros((8, 8), dtype=bool)
    np.testing.assert_array_equal(imputed(np.full((1, 8, 8), 3.7), none), np.full((1, 8, 8), 3.7))


def test_road_by_painting_each_picture_by_hand():
    model, batch = network(modalities=(IMAGE, RECORD)), cases(modalities=(IMAGE, RECORD))
    heat = drawn_heat(batch, "image")
    found = ROAD(percentiles=(20, 70), noise=0.0)(asked_about(model, batch, "image", heat))["road"]
    for case in range(4):
        said = {}
        for name, sign in (("morf", -1), ("lerf", 1)):
            turn = np.argsort(sign * heat[case].ravel())
            for share in (0.2, 0.7):
                gone = np.zeros(120, dtype=bool)
                gone[turn[: round(share * 120)]] = True
                x = dense(batch.inputs["image"][case].double().numpy(), gone.reshape(12, 10))
                one = {"image": torch.tensor(x)[None].float(), "record": batch.inputs["record"][[case]]}
                with torch.no_grad():
                    said[name, share] = float(torch.sigmoid(model(one)["t"][0, 0]))
        np.testing.assert_allclose(
            found.curves["road, morf"][case], [said["morf", s] for s in (0.2, 0.7)], atol=1e-6
        )
        wanted = np.mean([said["lerf", s] - said["morf", s] for s in (0.2, 0.7)])
        assert found.values[case] == pytest.approx(wanted, abs=1e-6)
    np.testing.assert_allclose(found.steps, [0.2, 0.7])
    assert np.ptp(found.values) > 1e-4


def test_road_of_the_reversed_map_is_turned_over_and_single_cases_agree():
    model, batch = network(modalities=(IMAGE,)), cases(modalities=(IMAGE,))
    heat = drawn_heat(batch, "image")
    one, other = (ROAD()(asked_about(model, batch, "image", h))["road"] for h in (heat, -heat))
    np.testing.assert_allclose(one.values, -other.values, atol=1e-7)
    assert np.abs(one.values).min() > 1e-5 and one.chance.tolist() == [0] * 4
    single = ROAD()(asked_about(model, batch.take([3]), "image", heat[[3]]))["road"]
    assert single.values[0] == pytest.approx(one.values[3], abs=1e-7)
    without = ROAD(noise=0.0)(asked_about(model, batch, "image", heat))["road"]
    assert 0 < np.abs(without.values - one.values).max() < 0.01


def test_irof_by_taking_superpixels_away_one_by_one():
    model, batch = network(modalities=(IMAGE, RECORD)), cases(modalities=(IMAGE, RECORD))
    batch.inputs["image"][1] *= 300  # superpixels do not depend on the unit
    heat = drawn_heat(batch, "image")
    found = IROF(segments=6)(asked_about(model, batch, "image", heat))["irof"]
    for case in range(4):
        picture = batch.inputs["image"][case]
        labels = superpixels(picture.numpy(), 6, IMAGE)
        count = labels.max() + 1
        assert 3 <= count <= 12 and len(np.unique(labels)) == count
        turn = sorted(range(count), key=lambda s: -heat[case][labels == s].mean())
        kept, said = picture.clone(), []
        for segment in [None, *turn]:
            if segment is not None:
                kept[:, labels == segment] = picture.mean((1, 2))[:, None]
            one = {"image": kept[None], "record": batch.inputs["record"][[case]]}
            with torch.no_grad():
                said.append(float(torch.sigmoid(model(one)["t"][0, 0])))
        ratio = np.array(said) / said[0]
        wanted = 1 - sum((a + b) / 2 for a, b in zip(ratio, ratio[1:], strict=False)) / count
        assert found.values[case] == pytest.approx(wanted, abs=1e-5)
        assert found.curves["irof"][case, [0, -1]] == pytest.approx([said[0], said[-1]], abs=1e-6)
    assert np.ptp(found.values) > 1e-4


def test_superpixels_follow_the_pictures_edges_to_a_pixel():
    picture = np.zeros((1, 32, 32), dtype=np.float32)
    picture[:, :, 13:] = 1.0  # an edge where no grid of equal tiles has one
    labels = superpixels(picture, 16, Modality("image", "image", (1, 32, 32)))
    assert not set(labels[:, :12].ravel()) & set(labels[:, 14:].ravel())
    assert len(np.unique(labels)) > 6
    heat = np.arange(1024.0).reshape(32, 32)
    np.testing.assert_allclose(
        mean_relevance(heat, labels)[labels[5, 5]], heat[labels == labels[5, 5]].mean()
    )


def test_grain_does_not_join_the_picture_into_one_superpixel():
    """Of 50 wished for; unsmoothed, SLIC gives one."""
    grain = np.random.default_rng(0).random((1, 64, 64))
    labels = superpixels(grain, 50, Modality("image", "image", (1, 64, 64)))
    assert labels.max() > 35 and np.bincount(labels.ravel()).max() < 0.06 * 4096


def test_irof_of_a_volume_and_of_a_case_that_lacks_it():
    model, batch = network(modalities=(IMAGE, VOLUME)), cases(modalities=(IMAGE, VOLUME))
    batch.inputs["volume"][2] = torch.nan
    found = IROF(segments=8)(asked_about(model, batch, "volume", drawn_heat(batch, "volume")))["irof"]
    assert np.isnan(found.values).tolist() == [False, False, True, False]
    assert found.why[2] == "The case has no 'volume'."
    heat = drawn_heat(batch, "volume")
    single = IROF(segments=8)(asked_about(model, batch.take([3]), "volume", heat[[3]]))["irof"]
    assert single.values[0] == pytest.approx(found.values[3], abs=1e-5)
    batch.inputs["image"][:] = torch.nan
    for score in (IROF(), ROAD()):
        none = score(asked_about(model, batch, "image", drawn_heat(batch, "image")))[score.name]
        assert np.isnan(none.values).all() and none.why == ["The case has no 'image'."] * 4


def test_what_does_not_suit_gets_a_remedy():
    model, batch = network(modalities=(IMAGE, VOLUME)), cases(modalities=(IMAGE, VOLUME))
    asked = asked_about(model, batch, "volume", drawn_heat(batch, "volume"))
    with pytest.raises(InputError, match="paints flat pictures, and 'volume' is none; use irof or degr"):
        ROAD()(asked)
    value = network(modalities=(IMAGE,), task=Task("t", "regression"))
    asked = asked_about(value, batch, "image", drawn_heat(batch, "image"), targets=[0] * 4)
    with pytest.raises(InputError, match="a regression has none; use degradation"):
        IROF()(asked)
    table = asked_about(network(LINEAR, (RECORD,)), cases(modalities=(RECORD,)), "record", np.ones((4, 4)))
    with pytest.raises(InputError, match="looks at image and volume"):
        IROF()(table)
    with pytest.raises(InputError, match="lie between 0 and 100"):
        ROAD(percentiles=(0, 50))
    with pytest.raises(InputError, match="'segments' of irof is 2 or more"):
        IROF(segments=1)
