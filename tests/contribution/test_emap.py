"""EMAP against its definition in loops, closed forms, and scikit-learn's AUROC."""

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

from studykit.case import Task
from studykit.catalog import InputError
from studykit.contribution import Question
from studykit.contribution.emap import EMAP, left_over, mixtures, projected
from studykit.contribution.few_cases import FewCases
from tests.contribution.twin import Mixed, normal

SHARE = "share that adding up leaves over"
BINARY = Task("ill", "binary", ("no", "yes"))


def centred(count, seed):
    x = normal(count, 1, seed=seed)
    return x - x.mean()


def asked(model, inputs, cases=200, **settings):
    """{(statistic, group): row} of a question."""
    rows = EMAP(cases=cases).table(Question(model, inputs, resamples=100, **settings))
    return {(row.statistic, row.group): row for row in rows.itertuples()}


def loops(f):
    """What the best sum leaves over, pair by pair and output by output: f (n, n, K)."""
    n, left, whole = len(f), 0.0, 0.0
    for k in range(f.shape[2]):
        mean = sum(f[i, j, k] for i in range(n) for j in range(n)) / n**2
        for i in range(n):
            for j in range(n):
                near = sum(f[i, m, k] for m in range(n)) / n + sum(f[m, j, k] for m in range(n)) / n - mean
                left += (f[i, j, k] - near) ** 2
                whole += (f[i, j, k] - mean) ** 2
    return left / whole


def test_a_model_that_adds_up_leaves_nothing_over():
    inputs = {"a": normal(30, 3), "b": normal(30, 2, seed=1)}
    found = asked(lambda a, b: (a**3).sum(1) + torch.sin(b).sum(1), inputs)
    assert found[SHARE, "a and b"].estimate < 1e-12 and found[SHARE, "a and b"].high < 1e-12


def test_of_a_product_everything_is_left_over():
    inputs = {"a": centred(30, 0), "b": centred(30, 1)}
    assert asked(lambda a, b: a * b, inputs)[SHARE, "a and b"].estimate == pytest.approx(1, abs=1e-12)


def test_sum_and_product_in_closed_form():
    """Of p a + q b + r a b, with a and b centred: r^2 va vb / (p^2 va + q^2 vb + r^2 va vb)."""
    a, b, (p, q, r) = centred(40, 0), centred(40, 1), (2.0, -1.0, 3.0)
    va, vb = float((a**2).mean()), float((b**2).mean())
    wanted = r**2 * va * vb / (p**2 * va + q**2 * vb + r**2 * va * vb)
    found = asked(lambda a, b: p * a + q * b + r * a * b, {"a": a, "b": b})
    assert found[SHARE, "a and b"].estimate == pytest.approx(wanted, abs=1e-12)


def test_each_of_three_modalities_against_the_others_as_in_loops():
    inputs = {"a": normal(7, 2), "b": normal(7, 1, 3, 3, seed=1), "c": normal(7, 3, seed=2)}
    model = Mixed(inputs, 2)
    found = asked(model, inputs)
    for name in inputs:
        f = np.zeros((7, 7, 2))
        for i in range(7):
            for j in range(7):
                case = {n: x[[i if n == name else j]] for n, x in inputs.items()}
                f[i, j] = model(**case).detach()[0]
        row = found[SHARE, f"{name} and the rest"]
        assert row.estimate == pytest.approx(loops(f), abs=1e-12) and row.low <= row.high and row.n == 7


def test_the_sum_is_the_least_squares_fit_of_one_number_for_each_case_and_modality():
    f = normal(6, 6, 2).numpy()
    first, second = np.divmod(np.arange(36), 6)
    design = np.concatenate([np.eye(6)[first], np.eye(6)[second]], axis=1)
    fitted = design @ np.linalg.lstsq(design, f.reshape(36, 2), rcond=None)[0]
    np.testing.assert_allclose(projected(f), fitted.reshape(6, 6, 2)[np.arange(6), np.arange(6)], atol=1e-12)


def test_a_draw_of_patients_is_what_these_cases_give_themselves():
    f, draw = normal(6, 6, 2).numpy(), np.array([0, 0, 2, 3, 3, 3])
    weights = np.bincount(draw, minlength=6).astype(float)[None]
    assert left_over(f, weights)[0] == pytest.approx(loops(f[draw][:, draw]), abs=1e-12)


def test_of_three_modalities_the_models_own_score_stands_once():
    inputs = {name: normal(8, 1, seed=k) for k, name in enumerate("abc")}
    ill = (torch.arange(8) % 2).double()
    table = EMAP().table(Question(Mixed(inputs, 1), inputs, targets=ill, task=BINARY, resamples=10))
    assert table["statistic"].tolist() == [
        SHARE, "AUROC", "AUROC of the sum", "AUROC gap", *[SHARE, "AUROC of the sum", "AUROC gap"] * 2,
    ]  # fmt: skip


def both_or_neither(count=60):
    """Two signs; ill where they differ."""
    a, b = torch.sign(normal(count, 1)), torch.sign(normal(count, 1, seed=1))
    return {"a": a, "b": b}, (a * b < 0)[:, 0].double()


def test_a_model_that_needs_both_loses_its_score():
    inputs, ill = both_or_neither()
    found = asked(lambda a, b: -2 * a * b, inputs, targets=ill, task=BINARY, output="sigmoid")
    assert found["AUROC", "everything"].estimate == 1  # it knows
    sums = found["AUROC of the sum", "a and b"].estimate
    gap = found["AUROC gap", "a and b"]
    assert sums < 0.7 and gap.estimate == pytest.approx(1 - sums) and gap.low > 0.2 and gap.n == 60
    additive = asked(lambda a, b: a - 2 * b, inputs, targets=ill, task=BINARY, output="sigmoid")
    gap = additive["AUROC gap", "a and b"]
    assert (gap.estimate, gap.low, gap.high) == (0, 0, 0)


def test_the_gap_is_paired_and_its_scores_are_scikit_learns():
    inputs = {"a": normal(40, 1), "b": normal(40, 1, seed=1)}
    ill = ((inputs["a"] * inputs["b"] + inputs["a"])[:, 0] + normal(40, seed=2) > 0).double()
    ill[:5] = torch.nan

    def model(a, b):
        return a + a * b

    question = Question(
        model, inputs, targets=ill, task=BINARY, output="sigmoid", resamples=50, seed=3,
        groups=[f"patient {k // 2}" for k in range(40)],
    )  # fmt: skip
    table = EMAP().table(question).set_index("statistic")
    f = mixtures(Question(model, inputs), np.arange(40), "a")
    own, sums, truth = f[np.arange(40), np.arange(40), 0][5:], projected(f)[5:, 0], ill[5:].numpy()
    assert table.loc["AUROC", "estimate"] == pytest.approx(roc_auc_score(truth, own))
    assert table.loc["AUROC of the sum", "estimate"] == pytest.approx(roc_auc_score(truth, sums))
    gaps = [
        roc_auc_score(truth, own, sample_weight=w[5:]) - roc_auc_score(truth, sums, sample_weight=w[5:])
        for w in question.weights
    ]
    low, high = np.percentile(gaps, [2.5, 97.5])
    row = table.loc["AUROC gap"]
    assert (row["low"], row["high"], row["n"]) == (pytest.approx(low), pytest.approx(high), 35)


@pytest.mark.parametrize(
    ("task", "targets", "score"),
    [
        (Task("t", "multiclass", ("u", "v", "w")), torch.arange(12) % 3, "AUROC"),
        (Task("t", "multilabel", ("u", "v", "w")), torch.arange(36).reshape(12, 3) % 2, "Brier score"),
        (Task("t", "regression", scale=(5.0, 2.0)), torch.arange(12.0), "R2"),
    ],
)
def test_other_tasks_are_projected_on_their_logits(task, targets, score):
    """Logits that add up, whatever is shown of them; a shift of all classes together changes no answer."""
    inputs = {"a": normal(12, task.outputs), "b": normal(12, task.outputs, seed=1)}

    def model(a, b):
        together = (a * b).sum(1, keepdim=True) if task.kind == "multiclass" else 0
        return a + b**2 + together

    settings = {"targets": targets.double(), "task": task, "output": "softmax", "resamples": 20}
    table = EMAP(score=score).table(Question(model, inputs, **settings)).set_index("statistic")
    assert table.loc[SHARE, "estimate"] < 1e-12
    assert table.loc[f"{score} gap", "estimate"] == pytest.approx(0, abs=1e-12)
    assert table.loc[score, "estimate"] == pytest.approx(table.loc[f"{score} of the sum", "estimate"])
    with pytest.raises(InputError, match="score"):
        EMAP(score="F1").table(Question(model, inputs, **settings))


def test_what_cannot_be_told_has_a_reason():
    inputs, ill = both_or_neither(20)
    found = asked(lambda a, b: a * b, inputs)["score gap", "a and b"]
    assert np.isnan(found.estimate) and "task" in found.why
    unknown = asked(lambda a, b: a * b, inputs, task=BINARY, targets=torch.full((20,), torch.nan))
    assert "labels" in unknown["score gap", "a and b"].why
    one = asked(lambda a, b: a * b, inputs, task=BINARY, targets=torch.ones(20))["AUROC gap", "a and b"]
    assert np.isnan(one.estimate) and "AUROC" in one.why
    still = asked(lambda a, b: torch.full((len(a), 2), 7.0), inputs)[SHARE, "a and b"]
    assert np.isnan(still.estimate) and "same" in still.why
    with pytest.raises(InputError, match="not a number"):
        asked(lambda a, b: a / 0 * b, inputs)


def test_of_many_cases_a_few_are_drawn_by_the_seed():
    inputs = {"a": normal(50, 1), "b": normal(50, 1, seed=1)}

    def model(a, b):
        return a * b + a

    question = Question(model, inputs, resamples=20)
    row = EMAP(cases=10).table(question).iloc[0]
    at = FewCases(question, 10).at
    assert row["n"] == 10 and question.forwards == 100 and len(set(at)) == 10
    alone = EMAP().table(Question(model, {name: x[at] for name, x in inputs.items()}, resamples=20)).iloc[0]
    assert row["estimate"] == pytest.approx(alone["estimate"], abs=1e-12)
    assert set(FewCases(Question(model, inputs, seed=1), 10).at) != set(at)
    with pytest.raises(InputError, match="cases"):
        EMAP(cases=1)
