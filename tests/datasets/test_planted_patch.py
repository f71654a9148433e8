import numpy as np
import pytest

from studykit.catalog import InputError
from studykit.datasets import PlantedPatch

SMALL = {"count": 60, "size": 48}
KINDS = pytest.mark.parametrize("kind", ["image", "volume"])


@KINDS
def test_the_patch_covers_at_most_two_percent(kind):
    cohort = PlantedPatch(**SMALL, kind=kind)
    shares = [cohort.mask(case).mean() for case in cohort.cases.index]
    assert min(shares) > 0.005 and max(shares) <= 0.02


@KINDS
def test_outside_the_patch_nothing_tells_the_class(kind, monkeypatch):
    cohort = PlantedPatch(**SMALL, kind=kind)
    case = cohort.cases.index[0]
    inside, as_it_is = cohort.mask(case), cohort.picture(case)[0]
    other = {"across": "upright", "upright": "across"}[cohort.cases.at[case, "truth"]]
    cohort.cases.loc[case, "truth"] = other
    turned = cohort.picture(case)[0]
    assert (as_it_is == turned)[~inside].all() and (as_it_is != turned)[inside].mean() > 0.3


def test_stripes_run_the_way_the_class_says():
    cohort = PlantedPatch(**SMALL)
    for case, row in cohort.cases.iterrows():
        rows, columns = (np.unique(at) for at in np.nonzero(cohort.mask(case)))
        patch = cohort.picture(case)[0][np.ix_(rows, columns)]
        down, along = np.abs(np.diff(patch, axis=0)).mean(), np.abs(np.diff(patch, axis=1)).mean()
        assert (down > along) == (row["truth"] == "across")


def test_a_case_told_by_the_record_alone_has_a_checked_patch_and_a_marker():
    cohort = PlantedPatch(**SMALL, in_image=0.5, in_record=0.5)
    cases = cohort.cases
    for case, row in cases.iterrows():
        told = cohort.evidence(case)
        assert set(told) == {row["evidence"]} and (abs(row["Marker"]) > 0.9) == (row["evidence"] == "record")
    record = cases.index[cases["evidence"] == "record"]
    for case in record[:5]:
        before = cohort.picture(case)
        cases.loc[case, "truth"] = {"across": "upright", "upright": "across"}[cases.at[case, "truth"]]
        np.testing.assert_array_equal(cohort.picture(case), before)


def test_patches_do_not_lie_on_each_other():
    cohort = PlantedPatch(count=40, size=48, checked=4)
    for case in cohort.cases.index:
        drawn = np.zeros(cohort.space, dtype=int)
        for place, _ in cohort._places(case)[0]:
            drawn[place] += 1
        assert drawn.max() == 1 and drawn.sum() == 5 * np.prod(cohort.patch)


@pytest.mark.parametrize(
    ("wrong", "says"),
    [({"kind": "table"}, "kind of planted_patch"), ({"size": 20}, "at least 48"), ({"checked": 9}, "0 to 4")],
)
def test_bad_settings_get_a_sentence(wrong, says):
    with pytest.raises(InputError, match=says):
        PlantedPatch(**wrong)
