"""The contribution at each fineness against Algorithm 1 in loops, and against the recorded values."""

import numpy as np
import pytest
import torch

from studykit.catalog import InputError, build
from studykit.contribution import Neighbour, Question, WholeOcclusion
from studykit.contribution.few_cases import FewCases
from studykit.contribution.granularity import Granularity
from tests.contribution.test_recorded import Recorded
from tests.contribution.twin import Mixed, algorithm_1, normal, several, tiles
from tests.models.oracles import record

WHOLE = "share, everything whole"


def asked(model, inputs, sides=(1, 2, 4), sampled=0, **settings):
    table = Granularity(sides=sides, sampled=sampled).table(Question(model, inputs, resamples=30, **settings))
    return table.set_index(["statistic", "group"])["estimate"]


def test_each_fineness_is_algorithm_1_with_these_parts():
    inputs = {"image": normal(4, 1, 6, 4), "record": normal(4, 3, seed=1)}
    model, fill = Mixed(inputs, 2), {"image": "sample_mean", "record": 0.5}
    found = asked(model, inputs, fill=fill)
    filled = {
        "image": inputs["image"].mean((1, 2, 3), keepdim=True).expand(4, 1, 6, 4),
        "record": torch.full((4, 3), 0.5).double(),
    }
    columns = several(torch.arange(3), 4)
    for side, size in {
        "image whole": (6, 4),
        "image in 3 px patches": (3, 3),
        "image in 2 px patches": (2, 2),
    }.items():
        ids = {"image": several(tiles((1, 6, 4), size), 4), "record": columns}
        _, wanted = algorithm_1(model, inputs, ids, filled)
        assert found[f"share, {side}"].to_dict() == pytest.approx(wanted, abs=1e-12)
    whole = {name: torch.zeros_like(x).long() for name, x in inputs.items()}
    _, wanted = algorithm_1(model, inputs, whole, filled)
    assert found[WHOLE].to_dict() == pytest.approx(wanted, abs=1e-12)
    assert len(found) == 8


@pytest.mark.real_data
def test_recorded_values():
    """8, 4, 2 and 1 pixels of a picture of 8, and everything whole; the record by column."""
    about, arrays = record("modality_contribution")
    values = {key: torch.from_numpy(np.asarray(arrays[key])) for key in arrays}
    inputs, fill = {"tab": values["tab"], "img": values["img"]}, {"img": "sample_mean", "tab": 0}
    settings = {"fill": fill, "output": "sigmoid"}
    found = asked(Recorded(values, "w2d_"), inputs, (1, 2, 4, 8, 16), **settings)
    wanted = about["A_granularity_m_tab_img"]
    for key, label in {
        "patch8x8 (h_img=1, h_tab=6)": "share, img whole",
        "patch4x4 (h_img=4, h_tab=6)": "share, img in 4 px patches",
        "patch2x2 (h_img=16, h_tab=6)": "share, img in 2 px patches",
        "patch1x1 (h_img=64, h_tab=6)": "share, img in 1 px patches",
        "whole modality both (h=1,1)": WHOLE,
    }.items():
        assert found[label].to_dict() == pytest.approx(dict(zip(inputs, wanted[key])), abs=1e-12)
    assert len(found) == 10  # sixteenths of 8 pixels are pixels again


def test_a_model_that_adds_up_pixels_only_gives_the_picture_more_the_finer_it_is_cut():
    inputs = {"image": normal(6, 1, 16, 16), "record": normal(6, 3, seed=1)}
    w, v = normal(256, 1, seed=2), normal(3, 1, seed=3)

    def model(image, record):
        return image.flatten(1) @ w + record @ v

    pictures = asked(model, inputs, (1, 2, 4, 8, 16))[:, "image"].to_numpy()[1:]  # but everything whole
    assert len(pictures) == 5 and (np.diff(pictures) > 0).all()
    size = float((inputs["image"].flatten(1)[..., None] * w).abs().sum())
    other = float((inputs["record"][..., None] * v).abs().sum())
    assert pictures[-1] == pytest.approx(size / (size + other), abs=1e-9)


def test_everything_whole_is_whole_modality_occlusion_and_the_parts_asked_are_counted():
    inputs = {"image": normal(5, 1, 8, 8), "record": normal(5, 3, seed=1)}
    question = Question(Mixed(inputs, 2), inputs, resamples=30)
    table = Granularity(sides=(1, 2)).table(question)
    assert question.forwards == 5 * ((1 + 2) + (1 + 1 + 3) + (1 + 4 + 3))
    wanted = WholeOcclusion().table(question)
    columns = ["group", "estimate", "low", "high", "n", "why"]
    assert table[table["statistic"] == WHOLE].reset_index()[columns].equals(wanted[columns])


def test_drawn_parts_stand_for_all():
    inputs = {"image": normal(60, 1, 16, 16), "record": normal(60, 3, seed=1)}
    model, label = Mixed(inputs, 1), ("share, image in 1 px patches", "image")
    every, some = (asked(model, inputs, (16,), sampled)[label] for sampled in (0, 64))
    assert some != every and some == pytest.approx(every, abs=0.01)


def test_volumes_texts_and_models_without_a_picture():
    words = torch.tensor([[3, 4, 5], [2, 1, 0]])
    inputs = {"scan": normal(2, 1, 2, 4, 4), "text": words, "record": normal(2, 2, seed=1)}
    found = asked(Mixed(inputs, 1), inputs, (1, 2))
    assert found.index.unique("statistic").tolist() == [
        WHOLE, "share, scan whole", "share, scan in 2 px patches",
    ]  # fmt: skip
    pair = {"text": words, "record": inputs["record"]}
    found = asked(Mixed(pair, 1), pair)
    assert found.index.unique("statistic").tolist() == [WHOLE, "share, text by word, record by column"]
    assert found.notna().all()


def test_inputs_in_order_and_a_few_cases_with_stand_ins_of_their_own():
    """What stands in for a case that is drawn is what stood in for it among all."""
    pair = [normal(30, 1, 4, 4), normal(30, 2, seed=1)]
    names = {f"input {k + 1}": x for k, x in enumerate(pair)}
    inside = Mixed(names, 1)

    def model(first, second):
        return inside(**{"input 1": first, "input 2": second})

    question = Question(model, pair, fill="other_case", resamples=20)
    few = Granularity(sides=(2,), cases=7)
    table, at = few.table(question), FewCases(question, 7).at
    assert set(table["n"]) == {7}
    size = {name: np.zeros(7) for name in names}
    for row, case in enumerate(at):
        own = {name: x[[case]] for name, x in names.items()}
        for name in names:
            other = {**own, name: question.asking.filled[name][[case]]}
            size[name][row] = abs(float((inside(**other) - inside(**own)).detach()))
    whole = table[table["statistic"] == WHOLE].set_index("group")["estimate"]
    total = sum(values.sum() for values in size.values())
    assert whole.to_dict() == pytest.approx({n: values.sum() / total for n, values in size.items()})


def test_nothing_moved_and_settings():
    inputs = {"image": normal(3, 1, 4, 4), "record": normal(3, 2, seed=1)}
    question = Question(lambda image, record: torch.ones(len(image), 1), inputs)
    table = Granularity(sides=(1, 2)).table(question)
    assert table["estimate"].isna().all() and set(table["why"]) == {"nothing moved"}
    assert build(Neighbour, {"name": "granularity", "sides": [2, 4]}) == Granularity(sides=(2, 4))
    for wrong in ({"sides": ()}, {"sides": (0,)}, {"sides": (1.5,)}, {"cases": 0}, {"sampled": -1}):
        with pytest.raises(InputError, match=next(iter(wrong))):
            Granularity(**wrong)
