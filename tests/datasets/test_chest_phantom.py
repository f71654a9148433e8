import time
from copy import deepcopy

import numpy as np
import pytest
from scipy.ndimage import label

from studykit.catalog import InputError
from studykit.datasets import ChestPhantom, chest_phantom
from studykit.datasets.chest_phantom import SPACING


@pytest.fixture(scope="module")
def cohort():
    return ChestPhantom(count=300)


@pytest.fixture(scope="module")
def shapes(cohort):
    """{case: (volume in mm3, how much of the ball that just holds the nodule it fills)}."""
    found = {}
    for case in cohort.cases.index:
        at = np.argwhere(cohort.mask(case))
        reach = np.linalg.norm(at - at.mean(axis=0), axis=1).max() + 0.5
        found[case] = len(at) * SPACING**3, len(at) / (4 / 3 * np.pi * reach**3)
    return found


def test_only_evidence_shapes_the_nodule(cohort, shapes):
    cases = cohort.cases
    shown, hidden = cases[cases["evidence"] != "record"], cases[cases["evidence"] == "record"]
    filled = {truth: [shapes[c][1] for c in rows.index] for truth, rows in shown.groupby("truth")}
    assert max(filled["malignant"]) < min(filled["benign"])
    for part in (0, 1):
        means = [np.mean([shapes[c][part] for c in rows.index]) for _, rows in hidden.groupby("truth")]
        assert abs(means[0] - means[1]) < 0.15 * np.mean(means)


def test_a_benign_nodule_is_a_ball_of_3_to_8_mm(cohort, shapes):
    cases = cohort.cases
    benign = cases.index[(cases["evidence"] != "record") & (cases["truth"] == "benign")]
    width = np.array([(6 / np.pi * shapes[case][0]) ** (1 / 3) for case in benign])
    assert 2 < width.min() < 5 and 7 < width.max() < 8.5


def test_every_nodule_is_one_piece_of_soft_tissue_in_the_lung(cohort):
    for case in cohort.cases.index[:100]:
        volume, mask = cohort.picture(case)[0], cohort.mask(case)
        assert mask.any() and label(mask, np.ones((3, 3, 3)))[1] == 1
        hu = volume * 1400 - 1000
        assert hu[mask].mean() > -450  # blurred where it is small or thin
    assert hu.min() < -990 and hu.max() > 250


def test_outside_its_evidence_a_volume_is_the_same_whatever_the_nodule(monkeypatch):
    cohort, real = ChestPhantom(count=30, in_volume=1.0, in_record=0.0), chest_phantom._nodule
    volumes = {}
    for shape in ("benign", "lobulated", "malignant"):

        def nodule(_, draw, middle, space, shape=shape):
            return real(shape, deepcopy(draw), middle, space)  # what is drawn after it stays the same

        monkeypatch.setattr(chest_phantom, "_nodule", nodule)
        volumes[shape] = {case: cohort.picture(case)[0] for case in cohort.cases.index}
    for case in cohort.cases.index:
        ball, lobulated, spiculated = (volumes[shape][case] for shape in volumes)
        region = cohort.evidence(case)["volume"]
        assert np.array_equal(ball[~region], spiculated[~region])
        assert np.array_equal(ball[~region], lobulated[~region])
        assert not np.array_equal(ball[region], spiculated[region])


def test_the_form_of_the_evidence_does_not_know_the_label():
    cohort, flipped = ChestPhantom(count=30), ChestPhantom(count=30)
    flipped.cases["truth"] = flipped.cases["truth"].map({"benign": "malignant", "malignant": "benign"})
    for case, row in cohort.cases.iterrows():
        one, two = cohort.evidence(case), flipped.evidence(case)
        assert (
            set(one) == set(two) == ({"volume", "record"} if row["evidence"] == "both" else {row["evidence"]})
        )
        assert one.get("record") in (None, ("Age", "Smoking"))
        if "volume" in one:
            assert np.array_equal(one["volume"], two["volume"])
            assert (cohort.mask(case) & ~one["volume"]).sum() == 0


def test_absent_is_aerated_lung(cohort):
    absent = cohort.pictures[0].absent * 1400 - 1000
    assert absent == pytest.approx(-850)
    picture = np.concatenate([cohort.picture(case)[0] for case in cohort.cases.index[:10]])
    hu = picture * 1400 - 1000
    lungs = (hu > -950) & (hu < -750)
    assert 0.1 < lungs.mean() < 0.4 and abs(hu[lungs].mean() - absent) < 20


def test_the_record_tells_where_it_should():
    cases = ChestPhantom(count=1000).cases
    told, silent = cases[cases["evidence"] != "volume"], cases[cases["evidence"] == "volume"]
    assert ((told["Smoking"] == "never") == (told["truth"] == "benign")).all()
    assert silent["Smoking"].isna().all()
    ages = [rows.groupby("truth")["Age"].mean() for rows in (told, silent)]
    assert ages[0]["malignant"] - ages[0]["benign"] > 20
    assert abs(ages[1]["malignant"] - ages[1]["benign"]) < 2
    assert set(cases["evidence"]) == {"volume", "record", "both"}


def test_the_chest_grows_with_the_picture_and_the_nodule_does_not():
    small, large = ChestPhantom(count=20), ChestPhantom(count=20, size=96, depth=32)
    chest = [(c.picture("phantom-0000")[0, 4] > 0.5).mean() for c in (small, large)]
    assert chest[0] == pytest.approx(chest[1], rel=0.15)
    nodule = [np.mean([c.mask(case).sum() for case in c.cases.index]) for c in (small, large)]
    assert nodule[0] == pytest.approx(nodule[1], rel=0.25)


def test_the_seed_decides_everything_and_cases_are_drawn_alone():
    one, again, other = ChestPhantom(count=30), ChestPhantom(count=30), ChestPhantom(count=30, seed=2)
    case = one.cases.index[7]
    one.picture(one.cases.index[3])
    assert np.array_equal(one.picture(case), again.picture(case))
    assert np.array_equal(one.mask(case), again.mask(case))
    assert not np.array_equal(one.picture(case), other.picture(case))


def test_planted_says_where_the_evidence_is(cohort):
    words = {case: cohort.planted(case) for case in cohort.cases.index[:40]}
    assert {text.split(", ")[1] for text in words.values()} == {
        "shown by the volume",
        "shown by the record",
        "shown by both volume and record",
    }


def test_a_case_is_drawn_in_milliseconds(cohort):
    start = time.process_time()
    for case in cohort.cases.index[:50]:
        cohort.picture(case)
    assert (time.process_time() - start) / 50 < 0.02


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"in_volume": 0.3, "in_record": 0.3}, "'in_volume' and 'in_record' sum to 0.6"),
        ({"in_volume": 2}, "'in_volume' is a share between 0 and 1"),
        ({"depth": 4}, "8 slices and 32 pixels or more"),
    ],
)
def test_impossible_cohorts_get_a_sentence(settings, sentence):
    with pytest.raises(InputError, match=sentence):
        ChestPhantom(**settings)
