"""What every neighbour of the catalogue must do; membership is enough to be tested here."""

import importlib
import pkgutil
import re

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

import studykit.contribution as room
from studykit.case import Modality, Schema, Task
from studykit.catalog import build, settings_of, spec
from studykit.contribution import Neighbour, Question, beside
from studykit.contribution.neighbour import COLUMNS
from studykit.models import FusionModel

for _, _file, _ in pkgutil.iter_modules(room.__path__):
    importlib.import_module(f"{room.__name__}.{_file}")
CATALOGUE = {
    name: cls for name, cls in Neighbour.catalogue.items() if cls.__module__.startswith(room.__name__)
}

COUNT = 24
IMAGE = Modality("image", "image", (1, 8, 8), absent=0.3)
RECORD = Modality("record", "table", (3,), ("Age", "Size", "Side"))
TASKS = {
    "binary": Task("lesion", "binary", ("benign", "malignant")),
    "multiclass": Task("lesion", "multiclass", ("a", "b", "c")),
    "multilabel": Task("lesion", "multilabel", ("a", "b")),
    "regression": Task("lesion", "regression", scale=(5.0, 2.0)),
}
MODELS = {"ours": "concat", "ours, that drops what is missing": "late", "foreign": ""}


class Foreign(nn.Module):
    """Somebody's model: logits of the modalities by name, which it mixes."""

    def __init__(self, outputs):
        super().__init__()
        self.first, self.second = nn.Linear(64, 6), nn.Linear(3, 6)
        self.last = nn.Linear(6, outputs)

    def forward(self, image, record):
        return self.last(torch.tanh(self.first(image.flatten(1))) * self.second(record))


class Constant(nn.Module):
    """A model that looks at nothing."""

    def forward(self, image, record):
        return torch.full((len(image), 1), 0.4)


def model(which, kind="binary"):
    torch.manual_seed(1)
    task = TASKS[kind]
    if which == "foreign":
        return Foreign(task.outputs).eval()
    encoder = {"name": "residual", "widths": [4, 8]}
    settings = {"hidden": 8} if MODELS[which] == "concat" else {}
    schema = Schema((IMAGE, RECORD), (task,))
    return build(FusionModel, {"name": MODELS[which], "image": encoder, **settings}, schema).eval()


def cases(kind="binary"):
    """(inputs, targets, ids, patients): two cases a patient; every class is there."""
    draw = torch.Generator().manual_seed(0)
    inputs = {
        "image": torch.rand(COUNT, 1, 8, 8, generator=draw),
        "record": torch.randn(COUNT, 3, generator=draw),
    }
    told = inputs["record"][:, 0] + torch.randn(COUNT, generator=draw) / 2
    targets = {
        "binary": (told > 0).float(),
        "multiclass": (told.argsort().argsort() // 8).float(),
        "multilabel": torch.stack([told > 0, told < 0.5], dim=1).float(),
        "regression": 5 + told,
    }[kind]
    return inputs, targets, [f"case-{k:02d}" for k in range(COUNT)], [f"p{k // 2}" for k in range(COUNT)]


def ask(which, kind="binary", keep=None, **settings):
    """A question, of the cases at the positions `keep` in this order."""
    inputs, targets, ids, groups = cases(kind)
    keep = list(range(COUNT)) if keep is None else keep
    usual = {
        "targets": targets[keep],
        "ids": [ids[k] for k in keep],
        "groups": [groups[k] for k in keep],
        "parts": {"image": 4},
        "resamples": 20,
    }
    if which == "foreign":
        usual |= {"task": TASKS[kind]}
    asked = settings.pop("model", None) or model(which, kind)
    inputs = settings.pop("inputs", None) or {name: x[keep] for name, x in inputs.items()}
    return Question(asked, inputs, **{**usual, **settings})


def check(table):
    """Columns, and in every row an estimate or the reason why there is none."""
    assert list(table.columns) == COLUMNS and len(table)
    for row in table.itertuples():
        assert row.statistic and isinstance(row.statistic, str) and isinstance(row.group, str)
        assert np.isfinite(row.estimate) or (np.isnan(row.estimate) and row.why), row
        assert not (row.why and np.isfinite(row.estimate)), row
        assert np.isnan(row.low) == np.isnan(row.high) and not row.low > row.high, row
        assert 0 <= row.n <= COUNT and row.n == int(row.n)
    assert not table.duplicated(["statistic", "group"]).any()


@pytest.fixture(params=sorted(CATALOGUE))
def neighbour(request):
    return CATALOGUE[request.param]()


def test_it_says_what_it_is_and_is_in_the_room(neighbour):
    assert neighbour.title and neighbour.cost and isinstance(neighbour.labels, bool)
    assert re.fullmatch(r"[A-Z][^.?]*\?", neighbour.asks), "asks is one question, in a sentence"
    assert build(Neighbour, spec(neighbour)) == neighbour
    assert type(neighbour).__name__ in room.__all__, "import it in studykit/contribution/__init__.py"


@pytest.mark.parametrize("which", MODELS)
@pytest.mark.parametrize("kind", TASKS)
def test_every_row_has_an_estimate_or_a_reason(neighbour, which, kind):
    question = ask(which, kind)
    table = neighbour.table(question)
    check(table)
    if not neighbour.suits(question):
        assert table["estimate"].notna().any()
        assert table["low"].notna().any(), "an interval over patients"


def test_a_model_that_looks_at_nothing(neighbour):
    table = neighbour.table(ask("foreign", model=Constant().eval()))
    check(table)
    assert table.loc[table["statistic"] == "share", "estimate"].isna().all()


def test_cases_of_one_patient_have_no_interval(neighbour):
    table = neighbour.table(ask("ours", groups=["p"] * COUNT))
    check(table)
    assert table["low"].isna().all()


def test_without_labels_the_ones_that_need_them_say_so(neighbour):
    missing = torch.full((COUNT,), torch.nan)
    for question in (ask("ours", targets=None), ask("ours", targets=missing)):
        table, before = neighbour.table(question), question.forwards
        check(table)
        if neighbour.labels:
            assert len(table) == 1 and "labels" in table["why"].item() and before == 0
        else:
            assert table["estimate"].notna().any()


def test_without_the_task_the_ones_that_need_it_say_so(neighbour):
    table = neighbour.table(ask("foreign", task=None))
    check(table)
    if neighbour.labels:
        assert len(table) == 1 and "give 'task'" in table["why"].item()


def test_some_labels_are_enough_and_are_counted(neighbour):
    targets = cases()[1]
    targets[3::4] = torch.nan
    table = neighbour.table(ask("ours", targets=targets))
    check(table)
    if neighbour.labels:
        assert (table["n"] == 18).all()
        assert table["estimate"].notna().all()


def test_a_model_of_one_modality_gets_a_sentence(neighbour):
    torch.manual_seed(0)
    alone = nn.Sequential(nn.Flatten(), nn.Linear(64, 1)).eval()
    question = ask("foreign", model=alone, inputs=[cases()[0]["image"]], parts=None)
    table = neighbour.table(question)
    check(table)
    assert len(table) == 1 and "nothing to share" in table["why"].item() and question.forwards == 0


def test_the_order_of_the_cases_does_not_matter(neighbour):
    if "permutations" in settings_of(type(neighbour)):
        pytest.skip("it draws orders of parts case by case, so that its estimate varies with the draw")
    order = np.random.default_rng(0).permutation(COUNT).tolist()
    one, other = (neighbour.table(ask("ours", keep=keep)) for keep in (None, order))
    pd.testing.assert_frame_equal(one, other, rtol=1e-4, atol=1e-5)


def test_a_modality_that_a_case_lacks_cannot_be_taken_from_it(neighbour):
    """Where all cases lack the record, its share is nothing, also in a model that drops what is missing."""
    for which in ("ours", "ours, that drops what is missing"):
        inputs = {"image": cases()[0]["image"], "record": torch.full((COUNT, 3), torch.nan)}
        table = neighbour.table(ask(which, inputs=inputs))
        check(table)
        shares = table[table["statistic"] == "share"].set_index("group")["estimate"]
        assert shares.get("record", 0.0) == 0.0 and shares.get("image", 1.0) == 1.0
        changes = table[table["statistic"].str.startswith("change of") & (table["group"] == "without record")]
        assert (changes["estimate"] == 0.0).all()


FORMULA = re.compile(r"(at most )?([NMhR\d\s()+^]+)(,.*)?")


def promised(neighbour, question):
    """(whether it may be less, rows) of `cost`, where it is a formula in N, M, h and R repeats; else None."""
    match, settings = FORMULA.fullmatch(neighbour.cost), settings_of(type(neighbour))
    if not match or ("R" in match[2] and "repeats" not in settings):
        return None
    letters = {
        "N": question.count,
        "M": len(question.modalities),
        "h": sum(len(cut.names) for cut in question.asking.cuts.values()),
        "R": settings.get("repeats"),
    }
    formula = match[2].strip().replace("^", "**")
    return bool(match[1]), eval(re.sub(r"(?<=[\w)])\s+(?=[\w(])", " * ", formula), letters)  # noqa: S307


def test_it_asks_as_much_as_it_promises(neighbour):
    for which in ("ours", "foreign"):
        question = ask(which)
        neighbour.table(question)
        cost = promised(neighbour, question)
        assert question.forwards > 0
        if cost is not None:
            assert question.forwards <= cost[1] if cost[0] else question.forwards == cost[1]


def test_the_reader_of_costs_reads():
    costs = {neighbour.name: promised(neighbour(), ask("ours")) for neighbour in CATALOGUE.values()}
    assert costs["occlusion"] == (False, COUNT * (1 + 4 + 3))
    assert costs["whole_occlusion"] == (False, COUNT * 3)
    assert costs["shapley"] == costs["shape_score"] == (False, COUNT * 4)
    assert costs["missing"] == (True, COUNT * 5) and costs["perceptual"] == (False, COUNT * (1 + 5 * 2))


def test_all_beside_each_other_share_what_was_asked():
    question, apart = ask("ours"), {name: ask("ours") for name in CATALOGUE}
    together = beside(question, [cls() for cls in CATALOGUE.values()])
    for name, cls in CATALOGUE.items():
        alone = cls().table(apart[name])
        rows = together[together["measure"] == cls.title]
        pd.testing.assert_frame_equal(rows[COLUMNS].reset_index(drop=True), alone)
        assert (rows["forwards"] <= apart[name].forwards).all()
    assert question.forwards == together.groupby("measure")["forwards"].first().sum()
    assert question.forwards < sum(other.forwards for other in apart.values())
