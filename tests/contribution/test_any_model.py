"""Models of other people, however they take their inputs, and how often they are asked."""

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from studykit.case import Modality
from studykit.catalog import InputError
from studykit.contribution import modality_contribution
from tests.contribution.twin import Mixed, algorithm_1, normal, several, tiles

CLOSE = {"rtol": 0, "atol": 1e-12}
INPUTS = {"image": normal(5, 1, 8, 8, seed=1), "record": normal(5, 3, seed=2)}
MIXED = Mixed(INPUTS, 2)


class ByKeyword(nn.Module):
    def __init__(self):
        super().__init__()
        self.inside = MIXED

    def forward(self, record, image, scale=1.0):
        return scale * self.inside(image=image, record=record)


class InOrder(ByKeyword):
    def forward(self, x, y):
        return self.inside(image=x, record=y)


class OneDictionary(ByKeyword):
    def forward(self, batch):
        return self.inside(**batch)


class Several(ByKeyword):
    def forward(self, *given):
        return self.inside(image=given[0], record=given[1])


def as_function(image, record):
    return MIXED(image=image, record=record)


def same(asked, wanted=None):
    wanted = wanted or modality_contribution(MIXED, INPUTS, {"image": 4})
    for d, other in zip(asked.differences.values(), wanted.differences.values(), strict=True):
        np.testing.assert_allclose(d, other, **CLOSE)


@pytest.mark.parametrize("model", [ByKeyword().eval(), OneDictionary().eval(), as_function, MIXED])
def test_inputs_by_name(model):
    same(modality_contribution(model, INPUTS, {"image": 4}))
    arrays = {name: x.numpy() for name, x in INPUTS.items()}
    same(modality_contribution(model, arrays, {"image": 4}))


@pytest.mark.parametrize("model", [InOrder().eval(), Several().eval(), as_function])
def test_inputs_in_order(model):
    found = modality_contribution(model, list(INPUTS.values()), {"input 1": 4})
    same(found)
    assert found.modalities == ("input 1", "input 2")
    same(modality_contribution(model, tuple(INPUTS.values()), {"input 1": 4}))


@pytest.mark.parametrize(
    ("said", "read"),
    [
        (lambda p: {"first": p, "second": -p}, {"head": "first"}),
        (lambda p: {"first": p}, {}),
        (lambda p: (p, "attention"), {}),
        (lambda p: p[:, :, None], {}),
        (lambda p: {"hidden": [p]}, {"output": lambda said: said["hidden"][0]}),
    ],
)
def test_what_a_model_may_say(said, read):
    same(
        modality_contribution(
            lambda image, record: said(as_function(image, record)), INPUTS, {"image": 4}, **read
        )
    )


@pytest.mark.parametrize("numbers", [lambda p: p[:, 0], lambda p: p[:, :1]])
def test_one_number_a_case(numbers):
    found = modality_contribution(
        lambda image, record: numbers(as_function(image, record)), INPUTS, {"image": 4}
    )
    wanted = modality_contribution(MIXED, INPUTS, {"image": 4})
    np.testing.assert_allclose(found.differences["image"], wanted.differences["image"][..., :1], **CLOSE)
    assert found.outputs == ("output",) and wanted.outputs == ("output 0", "output 1")


@pytest.mark.parametrize(
    ("output", "link"),
    [
        ("given", lambda z: z),
        ("logit", lambda z: z),
        ("sigmoid", torch.sigmoid),
        ("softmax", lambda z: z.softmax(1)),
    ],
)
def test_outputs_of_a_model_that_does_not_name_its_task(output, link):
    found = modality_contribution(MIXED, INPUTS, {"image": 4}, output=output)
    ids = {"image": several(tiles((1, 8, 8), (4, 4)), 5), "record": several(torch.arange(3), 5)}
    d, m = algorithm_1(MIXED, INPUTS, ids, {name: torch.zeros_like(x) for name, x in INPUTS.items()}, link)
    assert found.share() == pytest.approx(m, abs=1e-12) and found.about["output"] == output
    np.testing.assert_allclose(found.differences["record"], d["record"], **CLOSE)


class Cases(torch.utils.data.Dataset):
    def __init__(self, form):
        self.form = form

    def __len__(self):
        return 5

    def __getitem__(self, k):
        return self.form({name: x[k] for name, x in INPUTS.items()})


@pytest.mark.parametrize("size", [1, 2, 3, 5])
def test_batches_of_a_loader_give_what_all_cases_give(size):
    wanted = modality_contribution(MIXED, INPUTS, {"image": 4}, ids="abcde", groups="ppqqr")
    loader = torch.utils.data.DataLoader(Cases(dict), batch_size=size)
    found = modality_contribution(MIXED, loader, {"image": 4}, ids="abcde", groups="ppqqr")
    same(found, wanted)
    assert (found.ids, found.groups, found.forwards) == (wanted.ids, wanted.groups, wanted.forwards)
    pd.testing.assert_frame_equal(found.table(), wanted.table())
    in_order = torch.utils.data.DataLoader(Cases(lambda case: tuple(case.values())), batch_size=size)
    same(modality_contribution(InOrder().eval(), in_order, {"input 1": 4}), wanted)
    assert modality_contribution(MIXED, loader).ids == list("01234")
    for batches in ((dict(batch) for batch in loader), [dict(batch) for batch in loader]):
        same(modality_contribution(MIXED, batches, {"image": 4}), wanted)


def test_a_modality_is_what_it_is_said_to_be():
    slices = normal(4, 6, 5, seed=3)  # (N, T, F): what no tensor's form tells
    model, inputs = Mixed({"slices": slices, "b": slices[:, 0]}, 1), {"slices": slices, "b": slices[:, 0]}
    found = modality_contribution(model, inputs, modalities={"slices": Modality("slices", "image", (6, 5))})
    assert len(found.parts["slices"]) == 5
    whole = modality_contribution(
        lambda codes: codes.float(), {"codes": torch.eye(3).long()},
        modalities={"codes": Modality("codes", "table", (3,), ("A=1", "A=2", "B"))},
    )  # fmt: skip
    assert whole.parts["codes"] == ("A", "B")


class Residual(nn.Module):
    """A small network as people write them: convolutions, batch norms, a skip connection; then a table."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.cnn = nn.Sequential(
            nn.Conv2d(1, 6, 3, padding=1, bias=False), nn.BatchNorm2d(6), Skip(), nn.AdaptiveAvgPool2d(2)
        )
        self.mlp = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.ReLU())
        self.head = nn.Sequential(nn.Linear(28, 8), nn.Tanh(), nn.Linear(8, 3))
        shaken(self)

    def forward(self, image, record):
        return self.head(torch.cat([self.cnn(image).flatten(1), self.mlp(record)], dim=1))


class Skip(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(6, 6, 3, padding=1), nn.BatchNorm2d(6)

    def forward(self, x):
        return torch.relu(x + self.norm(self.conv(x)))


def shaken(model):
    """With batch norms as training would leave them."""
    for module in model.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            nn.init.normal_(module.running_mean)
            nn.init.uniform_(module.running_var, 0.5, 2.0)
            nn.init.normal_(module.weight)
            nn.init.normal_(module.bias)
    return model.double().eval()


@pytest.mark.parametrize("fold", [True, False])
@pytest.mark.parametrize("known", [("image",), ("record",), ("image", "record")], ids="+".join)
def test_encoders_spare_work_and_change_nothing(known, fold):
    model = Residual()
    first = {"image": model.cnn[0], "record": model.mlp[0]}
    rows = counted(model, **first)
    wanted = modality_contribution(model, INPUTS, {"image": 4}, fold=False)
    assert rows == {"model": 5 * (1 + 4 + 3), "image": 40, "record": 40}
    rows = counted(model, **first)
    encoders = {name: {"image": model.cnn, "record": model.mlp}[name] for name in known}
    same(modality_contribution(model, INPUTS, {"image": 4}, encoders=encoders, fold=fold), wanted)
    if not fold:  # each case and part once; and two cases to see that it depends on nothing else
        looked = 2 * (1 + 2 * len(known))
        for name, parts in {"image": 4, "record": 3}.items():
            assert rows[name] == looked + (5 + 5 * parts if name in known else 5 + 40)
    assert all("forward" not in vars(module) for module in model.modules())


def test_a_modality_may_be_called_anything():
    model = Residual()

    class Renamed(nn.Module):
        def __init__(self):
            super().__init__()
            self.inside = model

        def forward(self, features, values):
            return self.inside(features, values)

    inputs = {"features": INPUTS["image"], "values": INPUTS["record"]}
    wanted = modality_contribution(model, INPUTS, {"image": 4}, {"record": 1.0})
    for encoders in ({}, {"features": model.cnn}):
        found = modality_contribution(
            Renamed().eval(), inputs, {"features": 4}, {"features": 0.0, "values": 1.0}, encoders=encoders
        )
        same(found, wanted)


class Twins(nn.Module):
    """Two pictures seen by one network; what both say is mixed."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.eye, self.mix, self.last = nn.Linear(4, 3), nn.Linear(6, 5), nn.Linear(5, 2)
        self.double().eval()

    def forward(self, left, right):
        return self.last(torch.tanh(self.mix(torch.cat([self.eye(left), self.eye(right)], dim=1))))


def test_what_no_encoder_of_one_modality_is_is_refused():
    """What it gave for one modality would stand in for the other, too."""
    model, inputs = Twins(), {"left": normal(3, 4, seed=4), "right": normal(3, 4, seed=5)}
    for encoders in ({"left": model.eye}, {"left": model.eye, "right": model.eye}):
        with pytest.raises(InputError, match="encoder of 'left' is not asked once an answer"):
            modality_contribution(model, inputs, encoders=encoders)
    for count in (1, 3):
        with pytest.raises(InputError, match="encoder of 'right' sees other modalities, too"):
            modality_contribution(
                model, {name: x[:count] for name, x in inputs.items()}, encoders={"right": model.mix}
            )


def counted(model, **encoders):
    """{name: rows that went through}, counted by hooks while they stay."""
    rows = dict.fromkeys(["model", *encoders], 0)
    for name, module in {"model": model, **encoders}.items():
        for hook in list(module._forward_hooks):
            del module._forward_hooks[hook]

        def count(_, __, said, name=name):
            rows[name] += len(said)

        module.register_forward_hook(count)
    return rows


@pytest.mark.parametrize("size", [0, 1, 3, 50])
def test_rows_passed_through_are_cases_times_parts_and_one(size):
    model = ByKeyword().eval()
    rows = counted(model)
    found = modality_contribution(model, INPUTS, {"image": 2}, size=size, fold=False)
    assert rows["model"] == found.forwards == 5 * (1 + 16 + 3)
    assert found.encodings == {"image": 5 + 5 * 16, "record": 5 + 5 * 3}


def test_parts_that_already_are_what_they_would_be_filled_with_are_not_asked():
    image = INPUTS["image"].clone()
    image[1, :, :4], image[2] = 0, 0
    model = ByKeyword().eval()
    rows = counted(model)
    found = modality_contribution(model, {**INPUTS, "image": image}, {"image": 4}, fold=False)
    assert rows["model"] == found.forwards == 5 * (1 + 4 + 3) - 2 - 4
    assert found.same["image"].sum(axis=1).tolist() == [0, 2, 4, 0, 0]
    assert (found.differences["image"][2] == 0).all() and (found.differences["image"][1, 2:] != 0).any()
    assert found.per_case().loc["2", "image"] == 0.0


def test_a_batch_holds_as_many_rows_as_asked():
    seen = []

    def model(image, record):
        seen.append(len(image))
        return as_function(image, record)

    modality_contribution(model, INPUTS, {"image": 1}, size=7)
    assert max(seen) == 7 and sum(seen) == 5 * (1 + 64 + 3)


def test_the_model_is_left_as_it_was():
    model = Residual()
    before = {name: values.clone() for name, values in model.state_dict().items()}
    hooks, forwards = len(model.cnn._forward_hooks), {n: m.forward.__func__ for n, m in model.named_modules()}
    modality_contribution(model, INPUTS, {"image": 4}, encoders={"image": model.cnn})
    assert {n: m.forward.__func__ for n, m in model.named_modules()} == forwards
    assert len(model.cnn._forward_hooks) == hooks and not model.training
    for name, values in model.state_dict().items():
        assert torch.equal(values, before[name])
    assert all(p.requires_grad and not p.is_inference() for p in model.parameters())
    model(**INPUTS).sum().backward()  # and can still learn


def test_rounding_that_a_caller_allows_is_not_allowed_here():
    """Half precision and TF32 would count as contribution; afterwards they are as the caller left them."""
    model, inputs = Residual().float(), {name: x.float() for name, x in INPUTS.items()}
    wanted = modality_contribution(model, inputs, {"image": 4})
    matmul = torch.backends.cuda.matmul
    before, matmul.allow_tf32 = matmul.allow_tf32, True
    try:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            assert model(**inputs).dtype == torch.bfloat16
            found = modality_contribution(model, inputs, {"image": 4})
            assert model(**inputs).dtype == torch.bfloat16
        assert matmul.allow_tf32
    finally:
        matmul.allow_tf32 = before
    for name, d in found.differences.items():
        np.testing.assert_array_equal(d, wanted.differences[name])
