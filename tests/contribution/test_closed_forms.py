"""Models whose shares can be written down (specification, section 5), and algorithm 1 as nested loops."""

import numpy as np
import pytest
import torch

from studykit.case import Modality
from studykit.contribution import modality_contribution
from tests.contribution.twin import Mixed, algorithm_1, normal, several, tiles

CLOSE = {"rtol": 0, "atol": 1e-12}
X1, X2 = normal(7, 3, seed=1), normal(7, 5, seed=2)
W1, W2 = normal(3, seed=3), normal(5, seed=4)


def linear(x1, x2):
    return (x1 @ W1 + x2 @ W2 + 0.7)[:, None]


def shares(*sizes):
    """Of (N,) each."""
    means = [float(size.mean()) for size in sizes]
    return [mean / sum(means) for mean in means]


def found(model, **settings):
    return modality_contribution(model, {"x1": X1, "x2": X2}, **settings)


def of(contribution, aggregation="ratio_of_means"):
    return list(contribution.share(aggregation).values())


def test_a_sum_of_columns_is_the_sum_of_their_sizes():
    wanted = shares((W1 * X1).abs().sum(dim=1), (W2 * X2).abs().sum(dim=1))
    np.testing.assert_allclose(of(found(linear)), wanted, **CLOSE)


def test_whole_modalities_of_a_sum():
    parts = {"x1": "whole", "x2": "whole"}
    np.testing.assert_allclose(
        of(found(linear, parts=parts)), shares((X1 @ W1).abs(), (X2 @ W2).abs()), **CLOSE
    )


def test_filled_by_the_mean_a_sum_counts_distances_from_the_mean():
    filled = found(linear, fill="training_mean", reference={"x1": X1, "x2": X2})
    wanted = shares(*((w * (x - x.mean(dim=0))).abs().sum(dim=1) for w, x in ((W1, X1), (W2, X2))))
    np.testing.assert_allclose(of(filled), wanted, **CLOSE)


def test_a_group_of_columns_counts_what_its_members_sum_to():
    b = normal(5, seed=5)
    grouped = found(linear, parts={"x2": {"a": [0, 3], "b": [1], "c": [2, 4]}}, fill={"x2": b})
    moved = W2 * (X2 - b)
    sizes = sum(moved[:, group].sum(dim=1).abs() for group in ([0, 3], [1], [2, 4]))
    np.testing.assert_allclose(of(grouped), shares((W1 * X1).abs().sum(dim=1), sizes), **CLOSE)


def test_mean_of_ratios_of_a_sum():
    a, b = (W1 * X1).abs().sum(dim=1), (W2 * X2).abs().sum(dim=1)
    wanted = float((a / (a + b)).mean())
    np.testing.assert_allclose(of(found(linear), "mean_of_ratios"), [wanted, 1 - wanted], **CLOSE)
    assert abs(wanted - shares(a, b)[0]) > 1e-3


@pytest.mark.parametrize(("a", "b", "c"), [(0, 0, 1), (0.4, -1.2, 0.8), (1, 2, 0)])
def test_products_are_split_between_their_factors(a, b, c):
    x1, x2 = X1[:, :1], X2[:, :1]
    asked = modality_contribution(lambda x1, x2: a * x1 + b * x2 + c * x1 * x2, {"x1": x1, "x2": x2})
    wanted = shares(((a + c * x2) * x1).abs(), ((b + c * x1) * x2).abs())
    np.testing.assert_allclose(of(asked), wanted, **CLOSE)
    if a == b == 0:
        np.testing.assert_allclose(of(asked), [0.5, 0.5], **CLOSE)


def test_where_both_say_the_same_nothing_moves_and_no_share_is_told():
    ones = torch.ones(3, 1, dtype=torch.float64)
    asked = modality_contribution(lambda x1, x2: torch.maximum(x1, x2), {"x1": ones, "x2": ones})
    for aggregation in ("ratio_of_means", "mean_of_ratios", "per_class"):
        assert np.isnan(of(asked, aggregation)).all()
    assert asked.per_case().isna().all(axis=None) and asked.per_class().isna().all(axis=None)
    assert asked.table()["why"].str.contains("nothing moved").all() and asked.collapse() == ""


def test_the_link_changes_the_shares():
    """4 x1 + x2 at (1, 1): 0.8 of the logit, (s(5) - s(1)) / (2 s(5) - s(1) - s(4)) after the sigmoid."""
    x = {"x1": torch.ones(1, 1, dtype=torch.float64), "x2": torch.ones(1, 1, dtype=torch.float64)}

    def model(x1, x2):
        return 4 * x1 + x2

    assert of(modality_contribution(model, x))[0] == pytest.approx(0.8, abs=1e-12)
    s1, s4, s5 = (1 / (1 + np.exp(-z)) for z in (1, 4, 5))
    wanted = (s5 - s1) / (2 * s5 - s1 - s4)
    assert of(modality_contribution(model, x, output="sigmoid"))[0] == pytest.approx(wanted, abs=1e-12)
    assert wanted == pytest.approx(0.958714, abs=1e-6)


def test_of_a_sum_over_pixels_refinement_only_adds():
    image, w = normal(3, 1, 8, 8, seed=6), normal(8, 8, seed=7)
    inputs = {"image": image, "x1": X1[:3]}

    def additive(image, x1):
        return (w * image[:, 0]).sum(dim=(1, 2))[:, None] + (x1 @ W1)[:, None]

    sizes = []
    for side in (8, 4, 2, 1):
        asked = modality_contribution(additive, inputs, parts={"image": side})
        blocks = (w * image[:, 0]).view(3, 8 // side, side, 8 // side, side).sum(dim=(2, 4))
        np.testing.assert_allclose(asked.sizes["image"][:, 0], blocks.abs().sum(dim=(1, 2)), **CLOSE)
        sizes.append(asked.sizes["image"].sum())
    assert sizes == sorted(sizes) and sizes[-1] > 2 * sizes[0]


def test_of_bits_of_which_one_is_1_each_alone_is_all_together():
    """A bit that is 0 already is what it would be filled with: exactly nothing."""
    bits = torch.eye(3, dtype=torch.float64)[[0, 2, 1, 0, 2]]
    inputs, model = {"bits": bits, "x2": X2[:5]}, Mixed({"bits": bits, "x2": X2[:5]}, 3)
    alone = modality_contribution(model, inputs)
    together = modality_contribution(model, inputs, parts={"bits": "whole"})
    np.testing.assert_allclose(alone.sizes["bits"], together.sizes["bits"], **CLOSE)
    assert (alone.differences["bits"][bits == 0] == 0.0).all() and (
        alone.same["bits"] == (bits == 0).numpy()
    ).all()


KINDS = {
    "image": (normal(3, 2, 5, 7, seed=10), (2, 3)),
    "volume": (normal(3, 1, 3, 4, 5, seed=11), (2, 2, 2)),
    "table": (normal(3, 4, seed=12), None),
    "text": (torch.tensor([[3, 1, 4, 1, 5], [9, 2, 6, 0, 0], [5, 3, 5, 8, 0]]), None),
}


@pytest.mark.parametrize("outputs", [1, 3])
@pytest.mark.parametrize(
    "names", [("image", "table"), ("volume", "table", "text"), tuple(KINDS)], ids=" ".join
)
@pytest.mark.parametrize("size", [0, 1, 5])
def test_algorithm_1_as_nested_loops(names, outputs, size):
    inputs = {name: KINDS[name][0] for name in names}
    ids, parts = {}, {}
    for name in names:
        x, sides = KINDS[name]
        if sides:
            ids[name], parts[name] = several(tiles(x.shape[1:], sides), 3), {"name": "patches", "size": sides}
        else:
            ids[name] = torch.arange(x.shape[1]).expand(3, -1).clone()
    if "text" in names:
        ids["text"][inputs["text"] == 0] = -1
    model = Mixed(inputs, outputs)
    fill = {name: 0.25 for name in names if name != "text"} | ({"text": 7} if "text" in names else {})
    filled = {name: torch.full_like(inputs[name], fill[name]) for name in names}
    d, m = algorithm_1(model, inputs, ids, filled)
    asked = modality_contribution(model, inputs, parts, fill, size=size)
    for name in names:
        np.testing.assert_allclose(asked.differences[name], d[name], **CLOSE)
    assert asked.share() == pytest.approx(m, abs=1e-12)
    assert sum(asked.share().values()) == pytest.approx(1, abs=1e-15)
    assert all(amount > 0.01 for amount in m.values())


def test_absent_is_what_the_modality_says():
    x = {"x1": X1, "x2": X2}
    absent = (1.0, -2.0, 0.5)
    asked = modality_contribution(linear, x, modalities={"x1": Modality("x1", "table", (3,), absent=absent)})
    np.testing.assert_allclose(
        np.abs(asked.differences["x1"][..., 0]), (W1 * (X1 - torch.tensor(absent))).abs(), **CLOSE
    )


@pytest.mark.parametrize("count", [1, 63, 64, 65, 129])
def test_any_number_of_cases(count):
    """Cases are encoded 64 at a time; a last block of one is a block."""
    x1, x2 = normal(count, 2, seed=8), normal(count, 1, seed=9)
    asked = modality_contribution(lambda x1, x2: (x1.sum(1) + x2[:, 0])[:, None], {"x1": x1, "x2": x2})
    np.testing.assert_allclose(asked.differences["x1"][..., 0], -x1, **CLOSE)
    np.testing.assert_allclose(asked.differences["x2"][..., 0], -x2, **CLOSE)
    assert of(asked) == pytest.approx(shares(x1.abs().sum(1), x2[:, 0].abs()), abs=1e-12)
