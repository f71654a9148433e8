"""A scan as large as a model sees in earnest is explained by every method of the catalogue."""

import time

import numpy as np
import pytest
import torch

from explain.test_contract import is_sentence
from studykit.case import Batch, Modality, Schema, Task
from studykit.catalog import InputError, build, settings_of
from studykit.explain import Explainer
from studykit.models import FusionModel

SHAPE = (1, 48, 128, 128)
SCHEMA = Schema(
    (
        Modality("volume", "volume", SHAPE, absent=0.1, spacing=(2.5, 1.5, 1.5)),
        Modality("record", "table", (3,), ("a", "b", "b=missing"), (0.0, 0.0, 1.0)),
    ),
    (Task("t", "binary", ("n", "y")),),
)
FEW = {"steps": 2, "samples": 8, "window": 64}  # for settings of these names, where a method has them


@pytest.fixture(scope="module")
def scan():
    """A small model that has not learned, and one case."""
    torch.manual_seed(0)
    spec = {"name": "concat", "volume": {"name": "residual", "widths": [2, 4]}}
    inputs = {"volume": torch.rand(1, *SHAPE), "record": torch.tensor([[0.5, -1.0, 0.0]])}
    targets = {"t": torch.tensor([1.0])}
    return build(FusionModel, spec, SCHEMA).eval(), Batch(["a"], ["a"], inputs, targets)


@pytest.mark.parametrize("name", sorted(Explainer.catalogue))
def test_a_large_volume_is_explained(name, scan):
    model, case = scan
    few = {key: n for key, n in FEW.items() if key in settings_of(Explainer.catalogue[name])}
    explainer = build(Explainer, {"name": name, **few})
    reason = explainer.suits(model, SCHEMA)
    if reason:
        assert is_sentence(reason)
        pytest.skip(reason)
    start = time.monotonic()
    found = explainer(model, case)
    assert time.monotonic() - start < 20
    assert found.maps or found.effects
    shapes = {"volume": ((1, *SHAPE),), "record": ((1, 3),)}
    for modality, values in found.maps.items():
        assert values.shape in shapes[modality] and np.isfinite(values).all() and values.any()


def test_a_window_in_millimetres_slides_over_a_large_volume(scan):
    model, case = scan
    found = build(Explainer, {"name": "occlusion", "millimetres": 80.0})(model, case).maps["volume"]
    assert found.shape == (1, *SHAPE) and np.isfinite(found).all()
    values = np.unique(found[0, 0, :8, :26, :26])  # one corner, which only the first window covers
    assert len(values) == 1 and len(np.unique(found)) > 8


def test_what_does_not_suit_is_told_and_not_tried(scan):
    model, case = scan
    unknown = Schema(tuple(Modality(m.name, m.kind, m.shape) for m in SCHEMA.modalities), SCHEMA.tasks)
    spec = {"name": "concat", "volume": {"name": "residual", "widths": [2]}}
    with pytest.raises(InputError, match="count millimetres in 'volume'"):
        build(Explainer, {"name": "occlusion", "millimetres": 80.0})(
            build(FusionModel, spec, unknown).eval(), case
        )
