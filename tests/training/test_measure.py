import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import (
    balanced_accuracy_score,
    brier_score_loss,
    mean_absolute_error,
    r2_score,
    roc_auc_score,
)

from studykit.scores import auroc, balanced_accuracy, brier, draws
from studykit.training.measure import measures


@pytest.fixture
def table():
    draw = np.random.default_rng(0)
    count = 120
    truth = draw.integers(0, 2, count)
    p = np.round(1 / (1 + np.exp(-(truth * 1.2 - 0.6 + draw.normal(size=count)))), 2)  # with ties
    rows = pd.DataFrame({"group": [f"p{i // 2}" for i in range(count)], "t": np.where(truth, "b", "a")})
    return rows.assign(**{"t.a": 1 - p, "t.b": p, "r.a": 0.5, "r.b": 0.5})


def test_scores_agree_with_scikit_learn(table):
    found = measures(table, "t", ["t.a", "t.b"], ["a", "b"]).set_index("statistic")["estimate"]
    truth, p = table["t"] == "b", table["t.b"]
    assert found["AUROC"] == pytest.approx(roc_auc_score(truth, p))
    called = table[["t.a", "t.b"]].to_numpy().argmax(1)
    assert found["balanced accuracy"] == pytest.approx(balanced_accuracy_score(truth, called))
    assert found["Brier score"] == pytest.approx(brier_score_loss(truth, p))


def test_three_classes_agree_with_scikit_learn():
    draw = np.random.default_rng(1)
    truth, p = draw.integers(0, 3, 90), draw.dirichlet([1, 1, 1], 90)
    weights = draw.integers(0, 3, (4, 90)).astype(float)
    for row, value in zip(weights, auroc(truth, p, weights), strict=True):
        each = [roc_auc_score(truth == one, p[:, one], sample_weight=row) for one in range(3)]
        assert value == pytest.approx(np.mean(each))
    accuracy = balanced_accuracy(truth, p, weights)
    slow = [balanced_accuracy_score(truth, p.argmax(1), sample_weight=row) for row in weights]
    assert accuracy == pytest.approx(slow)
    squares = ((p - np.eye(3)[truth]) ** 2).sum(1)
    assert brier(truth, p, weights) == pytest.approx([np.average(squares, weights=w) for w in weights])


def test_auroc_by_counting_pairs(table):
    truth, p = (table["t"] == "b").to_numpy().astype(int), table[["t.a", "t.b"]].to_numpy()
    wins = [(b > a) + 0.5 * (b == a) for b in p[truth == 1, 1] for a in p[truth == 0, 1]]
    assert auroc(truth, p, np.ones((1, len(p))))[0] == pytest.approx(np.mean(wins))


def test_patients_are_drawn_whole():
    weights = draws(["p", "p", "q", "r", "r", "r"], resamples=200, seed=0)
    assert (weights[:, 0] == weights[:, 1]).all() and (weights[:, 3] == weights[:, 5]).all()
    assert (weights[:, [0, 2, 3]].sum(1) == 3).all()


def test_two_alike_cases_a_patient_widen_the_interval(table):
    twice = pd.concat([table, table]).assign(group=lambda t: t["t.b"].index.astype(str))
    one = table.assign(group=table.index.astype(str))
    wide = [measures(t, "t", ["t.a", "t.b"], ["a", "b"]).iloc[0] for t in (one, twice)]
    assert wide[0]["high"] - wide[0]["low"] == pytest.approx(wide[1]["high"] - wide[1]["low"], rel=0.1)
    naive = twice.assign(group=[str(i) for i in range(len(twice))])
    narrow = measures(naive, "t", ["t.a", "t.b"], ["a", "b"]).iloc[0]
    assert narrow["high"] - narrow["low"] < 0.85 * (wide[1]["high"] - wide[1]["low"])


def test_the_interval_covers_the_truth_about_95_times_in_100():
    draw, inside = np.random.default_rng(2), 0
    for _ in range(200):
        truth = np.repeat([0, 1], 40)
        score = draw.normal(size=80) + truth  # AUROC = Phi(1 / sqrt 2) = 0.7602
        rows = pd.DataFrame({"group": np.arange(80), "t": np.where(truth, "b", "a"), "x": -score, "y": score})
        row = measures(rows, "t", ["x", "y"], ["a", "b"], resamples=400).iloc[0]
        inside += row["low"] <= 0.7602 <= row["high"]
    assert 0.89 <= inside / 200 <= 0.99


def test_the_difference_is_paired(table):
    settings = {"against": ["t.a", "t.b"], "label": "m", "rival": "same"}
    found = measures(table, "t", ["t.a", "t.b"], ["a", "b"], **settings)
    gap = found[found["group"] == "m minus same"]
    assert (gap[["estimate", "low", "high"]] == 0).all(axis=None)


def test_one_class_only_gives_a_reason(table):
    found = measures(table[table["t"] == "a"], "t", ["t.a", "t.b"], ["a", "b"])
    assert found["estimate"].isna().all() and "two are needed" in found["why"][0]


def test_several_labels_at_once_agree_with_scikit_learn():
    draw = np.random.default_rng(3)
    truth, p = draw.random((80, 3)) < 0.4, draw.random((80, 3)).round(2)
    names = np.array(["a", "b", "c"])
    cells = ["&".join(names[row]) for row in truth]
    rows = pd.DataFrame({"group": range(80), "t": cells, "t.a": p[:, 0], "t.b": p[:, 1], "t.c": p[:, 2]})
    found = measures(rows, "t", ["t.a", "t.b", "t.c"], names, kind="multilabel").set_index("statistic")
    assert found["estimate"]["AUROC"] == pytest.approx(roc_auc_score(truth, p, average="macro"))
    assert found["estimate"]["Brier score"] == pytest.approx(((p - truth) ** 2).mean())
    assert (found["low"] < found["estimate"]).all() and (found["estimate"] < found["high"]).all()


def test_numbers_agree_with_scikit_learn():
    draw = np.random.default_rng(4)
    truth = draw.normal(size=60)
    rows = pd.DataFrame({"group": range(60), "t": truth, "v": truth + draw.normal(size=60)})
    found = measures(rows, "t", ["v"], (), kind="regression").set_index("statistic")["estimate"]
    assert found["mean absolute error"] == pytest.approx(mean_absolute_error(rows["t"], rows["v"]))
    assert found["R2"] == pytest.approx(r2_score(rows["t"], rows["v"]))


def test_a_class_that_no_case_is_of_gives_a_reason(table):
    rows = table.assign(**{"t.c": 0.0})
    found = measures(rows, "t", ["t.a", "t.b", "t.c"], ["a", "b", "c"])
    lacking = found[found["estimate"].isna()]
    assert len(lacking) and (lacking["why"] == "no case of c among these").all()
    assert (found.loc[found["estimate"].notna(), "why"] == "").all()
