import numpy as np
import pytest

from studykit.catalog import InputError
from studykit.datasets.redundant_pair import RedundantPair


def bits_seen(cohort, modality):
    """What a threshold on the blob's contrast says of each case."""
    found = []
    for case in cohort.cases.index:
        picture, mask = cohort.picture(case, modality)[0], cohort.mask(case, modality)
        found.append(int(picture[mask].mean() > picture[~mask].mean()))
    return np.array(found)


@pytest.mark.parametrize("kinds", [("image", "image"), ("volume", "image"), ("image", "table")])
def test_either_modality_tells_the_whole_label(kinds):
    cohort = RedundantPair(count=200, kinds=kinds)
    bright = (cohort.cases["label"] == "bright").to_numpy(int)
    second = cohort.cases["Marker"] > 0 if "table" in kinds else bits_seen(cohort, "second")
    assert (bits_seen(cohort, "first") == bright).all() and (second == bright).all()
    assert bright.mean() == 0.5


@pytest.mark.parametrize("kinds", [("image", "image"), ("volume", "image"), ("image", "table")])
def test_both_always_hold_the_evidence(kinds):
    cohort = RedundantPair(count=40, kinds=kinds)
    names = {"first", "record" if "table" in kinds else "second"}
    assert all(set(cohort.evidence(case)) == names for case in cohort.cases.index)
    told = "both first and record" if "table" in kinds else "both first and second"
    assert cohort.planted("pair-0003") == f"{cohort.cases.at['pair-0003', 'truth']}, shown by {told}; " + (
        "either alone suffices"
    )


def test_the_two_pictures_of_a_case_share_nothing_but_the_bit():
    cohort = RedundantPair(count=40)
    for case in cohort.cases.index:
        assert not np.array_equal(cohort.mask(case, "first"), cohort.mask(case, "second"))


def test_label_noise_flips_labels_and_keeps_the_truth():
    cohort = RedundantPair(count=2000, label_noise=0.2, kinds=("image", "table"))
    cases = cohort.cases
    assert abs((cases["label"] != cases["truth"]).mean() - 0.2) < 0.03
    assert ((cases["Marker"] > 0) == (cases["truth"] == "bright")).all()
    assert (RedundantPair().cases["label"] == RedundantPair().cases["truth"]).all()


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"kinds": ("table", "image")}, "'kinds' of redundant_pair is a pair"),
        ({"label_noise": -0.1}, "'label_noise' is a share between 0 and 1"),
        ({"count": 4}, "redundant_pair has at least 20 cases"),
    ],
)
def test_impossible_cohorts_get_a_sentence(settings, sentence):
    with pytest.raises(InputError, match=sentence):
        RedundantPair(**settings)
