from copy import deepcopy

import numpy as np
import pytest

from studykit.catalog import InputError
from studykit.datasets import BreastPhantom, breast_phantom


@pytest.mark.parametrize(("in_image", "in_record"), [(0.6, 0.6), (1.0, 0.0), (0.0, 1.0), (0.5, 0.5)])
def test_the_evidence_lies_where_the_settings_say(in_image, in_record):
    cases = BreastPhantom(count=2000, in_image=in_image, in_record=in_record).cases
    shares = cases["evidence"].value_counts(normalize=True)
    both = in_image + in_record - 1
    wanted = {"image": in_image - both, "record": in_record - both, "both": both}
    for where, share in wanted.items():
        assert abs(shares.get(where, 0) - share) < 0.05
    told = cases[cases["evidence"] != "image"]
    assert (told["Growth"] == told["truth"].map({"malignant": "grown", "benign": "stable"})).all()
    silent = cases[cases["evidence"] == "image"]
    assert silent["Growth"].isna().all()
    if len(silent):
        ages = silent.groupby("truth")["Age"].mean()
        assert abs(ages["malignant"] - ages["benign"]) < 2


def test_label_noise_flips_labels_and_keeps_the_truth():
    cases = BreastPhantom(count=2000, label_noise=0.2).cases
    assert abs((cases["lesion"] != cases["truth"]).mean() - 0.2) < 0.03
    assert (BreastPhantom(count=50).cases["lesion"] == BreastPhantom(count=50).cases["truth"]).all()


def test_only_evidence_shapes_the_outline():
    cohort = BreastPhantom(count=300, size=96)
    cases = cohort.cases

    def solidity(case):  # area against that of the circle that just holds it: low for spikes
        y, x = np.nonzero(cohort.mask(case))
        reach = np.hypot(y - y.mean(), x - x.mean()).max()
        return len(y) / (np.pi * reach**2)

    values = {case: solidity(case) for case in cases.index}
    shown, hidden = cases[cases["evidence"] != "record"], cases[cases["evidence"] == "record"]
    smooth = [values[c] for c in shown.index[shown["truth"] == "benign"]]
    spiky = [values[c] for c in shown.index[shown["truth"] == "malignant"]]
    assert max(spiky) < min(smooth)
    by_truth = [np.mean([values[c] for c in rows.index]) for _, rows in hidden.groupby("truth")]
    assert abs(by_truth[0] - by_truth[1]) < 0.05


def test_the_mask_is_exact():
    cohort = BreastPhantom(count=20, size=128)
    for case in cohort.cases.index[:5]:
        picture, mask = cohort.picture(case)[0], cohort.mask(case)
        assert picture[mask].mean() < 0.6 * picture[~mask].mean()


@pytest.mark.parametrize("size", [32, 96])
def test_outside_its_evidence_a_picture_is_the_same_whatever_the_outline(monkeypatch, size):
    cohort, real = BreastPhantom(count=60, size=size, in_image=1.0, in_record=0.0), breast_phantom._edge
    pictures = {}
    for shape in ("benign", "lobulated", "malignant"):

        def edge(_, angle, draw, shape=shape):
            return real(shape, angle, deepcopy(draw))  # what is drawn after it stays the same

        monkeypatch.setattr(breast_phantom, "_edge", edge)
        pictures[shape] = {case: cohort.picture(case)[0] for case in cohort.cases.index}
    for case in cohort.cases.index:
        smooth, lobulated, spiculated = (pictures[shape][case] for shape in pictures)
        region = cohort.evidence(case)["image"]
        assert np.array_equal(smooth[~region], spiculated[~region])
        assert np.array_equal(smooth[~region], lobulated[~region])
        assert not np.array_equal(smooth[region], spiculated[region])


def test_the_form_of_the_evidence_does_not_know_the_label():
    cohort, flipped = BreastPhantom(count=40), BreastPhantom(count=40)
    flipped.cases["truth"] = flipped.cases["truth"].map({"benign": "malignant", "malignant": "benign"})
    for case, row in cohort.cases.iterrows():
        one, two = cohort.evidence(case), flipped.evidence(case)
        assert (
            set(one) == set(two) == ({"image", "record"} if row["evidence"] == "both" else {row["evidence"]})
        )
        assert one.get("record") == two.get("record") and one.get("record") in (None, ("Age", "Growth"))
        if "image" in one:
            assert np.array_equal(one["image"], two["image"]) and 0.2 < one["image"].mean() < 0.75


def test_the_seed_decides_everything():
    a, b, c = (
        BreastPhantom(count=30, seed=1),
        BreastPhantom(count=30, seed=1),
        BreastPhantom(count=30, seed=2),
    )
    case = a.cases.index[7]
    assert np.array_equal(a.picture(case), b.picture(case))
    assert not np.array_equal(a.picture(case), c.picture(case))
    assert a.fingerprint == b.fingerprint != c.fingerprint


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"in_image": 0.3, "in_record": 0.3}, "sum to 0.6"),
        ({"label_noise": 2}, "share between 0 and 1"),
        ({"count": 3}, "at least 20 cases"),
    ],
)
def test_impossible_cohorts_get_a_sentence(settings, sentence):
    with pytest.raises(InputError, match=sentence):
        BreastPhantom(**settings)
