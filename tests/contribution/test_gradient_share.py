"""Integrated gradients' shares against a linear model's closed form, a walk in small steps, and the maps of
studykit's own models.
"""

import numpy as np
import pytest
import torch

from studykit.case import Batch, Modality, Schema, Task
from studykit.catalog import InputError, build
from studykit.contribution import Question
from studykit.contribution.gradient_share import GradientShare
from studykit.explain import IntegratedGradients
from studykit.models import FusionModel
from tests.contribution.twin import Mixed, normal

TEXT = Modality("report", "text", (7,), vocabulary=tuple("abcdefgh"))
SCHEMA = (Modality("image", "image", (1, 16, 16), absent=0.4), TEXT, Modality("record", "table", (3,)))
NETWORK = {"name": "concat", "image": {"name": "residual", "widths": [4, 8]}, "dropout": 0.0}


def asked(model, inputs, steps=64, **settings):
    """The table by (statistic, group)."""
    table = GradientShare(steps=steps).table(Question(model, inputs, resamples=50, **settings))
    return table.set_index(["statistic", "group"])


def shares(table):
    return table.loc["share", "estimate"].to_dict()


def test_a_linear_models_shares_in_closed_form():
    inputs = {"image": normal(5, 1, 4, 4), "record": normal(5, 3, seed=1)}
    w, v = normal(16, 2, seed=2), normal(3, 2, seed=3)
    found = asked(lambda image, record: image.flatten(1) @ w + record @ v, inputs, 2, fill={"record": 0.5})
    size = {
        "image": (inputs["image"].flatten(1)[..., None] * w).abs().sum(),
        "record": ((inputs["record"] - 0.5)[..., None] * v).abs().sum(),
    }
    for name, share in shares(found).items():
        assert share == pytest.approx(float(size[name] / sum(size.values())), abs=1e-6)
    assert found.loc[("completeness error", ""), "estimate"] < 1e-6


def test_a_walk_in_small_steps_gives_the_same():
    """The slopes at 500 points of the way, output by output; intervals, too."""
    inputs = {"image": normal(4, 1, 4, 4), "record": normal(4, 3, seed=1)}
    model, fill = Mixed(inputs, 2), {"image": -0.3, "record": 0.2}
    question = Question(model, inputs, fill=fill, resamples=50)
    found = GradientShare().table(question).set_index(["statistic", "group"])
    sizes = np.zeros((4, 2))
    for k in range(2):
        sums = {name: torch.zeros_like(x) for name, x in inputs.items()}
        for step in range(500):
            t = (step + 0.5) / 500
            at = {name: (fill[name] + t * (x - fill[name])).requires_grad_() for name, x in inputs.items()}
            slopes = torch.autograd.grad(model(**at)[:, k].sum(), list(at.values()))
            for (name, x), slope in zip(inputs.items(), slopes, strict=True):
                sums[name] += slope * (x - fill[name]) / 500
        sizes += np.stack([a.abs().flatten(1).sum(1).numpy() for a in sums.values()], axis=1)
    drawn = (question.weights @ sizes)[:, 0] / (question.weights @ sizes.sum(axis=1))
    row = found.loc[("share", "image")]
    assert row["estimate"] == pytest.approx(sizes.mean(0)[0] / sizes.mean(0).sum(), abs=1e-5)
    np.testing.assert_allclose(row[["low", "high"]].tolist(), np.percentile(drawn, [2.5, 97.5]), atol=1e-5)
    assert found.loc[("completeness error", ""), "estimate"] < 1e-6


@pytest.mark.parametrize("task", [Task("t", "binary", ("n", "y")), Task("t", "multiclass", tuple("uvw"))])
def test_of_our_models_it_is_the_share_of_the_stored_maps(task):
    """Texts as well, and cases that lack a modality."""
    torch.manual_seed(0)
    network = build(FusionModel, NETWORK, Schema(SCHEMA, (task,))).eval()
    inputs = {
        "image": torch.rand(3, 1, 16, 16),
        "report": torch.tensor([[3.0, 2, 5, 5, 0, 0, 0], [2.0, 4, 0, 0, 0, 0, 0], [torch.nan] * 7]),
        "record": torch.randn(3, 3),
    }
    inputs["image"][1] = torch.nan
    maps = IntegratedGradients(steps=32)(network, Batch(list("abc"), list("abc"), inputs, {})).maps
    size = {name: np.abs(values).sum() for name, values in maps.items()}
    found = asked(network, inputs, 32)
    assert min(size.values()) > 0
    for name, share in shares(found).items():
        assert share == pytest.approx(size[name] / sum(size.values()), abs=1e-5)


def test_several_labels_are_each_walked():
    """A model of two labels whose logits hang on one modality each."""
    inputs = {"a": torch.full((3, 1), 2.0), "b": torch.full((3, 1), -1.0)}
    task = Task("t", "multilabel", ("u", "v"))
    found = asked(lambda a, b: torch.cat([a, b], dim=1), inputs, task=task, output="sigmoid")
    assert shares(found) == pytest.approx({"a": 2 / 3, "b": 1 / 3})


def test_words_are_walked_from_what_stands_in_for_them():
    """A sum of embedded words: each is worth its numbers less those of the unknown word."""
    torch.manual_seed(0)

    class Reader(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.embed = torch.nn.Embedding(9, 4)
            self.eval()

        def word_layers(self):
            return {"text": self.embed}

        def forward(self, text, record):
            return (self.embed(text) * (text > 0)[..., None]).sum((1, 2)) + record.sum(1)

    model, words = Reader(), torch.tensor([[3, 4, 5, 0], [2, 8, 0, 0]])
    found = asked(model, {"text": words, "record": torch.ones(2, 3)}, fill={"text": "mask", "record": 0})
    worth = (model.embed.weight[words] - model.embed.weight[1]).sum(2).detach()
    size = float((worth * (words > 0)).abs().sum())
    assert shares(found)["text"] == pytest.approx(size / (size + 6), abs=1e-6)


def test_a_modality_that_the_model_ignores_has_no_share_at_all():
    inputs = {"a": torch.rand(3, 4), "b": torch.rand(3, 4)}
    assert shares(asked(lambda a, b: a.sum(1), inputs)) == {"a": 1.0, "b": 0.0}


def test_a_model_with_jumps_betrays_itself_by_its_completeness():
    inputs = {"a": normal(6, 2), "b": normal(6, 2, seed=1)}
    found = asked(lambda a, b: (a > 0).double().sum(1) + 0 * b.sum(1), inputs)
    assert found.loc["share", "why"].tolist() == ["nothing moved"] * 2
    row = found.loc[("completeness error", "")]
    assert row["estimate"] == pytest.approx(1) and "do not lean" in row["why"]


def test_functions_without_slopes_get_a_reason():
    inputs = {"a": normal(3, 2), "b": normal(3, 2, seed=1)}

    def left(a, b):
        return torch.from_numpy(np.asarray(a) + np.asarray(b))

    @torch.no_grad()
    def blind(a, b):
        return a + b

    for model in (left, blind, lambda a, b: torch.ones(len(a), requires_grad=True)):
        table = asked(model, inputs)
        assert table["estimate"].isna().all() and table["why"].str.contains("no gradient").all()
        assert table.loc["share"].index.tolist() == ["a", "b"]


def test_a_foreign_models_words_and_whole_numbers_get_a_reason_of_their_own():
    words, ages = torch.tensor([[3, 4], [2, 0]]), torch.tensor([[40], [60]])
    kinds = {"age": Modality("age", "table", (1,))}
    inputs = {"a": torch.ones(2, 2), "b": torch.full((2, 1), -2.0), "text": words, "age": ages}

    def model(a, b, text, age):
        return a.sum(1) + 2 * b.sum(1) + text.sum(1) + age.sum(1)

    found = asked(model, inputs, modalities=kinds)
    assert found.loc[("share", "text"), "why"].startswith("there is no way between two words")
    assert found.loc[("share", "age"), "why"].startswith("there is no way between whole numbers")
    assert np.isnan(shares(found)["text"]) and np.isnan(shares(found)["age"])
    assert shares(found)["a"] == pytest.approx(1 / 3)
    assert found.loc[("share", "a"), "why"] == "among the modalities but text and age"
    pair = {"a": inputs["a"], "text": words}
    alone = asked(lambda a, text: a.sum(1) + text.sum(1), pair)  # nothing to share the rest with
    assert alone["estimate"].isna().all() and alone["why"].str.contains("text|words").all()


def test_inputs_in_order_slopes_that_are_no_numbers_and_settings():
    pair = [torch.rand(40, 2) + 1, torch.rand(40, 1)]

    def model(first, second):
        return first.sum(1) * second.sum(1)

    question = Question(model, pair, resamples=20)
    few = GradientShare(steps=4, cases=20)
    table = few.table(question)
    assert table.equals(few.table(question)) and table["n"].tolist() == [20, 20, 20]
    assert question.forwards >= 20 * 4
    broken = GradientShare().table(Question(lambda a, b: (a - a).sqrt().sum(1) + b.sum(1), pair))
    assert broken["why"].tolist() == ["a gradient is not a number; look at the inputs and the weights"] * 2
    assert broken["estimate"].isna().all()
    for wrong in ({"steps": 1}, {"cases": 0}):
        with pytest.raises(InputError, match=next(iter(wrong))):
            GradientShare(**wrong)
