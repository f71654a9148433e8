"""What fusion is: the exclusive-or of two modalities can only be learned by a model that mixes them."""

import warnings

import pytest

from tests.models.interaction import ADDITIVE, MIXING, scores, trained

warnings.filterwarnings("ignore", message="With tokens='vector'")


@pytest.mark.parametrize("name", MIXING)
def test_a_model_that_mixes_learns_it_and_needs_the_right_partner(name):
    model, kinds, epochs = MIXING[name]
    together, exchanged = scores(trained(model, kinds, epochs)[0], kinds)
    assert together >= 0.95
    assert abs(exchanged - 0.5) <= 0.03


@pytest.mark.parametrize("name", ADDITIVE)
def test_an_additive_model_stays_at_chance(name):
    model, kinds, epochs = ADDITIVE[name]
    together, exchanged = scores(trained(model, kinds, epochs)[0], kinds)
    assert abs(together - 0.5) <= 0.03
    assert abs(exchanged - 0.5) <= 0.03
