"""Shapley values of modalities, columns and words: closed forms, every order by hand, and Captum itself."""

from itertools import permutations

import numpy as np
import pytest
import torch
from captum import attr
from torch import nn

from studykit.case import Batch, Modality, Schema, Task
from studykit.catalog import InputError, build
from studykit.explain.explainer import drawing, logit_of
from studykit.explain.integrated_gradients import absent_like
from studykit.explain.kernel_shap import KernelShap
from studykit.explain.modality_shapley import ModalityShapley
from studykit.explain.players import Game
from studykit.explain.shapley_sampling import ShapleySampling
from studykit.models import FusionModel, class_logit

VALUE, LESION = Task("t", "regression"), Task("t", "binary", ("n", "y"))
IMAGE = Modality("image", "image", (1, 16, 24), absent=0.4)
RECORD = Modality(
    "record", "table", (5,), ("Age", "Age=missing", "Signs=lump", "Signs=pain", "Signs=missing"),
    (0.0, 1.0, 0.0, 0.0, 1.0),
)  # fmt: skip
REPORT = Modality("report", "text", (7,), vocabulary=("[end]", "[unknown]", *"abcdefgh"))
KNOWN = torch.tensor([[0.7, 0.0, 1.0, 0.0, 0.0]])  # neither column as "absent" has it


class Formula(FusionModel):
    """A model that answers what it is told to, `answer({modality: values}) -> (B,)`."""

    name = "formula"

    def __init__(self, schema, answer):
        super().__init__(schema)
        self.answer = answer
        self.encoders = nn.ModuleDict({m.name: nn.Identity() for m in schema.modalities})

    def fuse(self, features):
        return {head.name: self.answer(features)[:, None] for head in self.heads}


def formula(modalities, answer):
    return Formula(Schema(tuple(modalities), (VALUE,)), answer=answer).eval()


def table(name, columns, absent=0.0):
    names = tuple(f"{name}{k}" for k in range(columns))
    return Modality(name, "table", (columns,), names, (absent,) * columns)


def cases(**inputs):
    names = [str(k) for k in range(len(next(iter(inputs.values()))))]
    return Batch(names, names, inputs, {})


def real(modalities=(IMAGE, RECORD, REPORT), name="concat", seed=0):
    torch.manual_seed(seed)
    spec = {"name": name, "image": {"name": "residual", "widths": [4, 8]}, "dropout": 0.0}
    return build(FusionModel, spec, Schema(modalities, (LESION,))).eval()


def some(count=3):
    draw = torch.Generator().manual_seed(1)
    words = torch.tensor([[3.0, 2, 5, 0, 0, 0, 0], [2.0, 4, 9, 8, 1, 0, 0], [0.0] * 7])[:count]
    image = torch.rand(count, *IMAGE.shape, generator=draw)
    record = torch.cat([KNOWN, torch.tensor([[0.0, 1, 0, 0, 1], [-2.0, 0, 0, 1, 0]])])[:count]
    return cases(image=image, record=record, report=words)


def in_every_order(worth, count):
    """The mean over all orders of what each of `count` players adds; worth takes a set."""
    found = np.zeros(count)
    orders = list(permutations(range(count)))
    for order in orders:
        for at, player in enumerate(order):
            found[player] += worth(set(order[: at + 1])) - worth(set(order[:at]))
    return found / len(orders)


def answered(model, batch, there):
    """The logit of one case with only `there`, pairs of a modality and its positions (None: all)."""
    inputs = {}
    for name, x in batch.inputs.items():
        inputs[name] = absent_like(x, model.schema.modality(name))
        for modality, positions in there:
            if modality == name:
                at = ... if positions is None else list(positions)
                inputs[name][0, at] = x[0, at]
    head = model.heads[0]
    with torch.no_grad():
        return class_logit(model(inputs)[head.name], head.task, torch.tensor([1])).item()


# Modalities


def test_modality_shapley_of_a_plus_b_plus_their_product():
    a, b = torch.tensor([[2.0], [0.5], [-1.0]]), torch.tensor([[3.0], [0.25], [4.0]])
    model = formula([table("a", 1), table("b", 1)], lambda x: (x["a"] + x["b"] + x["a"] * x["b"])[:, 0])
    found = ModalityShapley()(model, cases(a=a, b=b))
    np.testing.assert_allclose(found.effects["a"], (a + a * b / 2)[:, 0].numpy(), atol=1e-6)
    np.testing.assert_allclose(found.effects["b"], (b + a * b / 2)[:, 0].numpy(), atol=1e-6)
    assert found.maps == {} and np.abs(found.checks["efficiency"]).max() < 1e-6


def test_modality_shapley_is_captums_over_whole_modalities():
    model, batch = real(), some()
    found = ModalityShapley()(model, batch)
    names = list(model.modalities)
    inputs = tuple(batch.inputs[n] for n in names)
    absent = tuple(absent_like(x, model.schema.modality(n)) for n, x in zip(names, inputs, strict=True))
    masks = tuple(torch.full_like(x[:1], k, dtype=torch.long) for k, x in enumerate(inputs))
    forward = logit_of(model, model.heads[0], names)
    given = {"baselines": absent, "feature_mask": masks, "additional_forward_args": (torch.ones(3).long(),)}
    theirs = attr.ShapleyValues(forward).attribute(inputs, **given)
    for name, values in zip(names, theirs, strict=True):
        np.testing.assert_allclose(found.effects[name], values.flatten(1)[:, 0].detach(), atol=1e-5)


def test_each_modality_is_encoded_once_there_and_once_absent():
    model, batch, seen = real(), some(), []
    model.encoders["image"].register_forward_hook(lambda *_: seen.append(1))
    inputs = {name: batch.inputs[name] for name in model.modalities}
    ModalityShapley().maps(model, Batch(batch.ids, batch.groups, inputs, {}), model.heads[0], torch.ones(3))
    assert len(seen) == 4  # twice for 2^3 answers, and twice for the check


@pytest.mark.parametrize("name", ["concat", "late"])
@pytest.mark.parametrize(
    "explainer", [ModalityShapley(), KernelShap(), ShapleySampling()], ids=lambda e: e.name
)
def test_what_a_case_lacks_has_no_effect_and_the_rest_adds_up(name, explainer):
    model, batch = real(name=name), some()
    whole = explainer(model, batch)
    batch.inputs["image"][1] = torch.nan
    found = explainer(model, batch)
    assert found.effects["image"][1] == 0 != whole.effects["image"][1]
    assert np.abs(found.checks["efficiency"]).max() < 1e-5
    for modality, effect in found.effects.items():
        assert np.isfinite(effect).all()
        np.testing.assert_allclose(effect[[0, 2]], whole.effects[modality][[0, 2]], atol=1e-5)


def test_more_than_six_modalities_get_a_sentence():
    model = formula([table(letter, 1) for letter in "abcdefg"], lambda x: x["a"][:, 0])
    with pytest.raises(InputError, match="7 modalities have 128; explain a model of 6 modalities or fewer"):
        ModalityShapley()(model, cases(**{letter: torch.ones(1, 1) for letter in "abcdefg"}))


# Columns and words


def test_kernel_shap_of_few_players_is_the_mean_over_all_orders():
    """Two source columns with their dummies, three words and a picture: 6 players, 720 orders."""
    model, batch = real(), some(1)
    found = KernelShap()(model, batch)
    players = [("image", None), ("record", (0, 1)), ("record", (2, 3, 4))]
    players += [("report", (word,)) for word in range(3)]
    known = {}

    def worth(there):
        key = frozenset(there)
        if key not in known:
            known[key] = answered(model, batch, [players[k] for k in key])
        return known[key]

    expected = in_every_order(worth, 6)
    record, report = found.maps["record"][0], found.maps["report"][0]
    got = [found.effects["image"][0], record[:2].sum(), record[2:].sum(), *report[:3]]
    np.testing.assert_allclose(got, expected, atol=2e-6)
    assert np.abs(expected).min() > 1e-4 and found.checks["standard_error"][0] == 0
    np.testing.assert_allclose(found.effects["report"][0], expected[3:].sum(), atol=2e-6)


def test_shapley_sampling_is_captums_over_the_joint_inputs():
    """The same seed draws the same orders. Captum gives a group's value to each position, we give it once."""
    model, batch = real(), some(1)
    found = ShapleySampling(samples=6, seed=3)(model, batch)
    names = list(model.modalities)
    inputs = tuple(batch.inputs[n] for n in names)
    absent = tuple(absent_like(x, model.schema.modality(n)) for n, x in zip(names, inputs, strict=True))
    masks = (
        torch.zeros(1, 1, 16, 24).long(),
        torch.tensor([[1, 1, 2, 2, 2]]),
        torch.tensor([[3, 4, 5, 0, 0, 0, 0]]),  # no word to take away there
    )
    torch.manual_seed(int(drawing("0", 3).integers(2**62)))
    given = {"baselines": absent, "feature_mask": masks, "additional_forward_args": (torch.ones(1).long(),)}
    method = attr.ShapleyValueSampling(logit_of(model, model.heads[0], names))
    image, record, report = method.attribute(inputs, n_samples=6, **given)
    once = record[0] / torch.tensor([2.0, 2, 3, 3, 3])
    np.testing.assert_allclose(found.maps["record"][0], once, atol=1e-6)
    np.testing.assert_allclose(found.maps["report"][0, :3], report[0, :3], atol=1e-6)
    np.testing.assert_allclose(found.effects["image"][0], image[0, 0, 0, 0].item(), atol=1e-6)
    assert found.maps["record"][0].any() and not found.maps["report"][0, 3:].any()


def test_kernel_shap_is_captums_over_the_joint_inputs_of_an_additive_model():
    modalities = [table("a", 3, 0.5), table("b", 2)]
    model = formula(modalities, lambda x: (x["a"] ** 2).sum(1) - 3 * x["b"][:, 0] + x["b"][:, 1].sin())
    batch = cases(a=torch.tensor([[1.0, -2, 3]]), b=torch.tensor([[1.0, 2]]))
    found = KernelShap()(model, batch)
    torch.manual_seed(0)
    method = attr.KernelShap(logit_of(model, model.heads[0], ["a", "b"]))
    theirs = method.attribute(
        (batch.inputs["a"], batch.inputs["b"]), (torch.full((1, 3), 0.5), torch.zeros(1, 2)), n_samples=200,
        feature_mask=(torch.tensor([[0, 1, 2]]), torch.tensor([[3, 4]])),
        additional_forward_args=(torch.zeros(1).long(),),
    )  # fmt: skip
    for name, values in zip("ab", theirs, strict=True):
        np.testing.assert_allclose(found.maps[name], values.numpy(), atol=1e-4)
    np.testing.assert_allclose(found.maps["a"][0], [0.75, 3.75, 8.75], atol=1e-5)


SAMPLERS = [ShapleySampling(samples=200, seed=1), KernelShap(samples=2000, seed=1)]


@pytest.mark.parametrize("explainer", SAMPLERS, ids=lambda e: e.name)
def test_values_of_an_additive_model_are_exact_whatever_is_drawn(explainer):
    weights = torch.linspace(-2, 3, 12)
    model = formula([table("a", 12, 0.25)], lambda x: 5 + x["a"] @ weights)
    x = torch.randn(2, 12, generator=torch.Generator().manual_seed(0))
    found = explainer(model, cases(a=x))
    np.testing.assert_allclose(found.maps["a"], ((x - 0.25) * weights).numpy(), atol=1e-5)
    assert found.checks["standard_error"].max() < 1e-5


@pytest.mark.parametrize("explainer", SAMPLERS, ids=lambda e: e.name)
def test_values_of_a_product_are_within_three_standard_errors(explainer):
    """f = sum of x + 2 x_0 x_1 x_2 + x_3 x_4 from 0: each has its own, and an equal part of its products."""

    def answer(x):
        a = x["a"]
        return a.sum(1) + 2 * a[:, 0] * a[:, 1] * a[:, 2] + a[:, 3] * a[:, 4]

    model = formula([table("a", 12)], answer)
    x = torch.rand(4, 12, generator=torch.Generator().manual_seed(0)) + 0.5
    expected = x.numpy().copy()
    expected[:, :3] += (2 * x[:, :3].prod(1) / 3).numpy()[:, None]
    expected[:, 3:5] += (x[:, 3:5].prod(1) / 2).numpy()[:, None]
    found = explainer(model, cases(a=x))
    errors = []
    for at in range(4):
        game = Game(model, cases(a=x[at : at + 1]), model.heads[0], torch.zeros(1).long())
        torch.manual_seed(int(drawing(str(at), 1).integers(2**62)))
        values, error = explainer.values(game)
        np.testing.assert_allclose(values, found.maps["a"][at], atol=1e-5)
        np.testing.assert_allclose(found.checks["standard_error"][at], error.mean())
        errors.append(error)
    z = (found.maps["a"] - expected) / np.maximum(errors, 1e-4)
    assert np.abs(z).max() < 3.5 and 0.3 < np.sqrt((z[:, :3] ** 2).mean()) < 2
    assert np.abs(found.checks["efficiency"]).max() < 1e-4
    assert 0 < np.max(errors) < 0.2


def test_standard_errors_are_the_spread_over_seeds():
    model = formula([table("a", 10)], lambda x: x["a"][:, :3].prod(1) + x["a"][:, 3:].prod(1))
    game = Game(model, cases(a=torch.full((1, 10), 1.3)), model.heads[0], torch.zeros(1).long())
    for explainer in (ShapleySampling(samples=40), KernelShap(samples=256)):
        drawn = []
        for seed in range(60):
            torch.manual_seed(seed)
            drawn.append(explainer.values(game))
        values, errors = (np.array(part) for part in zip(*drawn, strict=True))
        ratio = values.std(axis=0).mean() / errors.mean()
        assert 0.75 < ratio < 1.35, explainer.name


@pytest.mark.parametrize(
    "explainer", [ShapleySampling(samples=4), KernelShap(samples=24)], ids=lambda e: e.name
)
def test_a_batch_gives_what_its_single_cases_give_and_a_seed_changes_it(explainer):
    model, batch = real(), some()
    before = torch.get_rng_state()
    found = explainer(model, batch)
    assert torch.equal(torch.get_rng_state(), before)
    for at in (1, 2):
        one = explainer(model, batch.take([at]))
        for name, values in found.maps.items():
            np.testing.assert_allclose(one.maps[name][0], values[at], atol=1e-5)
    other = type(explainer)(samples=explainer.samples, seed=7)(model, batch)
    assert not np.allclose(other.maps["report"][1], found.maps["report"][1], atol=1e-4)
    assert found.checks["standard_error"][1] > 0


@pytest.mark.parametrize("explainer", [ShapleySampling(samples=3), KernelShap()], ids=lambda e: e.name)
def test_who_would_not_be_missed_is_no_player(explainer):
    """Case 1's record is as "absent" has it; case 2 has no words; a case that is all absent moves nothing."""
    model, batch = real(), some()
    found = explainer(model, batch)
    assert not found.maps["record"][1].any() and not found.maps["report"][2].any()
    nothing = {n: absent_like(x, model.schema.modality(n)) for n, x in batch.inputs.items()}
    empty = explainer(model, Batch(batch.ids, batch.groups, nothing, {}))
    assert not any(effect.any() for effect in empty.effects.values())
    only = {**nothing, "record": torch.cat([KNOWN] * 3)}
    only["record"][:, :2] = torch.tensor([0.0, 1.0])
    alone = explainer(model, Batch(batch.ids, batch.groups, only, {}))
    assert np.abs(alone.checks["efficiency"]).max() < 1e-6 and alone.effects["record"].all()


def test_pictures_alone_and_wrong_settings_get_a_sentence():
    model = real((IMAGE,))
    for explainer in (ShapleySampling(), KernelShap()):
        with pytest.raises(InputError, match="over image sees none; use occlusion or integrated_gradients"):
            explainer(model, cases(image=torch.rand(1, *IMAGE.shape)))
    with pytest.raises(InputError, match="'samples' of shapley_sampling is 2 or more, not 1"):
        ShapleySampling(samples=1)
    with pytest.raises(InputError, match="'samples' of kernel_shap is 8 or more, not 2"):
        KernelShap(samples=2)
