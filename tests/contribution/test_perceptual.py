"""The perceptual score: the definition by loops, scikit-learn's permutation importance, closed forms."""

import numpy as np
import pytest
import torch
from sklearn.base import BaseEstimator
from sklearn.inspection import permutation_importance
from sklearn.metrics import mean_absolute_error, roc_auc_score

from studykit.case import Task
from studykit.catalog import InputError
from studykit.contribution import Question
from studykit.contribution.perceptual import Perceptual, _orders
from studykit.scores import accuracy

TASK = Task("label", "binary", ("no", "yes"))
COUNT = 40


def cases(seed=0, count=COUNT):
    draw = torch.Generator().manual_seed(seed)
    inputs = {n: torch.randn(count, 1, dtype=torch.float64, generator=draw) for n in ("a", "b")}
    told = 2 * inputs["a"] + inputs["b"] + torch.randn(count, 1, generator=draw)
    return inputs, (told[:, 0] > 0.3).double()


def logit(a, b):
    return (2 * a + b + 0.5 * a * b)[:, 0]


def ask(f=logit, inputs=None, targets=None, task=TASK, **settings):
    usual, labels = cases()
    return Question(
        f,
        usual if inputs is None else inputs,
        targets=labels if targets is None else targets,
        task=task,
        **{"resamples": 40, **settings},
    )


def loop(question, f, labels, name, normaliser="model"):
    """(estimate, draws), case by case, over the very permutations that were drawn."""
    inputs, right, mixed = question.asking.inputs, [], []
    known = [k for k in range(question.count) if not labels[k].isnan()]

    def is_right(**case):
        return float((f(**case)[0] > 0) == bool(label))

    for k in known:
        label = labels[k]
        case = {n: x[k : k + 1] for n, x in inputs.items()}
        right.append(is_right(**case))
        others = [int(order[k]) for order in _orders(question, 5)]
        mixed.append([is_right(**{**case, name: inputs[name][o : o + 1]}) for o in others])
    found = []
    for weights in [np.ones(question.count), *question.weights]:
        times = [at for at, k in enumerate(known) for _ in range(int(weights[k]))]
        own = np.mean([right[at] for at in times])
        lost = own - np.mean([np.mean([mixed[at][r] for at in times]) for r in range(5)])
        truth = [bool(labels[known[at]]) for at in times]
        majority = max(np.mean(truth), 1 - np.mean(truth))
        found.append(lost / (own if normaliser == "model" else 1 - majority))
    return found[0], np.array(found[1:])


@pytest.mark.parametrize("normaliser", ["model", "task"])
def test_estimates_and_intervals_are_the_loops(normaliser):
    question, (_, labels) = ask(groups=[str(k // 2) for k in range(COUNT)]), cases()
    table = Perceptual(normaliser=normaliser).table(question).set_index("group")
    assert (table["statistic"] == "perceptual score (accuracy)").all()
    for name in ("a", "b"):
        estimate, drawn = loop(question, logit, labels, name, normaliser)
        assert table.loc[name, "estimate"] == pytest.approx(estimate, abs=1e-12)
        wanted = np.percentile(drawn, [2.5, 97.5])
        np.testing.assert_allclose(table.loc[name, ["low", "high"]].astype(float), wanted, atol=1e-12)


def test_permutations_move_the_labelled_cases_among_themselves_and_are_the_seeds():
    _, labels = cases()
    labels[10:20] = torch.nan
    question = ask(targets=labels)
    for order in _orders(question, 20):
        assert sorted(order) == list(range(COUNT))
        assert (order[10:20] == np.arange(10, 20)).all()
        assert (order != np.arange(COUNT)).sum() > 20
    again, other = ask(targets=labels), ask(targets=labels, seed=1)
    assert all((a == b).all() for a, b in zip(_orders(question, 5), _orders(again, 5), strict=True))
    assert (_orders(question, 1)[0] != _orders(other, 1)[0]).any()


def test_only_labelled_cases_count():
    inputs, labels = cases()
    labels[:10] = torch.nan
    question, ids = ask(targets=labels), [str(k) for k in range(10, COUNT)]
    table = Perceptual().table(question).set_index("group")
    few = Perceptual().table(ask(inputs={n: x[10:] for n, x in inputs.items()}, targets=labels[10:], ids=ids))
    assert (table["n"] == 30).all()
    np.testing.assert_array_equal(table["estimate"], few["estimate"])
    estimate, drawn = loop(question, logit, labels, "a")
    assert table.loc["a", "estimate"] == pytest.approx(estimate, abs=1e-12)
    wanted = np.percentile(drawn, [2.5, 97.5])
    np.testing.assert_allclose(table.loc["a", ["low", "high"]].astype(float), wanted, atol=1e-12)


def test_many_permutations_come_to_scikit_learns_importance():
    inputs, labels = cases()

    class Model(BaseEstimator):
        def fit(self, x, y):
            return self

        def predict(self, x):
            return (2 * x[:, 0] + x[:, 1] + 0.5 * x[:, 0] * x[:, 1] > 0).astype(float)

    x, y, repeats = torch.cat(list(inputs.values()), dim=1).numpy(), labels.numpy(), 400
    theirs = permutation_importance(Model(), x, y, scoring="accuracy", n_repeats=repeats, random_state=0)
    own = (Model().predict(x) == y).mean()
    table = Perceptual(repeats).table(ask())
    error = 4 * theirs.importances_std * (2 / repeats) ** 0.5 / own
    assert (abs(table["estimate"] - theirs.importances_mean / own) < error).all() and error.max() < 0.03


def test_a_modality_that_is_not_looked_at_scores_exactly_nothing():
    for task, targets in ((TASK, None), (Task("size", "regression"), cases()[0]["b"][:, 0])):
        table = Perceptual().table(ask(lambda a, b: (3 * a)[:, 0], targets=targets, task=task))
        row = table.set_index("group").loc["b"]
        assert row["estimate"] == row["low"] == row["high"] == 0.0


def test_a_modality_that_tells_everything_loses_all_beyond_chance():
    """Of balanced classes half the partners are of the same class, so that half the accuracy is lost."""
    sign = torch.tensor([-1.0, 1.0]).repeat(200)[:, None]
    inputs, targets = {"a": sign, "b": 0 * sign}, (sign[:, 0] > 0).float()
    found = {
        normaliser: Perceptual(40, normaliser).table(
            ask(lambda a, b: (5 * a + b)[:, 0], inputs, targets)
        )["estimate"][0]
        for normaliser in ("model", "task")
    }  # fmt: skip
    assert found["model"] == pytest.approx(
        0.5, abs=0.02
    )  # 4 standard errors: 4 * 0.5 / sqrt(400 * 40) = 0.016
    assert found["task"] == pytest.approx(2 * found["model"], abs=1e-12)


def test_where_a_case_has_not_one_class_the_first_score_stands_for_accuracy():
    inputs, _ = cases()
    labels = torch.stack([inputs["a"][:, 0] > 0, inputs["b"][:, 0] > 0.5], dim=1).double()
    several = Task("findings", "multilabel", ("one", "two"))
    question = ask(lambda a, b: torch.cat([a + 0.5 * b, b - a], dim=1), targets=labels, task=several)
    table = Perceptual().table(question)
    assert (table["statistic"] == "perceptual score (AUROC)").all()
    a, b = (x[:, 0].numpy() for x in inputs.values())

    def score(a, b):
        return np.mean([roc_auc_score(labels[:, k], x) for k, x in enumerate((a + 0.5 * b, b - a))])

    mixed = np.mean([score(a, b[order]) for order in _orders(question, 5)])
    assert table["estimate"][1] == pytest.approx((score(a, b) - mixed) / score(a, b), abs=1e-12)


def test_of_an_error_the_growth_counts():
    inputs, _ = cases()
    values, task = (inputs["a"] + inputs["b"])[:, 0], Task("size", "regression", scale=(1.0, 2.0))
    question = ask(lambda a, b: (a + b)[:, 0] / 3, targets=values, task=task)
    table = Perceptual().table(question)
    assert (table["statistic"] == "perceptual score (mean absolute error)").all()
    a, b = (x[:, 0].numpy() for x in inputs.values())
    own = mean_absolute_error(values, 1 + 2 * (a + b) / 3)
    mixed = [mean_absolute_error(values, 1 + 2 * (a[order] + b) / 3) for order in _orders(question, 5)]
    assert table["estimate"][0] == pytest.approx(np.mean(mixed) / own - 1, abs=1e-12)


def test_accuracy_is_the_weighted_share_of_right_cases():
    truth, p = np.array([0, 1, 2, 1]), np.eye(3)[[0, 1, 1, 0]]
    weights = np.array([[1, 1, 1, 1], [0, 2, 1, 1], [0, 0, 0, 0]], dtype=float)
    np.testing.assert_array_equal(accuracy(truth, p, weights), [0.5, 0.5, np.nan])


def test_what_cannot_be_told_says_why():
    _, labels = cases()
    wrong = Perceptual().table(ask(lambda a, b: 9 - 18 * labels + 0 * (a + b)[:, 0]))
    assert wrong["estimate"].isna().all() and (wrong["why"] == "the model's own score is 0").all()
    table = Perceptual(normaliser="task").table(ask(targets=torch.ones(COUNT)))
    assert table["estimate"].isna().all()
    assert (table["why"] == "the labelled cases are all of one class").all()
    table = Perceptual(normaliser="task").table(ask(targets=labels, task=Task("size", "regression")))
    assert "choose 'model'" in table["why"].item()
    one_class = Task("findings", "multilabel", ("one",))
    table = Perceptual().table(ask(targets=torch.ones(COUNT, 1), task=one_class))
    assert (table["why"] == "the labelled cases are all alike").all()


def test_settings_that_make_no_sense_get_a_sentence():
    with pytest.raises(InputError, match="normaliser of the perceptual score named 'accuracy'"):
        Perceptual(normaliser="accuracy")
    with pytest.raises(InputError, match="needs 1 permutation or more, not 0"):
        Perceptual(0)
