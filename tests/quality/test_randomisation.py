"""Randomisation: what stays as it is has 1, what follows the weights about 0, and the model is left alone."""

from dataclasses import dataclass

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy.stats import spearmanr
from skimage.feature import hog
from skimage.metrics import structural_similarity

from quality.test_curves import (
    LINEAR,
    RECORD,
    Told,
    asked_about,
    cases,
    drawn_heat,
    network,
)
from studykit.case import Modality, Task
from studykit.catalog import InputError
from studykit.explain import Explainer, GradCAM, IntegratedGradients
from studykit.quality.randomisation import Randomisation, explained, layer_groups, layers, redrawn, take_over

PICTURE = Modality("image", "image", (1, 24, 16), absent=0.4)
NAMES = ("", ", absolute", ", SSIM", ", HOG")


@dataclass(frozen=True)
class Edges(Explainer):
    """How much a pixel differs from its neighbours; the model is not looked at."""

    title, unit, gives = "Edges", "no unit", "edges"

    def maps(self, model, batch, head, targets):
        found = {}
        for name in ("image", "volume"):
            x = batch.inputs.get(name)
            if x is not None:
                found[name] = sum(x.diff(dim=d, prepend=x.narrow(d, 0, 1)).abs() for d in range(2, x.ndim))
        return {name: x.numpy() for name, x in found.items()}, {}, {}, {}


def test_an_edge_detector_stays_as_it_is():
    model, batch = network(modalities=(PICTURE, RECORD)), cases(modalities=(PICTURE, RECORD))
    asked = asked_about(model, batch, "image", explainer=Edges())
    found = Randomisation(redraws=2, cascading=True)(asked)
    for name in NAMES:
        np.testing.assert_allclose(found["randomisation" + name].values, 1, atol=1e-9)
    for curve in found["randomisation"].curves.values():
        np.testing.assert_allclose(curve, 1, atol=1e-9)


@pytest.fixture(scope="module")
def trained():
    """A fusion model that has learned to see a planted patch, and cases that have one."""
    batch = cases(128, (Modality("image", "image", (1, 32, 32), absent=0.5), RECORD))
    shown = np.arange(128) % 2 == 0
    for case, (y, x) in enumerate(np.random.default_rng(0).integers(2, 24, size=(128, 2))):
        batch.inputs["image"][case, 0, y : y + 6, x : x + 6] += 0.6 * shown[case]
    model = network(modalities=(Modality("image", "image", (1, 32, 32), absent=0.5), RECORD)).train()
    optimiser = torch.optim.Adam(model.parameters(), 0.01)
    for _ in range(40):
        optimiser.zero_grad()
        said = model(batch.inputs)["t"][:, 0]
        F.binary_cross_entropy_with_logits(said, torch.tensor(shown).float()).backward()
        optimiser.step()
    with torch.no_grad():
        right = (model.eval()(batch.inputs)["t"][:, 0].numpy() > 0) == shown
    assert right.mean() > 0.95  # the model learned
    return model, batch.take(range(0, 16, 2))


@pytest.mark.parametrize("explainer", [GradCAM(relu=False), IntegratedGradients(steps=8)])
def test_a_trained_models_map_falls_to_about_0(trained, explainer):
    """Signed, over 10 redraws; with the trained weights it would have 1."""
    asked = asked_about(*trained, "image", explainer=explainer)
    found = Randomisation(redraws=10)(asked)
    signed, absolute = found["randomisation"], found["randomisation, absolute"].values
    assert abs(signed.values.mean()) < 0.25
    assert (absolute >= np.abs(signed.values)).all() and absolute.mean() < 0.8
    assert signed.chance.tolist() == [0] * 8
    own = explained(asked, asked.model, torch.ones(8, dtype=torch.long), np.arange(8))
    np.testing.assert_allclose(own, asked.heat, atol=1e-5 * np.abs(asked.heat).max())


def test_the_numbers_by_hand():
    """One redraw: scipy's Spearman, skimage's SSIM, numpy's Pearson of skimage's HOG; the same class."""
    model, batch = network(modalities=(PICTURE, RECORD)), cases(modalities=(PICTURE, RECORD))
    targets = torch.tensor([1, 0, 1, 0])
    explainer = IntegratedGradients(steps=4)
    asked = asked_about(model, batch, "image", explainer=explainer, targets=targets)
    found = Randomisation(redraws=1, seed=3)(asked)
    seed = int(np.random.SeedSequence([0, 3, 0]).generate_state(1)[0])
    drawn = redrawn(model, seed)
    maps = explainer.maps(drawn, batch, model.heads[0], targets)[0]["image"][:, 0].astype(np.float64)
    for case in range(4):
        one, other = asked.heat[case], maps[case]
        rho = spearmanr(one.ravel(), other.ravel())[0]
        assert found["randomisation"].values[case] == pytest.approx(rho, abs=1e-9)
        assert found["randomisation, absolute"].values[case] == pytest.approx(abs(rho), abs=1e-9)
        one, other = ((m - m.min()) / (m.max() - m.min()) for m in (one, other))
        alike = structural_similarity(one, other, data_range=1)
        assert found["randomisation, SSIM"].values[case] == pytest.approx(alike, abs=1e-9)
        hogs = [hog(m, pixels_per_cell=(3, 2)) for m in (one, other)]
        wanted = np.corrcoef(*hogs)[0, 1]
        assert found["randomisation, HOG"].values[case] == pytest.approx(wanted, abs=1e-9)


def test_every_weight_is_drawn_anew_and_differently_each_time():
    """Batch norms forget their statistics; what a layer cannot draw itself is as large as it was."""
    model = network()
    one, again, other = (redrawn(model, seed) for seed in (1, 1, 2))
    fresh = dict(one.named_parameters())
    for name, before in model.named_parameters():
        assert torch.equal(fresh[name], dict(again.named_parameters())[name]), name
        if before.ndim > 1:
            assert not torch.equal(fresh[name], before), name
            assert not torch.equal(fresh[name], dict(other.named_parameters())[name]), name
    for module in one.modules():
        if getattr(module, "running_var", None) is not None:
            assert (module.running_var == 1).all() and (module.running_mean == 0).all()
    start, before = (m.encoders["report"].start for m in (one, model))
    assert not torch.equal(start, before) and 0.5 < start.norm() / before.norm() < 2


def test_layers_stand_from_the_heads_down():
    model, batch = network(), cases()
    groups = layer_groups(model, batch.take([0]))
    names = [name for group in groups for name in group]
    assert len(groups) == 8 and sorted(names) == sorted(layers(model)) and names[0] == "logits.t"
    assert max(map(len, groups)) - min(map(len, groups)) <= 1
    inside = [n for n in names if n.startswith("encoders.image")]
    assert inside[-1] == "encoders.image.stages.0.body.0" and inside[0].startswith("encoders.image.stages.1")
    one, drawn = network(), redrawn(network(), 5)
    for group in groups:
        take_over(drawn, one, group)
    assert all(torch.equal(v, one.state_dict()[name]) for name, v in drawn.state_dict().items())


def test_curves_over_layers_end_where_all_is_drawn_anew():
    model, batch = network(modalities=(PICTURE, RECORD)), cases(modalities=(PICTURE, RECORD))
    asked = asked_about(model, batch, "image", explainer=GradCAM(relu=False))
    found = Randomisation(redraws=2, cascading=True)(asked)["randomisation"]
    assert Randomisation(redraws=2)(asked)["randomisation"].curves == {}
    cascading, alone = found.curves["cascading"], found.curves["independent"]
    assert cascading.shape == alone.shape == (4, 9) and found.steps.tolist() == list(range(9))
    np.testing.assert_allclose(cascading[:, 0], 1)
    np.testing.assert_allclose(cascading[:, -1], found.values, atol=1e-6)
    np.testing.assert_allclose(
        cascading[:, 1], alone[:, 1], atol=1e-9
    )  # the heads are the first group of both
    assert np.abs(cascading[:, 2:] - alone[:, 2:]).max() > 0.05


def test_another_class_is_asked_of_several_classes_only():
    task = Task("t", "multiclass", ("u", "v", "w"))
    model, batch = network(LINEAR, (RECORD,), task), cases(modalities=(RECORD,))
    explainer, targets = IntegratedGradients(steps=4), [0, 1, 2, 0]
    asked = asked_about(model, batch, "record", explainer=explainer, targets=targets)
    found = Randomisation()(asked)
    values = found["randomisation, another class"].values
    for case in range(4):
        possible = []
        for other in {0, 1, 2} - {targets[case]}:
            maps = explainer.maps(model, batch, model.heads[0], torch.full((4,), other))[0]["record"][case]
            pair = [[h[0], h[1] + h[2], h[3]] for h in (asked.heat[case], maps)]
            possible.append(spearmanr(*pair)[0])
        assert min(abs(p - values[case]) for p in possible) < 1e-9
    assert "randomisation, SSIM" not in found
    assert "randomisation, another class" not in Randomisation()(
        asked_about(network(LINEAR, (RECORD,)), batch, "record", explainer=explainer)
    )


def test_a_map_that_has_become_the_same_everywhere_counts_as_0():
    @dataclass(frozen=True)
    class Once(Told):
        def maps(self, model, batch, head, targets):
            return {"image": np.zeros((len(batch), 1, 24, 16), np.float32)}, {}, {}, {}

    model, batch = network(modalities=(PICTURE,)), cases(modalities=(PICTURE,))
    heat = drawn_heat(batch, "image")
    heat[1] = 0.0
    found = Randomisation()(asked_about(model, batch, "image", heat, explainer=Once()))
    for name in ("", ", absolute", ", HOG"):
        score = found["randomisation" + name]
        assert score.values[[0, 2, 3]].tolist() == [0, 0, 0] and np.isnan(score.values[1])
        assert score.why[1] == "Its map is the same everywhere, so nothing can be likened to it."


def test_volumes_texts_and_cases_that_lack_them():
    model, batch = network(), cases(5)
    batch.inputs["volume"][1] = torch.nan
    found = Randomisation()(asked_about(model, batch, "volume", explainer=Edges()))
    assert np.isnan(found["randomisation"].values).tolist() == [False, True, False, False, False]
    np.testing.assert_allclose(found["randomisation, SSIM"].values[[0, 2]], 1)
    assert "randomisation, HOG" not in found
    words = Randomisation()(asked_about(model, batch, "report", explainer=IntegratedGradients(steps=4)))
    values = words["randomisation"]
    assert np.isnan(values.values).tolist() == [True, True, False, False, False]
    assert values.why[0] == "It has fewer than 3 places to compare."


def test_a_batch_gives_what_its_single_cases_give():
    model, batch = network(modalities=(PICTURE, RECORD)), cases(modalities=(PICTURE, RECORD))
    whole = Randomisation()(asked_about(model, batch, "image", explainer=GradCAM(relu=False)))
    one = Randomisation()(asked_about(model, batch.take([2]), "image", explainer=GradCAM(relu=False)))
    for name in NAMES:
        wanted = whole["randomisation" + name].values[2]
        assert one["randomisation" + name].values[0] == pytest.approx(wanted, abs=1e-3)


def test_the_model_and_the_dice_are_left_as_they_were():
    model, batch = network(), cases()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    asked = asked_about(model, batch, "image", explainer=GradCAM(relu=False))
    torch.manual_seed(5)
    wanted = torch.rand(3)
    torch.manual_seed(5)
    Randomisation(redraws=1, cascading=True)(asked)
    assert torch.equal(torch.rand(3), wanted)
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert not model.training and not any(m._forward_pre_hooks for m in model.modules())


def test_settings_that_make_no_sense_get_a_sentence():
    with pytest.raises(InputError, match="'redraws' of randomisation is 1 or more"):
        Randomisation(redraws=0)
