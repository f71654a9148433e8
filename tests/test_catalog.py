from dataclasses import dataclass, replace

import pytest

import studykit.datasets
import studykit.explain
import studykit.models
import studykit.training.loss
from studykit.catalog import InputError, Named, build, spec, unknown
from studykit.explain import Explainer
from studykit.models import Encoder


class Pot(Named):
    pass


@dataclass(frozen=True)
class Clay(Pot, name="clay"):
    height: int = 3
    glaze: str = "none"


class Nested(Named):
    pass


@dataclass(frozen=True)
class Shelf(Nested, name="shelf"):
    pot: Pot = Clay()
    places: tuple[int, ...] = (1, 2)


def test_a_spec_reads_back_as_an_equal_thing():
    thing = Clay(height=8)
    assert spec(thing) == {"name": "clay", "height": 8, "glaze": "none"}
    assert build(Pot, spec(thing)) == thing == replace(Clay(), height=8)


def test_specs_nest_and_lists_become_tuples():
    shelf = build(Nested, {"name": "shelf", "pot": {"name": "clay", "height": 1}, "places": [4]})
    assert shelf == Shelf(pot=Clay(height=1), places=(4,))
    assert spec(shelf)["pot"] == {"name": "clay", "height": 1, "glaze": "none"}
    assert build(Nested, spec(shelf)) == shelf


def test_a_class_written_in_a_notebook_joins_too():
    @dataclass(frozen=True)
    class Iron(Pot, name="iron"):
        pass

    assert build(Pot, "iron") == Iron()


@pytest.mark.parametrize(
    ("wanted", "sentence"),
    [
        ({"name": "clai"}, "There is no pot named 'clai'; did you mean clay?"),
        ({"name": "clay", "hight": 1}, "no setting of pot 'clay' named 'hight'; did you mean height?"),
        ({"name": "clay", "height": "tall"}, "'height' of pot 'clay' is a whole number, not 'tall'"),
        ({"name": "clay", "height": True}, "a whole number, not True"),
        ({"height": 1}, "A pot is written"),
        (7, "A pot is written"),
    ],
)
def test_what_cannot_be_built_gets_one_sentence(wanted, sentence):
    with pytest.raises(InputError) as why:
        build(Pot, wanted)
    assert sentence in str(why.value)
    assert "\n" not in str(why.value)


def test_a_long_list_of_names_is_cut():
    assert unknown("thing", "?", map(str, range(100))).endswith("and 88 more.")


KINDS = (Explainer, Encoder, studykit.training.loss.Loss)


@pytest.mark.parametrize(
    "cls",
    [pytest.param(cls, id=f"{kind.kind}-{name}") for kind in KINDS for name, cls in kind.catalogue.items()],
)
def test_every_entry_with_defaults_survives_its_spec(cls):
    kind = next(kind for kind in KINDS if issubclass(cls, kind))
    assert build(kind, spec(cls())) == cls()
