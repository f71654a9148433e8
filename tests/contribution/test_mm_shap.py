"""MM-SHAP against Shapley values by enumeration, Captum's sampling, and closed forms."""

from itertools import combinations
from math import comb

import numpy as np
import pytest
import torch
from captum.attr import ShapleyValueSampling

from studykit.case import Modality
from studykit.catalog import InputError
from studykit.contribution import Question, WholeOcclusion
from studykit.contribution.few_cases import FewCases
from studykit.contribution.mm_shap import MMSHAP, parts_shapley
from tests.contribution.twin import Mixed, normal

PARTS = {"image": 2}


def small(count=3):
    """A picture of 4 patches and a record of 3 columns."""
    inputs = {"image": normal(count, 1, 4, 4), "record": normal(count, 3, seed=1)}
    return Mixed(inputs, 2), inputs


def exact(model, inputs, case):
    """Shapley values (7, 2) of a case's 4 patches of 2 x 2 and 3 columns, filled with 0, by their sum."""

    def worth(kept):
        image, record = torch.zeros(1, 1, 4, 4).double(), torch.zeros(1, 3).double()
        for part in kept:
            if part < 4:
                rows, columns = part // 2 * 2, part % 2 * 2
                here = slice(rows, rows + 2), slice(columns, columns + 2)
                image[0, 0][here] = inputs["image"][case, 0][here]
            else:
                record[0, part - 4] = inputs["record"][case, part - 4]
        return model(image=image, record=record).detach().numpy()[0]

    phi = np.zeros((7, 2))
    for part in range(7):
        others = [k for k in range(7) if k != part]
        for size in range(7):
            for some in combinations(others, size):
                phi[part] += (worth((*some, part)) - worth(some)) / (7 * comb(6, size))
    return phi


@pytest.fixture(scope="module")
def known():
    model, inputs = small()
    return model, inputs, exact(model, inputs, 1)


def test_sampled_orders_come_within_three_standard_errors_of_every_order(known):
    model, inputs, wanted = known
    question, draw = Question(model, inputs, parts=PARTS), np.random.default_rng(0)
    several = np.stack(
        [np.concatenate(list(parts_shapley(question, 1, 2, draw).values())) for _ in range(60)]
    )
    error = several.std(axis=0, ddof=1) / np.sqrt(60)
    assert (np.abs(wanted) > 9 * error).sum() >= 8  # the test can tell
    assert (np.abs(several.mean(axis=0) - wanted) <= 3 * error).all()
    everything, nothing = (question.with_only(names)[0][1] for names in (inputs, ()))
    np.testing.assert_allclose(several.sum(axis=1), np.tile(everything - nothing, (60, 1)), atol=1e-12)


def test_captum_samples_the_same_values(known):
    model, inputs, wanted = known
    torch.manual_seed(0)
    ids = torch.arange(4).view(2, 2).repeat_interleave(2, 0).repeat_interleave(2, 1)[None, None]
    found = ShapleyValueSampling(lambda image, record: model(image=image, record=record)).attribute(
        tuple(x[[1]] for x in inputs.values()),
        target=0,
        feature_mask=(ids, 4 + torch.arange(3)[None]),
        n_samples=200,
    )
    theirs = np.r_[found[0][0, 0, ::2, ::2].flatten(), found[1][0]]
    phi = parts_shapley(Question(model, inputs, parts=PARTS), 1, 200, np.random.default_rng(1))
    ours = np.concatenate(list(phi.values()))[:, 0]
    assert np.abs(wanted[:, 0]).max() > 0.05
    np.testing.assert_allclose(theirs, ours, atol=0.02 * np.abs(wanted).max())
    np.testing.assert_allclose(ours, wanted[:, 0], atol=0.02 * np.abs(wanted).max())


def test_the_share_is_the_mean_over_cases_of_their_ratios():
    """A linear model, whose parts are worth the same in every order; intervals by drawing the cases."""
    inputs = {"a": normal(8, 3), "b": normal(8, 2, seed=1)}
    w, v = torch.tensor([1.0, -2.0, 0.5]).double(), torch.tensor([0.3, 1.0]).double()
    question = Question(lambda a, b: a @ w + b @ v, inputs, fill=0.25, resamples=40)
    table = MMSHAP().table(question).set_index("group")
    of_a = ((inputs["a"] - 0.25) * w).abs().sum(1)
    of_b = ((inputs["b"] - 0.25) * v).abs().sum(1)
    ratios = (of_a / (of_a + of_b)).numpy()
    assert table.loc["a", "estimate"] == pytest.approx(ratios.mean(), abs=1e-12)
    assert table["estimate"].sum() == pytest.approx(1)
    drawn = [np.average(ratios, weights=w) for w in question.weights]
    np.testing.assert_allclose(table.loc["a", ["low", "high"]].tolist(), np.percentile(drawn, [2.5, 97.5]))


def test_two_parts_that_say_the_same_share_it_where_occlusion_sees_nothing():
    inputs = {"a": torch.ones(4, 1), "b": torch.ones(4, 1)}
    question = Question(lambda a, b: torch.maximum(a, b), inputs)
    assert WholeOcclusion().table(question)["why"].tolist() == ["nothing moved"] * 2
    assert MMSHAP().table(question)["estimate"].tolist() == [0.5, 0.5]


def test_a_modality_that_the_model_ignores_has_no_share_at_all():
    inputs = {"image": torch.rand(6, 1, 8, 8), "record": torch.rand(6, 5)}
    torch.manual_seed(0)
    layer = torch.nn.Linear(64, 3).eval()
    found = MMSHAP().table(Question(lambda image, record: layer(image.flatten(1)), inputs))
    assert found["estimate"].tolist() == [1.0, 0.0]


def test_parts_that_are_their_fill_are_not_asked_and_get_nothing():
    model, inputs = small(2)
    inputs["record"][:, 1] = 0
    inputs["image"][1] = torch.nan  # this case lacks its picture
    model = Filled(model)
    question = Question(model, inputs, parts=PARTS)
    phi = parts_shapley(question, 1, 4, np.random.default_rng(0))
    assert not phi["image"].any() and not phi["record"][1].any() and phi["record"][[0, 2]].all()
    assert question.forwards == 2 + 4 * (2 - 1)


class Filled(torch.nn.Module):
    """A model that reads 0 where a number is missing."""

    def __init__(self, inside):
        super().__init__()
        self.inside = inside
        self.eval()

    def forward(self, image, record):
        return self.inside(image=image.nan_to_num(), record=record.nan_to_num())


def test_words_that_are_not_there_are_no_parts():
    words = torch.tensor([[3, 4, 5, 0], [2, 0, 0, 0]])
    worth = torch.tensor([0.0, 0, 1, 2, 3, 4])
    inputs = {"text": words, "record": torch.ones(2, 1)}
    question = Question(lambda text, record: worth[text].sum(1) + record[:, 0], inputs, resamples=10)
    phi = parts_shapley(question, 0, 2, np.random.default_rng(0))
    np.testing.assert_allclose(phi["text"][:, 0], [2, 3, 4, 0], atol=1e-6)
    share = MMSHAP().table(question).set_index("group")["estimate"]
    assert share["text"] == pytest.approx((9 / 10 + 1 / 2) / 2)


def test_cases_that_nothing_moves_are_left_out_and_where_all_are_there_is_a_reason():
    inputs = {"a": torch.tensor([[1.0], [0.0]]), "b": torch.tensor([[3.0], [0.0]])}
    found = MMSHAP().table(Question(lambda a, b: a + b, inputs))
    assert found["estimate"].tolist() == [0.25, 0.75]
    still = MMSHAP().table(Question(lambda a, b: 0 * a + 5, inputs))
    assert still["estimate"].isna().all() and set(still["why"]) == {"nothing moved"}
    with pytest.raises(InputError, match="not a number"):
        MMSHAP().table(Question(lambda a, b: a / b, inputs))


def test_of_many_cases_a_few_are_drawn_and_settings_are_checked():
    inputs = {"a": normal(30, 2), "b": normal(30, 2, seed=1)}
    model = Mixed(inputs, 1)
    question = Question(model, inputs, resamples=20, groups=[f"patient {k // 3}" for k in range(30)])
    first, again = (MMSHAP(cases=9).table(question) for _ in range(2))
    assert first.equals(again) and first["n"].tolist() == [9, 9]
    assert (first["low"] < first["estimate"]).all()
    assert len(FewCases(question, 9)) == 9
    turned = Question(
        model,
        {name: x.flip(0) for name, x in inputs.items()},
        resamples=20,
        ids=[str(k) for k in range(30)][::-1],
    )
    other = MMSHAP(cases=9).table(turned)  # the same cases in another order
    np.testing.assert_allclose(first["estimate"].tolist(), other["estimate"].tolist(), atol=1e-12)
    one = Question(model, inputs, groups=["the same"] * 30)
    assert MMSHAP(cases=3).table(one)["low"].isna().all()
    for wrong in ({"permutations": 3}, {"permutations": 0}, {"cases": 0}):
        with pytest.raises(InputError, match=next(iter(wrong))):
            MMSHAP(**wrong)


def test_volumes_and_pictures_and_records_together():
    inputs = {
        "scan": normal(2, 1, 4, 4, 4),
        "image": normal(2, 1, 4, 4, seed=1),
        "record": normal(2, 3, seed=2),
    }
    kinds = {"record": Modality("record", "table", (3,), ("a", "b=x", "b=y"))}
    question = Question(Mixed(inputs, 2), inputs, parts={"scan": 2, "image": 2}, modalities=kinds)
    phi = parts_shapley(question, 0, 2, np.random.default_rng(0))
    assert [len(values) for values in phi.values()] == [8, 4, 2]
    assert MMSHAP().table(question)["estimate"].sum() == pytest.approx(1)
