import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from studykit.datasets.text import Text, places, words

NOTES = ["No opacity. Heart 12.5 cm.", "Right-sided opacity!", None, "Heart enlarged; no opacity", ""]


def test_words_numbers_and_signs_in_order():
    assert words(NOTES[0]) == ["no", "opacity", ".", "heart", "12.5", "cm", "."]
    assert words("Right-sided\nopacity, 3/4 [finding]") == ["right-sided", "opacity", ",", "3/4", "[finding]"]
    assert words(None) == words(np.nan) == words("  ") == []


def test_the_vocabulary_is_what_enough_training_texts_hold():
    text = Text.fit(NOTES)
    assert text.vocabulary == ("[end]", "[unknown]", "heart", "no", "opacity")
    assert text.length == 7
    every = {word for note in NOTES for word in words(note)}
    assert Text.fit(NOTES, least=1).vocabulary[2:] == tuple(sorted(every))
    assert Text.fit(NOTES, longest=3).length == 3


def test_number_t_is_word_t():
    text = Text.fit(NOTES)
    rows = text.encode(["Opacity, unheard of", "no"])
    assert rows.dtype == np.float32
    assert [text.vocabulary[int(n)] for n in rows[0]][:5] == ["opacity", *["[unknown]"] * 3, "[end]"]
    assert rows[1].tolist() == [3, 0, 0, 0, 0, 0, 0]


def test_a_text_that_is_missing_or_empty_is_nan_all_over():
    rows = Text.fit(NOTES).encode(NOTES)
    assert np.isnan(rows).all(axis=1).tolist() == [False, False, True, False, True]


def test_it_is_written_down_and_read_back():
    text = Text.fit(NOTES)
    assert Text.from_json(text.to_json()) == text
    modality = text.modality("report")
    assert modality.kind == "text" and modality.shape == (7,) and modality.vocabulary == text.vocabulary


@pytest.mark.parametrize("texts", [[], [None, ""]])
def test_a_training_fold_without_texts_still_makes_an_encoding(texts):
    assert Text.fit(texts).encode(["some words"]).shape == (1, 1)


@settings(deadline=None, derandomize=True)
@given(st.text())
def test_places_point_at_the_words_in_the_text_itself(text):
    assert [text[a:b].casefold() for a, b in places(text)] == words(text)
