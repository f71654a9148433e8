"""Does the sampling interval hold what all parts would have given? Counted over draws from exact differences.

64 of 256 parts are asked of each case, drawn as the engine draws them; 500 draws; the interval says 95 %. The
evidence is spread over the picture, lies around one place, or nearly all of it in one to three parts; cases
move by as much as one another, or by a log-normal factor (`unlike` is its standard deviation on the log).
"""

import numpy as np
import pytest
from scipy.optimize import brentq
from scipy.stats import t as student

from studykit.contribution import Contribution
from studykit.contribution.occlusion import _orders

PARTS, ASKED, DRAWS = 256, 64, 500
KINDS = ("spread", "around one place", 3, 2, 1)


def evidence(kind, cases, unlike=0.0, seed=0):
    """Exact sizes (cases, 256) of a picture's parts; a case's add up to 1, times its factor."""
    draw = np.random.default_rng([seed, cases])
    if kind == "spread":
        found = draw.lognormal(0, 1, (cases, PARTS))
    elif kind == "around one place":
        grid, centre = np.arange(16) + 0.5, draw.uniform(0, 16, (2, cases, 1))
        along, across = np.exp(-((grid - centre) ** 2) / 8)  # two parts wide
        found = (along[:, :, None] * across[:, None]).reshape(cases, PARTS) + 0.01
    else:
        found = 0.05 / PARTS * draw.lognormal(0, 0.5, (cases, PARTS))
        for case in found:
            case[draw.choice(PARTS, kind, replace=False)] += 0.95 * draw.dirichlet(np.full(kind, 3.0))
    return found / found.sum(axis=1, keepdims=True) * draw.lognormal(0, unlike, (cases, 1))


def contribution(sizes, asked=None):
    """Of one output's differences, as large as `sizes` {name: (cases, h)}; NaN where not `asked`."""
    differences = {}
    for name, size in sizes.items():
        known = -size if asked is None else np.where(asked[name], -size, np.nan)
        differences[name] = known[..., None]
    same = {name: np.zeros(size.shape, dtype=bool) for name, size in sizes.items()}
    parts = {name: tuple(map(str, range(size.shape[1]))) for name, size in sizes.items()}
    ids = [str(case) for case in range(len(size))]
    return Contribution(ids, ids, ("a",), differences, same, parts, {})


def drawn(sizes, seed, asked=ASKED):
    """The same, where the engine's draw asks so many parts of each case and modality."""
    turns = _orders({name: np.zeros(size.shape, dtype=bool) for name, size in sizes.items()}, seed)
    return contribution(sizes, {name: turn < asked for name, turn in turns.items()})


def held(image, other=None):
    """How often the interval of the picture's share holds the share that all parts give."""
    record = np.full((len(image), 20), 1 / 20)  # all 20 columns are asked
    sizes = {"image": image, "other": record if other is None else other}
    truth = contribution(sizes).share()["image"]
    intervals = (drawn(sizes, seed).sampling_interval()["image"] for seed in range(DRAWS))
    return np.mean([low <= truth <= high for low, high in intervals])


@pytest.mark.parametrize("unlike", [0.0, 0.5])
@pytest.mark.parametrize("kind", KINDS)
def test_the_interval_holds_the_exact_share_of_twenty_cases(kind, unlike):
    assert 0.92 <= held(evidence(kind, 20, unlike)) <= 0.98


@pytest.mark.parametrize("kind", [3, 2, 1])
def test_where_cases_are_very_unlike_it_needs_forty(kind):
    """The largest of 40 cases moves by some 80 times as much as the smallest."""
    assert 0.92 <= held(evidence(kind, 40, 1.0)) <= 0.98


@pytest.mark.parametrize("kind", ["spread", 1])
def test_it_holds_it_where_both_modalities_are_sampled(kind):
    assert 0.92 <= held(evidence(kind, 20, 0.5), evidence("spread", 20, 0.5, seed=1)) <= 0.98


def test_it_cannot_know_of_what_was_hardly_ever_hit():
    """The limit that is stated: one part of five cases is hit 1.25 times on average, and often never."""
    assert held(evidence(1, 5)) < 0.85


def test_the_interval_is_where_the_equation_holds():
    """(1 - r)^2 = t^2 e^2 r at both ends, r the odds over the estimated odds; e, t from sums case by case."""
    sizes = {"image": evidence(3, 6, 0.5)[:, :60], "other": evidence("spread", 6, 0.5)[:, :40]}
    found, error, unsure = drawn(sizes, seed=4, asked=9), 0.0, 0.0
    for name, size in sizes.items():
        h, variances = size.shape[1], []
        for case in found.differences[name]:
            asked = [abs(one) for one in case[:, 0] if not np.isnan(one)]
            middle = sum(asked) / 9
            variances.append(h**2 / 9 * (1 - 9 / h) * sum((one - middle) ** 2 for one in asked) / 8)
        middle, mean = sum(variances) / 6, found.sizes[name].sum() / 6
        between = 6 * sum((one - middle) ** 2 for one in variances) / 5
        within = sum(2 * one**2 / 8 for one in variances)
        error += sum(variances) / 36 / mean**2
        unsure += max(between, within) / 6**4 / mean**4
    wide = student.ppf(0.95, 2 * error**2 / unsure) ** 2 * error
    ends = [brentq(lambda r: (1 - r) ** 2 - wide * r, *around) for around in ((1e-9, 1), (1, 1e9))]
    share = found.share()["image"]
    odds = [share / (1 - share) * r for r in ends]
    low, high = found.sampling_interval(level=0.9)["image"]
    assert 0.01 < low < share < high and (low, high) == pytest.approx([one / (1 + one) for one in odds])
    other = found.sampling_interval(level=0.9)["other"]
    assert other == pytest.approx((1 - high, 1 - low))
