"""Models of known reliance, to grade modality contribution on: either_pair, learned by every model.

A cohort is 480 cases to learn from, 120 more to choose the epoch by, and 200 others to be tested and asked
on. The labels of the test cases are right even where those of the others are noisy.
"""

from functools import lru_cache

import pandas as pd
import torch
from scipy.stats import spearmanr

from studykit.catalog import build
from studykit.contribution import modality_contribution
from studykit.datasets import Prepared
from studykit.datasets.either_pair import EitherPair
from studykit.models import FusionModel
from studykit.training.controls import accuracy
from studykit.training.fit import Training, fit, predicted
from tests.models.interaction import ADDITIVE, FAITHFUL, MIXING

SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)  # of cases whose evidence lies in the first modality
PATCH, FILL = 8, "absent"  # of pictures of 32x32 pixels, volumes of 8x32x32 voxels
BAR = 0.05

TRAINING = {"epochs": 8, "batch": 25, "rate": 3e-3, "encoder_rate": 1.0, "augment": True, "shift": 0.2}
OTHERWISE = {
    "attention_gate, repaired": {"epochs": 24, "rate": 2e-3},
    "attention_gate, faithful": {"epochs": 12, "rate": 2e-3},  # more does not help: its fusion is not trained
    "drifa, faithful": {"epochs": 24},
    "mmcaf, faithful": {"epochs": 8},
    "mmcaf, repaired": {"epochs": 8},
}
LEFT_OUT = ("published loss weights", "trained with the gate at 1")  # variants of one model

# name: (model, what the two modalities are)
MODELS = {
    name: (model, kinds)
    for name, (model, kinds, _) in {**ADDITIVE, **MIXING, **FAITHFUL}.items()
    if model["name"] != "alone"  # looks at one modality: there is nothing to share out
    and not any(variant in name for variant in LEFT_OUT)
}


@lru_cache(maxsize=16)
def cohort(kinds, in_first, label_noise, seed):
    """(schema, training cases, cases to choose the epoch by, test cases)."""
    told = {"kinds": kinds, "in_first": in_first}
    known = EitherPair(count=600, seed=seed, label_noise=label_noise, **told)
    new = EitherPair(count=200, seed=1000 + seed, **told)
    prepared = Prepared.fit(known, known.cases.index[:480])
    batch = prepared.load(known.cases.index)
    test = Prepared(new, prepared.record).load(new.cases.index)
    return prepared.schema, batch.take(range(480)), batch.take(range(480, 600)), test


def trained(name, in_first, seed=0, label_noise=0.0, **otherwise):
    """(the trained model, its accuracy on the test cases); `otherwise`: training settings to change."""
    model, kinds = MODELS[name]
    schema, train, val, test = cohort(kinds, in_first, label_noise, seed)
    torch.manual_seed(seed)
    made = build(FusionModel, model, schema)
    training = {**TRAINING, **OTHERWISE.get(name, {}), **otherwise}
    fit(made, train, val, Training(**training, patience=training["epochs"]), seed=seed)
    return made, accuracy(predicted(made, test)["label"], test.targets["label"])


def asked(model, kinds, in_first, seed=0, label_noise=0.0, patch=PATCH, fill=FILL, output="probability"):
    """The first modality's share in the test cases' answers."""
    test = cohort(kinds, in_first, label_noise, seed)[3]
    parts = {m.name: patch for m in model.schema.modalities if m.kind != "table"}
    return modality_contribution(model, test.inputs, parts, fill, output).share()["first"]


def graded(name, seeds, label_noise=0.0, shares=SHARES):
    """One row a seed and share of cases: seed, in_first, accuracy, the first modality's share by output."""
    rows = []
    for seed in seeds:
        for in_first in shares:
            model, right = trained(name, in_first, seed, label_noise)
            where = (model, MODELS[name][1], in_first, seed, label_noise)
            outputs = {output: asked(*where, output=output) for output in ("probability", "logit")}
            rows.append({"seed": seed, "in_first": in_first, "accuracy": right, **outputs})
    return pd.DataFrame(rows)


def silent(rows, output="probability"):
    """What the modality without evidence contributes at the two ends; the most of all."""
    ends = rows[rows["in_first"].isin((0.0, 1.0))]
    return abs(ends["in_first"] - ends[output]).max()


def order(rows, output="probability"):
    """Spearman's correlation of the first modality's share with the share of cases; the mean over seeds."""
    return rows.groupby("seed").apply(lambda r: spearmanr(r["in_first"], r[output]).statistic).mean()
