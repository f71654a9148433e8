"""Infidelity and max-sensitivity: what a linear model's gradient gets, and Captum asked by hand."""

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from captum import metrics

from quality.test_curves import IMAGE, LINEAR, RECORD, asked_about, cases, drawn_heat, network
from studykit.catalog import InputError
from studykit.explain import Explainer, GradCAM, IntegratedGradients
from studykit.explain.explainer import drawing, logit_of
from studykit.quality.infidelity import Infidelity
from studykit.quality.max_sensitivity import MaxSensitivity


@dataclass(frozen=True)
class Slope(Explainer):
    """The gradient, plainly."""

    title = "Slope"
    unit = "logit per unit"
    gives = "how the class's logit changes"

    def maps(self, model, batch, head, targets):
        names = list(model.modalities)
        inputs = [batch.inputs[name].clone().requires_grad_() for name in names]
        slopes = torch.autograd.grad(
            logit_of(model, head, names)(*inputs, targets).sum(), inputs, materialize_grads=True
        )  # words have none
        found = {name: slope.numpy() for name, slope in zip(names, slopes, strict=True)}
        return found, dict.fromkeys(found, True), {}, {}


@dataclass(frozen=True)
class Told(Explainer):
    """Drawn maps of all modalities."""

    unit = "no unit"
    title = gives = ""

    def maps(self, model, batch, head, targets):
        found = {n: np.random.default_rng(1).normal(size=x.shape) for n, x in batch.inputs.items()}
        return {n: x.astype(np.float32) for n, x in found.items()}, {}, {}, {}


@pytest.mark.parametrize("scaled", [True, False])
def test_the_gradient_of_a_linear_model_has_no_infidelity(scaled):
    """Against what a map of zeros has; noise as large as is asked."""
    model, batch = network(LINEAR, (RECORD,)), cases(modalities=(RECORD,))
    score = Infidelity(samples=40, radius=0.5, scaled=scaled)
    found = score(asked_about(model, batch, "record", explainer=Slope(), targets=[1, 0, 1, 0]))["infidelity"]
    nothing = score(asked_about(model, batch, "record", np.zeros((4, 4)), targets=[1, 0, 1, 0]))["infidelity"]
    assert (found.values < 1e-5 * nothing.values).all()
    slope = Slope().maps(model, batch, model.heads[0], torch.ones(4, dtype=torch.long))[0]["record"][0]
    wanted = (0.5 * slope) ** 2  # a sum of independent normals: its variance
    np.testing.assert_allclose(nothing.values, wanted.sum(), rtol=0.7)  # 3 SD of a variance of 40


def test_integrated_gradients_of_a_linear_model_have_no_infidelity_against_absent_parts():
    """Its unit tells that the maps are multiplied by the input; taken for slopes they are wrong."""
    model, batch = network(LINEAR, (RECORD,)), cases(modalities=(RECORD,))
    asked = asked_about(model, batch, "record", explainer=IntegratedGradients(steps=4))
    found, noisy = (
        Infidelity(scaled=False, changes=c)(asked)["infidelity"].values for c in ("absent", "noise")
    )
    usual = Infidelity(scaled=False)(asked)["infidelity"].values
    np.testing.assert_array_equal(found, usual)
    assert found.max() < 1e-9 and noisy.min() > 1e-6


def test_the_best_factor_makes_units_comparable():
    model, batch = network(modalities=(IMAGE, RECORD)), cases(modalities=(IMAGE, RECORD))
    heat = np.asarray(Slope().maps(model, batch, model.heads[0], torch.ones(4, dtype=torch.long))[0]["image"])
    one, other = (
        Infidelity(samples=20)(asked_about(model, batch, "image", h.sum(1)))["infidelity"].values
        for h in (heat, 1000 * heat)
    )
    np.testing.assert_allclose(one, other, rtol=1e-3)
    plain, large = (
        Infidelity(samples=20, scaled=False)(asked_about(model, batch, "image", h.sum(1)))[
            "infidelity"
        ].values
        for h in (heat, 1000 * heat)
    )
    assert (plain >= one * (1 - 1e-3)).all() and (large > 100 * one).all()


@pytest.mark.parametrize("name", ["image", "volume", "record"])
def test_infidelity_is_what_captum_gives_for_all_modalities_at_once(name):
    """All inputs as one tuple, the whole explanation, only one modality changed, by the same draws."""
    model, batch = network(), cases()
    targets = torch.tensor([1, 0, 1, 0])
    asked = asked_about(model, batch, name, explainer=Told(), targets=targets)
    names = list(model.modalities)
    draws = [drawing(f"infidelity of {case}", 0) for case in batch.ids]

    def changed(inputs):
        noises = []
        for n, x in zip(names, inputs, strict=True):
            noise = torch.zeros_like(x)
            if n == name:
                sd = torch.ones(len(x)) if n == "record" else x.flatten(1).std(dim=1, correction=0)
                drawn = np.concatenate([draw.normal(size=(6, *x.shape[1:])) for draw in draws])
                noise = 0.1 * sd.view(-1, *[1] * (x.ndim - 1)) * torch.from_numpy(drawn).float()
            noises.append(noise)
        return tuple(noises), tuple(x - noise for x, noise in zip(inputs, noises, strict=True))

    maps = [torch.as_tensor(asked.explanation.maps[n]) for n in names]
    wanted = metrics.infidelity(
        logit_of(model, model.heads[0], names),
        changed,
        tuple(batch.inputs[n] for n in names),
        tuple(maps),
        additional_forward_args=(targets,),
        n_perturb_samples=6,
    )
    found = Infidelity(samples=6, scaled=False)(asked)["infidelity"].values
    np.testing.assert_allclose(found, wanted.numpy(), rtol=1e-3)
    assert np.ptp(found) > 0


def test_a_map_of_one_channel_counts_once_for_a_picture_of_two():
    """Captum multiplies by every channel; the place's value is shared by them."""
    model, batch = network(modalities=(IMAGE,)), cases(modalities=(IMAGE,))
    heat = drawn_heat(batch, "image")
    one = asked_about(model, batch, "image", heat)
    both = asked_about(model, batch, "image", heat)
    both.explanation.maps["image"] = np.repeat(heat[:, None] / 2, 2, axis=1)
    found, wanted = (Infidelity(samples=5, scaled=False)(a)["infidelity"].values for a in (one, both))
    np.testing.assert_allclose(found, wanted, rtol=1e-5)


def test_the_map_of_a_linear_models_gradient_does_not_move():
    model, batch = network(LINEAR, (RECORD,)), cases(modalities=(RECORD,))
    found = MaxSensitivity(radius=0.5)(asked_about(model, batch, "record", explainer=Slope()))
    assert (found["max_sensitivity"].values == 0).all()


def test_a_linear_models_effects_move_with_the_columns_in_closed_form():
    """a = w (x - absent) moves by w e: at most radius * ||w|| / ||a||, and with many draws not far below."""
    model, batch = network(LINEAR, (RECORD,)), cases(modalities=(RECORD,))
    asked = asked_about(model, batch, "record", explainer=IntegratedGradients(steps=4))
    found = MaxSensitivity(radius=0.3, samples=200)(asked)["max_sensitivity"].values
    maps = asked.heat
    slope = Slope().maps(model, batch, model.heads[0], torch.ones(4, dtype=torch.long))[0]["record"]
    most = 0.3 * np.linalg.norm(slope, axis=1) / np.linalg.norm(maps, axis=1)
    assert (found <= most * (1 + 1e-4)).all() and (found > 0.8 * most).all()


@pytest.mark.parametrize("name", ["image", "volume"])
def test_max_sensitivity_by_explaining_each_change(name):
    model, batch = network(), cases()
    asked = asked_about(model, batch, name, explainer=GradCAM(relu=False), targets=[1, 0, 1, 0])
    found = MaxSensitivity(radius=0.2, samples=5)(asked)["max_sensitivity"].values
    for case in range(4):
        draw = drawing(f"max_sensitivity of {batch.ids[case]}", 0)
        x, moved = batch.inputs[name][[case]], []
        first = torch.as_tensor(asked.explanation.maps[name][case])
        for _ in range(5):
            noise = torch.from_numpy(draw.uniform(-1, 1, size=x.shape)).float()
            one = batch.take([case])
            one.inputs[name] = x + 0.2 * x.std(correction=0) * noise
            target = torch.tensor([1 - case % 2])
            again = GradCAM(relu=False).maps(model, one, model.heads[0], target)[0][name][0]
            moved.append(float((torch.as_tensor(again) - first).norm() / first.norm()))
        assert found[case] == pytest.approx(max(moved), rel=1e-3)
    assert found.min() > 1e-3


def test_a_batch_gives_what_its_single_cases_give():
    model, batch = network(), cases()
    for name, score in (("image", Infidelity()), ("record", Infidelity()), ("volume", MaxSensitivity())):
        whole = score(asked_about(model, batch, name, explainer=GradCAM() if name != "record" else Slope()))
        one = batch.take([3])
        single = score(asked_about(model, one, name, explainer=GradCAM() if name != "record" else Slope()))
        assert single[score.name].values[0] == pytest.approx(whole[score.name].values[3], rel=1e-3)


def test_more_cases_than_go_through_at_once():
    batch = cases(70, (RECORD,))
    asked = asked_about(network(LINEAR, (RECORD,)), batch, "record", explainer=Slope())
    for score in (Infidelity(samples=3), MaxSensitivity(samples=3)):
        found = score(asked)[score.name].values
        assert len(found) == 70 and np.isfinite(found).all()


def test_a_case_that_lacks_a_modality_breaks_nothing():
    model, batch = network(), cases()
    batch.inputs["image"][1] = torch.nan
    batch.inputs["volume"][0] = torch.nan
    for score in (Infidelity(samples=4), MaxSensitivity(samples=2)):
        asked = asked_about(model, batch, "image", explainer=GradCAM(relu=False))
        found = score(asked)[score.name]
        assert np.isnan(found.values).tolist() == [False, True, False, False]
        assert found.why[1] == "The case has no 'image'."
    flat = asked_about(model, batch, "volume", np.zeros((4, 4, 6, 5)), explainer=GradCAM())
    assert MaxSensitivity()(flat)["max_sensitivity"].why[2].startswith("Its map is 0 everywhere")


def test_texts_are_not_changed_a_little():
    model, batch = network(), cases()
    asked = asked_about(model, batch, "report", drawn_heat(batch, "report"))
    for score in (Infidelity(), MaxSensitivity()):
        assert "not at text" in score.suits(asked)
        with pytest.raises(InputError, match="not at text"):
            score(asked)


def test_the_model_is_left_as_it_was():
    model, batch = network(), cases()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    inputs = {name: x.clone() for name, x in batch.inputs.items()}
    asked = asked_about(model, batch, "image", explainer=GradCAM())
    Infidelity(samples=3)(asked), MaxSensitivity(samples=2)(asked)
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert all(torch.equal(inputs[name], x) for name, x in batch.inputs.items())
    assert not model.training and all(p.grad is None for p in model.parameters())


def test_settings_that_make_no_sense_get_a_sentence():
    with pytest.raises(InputError, match="'radius' of infidelity is above 0"):
        Infidelity(radius=0)
    with pytest.raises(InputError, match="'samples' of max_sensitivity is 1 or more"):
        MaxSensitivity(samples=0)
    with pytest.raises(InputError, match="no kind of change named 'blur'"):
        Infidelity(changes="blur")
