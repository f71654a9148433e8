"""Shares by part and by case, tables and back, and blocks of cases as one."""

import numpy as np
import pandas as pd
import pytest
import torch

from studykit.catalog import InputError
from studykit.contribution import Contribution, joined, modality_contribution
from tests.contribution.twin import Mixed, normal

INPUTS = {
    "image": normal(5, 2, 4, 5, seed=1),
    "record": normal(5, 3, seed=2),
    "text": torch.tensor([[3, 1, 4, 0], [2, 0, 0, 0], [6, 5, 0, 0], [1, 2, 3, 4], [9, 0, 0, 0]]),
}
MODEL, PARTS = Mixed(INPUTS, 3), {"image": 2}


@pytest.fixture(scope="module")
def asked():
    return modality_contribution(MODEL, INPUTS, PARTS, ids="vwxyz", groups="ppqqr")


def same(one, other):
    for wanted in ("ids", "groups", "outputs", "parts", "about"):
        assert getattr(one, wanted) == getattr(other, wanted)
    assert list(one.differences) == list(other.differences)
    for name, d in one.differences.items():
        np.testing.assert_allclose(d, other.differences[name], rtol=0, atol=1e-14)
        np.testing.assert_array_equal(one.same[name], other.same[name])


def test_parts_sum_to_their_modalitys_share_and_within_it_to_1(asked):
    whole = sum(np.abs(d).sum() for d in asked.differences.values())
    for name, d in asked.differences.items():
        by_part = asked.per_part(name)
        assert by_part.index.tolist() == list(asked.parts[name])
        for part in range(d.shape[1]):
            assert by_part.iloc[part] == pytest.approx(
                sum(np.abs(d[k, part]).sum() for k in range(5)) / whole
            )
        assert by_part.sum() == pytest.approx(asked.share()[name], abs=1e-12)
        assert asked.within(name).sum() == pytest.approx(1, abs=1e-12)
        assert asked.within(name).iloc[0] == pytest.approx(by_part.iloc[0] / asked.share()[name])
    assert sum(asked.per_part(name).sum() for name in INPUTS) == pytest.approx(1, abs=1e-12)


def test_parts_that_were_sampled_sum_to_the_share_too():
    found = modality_contribution(MODEL, INPUTS, PARTS, sampled=2)
    for name in INPUTS:
        assert found.per_part(name).sum() == pytest.approx(found.share()[name], abs=1e-12)
        assert found.within(name).sum() == pytest.approx(1, abs=1e-12)


def test_outputs_and_cases(asked):
    assert asked.per_class().sum().to_numpy() == pytest.approx(np.ones(3), abs=1e-12)
    assert asked.per_case().sum(axis=1).to_numpy() == pytest.approx(np.ones(5), abs=1e-12)
    one = modality_contribution(
        MODEL, {name: x[3:4].repeat(2, *[1] * (x.ndim - 1)) for name, x in INPUTS.items()}, PARTS
    )
    assert asked.per_case().loc["y"].to_dict() == pytest.approx(one.share(), abs=1e-12)


def test_the_parts_of_one_case(asked):
    d = asked.differences["image"][2]
    np.testing.assert_array_equal(asked.case_parts("x", "image", "output 1"), d[:, 1])
    np.testing.assert_allclose(asked.case_parts("x", "image"), np.abs(d).sum(axis=1))
    assert asked.case_parts("x", "image").index.tolist() == list(asked.parts["image"])


@pytest.mark.parametrize("settings", [{}, {"sampled": 2}], ids=str)
def test_a_table_and_back(settings, tmp_path):
    made = modality_contribution(MODEL, INPUTS, PARTS, ids="vwxyz", groups="ppqqr", **settings)
    frame = made.to_frame()
    frame.to_parquet(tmp_path / "contributions.parquet")
    again = Contribution.from_frame(frame, made.about)
    same(again, made)
    assert len(frame) == 5 * (6 + 3 + 4) * 3
    row = frame[(frame["id"] == "x") & (frame["part"] == "column 1") & (frame["output"] == "output 2")].iloc[
        0
    ]
    assert (row["group"], row["modality"]) == ("q", "record")
    np.testing.assert_equal(row["difference"], made.differences["record"][2, 1, 2])
    read = Contribution.from_frame(pd.read_parquet(tmp_path / "contributions.parquet"), made.about)
    same(read, made)
    pd.testing.assert_frame_equal(read.table(), made.table())


def test_what_was_read_back_cannot_be_painted_and_says_so(asked):
    again = Contribution.from_frame(asked.to_frame(), asked.about)
    with pytest.raises(InputError, match="The cut of 'image' is not kept in a file; cut it again"):
        again.painted("image")


def test_blocks_joined_are_one_call(asked):
    blocks = [
        modality_contribution(
            MODEL, {name: x[at] for name, x in INPUTS.items()}, PARTS, ids="vwxyz"[at], groups="ppqqr"[at]
        )
        for at in (slice(0, 2), slice(2, 5))
    ]
    one = joined(blocks)
    same(one, asked)
    assert one.forwards == asked.forwards and one.encodings == asked.encodings


def test_blocks_of_texts_of_unequal_length_get_words_that_are_not_there(asked):
    def short(at, length):
        x = {name: x[at] for name, x in INPUTS.items()}
        return modality_contribution(
            lambda **x: MODEL(**{**x, "text": torch.nn.functional.pad(x["text"], (0, 4 - length))}),
            {**x, "text": x["text"][:, :length]}, PARTS, ids="vwxyz"[at], groups="ppqqr"[at],
        )  # fmt: skip

    one = joined([short(slice(0, 3), 3), short(slice(3, 5), 4)])
    same(one, asked)
    other_way = joined([short(slice(3, 5), 4), short(slice(0, 3), 3)])
    assert other_way.share() == pytest.approx(asked.share(), abs=1e-12)


def test_two_cases_of_one_name_are_refused():
    """One would be painted, and read back, in place of the other."""
    with pytest.raises(InputError, match="'v'"):
        modality_contribution(MODEL, INPUTS, PARTS, ids="vvxyz")


@pytest.mark.parametrize(
    ("ask", "said"),
    [
        (lambda c: c.per_part("picture"), "no modality named 'picture'"),
        (lambda c: c.painted("picture"), "no modality named 'picture'"),
        (lambda c: c.case_parts("x", "picture"), "no modality named 'picture'"),
        (lambda c: c.case_parts("a", "image"), "no case named 'a'"),
        (lambda c: c.case_parts("x", "image", "benign"), "no output named 'benign'"),
    ],
)
def test_unknown_names_get_a_sentence(asked, ask, said):
    with pytest.raises(InputError, match=said):
        ask(asked)
