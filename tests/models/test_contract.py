"""What every model of the catalogue must do; membership is enough to be tested here."""

import pytest
import torch

from studykit.case import Batch, Modality, Schema, Task
from studykit.catalog import InputError, build, spec
from studykit.models import FusionModel

IMAGE = Modality("image", "image", (1, 32, 32), absent=0.3)
RECORD = Modality("record", "table", (3,), ("Age", "Signs=lump", "Age=missing"), (0.0, 0.0, 1.0))
KINDS = {
    "binary": Task("lesion", "binary", ("benign", "malignant")),
    "multiclass": Task("lesion", "multiclass", ("a", "b", "c")),
    "multilabel": Task("lesion", "multilabel", ("a", "b", "c")),
    "regression": Task("lesion", "regression"),
}
SMALL = {"name": "timm", "architecture": "resnet10t", "weights": "scratch", "frozen": False, "stages": [1, 2]}


def batch(count, seed=0):
    draw = torch.Generator().manual_seed(seed)
    inputs = {
        "image": torch.rand(count, 1, 32, 32, generator=draw),
        "record": torch.rand(count, 3, generator=draw),
    }
    names = [str(i) for i in range(count)]
    return Batch(names, names, inputs, {"lesion": torch.zeros(count)})


@pytest.fixture(params=[(name, kind) for name in sorted(FusionModel.catalogue) for kind in KINDS])
def model(request):
    name, kind = request.param
    torch.manual_seed(0)
    return build(FusionModel, {"name": name, "image": SMALL}, Schema((IMAGE, RECORD), (KINDS[kind],)))


def test_one_row_of_logits_a_case_and_head(model):
    out = model(batch(3).inputs)
    assert set(out) == {head.name for head in model.heads}
    for head in model.heads:
        assert out[head.name].shape == (3, head.task.outputs)


def test_forward_is_fuse_of_encode(model):
    model.eval()
    inputs = batch(3).inputs
    for head, logits in model(inputs).items():
        assert torch.equal(model.fuse(model.encode(inputs))[head], logits)


def test_a_batch_gives_what_its_single_cases_give(model):
    model.eval()
    many = batch(4)
    together = model(many.inputs)
    for position in range(4):
        alone = model(many.take([position]).inputs)
        for head, logits in together.items():
            torch.testing.assert_close(alone[head][0], logits[position], rtol=1e-4, atol=1e-5)


def test_every_learning_parameter_gets_a_slope_after_one_step(model):
    """After one step, since networks that start as the identity give no slope before it."""
    learning = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
    optimiser = torch.optim.SGD([p for _, p in learning], lr=0.1)
    for _ in range(2):
        optimiser.zero_grad()
        sum((logits - 1).square().sum() for logits in model(batch(4).inputs).values()).backward()
        optimiser.step()
    assert not [name for name, p in learning if p.grad is None or not p.grad.any()]


def test_strict_save_and_load(model):
    model.eval()
    torch.manual_seed(1)
    twin = build(FusionModel, spec(model), model.schema).eval()
    twin.load_state_dict(model.state_dict(), strict=True)
    inputs = batch(2).inputs
    for head, logits in model(inputs).items():
        assert torch.equal(twin(inputs)[head], logits)


def test_wrong_inputs_get_a_sentence(model):
    inputs = batch(2).inputs
    used = next(iter(model.encoders))
    with pytest.raises(InputError, match=f"needs the modality '{used}'"):
        model({name: x for name, x in inputs.items() if name != used})
    with pytest.raises(InputError, match=f"takes '{used}' as "):
        model({**inputs, used: torch.zeros(2, 7)})


def test_a_schema_that_does_not_suit_gets_a_sentence():
    volume = Schema((Modality("scan", "volume", (1, 8, 8, 8)),), (KINDS["binary"],))
    for name in FusionModel.catalogue:
        with pytest.raises(InputError, match="scan"):
            build(FusionModel, name, volume)
    with pytest.raises(InputError, match="no modality named 'picture'"):
        build(FusionModel, {"name": "alone", "modality": "picture"}, Schema((IMAGE,), (KINDS["binary"],)))
