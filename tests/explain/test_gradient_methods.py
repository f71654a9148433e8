"""Methods that ask for slopes, each against closed forms, loops by hand and the papers' equations."""

import warnings

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from captum import attr
from torch import nn

from studykit.case import Batch, Modality, Schema, Task
from studykit.catalog import InputError, build
from studykit.explain import GradCAM, IntegratedGradients
from studykit.explain.explainer import drawing, logit_of
from studykit.explain.grad_cam_plus_plus import GradCAMPlusPlus
from studykit.explain.gradient_x_input import GradientXInput
from studykit.explain.occlusion import Occlusion
from studykit.explain.smooth_grad import SmoothGrad
from studykit.models import FusionModel

IMAGE = Modality("image", "image", (2, 5, 4), absent=0.4)
RECORD = Modality("record", "table", (3,), ("a", "b", "b=missing"), (0.0, 0.0, 1.0))
TEXT = Modality("report", "text", (6,), vocabulary=tuple("abcdefgh"))
TASK = (Task("t", "binary", ("n", "y")),)
ABSENT = {"image": torch.full((2, 5, 4), 0.4), "record": torch.tensor([0.0, 0.0, 1.0])}


class Formula(FusionModel):
    """A function of the modalities, by name, as a model: (B, *shape) each to (B,)."""

    name = "formula"

    def __init__(self, schema, formula):
        super().__init__(schema)
        self.encoders = nn.ModuleDict({m.name: nn.Identity() for m in schema.modalities})
        self.formula = formula

    def fuse(self, features):
        return {head.name: self.formula(**features)[:, None] for head in self.heads}


class Leaving(Formula):
    """What is missing is left out."""

    drops = True


def batch(count=3, **inputs):
    draw = torch.Generator().manual_seed(0)
    inputs = inputs or {
        "image": torch.rand(count, *IMAGE.shape, generator=draw, dtype=torch.float64),
        "record": torch.randn(count, 3, generator=draw, dtype=torch.float64),
    }
    names = [f"case {i}" for i in range(count)]
    return Batch(names, names, inputs, {"t": torch.tensor([0.0, 1.0, torch.nan])[:count]})


def weights():
    draw = torch.Generator().manual_seed(1)
    shapes = {"image": IMAGE.shape, "record": RECORD.shape}
    return {n: torch.randn(shape, generator=draw, dtype=torch.float64) for n, shape in shapes.items()}


def linear():
    w = weights()

    def formula(image, record):
        return (w["image"] * image).flatten(1).sum(1) + (w["record"] * record).sum(1) - 0.7

    return Formula(Schema((IMAGE, RECORD), TASK), formula=formula), w


def powers():
    def formula(image, record):
        return (image**2).flatten(1).sum(1) + (record**3).sum(1)

    return Formula(Schema((IMAGE, RECORD), TASK), formula=formula)


def product():
    tables = tuple(Modality(name, "table", (1,), (name,)) for name in "ab")
    model = Formula(Schema(tables, TASK), formula=lambda a, b: (a * b)[:, 0])
    inputs = {"a": torch.tensor([[2.0], [-1.5], [0.0]]), "b": torch.tensor([[3.0], [0.5], [4.0]])}
    return model, batch(3, **inputs), (inputs["a"] * inputs["b"]).numpy()


def summed(values, found):
    """Over channels, where a method gives one number a pixel."""
    return values.sum(1, keepdims=True) if found.shape != values.shape else values


@pytest.mark.parametrize(
    "method",
    [
        GradientXInput(),
        IntegratedGradients(steps=2),
        Occlusion(window=1),
        SmoothGrad(4, 0.3, times_input=True),
    ],
    ids=lambda m: m.name,
)
def test_of_a_linear_model_each_place_added_its_weight_times_what_it_is_beyond_absent(method):
    (model, w), cases = linear(), batch()
    found = method(model, cases)
    for name, x in cases.inputs.items():
        wanted = (w[name] * (x - ABSENT[name])).numpy()
        effect = wanted.reshape(3, -1).sum(1)
        if method.name == "occlusion" and name == "record":
            wanted[:, 1:] = wanted[:, 1:].mean(axis=1, keepdims=True)  # both columns come from b
        np.testing.assert_allclose(found.maps[name], summed(wanted, found.maps[name]), atol=1e-6)
        np.testing.assert_allclose(found.effects[name], effect, atol=1e-6)
        assert found.signed[name]


@pytest.mark.parametrize("noise", [0.0, 0.15, 2.0])
def test_smooth_grad_of_a_linear_model_is_its_weights_noise_or_not(noise):
    (model, w), cases = linear(), batch()
    found = SmoothGrad(samples=7, noise=noise)(model, cases)
    for name, values in found.maps.items():
        assert (values == w[name].float().numpy()).all()
    assert not found.effects  # a slope is no amount
    of_the_label = SmoothGrad(noise=noise)(model, cases, of="true")
    signs = of_the_label.targets * 2 - 1
    assert set(signs) == {-1, 1}
    for name, values in of_the_label.maps.items():
        assert (values == np.multiply.outer(signs, w[name].float().numpy())).all()


def test_an_additive_model_in_closed_form():
    model, cases = powers(), batch()
    x, r = cases.inputs["image"].numpy(), cases.inputs["record"].numpy()
    a, b = 0.4, np.array([0.0, 0.0, 1.0])
    beyond = {"image": x**2 - a**2, "record": r**3 - b**3}
    wanted = {
        GradientXInput(): {"image": (x - a) * 2 * x, "record": (r - b) * 3 * r**2},
        IntegratedGradients(steps=3): beyond,
        Occlusion(window=1): {
            "image": beyond["image"].sum(1, keepdims=True),
            "record": np.stack([beyond["record"][:, 0], *[beyond["record"][:, 1:].mean(1)] * 2], axis=1),
        },
    }
    for method, maps in wanted.items():
        found = method(model, cases)
        for name, values in maps.items():
            np.testing.assert_allclose(found.maps[name], values, atol=1e-6, err_msg=f"{method} {name}")
    assert np.abs(IntegratedGradients(steps=3)(model, cases).checks["completeness"]).max() < 1e-6


def test_of_a_product_the_walk_halves_what_each_alone_takes_away():
    model, cases, ab = product()
    for method, share in ((IntegratedGradients(), 0.5), (GradientXInput(), 1), (Occlusion(), 1)):
        found = method(model, cases)
        for name in "ab":
            np.testing.assert_allclose(found.maps[name], share * ab, atol=1e-6)
            np.testing.assert_allclose(found.effects[name], share * ab[:, 0], atol=1e-6)


def test_what_is_absent_gets_nothing_from_gradient_x_input():
    (model, _), cases = linear(), batch()
    cases.inputs["record"][1] = ABSENT["record"]
    assert not GradientXInput()(model, cases).maps["record"][1].any()


def test_gradient_x_input_is_captums_counted_from_absent():
    torch.manual_seed(0)
    image = {"name": "residual", "widths": [4, 8]}
    schema = Schema((Modality("image", "image", (1, 16, 16), absent=0.4), RECORD), TASK)
    model = build(FusionModel, {"name": "concat", "image": image}, schema).eval()
    cases = batch(2, image=torch.rand(2, 1, 16, 16), record=torch.randn(2, 3))
    logit = logit_of(model, model.heads[0], ["image", "record"])

    def counted(image, record, target):
        return logit(image + 0.4, record + ABSENT["record"], target)

    far = tuple(
        (x - start).requires_grad_() for x, start in zip(cases.inputs.values(), (0.4, ABSENT["record"]))
    )
    theirs = attr.InputXGradient(counted).attribute(far, additional_forward_args=(torch.ones(2),))
    found = GradientXInput()(model, cases)
    for values, wanted in zip(found.maps.values(), theirs, strict=True):
        np.testing.assert_allclose(values, wanted.detach().numpy(), rtol=1e-4, atol=1e-6)


def test_smooth_grad_by_its_definition():
    """Slopes of x^2 and x^3 at noisy copies whose noise is drawn by hand."""
    model, cases = powers(), batch()
    found = SmoothGrad(samples=5, noise=0.2, seed=3)(model, cases)
    times = SmoothGrad(samples=5, noise=0.2, seed=3, times_input=True)(model, cases)
    for row, case in enumerate(cases.ids):
        draw = drawing(case, 3)
        slopes = {name: [] for name in cases.inputs}
        for _ in range(5):
            for name, power in (("image", 2), ("record", 3)):
                x = cases.inputs[name][row].numpy()
                noisy = x + 0.2 * (x.max() - x.min()) * draw.standard_normal(x.shape, dtype=np.float32)
                slopes[name].append(power * noisy ** (power - 1))
        for name, each in slopes.items():
            wanted = np.mean(each, axis=0)
            np.testing.assert_allclose(found.maps[name][row], wanted, atol=1e-5)
            far = (cases.inputs[name][row] - ABSENT[name]).numpy()
            np.testing.assert_allclose(times.maps[name][row], wanted * far, atol=1e-5)
    np.testing.assert_allclose(times.effects["image"], times.maps["image"].sum((1, 2, 3)), atol=1e-5)
    units = [SmoothGrad(times_input=times).unit for times in (True, False)]
    assert units == ["added to the logit, at first sight", "logit per unit of the input"]


@pytest.fixture(scope="module")
def reading():
    """A small model of a picture and a text."""
    torch.manual_seed(0)
    schema = Schema((Modality("image", "image", (1, 16, 16), absent=0.4), TEXT), TASK)
    spec = {"name": "concat", "image": {"name": "residual", "widths": [4, 8]}}
    model = build(FusionModel, spec, schema).eval()
    words = torch.tensor([[3.0, 2, 5, 5, 0, 0], [2.0, 4, 0, 0, 0, 0], [torch.nan] * 6])
    return model, batch(3, image=torch.rand(3, 1, 16, 16), report=words)


def slopes_of_words(model, cases):
    """The words' numbers and the slopes there, (B, T, width), by hand."""
    embed, kept = model.encoders["report"].embed, {}

    def keep(module, given, numbers):
        kept["numbers"] = numbers.detach().requires_grad_()
        return kept["numbers"]

    hook = embed.register_forward_hook(keep)
    model(cases.inputs)["t"].sum().backward()
    hook.remove()
    return kept["numbers"].detach(), kept["numbers"].grad


def test_of_a_text_the_words_numbers_are_counted_from_0(reading):
    model, cases = reading
    numbers, slopes = slopes_of_words(model, cases)
    model.zero_grad()
    times = {"gradient_x_input": GradientXInput(), "smooth_grad": SmoothGrad(2, 0.0, times_input=True)}
    for method in times.values():
        found = method(model, cases).maps["report"]
        np.testing.assert_allclose(found, (numbers * slopes).sum(2).numpy(), atol=1e-6)
        assert found[0, :4].all() and not found[0, 4:].any() and not found[2].any()
    plain = SmoothGrad(samples=2, noise=0.0)(model, cases)
    np.testing.assert_allclose(plain.maps["report"], slopes.norm(dim=2).numpy(), atol=1e-6)
    assert plain.signed == {"image": True, "report": False}


def test_noise_on_words_moves_the_numbers_and_not_the_words(reading):
    model, cases = reading
    found = SmoothGrad(samples=3, noise=0.5)(model, cases).maps["report"]
    quiet = SmoothGrad(samples=3, noise=0.0)(model, cases).maps["report"]
    assert np.abs(found - quiet)[0, :4].min() > 1e-5 and not found[0, 4:].any()


@pytest.mark.parametrize(
    "method",
    [GradientXInput(), IntegratedGradients(8), SmoothGrad(2, times_input=True), Occlusion(1)],
    ids=lambda m: m.name,
)
def test_a_model_that_leaves_out_what_is_missing_is_explained_so(method):
    """With a record the picture counts once, without one five times."""

    def formula(image, record):
        gone = record.isnan().all(1)
        times = torch.where(gone, 5.0, 1.0)
        return times * image.flatten(1).sum(1) + record.nan_to_num().sum(1)

    cases = batch()
    cases.inputs["record"][1] = torch.nan
    found = method(Leaving(Schema((IMAGE, RECORD), TASK), formula=formula), cases)
    far = (cases.inputs["image"] - 0.4).numpy() * np.array([1, 5, 1])[:, None, None, None]
    np.testing.assert_allclose(found.maps["image"], summed(far, found.maps["image"]), atol=1e-6)
    assert not found.maps["record"][1].any() and found.maps["record"][[0, 2]].any()
    if "completeness" in found.checks:
        assert np.abs(found.checks["completeness"]).max() < 1e-5


def taps(dims):
    """A small model over an image or a volume and a record, and two cases."""
    torch.manual_seed(0)
    kind, space = ("image", (8, 12)) if dims == 2 else ("volume", (4, 8, 12))
    seen = Modality("seen", kind, (1, *space), absent=0.4)
    spec = {"name": "concat", kind: {"name": "residual", "widths": [2, 3]}}
    model = build(FusionModel, spec, Schema((seen, RECORD), TASK)).eval()
    return model, batch(2, seen=torch.rand(2, 1, *space), record=torch.randn(2, 3))


def slow_plus_plus(a, g):
    """The paper's equation (19), in nested loops, for one case: a, g (C, *space)."""
    found = np.zeros(a.shape[1:])
    for channel in range(len(a)):
        whole, weight = 0.0, 0.0
        for place in np.ndindex(a.shape[1:]):
            whole += max(a[channel][place], 0.0)
        for place in np.ndindex(a.shape[1:]):
            slope = g[channel][place]
            if slope > 0:
                weight += slope**2 / (2 * slope**2 + whole * slope**3) * slope
        for place in np.ndindex(a.shape[1:]):
            found[place] += weight * a[channel][place]
    return found


@pytest.mark.parametrize("dims", [2, 3])
def test_grad_cam_plus_plus_by_its_equation(dims):
    (model, cases), kept = taps(dims), {}

    def keep(module, given, out):
        out.retain_grad()
        kept["map"] = out

    hook = model.encoders["seen"].tap.register_forward_hook(keep)
    inputs = {name: x.clone().requires_grad_() for name, x in cases.inputs.items()}
    model(inputs)["t"].sum().backward()
    hook.remove()
    model.requires_grad_(False)  # a frozen encoder
    size = cases.inputs["seen"].shape[2:]
    for relu in (True, False):
        found = GradCAMPlusPlus(relu=relu)(model, cases)
        assert found.signed == {"seen": not relu}
        for case in range(2):
            a, g = kept["map"][case].detach().double().numpy(), kept["map"].grad[case].double().numpy()
            assert (a >= 0).all() and (g > 0).any() and (g < 0).any()
            slow = torch.tensor(slow_plus_plus(a, g))
            slow = slow.relu() if relu else slow
            large = F.interpolate(slow[None, None], size, mode=["bilinear", "trilinear"][dims - 2])[0]
            grain = 1e-5 * large.abs().max().item()
            np.testing.assert_allclose(found.maps["seen"][case], large.numpy(), rtol=1e-4, atol=grain)
    plain = GradCAM(relu=False)(model, cases).maps["seen"]
    assert np.abs(plain - found.maps["seen"]).max() > 0.1 * np.abs(plain).max()


def test_a_map_below_0_gives_grad_cam_plus_plus_no_pole():
    draw = np.random.default_rng(0)
    a, g = draw.normal(size=(3, 2, 4, 5)) - 1, draw.normal(size=(3, 2, 4, 5))
    layer = nn.Identity()

    def logit(x, target):
        return (layer(x) * torch.tensor(g)).flatten(1).sum(1)

    x = torch.tensor(a).requires_grad_()
    found = GradCAMPlusPlus().cam(logit, layer, (x,), torch.ones(3))
    for case in range(3):
        np.testing.assert_allclose(
            found[case, 0].detach().numpy(), slow_plus_plus(a[case], g[case]), atol=1e-10
        )
        assert (
            np.abs(found[case].detach().numpy()).max() <= np.abs(a[case]).max() * 2 * 20 * np.abs(g).max() / 2
        )


def test_a_case_without_its_picture_has_an_empty_grad_cam():
    model, cases = taps(2)
    before = GradCAM(relu=False)(model, cases).maps["seen"]
    cases.inputs["seen"][1] = torch.nan
    for method in (GradCAM(relu=False), GradCAMPlusPlus(relu=False)):
        found = method(model, cases).maps["seen"]
        assert found[0].any() and not found[1].any()
    np.testing.assert_allclose(GradCAM(relu=False)(model, cases).maps["seen"][0], before[0], atol=1e-6)


def test_a_model_without_feature_map_is_told_so():
    (model, _), cases = linear(), batch()
    with pytest.raises(InputError, match=r"Grad-CAM\+\+ needs a feature map .*use integrated_gradients\."):
        GradCAMPlusPlus()(model, cases)


def test_settings_that_mean_nothing_get_a_sentence():
    for settings, said in (
        ({"samples": 0}, "'samples' of smooth_grad is 1 or more, not 0"),
        ({"noise": -0.1}, "'noise' of smooth_grad is a share of 0 or more, not -0.1"),
    ):
        with pytest.raises(InputError, match=said):
            SmoothGrad(**settings)


def test_nothing_warns_while_slopes_are_asked_for():
    (model, _), cases = linear(), batch()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for method in (GradientXInput(), SmoothGrad(2), IntegratedGradients(2), Occlusion(2)):
            method(model, cases)
