"""The KAN layer against recorded outputs, the spline's definition and SciPy; and the record's tokens."""

import numpy as np
import pytest
import torch
from scipy.interpolate import BSpline

from studykit.case import Modality
from studykit.catalog import InputError, build, spec
from studykit.models.encoders import Encoder
from studykit.models.kan import Kan, KanEncoder, KANLayer, TabEncoder, spline_basis
from tests.models.oracles import PRECISIONS, close, record

SEVEN = Modality("record", "table", (7,))
NAMED = Modality("record", "table", (4,), ("Age", "Signs=lump", "Age=missing", "Signs=pain"))


def loaded(module, case, dtype, rename):
    arrays = record("mmcaf")[1]
    prefix = f"{case}/w/"
    state = {rename.get(k := key[len(prefix) :], k): arrays[key] for key in arrays if key.startswith(prefix)}
    state.pop("mask", None)
    module.to(dtype).load_state_dict({key: torch.tensor(value) for key, value in state.items()}, strict=True)
    return module.eval()(torch.tensor(arrays[f"{case}/in0"], dtype=dtype)), arrays[f"{case}/out"]


@PRECISIONS
@pytest.mark.parametrize("case", ["KANLayer_7_24", "KANLayer_7_24_outside_grid"])
def test_check_1_the_recorded_layer(case, dtype, tolerance):
    close(*loaded(KANLayer(7, 24), case, dtype, {"grid": "knots"}), tolerance)
    assert (record("mmcaf")[1][f"{case}/w/mask"] == 1).all()  # so leaving it out changes nothing


@PRECISIONS
def test_check_1_the_recorded_table_network(dtype, tolerance):
    close(*loaded(TabEncoder(SEVEN), "TabEncoder_MLP", dtype, {}), tolerance)


def test_the_counts():
    params = record("mmcaf")[0]["params"]
    layer = KANLayer(7, 24)
    assert sum(p.numel() for p in layer.parameters()) == 1680
    mask = 7 * 24  # theirs, all ones
    assert 1680 + layer.knots.numel() + mask == 1680 + 84 + 168 == params["kan"] == 1932
    assert sum(p.numel() for p in TabEncoder(SEVEN).parameters()) == 792


def test_the_knots_are_the_recorded_ones():
    wanted = record("mmcaf")[1]["KANLayer_7_24/w/grid"]
    np.testing.assert_allclose(KANLayer(7, 24).knots, wanted, atol=2e-7)
    torch.testing.assert_close(KANLayer(1, 1).knots[0, [0, 3, 8, 11]], torch.tensor([-2.2, -1, 1, 2.2]))


def slow_spline(x, t, g, k):
    """Cox and de Boor's recursion, one number at a time."""
    if k == 0:
        return float(t[g] <= x < t[g + 1])
    left = (x - t[g]) / (t[g + k] - t[g]) * slow_spline(x, t, g, k - 1)
    return left + (t[g + k + 1] - x) / (t[g + k + 1] - t[g + 1]) * slow_spline(x, t, g + 1, k - 1)


@pytest.mark.parametrize(("grid", "order"), [(5, 3), (4, 2), (3, 1), (2, 0)])
def test_the_basis_is_its_definition_and_scipys(grid, order):
    layer = KANLayer(2, 1, grid, order, (-1.0, 2.0)).double()
    t = layer.knots[0].numpy()
    x = torch.linspace(-4, 6, 57, dtype=torch.float64)[:, None].repeat(1, 2)
    found = spline_basis(x, layer.knots, order)
    slow = [[slow_spline(v, t, g, order) for g in range(grid + order)] for v in x[:, 0].tolist()]
    np.testing.assert_allclose(found[:, 0], slow, atol=1e-12)
    np.testing.assert_array_equal(found[:, 0], found[:, 1])
    for g in range(grid + order):
        element = BSpline.basis_element(t[g : g + order + 2], extrapolate=False)
        inside = np.nan_to_num(element(x[:, 0].numpy()))
        np.testing.assert_allclose(found[:, 0, g], inside, atol=1e-12)


def test_the_layer_is_its_equation():
    torch.manual_seed(0)
    layer, x = KANLayer(3, 2).double(), torch.randn(4, 3, dtype=torch.float64)
    for case in range(4):
        for o in range(2):
            y = 0.0
            for i in range(3):
                v = float(x[case, i])
                silu = v / (1 + np.exp(-v))
                curve = sum(
                    layer.coef[i, o, g].item() * slow_spline(v, layer.knots[i].numpy(), g, 3)
                    for g in range(8)
                )
                y += layer.scale_base[i, o].item() * silu + layer.scale_sp[i, o].item() * curve
            assert layer(x)[case, o].item() == pytest.approx(y, abs=1e-12)


def test_check_8_only_silu_beyond_the_knots_and_a_sum_of_one_within():
    torch.manual_seed(0)
    layer = KANLayer(7, 24).double()
    far = torch.cat([torch.rand(3, 7) * 5 + 2.2001, -torch.rand(3, 7) * 5 - 2.2001]).double()
    silu = torch.nn.functional.silu(far) @ layer.scale_base
    torch.testing.assert_close(layer(far), silu, rtol=0, atol=1e-13)
    near = (torch.rand(50, 7, dtype=torch.float64) * 2 - 1).requires_grad_()
    torch.testing.assert_close(spline_basis(near, layer.knots, 3).sum(-1), torch.ones(50, 7).double())
    edge = torch.tensor([[-1.0], [1.0]]).double()
    torch.testing.assert_close(
        spline_basis(edge, layer.knots[:1], 3).sum(-1), torch.ones(2, 1).double(), rtol=0, atol=1e-6
    )


def test_slopes_are_right():
    torch.manual_seed(0)
    layer = KANLayer(3, 4).double()
    assert torch.autograd.gradcheck(layer, (torch.randn(2, 3).double().requires_grad_(),))
    layer(torch.rand(5, 3).double()).square().sum().backward()
    assert all(p.grad.any() for p in layer.parameters())


def test_one_token_a_source_column_and_their_sum_is_the_vector():
    torch.manual_seed(0)
    encoder = KanEncoder(NAMED, 24, return_tokens=True).double()
    x = torch.randn(3, 4).double()
    tokens = encoder(x)
    assert tokens.shape == (3, 2, 24)
    torch.testing.assert_close((tokens - encoder.place).sum(1), encoder.layer(x))
    changed = x.clone()
    changed[:, 2] += 1  # Age=missing belongs to Age, the first source
    moved = (encoder(changed) - tokens).abs().amax((0, 2))
    assert moved[0] > 0.01 and moved[1] == 0
    assert KanEncoder(SEVEN, 24, return_tokens=True)(torch.rand(2, 7)).shape == (2, 7, 24)


def test_tokens_of_the_plain_network_belong_to_their_source_too():
    torch.manual_seed(0)
    encoder, x = TabEncoder(NAMED, 24, True), torch.randn(3, 4)
    by_hand = x[:, [0, 2]] @ encoder.l1.weight[:, [0, 2]].T + encoder.l1.bias + encoder.place[0]
    torch.testing.assert_close(encoder(x)[:, 0], encoder.l2(by_hand.relu()))


def test_kan_is_an_encoder_of_the_catalogue():
    made = build(Encoder, {"name": "kan", "width": 8, "grid": 4, "order": 2})
    assert spec(made) == {"name": "kan", "width": 8, "grid": 4, "order": 2, "reach": 3.0}
    encoder = made(NAMED)
    assert made.suits == ("table",) and encoder.width == 8
    assert encoder(torch.rand(5, 4)).shape == (5, 8)
    assert sum(p.numel() for p in Kan()(SEVEN).parameters()) == 1680
    with pytest.raises(InputError, match="grid of at least 1"):
        Kan(grid=0)(NAMED)
