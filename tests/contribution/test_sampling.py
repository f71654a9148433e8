"""A few parts of each case, drawn at random: how many are asked, and what the shares then say."""

import numpy as np
import pytest
import torch

from studykit.catalog import InputError
from studykit.contribution import modality_contribution
from tests.contribution.twin import Mixed, normal

INPUTS = {"image": normal(6, 1, 8, 8, seed=1), "record": normal(6, 5, seed=2)}
MODEL, PARTS = Mixed(INPUTS, 2), {"image": 2}
EXACT = modality_contribution(MODEL, INPUTS, PARTS)


def sampled(count, **settings):
    return modality_contribution(MODEL, INPUTS, PARTS, sampled=count, **settings)


@pytest.mark.parametrize("count", [1, 3, 5, 16])
def test_exactly_so_many_parts_of_each_case_are_asked(count):
    found = sampled(count)
    for name, there in {"image": 16, "record": 5}.items():
        asked = ~np.isnan(found.differences[name][..., 0])
        assert (asked.sum(axis=1) == min(count, there)).all()
        np.testing.assert_allclose(found.differences[name][asked], EXACT.differences[name][asked], atol=1e-12)
    assert found.forwards == 6 * (1 + min(count, 16) + min(count, 5))
    assert found.about["sampled"] == count


def test_parts_that_change_nothing_are_not_drawn():
    image = INPUTS["image"].clone()
    image[0, :, :6], image[1] = 0, 0
    found = modality_contribution(MODEL, {**INPUTS, "image": image}, PARTS, sampled=3)
    asked = ~np.isnan(found.differences["image"][..., 0]) & ~found.same["image"]
    assert asked.sum(axis=1).tolist() == [3, 0, 3, 3, 3, 3] and asked[0, 12:].sum() == 3


def test_each_case_has_a_draw_of_its_own_by_the_seed():
    drawn = [~np.isnan(sampled(4, seed=seed).differences["image"][..., 0]) for seed in (0, 0, 1)]
    assert (drawn[0] == drawn[1]).all() and (drawn[0] != drawn[2]).any()
    assert len({tuple(case) for case in drawn[0]}) > 1


def test_over_many_seeds_sizes_are_right_on_average_and_their_error_is_what_is_told():
    found = [sampled(3, seed=seed) for seed in range(200)]
    for name in INPUTS:
        sizes = np.array([one.sizes[name].sum(axis=1).mean() for one in found])
        exact = EXACT.sizes[name].sum(axis=1).mean()
        assert abs(sizes.mean() - exact) < 3 * sizes.std(ddof=1) / np.sqrt(200)
        by_part = np.array([one.per_part(name) * one._stacked.sum(axis=(1, 2)).mean() for one in found])
        wanted = EXACT.per_part(name) * EXACT._stacked.sum(axis=(1, 2)).mean()
        error = by_part.std(axis=0, ddof=1) / np.sqrt(200)
        assert (np.abs(by_part.mean(axis=0) - wanted) < 4 * error).all()
        shares = np.array([one.share()[name] for one in found])
        told = np.mean([one.sampling_error()[name] for one in found])
        assert told == pytest.approx(shares.std(ddof=1), rel=0.2) and told > 0.01
    inside = [
        low <= EXACT.share()["image"] <= high
        for low, high in (one.sampling_interval()["image"] for one in found)
    ]
    assert 0.88 <= np.mean(inside) <= 0.99


def test_the_error_of_each_size_is_the_formula_for_drawing_without_replacement():
    """var D = 1/N^2 sum_k h^2/n (1 - n/h) s_k^2; the share's error by its slopes, taken as differences."""
    found, n, variance, mean = sampled(3), 3, {}, {}
    for name, h in {"image": 16, "record": 5}.items():
        each, sums = [], []
        for case in found.differences[name]:
            sizes = [float(np.abs(part).sum()) for part in case if not np.isnan(part[0])]
            middle = sum(sizes) / n
            each.append(h**2 / n * (1 - n / h) * sum((size - middle) ** 2 for size in sizes) / (n - 1))
            sums.append(h * middle)
        variance[name], mean[name] = sum(each) / 36, sum(sums) / 6

    def share(image, record):
        return image / (image + record)

    step, slopes = 1e-6, {}
    for name in mean:
        up, down = ({**mean, name: mean[name] + side * step} for side in (1, -1))
        slopes[name] = (share(**up) - share(**down)) / (2 * step)
    wanted = np.sqrt(sum(slopes[name] ** 2 * variance[name] for name in mean))
    assert found.sampling_error() == pytest.approx({"image": wanted, "record": wanted}, rel=1e-6)


def test_all_parts_asked_is_the_exact_answer_without_error():
    for found in (sampled(16), sampled(1000), EXACT, sampled(2, until=1e-9)):
        for name, d in found.differences.items():
            np.testing.assert_allclose(d, EXACT.differences[name], atol=1e-12)
        assert found.share() == pytest.approx(EXACT.share(), abs=1e-12)
        assert found.sampling_error() == {"image": 0.0, "record": 0.0}
        for name, (low, high) in found.sampling_interval().items():
            assert low == high == pytest.approx(EXACT.share()[name])


def test_until_asks_on_only_as_long_as_the_interval_is_wide():
    rounds = []
    for width in (0.6, 0.3, 0.15):
        found = sampled(2, until=width)
        assert all(high - low < width for low, high in found.sampling_interval().values())
        asked = int((~np.isnan(found.differences["image"][0, :, 0])).sum())
        assert asked % 2 == 0
        if asked > 2:
            before = sampled(asked - 2)
            assert any(high - low >= width for low, high in before.sampling_interval().values())
        rounds.append(asked)
    assert rounds == sorted(rounds) and rounds[0] < rounds[-1] <= 16 and found.forwards < EXACT.forwards
    again = sampled(2 * (rounds[0] // 2), seed=0)  # two rounds of two are one of four
    np.testing.assert_array_equal(
        np.isnan(again.differences["image"]), np.isnan(sampled(2, until=0.6).differences["image"])
    )


def test_until_does_not_stop_at_a_modality_of_which_no_part_that_moves_was_drawn_yet():
    """The picture's weight lies in one of 64 patches: that nothing drawn moved is no proof of nothing."""

    def model(image, record):
        return 20 * image[:, :, 3, 3] + record.sum(dim=1, keepdim=True)

    inputs = {"image": INPUTS["image"].abs() + 1, "record": INPUTS["record"]}
    exact = modality_contribution(model, inputs, {"image": 1})
    assert exact.share()["image"] > 0.5
    for seed in range(5):
        found = modality_contribution(model, inputs, {"image": 1}, sampled=2, until=0.1, seed=seed)
        low, high = found.sampling_interval()["image"]
        assert high - low < 0.1 and found.share()["image"] > 0
    first = modality_contribution(model, inputs, {"image": 1}, sampled=2, seed=0)
    assert first.share()["image"] == 0.0  # else this seed shows nothing
    assert first.sampling_interval() == {"image": (0.0, 1.0), "record": (0.0, 1.0)}
    ignored = modality_contribution(lambda image, record: image[:, 0, 0], INPUTS, {"image": 4}, sampled=5)
    assert ignored.sampling_interval() == {"image": (1.0, 1.0), "record": (0.0, 0.0)}  # all were asked


def test_what_was_sampled_has_wider_intervals_over_patients():
    few = [sampled(2, seed=seed).table(resamples=300).iloc[0] for seed in range(20)]
    widths = [row["high"] - row["low"] for row in few]
    exact = EXACT.table(resamples=300).iloc[0]
    assert np.mean(widths) > exact["high"] - exact["low"]


def test_one_part_a_case_tells_no_error():
    with pytest.raises(
        InputError, match="One part of 'image' was asked of a case; an error can be told from two"
    ):
        sampled(1).sampling_error()


def test_batches_of_a_loader_are_sampled_too():
    batches = ({name: x[at : at + 2] for name, x in INPUTS.items()} for at in (0, 2, 4))
    found = modality_contribution(MODEL, batches, PARTS, sampled=3)
    asked = ~np.isnan(found.differences["image"][..., 0])
    assert (asked.sum(axis=1) == 3).all() and len({tuple(case) for case in asked}) > 3
    assert torch.tensor(list(found.sampling_error().values())).gt(0).all()
