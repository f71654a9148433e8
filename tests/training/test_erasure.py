"""Is the label of a phantom where it says? A model learns it, and is asked with parts of the cases erased.

It is trained on the cases as they are and on their evidence alone, so that flat surroundings are nothing new
to it. Of cases without their evidence it is told nothing.
"""

import numpy as np
import pytest
import torch

from studykit.catalog import InputError, build
from studykit.datasets import BreastPhantom, Dataset, Prepared, split
from studykit.datasets.prepared import joined
from studykit.models import FusionModel
from studykit.training.controls import accuracy
from studykit.training.erasure import erased
from studykit.training.fit import Training, fit, predicted

IMAGE, VOLUME = {"name": "residual", "widths": [8, 16, 32]}, {"name": "residual", "widths": [4, 8, 16]}
MODEL = {"name": "concat", "image": IMAGE, "volume": VOLUME, "hidden": 16, "dropout": 0.2}
BLOBS = {"name": "redundant_pair", "count": 500}
PHANTOMS = {  # name: (settings, epochs)
    "either_pair": ({"count": 800}, 6),
    "breast_phantom": ({"count": 1000, "size": 48}, 12),
    "chest_phantom": ({"count": 700, "size": 32, "depth": 8}, 10),
    "leg_phantom": ({"count": 700, "size": 32}, 7),
    "redundant_pair": ({"count": 600}, 3),
    "report_phantom": ({"count": 1400, "size": 32}, 14),
    "unrelated_pair": ({"first": BLOBS, "second": {**BLOBS, "seed": 1}}, 4),
    "xor_phantom": ({"count": 1500}, 6),
}
PLANTED = sorted(name for name, cls in Dataset.catalogue.items() if cls.evidence is not Dataset.evidence)
TEXTS = {"name": "report_phantom", "count": 60, "size": 32}
MIXED = [
    {"name": "breast_phantom", "count": 60, "size": 32},
    {"name": "chest_phantom", "count": 40, "size": 32, "depth": 8},
    TEXTS,
]


@pytest.fixture(scope="module", params=PLANTED)
def learned(request):
    """(a model that has learned a phantom, its preparation, the test cases)."""
    settings, epochs = PHANTOMS.get(request.param, ({}, 12))
    dataset = build(Dataset, {"name": request.param, **settings})
    parts = split(dataset.cases, dataset.tasks[0].name, 3, 0, seed=0)
    train, val, test = (parts.index[parts == part].tolist() for part in ("train", "val", "test"))
    prepared = Prepared.fit(dataset, train)
    before = torch.get_num_threads()
    torch.set_num_threads(1)  # sums in the same order whatever the machine
    torch.manual_seed(0)
    model = build(FusionModel, MODEL, prepared.schema)
    training = Training(epochs=epochs, rate=3e-3, encoder_rate=1.0, augment=False)
    fit(model, *(as_it_is_and_alone(prepared, ids) for ids in (train, val)), training)
    torch.set_num_threads(before)
    return model, prepared, prepared.load(test)


def as_it_is_and_alone(prepared, ids):
    whole = prepared.load(ids)
    return joined([whole, erased(whole, prepared, keep=True)])


def scores(model, batch):
    """The accuracy of each task."""
    found = predicted(model, batch)
    return np.array([accuracy(found[name], target) for name, target in batch.targets.items()])


def test_a_model_finds_the_label_in_the_evidence_and_nowhere_else(learned):
    model, prepared, test = learned
    whole = scores(model, test)
    without, alone = (scores(model, erased(test, prepared, keep)) for keep in (False, True))
    print(prepared.dataset.name, len(test), whole.round(3), without.round(3), alone.round(3))
    assert (whole > 0.85).all()  # it learned
    assert (abs(without - 0.5) < 3 * 0.5 / len(test) ** 0.5).all()  # three standard errors
    assert (alone - 0.5 > 0.8 * (whole - 0.5)).all()


@pytest.mark.parametrize("keep", [False, True])
@pytest.mark.parametrize("settings", MIXED, ids=lambda s: s["name"])
def test_what_is_erased_is_exactly_the_evidence_or_all_else(settings, keep):
    """Number by number, as the sentence says."""
    dataset = build(Dataset, settings)
    prepared = Prepared.fit(dataset, dataset.cases.index)
    ids = dataset.cases.index[[7, 2, 30, 11, 19, 4, 25]].tolist()
    batch = prepared.load(ids)
    found = erased(batch, prepared, keep)
    assert found.ids == ids and torch.equal(
        found.targets[dataset.tasks[0].name], batch.targets[dataset.tasks[0].name]
    )
    for position, case in enumerate(ids):
        evidence = dataset.evidence(case)
        for name, values in batch.inputs.items():
            modality, given = prepared.schema.modality(name), evidence.get(name, ())
            for at in np.ndindex(modality.shape):
                shows, absent = told_at(modality, given, at)
                if modality.kind == "text" and name in evidence and values[position][at] > 0:
                    absent = 1.0  # the unknown word
                wanted = values[position][at] if shows == keep else absent
                assert float(found.inputs[name][position][at]) == pytest.approx(float(wanted))


def told_at(modality, evidence, at):
    """(whether this number is evidence, what stands for its absence)."""
    if modality.kind == "table":
        return modality.columns[at[0]].split("=")[0] in evidence, modality.absent[at[0]]
    if modality.kind == "text":
        return at[0] in evidence, modality.absent
    return bool(len(evidence)) and bool(evidence[at[1:]]), modality.absent


def test_cases_are_joined_to_their_evidence_by_id():
    dataset = build(Dataset, TEXTS)
    prepared = Prepared.fit(dataset, dataset.cases.index)
    batch = prepared.load(dataset.cases.index)
    order = np.random.default_rng(0).permutation(len(batch))
    mixed, straight = erased(batch.take(order), prepared, False), erased(batch, prepared, False).take(order)
    assert all(torch.equal(mixed.inputs[name], straight.inputs[name]) for name in mixed.inputs)


def test_words_behind_the_end_of_what_the_training_texts_know_are_let_be():
    dataset = build(Dataset, TEXTS)
    shown = [case for case in dataset.cases.index if "report" in dataset.evidence(case)]
    late = max(shown, key=lambda case: dataset.evidence(case)["report"])
    prepared = Prepared.fit(dataset, shown)
    text = prepared.texts["report"]
    short = Prepared(dataset, prepared.record, {"report": type(text)(text.vocabulary, 3)})
    batch = short.load([late])
    assert torch.equal(erased(batch, short, keep=False).inputs["report"], batch.inputs["report"])


def test_real_cases_get_a_sentence(monkeypatch):
    monkeypatch.setattr(BreastPhantom, "evidence", Dataset.evidence)
    dataset = BreastPhantom(count=20, size=32)
    prepared = Prepared.fit(dataset, dataset.cases.index)
    with pytest.raises(InputError, match="Nobody knows where the label shows in the data set breast_phantom"):
        erased(prepared.load(dataset.cases.index), prepared, keep=False)
