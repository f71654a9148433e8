"""Curves on which a case is taken away bit by bit, against closed forms, slow twins and recorded numbers."""

import json
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from studykit.case import Batch, Modality, Schema, Task
from studykit.catalog import InputError, build
from studykit.explain import Explainer, Explanation
from studykit.models import FusionModel
from studykit.models.fusion import probabilities
from studykit.quality import Asked
from studykit.quality.curves import FILLINGS, backwards, curve, filled, order, replaced
from studykit.quality.degradation import Degradation, degradation
from studykit.quality.deletion import Deletion
from studykit.quality.insertion import Insertion

IMAGE = Modality("image", "image", (2, 12, 10), absent=0.4)
VOLUME = Modality("volume", "volume", (1, 4, 6, 5), absent=-1.0)
RECORD = Modality("record", "table", (4,), ("a", "b=x", "b=missing", "c"), (0.0, 0.0, 1.0, 0.5))
REPORT = Modality("report", "text", (6,), vocabulary=tuple("_?abcdef"))
SMALL = {"name": "residual", "widths": [4, 8]}
MIXED = {"name": "concat", "image": SMALL, "volume": SMALL, "dropout": 0.0}
LINEAR = {"name": "alone", "modality": "record", "table": {"name": "columns", "width": 0}, "dropout": 0.0}
BINARY = Task("t", "binary", ("n", "y"))
KINDS = ("image", "volume", "record", "report")


@dataclass(frozen=True)
class Told(Explainer):
    """Stands for the method that gave the maps."""

    title = "A method"
    unit = "no unit"
    gives = ""


def cases(count=4, modalities=(IMAGE, VOLUME, RECORD, REPORT), seed=0):
    """Drawn cases; the texts have 1, 2, ... words."""
    draw = torch.Generator().manual_seed(seed)
    inputs = {m.name: torch.rand(count, *m.shape, generator=draw) for m in modalities if m.kind != "text"}
    if REPORT in modalities:
        words = torch.randint(2, 8, (count, 6), generator=draw).float()
        inputs["report"] = words * (torch.arange(6) < 1 + torch.arange(count)[:, None] % 6)
    names = [f"c{i}" for i in range(count)]
    return Batch(names, names, inputs, {})


def network(spec=MIXED, modalities=(IMAGE, VOLUME, RECORD, REPORT), task=BINARY):
    torch.manual_seed(0)
    model = build(FusionModel, spec, Schema(modalities, (task,)))
    for module in model.modules():  # so that no batch norm is as it was made
        if getattr(module, "running_var", None) is not None:
            module.running_mean.normal_(0, 0.2)
            module.running_var.uniform_(0.5, 2)
    return model.eval()


def asked_about(model, batch, name, heat=None, targets=None, explainer=None, **more):
    """What a score is asked about given maps, or about those of an explainer."""
    explainer = explainer or Told()
    targets = np.ones(len(batch), dtype=int) if targets is None else np.asarray(targets)
    if heat is None:
        maps = explainer.maps(model, batch, model.heads[0], torch.as_tensor(targets))[0]
    else:
        picture = model.schema.modality(name).kind in ("image", "volume")
        maps = {name: np.asarray(heat)[:, None] if picture else np.asarray(heat)}
    told = Explanation(batch.ids, model.heads[0].name, targets, {}, maps, dict.fromkeys(maps, True))
    return Asked(model, batch, explainer, told, model.schema.modality(name), **more)


def drawn_heat(batch, name, seed=1):
    shape = batch.inputs[name].shape
    shape = (shape[0], *shape[2:]) if name in ("image", "volume") else shape
    return np.random.default_rng(seed).normal(size=shape)


@pytest.mark.parametrize("name", KINDS)
def test_a_curve_by_walking_case_by_case_and_place_by_place(name):
    """The slow twin, with the whole model, over every kind of modality; words behind the end never go."""
    model, batch = network(), cases()
    heat = drawn_heat(batch, name)
    asked = asked_about(model, batch, name, heat, targets=[1, 0, 1, 0])
    modality = model.schema.modality(name)
    for most_first in (True, False):
        found = curve(asked, most_first, "absent", steps=6)
        for case in range(len(batch)):
            one = {n: x[[case]].clone() for n, x in batch.inputs.items()}
            groups = {"record": [[0], [1, 2], [3]], "report": [[i] for i in range(case + 1)]}.get(name)
            absent = torch.tensor(modality.absent).expand(modality.shape)
            flat, value = one[name].view(1, modality.shape[0], -1), heat[case].ravel()
            if groups is None:  # pixels, with all their channels
                groups = [[i] for i in range(value.size)]
            else:
                flat, absent = one[name].view(1, 1, -1), absent.reshape(1, -1)
            absent = absent.reshape(flat.shape[1], -1)
            turn = sorted(groups, key=lambda g: value[g].sum(), reverse=most_first)
            gone = 0
            for step, share in enumerate(np.linspace(0, 1, 6)):
                while gone < round(share * len(turn)):
                    flat[0][:, turn[gone]] = absent[:, turn[gone]]
                    gone += 1
                with torch.no_grad():
                    p = probabilities(model(one)["t"], BINARY)[0, [1, 0, 1, 0][case]]
                assert found[case, step] == pytest.approx(float(p), abs=1e-6), (most_first, case, step)
        assert np.ptp(found, axis=1).min() > 1e-5  # the model does look there


@pytest.mark.parametrize("name", KINDS)
def test_step_0_is_the_models_answer_and_both_curves_end_alike(name):
    model, batch = network(), cases()
    asked = asked_about(model, batch, name, drawn_heat(batch, name))
    found = Degradation()(asked)["degradation"]
    with torch.no_grad():
        p = torch.sigmoid(model(batch.inputs)["t"][:, 0]).numpy()
    for values in found.curves.values():
        assert values.shape == (4, 11)
        np.testing.assert_allclose(values[:, 0], p, atol=1e-6)
    np.testing.assert_array_equal(found.curves["morf"][:, -1], found.curves["lerf"][:, -1])
    np.testing.assert_allclose(found.steps, np.arange(11) / 10)


def test_a_linear_models_deletion_curve_in_closed_form():
    """The value falls by the cumulative sorted effects w (x - absent) of the source columns."""
    task = Task("t", "regression", scale=(10.0, 2.0))
    model, batch = network(LINEAR, (RECORD,), task), cases(modalities=(RECORD,))
    norm, layer = model.norms["record"], model.logits["t"]
    slope = 2.0 * (layer.weight[0] * norm.weight / (norm.running_var + norm.eps).sqrt()).detach().numpy()
    x = batch.inputs["record"].numpy()
    effects = slope * (x - np.array([0, 0, 1, 0.5]))
    asked = asked_about(model, batch, "record", effects, targets=np.zeros(4, dtype=int))
    by_source = np.stack([effects[:, 0], effects[:, 1] + effects[:, 2], effects[:, 3]], axis=1)
    lost = np.concatenate([np.zeros((4, 1)), -np.sort(-by_source).cumsum(axis=1)], axis=1)
    with torch.no_grad():
        start = 10 + 2 * model(batch.inputs)["t"].numpy()
    found = Deletion(steps=4)(asked)["deletion"]
    np.testing.assert_allclose(found.curves["morf"], start - lost, atol=1e-5)
    np.testing.assert_allclose(found.values, np.trapezoid(start - lost, dx=1 / 3), atol=1e-5)


def test_insertion_brings_the_most_relevant_back_first():
    """Put back by hand into the filled picture."""
    model, batch = network(modalities=(IMAGE,)), cases(modalities=(IMAGE,))
    heat = drawn_heat(batch, "image")
    asked = asked_about(model, batch, "image", heat)
    found = Insertion(filling="mean", steps=5)(asked)["insertion"]
    x = batch.inputs["image"]
    for step, share in enumerate(np.linspace(0, 1, 5)):
        back = x.mean((2, 3), keepdim=True).expand_as(x).clone()
        for case in range(4):
            most = np.argsort(-heat[case].ravel())[: round(share * 120)]
            back[case].view(2, -1)[:, most] = x[case].reshape(2, -1)[:, most]
        with torch.no_grad():
            p = torch.sigmoid(model({"image": back})["t"][:, 0]).numpy()
        np.testing.assert_allclose(found.curves["insertion"][:, step], p, atol=1e-6)
    np.testing.assert_allclose(found.values, np.trapezoid(found.curves["insertion"], dx=0.25), atol=1e-12)


@pytest.mark.parametrize("filling", FILLINGS)
def test_reversed_heat_turns_the_degradation_score_over(filling):
    model, batch = network(modalities=(IMAGE,)), cases(modalities=(IMAGE,))
    heat = drawn_heat(batch, "image")
    one, other = (
        Degradation(filling)(asked_about(model, batch, "image", h))["degradation"] for h in (heat, -heat)
    )
    np.testing.assert_allclose(one.values, -other.values, atol=1e-12)
    assert np.abs(one.values).min() > 1e-5 and one.chance.tolist() == [0] * 4


def test_a_random_map_degrades_by_nothing():
    """Over 200 drawn maps of one case, within 3 standard errors; the gradient's map well above."""
    model, one = network(modalities=(IMAGE,)), cases(1, (IMAGE,))
    many = Batch(
        [f"c{i}" for i in range(200)], [""] * 200, {"image": one.inputs["image"].repeat(200, 1, 1, 1)}, {}
    )
    heat = np.random.default_rng(0).normal(size=(200, 12, 10))
    found = Degradation("mean")(asked_about(model, many, "image", heat))["degradation"].values
    error = found.std(ddof=1) / np.sqrt(200)
    assert abs(found.mean()) < 3 * error
    x = one.inputs["image"].clone().requires_grad_()
    model({"image": x})["t"].sum().backward()
    effect = (x.grad * (x - x.mean((2, 3), keepdim=True))).sum(1).detach().numpy()
    knowing = Degradation("mean")(asked_about(model, one, "image", effect))["degradation"].values
    assert knowing[0] > found.max()


def test_a_map_that_is_the_same_everywhere_takes_places_in_drawn_order():
    """In reading order the upper half would go first, for every case alike."""
    model, batch = network(modalities=(IMAGE,)), cases(modalities=(IMAGE,))
    asked = asked_about(model, batch, "image", np.ones((4, 12, 10)))
    ranks = order(asked)[:, 0].numpy()
    assert sorted(ranks[0].ravel()) == list(range(120))
    assert not np.array_equal(ranks[0], ranks[1])
    upper = ranks[:, :6].reshape(4, -1).mean(axis=1)
    assert np.abs(upper - 59.5).max() < 12  # 3 SD of the mean rank of half the places are 9.5
    again = order(asked_about(model, batch.take([2]), "image", np.ones((1, 12, 10))))
    np.testing.assert_array_equal(again[0], order(asked)[2])
    other = order(asked_about(model, batch, "image", np.ones((4, 12, 10)), seed=1))
    assert not torch.equal(other, order(asked))


@pytest.mark.parametrize("name", ["image", "volume", "report"])
def test_a_shift_that_is_added_does_not_change_the_order(name):
    """Of a table it does: the columns made from one source are summed, so it counts once for each of them."""
    model, batch = network(), cases()
    heat = drawn_heat(batch, name).round(1)  # with ties
    one, other = (order(asked_about(model, batch, name, h)) for h in (heat, heat + 4.0))
    assert torch.equal(one, other) and len(one.unique()) > 3


def test_backwards_keeps_what_is_no_place():
    model, batch = network(), cases()
    turn = order(asked_about(model, batch, "report", drawn_heat(batch, "report")))
    for row, back, words in zip(turn.numpy(), backwards(turn).numpy(), (1, 2, 3, 4), strict=True):
        assert (row[words:] == -1).all() and (back[words:] == -1).all()
        np.testing.assert_array_equal(row[:words] + back[:words], words - 1)


def test_fillings_stand_in_the_datas_own_intensities():
    """Blur against scipy on one channel; mean; noise around it; intensities far from [0, 1] stay."""
    model, batch = network(modalities=(IMAGE,)), cases(modalities=(IMAGE,))
    x = batch.inputs["image"].mul_(500).sub_(1000)  # as of a CT scan
    asked = asked_about(model, batch, "image", drawn_heat(batch, "image"))
    blurred = gaussian_filter(x[2, 1].numpy().astype(np.float64), 12 / 8)
    np.testing.assert_allclose(filled(asked, "blur")[2, 1], blurred, atol=1e-2)
    means = x.mean((2, 3), keepdim=True)
    torch.testing.assert_close(filled(asked, "mean"), means.expand_as(x))
    noise = filled(asked, "noise")
    np.testing.assert_allclose(noise.mean((2, 3)), means[..., 0, 0], atol=60)
    np.testing.assert_allclose(noise.std((2, 3)) / x.std((2, 3)), 1, atol=0.25)
    torch.testing.assert_close(
        filled(asked_about(model, batch.take([2]), "image", asked.heat[[2]]), "noise")[0], noise[2]
    )
    assert (filled(asked, "absent") == 0.4).all()
    half = replaced(x, filled(asked, "blur"), order(asked), 0.5)
    kept = order(asked) >= 60
    assert torch.equal(half[kept.expand_as(x)], x[kept.expand_as(x)])
    assert torch.equal(half[~kept.expand_as(x)], filled(asked, "blur")[~kept.expand_as(x)])


def test_tables_and_texts_only_know_absent():
    model, batch = network(), cases()
    for name in ("record", "report"):
        asked = asked_about(model, batch, name, drawn_heat(batch, name))
        blurred, absent = (Deletion(filling)(asked)["deletion"].values for filling in ("blur", "absent"))
        np.testing.assert_array_equal(blurred, absent)


def test_deletion_insertion_and_degradation_ask_each_curve_once():
    """Nine altered pictures a curve and a case, the untouched and the filled one: 20 in all."""
    model, batch = network(), cases()
    asked = asked_about(model, batch, "image", drawn_heat(batch, "image"))
    seen = []
    hook = model.encoders["image"].register_forward_hook(lambda m, given, out: seen.append(len(given[0])))
    _ = asked.features
    seen.clear()
    for score in (Deletion(), Insertion(), Degradation()):
        score(asked)
    hook.remove()
    assert sum(seen) == 20 * len(batch)
    Degradation("mean")(asked)
    assert asked.kept["curve, most relevant first, mean, 11"].shape == (4, 11)


def test_a_batch_gives_what_its_single_cases_give():
    model, batch = network(), cases()
    for name in KINDS:
        heat = drawn_heat(batch, name).round(0)  # with ties
        whole = Degradation("noise")(asked_about(model, batch, name, heat))["degradation"]
        single = Degradation("noise")(asked_about(model, batch.take([3]), name, heat[[3]]))["degradation"]
        np.testing.assert_allclose(single.values[0], whole.values[3], atol=1e-6)


def test_a_case_that_lacks_the_modality_gets_a_reason():
    model, batch = network(), cases()
    batch.inputs["image"][1] = torch.nan
    batch.inputs["report"][2] = 0.0
    heat = drawn_heat(batch, "image")
    heat[3, 0, 0] = np.nan
    for score in (Deletion(), Insertion(), Degradation()):
        found = score(asked_about(model, batch, "image", heat))[score.name]
        assert np.isnan(found.values).tolist() == [False, True, False, True]
        assert found.why[0] == "" and found.why[1] == "The case has no 'image'."
        assert found.why[3] == "Its map holds what is no number."
    found = Deletion()(asked_about(model, batch, "report", drawn_heat(batch, "report")))["deletion"]
    assert np.isnan(found.values).tolist() == [False, False, True, False]
    assert found.why[2] == "There is nothing to take away."
    batch.inputs["image"][:] = torch.nan
    assert np.isnan(Deletion()(asked_about(model, batch, "image", heat))["deletion"].values).all()


def test_the_model_is_left_as_it_was():
    model, batch = network(), cases()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    picture = batch.inputs["image"].clone()
    Degradation()(asked_about(model, batch, "image", drawn_heat(batch, "image")))
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert torch.equal(picture, batch.inputs["image"]) and not model.training


def test_the_degradation_score_of_the_papers_example():
    lerf = np.array([[0.9, 0.88, 0.85, 0.8, 0.7, 0.6, 0.55, 0.5, 0.5, 0.5, 0.5]])
    morf = np.array([[0.9, 0.6, *[0.5] * 9]])
    assert degradation(morf, lerf)[0] == pytest.approx(0.116364, abs=5e-7)


@pytest.mark.real_data
def test_the_degradation_scores_that_the_published_code_gave():
    folder = Path(os.environ.get("STUDYKIT_ORACLES", ""))
    if not (folder / "coherence.npz").exists():
        pytest.skip("recorded outputs: set STUDYKIT_ORACLES")
    recorded = np.load(folder / "coherence.npz")
    names = [name for name in json.loads((folder / "coherence.json").read_text())["cases"] if "curve" in name]
    assert len(names) == 20
    for name in names:
        found = degradation(recorded[f"{name}/morf"][None], recorded[f"{name}/lerf"][None])
        np.testing.assert_allclose(found[0], recorded[f"{name}/ds"], atol=1e-12)


def test_settings_that_make_no_sense_get_a_sentence():
    with pytest.raises(InputError, match="no filling named 'blurr'; did you mean blur"):
        Deletion(filling="blurr")
    with pytest.raises(InputError, match="'steps' of insertion is 2 or more"):
        Insertion(steps=1)
