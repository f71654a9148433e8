"""The table behind the Attention page: what gates pass, and what is lost where they are held."""

import shutil

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.metrics import balanced_accuracy_score, brier_score_loss, roc_auc_score
from torch import nn

from studykit.case import Batch, Modality, Schema, Task
from studykit.catalog import InputError, build
from studykit.explain.gates import (
    ABLATION,
    ALL,
    FILE,
    HELD,
    gates,
    gates_of,
    is_current,
    is_there,
    read_gates,
)
from studykit.models import FusionModel, hold, taps, watch
from studykit.models.taps import Tap
from studykit.scores import draws
from studykit.training import Recipe, Run, train

LESION = Task("lesion", "binary", ("benign", "malignant"))
IMAGE = Modality("image", "image", (1, 32, 32), absent=0.3)
RECORD = Modality("record", "table", (3,), ("a", "b", "c"), (0.0,) * 3)
GATE = {"name": "attention_gate", "backbone": "resnet10t", "local_widths": [4, 8, 8, 16],
        "receptive_field": 9}  # fmt: skip

GMU = {"name": "gmu", "image": {"name": "residual", "widths": [4, 8]}, "width": 8}


class Gated(FusionModel):
    """logit = strength * tap(sigmoid(4 x_0)) * x_1: the sign is x_1's, the size the gate's."""

    name = "gated"

    def __init__(self, schema, strength=1.0):
        super().__init__(schema)
        self.encoders = nn.ModuleDict({"record": nn.Identity()})
        self.tap, self.strength = Tap("how much the second column counts"), strength

    def fuse(self, features):
        x = features["record"]
        gate = self.tap(torch.sigmoid(4 * x[:, :1]) - 0.5)
        return {"lesion": self.strength * gate * x[:, 1:2]}


def made(spec, *modalities, task=LESION):
    torch.manual_seed(0)
    return build(FusionModel, spec, Schema(modalities, (task,))).eval()


def batch(count=24, task=LESION, modalities=(IMAGE, RECORD)):
    draw = torch.Generator().manual_seed(0)
    inputs = {m.name: torch.randn(count, *m.shape, generator=draw) for m in modalities}
    x = inputs["record"]
    target = (x[:, 0] * x[:, 1] > 0).float()
    if task.kind == "multilabel":
        target = torch.stack([target, (x[:, 2] > 0).float()], dim=1)
    elif task.kind == "multiclass":
        target = target + (x[:, 2] > 0.5)
    elif task.kind == "regression":
        target = x.sum(dim=1)
    ids = [f"case {k}" for k in range(count)]
    groups = [f"patient {k // 2}" for k in range(count)]
    return Batch(ids, groups, inputs, {"lesion": target})


def of(model, whole, size=7, **settings):
    """The gates of all cases of a batch, some at a time."""
    parts = [range(start, min(start + size, len(whole))) for start in range(0, len(whole), size)]
    return gates_of(model, lambda: whole.batches(parts), **settings)


def rows(found, **where):
    table = found.ablation
    for column, value in where.items():
        table = table[table[column] == value]
    return table


def probability(model, inputs):
    with torch.no_grad():
        return torch.sigmoid(model(inputs)["lesion"][:, 0]).double().numpy()


def test_a_constant_gate_changes_nothing():
    model = made({**GATE, "gate": "constant"}, IMAGE, RECORD)
    found = of(model, batch())
    assert set(found.ablation["tap"]) == {"fusion.mix.alpha"} and set(found.ablation["held"]) == set(HELD)
    assert (found.ablation["change"] < 1e-6).all() and (found.ablation["difference"] == 0).all()
    assert (found.coefficients[["mean", "min", "max"]] == 1).all(axis=None)
    assert (found.coefficients["sd"] == 0).all()


def test_a_gate_that_the_answer_hangs_on_is_missed_where_it_is_held():
    model = Gated(Schema((RECORD,), (LESION,)), strength=20.0).eval()
    found = of(model, batch(60, modalities=(RECORD,)))
    row = rows(found, held=HELD[0], statistic="AUROC").iloc[0]
    assert row["score"] == 1.0 and row["score_held"] < 0.8 and row["change"] > 0.2
    assert 0 < row["low"] < row["difference"] < row["high"] and row["n"] == 60 and row["why"] == ""
    assert row["says"] == "how much the second column counts" and row["of"] == "channels"


@pytest.mark.parametrize(
    "spec",
    [GMU, {"name": "drifa", "widths": [8, 16], "depths": [1, 1]}],
    ids=["in fuse", "in encoders"],
)
def test_ablation_is_what_hold_gives_case_by_case(spec):
    """A slow twin: all cases one by one, scikit-learn's scores, each draw of patients spelled out."""
    model, whole = made(spec, IMAGE, RECORD), batch()
    if spec["name"] == "drifa":
        torch.manual_seed(1)
        for parameter in model.parameters():  # untrained repaired gates pass 1 and would hide a mistake
            parameter.data += 0.1 * torch.randn_like(parameter)
    found = of(model, whole, resamples=9, seed=5)
    truth = whole.targets["lesion"].numpy()
    names = list(taps(model))
    assert any(name.startswith("encoders.") for name in names) == (spec["name"] == "drifa")
    passed = {name: [] for name in names}
    for at in range(len(whole)):
        with torch.no_grad(), watch(model) as seen:
            model(whole.take([at]).inputs)
        for name in names:
            passed[name].append(seen[name])
    means = {name: torch.stack(values).mean(dim=0) for name, values in passed.items()}
    numbers = {name: torch.stack(values).mean().item() for name, values in passed.items()}
    free = probability(model, whole.inputs)
    for tap in [names[0], names[-1], *([ALL] if len(names) > 1 else [])]:
        for way, values in zip(HELD, (means, numbers), strict=True):
            with hold(model, values if tap == ALL else {tap: values[tap]}):
                p = np.concatenate([probability(model, whole.take([at]).inputs) for at in range(len(whole))])
            each = rows(found, tap=tap, held=way).set_index("statistic")
            assert each["change"].iloc[0] == pytest.approx(np.abs(p - free).mean(), rel=1e-3, abs=1e-6)
            scores = {
                "AUROC": roc_auc_score,
                "balanced accuracy": lambda y, q, sample_weight=None: balanced_accuracy_score(
                    y, q > 0.5, sample_weight=sample_weight
                ),
                "Brier score": brier_score_loss,
            }
            for name, score in scores.items():
                own, other = score(truth, free), score(truth, p)
                assert each.loc[name, "score"] == pytest.approx(own, abs=1e-5)
                assert each.loc[name, "score_held"] == pytest.approx(other, abs=1e-5)
                assert each.loc[name, "difference"] == pytest.approx(own - other, abs=1e-5)
                drawn = [
                    score(truth, free, sample_weight=w) - score(truth, p, sample_weight=w)
                    for w in draws(whole.groups, 9, 5)
                ]
                limits = np.percentile(drawn, [2.5, 97.5])
                np.testing.assert_allclose(each.loc[name, ["low", "high"]].astype(float), limits, atol=1e-5)
    table = found.coefficients.set_index(["tap", "id"])
    assert len(table) == len(names) * len(whole) and found.ablation["change"].max() > 1e-3
    for name in names:
        for at in (0, 23):
            values = passed[name][at].numpy()
            expected = [values.mean(), values.std(), values.min(), values.max()]
            got = table.loc[(name, f"case {at}"), ["mean", "sd", "min", "max"]].astype(float)
            np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("kind", ["multiclass", "multilabel", "regression"])
def test_other_kinds_of_task_have_their_own_scores(kind):
    task = Task("lesion", kind, () if kind == "regression" else tuple("abc")[: 2 + (kind == "multiclass")])
    model, whole = made(GMU, IMAGE, RECORD, task=task), batch(task=task)
    found = of(model, whole, resamples=20)
    expected = {
        "multiclass": {"AUROC", "balanced accuracy", "Brier score"},
        "multilabel": {"AUROC", "Brier score"},
        "regression": {"mean absolute error", "R2"},
    }
    assert set(found.ablation["statistic"]) == expected[kind]
    numbers = found.ablation[["score", "score_held", "low", "high", "change"]]
    assert np.isfinite(numbers.to_numpy(dtype=float)).all() and (found.ablation["why"] == "").all()
    with hold(model, {"tap": float(found.coefficients["mean"].mean())}), torch.no_grad():
        held = model(whole.inputs)["lesion"]
    with torch.no_grad():
        free = model(whole.inputs)["lesion"]
    turn = {"multiclass": lambda x: x.softmax(1), "multilabel": torch.sigmoid, "regression": torch.clone}[
        kind
    ]
    apart = (turn(free) - turn(held)).abs()
    apart = (apart.sum(1) / 2 if kind == "multiclass" else apart.mean(1)).mean().item()
    assert rows(found, held=HELD[1])["change"].iloc[0] == pytest.approx(apart, rel=1e-3) and apart > 1e-3


def test_what_cannot_be_told_says_why():
    model, whole = Gated(Schema((RECORD,), (LESION,))).eval(), batch(8, modalities=(RECORD,))
    one = Batch(whole.ids, ["p"] * 8, whole.inputs, whole.targets)
    assert (
        of(model, one)
        .ablation["why"]
        .eq("all of these cases are one patient's, so there is no interval")
        .all()
    )
    table = of(model, one).ablation
    assert table["why"].eq("all of these cases are one patient's, so there is no interval").all()
    assert table["low"].isna().all() and table["score"].notna().all()
    benign = Batch(whole.ids, whole.groups, whole.inputs, {"lesion": torch.zeros(8)})
    table = of(model, benign).ablation
    assert table["why"].eq("these cases are not of two classes").all() and table["score"].isna().all()
    assert (table["change"] > 0).all() and (table["n"] == 8).all()
    unknown = Batch(whole.ids, whole.groups, whole.inputs, {"lesion": torch.full((8,), torch.nan)})
    table = of(model, unknown).ablation
    assert (table["n"] == 0).all() and table["score"].isna().all() and (table["change"] > 0).all()
    some = whole.targets["lesion"].clone()
    some[3] = torch.nan
    table = of(model, Batch(whole.ids, whole.groups, whole.inputs, {"lesion": some})).ablation
    assert (table["n"] == 7).all()
    with pytest.raises(InputError, match="The model concat has no gates and no attention to hold"):
        of(made({"name": "concat", "image": {"name": "residual", "widths": [4]}}, IMAGE, RECORD), batch(4))


@pytest.fixture(scope="module")
def gated(tmp_path_factory):
    """A run of the attention gate, trained for one epoch."""
    out = tmp_path_factory.mktemp("gated")
    cohort = {"name": "breast_phantom", "count": 60, "size": 64}
    recipe = {"name": "gated", "dataset": cohort, "model": GATE, "training": {"epochs": 1}, "only": [0]}
    train(Recipe.from_json(recipe), out)
    return Run(out / "gated" / "fold-0")


def test_a_runs_gates_are_kept_in_its_folder(gated, tmp_path):
    run = Run(shutil.copytree(gated.folder, tmp_path / "fold-0"))
    with pytest.raises(InputError, match="holds no table of its gates; make it with"):
        read_gates(run)
    asked = []
    made_now = gates(run, cases=8, resamples=20, watch=lambda items: asked.append(1) or iter(items))
    assert asked and is_there(run)
    assert is_current(run, 8, resamples=20) and not is_current(run, 9, resamples=20)
    assert set(made_now.coefficients["id"]) <= set(run.test_ids) and len(made_now.coefficients) == 8
    asked.clear()
    again = gates(run, cases=8, resamples=20, watch=lambda items: asked.append(1) or iter(items))
    assert not asked
    pd.testing.assert_frame_equal(made_now.coefficients, again.coefficients)
    pd.testing.assert_frame_equal(made_now.ablation, again.ablation)
    whole = run.prepared.load(list(made_now.coefficients["id"]))
    fresh = of(run.model(), whole, resamples=20)
    pd.testing.assert_frame_equal(fresh.ablation, again.ablation, check_dtype=False, rtol=1e-4, atol=1e-6)
    pd.testing.assert_frame_equal(
        fresh.coefficients, again.coefficients, check_dtype=False, rtol=1e-4, atol=1e-6
    )
    everyone = gates(run, resamples=20)
    assert set(everyone.coefficients["id"]) == set(run.test_ids)


def test_other_weights_and_damaged_files_make_them_old(gated, tmp_path):
    run = Run(shutil.copytree(gated.folder, tmp_path / "fold-0"))
    for name, content in ((FILE, b"PAR1 nothing"), (ABLATION, b"# {}\ntap\n"), (ABLATION, b"\xff\xfe")):
        gates(run, cases=4, resamples=5)
        (run.folder / name).write_bytes(content)
        assert not is_there(run) and not is_current(run, 4, resamples=5)
    gates(run, cases=4, resamples=5)
    weights = run.folder / "weights.safetensors"
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    assert not is_there(Run(run.folder)) and len(read_gates(run).coefficients) == 4
    with pytest.raises(InputError, match="'cases' and 'resamples' of gates are 1 or more, not 0 and 5"):
        gates(run, cases=0, resamples=5)
