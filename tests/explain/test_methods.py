"""Each method against its definition, and on a phantom against the planted truth."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from studykit.case import Batch, Modality, Schema, Task
from studykit.catalog import build
from studykit.datasets import BreastPhantom
from studykit.explain import Explanation, GradCAM, IntegratedGradients, explain, key
from studykit.models import FusionModel
from studykit.training import Recipe, Run, train

IMAGE = Modality("image", "image", (1, 32, 32), absent=0.4)
RECORD = Modality("record", "table", (3,), ("a", "b", "b=missing"), (0.0, 0.0, 1.0))
TEXT = Modality("report", "text", (7,), vocabulary=tuple("abcdefgh"))
LINEAR = {"name": "alone", "modality": "record", "table": {"name": "columns", "width": 0}, "dropout": 0.0}


def batch(count=5):
    draw = torch.Generator().manual_seed(0)
    inputs = {
        "image": torch.rand(count, 1, 32, 32, generator=draw),
        "record": torch.randn(count, 3, generator=draw),
    }
    names = [str(i) for i in range(count)]
    return Batch(names, names, inputs, {})


def model(spec, task=None):
    torch.manual_seed(0)
    task = task or Task("t", "binary", ("n", "y"))
    return build(FusionModel, spec, Schema((IMAGE, RECORD), (task,))).eval()


def test_integrated_gradients_of_a_linear_model_in_closed_form():
    network, cases = model(LINEAR), batch()
    found = IntegratedGradients(steps=4)(network, cases)
    norm, layer = network.norms["record"], network.logits["t"]
    slope = layer.weight[0] * norm.weight / (norm.running_var + norm.eps).sqrt()
    wanted = slope * (cases.inputs["record"] - torch.tensor([0.0, 0.0, 1.0]))
    np.testing.assert_allclose(found.maps["record"], wanted.detach().numpy(), rtol=1e-4, atol=1e-6)
    assert np.abs(found.checks["completeness"]).max() < 1e-5
    assert list(found.effects) == ["record"]


def test_integrated_gradients_by_walking_in_small_steps():
    image = {"name": "timm", "architecture": "resnet10t", "weights": "scratch", "stages": [0, 1]}
    network, cases = model({"name": "concat", "image": image}), batch(2)
    found = IntegratedGradients(steps=64)(network, cases)
    absent = {"image": torch.full((2, 1, 32, 32), 0.4), "record": torch.tensor([[0.0, 0, 1]] * 2)}
    sums = {name: torch.zeros_like(x) for name, x in cases.inputs.items()}
    steps = 400
    for step in range(steps):
        t = (step + 0.5) / steps
        at = {n: (absent[n] + t * (x - absent[n])).requires_grad_() for n, x in cases.inputs.items()}
        slopes = torch.autograd.grad(network(at)["t"].sum(), list(at.values()))
        for (name, x), slope in zip(cases.inputs.items(), slopes, strict=True):
            sums[name] += slope * (x - absent[name]) / steps
    for name, wanted in sums.items():
        error = np.abs(found.maps[name] - wanted.numpy()).sum() / wanted.abs().sum()
        assert error < 0.05, name
    with torch.no_grad():
        moved = (network(cases.inputs)["t"] - network(absent)["t"])[:, 0].numpy()
    told = sum(found.effects.values()) - found.checks["completeness"]
    np.testing.assert_allclose(told, moved, atol=1e-3)


def test_of_a_text_each_word_gets_what_it_added():
    """The words' numbers walked in small steps, by hand; a model that also sees a picture."""
    torch.manual_seed(0)
    schema = Schema(
        (Modality("image", "image", (1, 16, 16), absent=0.4), TEXT), (Task("t", "binary", ("n", "y")),)
    )
    spec = {"name": "concat", "image": {"name": "residual", "widths": [4, 8]}, "dropout": 0.0}
    network = build(FusionModel, spec, schema).eval()
    reports = torch.tensor([[3.0, 2, 5, 5, 0, 0, 0], [2.0, 4, 0, 0, 0, 0, 0], [torch.nan] * 7])
    inputs = {"image": torch.rand(3, 1, 16, 16), "report": reports}
    made = IntegratedGradients(steps=200)(network, Batch(list("abc"), list("abc"), inputs, {}))
    assert made.maps["report"].shape == (3, 7)
    assert not made.maps["report"][0, 4:].any() and not made.maps["report"][2].any()
    assert np.abs(made.checks["completeness"]).max() < 1e-3
    encoder, expected = network.encoders["report"], np.zeros(4)
    words, image = reports[:1], inputs["image"][:1]
    numbers = encoder.embed(words.long()).detach()
    for step in range(200):
        at = (numbers * (step + 0.5) / 200).requires_grad_()
        seen = 0.4 + (image - 0.4) * (step + 0.5) / 200
        hook = encoder.embed.register_forward_hook(lambda *_, at=at: at)
        network({"image": seen, "report": words})["t"][0, 0].backward()
        hook.remove()
        expected += ((at.grad * numbers).sum(dim=2)[0, :4] / 200).numpy()
    np.testing.assert_allclose(made.maps["report"][0, :4], expected, atol=2e-3 * np.abs(expected).max())


def test_grad_cam_by_its_equation():
    image = {"name": "timm", "architecture": "resnet10t", "weights": "scratch", "stages": [1, 2]}
    network, cases = model({"name": "concat", "image": image}), batch(3)
    kept = {}

    def keep(module, given, out):
        out.retain_grad()
        kept["map"] = out

    hook = network.encoders["image"].tap.register_forward_hook(keep)
    inputs = {name: x.clone().requires_grad_() for name, x in cases.inputs.items()}
    network(inputs)["t"].sum().backward()
    hook.remove()
    for relu in (True, False):
        found = GradCAM(relu=relu)(network, cases)
        for case in range(3):
            slow = torch.zeros(kept["map"].shape[2:])
            for channel in range(kept["map"].shape[1]):
                slow += kept["map"].grad[case, channel].mean() * kept["map"][case, channel].detach()
            slow = slow.relu() if relu else slow
            large = F.interpolate(slow[None, None], size=(32, 32), mode="bilinear")[0]
            np.testing.assert_allclose(found.maps["image"][case], large.numpy(), rtol=1e-3, atol=1e-6)


def test_the_class_explained_is_the_positive_or_the_predicted_one():
    task = Task("t", "multiclass", ("u", "v", "w"))
    network, cases = model(LINEAR, task), batch()
    found = IntegratedGradients(steps=4)(network, cases)
    with torch.no_grad():
        assert found.targets.tolist() == network(cases.inputs)["t"].argmax(1).tolist()
    assert IntegratedGradients(steps=4)(model(LINEAR), cases).targets.tolist() == [1] * 5


def test_a_share_of_nothing_is_nothing():
    effects = {"a": np.array([1.0, 0.0]), "b": np.array([-3.0, 0.0])}
    shares = Explanation(["x", "y"], "h", np.zeros(2), {}, {}, {}, effects).shares()
    assert shares["a"].tolist()[0] == 0.25 and shares["b"].tolist()[0] == 0.75
    assert np.isnan([shares["a"][1], shares["b"][1]]).all()


def test_a_key_tells_settings_apart():
    assert key(IntegratedGradients()) == "integrated_gradients"
    assert key(IntegratedGradients(steps=8)) == "integrated_gradients,steps=8"


@pytest.fixture(scope="module")
def learned(tmp_path_factory):
    out = tmp_path_factory.mktemp("learned")
    cohort = {"name": "breast_phantom", "count": 400}
    train(Recipe.from_json({"name": "known", "dataset": cohort, "only": [0]}), out)
    return Run(out / "known" / "fold-0")


def test_the_model_learns_the_phantom(learned):
    held_out = learned.predictions[learned.predictions["split"] == "test"]
    right = held_out["lesion"] == held_out["lesion.predicted"]
    assert len(held_out) == 80 and right.mean() >= 0.97


def test_integrated_gradients_point_into_the_lesion(learned):
    """The share of |map| inside the mask, over the mask's share of the picture: at least 2.

    Against a control without any model, |picture - absent|, and only after the model has learned.
    """
    test_the_model_learns_the_phantom(learned)
    cases = learned.prepared.dataset.cases
    ids = [case for case in learned.test_ids if cases["evidence"][case] != "record"][:24]
    batch = learned.prepared.load(ids)
    mask = batch.masks["image"].numpy()

    def lift(maps):
        mass = np.abs(maps[:, 0])
        inside = (mass * mask).sum((1, 2)) / mass.sum((1, 2))
        return inside / mask.mean((1, 2))

    found = IntegratedGradients()(learned.model(), batch)
    control = lift(batch.inputs["image"].numpy() - learned.schema.modality("image").absent)
    assert lift(found.maps["image"]).mean() >= 2
    assert lift(found.maps["image"]).mean() > 1.5 * control.mean()


def test_the_record_moves_the_model_where_it_holds_the_evidence(learned):
    cases = learned.prepared.dataset.cases
    by_evidence = {}
    for where in ("image", "record"):
        ids = [case for case in learned.test_ids if cases["evidence"][case] == where][:10]
        found = IntegratedGradients(steps=16)(learned.model(), learned.prepared.load(ids))
        truth = np.where(cases["truth"][ids] == "malignant", 1, -1)
        by_evidence[where] = (truth * found.effects["record"]).mean()
    assert by_evidence["record"] > 1 > abs(by_evidence["image"])


def test_columns_with_evidence_tell_cases_apart(learned):
    """By the spread over cases: what all cases share against "nothing known" tells none apart."""
    found = IntegratedGradients(steps=16)(learned.model(), learned.prepared.load(learned.test_ids[:40]))
    sources = learned.schema.modality("record").sources
    spread = {s: found.maps["record"][:, at].sum(1).std() for s, at in sources.items()}
    strong = [spread.pop(column) for column in BreastPhantom.evidence_columns]
    assert min(strong) > 2 * max(spread.values())


def test_explain_stores_what_it_gives(learned):
    ids = learned.test_ids[:3]
    made = explain(learned, {"name": "grad_cam"}, ids)
    from studykit.explain import store

    read = store.read(learned, "grad_cam", ids[::-1])
    assert read.ids == ids[::-1]
    np.testing.assert_array_equal(read.maps["image"], made.maps["image"][::-1])
