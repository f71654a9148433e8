"""Quantus as a second witness, on maps without ties and regions that are not empty."""

import numpy as np
import pytest

from studykit.quality.pointing_game import pointing_game
from studykit.quality.relevance_mass import relevance_mass
from studykit.quality.relevance_rank import relevance_rank
from studykit.quality.sparseness import gini

quantus = pytest.importorskip("quantus", reason="the extra 'test' brings Quantus")
QUIET = {"normalise": False, "abs": False, "disable_warnings": True, "display_progressbar": False}


def theirs(metric, heat, region):
    about = {"x_batch": np.zeros_like(heat)[:, None], "y_batch": np.zeros(len(heat), dtype=int)}
    found = metric(**QUIET)(
        model=None, a_batch=heat[:, None].copy(), s_batch=region[:, None], channel_first=True, **about
    )
    return np.array(found, dtype=float)


@pytest.mark.parametrize(
    ("ours", "metric"),
    [
        (pointing_game, quantus.PointingGame),
        (relevance_mass, quantus.RelevanceMassAccuracy),
        (relevance_rank, quantus.RelevanceRankAccuracy),
    ],
    ids=["pointing game", "relevance mass", "relevance rank"],
)
def test_quantus_gives_the_same_numbers(ours, metric):
    rng = np.random.default_rng(0)
    heat, region = rng.random((40, 13, 9)), rng.random((40, 13, 9)) < 0.3
    found = ours(heat, region)
    np.testing.assert_allclose(found, theirs(metric, heat, region), rtol=1e-12)
    assert 0.1 < found.mean() < 0.5 and found.std() > 0.01


def test_quantus_gives_the_same_gini_index():
    """It adds 1e-7 to every value, which is why this one is compared to 1e-5."""
    heat = np.random.default_rng(1).random((20, 13, 9)) ** 3
    np.testing.assert_allclose(gini(heat), theirs(quantus.Sparseness, heat, heat > 0), rtol=1e-5)
