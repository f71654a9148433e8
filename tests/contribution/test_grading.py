"""Known reliance: does the contribution go where the evidence is, and follow it as it moves?

Two models, five shares of cases whose label shows in the first picture, three seeds. Patches of 8 of 32
pixels, filled with what stands for absence. A bar is set for probabilities of models that learned labels
without noise.
"""

from functools import lru_cache

import pytest

from tests.contribution.grading import BAR, graded, order, silent

NAMES = ["concat, hidden layer", "gmu"]  # all models: tests.benchmarks.contribution_grading


pytestmark = pytest.mark.usefixtures("one_thread")


@lru_cache
def learned(name):
    return graded(name, (0, 1, 2))


def shown(name, rows, output="probability"):
    shares = rows.groupby("in_first")[output].mean().round(3).tolist()
    print(f"{name}: {shares}, silent at most {silent(rows, output):.3f}, Spearman {order(rows, output):.2f}")


@pytest.mark.parametrize("name", NAMES)
def test_the_contribution_goes_where_the_evidence_is_and_follows_it(name):
    rows = learned(name)
    assert (rows["accuracy"] >= 0.97).all()  # it learned
    shown(name, rows)
    assert silent(rows) < BAR
    assert order(rows) >= 0.9


@pytest.mark.parametrize("name", NAMES)
def test_logits_are_printed_beside_it_without_a_bar(name):
    """They count what a saturated probability hides: small changes of an answer that stays certain."""
    rows = learned(name)
    shown(f"{name}, logits", rows, "logit")
    assert silent(rows, "logit") > silent(rows)


@pytest.mark.parametrize("name", NAMES)
def test_what_is_memorised_of_noisy_labels_counts_as_contribution(name):
    """Printed without a bar: the test cases' labels are learned all the same, and the share is no error."""
    rows, clean = graded(name, (0,), 0.1, (0.0, 1.0)), learned(name).query("seed == 0")
    assert (rows["accuracy"] >= 0.97).all()
    shown(f"{name}, 10 % label noise", rows)
    assert silent(rows) > silent(clean)
