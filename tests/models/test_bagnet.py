import copy

import pytest
import torch
from torch import nn

from models.oracles import PRECISIONS, by_formula, close, record, weight
from studykit.case import Modality, Schema, Task
from studykit.catalog import InputError, build, spec
from studykit.models import FusionModel
from studykit.models.bagnet import BagNet, Windows, evidence, local_network
from studykit.models.norm import BatchNorm

NARROW = (4, 8, 16, 32)
PARTS = {
    "conv1": "squeeze.0", "bn1": "squeeze.1", "conv2": "look.0", "bn2": "look.1", "conv3": "stretch.0",
    "bn3": "stretch.1", "downsample": "shortcut",
}  # fmt: skip
STEM = {"conv1": "stem.0", "conv2": "stem.1", "bn1": "stem.2", "fc": "classifier"}


def bagnet_key(theirs):
    """A recorded key of their BagNet under our name."""
    first, _, rest = theirs.partition(".")
    if first in STEM:
        return f"{STEM[first]}.{rest}"
    place, part, last = rest.split(".", 2)
    return f"stages.{int(first[-1]) - 1}.{place}.{PARTS[part]}.{last}"


def fill(module, tensors):
    """Load exactly `tensors` (batch norms count no batches in the record); the module in evaluation mode."""
    wanted = {key for key in module.state_dict() if not key.endswith("num_batches_tracked")}
    assert set(tensors) == wanted
    given = {key: torch.as_tensor(value) for key, value in tensors.items()}
    module.load_state_dict({**module.state_dict(), **given}, strict=True)
    return module.eval()


def stored(arrays, case, key):
    """The recorded weights of a case under our names."""
    start = f"{case}/sd/"
    return {key(name[len(start) :]): arrays[name] for name in arrays.files if name.startswith(start)}


def formulated(about, case, key):
    """The weights that the record gives by formula, under our names."""
    return {key(name): weight(f"{case}/{name}", shape) for name, shape in about["weight_list"][case].items()}


def small(receptive_field=9, seed=0, **settings):
    torch.manual_seed(seed)
    net = BagNet(receptive_field, widths=NARROW, classes=2, **settings).eval()
    for module in net.modules():
        if isinstance(module, BatchNorm):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 1.5)
    return net


def run(net, x, arrays, case, tolerance):
    """Compare what a case's record has: logits, pooled row, features, channel means of the stages."""
    means, handles = {}, []
    for number, stage in enumerate(net.stages, 1):
        keep = lambda module, given, out, number=number: means.update({number: out.mean(1)})  # noqa: E731
        handles.append(stage.register_forward_hook(keep))
    with torch.no_grad():
        features, logits = net.maps(x)[0], net.logits(x)
    for handle in handles:
        handle.remove()
    found = {"features": features, "features_first64": features[:, :64], "logits": logits}
    found["pooled"] = features.mean((2, 3))
    found |= {f"layer{number}_channel_mean": mean for number, mean in means.items()}
    outputs = [name for name in arrays.files if name.startswith(f"{case}/") and "/sd/" not in name]
    compared = [name for name in outputs if name != f"{case}/x"]
    for name in compared:
        close(found[name.split("/")[1]], arrays[name], tolerance)
    return compared


@pytest.mark.real_data
@PRECISIONS
@pytest.mark.parametrize("receptive_field", [9, 17, 33])
def test_narrow_networks_give_the_recorded_outputs(receptive_field, dtype, tolerance):
    about, arrays = record("attention_gate")
    case = f"bagnet{receptive_field}_narrow"
    net = fill(small(receptive_field), stored(arrays, case, bagnet_key)).to(dtype)
    assert sum(p.numel() for p in net.parameters()) == about["cases"][case]["n_params"]
    assert len(run(net, torch.tensor(arrays[f"{case}/x"]).to(dtype), arrays, case, tolerance)) == 6


@pytest.fixture(scope="module")
def full():
    about, _ = record("attention_gate")
    return fill(BagNet(classes=2), formulated(about, "bagnet33_full", bagnet_key))


@pytest.mark.real_data
def test_the_formulas_first_weights_are_the_recorded_ones():
    about, arrays = record("attention_gate")
    for case, checks in about["weight_check"].items():
        for name, first in checks.items():
            shape = about["weight_list"][case][name]
            assert weight(f"{case}/{name}", shape).ravel()[: len(first)].tolist() == first
    x = by_formula("bagnet33_full/x", arrays["bagnet33_full/x"].shape, 0.0, 1.0)
    assert (x == arrays["bagnet33_full/x"]).all()


@pytest.mark.real_data
@PRECISIONS
def test_the_full_width_network_gives_the_recorded_outputs(full, dtype, tolerance):
    _, arrays = record("attention_gate")
    net = copy.deepcopy(full).to(dtype)
    x = torch.tensor(arrays["bagnet33_full/x"]).to(dtype)
    assert len(run(net, x, arrays, "bagnet33_full", tolerance)) == 7


@pytest.mark.parametrize(("receptive_field", "count"), [(33, 16_265_282), (17, 14_168_130), (9, 13_643_842)])
def test_parameter_counts_are_the_published_ones(receptive_field, count):
    with torch.device("meta"):
        net = BagNet(receptive_field, classes=2)
    assert sum(p.numel() for p in net.parameters()) == count


@pytest.mark.parametrize(("side", "places"), [(224, 24), (128, 12), (64, 4), (41, 2), (40, 1), (33, 1)])
def test_map_sizes(side, places):
    net = BagNet(33, widths=(1, 1, 1, 1)).eval()
    assert net.maps(torch.rand(1, 3, side, side))[0].shape == (1, 4, places, places)


def test_the_mean_of_the_evidence_is_the_logit():
    net = small(17)
    x = torch.rand(3, 3, 47, 41)
    found = net.evidence_map(x)
    assert found.shape == (3, 2, 4, 4)
    assert (found.mean((2, 3)) - net.logits(x)).abs().max() < 1e-5
    features, layer = net.maps(x)[0], net.classifier
    slow = sum(layer.weight[1, c] * features[2, c, 3, 0] for c in range(128)) + layer.bias[1]
    torch.testing.assert_close(found[2, 1, 3, 0], slow)


@pytest.mark.parametrize("receptive_field", [9, 17, 33])
def test_a_place_knows_its_window_and_nothing_else(receptive_field):
    """The whole network on the window alone gives the place's evidence (slow twin); outside is nothing."""
    net = small(receptive_field).double()
    x = torch.rand(1, 3, receptive_field + 20, receptive_field + 14, dtype=torch.float64)
    found = net.evidence_map(x)
    assert found.shape[2:] == (3, 2)
    for row, column in [(0, 0), (2, 1), (1, 0)]:
        here = (
            ...,
            slice(8 * row, 8 * row + receptive_field),
            slice(8 * column, 8 * column + receptive_field),
        )
        torch.testing.assert_close(net.evidence_map(x[here])[..., 0, 0], found[..., row, column])
        outside = torch.rand_like(x)
        outside[here] = x[here]
        changed = net.evidence_map(outside)
        torch.testing.assert_close(changed[..., row, column], found[..., row, column], rtol=0, atol=1e-12)
        assert not torch.allclose(changed, found)
    inside = x.clone()
    inside[..., receptive_field - 1, :receptive_field] *= 0.5  # the first window's last row
    assert not torch.equal(net.evidence_map(inside)[..., 0, 0], found[..., 0, 0])


def test_volumes_and_thin_volumes():
    cube = small(9, in_channels=1, spatial_dims=3).double()
    x = torch.rand(2, 1, 17, 9, 25, dtype=torch.float64)
    found = cube.evidence_map(x)
    assert found.shape == (2, 2, 2, 1, 3)
    torch.testing.assert_close(cube.evidence_map(x[:, :, 8:17, :, 16:25])[..., 0, 0, 0], found[..., 1, 0, 2])
    thin = local_network(Modality("ct", "volume", (1, 8, 48, 48)), 17, NARROW)
    assert thin.windows == (5, 17, 17)
    assert thin.eval().maps(torch.rand(1, 1, 8, 48, 48))[0].shape == (1, 128, 1, 4, 4)


def test_a_last_batch_of_one_place_trains():
    net = small(9).train()
    net.logits(torch.rand(1, 3, 9, 9)).sum().backward()
    assert net.stem[0].weight.grad.isfinite().all()


def test_pictures_in_0_to_1_reach_the_network_as_published():
    net = local_network(Modality("scan", "image", (1, 20, 20)), 9, NARROW).eval()
    bare = BagNet(9, widths=NARROW).eval()
    bare.load_state_dict(net.state_dict(), strict=True)
    x = torch.rand(2, 1, 20, 20)
    torch.testing.assert_close(net.maps(x)[0], bare.maps((x.repeat(1, 3, 1, 1) - 0.5) / 0.5)[0])


def test_bagnet_alone_is_a_baseline():
    schema = Schema((Modality("image", "image", (1, 32, 32)),), (Task("t", "binary", ("no", "yes")),))
    settings = {"image": {"name": "bagnet", "receptive_field": 9, "widths": NARROW}}
    model = build(FusionModel, {"name": "alone", **settings}, schema)
    assert spec(model)["image"]["receptive_field"] == 9
    assert model({"image": torch.rand(3, 1, 32, 32)})["t"].shape == (3, 1)
    assert model.map_layers()["image"] is model.encoders["image"].tap


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: BagNet(11), "9, 17 or 33, not 11"),
        (lambda: BagNet(9, widths=(8, 16)), "as many widths"),
        (lambda: BagNet(9)(torch.rand(1, 3, 8, 30)), "9 is the smallest there is"),
        (
            lambda: Windows()(Modality("scan", "image", (1, 32, 30))),
            "windows of 33 x 33 and 'scan' is 32 x 30; choose receptive_field 17",
        ),
        (
            lambda: local_network(Modality("ct", "volume", (1, 4, 8, 8)), 33, NARROW),
            "windows of 3 x 33 x 33 and 'ct' is 4 x 8 x 8; 9 is the smallest",
        ),
        (lambda: BagNet(9, widths=NARROW).evidence_map(torch.rand(1, 3, 9, 9)), "make it with `classes`"),
    ],
)
def test_what_cannot_be_gets_a_sentence(make, sentence):
    with pytest.raises(InputError, match=sentence):
        make()


def test_evidence_serves_any_map():
    layer, features = nn.Linear(5, 3), torch.rand(2, 5, 2, 3, 4)
    found = evidence(features, layer)
    assert found.shape == (2, 3, 2, 3, 4)
    torch.testing.assert_close(found.mean((2, 3, 4)), layer(features.mean((2, 3, 4))))
