"""Whatever cannot be asked gets one sentence that names the thing and the remedy."""

import re

import numpy as np
import pytest
import torch
from torch import nn

from studykit.case import Modality
from studykit.catalog import InputError, build
from studykit.contribution import Columns, Patches, modality_contribution
from studykit.contribution.fill import Blur
from studykit.models import FusionModel
from tests.contribution.twin import Mixed, normal
from tests.models.test_contract import batch, schema, small

INPUTS = {
    "image": normal(3, 2, 4, 6, seed=1),
    "record": normal(3, 5, seed=2),
    "text": torch.tensor([[1, 2, 3], [4, 5, 0], [6, 0, 0]]),
}
MODEL = Mixed(INPUTS, 2)
NAMED = {"record": Modality("record", "table", (5,), ("Age", "Sex=f", "Sex=m", "Side=l", "Side=r"))}
NOWHERE = torch.zeros(4, 6, dtype=torch.bool)
CORNER = NOWHERE.clone()
CORNER[0, 0] = True


def says(sentence, model=MODEL, inputs=INPUTS, **settings):
    with pytest.raises(InputError, match=re.escape(sentence)) as raised:
        modality_contribution(model, inputs, **settings)
    told = str(raised.value)
    assert told[-1] in ".?" and "\n" not in told


@pytest.mark.parametrize(
    ("mask", "sentence"),
    [
        (
            torch.zeros(2, 4, 6),
            "The mask of 'image' holds float32 numbers; it holds the whole number of the part",
        ),
        (torch.zeros(2, 4, 6, dtype=torch.bool), "The mask of 'image' holds bool numbers"),
        (torch.zeros(2, 4, 5).long(), "The mask of 'image' is (2, 4, 5) and its cases are (3, 2, 4, 6)"),
        (torch.zeros(4, 6).long(), "give a mask of one case's shape, or of all cases'"),
        (
            torch.zeros(2, 2, 4, 6).long(),
            "The mask of 'image' is (2, 2, 4, 6) and its cases are (3, 2, 4, 6)",
        ),
        (torch.zeros(1, 1, 1, 4, 6).long(), "The mask of 'image' is (1, 1, 1, 4, 6)"),
        (torch.tensor(3), "The mask of 'image' is ()"),
        (torch.full((2, 4, 6), -1), "The mask of 'image' has no part: no number in it is 0 or more"),
        (["a", "b"], "The parts of 'image' are neither a way to cut, nor a mask of numbers: ['a', 'b']"),
        (2.5, "The mask of 'image' holds float32 numbers"),
        ({"lesion": NOWHERE}, "The part 'lesion' of 'image' has no pixels; leave it out"),
        (
            {"lesion": CORNER.float()},
            "The part 'lesion' of 'image' is a mask of true and false of shape (4, 6)",
        ),
        ({"lesion": CORNER.long()}, "not int64 (4, 6)"),
        ({"lesion": CORNER[:3]}, "not bool (3, 6)"),
        ({"lesion": CORNER[0]}, "not bool (6,)"),
        ({"lesion": CORNER, "rim": CORNER}, "The part 'rim' of 'image' overlaps one before it; part them"),
        ({"lesion": CORNER.expand(2, 4, 6)}, "The masks of 'image' are of 2 cases, and there are 3"),
        ({"lesion": CORNER.expand(3, 4, 6), "rest": ~CORNER.expand(2, 4, 6)}, "of 2 cases, and there are 3"),
        ({"lesion": "yes"}, "nor a mask of numbers: 'yes'"),
        ({}, "'image' is given no part; name at least one"),
    ],
)
def test_masks_of_a_picture(mask, sentence):
    says(sentence, parts={"image": mask})


@pytest.mark.parametrize(
    ("wish", "sentence"),
    [
        (
            0,
            "Patches of 0 do not fit a picture of (4, 6); give one whole number of pixels, or one for",
        ),
        (-2, "Patches of -2 do not fit"),
        (Patches(2.5), "Patches of 2.5 do not fit"),
        (Patches((9, 9)), "Patches of (9, 9) do not fit"),
        (Patches((2, 2, 2)), "Patches of (2, 2, 2) do not fit"),
        ({"name": "patches", "side": 8}, "no setting of parts 'patches' named 'side'; did you mean size?"),
        ("patch", "There is no parts named 'patch'; did you mean patches?"),
        ("words", "'image' is image and cannot be cut into words; words are for text"),
        (Columns(), "'image' is image and cannot be cut into columns; columns are for table"),
    ],
)
def test_patches(wish, sentence):
    says(sentence, parts={"image": wish})


@pytest.mark.parametrize(
    ("wish", "sentence"),
    [
        ({"a": [0, 1], "b": [1]}, "A column of 'record' stands in the part 'b' and before it; name it once"),
        ({"a": ["Age", 0]}, "A column of 'record' stands in the part 'a' and before it"),
        ({"a": [0, -5]}, "A column of 'record' stands in the part 'a' and before it"),
        ({"a": []}, "The part 'a' of 'record' has no columns; leave it out"),
        ({}, "'record' is given no part; name at least one"),
        (Columns({}), "'record' is given no part; name at least one"),
        (Columns([[0], [1]]), "'record' is given no part; name at least one, with its columns"),
        ({"a": 5}, "'record' has 5 columns, counted from 0; there is no column 5"),
        ({"a": [1.5]}, "there is no column 1.5"),
        ({"a": [True, False, False, False, False]}, "there is no column True"),
        ({"a": "age"}, "There is no column of 'record' named 'age'; did you mean Age?"),
        (4, "'record' is table and cannot be cut into patches; patches are for image and volume"),
    ],
)
def test_columns(wish, sentence):
    says(sentence, parts={"record": wish}, modalities=NAMED)


def test_columns_may_be_numpys():
    asked = modality_contribution(MODEL, INPUTS, {"record": {"a": np.int64(1), "b": np.array([0, 2])}})
    assert asked.about["parts"]["record"]["groups"] == {"a": [1], "b": [0, 2]}


@pytest.mark.parametrize("wish", [{"a": [0]}, {"a": torch.ones(3, dtype=torch.bool)}])
def test_regions_of_a_text(wish):
    says("'text' is text, of which no regions can be named; give words or a mask", parts={"text": wish})


@pytest.mark.parametrize("what", ["parts", "fill", "reference"])
def test_a_modality_that_is_not_there(what):
    says(f"There is no modality (in '{what}') named 'picture'", **{what: {"picture": 4}})


def test_a_modality_that_is_not_there_in_modalities_and_encoders():
    says("There is no modality named 'x'", modalities={"x": NAMED["record"]})
    says("There is no modality named 'x'", encoders={"x": nn.Linear(2, 2)})
    says(
        "The encoder of 'image' is no part of the model; give a submodule of it",
        encoders={"image": nn.Linear(2, 2)},
    )


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"fill": {"record": "sample_mean"}}, "'record' is table and cannot be filled by sample_mean"),
        ({"fill": {"text": "sample_mean"}}, "'text' is text and cannot be filled by sample_mean"),
        ({"fill": {"record": "channel_mean"}}, "'record' is table and cannot be filled by channel_mean"),
        ({"fill": {"text": "blur"}}, "'text' is text and cannot be filled by blur"),
        ({"fill": {"text": "training_mean"}}, "'text' is text and cannot be filled by training_mean"),
        ({"fill": "mask"}, "'image' is image and cannot be filled by mask; mask is for text"),
        ({"fill": "zero"}, "There is no fill named 'zero'; there are: absent, value"),
        ({"fill": None}, 'A fill is written {"name": ..., settings}, not None'),
        ({"fill": {"image": torch.zeros(5)}}, "The fill of 'image' is (5,) and its cases are (3, 2, 4, 6)"),
        ({"fill": {"image": np.zeros((2, 2, 4, 6))}}, "The fill of 'image' is (2, 2, 4, 6) and its cases"),
        ({"fill": {"text": 0.5}}, "The fill of 'text' is a fraction and its numbers are whole"),
        ({"fill": {"image": Blur(-1.0)}}, "The fill blur of 'image' has no sigma of -1.0; give 0 or more"),
        ({"fill": {"image": float("nan")}}, "case '0' without y 0-0, x 0-0 of 'image' is not a number"),
        ({"fill": {"record": "training_mean"}}, "training_mean of 'record' needs training cases; give them"),
        (
            {"fill": {"record": "training_mean"}, "reference": {"record": torch.full((4, 5), torch.nan)}},
            "The fill training_mean of 'record' needs training cases that have it",
        ),
        (
            {"fill": {"image": "other_case"}, "reference": {"image": np.zeros((5, 2, 4, 5))}},
            "The fill of 'image' is (3, 2, 4, 5) and its cases are (3, 2, 4, 6)",
        ),
        (
            {"fill": {"image": "other_case"}, "reference": {"image": torch.full((5, 2, 4, 6), torch.nan)}},
            "The fill other_case of 'image' needs other cases that have it; give a reference",
        ),
        (
            {"modalities": {"record": Modality("record", "table", (5,), absent=(0.0, 1.0))}},
            "The fill of 'record' is (2,) and its cases are (3, 5)",
        ),
    ],
)  # fmt: skip
def test_fills(settings, sentence):
    says(sentence, **settings)


def test_one_case_has_no_other():
    says(
        "The fill other_case of 'image' needs other cases",
        inputs={n: x[:1] for n, x in INPUTS.items()},
        fill={"image": "other_case"},
    )


@pytest.mark.parametrize(
    ("output", "sentence"),
    [
        (
            "probability",
            "This model does not say what its numbers are; choose the output 'sigmoid' or 'softmax'",
        ),
        ("probabilities", "There is no output named 'probabilities'; did you mean probability?"),
        (lambda p: p[:, 0], "The output of 3 cases is (3,); it should be (cases, outputs)"),
        (lambda p: None, "The output of 3 cases is (); it should be (cases, outputs)"),
        (lambda p: p.T, "The output of 3 cases is (2, 3); it should be (cases, outputs)"),
        (lambda p: p * torch.nan, "The model's answer to the case 'a' is not a number"),
    ],
)
def test_outputs(output, sentence):
    says(sentence, output=output, ids="abc")


def test_a_head_that_is_not_there():
    says("There is no head named 'x'; there are: y", model=lambda **x: {"y": MODEL(**x)}, head="x")


def test_answers_that_are_no_numbers_name_the_case_and_the_part():
    x = {"record": INPUTS["record"] + 5}

    def of_b(record):
        return torch.where((record == x["record"][1]).all(dim=1, keepdim=True), torch.nan, record)

    says("The model's answer to the case 'b' is not a number; look at its inputs", of_b, x, ids="abc")

    def without_sex(record):
        return torch.where((record[:, 1:3] == 0).all(dim=1, keepdim=True), torch.inf, record)

    says(
        "The model's answer to the case 'a' without Sex of 'record' is not a number",
        without_sex, x, ids="abc", modalities=NAMED,
    )  # fmt: skip
    missing = {"record": torch.cat([x["record"][:2], torch.full((1, 5), torch.nan)])}
    says("The model's answer to the case 'c' is not a number", lambda record: record, missing, ids="abc")


class Layer(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer, self.dropout = nn.Linear(5, 2), nn.Dropout()

    def forward(self, record):
        return self.layer(self.dropout(record))


def test_a_model_in_training_mode_or_of_half_precision():
    x = {"record": INPUTS["record"]}
    says("The model is in training mode", Layer(), x)
    partly = Layer().eval()
    partly.dropout.train()
    says("call model.eval() first", partly, x)
    says(
        "The model's layer.weight is bfloat16, whose rounding would count as contribution",
        Layer().bfloat16().eval(),
        x,
    )
    says("The model's layer.weight is float16", Layer().half().eval(), x)


def test_inputs_that_the_model_does_not_take():
    says(
        "There is no input of the model named 'text'; there are: image, record. Name the inputs as the model",
        lambda image, record: record,
    )
    says("There is no input of the model named 'image'; there are: a, b, c", lambda a, b, c: a)


def test_modalities_that_a_model_of_ours_does_not_take_or_lacks():
    model = build(FusionModel, small("alone", modality="record"), schema("image and record")).eval()
    inputs = batch(model, 2).inputs
    says("The model alone takes record and never looks at 'image'; leave it out", model, inputs)
    says("The model alone needs the modality 'record'", model, {})
    says("no head named 'outcome'; there are: lesion", model, {"record": inputs["record"]}, head="outcome")
    says(
        "The cases of 'record' are (2, 2) and a case of it is (3,)",
        model,
        {"record": inputs["record"][:, :2]},
    )


@pytest.mark.parametrize(
    ("inputs", "sentence"),
    [
        (
            {**INPUTS, "record": INPUTS["record"][:2]},
            "unequal numbers of cases ('image' 3, 'record' 2, 'text' 3)",
        ),
        ({name: x[:0] for name, x in INPUTS.items()}, "'image' 0, 'record' 0, 'text' 0"),
        ({"a": normal(3)}, "'a' is float64 (3,), which is no table (N, F), picture (N, C, H, W)"),
        ({"a": normal(3, 2, 2)}, "give its Modality in 'modalities'"),
        ({"a": torch.zeros(3, 1, 4, 4).byte()}, "'a' is uint8 (3, 1, 4, 4), which is no table"),
        (iter(()), "The inputs hold no batch; give at least one"),
    ],
)
def test_inputs(inputs, sentence):
    says(sentence, inputs=inputs, model=lambda **x: next(iter(x.values())).flatten(1).double())


@pytest.mark.parametrize("inputs", [None, INPUTS["record"], "cases", {"record": "x"}, {}, 3])
def test_what_is_no_input_at_all(inputs):
    with pytest.raises(InputError):
        modality_contribution(lambda record: record, inputs)


def test_ids_and_groups_name_every_case():
    says("'ids' names 2 cases and the inputs hold 3", ids="ab")
    says("'groups' names 4 cases and the inputs hold 3", groups="abcd")
    for what in ("ids", "groups"):
        for names in ("abcde", "abcdefg"):  # of two batches of three
            says(f"'{what}'", inputs=iter([INPUTS, INPUTS]), **{what: names})


def test_until_says_when_to_stop_sampling():
    says("'until' says when to stop sampling; give 'sampled', too", until=0.1)
    says("'until' looks at all cases at once", inputs=iter([INPUTS]), sampled=2, until=0.1)


@pytest.mark.parametrize(
    "settings", [{"sampled": -1}, {"sampled": 1.5}, {"sampled": 2, "until": -0.5}], ids=str
)
def test_numbers_that_make_no_sense(settings):
    with pytest.raises(InputError):
        modality_contribution(MODEL, INPUTS, **settings)


def test_a_modality_of_another_shape_than_its_cases():
    says(
        "The cases of 'image' are (3, 2, 4, 6) and a case of it is (5,); give cases of that shape",
        modalities={"image": Modality("image", "table", (5,))},
    )
    says(
        "The cases of 'record' are (3, 5) and a case of it is (3,)",
        modalities={"record": Modality("record", "table", (3,), ("a", "b", "c"))},
    )


def test_a_function_may_give_arrays():
    def said(p):
        return p.detach().numpy()

    asked = modality_contribution(MODEL, INPUTS, output=said)
    assert asked.share() == pytest.approx(modality_contribution(MODEL, INPUTS).share(), abs=1e-12)
