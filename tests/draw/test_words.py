import re

from studykit.datasets.text import places
from studykit.draw import marked_words
from studykit.draw.scan import AGAINST, FOR


def test_each_word_is_marked_by_its_own_effect():
    text = "No opacity seen."
    shown = marked_words(text, places(text), [-1.0, 2.0, 0.0, 0.0], 2.0)
    marks = re.findall(r'background:(#\w{6})(\w\w)" title="([^"]+)">([^<]+)<', shown)
    assert marks[0] == (AGAINST, "64", "-1.000", "No")
    assert marks[1] == (FOR, "c8", "+2.000", "opacity")
    assert marks[2][1] == marks[3][1] == "00" and marks[3][3] == "."
    assert re.sub("<[^>]+>", "", shown) == text


def test_a_text_cannot_bring_its_own_html():
    text = '<script>alert("1")</script> & more'
    shown = marked_words(text, places(text), [1.0] * 3, 1.0)
    assert "<script" not in shown and "&lt;" in shown and "&amp;" in shown


def test_words_that_the_model_did_not_read_are_gray():
    text = "one two three"
    shown = marked_words(text, places(text), [1.0, 1.0], 1.0)
    assert shown.count("background") == 2 and "not read by the model" in shown
