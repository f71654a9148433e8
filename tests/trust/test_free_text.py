"""Coding of free text: kappa code by code against scikit-learn, unknown codes, disagreements by hand."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import cohen_kappa_score

from studykit.catalog import InputError
from studykit.trust.codebook import Code, Codebook
from studykit.trust.free_text import FreeText, disagreements
from tests.trust.telling import value

CODES = ("border", "calcium", "artefact")


def written(one, other):
    """Codes (texts, codes) of two coders as rows; a text without a code is a row with an empty one."""
    rows = []
    for coder, given_codes in (("ann", one), ("bob", other)):
        for text, line in enumerate(given_codes):
            found = [code for code, there in zip(CODES, line, strict=True) if there]
            rows += [(coder, f"t{text:02}", code) for code in found or [None]]
    return pd.DataFrame(rows, columns=["coder", "case", "code"])


def some(seed=0, texts=40, slips=0.15):
    rng = np.random.default_rng(seed)
    one = rng.random((texts, 3)) < [0.5, 0.3, 0.1]
    return one, one ^ (rng.random((texts, 3)) < slips)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.integers(3, 30))
def test_each_code_equals_scikit_learn(seed, texts):
    one, other = some(seed, texts)
    told = FreeText(CODES, resamples=20)(written(one, other))
    for k, code in enumerate(CODES):
        kappa = value(told, "Cohen's kappa", code)
        if one[:, k].any() != one[:, k].all() or other[:, k].any() != other[:, k].all():
            assert kappa == pytest.approx(cohen_kappa_score(one[:, k], other[:, k]))
        else:
            assert np.isnan(kappa) and value(told, "Cohen's kappa", code, "why")
        assert value(told, "percent agreement", code) == pytest.approx((one[:, k] == other[:, k]).mean())
        assert value(told, "prevalence", code) == pytest.approx((one[:, k].mean() + other[:, k].mean()) / 2)
    together = value(told, "Cohen's kappa", "all codes")
    if 0 < one.sum() + other.sum() < 2 * one.size:
        assert together == pytest.approx(cohen_kappa_score(one.ravel(), other.ravel()))
    assert value(told, "texts coded alike", "all codes") == pytest.approx((one == other).all(axis=1).mean())


def test_kappa_over_all_codes_draws_texts():
    one, other = some(1, 60)
    told = FreeText(CODES)(written(one, other))
    rng = np.random.default_rng(0)
    drawn = []
    for _ in range(1500):
        texts = rng.integers(0, 60, 60)
        drawn.append(cohen_kappa_score(one[texts].ravel(), other[texts].ravel()))
    ends = [value(told, "Cohen's kappa", "all codes", of) for of in ("low", "high")]
    assert ends == pytest.approx(np.quantile(drawn, [0.025, 0.975]), abs=0.04)


def test_codes_outside_the_codebook_are_named_and_left_out():
    one, other = some()
    table = written(one, other)
    odd = pd.concat([table, pd.DataFrame({"coder": ["ann"], "case": ["t00"], "code": ["boarder"]})])
    told = FreeText(CODES, resamples=20)(odd)
    assert value(told, "codes outside the codebook, left out", column="why") == "boarder"
    assert value(told, "codes outside the codebook, left out") == 1
    plain = FreeText(CODES, resamples=20)(table)
    pd.testing.assert_frame_equal(told.iloc[: len(plain)], plain)
    assert "boarder" in set(FreeText(resamples=20)(odd)["group"])


def test_the_text_is_the_case_with_its_reader():
    one, other = some(2)
    table = written(one, other)
    of_readers = table.assign(reader=table["case"].str[-1], case="c" + table["case"].str[1])
    told, plain = (FreeText(CODES, resamples=20)(of) for of in (of_readers, table))
    drawn = ["low", "high"]  # of kappa over all codes: the same texts, drawn in another order
    pd.testing.assert_frame_equal(told.iloc[1:], plain.iloc[1:])
    pd.testing.assert_frame_equal(told.iloc[:1].drop(columns=drawn), plain.iloc[:1].drop(columns=drawn))
    assert value(told, "texts coded alike", "all codes", "n") == 40


def test_disagreements_by_hand():
    one = np.array([[1, 0, 0], [1, 1, 0], [0, 0, 0]], bool)
    other = np.array([[1, 0, 0], [0, 1, 1], [0, 0, 1]], bool)
    table = written(one, other)
    told = disagreements(table, CODES)
    assert told.to_dict("records") == [
        {"case": "t01", "code": "border", "given by": "ann", "not by": "bob"},
        {"case": "t01", "code": "artefact", "given by": "bob", "not by": "ann"},
        {"case": "t02", "code": "artefact", "given by": "bob", "not by": "ann"},
    ]
    with_reader = disagreements(table.assign(author="r1"), CODES, reader="author")
    assert with_reader["reader"].tolist() == ["r1"] * 3
    assert not len(disagreements(table[table["coder"] == "ann"]))
    with pytest.raises(InputError, match="'coder'"):
        disagreements(table.drop(columns="coder"))


def test_says_why_not():
    one, other = some(3, 6)
    table = written(one, other)
    alone = FreeText()(table[table["coder"] == "ann"])
    assert alone["why"].tolist() == ["there are 1 coders; two are compared at a time"]
    apart = table[(table["coder"] == "ann") == (table["case"] < "t03")]
    assert FreeText()(apart)["why"].tolist() == ["no text was read by both coders"]
    assert FreeText()(table.assign(code=None))["why"].tolist() == ["no text was given a code"]
    short = table[~((table["coder"] == "bob") & (table["case"] == "t01"))]
    assert value(FreeText(CODES)(short), "texts of one coder only, left out") == 1
    none = FreeText(CODES)(written(np.zeros((5, 3), bool), np.zeros((5, 3), bool)))
    assert value(none, "Cohen's kappa", "all codes", "why").endswith("or none to any")
    assert value(none, "percent agreement", "border") == 1


def test_a_codebook_is_a_file(tmp_path):
    book = Codebook(
        (Code("border", "the outline is said to be unclear", "unscharf begrenzt"), Code("calcium"))
    )
    book.write(tmp_path / "book.json")
    assert Codebook.read(tmp_path / "book.json") == book
    assert book.names == ("border", "calcium")
    for text in ("", "{}", '[{"definition": "x"}]', '[{"code": "a", "more": 1}]', '["a"]'):
        (tmp_path / "bad.json").write_text(text)
        with pytest.raises(InputError, match="codebook"):
            Codebook.read(tmp_path / "bad.json")
    with pytest.raises(InputError, match="cannot be read"):
        Codebook.read(tmp_path / "nowhere.json")
    with pytest.raises(InputError, match="twice"):
        Codebook((Code("a"), Code("a")))
    with pytest.raises(InputError, match="no name"):
        Codebook((Code(" "),))
