"""What every model of the catalogue must do; membership is enough to be tested here."""

import copy

import pytest
import torch

from studykit.case import Batch, Modality, Schema, Task
from studykit.catalog import InputError, build, settings_of, spec
from studykit.models import FusionModel, hold, taps, watch

RECORD = Modality("record", "table", (3,), ("Age", "Signs=lump", "Age=missing"), (0.0, 0.0, 1.0))
TEXT = Modality("report", "text", (12,), vocabulary=("[end]", "[unknown]", *"abcdefgh"))
KINDS = {
    "binary": Task("lesion", "binary", ("benign", "malignant")),
    "multiclass": Task("lesion", "multiclass", ("a", "b", "c")),
    "multilabel": Task("lesion", "multilabel", ("a", "b", "c")),
    "regression": Task("lesion", "regression"),
}
SHAPES = {
    "image and record": (Modality("image", "image", (1, 32, 32), absent=0.3), RECORD),
    "two images": (
        Modality("left", "image", (1, 32, 32)),
        Modality("right", "image", (3, 32, 48), absent=0.5),
    ),
    "volume and record": (Modality("volume", "volume", (1, 8, 32, 32), absent=0.2), RECORD),
    "image": (Modality("image", "image", (1, 32, 32)),),
    "two records": (RECORD, Modality("history", "table", (2,), ("Smoking", "Weight"), (0.0, 0.0))),
    "image and text": (Modality("image", "image", (1, 32, 32), absent=0.3), TEXT),
    "text": (TEXT,),
    "three volumes": tuple(Modality(name, "volume", (1, 8, 16, 16)) for name in "abc"),
}
SMALL = {
    "image": {
        "name": "timm", "architecture": "resnet10t", "weights": "scratch", "frozen": False, "stages": [1, 2],
    },
    "volume": {"name": "residual", "widths": [4, 8]},
    "backbone": {"": "resnet10t"},
    "local_widths": [4, 8, 8, 16],
    "receptive_field": 9,
    "depths": [1, 1],
}  # fmt: skip


def small(name, **settings):
    """A spec with few weights, whatever the model's settings are."""
    known = settings_of(FusionModel.catalogue[name])
    found = {"name": name}
    for key in known.keys() & SMALL.keys():
        value = SMALL[key]
        if key == "backbone":
            value = value.get(known[key], known[key])
        found[key] = value
    if "depths" in known:
        found["widths"] = [8, 16]
    if "modality" in known:
        found["modality"] = settings.pop("modality", "image")
    return {**found, **settings}


def schema(shape, kind="binary"):
    return Schema(SHAPES[shape], (KINDS[kind],))


def suited():
    """(spec, shape, kind): every preset on every shape that suits it, and all kinds of task on one."""
    for name, cls in sorted(FusionModel.catalogue.items()):
        presets = ("repaired", "faithful") if "preset" in settings_of(cls) else (None,)
        shapes = [shape for shape in SHAPES if not cls.suits(schema(shape))]
        assert shapes, f"no shape here suits {name}; add one"
        for preset in presets:
            for shape in shapes:
                extra = {"preset": preset} if preset else {}
                extra |= {"modality": SHAPES[shape][0].name} if name == "alone" else {}
                for kind in KINDS if shape == shapes[0] else ["binary"]:
                    words = f"{name} {preset or ''} {shape} {kind}".replace("  ", " ")
                    yield pytest.param((small(name, **extra), shape, kind), id=words)


@pytest.fixture(params=suited(), scope="module")
def made(request):
    given, shape, kind = request.param
    torch.manual_seed(0)
    return build(FusionModel, given, schema(shape, kind)).eval()


@pytest.fixture
def model(made):
    return copy.deepcopy(made)


def batch(model, count, seed=0):
    draw = torch.Generator().manual_seed(seed)
    inputs = {m.name: torch.rand(count, *m.shape, generator=draw) for m in model.schema.modalities}
    for m in model.schema.modalities:
        if m.kind == "text":  # words, and fewer in each case than in the one before
            there = torch.arange(m.shape[0]) < m.shape[0] - torch.arange(count)[:, None]
            inputs[m.name] = (1 + 9 * inputs[m.name]).floor() * there
    names = [str(i) for i in range(count)]
    return Batch(names, names, inputs, {"lesion": torch.zeros(count)})


def step(model, inputs, optimiser):
    optimiser.zero_grad()
    sum((logits - 1).square().sum() for logits in model(inputs).values()).backward()
    optimiser.step()


def test_one_row_of_logits_a_case_and_head(made):
    out = made(batch(made, 3).inputs)
    assert set(out) == {head.name for head in made.heads}
    assert [head.name for head in made.heads][0] == "lesion"
    for head in made.heads:
        assert out[head.name].shape == (3, head.task.outputs)


def test_forward_is_fuse_of_encode(made):
    inputs = batch(made, 3).inputs
    for head, logits in made(inputs).items():
        assert torch.equal(made.fuse(made.encode(inputs))[head], logits)


def test_a_batch_gives_what_its_single_cases_give(made):
    many = batch(made, 4)
    together = made(many.inputs)
    for position in range(4):
        alone = made(many.take([position]).inputs)
        for head, logits in together.items():
            torch.testing.assert_close(alone[head][0], logits[position], rtol=1e-3, atol=1e-4)


def test_every_parameter_that_is_not_listed_as_dead_gets_a_slope(model):
    """After one step, since networks that start as the identity give no slope before it."""
    model.train()
    everything = dict(model.named_parameters())
    dead = set(model.dead_parameters())
    assert dead <= set(everything)
    optimiser = torch.optim.SGD([p for p in everything.values() if p.requires_grad], lr=1e-3)
    many = batch(model, 4)
    for _ in range(2):
        step(model, many.inputs, optimiser)
    without = {name for name, p in everything.items() if p.grad is None or not p.grad.any()}
    assert without == dead


def test_a_last_batch_of_one_trains(model):
    model.train()
    optimiser = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=1e-3)
    step(model, batch(model, 1).inputs, optimiser)
    assert all(p.isfinite().all() for p in model.parameters())


def test_strict_save_and_load(made):
    torch.manual_seed(1)
    twin = build(FusionModel, spec(made), made.schema).eval()
    twin.load_state_dict(made.state_dict(), strict=True)
    inputs = batch(made, 2).inputs
    for head, logits in made(inputs).items():
        assert torch.equal(twin(inputs)[head], logits)


def test_double_precision(model):
    inputs = batch(model, 2).inputs
    single = model(inputs)
    double = model.double()({name: x.double() for name, x in inputs.items()})
    for head, logits in double.items():
        assert logits.dtype == torch.float64
        torch.testing.assert_close(single[head].double(), logits, rtol=1e-3, atol=1e-4)


def test_attention_is_read_and_held_by_taps(made):
    inputs = batch(made, 3).inputs
    found = taps(made)
    if not found:
        with pytest.raises(InputError, match="no attention to read"), watch(made):
            pass
        return
    assert made.shows
    with watch(made) as seen:
        free = made(inputs)
    assert set(seen) == set(found)
    assert all(tap.says for tap in found.values())
    assert all(values.shape[0] == 3 and values.isfinite().all() for values in seen.values())
    with hold(made, seen):
        for head, logits in made(inputs).items():
            torch.testing.assert_close(logits, free[head], rtol=1e-4, atol=1e-5)
    with watch(made) as later:
        pass
    assert not later
    with pytest.raises(InputError, match="no tap named"), watch(made, "gate.nowhere"):
        pass


def test_a_case_that_lacks_a_modality_gets_an_answer_and_others_keep_theirs(made):
    inputs = batch(made, 3).inputs
    whole = made(inputs)
    for name in made.modalities if len(made.modalities) > 1 else ():
        lacking = inputs[name].clone()
        lacking[1] = torch.nan
        out = made({**inputs, name: lacking})
        absent = inputs[name].clone()
        absent[1] = torch.tensor(made.schema.modality(name).absent).expand(absent[1].shape)
        standing = made({**inputs, name: absent})
        for head, logits in out.items():
            assert logits.isfinite().all()
            for case in (0, 2):
                torch.testing.assert_close(logits[case], whole[head][case], rtol=1e-3, atol=1e-4)
            if not made.drops:
                torch.testing.assert_close(logits, standing[head], rtol=1e-4, atol=1e-5)


def test_wrong_inputs_get_a_sentence(made):
    inputs = batch(made, 2).inputs
    used = made.modalities[0]
    with pytest.raises(InputError, match=f"needs the modality '{used}'"):
        made({name: x for name, x in inputs.items() if name != used})
    with pytest.raises(InputError, match=f"takes '{used}' as "):
        made({**inputs, used: torch.zeros(2, 7)})


@pytest.mark.parametrize("name", sorted(FusionModel.catalogue))
def test_a_schema_that_does_not_suit_gets_a_sentence(name):
    cls = FusionModel.catalogue[name]
    unsuited = [shape for shape in SHAPES if cls.suits(schema(shape))]
    assert unsuited or cls.least == 1
    for shape in unsuited:
        with pytest.raises(InputError) as said:
            build(FusionModel, small(name), schema(shape))
        assert name in str(said.value)
        assert any(f"'{m.name}'" in str(said.value) for m in SHAPES[shape])


@pytest.mark.parametrize("name", sorted(FusionModel.catalogue))
def test_several_tasks_at_once(name):
    cls = FusionModel.catalogue[name]
    fitting = next(shape for shape in SHAPES if not cls.suits(schema(shape)))
    tasks = (KINDS["binary"], Task("grade", "multiclass", ("1", "2", "3")))
    model = build(FusionModel, small(name), Schema(SHAPES[fitting], tasks)).eval()
    out = model(batch(model, 2).inputs)
    assert out["lesion"].shape == (2, 1) and out["grade"].shape == (2, 3)
    assert {head.task.name for head in model.heads} == {"lesion", "grade"}


@pytest.mark.parametrize("name", sorted(FusionModel.catalogue))
def test_wrong_settings_get_a_sentence(name):
    cls = FusionModel.catalogue[name]
    fitting = next(s for s in SHAPES if not cls.suits(schema(s)))
    for key in settings_of(cls).keys() & {"preset", "backbone", "gate", "fusion", "tokens", "modality"}:
        with pytest.raises(InputError, match="nonsense"):
            build(FusionModel, {**small(name), key: "nonsense"}, schema(fitting))
