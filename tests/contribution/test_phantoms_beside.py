"""On phantoms whose answer is known, each measure sees what it should and misses what it must."""

from functools import lru_cache

import numpy as np
import pytest
import torch

from studykit.catalog import build
from studykit.contribution import OcclusionByPart, Question, WholeOcclusion
from studykit.contribution.missing import Missing
from studykit.contribution.perceptual import Perceptual
from studykit.contribution.shape_score import ShapeScore
from studykit.contribution.shapley import Shapley, shapley_value, subsets
from studykit.datasets import Dataset, Prepared
from studykit.models import FusionModel
from studykit.training.controls import accuracy
from studykit.training.fit import Training, fit, predicted
from tests.models.interaction import SMALL, TRAINING

MIXING = {"name": "concat", "image": SMALL, "hidden": 32}
LATE = {"name": "late", "image": SMALL}
# cases to learn from (an eighth of them chooses the epoch), what the modalities are, epochs
COHORTS = {
    "redundant_pair": (400, ("image", "image"), 12),
    "xor_phantom": (640, ("image", "table"), 10),
}


pytestmark = pytest.mark.usefixtures("one_thread")


@lru_cache
def learned(phantom, late=False):
    """(a small trained model, 400 new cases); asserts that it learned."""
    count, kinds, epochs = COHORTS[phantom]
    known, new = (
        build(Dataset, {"name": phantom, "count": n, "kinds": list(kinds), "size": 16, "seed": seed})
        for seed, n in enumerate((count, 400))
    )
    prepared = Prepared.fit(known, known.cases.index)
    batch, test = prepared.load(known.cases.index), Prepared(new, prepared.record).load(new.cases.index)
    torch.manual_seed(0)
    model = build(FusionModel, LATE if late else MIXING, prepared.schema)
    settings = Training(**{**TRAINING, "batch": 50, "epochs": epochs, "patience": epochs})
    fit(model, batch.take(range(count * 7 // 8)), batch.take(range(count * 7 // 8, count)), settings)
    assert accuracy(predicted(model, test)["label"], test.targets["label"]) >= 0.98
    return model, test


@lru_cache
def asked(phantom, late=False, output=""):
    """The question, with patches of 4 x 4 of the 16 x 16 pixels."""
    model, test = learned(phantom, late)
    inputs = {name: test.inputs[name] for name in model.modalities}
    patches = {name: 4 for name, x in inputs.items() if x.ndim == 4}
    given = {"targets": test.targets["label"], "ids": test.ids, "groups": test.groups, "resamples": 200}
    return Question(model, inputs, parts=patches, output=output, **given)


def found(neighbour, *which, **how):
    return neighbour.table(asked(*which, **how)).set_index(["statistic", "group"])


def values(question):
    """phi (N, 1) by modality."""
    names = list(question.modalities)
    worth = {some: question.with_only(some)[0] for some in subsets(names)}
    return {name: shapley_value(worth, names, name) for name in names}


def change(question, name):
    """The mean change of the probability when a modality is taken away."""
    whole = question.with_only(question.modalities)[0]
    return np.abs(question.with_only(set(question.modalities) - {name})[0] - whole).mean()


@pytest.mark.parametrize("name", ["first", "second"])
def test_taking_away_what_is_said_twice_hardly_changes_the_answer(name):
    question = asked("redundant_pair")
    assert change(question, name) < 0.1
    assert question.contribution.sizes[name].sum(axis=1).mean() < 0.02  # over all 16 parts
    # Their shares are shares of nearly nothing, and do not say so.
    shares = [found(n, "redundant_pair")["estimate"] for n in (OcclusionByPart(), WholeOcclusion())]
    assert all(0.1 < share["share", name] < 0.9 for share in shares)


def test_of_what_is_said_twice_shapley_gives_each_its_half():
    question = asked("redundant_pair")
    table, phi = found(Shapley(), "redundant_pair"), values(question)
    told = question.with_only(question.modalities)[0] - question.with_only([])[0]
    assert np.abs(told).mean() > 0.4  # the answer is far from that to nothing
    for name in ("first", "second"):
        assert table.loc[("share", name), "estimate"] == pytest.approx(0.5, abs=0.05)
        assert np.abs(phi[name] - told / 2).mean() < 0.06
        assert np.abs(phi[name]).mean() > 3 * change(question, name)


def test_of_what_is_said_twice_the_score_owes_each_a_half_and_misses_neither():
    missing, shape = found(Missing(), "redundant_pair"), found(ShapeScore(), "redundant_pair")
    for name in ("first", "second"):
        assert missing.loc[("AUROC", f"without {name}"), "estimate"] > 0.98
        assert shape.loc[("contribution to AUROC", name), "estimate"] == pytest.approx(0.25, abs=0.02)
    assert shape.loc[("cooperation for AUROC", "all"), "estimate"] == pytest.approx(-0.5, abs=0.04)


def test_where_both_are_needed_either_ones_absence_leaves_chance():
    missing, shape = found(Missing(), "xor_phantom"), found(ShapeScore(), "xor_phantom")
    assert missing.loc[("AUROC", "everything"), "estimate"] > 0.98
    for name in ("first", "record"):
        alone = missing.loc[("AUROC", f"without {name}")]
        assert alone["low"] < 0.5 < alone["high"] and abs(alone["estimate"] - 0.5) < 0.1
        assert missing.loc[("change of AUROC", f"without {name}"), "high"] < -0.35
        assert shape.loc[("contribution to AUROC", name), "estimate"] == pytest.approx(0.25, abs=0.06)
    assert shape.loc[("cooperation for AUROC", "all"), "low"] > 0.3
    perceptual = found(Perceptual(), "xor_phantom")
    assert (abs(perceptual["estimate"] - 0.5) < 0.08).all()


def test_where_both_are_needed_interaction_is_large_and_either_one_moves_the_answer():
    needed, twice = found(Shapley(), "xor_phantom"), found(Shapley(), "redundant_pair")
    mixed = ("interaction share", "all")
    assert needed.loc[mixed, "low"] > 0.4 > 0.35 > twice.loc[mixed, "high"]
    for name in ("first", "record"):
        assert needed.loc[("share", name), "estimate"] == pytest.approx(0.5, abs=0.1)
        assert change(asked("xor_phantom"), name) > 0.4


def test_late_fusion_does_not_interact_in_its_logits_and_does_in_probabilities():
    logits = found(Shapley(), "redundant_pair", late=True, output="logit")
    whole = found(WholeOcclusion(), "redundant_pair", late=True, output="logit")
    assert logits.loc[("interaction share", "all"), "estimate"] == pytest.approx(0, abs=1e-6)
    for name in ("first", "second"):
        assert logits.loc[("share", name), "estimate"] == pytest.approx(
            whole.loc[("share", name), "estimate"]
        )
    # The same model, looked at after the sigmoid, which flattens what both say.
    probabilities = found(Shapley(), "redundant_pair", late=True)
    assert probabilities.loc[("interaction share", "all"), "low"] > 0.05
