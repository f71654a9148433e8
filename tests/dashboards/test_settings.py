"""Fields become widgets, and widgets a spec."""

from dataclasses import dataclass
from typing import Literal

import pytest

from studykit.catalog import InputError, Named, build, spec
from studykit.explain import Explainer
from studykit.ui.settings import spec_of, widgets_of


@pytest.mark.parametrize("name", sorted(Explainer.catalogue))
def test_the_fields_of_a_method_become_widgets(name):
    cls = Explainer.catalogue[name]
    widgets = widgets_of(cls)
    assert spec_of(cls, widgets) == spec(cls()) == spec(build(Explainer, spec_of(cls, widgets)))
    assert all(widget.description for widget in widgets.values())


def test_a_widget_for_each_kind_of_field():
    class Kind(Named): ...

    @dataclass(frozen=True)
    class Many(Kind, name="many"):
        """count: how many; 0: all of them. share: a part.

        way: which way it goes.
        """

        count: int = 3
        share: float = 0.5
        way: Literal["up", "down"] = "up"
        word: str = "w"
        is_new: bool = True
        sides: tuple = (1, 2)

    widgets = widgets_of(Many)
    kinds = {name: type(widget).__name__ for name, widget in widgets.items()}
    assert kinds == {
        "count": "IntInput", "share": "FloatInput", "way": "Select", "word": "TextInput",
        "is_new": "Checkbox",
    }  # fmt: skip
    assert widgets["way"].options == ["up", "down"] and widgets["is_new"].label == "is new"
    assert widgets["count"].description == "how many; 0: all of them."
    assert widgets["way"].description == "which way it goes." and not widgets["word"].description
    widgets["count"].value, widgets["share"].value = 7, 1
    made = build(Kind, spec_of(Many, widgets))
    assert made == Many(count=7, share=1.0) and isinstance(made.share, float)
    widgets["count"].value = None  # a field that was emptied
    with pytest.raises(InputError, match="'count' of kind 'many' is a whole number, not None"):
        build(Kind, spec_of(Many, widgets))
