"""SHAPE: Shapley values of performance by all orders, with scikit-learn's scores."""

from itertools import chain, combinations, permutations

import numpy as np
import pytest
import torch
from sklearn.metrics import brier_score_loss, mean_absolute_error, roc_auc_score

from studykit.case import Task
from studykit.catalog import InputError
from studykit.contribution import Question
from studykit.contribution.shape_score import ShapeScore

TASK = Task("label", "binary", ("no", "yes"))


def bits(modalities, copies=3):
    """{name: (N, 1)}: every combination of bits -1 and 1, several times, float64."""
    grid = torch.cartesian_prod(*[torch.tensor([-1.0, 1.0])] * modalities).double().repeat(copies, 1)
    return dict(zip("abcd", grid.T[..., None], strict=False))


def found(f, inputs, targets, score="", task=TASK, **settings):
    """{(statistic, group): estimate}."""
    question = Question(f, inputs, targets=targets, task=task, **{"resamples": 30, **settings})
    return ShapeScore(score).table(question).set_index(["statistic", "group"])["estimate"].to_dict()


def noisy(modalities, count=40, seed=0):
    draw = torch.Generator().manual_seed(seed)
    inputs = {n: torch.randn(count, 1, dtype=torch.float64, generator=draw) for n in "abcd"[:modalities]}
    told = sum(inputs.values())[:, 0] + inputs["a"][:, 0] * inputs["b"][:, 0]
    return inputs, (told + torch.randn(count, generator=draw) > 0).double()


def model(**x):
    return (sum(x.values()) + 1.5 * x["a"] * x["b"])[:, 0]


@pytest.mark.parametrize("modalities", [2, 3, 4])
@pytest.mark.parametrize("score", ["AUROC", "Brier score"])
def test_contribution_and_cooperation_are_what_the_orders_give(modalities, score):
    inputs, y = noisy(modalities)
    names, v = list(inputs), {}
    for some in chain.from_iterable(combinations(names, k) for k in range(modalities + 1)):
        given = {n: x if n in some else 0 * x for n, x in inputs.items()}
        p = torch.sigmoid(model(**given)).numpy()
        v[frozenset(some)] = roc_auc_score(y, p) if score == "AUROC" else -brier_score_loss(y, p)
    table, told = found(model, inputs, y, score), score if score == "AUROC" else "lower Brier score"
    for name in names:
        steps = []
        for order in permutations(names):
            before = frozenset(order[: order.index(name)])
            steps.append(v[before | {name}] - v[before])
        assert table[f"contribution to {told}", name] == pytest.approx(np.mean(steps), abs=1e-12)
    alone = sum(v[frozenset([name])] for name in names)
    together = v[frozenset(names)] - alone + (modalities - 1) * v[frozenset()]
    assert table[f"cooperation for {told}", "all"] == pytest.approx(together, abs=1e-12)
    assert len(table) == modalities + 1


def test_contributions_sum_to_the_score_less_that_of_nothing():
    inputs, y = noisy(3)
    table = found(model, inputs, y)
    total = sum(value for (statistic, _), value in table.items() if statistic == "contribution to AUROC")
    assert total == pytest.approx(roc_auc_score(y, model(**inputs)) - 0.5, abs=1e-12)


def test_exclusive_or_is_all_cooperation():
    inputs = bits(2)
    label = (inputs["a"] * inputs["b"] < 0)[:, 0].double()
    table = found(lambda a, b: -5 * (a * b)[:, 0], inputs, label)
    assert table == {
        ("contribution to AUROC", "a"): 0.25,
        ("contribution to AUROC", "b"): 0.25,
        ("cooperation for AUROC", "all"): 0.5,
    }


def test_two_that_say_the_same_share_and_do_not_cooperate():
    """AUROC is 1 with either and with both: a quarter each of the half that there is to win, and -1/2."""
    one = bits(2)["a"]
    table = found(lambda a, b: 5 * torch.maximum(a, b)[:, 0], {"a": one, "b": one}, (one > 0)[:, 0].double())
    assert table["contribution to AUROC", "a"] == table["contribution to AUROC", "b"] == 0.25
    assert table["cooperation for AUROC", "all"] == -0.5


def test_a_modality_that_is_not_looked_at_earns_nothing():
    inputs, y = noisy(3)
    table = found(lambda a, b, c: (a + b)[:, 0], inputs, y)
    assert table["contribution to AUROC", "c"] == 0.0


def test_of_an_error_the_fall_counts():
    task, inputs = Task("size", "regression"), bits(2)
    values = (inputs["a"] + 2 * inputs["b"])[:, 0]
    table = found(lambda a, b: (a + 2 * b)[:, 0], inputs, values, task=task)
    none = mean_absolute_error(values, 0 * values)
    statistic = "contribution to lower mean absolute error"
    assert table[statistic, "a"] + table[statistic, "b"] == pytest.approx(none)
    assert table[statistic, "b"] > table[statistic, "a"] > 0


def test_intervals_are_percentiles_over_the_same_draws_of_patients():
    inputs, y = noisy(2)
    question = Question(model, inputs, targets=y, task=TASK, resamples=40)
    table = ShapeScore().table(question).set_index(["statistic", "group"])
    p = {}
    for some in ("", "a", "b", "ab"):
        p[some] = model(**{n: x if n in some else 0 * x for n, x in inputs.items()}).numpy()
    drawn = []
    for weights in question.weights:
        times = np.repeat(np.arange(len(y)), weights.astype(int))
        v = {some: roc_auc_score(y[times], values[times]) for some, values in p.items()}
        drawn.append((v["a"] - v[""] + v["ab"] - v["b"]) / 2)
    row = table.loc[("contribution to AUROC", "a")]
    np.testing.assert_allclose([row["low"], row["high"]], np.percentile(drawn, [2.5, 97.5]), atol=1e-12)


def test_only_labelled_cases_count_and_what_cannot_be_scored_says_why():
    inputs, y = noisy(2)
    some = torch.where(torch.arange(len(y)) < 25, y, torch.nan)
    question = Question(model, inputs, targets=some, task=TASK, resamples=30)
    assert (ShapeScore().table(question)["n"] == 25).all()
    few = {n: x[:25] for n, x in inputs.items()}
    assert found(model, inputs, some) == pytest.approx(found(model, few, y[:25]), abs=1e-12)
    table = ShapeScore().table(Question(model, inputs, targets=0 * y + 1, task=TASK, resamples=30))
    assert table["estimate"].isna().all() and (table["why"] == "no labelled case is no").all()


def test_too_many_modalities_and_unknown_scores_get_a_sentence():
    inputs = {name: torch.ones(4, 1) for name in "abcdefg"}
    y = torch.tensor([0.0, 1, 0, 1])
    question = Question(lambda **x: sum(x.values())[:, 0], inputs, targets=y, task=TASK)
    assert "every subset" in ShapeScore().table(question)["why"].item()
    with pytest.raises(InputError, match="no score of a binary task named 'accuracy'"):
        found(model, *noisy(2), score="accuracy")
