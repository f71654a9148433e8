"""Curves and comparisons of models: against scikit-learn, against slow twins, and where they must refuse."""

from itertools import permutations
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from sklearn import metrics

from studykit.case import Task
from studykit.catalog import InputError
from studykit.training.compared import (
    HeldOut,
    average_precision,
    below,
    beside,
    confusion,
    difference,
    held_out,
    limits_of_agreement,
    precision_recall,
    risk_coverage,
    roc,
    scores_of,
)
from studykit.training.logistic import NAME
from studykit.training.measure import measures

LESION = Task("lesion", "binary", ("benign", "malignant"))


def answers(model="a", count=80, seed=0, task=LESION, first=0):
    """Held-out answers in two folds, some patients with two cases; the truth is the same for every seed."""
    truth = np.random.default_rng(9).integers(0, len(task.classes), 200)[first : first + count]
    draw = np.random.default_rng(seed)
    p = draw.dirichlet(np.ones(len(task.classes)), count) + 0.5 * np.eye(len(task.classes))[truth]
    p = (p / p.sum(axis=1, keepdims=True)).round(2)  # with ties
    names = np.array(task.classes)
    about = {"group": [f"p{k // 2}" for k in range(first, first + count)], "fold": np.arange(count) % 2}
    table = pd.DataFrame({**about, "label": names[truth], "predicted": names[p.argmax(axis=1)]})
    table[[f"p.{name}" for name in names]] = p
    return HeldOut(model, task, table.set_index([[f"c{k:03d}" for k in range(first, first + count)]]), 5)


@pytest.fixture
def scored():
    held = answers()
    return held.is_of("malignant"), held.p("malignant")


def test_roc_agrees_with_scikit_learn(scored):
    found, wanted = roc(*scored), metrics.roc_curve(*scored, drop_intermediate=False)
    for name, values in zip(("false_positive", "true_positive", "threshold"), wanted, strict=True):
        assert found[name].to_numpy() == pytest.approx(values), name
    assert below(found) == pytest.approx(metrics.roc_auc_score(*scored))


def test_precision_recall_agrees_with_scikit_learn(scored):
    found = precision_recall(*scored)
    precision, recall, threshold = metrics.precision_recall_curve(*scored)
    assert found["threshold"].to_numpy()[::-1] == pytest.approx(threshold)
    assert found["precision"].to_numpy()[::-1] == pytest.approx(precision[:-1])
    assert found["recall"].to_numpy()[::-1] == pytest.approx(recall[:-1])
    assert average_precision(found) == pytest.approx(metrics.average_precision_score(*scored))


def test_one_kind_of_case_has_no_curve():
    alike, p = np.ones(4, bool), np.linspace(0, 1, 4)
    assert roc(alike, p).empty and roc(~alike, p).empty and np.isnan(below(roc(alike, p)))
    assert precision_recall(~alike, p).empty and np.isnan(average_precision(precision_recall(~alike, p)))
    assert risk_coverage(np.zeros(0, bool), np.zeros(0)).empty


def test_risk_coverage_is_the_mean_over_orders_of_equal_cases():
    wrong = np.array([True, False, True, False, False, True])
    certainty = np.array([0.9, 0.9, 0.7, 0.7, 0.7, 0.6])
    risks = []
    for order in permutations(range(6)):
        if all(certainty[a] >= certainty[b] for a, b in zip(order, order[1:], strict=False)):
            risks.append([wrong[list(order[:k])].mean() for k in range(1, 7)])
    found = risk_coverage(wrong, certainty)
    assert found["risk"].to_numpy() == pytest.approx(np.mean(risks, axis=0))
    assert found["coverage"].tolist() == pytest.approx([k / 6 for k in range(1, 7)])
    assert found["certainty"].tolist() == [0.9, 0.9, 0.7, 0.7, 0.7, 0.6]


def test_limits_of_agreement_by_the_definition():
    errors = np.array([1.0, -2.0, 4.0, 0.5])
    mean = sum(errors) / 4
    spread = (sum((e - mean) ** 2 for e in errors) / 3) ** 0.5
    assert limits_of_agreement(errors) == pytest.approx((mean, mean - 1.96 * spread, mean + 1.96 * spread))
    assert np.isnan(limits_of_agreement(errors[:1])[1]) and np.isnan(limits_of_agreement(errors[:0])[0])


def test_confusion_agrees_with_scikit_learn():
    held = answers(task=Task("kind", "multiclass", ("x", "y", "z", "never")), count=60)
    held = HeldOut("a", held.task, held.table[held.table["label"] != "never"], 5)
    rows = held.table
    wanted = metrics.confusion_matrix(rows["label"], rows["predicted"], labels=list(held.task.classes))
    assert (confusion(held).to_numpy() == wanted).all() and list(confusion(held)) == list(held.task.classes)


def test_several_labels_are_counted_one_by_one():
    task = Task("signs", "multilabel", ("a", "ab"))
    rows = {"group": list("pqrs"), "fold": 0, "label": ["a&ab", "none", "ab", np.nan], "predicted": ""}
    table = pd.DataFrame({**rows, "p.a": [0.9, 0.2, 0.6, 0.5], "p.ab": [0.4, 0.5, 0.7, 0.5]})
    held = HeldOut("m", task, table.set_index([list("wxyz")]), 1)
    assert held.is_of("a").tolist() == [True, False, False]
    assert held.wrong("a").tolist() == [False, False, True]
    assert held.wrong("ab").tolist() == [True, True, False]
    assert held.certainty("ab").tolist() == [0.6, 0.5, 0.7]
    assert confusion(held, "a").to_numpy().tolist() == [[1, 0], [1, 1]]


def test_differences_are_those_of_measures():
    one, other = answers("a", seed=0), answers("b", seed=1)
    table = one.table.assign(q0=other.table["p.benign"], q1=other.table["p.malignant"])
    settings = {"kind": "binary", "label": "a", "rival": "b", "resamples": 300}
    wanted = measures(table, "label", one.outputs, LESION.classes, against=["q0", "q1"], **settings)
    wanted = wanted[wanted["group"] == "a minus b"].reset_index(drop=True)
    pd.testing.assert_frame_equal(difference(one, other, resamples=300), wanted)
    turned = difference(other, one, resamples=300)
    assert turned["low"].to_numpy() == pytest.approx(-wanted["high"].to_numpy())
    same = difference(one, answers("c", seed=0), resamples=300)
    assert (same[["estimate", "low", "high"]] == 0).all(axis=None)


def test_a_difference_is_taken_on_common_labelled_cases():
    one, other = answers("a"), answers("b", seed=1, first=20)
    one.table.loc[one.table.index[30:40], "label"] = np.nan
    found = difference(one, other, resamples=50)
    common = one.labelled.index.intersection(other.labelled.index)
    assert len(common) == 50 and (found["n"] == 50).all()
    own, others = (HeldOut(h.model, LESION, h.table.loc[common], 5) for h in (one, other))
    gap = scores_of(own, resamples=2)["estimate"] - scores_of(others, resamples=2)["estimate"]
    assert found["estimate"].to_numpy() == pytest.approx(gap.to_numpy())


def test_what_cannot_be_compared_says_why():
    one = answers("a")
    assert "no labelled case was held out by both" in difference(one, answers("b", first=90))["why"][0]
    other = answers("b", seed=1)
    other.table.loc["c005", "label"] = {"benign": "malignant", "malignant": "benign"}[one.table.label["c005"]]
    assert "c005 has another label there" in difference(one, other)["why"][0]
    other = answers("b", seed=1)
    other.table.loc["c006", "group"] = "somebody else"
    assert "c006 has another patient there" in difference(one, other)["why"][0]
    alike = HeldOut("a", LESION, one.table[one.table["label"] == "benign"], 5)
    for found in (scores_of(alike), difference(alike, one)):
        assert found["estimate"].isna().all() and "two are needed" in found["why"][0]


def run_of(table, fold=0, folder="somewhere"):
    return SimpleNamespace(predictions=table, fold=fold, folder=folder, about={"only": [], "folds": 3})


def test_folds_are_pooled_and_only_held_out_cases_count():
    rows = {"group": "p", "lesion": "benign", "lesion.benign": 0.8, "lesion.malignant": 0.2}
    rows |= {"lesion.predicted": "benign"}
    first = pd.DataFrame({"id": ["b", "a"], "split": ["test", "train"], **rows})
    second = pd.DataFrame({"id": ["a", "b"], "split": ["test", "val"], **rows})
    found = held_out("m", [run_of(first), run_of(second, 1)], LESION)
    assert found.table.index.tolist() == ["a", "b"] and found.table["fold"].tolist() == [1, 0]
    assert (found.folds, found.asked) == (2, 3) and found.p("malignant").tolist() == [0.2, 0.2]
    with pytest.raises(InputError, match="lacks the columns lesion.predicted"):
        held_out("m", [run_of(first.drop(columns="lesion.predicted"))], LESION)


def test_stored_regression_is_read_as_it_stands(tmp_path):
    runs = [run_of(None, folder=tmp_path / "fold-0")]
    assert beside(runs).empty
    row = {"estimate": 0.7, "low": 0.6, "high": 0.8, "n": 9, "why": ""}
    groups = ["m", NAME, f"m minus {NAME}"]
    table = pd.DataFrame([{"statistic": "AUROC", "group": name, **row} for name in groups])
    table.to_csv(tmp_path / "metrics.csv", index=False)
    assert beside(runs)["group"].tolist() == [NAME, f"model minus {NAME}"]
    table.assign(estimate=np.nan, why="no record").to_csv(tmp_path / "metrics.csv", index=False)
    assert beside(runs).empty
    table.drop(columns="why").to_csv(tmp_path / "metrics.csv", index=False)
    assert beside(runs).empty  # of an older version
