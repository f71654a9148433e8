"""Exact Shapley values of modalities: definitions by loops, closed forms, Captum."""

from itertools import combinations, permutations

import numpy as np
import pytest
import torch
from captum.attr import ShapleyValues

from studykit.catalog import InputError
from studykit.contribution import Question, WholeOcclusion
from studykit.contribution.shapley import Shapley, interaction, shapley_value, subsets


def cases(modalities, count=7, columns=2, seed=0):
    """{name: (N, columns)} of normal numbers, float64."""
    draw = torch.Generator().manual_seed(seed)
    return {
        name: torch.randn(count, columns, dtype=torch.float64, generator=draw)
        for name in "abcdef"[:modalities]
    }


def ask(f, inputs, **settings):
    return Question(f, inputs, **{"resamples": 50, **settings})


def shared(f, inputs, **settings):
    """{(statistic, group): estimate}."""
    table = Shapley().table(ask(f, inputs, **settings))
    return table.set_index(["statistic", "group"])["estimate"].to_dict()


def tangled(**x):
    """Two outputs in which all modalities are mixed."""
    names = sorted(x)
    sums = torch.stack([torch.tanh(x[name].sum(dim=1) + at) for at, name in enumerate(names)])
    pairs = sum(x[a][:, 0] * x[b][:, 1] for a, b in combinations(names, 2))
    return torch.stack([sums.prod(dim=0) + pairs, torch.sigmoid(pairs - sums.sum(dim=0))], dim=1)


def worths(f, inputs):
    """v(S) by asking case by case, what is away being 0: {frozenset: (N, K)}."""
    found = {}
    for size in range(len(inputs) + 1):
        for there in combinations(inputs, size):
            rows = []
            for k in range(len(next(iter(inputs.values())))):
                case = {n: x[k : k + 1] if n in there else 0 * x[k : k + 1] for n, x in inputs.items()}
                rows.append(f(**case)[0].numpy())
            found[frozenset(there)] = np.stack(rows)
    return found


def slow_values(v, names):
    """phi: the mean over all orders of what a modality adds to those before it."""
    steps = {name: [] for name in names}
    for order in permutations(names):
        for at, name in enumerate(order):
            before = frozenset(order[:at])
            steps[name].append(v[before | {name}] - v[before])
    return {name: np.mean(found, axis=0) for name, found in steps.items()}


def slow_interaction(v, names, a, b):
    """I: the mean over orders, the pair joining as one, of what it adds beyond each of the two alone."""
    found = []
    for order in permutations([*(n for n in names if n not in (a, b)), (a, b)]):
        before = frozenset(order[: order.index((a, b))])
        found.append(v[before | {a, b}] - v[before | {a}] - v[before | {b}] + v[before])
    return np.mean(found, axis=0)


@pytest.mark.parametrize("modalities", [2, 3, 4])
def test_values_and_interactions_are_what_the_orders_give(modalities):
    inputs = cases(modalities)
    names, v = list(inputs), worths(tangled, inputs)
    for name, wanted in slow_values(v, names).items():
        np.testing.assert_allclose(shapley_value(v, names, name), wanted, atol=1e-12)
    for a, b in combinations(names, 2):
        np.testing.assert_allclose(interaction(v, names, a, b), slow_interaction(v, names, a, b), atol=1e-12)


@pytest.mark.parametrize("modalities", [2, 3, 4])
def test_the_table_is_the_ratio_of_means_of_the_slow_twin(modalities):
    inputs = cases(modalities)
    names, v = list(inputs), worths(tangled, inputs)
    phi, found = slow_values(v, names), shared(tangled, inputs)
    size = {name: np.abs(values).sum() for name, values in phi.items()}
    for name in names:
        assert found["share", name] == pytest.approx(size[name] / sum(size.values()), abs=1e-12)
    square = {}
    for a in names:
        for b in names:
            if a != b:
                square[a, b] = slow_interaction(v, names, a, b) / 2
    for a in names:
        square[a, a] = phi[a] - sum(square[a, b] for b in names if b != a)
    np.testing.assert_allclose(sum(square.values()), v[frozenset(names)] - v[frozenset()], atol=1e-12)
    whole = sum(np.abs(entry).sum() for entry in square.values())
    mixed = sum(np.abs(entry).sum() for (a, b), entry in square.items() if a != b)
    assert found["interaction share", "all"] == pytest.approx(mixed / whole, abs=1e-12)
    for a, b in combinations(names, 2) if modalities > 2 else ():
        wanted = 2 * np.abs(square[a, b]).sum() / whole
        assert found["interaction share", f"{a} and {b}"] == pytest.approx(wanted, abs=1e-12)
    assert len(found) == modalities + 1 + (len(list(combinations(names, 2))) if modalities > 2 else 0)


@pytest.mark.parametrize("modalities", [2, 3, 6])
def test_values_sum_to_the_answer_less_the_answer_to_nothing(modalities):
    question = ask(tangled, cases(modalities))
    names = list(question.modalities)
    v = {some: question.with_only(some)[0] for some in subsets(names)}
    total = sum(shapley_value(v, names, name) for name in names)
    np.testing.assert_allclose(total, v[frozenset(names)] - v[frozenset()], atol=1e-12)


def test_a_model_that_adds_up_gives_leave_one_out_and_no_interaction():
    inputs = cases(3)

    def add(a, b, c):
        return torch.stack([a.sum(1) + 2 * b[:, 0] - c.sum(1) + 3, torch.tanh(a[:, 0]) + b[:, 1] ** 2], dim=1)

    found = shared(add, inputs)
    whole = WholeOcclusion().table(ask(add, inputs)).set_index("group")["estimate"]
    for name in inputs:
        assert found["share", name] == pytest.approx(whole[name], abs=1e-12)
    assert [v for (statistic, _), v in found.items() if statistic == "interaction share"] == [0.0] * 4


def test_a_product_is_shared_in_halves_and_is_all_interaction():
    found = shared(lambda a, b: (a * b).sum(dim=1), cases(2, columns=1))
    assert found == {("share", "a"): 0.5, ("share", "b"): 0.5, ("interaction share", "all"): 1.0}


def test_a_sum_with_a_product_follows_its_formula():
    """f = p a + q b + r a b: phi_a = p a + r a b / 2, and the table is p a, q b and r a b / 2 twice."""
    p, q, r, inputs = 2.0, -1.0, 3.0, cases(2, columns=1)
    a, b = (x[:, 0].numpy() for x in inputs.values())
    found = shared(lambda a, b: (p * a + q * b + r * a * b).sum(dim=1), inputs)
    first, second = (np.abs(p * a + r * a * b / 2).mean(), np.abs(q * b + r * a * b / 2).mean())
    assert found["share", "a"] == pytest.approx(first / (first + second), abs=1e-12)
    mixed = np.abs(r * a * b).mean()
    wanted = mixed / (np.abs(p * a).mean() + np.abs(q * b).mean() + mixed)
    assert found["interaction share", "all"] == pytest.approx(wanted, abs=1e-12)


def test_a_product_of_three():
    """phi = abc / 3 each; I of a pair is abc / 2, half of which lies on each side: -abc / 6 is left alone."""
    found = shared(lambda a, b, c: (a * b * c).sum(dim=1), cases(3, columns=1))
    assert found["share", "b"] == pytest.approx(1 / 3)
    assert found["interaction share", "all"] == pytest.approx(1.5 / (1.5 + 0.5))
    assert found["interaction share", "a and c"] == pytest.approx(0.25)


def test_where_either_suffices_each_gets_its_half_and_occlusion_sees_nothing():
    """f = max(a, b) at (1, 1): I = 1 - 1 - 1 + 0, so -1/2 lies on each side and 1 is left to each alone."""
    one = {name: torch.ones(4, 1, dtype=torch.float64) for name in "ab"}

    def either(a, b):
        return torch.maximum(a, b)

    found = shared(either, one)
    assert found["share", "a"] == found["share", "b"] == 0.5
    assert found["interaction share", "all"] == pytest.approx(1 / 3)
    table = WholeOcclusion().table(ask(either, one))
    assert table["estimate"].isna().all() and (table["why"] == "nothing moved").all()


def test_a_modality_that_is_not_looked_at_has_no_share():
    found = shared(lambda a, b, c: torch.sigmoid(a.sum(1) * c[:, 0]), cases(3))
    assert found["share", "b"] == 0.0
    assert found["interaction share", "a and b"] == found["interaction share", "b and c"] == 0.0
    assert found["interaction share", "all"] == found["interaction share", "a and c"] > 0


def test_where_nothing_moves_there_is_no_share_but_a_reason():
    table = Shapley().table(ask(lambda a, b: torch.full((len(a), 2), 0.7), cases(2)))
    assert table["estimate"].isna().all() and table["low"].isna().all()
    assert (table["why"] == "nothing moved").all()


def test_rounding_is_no_interaction():
    """Half a million in float32: sums are exact to 1/32, differences of them are no interaction."""
    inputs = {name: 5e5 + 1e3 * x.float() for name, x in cases(2, 40).items()}
    found = shared(lambda a, b: a.sum(1) * 0.1 + b.sum(1) * 0.3, inputs)
    assert found["interaction share", "all"] == 0.0


def test_an_answer_that_is_no_number_gets_a_sentence():
    with pytest.raises(InputError, match="not a number"):
        shared(lambda a, b: (a * torch.nan + b).sum(dim=1), cases(2))


@pytest.mark.parametrize("modalities", [2, 3])
def test_captum_gives_the_same_values(modalities):
    inputs = cases(modalities)
    question = ask(tangled, inputs)
    names = list(inputs)
    v = {some: question.with_only(some)[0] for some in subsets(names)}
    masks = tuple(torch.full((1, 2), at) for at in range(modalities))
    captum = ShapleyValues(lambda *x: tangled(**dict(zip(names, x, strict=True))))
    for target in (0, 1):
        found = captum.attribute(tuple(inputs.values()), (0.0,) * modalities, target, None, masks)
        for name, values in zip(names, found, strict=True):
            wanted = shapley_value(v, names, name)[:, target]
            np.testing.assert_allclose(values[:, 0].numpy(), wanted, atol=1e-6)  # Captum's are float32


def test_intervals_are_percentiles_over_draws_of_patients():
    inputs, groups = cases(2, 12), [str(k // 2) for k in range(12)]
    question = ask(tangled, inputs, groups=groups, resamples=40, level=0.9)
    table = Shapley().table(question).set_index(["statistic", "group"])
    names, v = list(inputs), worths(tangled, inputs)
    phi = {name: np.abs(x).sum(axis=1) for name, x in slow_values(v, names).items()}
    both = slow_interaction(v, names, "a", "b")
    alone = sum(np.abs(x - both / 2).sum(axis=1) for x in slow_values(v, names).values())
    mixed, drawn = np.abs(both).sum(axis=1), {"share": [], "interaction share": []}
    for weights in question.weights:
        assert all(weights[2 * patient] == weights[2 * patient + 1] for patient in range(6))
        times = np.repeat(np.arange(12), weights.astype(int))
        drawn["share"].append(phi["a"][times].sum() / (phi["a"][times].sum() + phi["b"][times].sum()))
        drawn["interaction share"].append(mixed[times].sum() / (mixed[times].sum() + alone[times].sum()))
    for row in (("share", "a"), ("interaction share", "all")):
        wanted = np.percentile(drawn[row[0]], [5, 95])
        np.testing.assert_allclose(table.loc[row, ["low", "high"]].tolist(), wanted, atol=1e-12)


def test_seven_modalities_are_too_many():
    inputs = {name: torch.ones(2, 1) for name in "abcdefg"}
    question = ask(lambda **x: sum(x.values()), inputs)
    table = Shapley().table(question)
    assert len(table) == 1 and "128" in table["why"].item() and question.forwards == 0
