"""The simulator: its true AUC, its variances, its designs, and that it can be repeated."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from studykit.catalog import InputError
from studykit.trust.auc import auc
from studykit.trust.reader_accuracy import accuracy
from studykit.trust.readings import design, readings
from studykit.trust.roe_metz import CASES, reader_variance, roe_metz, simulated


@pytest.mark.parametrize("structure", ["HH", "HL", "LH", "LL"])
@pytest.mark.parametrize("wanted", [(0.702, 0.855), (0.962, 0.9)])
def test_mean_auc_is_the_true_one(structure, wanted):
    rng = np.random.default_rng(0)
    areas = [
        accuracy(simulated(rng, 10, 20, 20, wanted, structure), "auc", "delong").estimate.mean(axis=1)
        for _ in range(400)
    ]
    error = np.std(areas, axis=0) / np.sqrt(len(areas))
    assert (np.abs(np.mean(areas, axis=0) - wanted) < 4 * error).all()
    assert (error < 0.005).all()


def test_reader_variances_are_those_of_the_paper():
    for area, high in ((0.702, 0.011), (0.855, 0.030), (0.962, 0.056)):
        assert reader_variance("HH", (area, area)) == high
        assert reader_variance("LL", (area, area)) == 0.0055
    with pytest.raises(InputError, match="structure"):
        reader_variance("HM", (0.8,))


@pytest.mark.parametrize("structure", ["HH", "LL"])
def test_variances_of_ratings(structure):
    """Of the negative cases of many readers: covariances of the same case seen again in other ways."""
    rng = np.random.default_rng(1)
    found = {}
    for _ in range(30):
        x = simulated(rng, 30, 1, 400, (0.855, 0.855), structure).ratings[:, :, 1:]
        x = x - x.mean(axis=2, keepdims=True)
        by = np.einsum("ijk,lmk->ijlm", x, x) / (x.shape[2] - 1)
        same_i, same_j = np.eye(2, dtype=bool), np.eye(30, dtype=bool)
        for name, kind in {
            "all": (same_i, same_j), "reader": (~same_i, same_j), "condition": (same_i, ~same_j),
            "none": (~same_i, ~same_j),
        }.items():  # fmt: skip
            mask = kind[0][:, None, :, None] & kind[1][None, :, None, :]
            found.setdefault(name, []).append(by[mask].mean())
    c, tc, rc, e = CASES[structure[0]]
    wanted = {"all": c + tc + rc + e, "reader": c + rc, "condition": c + tc, "none": c}
    for name, value in wanted.items():
        assert np.mean(found[name]) == pytest.approx(value, abs=0.015), name


def test_spread_of_readers():
    rng = np.random.default_rng(2)
    for structure, variance in (("HH", 0.03), ("HL", 0.0055)):
        true = stats.norm.ppf(0.855) * np.sqrt(2 + 4 * variance)
        x = simulated(rng, 2000, 200, 200, (0.855,), structure)
        of_readers = x.ratings[0, :, x.positive].mean(axis=0) - x.ratings[0, :, ~x.positive].mean(axis=0)
        shared = of_readers - of_readers.mean()
        own = 2 * 0.4 / 200  # cases by reader, and error
        assert shared.var() - own == pytest.approx(4 * variance, rel=0.15)
        assert of_readers.mean() == pytest.approx(true, abs=0.25)


def test_the_same_seed_is_the_same_study():
    pd.testing.assert_frame_equal(roe_metz(seed=4), roe_metz(seed=4))
    assert (roe_metz(seed=4)["rating"] != roe_metz(seed=5)["rating"]).all()


@pytest.mark.parametrize(
    "kind, blocks, rows, words",
    [
        ("crossed", 1, 4 * 2 * 15, "fully crossed"),
        ("split-plot", 2, 4 * 2 * 15, "split-plot: 2 blocks of readers, each with its own cases"),
        ("split-plot", 4, 4 * 2 * 15, "cases nested in readers"),
        ("cases nested", 1, 4 * 2 * 15, "fully crossed; cases nested in conditions"),
        ("readers nested", 1, 8 * 15, "readers nested in conditions"),
    ],
)
def test_designs(kind, blocks, rows, words):
    table = roe_metz(4, 5, 10, design=kind, blocks=blocks)
    assert list(table) == ["reader", "condition", "case", "truth", "rating"]
    assert len(table) == rows
    read = readings(table)
    assert design(read.read, read.patient).words == words
    assert table.groupby("case")["truth"].nunique().max() == 1


def test_five_categories():
    table = roe_metz(5, 50, 50, seed=6, binned=True)
    assert set(table["rating"]) == {1, 2, 3, 4, 5}
    fine = roe_metz(5, 50, 50, seed=6)
    for _, (coarse, exact) in enumerate(zip(_areas(table), _areas(fine), strict=True)):
        assert abs(coarse - exact) < 0.06


def _areas(table):
    for _, mine in table.groupby(["reader", "condition"]):
        yield auc(*(mine[mine["truth"] == t]["rating"].to_numpy() for t in (1, 0)))


@pytest.mark.parametrize(
    "settings",
    [
        {"readers": 0}, {"positive": 0}, {"auc": (0.5, 1.0)}, {"structure": "XY"}, {"design": "latin"},
        {"blocks": 2}, {"design": "split-plot"}, {"design": "split-plot", "blocks": 3},
    ],
)  # fmt: skip
def test_wrong_settings(settings):
    with pytest.raises(InputError):
        roe_metz(**settings)
