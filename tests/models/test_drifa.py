"""DRIFA-Net: the recorded outputs of the authors' layers, and the checks of the specification (section 8)."""

import re

import numpy as np
import pytest
import torch

from studykit.case import Modality, Schema, Task
from studykit.catalog import InputError, build
from studykit.models import (
    FusionModel,
    hold,
    taps,
    torchvision_ops,  # noqa: F401  (before timm)
    watch,
)
from studykit.models.drifa import (
    MultiBranchFusionAttention as MFA,
)
from studykit.models.drifa import (
    MultimodalInformationFusionAttention as MIFA,
)
from studykit.models.drifa import (
    RobustResidualAttentionBlock as RRA,
)
from studykit.models.encoders import Normalise
from studykit.training.uncertainty import mc_predict, set_mc_dropout
from tests.models.oracles import PRECISIONS, by_formula, close, record, weight

import timm  # isort: skip

SMALL = {"name": "drifa", "widths": [8, 16], "depths": [1, 1]}


def pair(size=32, channels=1, classes=(2, 2), tasks=1):
    pictures = tuple(Modality(name, "image", (channels, size, size)) for name in ("first", "second"))
    made = []
    for position, count in zip("ab", classes, strict=True):
        kind = "binary" if count == 2 else "multiclass"
        made.append(Task(position, kind, tuple(str(i) for i in range(count))))
    return Schema(pictures, tuple(made[:tasks]))


def small(preset="repaired", size=32, **settings):
    torch.manual_seed(0)
    return build(FusionModel, {**SMALL, "preset": preset, **settings}, pair(size)).eval()


def randomise(module, seed=0, amount=0.5):
    """Other values than the start's for every parameter."""
    draw = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for p in module.parameters():
            p.add_(amount * torch.randn(p.shape, generator=draw).to(p))
    return module


def named(key):
    """The oracle's name of a weight as ours."""
    key = re.sub(r"local_conv(\d)", lambda m: f"local_convs.{int(m[1]) - 1}", key)
    return re.sub(r"alpha(\d)", lambda m: f"alphas.{int(m[1]) - 1}", key)


def recorded(case, module, dtype, mifa=False):
    _, arrays = record("drifa")
    prefix = f"{case}/torch/"
    found = {k.removeprefix(prefix): torch.tensor(arrays[k]) for k in arrays.files if k.startswith(prefix)}
    if mifa:
        found = {named(k): v for k, v in found.items()}
    own = {k for k in module.state_dict() if not k.endswith("num_batches_tracked")}
    # A convolution that "same" padding wraps is `conv.layer` here.
    state = module.state_dict()
    ours = {k: found[re.sub(r"\.layer(?=\.)", "", k)].view(state[k].shape) for k in own}
    module.load_state_dict(ours, strict=False)
    assert {re.sub(r"\.layer(?=\.)", "", k) for k in own} == set(found)
    return module.to(dtype).eval(), lambda key: arrays[f"{case}/{key}"]


@PRECISIONS
@pytest.mark.parametrize("case", ["mfa_c8", "mfa_c16"])
def test_mfa_is_the_authors(case, dtype, tolerance):
    module, array = recorded(case, MFA(int(case[5:])), dtype)
    with watch(module, "tap") as seen:
        out = module(torch.tensor(array("x")).to(dtype))
    close(seen["tap"], array("gate"), tolerance)
    close(out, array("out"), tolerance)


@PRECISIONS
@pytest.mark.parametrize("case", ["mifa_c8", "mifa_c16_sizes"])
def test_mifa_is_the_authors(case, dtype, tolerance):
    module, array = recorded(case, MIFA(8 if case == "mifa_c8" else 16), dtype, mifa=True)
    with watch(module, "tap") as seen:
        outs = module([torch.tensor(array(f"x{m}")).to(dtype) for m in (1, 2)])
    close(seen["tap"], array("gate"), tolerance)
    for m, out in enumerate(outs, 1):
        close(out, array(f"out{m}"), tolerance)


@PRECISIONS
@pytest.mark.parametrize(
    ("case", "settings"),
    [
        ("rra_identity_c8", (8, 8)),
        ("rra_stride2_c8_c16", (8, 16, 2)),
        ("rra_proj1_c8_c16", (8, 16)),
    ],
)
def test_the_residual_block_is_the_authors_step_by_step(case, settings, dtype, tolerance):
    module, array = recorded(case, RRA(*settings), dtype)
    steps = {}
    for name in ("conv1", "mfa1", "bn1", "conv2", "mfa2", "bn2"):
        getattr(module, name).register_forward_hook(lambda m, i, o, name=name: steps.update({name: o}))
    out = module(torch.tensor(array("x")).to(dtype))
    for name, found in steps.items():
        close(found, array(f"after_{name}"), tolerance)
    close(out, array("out"), tolerance)


@pytest.fixture(scope="module")
def published():
    """The published network with the weights of the record, and what to call them."""
    about, _ = record("drifa")
    model = build(FusionModel, {"name": "drifa", "preset": "faithful"}, pair(64, 3, (5, 7), tasks=2))
    names = ("first", "second")
    ours = {}
    for m, name in enumerate(names):
        parts = [model.encoders[name], *model.later[name]]
        for k, part in enumerate(parts, 1):
            ours[f"block.{k}.{m}"] = part[0][1] if k == 1 else part[0]
            ours[f"extra.{k}.{m}"] = part[2]
        ours[f"stem.{m}"] = parts[0][0][0]
        ours[f"head.{m}"] = model.logits["ab"[m]]
    for k, exchange in enumerate(model.exchanges, 1):
        ours[f"mifa.{k}"] = exchange
    loaded = 0
    for prefix, module in ours.items():
        state = {k: v for k, v in module.state_dict().items() if not k.endswith("num_batches_tracked")}
        for key in state:
            # mifa's own names are local_conv1.. and alpha1..
            theirs = re.sub(r"\.layer(?=\.)", "", key)
            theirs = re.sub(r"local_convs\.(\d)", lambda found: f"local_conv{int(found[1]) + 1}", theirs)
            theirs = re.sub(r"alphas\.(\d)", lambda found: f"alpha{int(found[1]) + 1}", theirs)
            full = f"{prefix}.{theirs}"
            shape = about["weight_list"][full]
            assert [n for n in state[key].shape if n > 1] == [n for n in shape if n > 1], full
            state[key] = torch.from_numpy(weight(full, shape)).view(state[key].shape)
            loaded += 1
            if full in about["weight_check"]:
                assert state[key].flatten()[:3].tolist() == about["weight_check"][full]
        module.load_state_dict(state, strict=False)
    assert loaded == len(about["weight_list"])
    return model.eval()


@PRECISIONS
@pytest.mark.parametrize("case", ["net_64", "net_128"])
def test_the_published_network_is_the_authors(published, case, dtype, tolerance):
    about, arrays = record("drifa")
    shapes = about["cases"][case]["inputs"]
    model = published.to(dtype)
    given = {}
    for position, name in enumerate(("first", "second"), 1):
        x = by_formula(f"{case}/x{position}", shapes[f"x{position}"], 0.0, 1.0)
        if f"{case}/x{position}" in arrays.files:
            assert np.array_equal(x, arrays[f"{case}/x{position}"])
        given[name] = torch.from_numpy(x).to(dtype)
    seen = {}
    for k, exchange in enumerate(model.exchanges, 1):
        exchange.register_forward_hook(lambda m, i, o, k=k: seen.update({k: o}))
    with torch.no_grad():
        features = {name: model.encoders[name](x) for name, x in given.items()}  # any size
        close(model.embedding(features), arrays[f"{case}/embedding"], tolerance)
        logits = model.fuse(features)
    for k, maps in seen.items():
        for m, found in enumerate(maps, 1):
            close(found.mean((2, 3)), arrays[f"{case}/mifa{k}_mean_stream{m}"], tolerance)
    for position, head in enumerate("ab", 1):
        close(logits[head].softmax(1), arrays[f"{case}/prob{position}"], tolerance)


def test_parameters_are_counted_as_published():
    """Check 1: the identities, and the totals of section 2.5."""
    for c in (8, 64, 128):
        assert sum(p.numel() for p in MFA(c).parameters()) == 8 * c**2 + 9 * c + 1
        assert sum(p.numel() for p in MIFA(c).parameters()) == 3 * c**2 + 6 * c + 1
    model = build(FusionModel, {"name": "drifa", "preset": "faithful"}, pair(128, 3, (5, 7), tasks=2))
    trainable = sum(p.numel() for p in model.parameters())
    statistics = sum(b.numel() for name, b in model.named_buffers() if "running" in name)
    assert trainable == 53_865_668
    assert trainable + statistics == 53_884_868
    assert (
        sum(sum(p.numel() for p in m.parameters()) for m in model.modules() if type(m) is MFA) == 29_390_256
    )
    assert sum(type(m) is MFA for m in model.modules()) == 48
    bare = build(
        FusionModel,
        {"name": "drifa", "preset": "faithful", "mfa": "none", "mifa": False},
        pair(128, 3, (5, 7), tasks=2),
    )
    total = sum(p.numel() for p in bare.parameters())
    assert total + sum(b.numel() for n, b in bare.named_buffers() if "running" in n) == 22_394_124


def gate(module, *given):
    with watch(module, "tap") as seen:
        module(list(given) if isinstance(module, MIFA) else given[0])
    return seen["tap"]


def test_known_gates():
    """Check 2: all weights 0, then scales 0, too."""
    x = torch.randn(2, 8, 5, 4)
    for module, inputs, wanted in ((MFA(8), (x,), 0.8175744761936437), (MIFA(8), (x, x), 0.9890130573694068)):
        with torch.no_grad():
            for name, p in module.named_parameters():
                if "scale" not in name and "alpha" not in name:
                    p.zero_()
        torch.testing.assert_close(gate(module, *inputs), torch.full((2, 8), wanted), atol=1e-6, rtol=0)
        with torch.no_grad():
            module.global_scale.zero_(), module.local_scale.zero_()
        assert torch.equal(gate(module, *inputs), torch.full((2, 8), 0.5))


@pytest.mark.parametrize("scale", [1.0, 1e4])
def test_the_published_gates_never_close(scale):
    """Check 3: with scales 1 the coefficients stay within their bounds for any input."""
    torch.manual_seed(0)
    for module, count, top in ((MFA(16), 1, 0.95258), (MIFA(16), 2, 0.99989)):
        a = gate(module.double(), *(scale * torch.randn(8, 16, 5, 4).double() for _ in range(count)))
        assert a.min() > 0.5 and a.max() < top


def test_the_repaired_gate_starts_as_the_identity_can_close_and_can_amplify():
    x = torch.randn(2, 8, 5, 4)
    for module, inputs in ((MFA(8, preset="repaired"), (x,)), (MIFA(8, preset="repaired"), (x, x))):
        assert torch.equal(gate(module, *inputs), torch.ones(2, 8))
        bias = module.global_attention.bias
        with torch.no_grad():
            module.global_scale.fill_(1.0)
            bias.fill_(-1e3)
            assert gate(module, *inputs).max() < 1e-6
            bias.fill_(1e3)
            torch.testing.assert_close(gate(module, *inputs), torch.full((2, 8), 2.0))


@pytest.mark.parametrize("preset", ["faithful", "repaired"])
def test_gates_do_not_know_where_in_the_picture(preset):
    """Check 4: shuffling space, for each modality by itself, changes no coefficient."""
    torch.manual_seed(0)
    x, y = torch.randn(2, 8, 30).double(), torch.randn(2, 8, 20).double()
    mixed = x[..., torch.randperm(30)], y[..., torch.randperm(20)]
    mfa = randomise(MFA(8, preset)).double()
    torch.testing.assert_close(gate(mfa, x), gate(mfa, mixed[0]), rtol=0, atol=1e-14)
    mifa = randomise(MIFA(8, 2, preset)).double()
    torch.testing.assert_close(gate(mifa, x, y), gate(mifa, *mixed), rtol=0, atol=1e-14)


@pytest.mark.parametrize("preset", ["faithful", "repaired"])
def test_swapping_the_modalities_with_their_convolutions_changes_nothing(preset):
    """Check 5."""
    torch.manual_seed(0)
    mifa = randomise(MIFA(8, preset=preset)).double()
    x, y = torch.randn(2, 8, 5, 4).double(), torch.randn(2, 8, 4, 3).double()
    before = gate(mifa, x, y)
    assert (gate(mifa, y, x) - before).abs().max() > 1e-6
    mifa.local_convs = mifa.local_convs[::-1]
    torch.testing.assert_close(gate(mifa, y, x), before, rtol=0, atol=1e-14)


@pytest.mark.parametrize("preset", ["faithful", "repaired"])
def test_with_gates_held_at_one_the_streams_are_plain_and_apart(preset):
    """Check 6."""
    model = randomise(small(preset), amount=0.1)
    plain = build(FusionModel, {**SMALL, "preset": preset, "gate": "constant"}, pair()).eval()
    plain.load_state_dict({k: v for k, v in model.state_dict().items() if k in plain.state_dict()})
    first, second = torch.rand(2, 1, 32, 32, requires_grad=True), torch.rand(2, 1, 32, 32, requires_grad=True)
    with torch.no_grad():
        for name, p in model.named_parameters():
            if "alpha" in name:
                p.fill_(1.0)
    ones = {name: torch.ones(()) for name in taps(model)}
    with hold(model, ones):
        held = model.embedding(model.encode({"first": first, "second": second}))
    wanted = plain.embedding(plain.encode({"first": first, "second": second}))
    torch.testing.assert_close(held, wanted)
    own = held.shape[1] // 2
    with hold(model, {name: 1.0 for name in taps(model) if name.startswith("exchanges")}):
        apart = model.embedding(model.encode({"first": first, "second": second}))
    slope = torch.autograd.grad(apart[:, :own].square().sum(), second, allow_unused=True)[0]
    assert slope is None or not slope.any()
    mixed = model.embedding(model.encode({"first": first, "second": second}))
    mine, others = torch.autograd.grad(mixed[:, :own].square().sum(), (first, second))
    assert others.abs().max() > 0 and mine.abs().max() > 0


def test_a_gain_before_batch_norm_changes_nothing_and_one_after_it_does():
    """Check 7: the defect that the repaired order mends."""
    torch.manual_seed(0)
    x = torch.randn(8, 8, 6, 5)
    moved = {}
    for preset in ("faithful", "repaired"):
        block = RRA(8, 8, preset=preset).train()
        before = block.mfa1(block.conv1(x)) if preset == "faithful" else block.mfa1(block.bn1(block.conv1(x)))
        before = block.bn1(before) if preset == "faithful" else before
        with torch.no_grad():
            block.mfa1.alpha.mul_(torch.linspace(0.5, 5.5, 8))
        after = block.mfa1(block.conv1(x)) if preset == "faithful" else block.mfa1(block.bn1(block.conv1(x)))
        after = block.bn1(after) if preset == "faithful" else after
        moved[preset] = ((after - before).norm() / before.norm()).item()
    assert moved["faithful"] < 0.02 < 0.5 < moved["repaired"]


def test_slopes_of_the_published_preset():
    """Check 9: every parameter gets a finite slope; alpha before batch norm gets next to none."""
    model = small("faithful").train()
    inputs = {name: torch.rand(8, 1, 32, 32) for name in ("first", "second")}
    model(inputs)["a"].square().sum().backward()
    slopes = {name: p.grad.abs().max().item() for name, p in model.named_parameters()}
    assert all(np.isfinite(s) and s > 0 for s in slopes.values())
    before = [s for name, s in slopes.items() if re.search(r"mfa\d?\.alpha$", name)]
    behind = [s for name, s in slopes.items() if re.search(r"exchanges\.0\.alphas", name)]
    assert np.median(before) < 0.05 * np.median(behind)


class TestMonteCarloDropout:
    """Check 8."""

    inputs = {name: torch.rand(6, 1, 32, 32, generator=torch.Generator().manual_seed(3)) for name in
              ("first", "second")}  # fmt: skip

    def test_it_varies_and_leaves_batch_norm_alone(self):
        model = small().train()
        before = {k: v.clone() for k, v in model.state_dict().items()}
        said = mc_predict(model, self.inputs, samples=12, seed=1)["a"]
        assert (said.variance > 0).all()
        assert (said.mutual_information >= -1e-9).all()
        torch.testing.assert_close(
            said.mutual_information, said.predictive_entropy - said.expected_entropy, rtol=0, atol=1e-12
        )
        assert all(torch.equal(before[k], v) for k, v in model.state_dict().items())
        assert model.training
        again = mc_predict(model, self.inputs, samples=12, seed=1)["a"]
        assert torch.equal(said.mean, again.mean)

    def test_without_dropout_nothing_varies(self):
        said = mc_predict(small(dropout=0.0), self.inputs, samples=5)["a"]
        assert not said.variance.any()
        assert said.mutual_information.abs().max() < 1e-12
        once = mc_predict(small(), self.inputs, samples=1)["a"]
        assert once.mutual_information.abs().max() < 1e-12

    def test_an_ensemble_of_equal_weights_is_one_model(self):
        twins = [small(dropout=0.0), small(dropout=0.0)]
        said = mc_predict(twins, self.inputs, samples=1)["a"]
        assert said.mutual_information.abs().max() < 1e-12
        other = randomise(small(dropout=0.0), amount=0.3)
        assert mc_predict([twins[0], other], self.inputs, samples=1)["a"].mutual_information.max() > 1e-6

    def test_only_dropout_is_switched(self):
        model = small()
        set_mc_dropout(model, True)
        assert {type(m).__name__ for m in model.modules() if m.training} == {"Dropout"}
        set_mc_dropout(model, False)
        assert not any(m.training for m in model.modules())


def test_controls_of_the_gate():
    frozen = small(gate="random").train()
    gates = {n for n, m in frozen.named_modules() if type(m) in (MFA, MIFA)}
    still = {n for n, p in frozen.named_parameters() if not p.requires_grad}
    assert still and all(any(n.startswith(gate) for gate in gates) for n in still)
    assert set(frozen.dead_parameters()) == still
    with watch(frozen) as seen:
        frozen({name: torch.rand(4, 1, 32, 32) for name in ("first", "second")})
    assert all(a.std() > 0 for a in seen.values())
    assert not taps(small(gate="constant"))
    with pytest.raises(InputError, match="squeeze"):
        small(squeeze=0)


@pytest.mark.parametrize(
    "backbone",
    ["resnet10t", "mobilenetv3_small_050", "convnext_atto", "vit_tiny_patch16_224"],
)
def test_it_stands_on_any_timm_network(backbone):
    """Stage by stage, with gates that start as the identity, it is the timm network itself."""
    torch.manual_seed(0)
    model = build(FusionModel, {"name": "drifa", "backbone": backbone}, pair(64, 3)).eval()
    torch.manual_seed(0)  # the first picture's network is made first
    fixed = {"img_size": 64} if backbone.startswith("vit") else {}
    whole = timm.create_model(backbone, in_chans=3, **fixed).eval()
    x = picture = torch.rand(2, 3, 64, 64)
    parts = [model.encoders["first"], *model.later["first"]]
    with torch.no_grad():
        for part in parts:
            x = part(x)
        wanted = whole.forward_intermediates(Normalise(3, timm.get_pretrained_cfg(backbone))(picture))[1][-1]
    wanted = wanted.flatten(2)  # without the class token, where there is one
    torch.testing.assert_close(x.flatten(2)[..., -wanted.shape[-1] :], wanted, rtol=1e-4, atol=1e-5)


def test_a_network_that_cannot_be_cut_gets_a_sentence():
    with pytest.raises(InputError, match="did you mean"):
        build(FusionModel, {"name": "drifa", "backbone": "resnet10"}, pair(64, 3))
    with pytest.raises(InputError, match="'widths' names 2 stages and 'depths' 1"):
        build(FusionModel, {**SMALL, "depths": [1]}, pair())


def test_a_missing_modality_is_left_out_of_the_sums():
    mifa = randomise(MIFA(8, 3)).double()
    x, y, z = torch.randn(3, 2, 8, 5, 4).double()
    weight = torch.tensor([[1.5, 1.5, 0.0]] * 2).double()
    with watch(mifa, "tap") as seen:
        mifa([x, y, torch.full_like(z, 7)], weight)
    slow = []
    with torch.no_grad():
        for case in range(2):
            pools = [torch.amin, torch.mean, torch.amax]
            g = sum(
                torch.sigmoid(mifa.global_attention(1.5 * sum(pool(f[case], (1, 2)) for f in (x, y))))
                for pool in pools
            )
            l = sum(  # noqa: E741
                1.5 * pool(torch.sigmoid(conv(f[case].flatten(1)[None]))[0], 1)
                for pool in pools
                for f, conv in zip((x, y), mifa.local_convs, strict=False)
            )
            slow.append(torch.sigmoid(mifa.global_scale * g + mifa.local_scale * l))
    torch.testing.assert_close(seen["tap"], torch.stack(slow))


def test_a_record_joins_through_the_same_sums():
    """A row (B, C) is a map of one place: minimum, mean and maximum are itself."""
    row, f = torch.randn(2, 8).double(), torch.randn(2, 8, 5, 4).double()
    mifa = randomise(MIFA(8)).double()
    torch.testing.assert_close(gate(mifa, f, row), gate(mifa, f, row[:, :, None, None]))
