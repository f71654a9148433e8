import time

import numpy as np
import pytest

from studykit.catalog import InputError
from studykit.datasets.leg_phantom import MUSCLES, PATTERN, LegPhantom


@pytest.fixture(scope="module")
def cohort():
    return LegPhantom(count=300)


def means(cohort, cases, modality, names):
    """The mean signal of each of these muscles in each of these cases."""
    rows = []
    for case in cases:
        picture, parts = cohort.picture(case, modality)[0], cohort.compartments(case)
        rows.append([picture[parts[name]].mean() for name in names])
    return np.array(rows)


@pytest.mark.parametrize("modality", ["t1", "stir"])
def test_the_pattern_is_bright_where_the_contrast_shows_the_label_and_only_there(cohort, modality):
    cases = cohort.cases.iloc[:120]
    shown = cases["evidence"].isin([modality, "both"])
    affected = cases["truth"] == "affected"
    signal = {
        truth: means(cohort, cases.index[shown & (affected == truth)], modality, PATTERN).mean(axis=1)
        for truth in (False, True)
    }
    assert signal[True].min() > signal[False].max() + 0.05
    hidden = means(cohort, cases.index[~shown], modality, PATTERN)
    assert signal[False].mean() < hidden.mean() < signal[True].mean()


@pytest.mark.parametrize("modality", ["t1", "stir"])
def test_outside_the_pattern_a_leg_is_the_same_whatever_its_label(cohort, modality):
    for case in cohort.cases.index[:20]:
        region = cohort.region(case, modality)
        healthy, unclear, affected = (
            cohort.drawn(case, modality, truth)[0] for truth in ("healthy", "unclear", "affected")
        )
        assert np.array_equal(healthy[~region], affected[~region])
        assert np.array_equal(healthy[~region], unclear[~region])
        assert (healthy[region] != affected[region]).mean() > 0.5


def test_other_muscles_may_show_a_little_of_the_same_signal(cohort):
    others = [name for name in MUSCLES if name not in PATTERN]
    signal = means(cohort, cohort.cases.index[:60], "stir", others)
    struck = (signal > 1.2 * np.median(signal)).mean()
    assert 0.1 < struck < 0.4


def test_the_form_of_the_evidence_does_not_know_the_label(cohort):
    flipped = LegPhantom(count=300)
    other = {"healthy": "affected", "affected": "healthy"}
    flipped.cases["truth"] = flipped.cases["truth"].map(other)
    for case in cohort.cases.index[:10]:
        one, two = cohort.evidence(case), flipped.evidence(case)
        assert one.keys() == two.keys()
        assert all(np.array_equal(one[name], two[name]) for name in one)
        for silent in {"t1", "stir"} - one.keys():
            assert np.array_equal(cohort.picture(case, silent), flipped.picture(case, silent))


def test_evidence_is_the_pattern_in_the_contrasts_that_show_it(cohort):
    for case in cohort.cases.index[:20]:
        found, parts = cohort.evidence(case), cohort.compartments(case)
        where = cohort.cases.at[case, "evidence"]
        assert set(found) == ({"t1", "stir"} if where == "both" else {where})
        for region in found.values():
            assert np.array_equal(region, sum(parts[name] for name in PATTERN) > 0)


@pytest.mark.parametrize("size", [32, 64, 96])
def test_the_compartments_lie_as_in_a_right_calf_seen_from_the_foot(size):
    cohort = LegPhantom(count=40, size=size)
    for case in cohort.cases.index[:20]:
        parts = cohort.compartments(case)
        assert set(parts) == {*MUSCLES, "tibia", "fibula", "subcutaneous fat"}
        assert sum(part.astype(int) for part in parts.values()).max() == 1
        at = {name: np.argwhere(part).mean(axis=0) for name, part in parts.items()}  # rows, columns
        assert at["tibialis anterior"][1] < at["tibia"][1]  # lateral of it
        assert at["peroneal group"][1] < at["fibula"][1] + 1
        assert at["extensor group"][0] < at["peroneal group"][0] < at["soleus"][0]  # front to back
        assert at["soleus"][0] < min(at["medial gastrocnemius"][0], at["lateral gastrocnemius"][0])
        assert at["lateral gastrocnemius"][1] < at["medial gastrocnemius"][1]


def test_fat_is_bright_in_t1_and_dark_in_stir(cohort):
    for case in cohort.cases.index[:10]:
        parts = cohort.compartments(case)
        t1, stir = (cohort.drawn(case, name, "healthy")[0] for name in ("t1", "stir"))
        fat, muscle = parts["subcutaneous fat"], parts["soleus"]
        assert t1[fat].mean() > 1.5 * t1[muscle].mean() and stir[fat].mean() < stir[muscle].mean()


def test_absent_is_healthy_muscle(cohort):
    for modality in cohort.pictures:
        signal = [
            cohort.drawn(case, modality.name, "healthy")[0][cohort.region(case, modality.name)].mean()
            for case in cohort.cases.index[:20]
        ]
        assert np.mean(signal) == pytest.approx(modality.absent, abs=0.06)


@pytest.mark.parametrize(("in_t1", "in_stir"), [(0.6, 0.6), (1.0, 0.0), (0.0, 1.0), (1.0, 1.0)])
def test_the_evidence_lies_where_the_settings_say(in_t1, in_stir):
    cases = LegPhantom(count=2000, in_t1=in_t1, in_stir=in_stir).cases
    shares = cases["evidence"].value_counts(normalize=True)
    both = in_t1 + in_stir - 1
    for where, share in {"t1": in_t1 - both, "stir": in_stir - both, "both": both}.items():
        assert abs(shares.get(where, 0) - share) < 0.05


def test_label_noise_flips_labels_and_keeps_the_truth():
    cases = LegPhantom(count=2000, label_noise=0.2).cases
    assert abs((cases["myopathy"] != cases["truth"]).mean() - 0.2) < 0.03


def test_the_seed_decides_everything_and_cases_are_drawn_alone():
    one, again, other = LegPhantom(count=30), LegPhantom(count=30), LegPhantom(count=30, seed=2)
    case = one.cases.index[7]
    one.picture(one.cases.index[3], "stir")
    assert np.array_equal(one.picture(case, "t1"), again.picture(case, "t1"))
    assert not np.array_equal(one.picture(case, "t1"), other.picture(case, "t1"))
    assert one.fingerprint == again.fingerprint != other.fingerprint


def test_words_say_what_it_is(cohort):
    assert "private and cannot be had" in " ".join(cohort.card.defects)
    told = {cohort.planted(case).split(", ")[1] for case in cohort.cases.index[:40]}
    assert told == {"shown by the t1", "shown by the stir", "shown by both t1 and stir"}


def test_a_picture_is_drawn_in_milliseconds(cohort):
    start = time.process_time()
    for case in cohort.cases.index[:50]:
        cohort.picture(case, "t1")
    assert (time.process_time() - start) / 50 < 0.02


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"in_t1": 0.3, "in_stir": 0.3}, "'in_t1' and 'in_stir' sum to 0.6"),
        ({"in_stir": 2}, "'in_stir' is a share between 0 and 1"),
        ({"size": 16}, "at least 32 pixels"),
    ],
)
def test_impossible_cohorts_get_a_sentence(settings, sentence):
    with pytest.raises(InputError, match=sentence):
        LegPhantom(**settings)
