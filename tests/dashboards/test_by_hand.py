"""Handles and questions in notebook cells: they answer a hand, and read well where no kernel runs."""

import ipywidgets as widgets
import numpy as np
import pytest

from studykit.catalog import InputError
from studykit.draw.pixels import still
from studykit.ui.by_hand import by_hand
from studykit.ui.quiz import quiz

VIEW = "application/vnd.jupyter.widget-view+json"


def test_a_moved_handle_draws_anew():
    asked = []

    def drawn(window, fill, on):
        asked.append((window, fill, on))
        return f"<p>{window} {fill} {on}</p>"

    seen = by_hand(drawn, window=(2, 10, 2), fill=["zero", "mean"], on=True)
    assert asked == [(6, "zero", True)] and seen.picture.value == "<p>6 zero True</p>"
    seen.handles["window"].value = 10
    seen.handles["fill"].value = "mean"
    seen.handles["on"].value = False
    assert seen.picture.value == "<p>10 mean False</p>" and len(asked) == 4
    assert not seen.handles["window"].continuous_update  # a slider draws when it is let go


def test_without_a_kernel_the_first_picture_and_the_question_stand():
    values = np.linspace(0, 1, 64).reshape(1, 8, 8)
    seen = by_hand(lambda limit: still(values, laid=(values[0], False, limit), title="<b>"), limit=(0.5, 1.0))
    bundle = seen._repr_mimebundle_()
    assert VIEW in bundle and "data:image/png" in bundle["text/html"] and "&lt;b&gt;" in bundle["text/html"]
    asked = quiz("Is it <so>?", {"yes": "It is.", "no": "It is not."}, "yes")._repr_mimebundle_()
    assert VIEW in asked and "Is it &lt;so&gt;?" in asked["text/html"] and "It is" not in asked["text/html"]


def test_an_answer_is_met_with_its_reason():
    asked = quiz("Which?", {"one": "since <1>", "two": "for 2"}, right="two")
    assert asked.answers.value is None and asked.said.value == ""
    asked.answers.value = "one"
    assert "No." in asked.said.value and "since &lt;1&gt;" in asked.said.value
    asked.answers.value = "two"
    assert "Yes." in asked.said.value and "for 2" in asked.said.value


def test_what_cannot_be_is_refused():
    with pytest.raises(InputError, match="right answer, 'three', is none of those offered: one, two"):
        quiz("Which?", {"one": "", "two": ""}, "three")
    with pytest.raises(InputError, match="handle 'window' is none"):
        by_hand(lambda window: "", window=object())


def test_a_widget_of_ones_own_is_a_handle():
    own = widgets.FloatLogSlider(1.0, description="bias")
    seen = by_hand(lambda bias: f"{bias:.1f}", bias=own)
    own.value = 10.0
    assert seen.picture.value == "10.0" and own.description == "bias"
