import numpy as np
import pytest
import torch

from studykit.case import Batch, Modality, Schema, Task
from studykit.catalog import InputError, build
from studykit.models import FusionModel
from studykit.training import Training, fit, predicted
from studykit.training.fit import FrozenFeatures

IMAGE = Modality("image", "image", (1, 32, 32))
RECORD = Modality("record", "table", (4,), ("a", "b", "c", "d"), (0.0,) * 4)
KINDS = {
    "binary": Task("t", "binary", ("n", "y")),
    "multiclass": Task("t", "multiclass", ("u", "v", "w")),
    "multilabel": Task("t", "multilabel", ("u", "v")),
    "regression": Task("t", "regression"),
}
RECORD_ONLY = {"name": "alone", "modality": "record", "dropout": 0.0}


def cases(kind, count=90, seed=0):
    """Cases whose first columns decide the target; every tenth is unlabelled."""
    draw = np.random.default_rng(seed)
    x = draw.normal(size=(count, 4)).astype(np.float32)
    target = {
        "binary": (x[:, 0] > 0).astype(np.float32),
        "multiclass": np.digitize(x[:, 0], [-0.5, 0.5]).astype(np.float32),
        "multilabel": (x[:, :2] > 0).astype(np.float32),
        "regression": x[:, 0] - 0.5 * x[:, 1],
    }[kind]
    target[::10] = np.nan
    names = [f"{seed}-{i}" for i in range(count)]
    inputs = {"record": torch.tensor(x), "image": torch.rand(count, 1, 32, 32)}
    return Batch(names, names, inputs, {"t": torch.tensor(target)})


def model(kind, spec=RECORD_ONLY, seed=0):
    torch.manual_seed(seed)
    return build(FusionModel, spec, Schema((IMAGE, RECORD), (KINDS[kind],)))


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_task_is_learned(kind):
    network = model(kind)
    fit(network, cases(kind), cases(kind, seed=1), Training(epochs=60, rate=1e-2, patience=60))
    test = cases(kind, seed=2)
    p, target = predicted(network, test)["t"], test.targets["t"]
    known = ~target.isnan() if target.ndim == 1 else ~target[:, 0].isnan()
    p, target = p[known], target[known]
    if kind == "regression":
        assert ((p[:, 0] - target) ** 2).mean() < 0.2 * target.var()
    else:
        called = (p > 0.5).float() if kind == "multilabel" else p.argmax(1).float()
        assert (called == target).float().mean() > 0.9


def test_the_best_weights_are_kept_not_the_last():
    network = model("binary")
    train, val = cases("binary", 40), cases("binary", 40, seed=1)
    val.targets["t"] = 1 - val.targets["t"]  # what is learned makes validation worse from the start
    history = fit(network, train, val, Training(epochs=30, rate=5e-2, patience=8))
    best = history["val_loss"].idxmin()
    assert len(history) == best + 1 + 8 and best < len(history) - 1
    twin = model("binary")
    fit(twin, train, val, Training(epochs=int(best) + 1, rate=5e-2, patience=30))
    for name, value in twin.state_dict().items():
        assert torch.equal(value, network.state_dict()[name]), name


def test_the_seed_decides_training():
    weights = []
    for seed in (3, 3, 4):
        network = model("binary", seed=seed)
        fit(network, cases("binary"), cases("binary", seed=1), Training(epochs=3), seed=seed)
        weights.append(network.state_dict())
    same = [all(torch.equal(v, w[n]) for n, v in weights[0].items()) for w in weights[1:]]
    assert same == [True, False]


def test_a_rare_class_is_not_forgotten():
    train = cases("binary", 600)
    noisy = train.inputs["record"][:, 0] + torch.randn(600, generator=torch.manual_seed(0))
    train.targets["t"] = (noisy > 1.8).float()
    rare, found = train.targets["t"] == 1, []
    for balanced in (True, False):
        network = model("binary")
        fit(network, train, train, Training(epochs=30, balanced=balanced, rate=1e-2))
        found.append(float((predicted(network, train)["t"][rare, 1] > 0.5).float().mean()))
    assert found[0] > 0.7 > 0.5 > found[1]


def test_frozen_features_are_computed_once_and_alike():
    network = model("binary", {"name": "concat"})
    train, store, seen = cases("binary", 12), FrozenFeatures(), []
    network.encoders["image"].register_forward_hook(lambda m, i, o: seen.append(len(o)))
    first = store.of(network, train)["image"]
    again = store.of(model("binary", {"name": "concat"}, seed=9), train)["image"]
    assert sum(seen) == 12 and torch.equal(first, again)
    with torch.no_grad():
        torch.testing.assert_close(first, network.encode({"image": train.inputs["image"]})["image"])


def test_training_with_kept_features_is_training_without(monkeypatch):
    runs = []
    for keep in (True, False):
        network = model("binary", {"name": "concat"})
        if not keep:
            monkeypatch.setattr(FrozenFeatures, "of", lambda self, model, batch, watch=iter: {})
        fit(network, cases("binary", 40), cases("binary", 20, 1), Training(epochs=2, augment=False))
        runs.append(network.state_dict())
    for name, value in runs[0].items():
        torch.testing.assert_close(value, runs[1][name], rtol=1e-3, atol=1e-4)


def test_an_encoder_that_learns_is_trained():
    image = {"name": "timm", "architecture": "mobilenetv3_small_050", "weights": "scratch", "frozen": False}
    network = model("binary", {"name": "concat", "image": image})
    before = {n: p.detach().clone() for n, p in network.encoders["image"].named_parameters()}
    fit(network, cases("binary", 33), cases("binary", 20, 1), Training(epochs=1))
    changed = [not torch.equal(before[n], p) for n, p in network.encoders["image"].named_parameters()]
    assert np.mean(changed) > 0.9


def test_impossible_training_gets_a_sentence():
    with pytest.raises(InputError, match="'epochs' is above 0"):
        Training(epochs=0)
    train = cases("binary")
    train.inputs["record"][3] = float("inf")
    with pytest.raises(InputError, match="went astray in epoch 1"):
        fit(model("binary"), train, train, Training(epochs=2))
