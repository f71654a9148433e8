import copy
import math

import pytest
import torch
from torch import nn

from models.oracles import PRECISIONS, close, record
from models.test_bagnet import bagnet_key, fill, formulated, stored
from studykit.case import Batch, Modality, Schema, Task
from studykit.catalog import InputError, build, spec
from studykit.models import FusionModel, hold, taps, watch
from studykit.models.attention_gate import (
    FUSIONS,
    AttentionGate,
    AttentionGateFusion,
    Fetch,
    FusionEncoder,
    Mixture,
    map_sides,
    resized,
)
from studykit.training.fit import Training, fit
from studykit.training.loss import class_weights, losses, total

SMALL = {"backbone": "resnet10t", "receptive_field": 9, "local_widths": [4, 8, 8, 16]}
TASK = Task("lesion", "binary", ("benign", "malignant"))
TWO = Task("lesion", "multiclass", ("benign", "malignant"))
IMAGE = Modality("image", "image", (1, 32, 32), absent=0.3)
SECOND = Modality("second", "image", (3, 48, 40), absent=0.5)
RECORD = Modality("record", "table", (3,), ("Age", "Signs=lump", "Age=missing"), (0.0, 0.0, 1.0))
VOLUME = Modality("volume", "volume", (1, 8, 24, 24))


def made(*modalities, tasks=(TASK,), seed=0, **settings):
    torch.manual_seed(seed)
    return build(
        FusionModel, {"name": "attention_gate", **SMALL, **settings}, Schema(modalities or (IMAGE,), tasks)
    )


def cases(model, count=4, seed=0):
    draw = torch.Generator().manual_seed(seed)
    dtype = next(model.parameters()).dtype
    return {m.name: torch.rand(count, *m.shape, generator=draw, dtype=dtype) for m in model.schema.modalities}


def step(model, optimiser=None, count=4):
    """One step of plain gradient descent on the weighted loss of all heads."""
    optimiser = optimiser or torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.5)
    model.train()
    optimiser.zero_grad()
    truth = {task.name: torch.arange(count) % 2.0 for task in model.schema.tasks}
    by_task = losses(model.schema.tasks, {})
    total(model, model(cases(model, count)), truth, by_task, {}).backward()
    optimiser.step()


def changed(model, before):
    return {name for name, p in model.named_parameters() if not torch.equal(p, before[name])}


# ------------------------------------------------------------------ the recorded outputs, number for number


def gate_key(theirs):
    return theirs.replace("W.0.", "W.").replace("W.1.", "norm.")


def encoder_key(theirs):
    if theirs.startswith("attn."):
        return "mix." + gate_key(theirs.removeprefix("attn."))
    return theirs.replace("fusion.0", "mix.one").replace("conv_ff", "feed_forward")


def model_key(theirs):
    branch, _, rest = theirs.partition(".")
    last = rest.rsplit(".", 1)[-1]
    if branch == "fusion_branch":
        return f"logits.lesion.{last}" if rest.startswith("fc.") else f"fusion.{encoder_key(rest[8:])}"
    if branch == "global_branch":
        rest = rest.removeprefix("net.")
        return (
            f"logits.lesion_global.{last}"
            if rest.startswith("fc.")
            else f"encoders.image.encoder.trunk.model.{rest}"
        )
    return (
        f"logits.lesion_local.{last}"
        if rest.startswith("fc.")
        else f"encoders.image_local.encoder.{bagnet_key(rest)}"
    )


def given(arrays, case, dtype, *names):
    return [torch.tensor(arrays[f"{case}/{name}"]).to(dtype) for name in names]


@pytest.mark.real_data
@PRECISIONS
@pytest.mark.parametrize("case", ["gate_same", "gate_up", "gate_down"])
def test_the_gate_gives_the_recorded_outputs(case, dtype, tolerance):
    about, arrays = record("attention_gate")
    x, g = given(arrays, case, dtype, "x", "g")
    gate = AttentionGate(x.shape[1], g.shape[1], about["cases"][case]["args"]["inter_channel"])
    fill(gate, stored(arrays, case, gate_key)).to(dtype)
    with torch.no_grad():
        out, alpha = gate(x, g)
    for name, found in (("alpha", alpha), ("gated", alpha * x), ("out", out)):
        close(found, arrays[f"{case}/{name}"], tolerance)


@pytest.mark.real_data
@PRECISIONS
@pytest.mark.parametrize("case", ["enc_gate", "enc_gate_residual", "enc_concat", "enc_product"])
def test_the_fusion_encoder_gives_the_recorded_outputs(case, dtype, tolerance):
    about, arrays = record("attention_gate")
    args = about["cases"][case]["args"]
    net = FusionEncoder(
        args["d_model"], 8, args["fusion_type"], 0, args["hidden_dim"], residual=args["residual"]
    )
    fill(net, stored(arrays, case, encoder_key)).to(dtype)
    x, g = given(arrays, case, dtype, "x", "g")
    seen = {}
    net.norm1.register_forward_hook(lambda module, was, out: seen.update(after_norm1=out))
    net.mix.register_forward_hook(lambda module, was, out: seen.update(mixed=out))
    with torch.no_grad():
        seen["out"] = net(x, g)
    if args["fusion_type"] == "gate":
        seen["alpha"] = seen["mixed"][1]
        seen["map"] = seen["alpha"] * x
    else:
        seen["map"] = seen["mixed"]
    for name in about["cases"][case]["outputs"]:
        close(seen[name], arrays[f"{case}/{name}"], tolerance)


@pytest.mark.real_data
@PRECISIONS
@pytest.mark.parametrize("fusion", ["gate", "concat", "product"])
def test_the_fusion_head_gives_the_recorded_outputs(fusion, dtype, tolerance):
    """A model whose maps are the recorded ones."""
    _, arrays = record("attention_gate")
    case = f"head_{fusion}"
    model = made(tasks=(TWO,), preset="faithful", fusion=fusion)
    model.fusion, model.logits["lesion"] = FusionEncoder(8, 8, fusion), nn.Linear(112, 2)
    model.logits["lesion_global"], model.logits["lesion_local"] = nn.Linear(8, 2), nn.Linear(8, 2)
    tensors = stored(arrays, case, lambda key: key.removeprefix("encoder."))
    fill(model.logits["lesion"], {key[3:]: tensors.pop(key) for key in list(tensors) if key.startswith("fc")})
    fill(model.fusion, {encoder_key(key): value for key, value in tensors.items()})
    x, g = given(arrays, case, dtype, "x", "g")
    mixed = []
    model.fusion.mix.register_forward_hook(lambda module, was, out: mixed.append(out))
    with torch.no_grad():
        found = model.to(dtype).eval().fuse({"image": x, "image_local": g})
    close(found["lesion"], arrays[f"{case}/logits"], tolerance)
    close(mixed[0][1] * x if fusion == "gate" else mixed[0], arrays[f"{case}/map"], tolerance)


def faithful(side, device="cpu", **settings):
    schema = Schema((Modality("image", "image", (3, side, side)),), (TWO,))
    with torch.device(device):
        return AttentionGateFusion(schema, preset="faithful", **settings)


@pytest.fixture(scope="module")
def published():
    about, _ = record("attention_gate")
    return fill(faithful(64), formulated(about, "model_64", model_key))


@pytest.mark.real_data
@PRECISIONS
def test_the_published_model_gives_the_recorded_outputs(published, dtype, tolerance):
    _, arrays = record("attention_gate")
    model = published.to(dtype)  # the weights are float32 numbers: nothing is lost on the way
    x = torch.tensor(arrays["model_64/x"]).to(dtype)
    with torch.no_grad(), watch(model) as seen:
        features = model.encode({"image": (x + 1) / 2})  # the model brings [0, 1] to [-1, 1]
        logits = model.fuse(features)
    whole, close_by = features["image"], features["image_local"]
    alpha = seen["fusion.mix.alpha"]
    found = {
        "alpha": alpha, "global_map": whole.mean(1), "local_map": close_by.mean(1),
        "fusion_map": (alpha * whole).mean(1), "pooled_global": whole.mean((2, 3)),
        "pooled_local": close_by.mean((2, 3)), "logits_fusion": logits["lesion"],
        "logits_global": logits["lesion_global"], "logits_local": logits["lesion_local"],
    }  # fmt: skip
    for name, value in found.items():
        close(value, arrays[f"model_64/{name}"], tolerance)


# ------------------------------------------------------------------------ check 1: shapes and counts


def count(module):
    return sum(p.numel() for p in module.parameters())


def test_check_1_counts_of_the_published_parts():
    with torch.device("meta"):
        assert count(AttentionGate(2048, 2048)) == 12_593_153
        assert count(FusionEncoder(2048, 2048)) == 20_994_049
        x, g, i, o = 48, 20, 12, 30
        by_formula = x * i + (g * i + i) + (i + 1) + (x * o + o) + 2 * o
        assert count(AttentionGate(x, g, i, o)) == by_formula


@pytest.mark.parametrize(
    ("side", "whole", "branch"), [(64, 60_796_039, 21_018_627), (224, 60_980_359, 21_202_947)]
)
def test_check_1_counts_of_the_published_model(side, whole, branch):
    model = faithful(side, "meta")
    assert count(model) == whole
    assert count(model.encoders["image"]) + count(model.logits["lesion_global"]) == 23_512_130
    assert count(model.encoders["image_local"]) + count(model.logits["lesion_local"]) == 16_265_282
    assert count(model.fusion) + count(model.logits["lesion"]) == branch


def test_check_1_the_gap_head_does_not_depend_on_the_picture():
    for side in (64, 224):
        head = faithful(side, "meta", head="gap").logits["lesion"]
        assert (head.in_features, count(head)) == (6144, 12_290)


# --------------------------------------------------------------------------- checks 2 and 3: the gate


def gate(seed=0, spatial_dims=2, **settings):
    torch.manual_seed(seed)
    net = AttentionGate(6, 5, 4, spatial_dims=spatial_dims, **settings).double()
    return net.eval()


def maps(*sides, like=None):
    torch.manual_seed(1)
    return torch.randn(2, 6, *sides).double(), torch.randn(2, 5, *(like or sides)).double()


@pytest.mark.parametrize("sides", [(3, 4), (2, 3, 4)])
def test_check_2_alpha_is_between_0_and_1_and_has_one_channel(sides):
    net = gate(spatial_dims=len(sides))
    x, g = maps(*sides, like=(5, 2, 7)[: len(sides)])
    out, alpha = net(x, g)
    assert alpha.shape == (2, 1, *sides) and out.shape == (2, 4, *sides)
    assert ((alpha > 0) & (alpha < 1)).all()


def test_check_2_psi_bias_closes_and_opens_the_gate():
    net, (x, g) = gate(), maps(3, 4)
    with torch.no_grad():
        net.psi.weight.mul_(0.01)
        net.psi.bias.fill_(-50)
        assert (net(x, g)[1] * x).abs().max() < 1e-20
        net.psi.bias.fill_(50)
        assert torch.equal(net(x, g)[1] * x, x)


def test_check_2_an_open_gate_recovers_the_global_branch():
    for settings in ({}, {"preset": "faithful"}):
        model = made(**settings).double().eval()
        mix = model.fusion.mix
        with torch.no_grad():
            mix.W.weight.copy_(torch.eye(len(mix.W.weight))[..., None, None])
            if mix.W.bias is not None:
                mix.W.bias.zero_()
                mix.norm.running_var.fill_(1 - mix.norm.eps)
        seen = []
        mix.register_forward_hook(lambda module, was, out: seen.append(out[0]))  # noqa: B023
        with hold(model, {"fusion.mix.alpha": 1.0}):
            features = model.encode(cases(model))
            model.fuse(features)
        torch.testing.assert_close(seen[0], features["image"])


def test_check_3_a_permutation_of_places_permutes_alpha():
    net, (x, g) = gate(), maps(3, 4)
    order = torch.randperm(12)
    mixed = [t.flatten(2)[..., order].view(t.shape) for t in (x, g)]
    wanted = net(x, g)[1].flatten(2)[..., order]
    torch.testing.assert_close(net(*mixed)[1].flatten(2), wanted)


def test_check_3_alpha_needs_phi_to_see_g_and_theta_to_see_x():
    net, (x, g) = gate(), maps(3, 4)
    blind, deaf = copy.deepcopy(net), copy.deepcopy(net)
    nn.init.zeros_(blind.phi.weight)
    nn.init.zeros_(deaf.theta.weight)
    assert torch.equal(blind(x, g)[1], blind(x, g + 1)[1])
    assert torch.equal(deaf(x, g)[1], deaf(x + 1, g)[1])
    assert not torch.allclose(net(x, g)[1], net(x, g + 1)[1])
    assert not torch.allclose(net(x, g)[1], net(x + 1, g)[1])


def test_the_gate_place_by_place():
    """The equation with loops, the resized map by hand: corner on corner, linear between."""
    net, (x, g) = gate(record=3), maps(3, 4, like=(2, 5))
    r = torch.randn(2, 3).double()
    _, alpha = net(x, g, r)
    for h, w in [(0, 0), (1, 2), (2, 3)]:
        row, column = h * (2 - 1) / (3 - 1), w * (5 - 1) / (4 - 1)
        top, left = min(int(row), 0), min(int(column), 3)
        down, right = row - top, column - left
        seen = (1 - down) * ((1 - right) * g[:, :, top, left] + right * g[:, :, top, left + 1])
        seen = seen + down * ((1 - right) * g[:, :, top + 1, left] + right * g[:, :, top + 1, left + 1])
        together = x[:, :, h, w] @ net.theta.weight[:, :, 0, 0].T + seen @ net.phi.weight[:, :, 0, 0].T
        together = torch.relu(together + net.phi.bias + r @ net.rho.weight.T)
        wanted = torch.sigmoid(together @ net.psi.weight[0, :, 0, 0] + net.psi.bias)
        torch.testing.assert_close(alpha[:, 0, h, w], wanted)


def test_a_volume_of_one_slice_is_gated_like_its_picture():
    flat, deep = gate(), gate(spatial_dims=3)
    deep.load_state_dict(
        {k: v.unsqueeze(2) if v.ndim == 4 else v for k, v in flat.state_dict().items()}, strict=True
    )
    x, g = maps(3, 4, like=(5, 2))
    for one, other in zip(flat(x, g), deep(x[:, :, None], g[:, :, None]), strict=True):
        torch.testing.assert_close(one, other[:, :, 0])


def test_cross_attention_place_by_place():
    torch.manual_seed(0)
    net = Fetch(nn.Conv2d, 6, 5, 4).double()
    x, g = maps(2, 3, like=(4, 2))
    with watch(net) as seen:
        found = net(x, g)
    assert seen["alpha"].shape == (2, 6, 8)
    torch.testing.assert_close(seen["alpha"].sum(2), torch.ones(2, 6).double())
    for u, (h, w) in enumerate([(0, 0), (0, 1), (0, 2), (1, 0)]):
        q = net.query.weight[:, :, 0, 0] @ x[1, :, h, w] + net.query.bias
        scores = [net.key.weight[:, :, 0, 0] @ g[1, :, i, j] @ q / 2 for i in range(4) for j in range(2)]
        shares = torch.stack([s.exp() for s in scores])
        shares = shares / shares.sum()
        torch.testing.assert_close(seen["alpha"][1, u], shares)
        wanted = sum(share * g[1, :, v // 2, v % 2] for v, share in enumerate(shares))
        torch.testing.assert_close(found[1, :, h, w], wanted)


@pytest.mark.parametrize("fusion", ["concat", "product", "sum"])
def test_mixtures_by_their_equations(fusion):
    net = Mixture(fusion, 6, 5, 4, 2, 0.25).double().eval()
    x, g = maps(3, 4, like=(3, 4))
    if fusion == "concat":
        m = torch.cat([x, g], dim=1)
    else:
        g = torch.einsum("oi,bihw->bohw", net.match.weight[:, :, 0, 0], g)
        m = x * g if fusion == "product" else x + g
    wanted = torch.einsum("oi,bihw->bohw", net.one.weight[:, :, 0, 0], m) + net.one.bias[:, None, None]
    torch.testing.assert_close(net(x, maps(3, 4)[1]), wanted.clamp(min=0))


# ------------------------------------------------------------------------------- check 4: training


@pytest.mark.parametrize(
    "modalities", [(IMAGE,), (IMAGE, RECORD), (VOLUME,)], ids=["image", "both", "volume"]
)
@pytest.mark.parametrize("fusion", FUSIONS)
def test_check_4_one_step_changes_every_parameter_of_the_fusion_branch(fusion, modalities):
    model = made(*modalities, fusion=fusion)
    before = copy.deepcopy(dict(model.named_parameters()))
    step(model)
    branch = {name for name in before if name.startswith(("fusion.", "logits."))}
    assert branch - changed(model, before) == set()
    assert not model.dead_parameters()
    # Not by rounding: every slope is a real one.
    assert all(p.grad.abs().max() > 1e-7 for name, p in model.named_parameters() if name in branch)


@pytest.mark.parametrize("fusion", FUSIONS)
def test_check_4_the_published_branch_stays_at_its_random_start(fusion):
    model = made(IMAGE, preset="faithful", backbone="mobilenetv3_small_050", fusion=fusion, head="gap")
    before = copy.deepcopy(dict(model.named_parameters()))
    branch = {name for name in before if name.startswith(("fusion.", "logits.lesion."))}
    step(model)
    assert set(model.dead_parameters()) == branch
    assert not changed(model, before) & branch
    assert {name.split(".")[1] for name in changed(model, before)} == {
        "image", "image_local", "lesion_global", "lesion_local",
    }  # fmt: skip


def test_a_trained_faithful_branch_has_only_biases_that_its_norms_undo():
    model = made(Modality("image", "image", (1, 64, 64)), preset="faithful", gate="learned").double()
    optimiser = torch.optim.SGD(model.parameters(), lr=0.1)
    for _ in range(2):
        step(model, optimiser, count=4)
    slopes = {name: p.grad.abs().max().item() for name, p in model.named_parameters()}
    assert {name for name, slope in slopes.items() if slope < 1e-12} == set(model.dead_parameters())
    assert len(model.dead_parameters()) == 3


def drawn(model, count, seed):
    names = [f"{seed}-{i}" for i in range(count)]
    truth = {"lesion": torch.arange(count) % 2.0}
    return Batch(names, names, cases(model, count, seed), truth)


def test_check_4_the_best_state_is_not_touched_by_later_steps():
    model = made()
    train, val = drawn(model, 16, 0), drawn(model, 8, 1)
    history = fit(model, train, val, Training(epochs=5, batch=8, rate=0.02, augment=False))
    assert history["val_loss"].iloc[-1] > history["val_loss"].min()  # later steps did harm
    with torch.no_grad():
        logits = model(val.inputs)
    balance = {"lesion": class_weights(train.targets["lesion"], TASK)}
    left = total(model, logits, val.targets, losses((TASK,), {}), balance)
    assert left.item() == pytest.approx(history["val_loss"].min(), rel=1e-5)


@pytest.mark.parametrize("settings", [{}, {"preset": "faithful"}, {"fusion": "cross_attention"}], ids=str)
def test_check_4_strict_save_and_load(settings):
    model = made(IMAGE, RECORD, **settings).eval()
    twin = build(FusionModel, spec(model), model.schema).eval()
    twin.load_state_dict(model.state_dict(), strict=True)
    inputs = cases(model)
    for head, logits in model(inputs).items():
        assert torch.equal(twin(inputs)[head], logits)


# ---------------------------------------------------------------- check 5: evidence; check 10: baselines


def test_check_5_the_mean_of_the_evidence_is_the_local_logit():
    task = Task("kind", "multiclass", ("a", "b", "c"))
    model = made(IMAGE, SECOND, RECORD, tasks=(TASK, task)).eval()
    inputs = cases(model)
    logits = model(inputs)
    for name, head in (("lesion", ""), ("lesion", "lesion_local"), ("kind", "kind_local")):
        found = model.evidence_map(inputs, head)
        assert found.shape == (4, model.schema.task(name).outputs, 5, 4)
        assert (found.mean((2, 3)) - logits[f"{name}_local"]).abs().max() < 1e-5
    with pytest.raises(InputError, match="no local head named 'lesion'; did you mean lesion_local"):
        model.evidence_map(inputs, "lesion")


def test_check_5_a_pixel_outside_the_window_of_33_leaves_the_evidence():
    model = made(Modality("image", "image", (1, 64, 64)), receptive_field=33).eval()
    inputs = cases(model)
    other = {"image": inputs["image"].clone()}
    other["image"][:, :, 60:, 60:] = 0  # only windows from row 28 on reach it: place 3, not 2
    was, now = model.evidence_map(inputs), model.evidence_map(other)
    torch.testing.assert_close(now[..., :3, :], was[..., :3, :], rtol=0, atol=1e-6)
    torch.testing.assert_close(now[..., :3], was[..., :3], rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    "recipe",
    [
        {"name": "alone", "image": {"name": "timm", "architecture": "resnet10t", "weights": "scratch"}},
        {"name": "alone", "image": {"name": "bagnet", "receptive_field": 9, "widths": [4, 8, 8, 16]}},
        {"name": "attention_gate", **SMALL, "fusion": "concat", "head": "gap"},
        {"name": "attention_gate", **SMALL, "gate": "random"},
        {"name": "attention_gate", **SMALL, "gate": "constant"},
    ],
    ids=["global alone", "local alone", "concat gap", "random gate", "constant gate"],
)
def test_check_10_the_baselines_can_be_built(recipe):
    """The mean of both logits is read off the heads; the ensemble is the first recipe with two seeds."""
    if recipe["name"] == "alone":
        recipe["image"] |= {"stages": [1, 2], "frozen": False} if recipe["image"]["name"] == "timm" else {}
    model = build(FusionModel, recipe, Schema((IMAGE,), (TASK,)))
    step(model)
    assert model(cases(model))["lesion"].shape == (4, 1)


def test_check_10_a_constant_gate_is_a_learned_one_held_open():
    learned, constant = made(), made(gate="constant").eval()
    for module in learned.modules():  # let the norms know their inputs; until then the gate is saturated
        if hasattr(module, "momentum"):
            module.momentum = 1.0
    learned(cases(learned))
    state = learned.eval().state_dict()
    constant.load_state_dict({name: state[name] for name in constant.state_dict()}, strict=True)
    inputs = cases(learned)
    with hold(learned, {"fusion.mix.alpha": 1.0}), watch(constant) as seen:
        wanted, found = learned(inputs), constant(inputs)
    assert all(torch.equal(wanted[head], found[head]) for head in wanted)
    assert torch.equal(seen["fusion.mix.alpha"], torch.ones(4, 1, 2, 2))
    assert not torch.allclose(learned(inputs)["lesion"], found["lesion"])


# ------------------------------------------------------------------------------------- the model


def test_heads_streams_and_taps():
    model = made(IMAGE, RECORD)
    assert [(h.name, h.weight) for h in model.heads] == [
        ("lesion", 0.4), ("lesion_global", 0.3), ("lesion_local", 0.3),
    ]  # fmt: skip
    assert list(model.encoders) == ["image", "image_local", "record"]
    assert model.sources == {"image_local": "image"} and model.modalities == ("image", "record")
    assert set(model.map_layers()) == {"image"}
    for fusion, tap in (("gate", {"fusion.mix.alpha"}), ("cross_attention", {"fusion.mix.fetch.alpha"})):
        assert set(taps(made(fusion=fusion))) == tap
    assert not any(taps(made(fusion=fusion)) for fusion in ("concat", "product", "sum"))


def test_the_second_picture_goes_to_the_local_network():
    model = made(IMAGE, SECOND).eval()
    assert list(model.encoders) == ["image", "second"] and not model.sources
    inputs = cases(model)
    was, now = model(inputs), model({**inputs, "second": 1 - inputs["second"]})
    assert torch.equal(was["lesion_global"], now["lesion_global"])
    assert not torch.allclose(was["lesion_local"], now["lesion_local"])
    assert not torch.allclose(was["lesion"], now["lesion"])


@pytest.mark.parametrize("fusion", FUSIONS)
def test_the_record_joins_the_head_and_the_gate(fusion):
    model = made(IMAGE, RECORD, fusion=fusion).eval()
    inputs = cases(model)
    other = {**inputs, "record": inputs["record"] + 1}
    was, now = model(inputs), model(other)
    assert not torch.allclose(was["lesion"], now["lesion"])
    assert torch.equal(was["lesion_local"], now["lesion_local"])
    if fusion == "gate":
        with watch(model) as seen:
            model(inputs)
            first = seen["fusion.mix.alpha"]
            model(other)
        assert not torch.allclose(first, seen["fusion.mix.alpha"])


def test_a_missing_picture_stands_there_as_absent():
    model = made(IMAGE, RECORD).eval()
    inputs = cases(model)
    inputs["image"][1], inputs["record"][2] = torch.nan, torch.nan
    plain = {name: x.clone() for name, x in inputs.items()}
    plain["image"][1], plain["record"][2] = 0.3, torch.tensor(RECORD.absent)
    for head, logits in model(plain).items():
        torch.testing.assert_close(model(inputs)[head], logits)


@pytest.mark.parametrize("kind", ["binary", "multiclass", "multilabel", "regression"])
@pytest.mark.parametrize("preset", ["repaired", "faithful"])
def test_tasks_of_every_kind_and_slopes_after_two_steps(kind, preset):
    task = Task("lesion", kind, {"binary": ("a", "b"), "regression": ()}.get(kind, ("a", "b", "c")))
    model = made(IMAGE, RECORD, tasks=(task,), preset=preset)
    optimiser = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.1)
    for _ in range(2):
        optimiser.zero_grad()
        out = model(cases(model))
        sum((logits - 1).square().sum() for logits in out.values()).backward()
        optimiser.step()
    assert {head.name: (4, task.outputs) for head in model.heads} == {k: v.shape for k, v in out.items()}
    dead = set(model.dead_parameters())
    assert not [n for n, p in model.named_parameters() if n not in dead and not p.grad.any()]
    assert all(p.grad is None for n, p in model.named_parameters() if n in dead)


@pytest.mark.parametrize("modality", [IMAGE, VOLUME, Modality("image", "image", (3, 9, 14))], ids=str)
@pytest.mark.parametrize("fusion", FUSIONS)
def test_a_last_batch_of_one_trains_and_a_batch_is_its_cases(fusion, modality):
    model = made(modality, RECORD, fusion=fusion)
    step(model, torch.optim.SGD(model.parameters(), lr=1e-3), count=1)
    assert all(p.isfinite().all() for p in model.parameters())
    model.eval()
    inputs = cases(model)
    together = model(inputs)
    for position in range(4):
        alone = model({name: x[[position]] for name, x in inputs.items()})
        for head, logits in together.items():
            torch.testing.assert_close(alone[head][0], logits[position], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("backbone", "channels"),
    [
        ("resnet10t", 512),
        ("mobilenetv3_small_050", 288),
        ("convnext_atto", 320),
        ("vit_tiny_patch16_224", 192),
    ],
)
def test_global_networks_of_several_families(backbone, channels):
    model = made(Modality("image", "image", (1, 64, 64)), backbone=backbone)
    assert model.encoders["image"].width == channels
    step(model)
    with watch(model) as seen:
        model(cases(model))
    side = 4 if "vit" in backbone else 2
    assert seen["fusion.mix.alpha"].shape == (4, 1, side, side)


def test_a_small_picture_is_gated_at_an_earlier_stage():
    """One place would leave the gate nothing to choose between."""
    for preset in ("repaired", "faithful"):
        model = made(preset=preset)
        assert map_sides(model.encoders["image"].encoder, IMAGE) == (2, 2)
        assert model.encoders["image"].width == 256


def test_what_the_presets_decide():
    torch.manual_seed(0)
    big = Modality("image", "image", (1, 64, 64))
    ours = AttentionGateFusion(Schema((big,), (TASK,)))
    assert (ours.encoders["image"].width, ours.encoders["image_local"].width) == (512, 512)
    assert (ours.gate, ours.head) == ("learned", "gap")
    theirs = made(preset="faithful")
    assert (theirs.gate, theirs.head) == ("random", "flatten")
    momenta = [m.encoders["image_local"].encoder.stem[2].momentum for m in (ours, theirs)]
    assert momenta == [0.1, 0.001]
    assert made(preset="faithful", gate="learned", head="gap").head == "gap"


def test_float64_and_a_frozen_backbone():
    model = made(IMAGE, RECORD, frozen=True).double().eval()
    assert all(logits.dtype == torch.float64 for logits in model(cases(model)).values())
    before = copy.deepcopy(model.encoders["image"].state_dict())
    step(model)
    assert all(torch.equal(value, before[k]) for k, value in model.encoders["image"].state_dict().items())


def test_resizing_is_linear_between_corners():
    x = torch.linspace(0, 1, 9).view(1, 1, 1, 9).expand(1, 1, 4, 9)
    found = resized(x, torch.zeros(1, 3, 2, 5))[0, 0, 0]
    assert found.tolist() == [math.ldexp(i, -2) for i in range(5)]


@pytest.mark.parametrize(
    ("modalities", "settings", "sentence"),
    [
        ((RECORD,), {}, "one or two pictures.*'record' \\(table\\); choose"),
        ((IMAGE, VOLUME), {}, "both images or both volumes"),
        ((IMAGE, SECOND, Modality("third", "image", (1, 32, 32))), {}, "one or two pictures"),
        ((IMAGE,), {"preset": "faithfull"}, "did you mean faithful"),
        ((IMAGE,), {"fusion": "mean"}, "fusion of the attention gate named 'mean'"),
        ((IMAGE,), {"gate": "frozen"}, "gate of the attention gate named 'frozen'"),
        ((IMAGE,), {"head": "mean"}, "head of the attention gate named 'mean'"),
        ((IMAGE,), {"gate": "constant", "fusion": "sum"}, "has no gate to hold at 1"),
        ((IMAGE,), {"loss_weights": [0.5, 0.5]}, "three numbers of 0 or more"),
        ((IMAGE,), {"receptive_field": 33}, "'image' is 32 x 32; choose receptive_field 17"),
        ((IMAGE,), {"backbone": "resnet10"}, "did you mean .*resnet10t"),
        ((VOLUME,), {"volume": {"name": "columns"}}, "makes no maps of volumes; choose 'residual'"),
    ],
)
def test_what_cannot_be_gets_a_sentence(modalities, settings, sentence):
    with pytest.raises(InputError, match=sentence):
        made(*modalities, **settings)
