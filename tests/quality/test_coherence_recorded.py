"""The recorded values of the authors' coherence metrics and class-adjusted degradation score.

The maps go in as the authors scaled them (`heat_scaled`). Where their answer depends on the raster order it
is not compared, or the right answer stands beside it; their interval is too narrow, ours is not.
"""

import numpy as np
import pandas as pd
import pytest

from studykit.quality.iou import iou
from studykit.quality.pointing_game import pointing_game
from studykit.quality.relevance_mass import relevance_mass
from studykit.quality.relevance_rank import relevance_rank
from studykit.quality.summary import class_adjusted, coherence
from tests.models.oracles import record

pytestmark = pytest.mark.real_data
ORDER = ("relevance_mass", "relevance_rank", "iou", "pointing_game")


@pytest.fixture(scope="module")
def recorded():
    return record("coherence")


def scores(heat, mask):
    heat, mask = heat[None], mask.astype(bool)[None]
    found = (relevance_mass(heat, mask), relevance_rank(heat, mask), iou(heat, mask, 0.3))
    return [float(one[0]) for one in (*found, pointing_game(heat, mask))]


def test_every_recorded_map_to_1e_9(recorded):
    about, arrays = recorded
    assert len([name for name in about["cases"] if name.startswith("heat")]) == 20
    compared = dict.fromkeys(ORDER, 0)
    for name, case in about["cases"].items():
        if not name.startswith("heat"):
            continue
        mask, wanted = arrays[f"{name}/mask"], arrays[f"{name}/metrics"]
        found = scores(arrays[f"{name}/heat_scaled"], mask)
        valid = (True, case["RRA_valid"], True, case["PG_valid"])
        for score, ours, theirs, told in zip(ORDER, found, wanted, valid, strict=True):
            if told:
                assert ours == pytest.approx(theirs, abs=1e-9), f"{name} {score}"
                compared[score] += 1
        right = pointing_game(arrays[f"{name}/heat"][None], mask.astype(bool)[None])[0]
        assert right == float(case["true_argmax_in_mask"]), name
        assert mask.mean() == pytest.approx(case["chance"], abs=1e-12)
    assert compared == {"relevance_mass": 20, "relevance_rank": 20, "iou": 20, "pointing_game": 14}


def test_the_interval_is_students_and_the_authors_is_narrower(recorded):
    """Theirs divides by n where n - 1 belongs, so it is narrower by sqrt((n - 1) / n)."""
    about, arrays = recorded
    names = [name for name in about["cases"] if name.startswith("heat")]
    rows = [
        {"method": "a", "modality": "image", "score": score, "case": name, "group": name, "value": value,
         "chance": about["cases"][name]["chance"], "why": ""}
        for name in names
        for score, value in zip(ORDER, arrays[f"{name}/metrics"], strict=True)
    ]  # fmt: skip
    table = coherence(pd.DataFrame(rows), resamples=50).set_index("statistic").loc[list(ORDER)]
    n = len(names)
    np.testing.assert_allclose(table["estimate"], arrays["aggregate/mean"], atol=1e-12)
    sd = arrays["aggregate/std_population"] * np.sqrt(n / (n - 1))
    np.testing.assert_allclose(table["sd"], sd, rtol=1e-12)
    low, high = arrays["aggregate/ci95_authors"].T
    np.testing.assert_allclose((high - low) / (table["high"] - table["low"]), np.sqrt((n - 1) / n), rtol=1e-9)
    np.testing.assert_allclose((table["low"] + table["high"]) / 2, arrays["aggregate/mean"], atol=1e-12)


def test_the_class_adjusted_degradation_score_to_1e_12(recorded):
    _, arrays = recorded
    for at in range(10):
        by_class, ds, alpha, penalty, wanted = (
            arrays[f"adj_{at}/{key}"] for key in ("ds_by_class", "ds", "alpha", "penalty", "ds_adjusted")
        )
        assert class_adjusted(by_class, float(ds), float(alpha)) == pytest.approx(float(wanted), abs=1e-12)
        assert -class_adjusted(by_class, 0.0) == pytest.approx(float(penalty), abs=1e-12)
