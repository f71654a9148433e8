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
GATE = {
    "name": "attention_gate",
    "backbone": "resnet10t",
    "receptive_field": 9,
    "local_widths": [8, 16, 16, 32],
}
IMAGES, VOLUME = ("image", "image"), ("volume", "table")

# name: (model, what the two modalities are, epochs)
ADDITIVE = {
    "first alone": ({"name": "alone", "modality": "first", "image": SMALL}, IMAGES, 8),
    "second alone": ({"name": "alone", "modality": "second", "image": SMALL}, IMAGES, 8),
    "late fusion": ({"name": "late", "image": SMALL}, IMAGES, 8),
    "concat, linear": ({"name": "concat", "image": SMALL}, IMAGES, 8),
}
MIXING = {
    "concat, hidden layer": ({"name": "concat", "image": SMALL, "hidden": 32}, IMAGES, 6),
    "film": ({"name": "film", "image": SMALL, "width": 16}, IMAGES, 8),
    "daft": ({"name": "daft", "image": SMALL, "width": 16}, IMAGES, 8),
    "gmu": ({"name": "gmu", "image": SMALL, "width": 32}, IMAGES, 8),
    "cross_attention": ({"name": "cross_attention", "image": SMALL, "width": 16}, IMAGES, 8),
    "mmtm": ({"name": "mmtm", **OWN}, IMAGES, 8),
    "drifa, repaired": ({"name": "drifa", **OWN}, IMAGES, 10),
    "drifa, repaired, light": ({"name": "drifa", "squeeze": 4, "mfa": "stage", **OWN}, IMAGES, 10),
    "attention_gate, repaired": (GATE, IMAGES, 10),
    "mmcaf, repaired": ({"name": "mmcaf", "widths": [8, 16, 32]}, VOLUME, 10),
}
FAITHFUL = {
    "drifa, faithful": ({"name": "drifa", "preset": "faithful", **OWN}, IMAGES, 30),
    "attention_gate, faithful": ({**GATE, "preset": "faithful"}, IMAGES, 30),
    "mmcaf, faithful": (
        {"name": "mmcaf", "preset": "faithful", "widths": [8, 16, 32], "dropout": 0.25}, VOLUME, 30,
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


def trained(model, kinds, epochs, seed=0):
    """(the trained model, its history)."""
    schema, train, val, _ = cohort(kinds)
    torch.manual_seed(seed)
    made = build(FusionModel, model, schema)
    settings = Training(epochs=epochs, batch=100, rate=3e-3, encoder_rate=1.0, patience=epochs, augment=False)
    return made, fit(made, train, val, settings, seed=seed)


def scores(model, kinds):
    """Accuracy on the test cases as they are, and with the second modality exchanged between them."""
    test = cohort(kinds)[3]
    mixed = shuffled(test, model.schema.modalities[1].name)
    return tuple(accuracy(predicted(model, b)["label"], b.targets["label"]) for b in (test, mixed))
