"""The exclusive-or phantom and small settings of every model, shared by the test and the benchmark.

Each cohort is 2,000 cases to learn from (300 of them choose the epoch) and 2,000 others to be tested on.
"""

from functools import lru_cache

import torch

from studykit.catalog import build
from studykit.datasets import Dataset, Prepared
from studykit.models import FusionModel
from studykit.training.controls import accuracy, shuffled
from studykit.training.fit import Training, fit, predicted

SMALL = {"name": "residual", "widths": [8, 16]}
OWN = {"widths": [8, 16, 32], "depths": [1, 1, 1]}
# Windows of 17 px: of nine windows of 9 px the global map's four places would see the corner ones only.
# The two networks' own heads count little: the label is nothing that one picture could tell.
GATE = {
    "name": "attention_gate", "backbone": "test_resnet", "receptive_field": 17,
    "local_widths": [8, 16, 16, 32], "loss_weights": [0.05, 0.05, 0.9],
}  # fmt: skip
SCAN = {"name": "mmcaf", "widths": [4, 8, 16], "dropout": 0.1, "drop_maps": 0.0}
IMAGES, VOLUME = ("image", "image"), ("volume", "table")
TRAINING = {"rate": 3e-3, "batch": 100, "encoder_rate": 1.0, "augment": False}
SLOWLY = {"rate": 2e-3, "batch": 50, "augment": True}

# name: (model, what the two modalities are, training)
ADDITIVE = {
    "first alone": ({"name": "alone", "modality": "first", "image": SMALL}, IMAGES, {"epochs": 8}),
    "second alone": ({"name": "alone", "modality": "second", "image": SMALL}, IMAGES, {"epochs": 8}),
    "late": ({"name": "late", "image": SMALL}, IMAGES, {"epochs": 8}),
    "concat, linear": ({"name": "concat", "image": SMALL}, IMAGES, {"epochs": 8}),
}
MIXING = {
    "concat, hidden layer": ({"name": "concat", "image": SMALL, "hidden": 32}, IMAGES, {"epochs": 6}),
    "film": ({"name": "film", "image": SMALL, "width": 16}, IMAGES, {"epochs": 8}),
    "daft": ({"name": "daft", "image": SMALL, "width": 16}, IMAGES, {"epochs": 8}),
    "gmu": ({"name": "gmu", "image": SMALL, "width": 32}, IMAGES, {"epochs": 8}),
    "cross_attention": ({"name": "cross_attention", "image": SMALL, "width": 16}, IMAGES, {"epochs": 8}),
    "mmtm": ({"name": "mmtm", **OWN}, IMAGES, {"epochs": 8}),
    "drifa, repaired": ({"name": "drifa", **OWN}, IMAGES, {"epochs": 8}),
    "drifa, repaired, light": (
        {"name": "drifa", "squeeze": 4, "mfa": "stage", **OWN}, IMAGES, {"epochs": 10},
    ),
    "attention_gate, repaired": (GATE, IMAGES, {"epochs": 18, **SLOWLY}),
    "mmcaf, repaired": (SCAN, VOLUME, {"epochs": 5, "batch": 50}),
}  # fmt: skip
FAITHFUL = {
    "drifa, faithful": ({"name": "drifa", "preset": "faithful", **OWN}, IMAGES, {"epochs": 20}),
    "attention_gate, faithful": ({**GATE, "preset": "faithful"}, IMAGES, {"epochs": 20, **SLOWLY}),
    "attention_gate, faithful, published loss weights": (
        {**GATE, "preset": "faithful", "loss_weights": [0.3, 0.3, 0.4]}, IMAGES, {"epochs": 20, **SLOWLY},
    ),
    "attention_gate, repaired, published loss weights": (
        {**GATE, "loss_weights": [0.3, 0.3, 0.4]}, IMAGES, {"epochs": 20, **SLOWLY},
    ),
    "attention_gate, repaired, trained with the gate at 1": (
        {**GATE, "gate": "constant"}, IMAGES, {"epochs": 20, **SLOWLY},
    ),
    "mmcaf, faithful": (
        {**SCAN, "preset": "faithful"}, VOLUME, {"epochs": 12, "batch": 50},
    ),
}  # fmt: skip


@lru_cache(maxsize=2)
def cohort(kinds):
    """(schema, training cases, cases to choose the epoch by, test cases)."""
    known, new = (
        build(Dataset, {"name": "xor_phantom", "count": 2000, "kinds": list(kinds), "seed": seed})
        for seed in (0, 1)
    )
    prepared = Prepared.fit(known, known.cases.index)
    batch = prepared.load(known.cases.index)
    test = Prepared(new, prepared.record).load(new.cases.index)
    return prepared.schema, batch.take(range(1700)), batch.take(range(1700, 2000)), test


def trained(model, kinds, training, seed=0):
    """(the trained model, its history)."""
    schema, train, val, _ = cohort(kinds)
    torch.manual_seed(seed)
    made = build(FusionModel, model, schema)
    settings = Training(**{**TRAINING, "patience": training["epochs"], **training})
    return made, fit(made, train, val, settings, seed=seed)


def scores(model, kinds):
    """Accuracy on the test cases as they are, and with the second modality exchanged between them."""
    test = cohort(kinds)[3]
    mixed = shuffled(test, model.schema.modalities[1].name)
    return tuple(accuracy(predicted(model, b)["label"], b.targets["label"]) for b in (test, mixed))
