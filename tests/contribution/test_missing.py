"""Scores with a modality missing: scikit-learn on answers asked one by one."""

import numpy as np
import pytest
import torch
from sklearn.metrics import balanced_accuracy_score, mean_absolute_error, roc_auc_score

from studykit.case import Task
from studykit.catalog import InputError
from studykit.contribution import Question
from studykit.contribution.missing import Missing

LESION = Task("lesion", "binary", ("benign", "malignant"))
COUNT = 30


def cases(seed=0):
    """Three modalities (N, 1), float64, and a label that hangs on the first two."""
    draw = np.random.default_rng(seed)
    x = {name: draw.normal(size=(COUNT, 1)) for name in "abc"}
    told = x["a"] + 0.7 * x["b"] + draw.normal(0, 0.5, (COUNT, 1)) > 0
    return {name: torch.from_numpy(v) for name, v in x.items()}, torch.from_numpy(told[:, 0].astype(float))


def logit(a, b, c):
    return (2 * a + 1.3 * b + 0.2 * c).sum(dim=1)


def ask(f=logit, targets=None, task=LESION, **settings):
    inputs, labels = cases()
    groups = [str(k // 2) for k in range(COUNT)]
    settings = {"groups": groups, "resamples": 60, "output": "sigmoid", **settings}
    return Question(f, inputs, targets=labels if targets is None else targets, task=task, **settings)


def with_only(names):
    """The probability of the second class, what is away being 0."""
    inputs, _ = cases()
    given = {n: x.numpy()[:, 0] * (n in names) for n, x in inputs.items()}
    return 1 / (1 + np.exp(-(2 * given["a"] + 1.3 * given["b"] + 0.2 * given["c"])))


GROUPS = {
    "everything": "abc", "without a": "bc", "without b": "ac", "without c": "ab",
    "a alone": "a", "b alone": "b", "c alone": "c",
}  # fmt: skip
SKLEARN = {
    "AUROC": roc_auc_score,
    "balanced accuracy": lambda y, p: balanced_accuracy_score(y, p > 0.5),
    "Brier score": lambda y, p: ((p - y) ** 2).mean(),
}


@pytest.mark.parametrize("score", SKLEARN)
def test_scores_changes_and_intervals_are_scikit_learns(score):
    question, (_, labels) = ask(), cases()
    table = Missing(score).table(question).set_index(["statistic", "group"])
    y, everything, drawn = labels.numpy(), with_only("abc"), {}
    draws = [np.repeat(np.arange(COUNT), weights.astype(int)) for weights in question.weights]
    for group, names in GROUPS.items():
        p = with_only(names)
        assert table.loc[(score, group), "estimate"] == pytest.approx(SKLEARN[score](y, p), abs=1e-12)
        drawn[score, group] = [SKLEARN[score](y[d], p[d]) for d in draws]
        if group != "everything":
            change = SKLEARN[score](y, p) - SKLEARN[score](y, everything)
            assert table.loc[(f"change of {score}", group), "estimate"] == pytest.approx(change, abs=1e-12)
            drawn[f"change of {score}", group] = [
                SKLEARN[score](y[d], p[d]) - SKLEARN[score](y[d], everything[d]) for d in draws
            ]
    assert set(table.index) == set(drawn)
    for row, values in drawn.items():
        wanted = np.percentile(values, [2.5, 97.5])
        np.testing.assert_allclose(table.loc[row, ["low", "high"]].astype(float), wanted, atol=1e-12)


def test_a_modality_that_is_not_looked_at_changes_nothing():
    table = Missing().table(ask(lambda a, b, c: (2 * a + b).sum(dim=1))).set_index(["statistic", "group"])
    without = table.loc[("change of AUROC", "without c")]
    assert without["estimate"] == without["low"] == without["high"] == 0.0
    assert table.loc[("AUROC", "c alone"), "estimate"] == 0.5


def test_a_paired_change_is_told_more_sharply_than_two_scores():
    table = Missing().table(ask()).set_index(["statistic", "group"])
    width = table["high"] - table["low"]
    assert width["change of AUROC", "without c"] < 0.5 * width["AUROC", "without c"]


def test_only_labelled_cases_count_and_n_says_how_many():
    _, labels = cases()
    labels[::3] = torch.nan
    table = Missing().table(ask(targets=labels)).set_index(["statistic", "group"])
    known = ~labels.isnan().numpy()
    assert (table["n"] == known.sum()).all()
    wanted = roc_auc_score(labels.numpy()[known], with_only("ac")[known])
    assert table.loc[("AUROC", "without b"), "estimate"] == pytest.approx(wanted, abs=1e-12)


def test_what_cannot_be_scored_says_why():
    table = Missing().table(ask(targets=torch.zeros(COUNT)))
    assert table["estimate"].isna().all()
    assert (table["why"] == "no labelled case is malignant").all()
    task = Task("findings", "multilabel", ("one", "two"))
    alike = torch.tensor([[1.0, 0.0]]).expand(COUNT, 2)
    table = Missing().table(ask(lambda a, b, c: torch.cat([a, b + c], 1), alike, task))
    assert (table["why"] == "the labelled cases are all alike").all()


def test_numbers_are_scored_by_their_error():
    task, values = Task("size", "regression", scale=(10.0, 2.0)), cases()[0]["a"][:, 0] * 3 + 9
    question = ask(lambda a, b, c: a + b - c, values, task, output="given")
    table = Missing().table(question).set_index(["statistic", "group"])
    inputs = {name: x.numpy()[:, 0] for name, x in cases()[0].items()}
    wanted = mean_absolute_error(values.numpy(), 10 + 2 * (inputs["a"] - inputs["c"]))
    assert table.loc[("mean absolute error", "without b"), "estimate"] == pytest.approx(wanted)


def test_two_modalities_are_asked_three_times():
    inputs, labels = cases()
    question = Question(
        lambda a, b: (a + b).sum(dim=1), {n: inputs[n] for n in "ab"}, targets=labels, task=LESION
    )
    table = Missing().table(question).set_index(["statistic", "group"])
    assert question.forwards == 3 * COUNT
    assert table.loc[("AUROC", "without a"), "estimate"] == table.loc[("AUROC", "b alone"), "estimate"]


def test_a_score_of_another_task_gets_a_sentence():
    with pytest.raises(InputError, match="no score of a binary task named 'R2'.*AUROC"):
        Missing("R2").table(ask())
