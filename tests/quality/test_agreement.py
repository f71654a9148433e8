"""How far two methods agree: SciPy, the formula of SSIM by hand, sets, and what must not matter."""

import itertools

import numpy as np
import pytest
from scipy.stats import spearmanr

from studykit.catalog import InputError
from studykit.quality.agreement import Agreement, by_luck, jaccard, spearman, ssim


def drawn(*shape, seed=0):
    rng = np.random.default_rng(seed)
    ours = rng.normal(size=shape)
    return ours, ours + rng.normal(size=shape)


def test_spearman_is_scipys_with_ties_too():
    ours, theirs = drawn(4, 7, 8)
    ours = np.round(ours)
    wanted = [spearmanr(a.ravel(), b.ravel()).statistic for a, b in zip(ours, theirs, strict=True)]
    np.testing.assert_allclose(spearman(ours, theirs), wanted, atol=1e-12)


def ssim_by_hand(a, b, width):
    """The mean over all windows of the formula, with the sample variances that scikit-image takes."""
    found, sides = [], [range(side - width + 1) for side in a.shape]
    for corner in itertools.product(*sides):
        at = tuple(slice(start, start + width) for start in corner)
        x, y = a[at].ravel(), b[at].ravel()
        xy = np.cov(x, y)
        top = (2 * x.mean() * y.mean() + 1e-4) * (2 * xy[0, 1] + 9e-4)
        found.append(top / ((x.mean() ** 2 + y.mean() ** 2 + 1e-4) * (xy[0, 0] + xy[1, 1] + 9e-4)))
    return np.mean(found)


@pytest.mark.parametrize(("shape", "width"), [((12, 9), 7), ((6, 8), 5), ((4, 5, 6), 3)], ids=str)
def test_ssim_by_its_formula_in_two_and_three_dimensions(shape, width):
    ours, theirs = drawn(2, *shape)
    for at in range(2):
        a, b = ((x - x.min()) / (x.max() - x.min()) for x in (ours[at], theirs[at]))
        assert ssim(ours, theirs)[at] == pytest.approx(ssim_by_hand(a, b, width), abs=1e-9)
    np.testing.assert_allclose(ssim(3 * ours - 5, theirs), ssim(ours, theirs), atol=1e-9)


def test_jaccard_of_the_top_places_as_sets():
    ours, theirs = drawn(3, 10, 10)
    for at, found in enumerate(jaccard(ours, theirs, 0.2)):
        a, b = (set(np.argsort(-x[at].ravel())[:20].tolist()) for x in (ours, theirs))
        assert found == pytest.approx(len(a & b) / len(a | b), abs=1e-12)


def test_tied_places_count_by_an_even_share():
    ours, theirs = np.array([[9.0, 5, 5, 0, 0]]), np.array([[9.0, 5, 0, 1, 0]])
    # top 2 of 5: (1, .5, .5, 0, 0) and (1, 1, 0, 0, 0)
    assert jaccard(ours, theirs, 0.4)[0] == pytest.approx(1.5 / 2.5)
    assert jaccard(ours, ours, 0.4)[0] == 1.0


def test_a_map_agrees_with_itself_and_not_with_its_reverse(asked_of):
    heat, _ = drawn(2, 12, 12)
    found = Agreement()(asked_of(heat, others={"same": heat, "reverse": -heat}))
    for measure in ("spearman", "ssim", "jaccard"):
        assert found[f"{measure} with same"].values == pytest.approx([1, 1], abs=1e-6)
    assert found["spearman with reverse"].values == pytest.approx([-1, -1], abs=1e-6)
    assert found["jaccard with reverse"].values.tolist() == [0, 0]
    size = Agreement(absolute=True)(asked_of(heat, others={"reverse": -heat}))
    assert size["spearman with reverse"].values == pytest.approx([1, 1], abs=1e-6)


def test_maps_that_know_nothing_of_each_other_get_the_chance_stated(asked_of):
    rng, count = np.random.default_rng(0), 1500
    ours, theirs = rng.random((2, count, 30))
    found = Agreement(share=0.2)(asked_of(ours, kind="table", others={"other": theirs}))
    assert list(found) == ["spearman with other", "jaccard with other"]
    measured = found["jaccard with other"]
    gap = measured.values - measured.chance
    assert abs(gap.mean()) < 3 * gap.std(ddof=1) / np.sqrt(count)
    rho = found["spearman with other"].values
    assert abs(rho.mean()) < 3 * rho.std(ddof=1) / np.sqrt(count)


def test_chance_by_all_pairs_of_top_places():
    each = []
    for a in itertools.combinations(range(6), 2):
        each += [len({0, 1} & set(a)) / len({0, 1} | set(a))]
    assert by_luck(np.zeros((1, 6)), 0.33)[0] == pytest.approx(np.mean(each), abs=1e-12)


def test_where_agreement_cannot_be_told_there_is_a_reason(asked_of):
    heat, other = drawn(3, 8, 8)
    other[1] = 0.5
    inputs = np.ones((3, 1, 8, 8), dtype=np.float32)
    inputs[2] = np.nan
    for found in Agreement()(asked_of(heat, heat > 99, inputs=inputs, others={"b": other})).values():
        assert np.isnan(found.values).tolist() == [False, True, True]
        assert found.why == ["", "one of the two maps is the same everywhere", "the case has no m"]
    thin = Agreement()(asked_of(heat[:, :2], others={"b": other[:, :2]}))["ssim with b"]
    assert np.isnan(thin.values).all() and thin.why[0] == "a side of the picture is below 3 places"
    other[0, 0, 0] = np.nan
    broken = Agreement()(asked_of(heat, others={"b": other}))["spearman with b"]
    assert np.isnan(broken.values[0]) and broken.why[0].startswith("the map holds values that are no numbers")


def test_a_text_is_compared_where_it_has_words(asked_of):
    words = np.array([[3.0, 4, 5, 6, 0, 0, 0, 0]], dtype=np.float32)
    ours, theirs = np.array([[1.0, 2, 3, 4, 0, 0, 0, 0]]), np.array([[-4.0, -3, -1, -2, 0, 0, 0, 0]])
    found = Agreement(share=0.5)(asked_of(ours, kind="text", inputs=words, others={"b": theirs}))
    assert found["spearman with b"].values[0] == pytest.approx(spearmanr([1, 2, 3, 4], [-4, -3, -1, -2])[0])
    assert found["jaccard with b"].values[0] == 1.0


def test_what_cannot_be_gets_a_sentence(asked_of):
    heat, _ = drawn(2, 8, 8)
    with pytest.raises(InputError, match="explain these cases by another one, too"):
        Agreement()(asked_of(heat))
    asked = asked_of(heat, others={"b": heat})
    asked.others["b"].maps = {}
    with pytest.raises(InputError, match="No other method has a map of 'm'"):
        Agreement()(asked)
    with pytest.raises(InputError, match="lies between 0 and 1"):
        Agreement(share=1.0)
