import time

import numpy as np
import pytest

from studykit.catalog import InputError
from studykit.datasets import XorPhantom


def bits_seen(cohort, modality):
    """What a threshold on the blob's contrast says of each case."""
    found = []
    for case in cohort.cases.index:
        picture, mask = cohort.picture(case, modality)[0], cohort.mask(case, modality)
        found.append(int(picture[mask].mean() > picture[~mask].mean()))
    return np.array(found)


@pytest.mark.parametrize("kinds", [("image", "image"), ("volume", "image"), ("image", "table")])
def test_each_modality_shows_its_bit_and_both_together_the_label(kinds):
    cohort = XorPhantom(count=400, kinds=kinds)
    cases = cohort.cases
    first = bits_seen(cohort, "first")
    second = (cases["Marker"] > 0).to_numpy(int) if "table" in kinds else bits_seen(cohort, "second")
    assert (first == cases["first_bit"]).all() and (second == cases["second_bit"]).all()
    different = (cases["label"] == "different").to_numpy()
    assert ((first ^ second) == different).all()
    for alone in (first, second):
        assert (alone == different).mean() == 0.5 and alone.mean() == 0.5


@pytest.mark.parametrize("kinds", [("image", "image"), ("volume", "image"), ("image", "table")])
def test_outside_its_evidence_a_picture_hardly_knows_its_bit(kinds):
    cohort, flipped = XorPhantom(count=40, kinds=kinds), XorPhantom(count=40, kinds=kinds)
    flipped.bits[:] = 1 - flipped.bits
    for case in cohort.cases.index:
        one, two = cohort.evidence(case), flipped.evidence(case)
        assert set(one) == {m.name for m in cohort.pictures} | ({"record"} if "table" in kinds else set())
        assert one.get("record") in (None, ("Marker",))
        for modality in cohort.pictures:
            region = one[modality.name]
            assert np.array_equal(region, two[modality.name])
            assert region[cohort.mask(case, modality.name)].all()
            change = np.abs(cohort.picture(case, modality.name) - flipped.picture(case, modality.name))[0]
            assert change[region].max() > 0.5 and change[~region].max(initial=0) < 0.008


def test_the_four_pairs_are_equally_frequent():
    assert XorPhantom().cases.groupby(["first_bit", "second_bit"]).size().tolist() == [1000] * 4


def test_the_marker_never_crosses_zero_and_the_other_columns_say_nothing():
    cases = XorPhantom(kinds=("volume", "table")).cases
    assert cases["Marker"].abs().between(0.8, 1.2).all()
    assert abs(cases.groupby("label")["Age"].mean().diff().iloc[-1]) < 1.5
    left = (cases["Side"] == "left").groupby(cases["label"]).mean()
    assert abs(left.diff().iloc[-1]) < 0.06


def test_place_and_size_of_the_blob_say_nothing():
    cohort = XorPhantom(count=400)
    sizes = np.array([cohort.mask(case).sum() for case in cohort.cases.index])
    for column in ("first_bit", "second_bit", "label"):
        means = [sizes[at].mean() for at in cohort.cases.groupby(column).indices.values()]
        assert abs(means[0] - means[1]) < 0.05 * sizes.mean()


def test_a_picture_depends_on_seed_case_and_modality_alone():
    one, again, other = XorPhantom(count=40), XorPhantom(count=40), XorPhantom(count=40, seed=1)
    case = one.cases.index[7]
    for earlier in one.cases.index[:7]:
        one.picture(earlier, "first")
    assert np.array_equal(one.picture(case, "second"), again.picture(case, "second"))
    assert not np.array_equal(one.picture(case, "second"), other.picture(case, "second"))
    assert not np.array_equal(one.mask(case, "first"), one.mask(case, "second"))


def test_planted_says_the_two_bits():
    cohort = XorPhantom(count=40)
    row = cohort.cases.loc["xor-0003"]
    wanted = f"{row['label']}: the first bit is {row['first_bit']}, the second {row['second_bit']}"
    assert cohort.planted("xor-0003") == wanted


def test_four_thousand_pairs_are_drawn_in_seconds():
    cohort = XorPhantom()
    start = time.process_time()
    for case in cohort.cases.index[:400]:
        cohort.picture(case, "first"), cohort.picture(case, "second")
    assert time.process_time() - start < 1  # a tenth of them


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"kinds": ("table", "image")}, "a pair, image or volume and then image, volume or table"),
        ({"kinds": ("image",)}, "'kinds' of xor_phantom is a pair"),
        ({"count": 4}, "at least 20 cases"),
        ({"size": 8}, "of 16 pixels or more"),
    ],
)
def test_impossible_cohorts_get_a_sentence(settings, sentence):
    with pytest.raises(InputError, match=sentence):
        XorPhantom(**settings)
