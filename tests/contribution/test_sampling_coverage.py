"""Does the sampling interval hold what all parts would have given? Counted over draws from exact differences.

64 of 256 parts are asked of each case, as the engine draws them; 500 draws; the interval says 95 %. The
evidence is spread over the picture, lies around one place, or nearly all of it in one to three parts; and the
cases move by as much as one another, or by a log-normal factor.
"""

import numpy as np
import pytest

from studykit.contribution import Contribution
from studykit.contribution.occlusion import _orders

PARTS, ASKED, DRAWS, OUTPUTS = 256, 64, 500, 2


def evidence(kind, cases, unlike, seed=0):
    """Exact sizes (cases, 256) of the parts of a picture; a case's add up to 1, times its factor."""
    draw = np.random.default_rng([seed, cases])
    if kind == "spread":
        found = draw.lognormal(0, 1, (cases, PARTS))
    elif kind == "around one place":
        grid, centre = np.arange(16) + 0.5, draw.uniform(0, 16, (2, cases, 1))
        along, across = np.exp(-((grid - centre) ** 2) / 8)  # standard deviation: two parts
        found = (along[:, :, None] * across[:, None]).reshape(cases, PARTS) + 0.01
    else:
        found = 0.05 / PARTS * draw.lognormal(0, 0.5, (cases, PARTS))
        for case in found:
            where = draw.choice(PARTS, kind, replace=False)
            case[where] += 0.95 * draw.dirichlet(np.full(kind, 3.0))
    return found / found.sum(axis=1, keepdims=True) * draw.lognormal(0, unlike, (cases, 1))


def contribution(sizes, record, asked):
    """Differences whose |.| add up to `sizes`, unknown where a part is not `asked`; a record of 20 columns."""
    signed = np.stack([sizes * share * sign for share, sign in ((0.3, 1), (0.7, -1))], axis=2)
    differences = {
        "image": np.where(asked[..., None], signed, np.nan),
        "record": np.full((len(sizes), 20, OUTPUTS), record / 20 / OUTPUTS),
    }
    same = {name: np.zeros(d.shape[:2], dtype=bool) for name, d in differences.items()}
    ids, parts = [str(k) for k in range(len(sizes))], {n: tuple(map(str, range(d.shape[1]))) for n, d in differences.items()}
    return Contribution(ids, ids, ("a", "b"), differences, same, parts, {})


def held(sizes, record, asked=ASKED, draws=DRAWS):
    """How often the interval of the picture's share holds the share that all parts give."""
    truth = contribution(sizes, record, np.ones(sizes.shape, dtype=bool)).share()["image"]
    same = {"image": np.zeros(sizes.shape, dtype=bool)}
    found = []
    for seed in range(draws):
        turn = _orders(same, seed)["image"]
        low, high = contribution(sizes, record, turn < asked).sampling_interval()["image"]
        found.append(low <= truth <= high)
    return np.mean(found)


@pytest.mark.parametrize("unlike", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("kind", ["spread", "around one place", 3, 2, 1])
@pytest.mark.parametrize("cases", [40, 100])
def test_it(cases, kind, unlike):
    got=[held(evidence(kind, cases, unlike, seed=s), 1.0) for s in range(2)]
    print(cases, kind, unlike, got)
