"""What fusion is: the exclusive-or of two modalities can only be learned by a model that mixes them."""

import warnings
from functools import lru_cache

import pytest
import torch

from studykit.catalog import build
from studykit.datasets import Dataset, Prepared
from studykit.models import FusionModel
from studykit.training.controls import controlled, shuffled
from studykit.training.fit import Training, fit, predicted
from tests.models.interaction import ADDITIVE, IMAGES, MIXING, cohort, scores, trained

DRIFA = {"name": "drifa", "widths": [16, 32, 64], "depths": [1, 1, 1], "dropout": 0.1}
warnings.filterwarnings("ignore", message="With tokens='vector'")


pytestmark = pytest.mark.usefixtures("one_thread")


@lru_cache
def learned(name):
    model, kinds, training = MIXING[name]
    return trained(model, kinds, training)[0]


@pytest.mark.parametrize("name", MIXING)
def test_a_model_that_mixes_learns_it_and_needs_the_right_partner(name):
    together, exchanged = scores(learned(name), MIXING[name][1])
    assert together >= 0.95
    assert abs(exchanged - 0.5) <= 0.03


@pytest.mark.parametrize("name", ["drifa, repaired", "mmtm"])
def test_where_only_gates_mix_holding_them_at_their_mean_leaves_nothing(name):
    model, (_, train, _, test) = learned(name), cohort(IMAGES)
    table = controlled(model, train, test, resamples=200).query("statistic == 'AUROC'").set_index("group")
    assert table.loc["model", "estimate"] > 0.97
    for control in ("first exchanged", "second exchanged", "gates held at their mean"):
        assert abs(table.loc[control, "estimate"] - 0.5) <= 0.04
        assert table.loc[f"model minus {control}", "low"] > 0.4


@pytest.mark.parametrize("name", ADDITIVE)
def test_an_additive_model_stays_at_chance(name):
    model, kinds, training = ADDITIVE[name]
    together, exchanged = scores(trained(model, kinds, training)[0], kinds)
    assert abs(together - 0.5) <= 0.03
    assert abs(exchanged - 0.5) <= 0.03


def test_unrelated_partners_may_be_exchanged():
    """Two people's pictures joined by index, two tasks, as DRIFA-Net was trained: who met does not matter."""
    source = {"name": "breast_phantom", "in_image": 1.0, "in_record": 0.0, "size": 48}
    dataset = build(Dataset, {"name": "unrelated_pair", "first": source, "second": {**source, "seed": 1}})
    ids = list(dataset.cases.index)
    prepared = Prepared.fit(dataset, ids[:400])
    train, val, test = (prepared.load(part) for part in (ids[:320], ids[320:400], ids[400:]))
    torch.manual_seed(0)
    model = build(FusionModel, DRIFA, prepared.schema)
    fit(model, train, val, Training(epochs=30, rate=2e-3, encoder_rate=0.5))
    first, second = (task.name for task in prepared.schema.tasks)
    for task, partner in ((first, "second"), (second, "first")):
        right = {}
        for name, batch in (("joined", test), ("exchanged", shuffled(test, partner))):
            p = predicted(model, batch)[task]
            right[name] = (p.argmax(1) == test.targets[task]).numpy()
        assert right["joined"].mean() >= 0.8  # it learned
        gained = right["joined"].astype(float) - right["exchanged"]
        assert abs(gained.mean()) <= max(0.02, 2 * gained.std() / len(gained) ** 0.5)
