import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from studykit.catalog import InputError
from studykit.datasets.either_pair import EitherPair

PAIRS = [("image", "image"), ("volume", "image"), ("image", "table"), ("volume", "table")]


def contrast(picture):
    """What a smooth eye sees most clearly: the largest distance from the gray of the background, signed."""
    seen = gaussian_filter(picture[0] - 0.5, [side / 16 for side in picture[0].shape]).ravel()
    return seen[abs(seen).argmax()]


@pytest.mark.parametrize("share", [0, 0.25, 0.5, 0.75, 1])
@pytest.mark.parametrize("count", [200, 37])
def test_the_share_is_exact_and_the_classes_are_balanced_on_both_sides(share, count):
    cases = EitherPair(count=count, in_first=share).cases
    counts = cases.groupby("evidence")["truth"].value_counts().unstack().reindex(["first", "second"])
    sums = counts.sum(axis=1)
    assert abs(sums["first"] - share * count) <= 0.5 and sums.sum() == count
    assert (abs(counts["dark"] - counts["bright"]).dropna() <= 1).all()
    assert abs((cases["label"] == "bright").sum() - count / 2) <= 0.5


@pytest.mark.parametrize("kinds", PAIRS)
def test_the_telling_modality_tells_the_label_and_the_other_one_nothing(kinds):
    """Asked without any knowledge of where a blob is, or whether there is one."""
    cohort = EitherPair(count=300, kinds=kinds, in_first=0.5)
    bright = (cohort.cases["label"] == "bright").to_numpy()
    for name in ("first", "record" if "table" in kinds else "second"):
        if name == "record":
            found = cohort.cases["Marker"].to_numpy()
        else:
            found = np.array([contrast(cohort.picture(case, name)) for case in cohort.cases.index])
        tells = (cohort.cases["evidence"] == name).to_numpy()
        assert ((found > 0) == bright)[tells].all()
        assert abs(found[tells]).min() > abs(found[~tells]).max()
        assert abs(((found > 0) == bright)[~tells].mean() - 0.5) < 3 * 0.5 / 150**0.5  # three standard errors


@pytest.mark.parametrize("kinds", PAIRS)
def test_exactly_one_modality_holds_the_evidence(kinds):
    cohort = EitherPair(count=40, kinds=kinds)
    for case, row in cohort.cases.iterrows():
        evidence = cohort.evidence(case)
        assert list(evidence) == [row["evidence"]]
        assert cohort.planted(case) == f"{row['truth']}, shown by {row['evidence']} alone"
        for picture in cohort.pictures:
            mask, tells = cohort.mask(case, picture.name), picture.name in evidence
            assert mask.any() == tells and (not tells or evidence[picture.name][mask].all())
        if "record" in evidence:
            assert evidence["record"] == ("Marker",)


def test_the_share_moves_the_evidence_and_nothing_else():
    one, other = EitherPair(count=60, in_first=0.25), EitherPair(count=60, in_first=0.75)
    assert one.cases["label"].equals(other.cases["label"])
    moved = one.cases["evidence"] != other.cases["evidence"]
    assert moved.sum() == 30 and (one.cases["evidence"][moved] == "second").all()
    for case in one.cases.index:
        for name in ("first", "second"):
            away = abs(one.picture(case, name) - other.picture(case, name))[0]
            if not moved[case]:
                assert (away == 0).all()
                continue
            blob = {**one.evidence(case), **other.evidence(case)}[name]
            assert away[blob].max() > 0.15 and away[~blob].max() < 0.006


def test_label_noise_flips_labels_and_keeps_the_truth():
    cohort = EitherPair(count=2000, label_noise=0.1, kinds=("image", "table"))
    cases, clean = cohort.cases, EitherPair(count=2000, kinds=("image", "table")).cases
    assert abs((cases["label"] != cases["truth"]).mean() - 0.1) < 0.02
    told = cases[cases["evidence"] == "record"]
    assert ((told["Marker"] > 0) == (told["truth"] == "bright")).all()
    assert (clean["label"] == clean["truth"]).all()
    assert cases.drop(columns="label").equals(clean.drop(columns="label"))


@pytest.mark.parametrize("size", [16, 17, 32, 64])
def test_every_blob_is_outlined_however_thin_the_slices(size):
    cohort = EitherPair(count=60, size=size, kinds=("volume", "table"), in_first=1.0)
    assert all(cohort.mask(case).any() for case in cohort.cases.index)


def test_a_patch_of_a_quarter_of_the_side_holds_most_of_a_blob():
    cohort = EitherPair(count=200, in_first=1.0)
    blobs = np.stack([cohort._blob(case, "first")[0] for case in cohort.cases.index])
    patches = blobs.reshape(200, 4, 8, 4, 8).sum(axis=(2, 4)).reshape(200, 16)
    assert np.median(patches.max(axis=1) / patches.sum(axis=1)) > 0.5


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"kinds": ("table", "image")}, "'kinds' of either_pair is a pair"),
        ({"in_first": 1.5}, "'in_first' is a share between 0 and 1"),
        ({"label_noise": -0.1}, "'label_noise' is a share between 0 and 1"),
        ({"count": 4}, "either_pair has at least 20 cases"),
    ],
)
def test_impossible_cohorts_get_a_sentence(settings, sentence):
    with pytest.raises(InputError, match=sentence):
        EitherPair(**settings)
