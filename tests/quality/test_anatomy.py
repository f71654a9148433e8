"""On which muscle a map's weight falls, on the leg phantom, whose muscles are known."""

import numpy as np
import pytest

from studykit.catalog import InputError
from studykit.datasets import BreastPhantom, LegPhantom
from studykit.datasets.leg_phantom import MUSCLES
from studykit.quality.anatomy import by_region, muscles

LEG = LegPhantom(count=20, size=48)
IDS = list(LEG.cases.index[:3])


def test_weight_put_in_one_muscle_is_found_there_and_nowhere_else():
    for name in MUSCLES:
        heat = np.array([LEG.compartments(case)[name] * 2.0 for case in IDS])
        table = muscles(LEG, IDS, heat, "t1")
        there = table["region"] == name
        assert table[there]["mass"].tolist() == [1.0] * 3 and not table[~there]["mass"].any()
        np.testing.assert_allclose(table[there]["lift"], 1 / heat.astype(bool).mean((1, 2)))


def test_an_even_map_gives_the_areas():
    table = muscles(LEG, IDS, np.ones((3, 48, 48)), "stir")
    np.testing.assert_allclose(table["mass"], table["area"], rtol=1e-12)
    np.testing.assert_allclose(table["lift"], 1.0)
    assert set(table["modality"]) == {"stir"} and set(MUSCLES) < set(table["region"])
    by_case = table.groupby("case")["area"].sum()  # no two compartments overlap, and elsewhere is the rest
    np.testing.assert_allclose(by_case, 1.0)


def test_muscles_are_found_by_the_case_and_not_by_its_place_in_the_list():
    heat = np.array([LEG.compartments(case)["soleus"] * 1.0 for case in IDS])
    order = [2, 0, 1]
    straight = muscles(LEG, IDS, heat, "t1").set_index(["case", "region"])
    shuffled = muscles(LEG, [IDS[at] for at in order], heat[order], "t1").set_index(["case", "region"])
    assert straight.sort_index().equals(shuffled.sort_index())
    wrong = muscles(LEG, [IDS[at] for at in order], heat, "t1")  # other patients' muscles
    assert wrong[wrong["region"] == "soleus"]["mass"].max() < 1


def test_regions_may_be_empty_overlap_or_leave_places_out():
    heat = np.array([[[3.0, 1], [-5.0, 0]], [[-1.0, 0], [0, 0]]])
    left = np.array([[[True, False], [True, False]]] * 2)
    table = by_region(heat, {"left": left, "none": ~left & left}, ["a", "b"]).set_index(["region", "case"])
    assert table.loc[("left", "a")].tolist() == [0.75, 0.5, 1.5]
    assert table.loc[("elsewhere", "a"), "mass"] == 0.25
    assert table.loc["none"].isna().all(axis=None)
    assert np.isnan(table.loc[("left", "b"), "mass"]) and table.loc[("left", "b"), "area"] == 0.5
    signs = by_region(heat, {"left": left}, negative="absolute")
    assert signs["mass"][0] == pytest.approx(8 / 9) and signs["case"].tolist() == ["0", "1"] * 2


def test_what_cannot_be_gets_a_sentence():
    heat = np.ones((3, 48, 48))
    with pytest.raises(InputError, match="does not know which muscle is where; choose leg_phantom"):
        muscles(BreastPhantom(), IDS, heat, "image")
    with pytest.raises(InputError, match=r"are none of 't2'; leg_phantom has t1 \(48, 48\)"):
        muscles(LEG, IDS, heat, "t2")
    with pytest.raises(InputError, match=r"Maps of \(48,\) are none of 't1'"):
        muscles(LEG, IDS, heat[0], "t1")
    with pytest.raises(InputError, match="3 maps and 2 names of cases"):
        muscles(LEG, IDS[:2], heat, "t1")
