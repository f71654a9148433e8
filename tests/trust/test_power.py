"""Power against RJafroc's printed values for Van Dyke's study as a pilot, and against simulation."""

import numpy as np
import pytest

from studykit.catalog import InputError
from studykit.trust import NotEstimable
from studykit.trust.power import Pilot, pilot, planned_power, sample_size, simulated_power
from studykit.trust.roe_metz import roe_metz
from tests.trust.test_mrmc import real_data, van_dyke

GAP = 0.043800322
# RJafroc's tests (after Hillis 2011 and 2018), trapezoid AUC: {(analysis, readers, cases): power}
PRINTED = {
    ("RRRC", 10, 165): 0.80541995, ("FRRC", 10, 131): 0.80091813, ("RRFC", 10, 53): 0.80496663,
    ("RRRC", 6, 111): 0.5526116,
}  # fmt: skip


@real_data
def test_power_is_what_is_printed():
    told = pilot(van_dyke())
    for (analysis, readers, cases), wanted in PRINTED.items():
        found = planned_power(told, GAP, [readers], [cases], analysis)
        assert found["power"][0] == pytest.approx(wanted, abs=1e-7), analysis
        assert (found["analysis"][0], found["difference"][0], found["alpha"][0]) == (analysis, GAP, 0.05)


@real_data
def test_sample_size_is_what_is_printed():
    found = sample_size(pilot(van_dyke()), GAP, [3, 6])
    assert list(found["cases"]) == [100_000, 251] and list(found["reached"]) == [False, True]
    assert planned_power(pilot(van_dyke()), GAP, [6], [250])["power"][0] < 0.8 <= found["power"][1]


def test_more_is_better_and_nothing_is_the_level():
    told = Pilot(100, 0.0008, 0.0008, 0.0004, 0.0004, 0.0003)
    grid = planned_power(told, 0.05, [3, 6, 12], [50, 100, 200])
    table = grid.pivot(index="readers", columns="cases", values="power").to_numpy()
    assert (np.diff(table, axis=0) > 0).all() and (np.diff(table, axis=1) > 0).all()
    assert planned_power(told, 0.0, [5], [100])["power"][0] == pytest.approx(0.05)
    silent = Pilot(100, 0.0, 0.0, 0.0, 0.0, 0.0)
    assert np.isnan(planned_power(silent, 0.05, [5], [100])["power"][0])


def test_the_equations_agree_with_simulation():
    """Variances from many simulated pilots; then power by the equations and by counting."""
    pilots = [pilot(roe_metz(8, 60, 60, (0.8, 0.87), seed=seed)) for seed in range(40)]
    mean = Pilot(
        120, *(np.mean([getattr(p, n) for p in pilots]) for n in ("ms_tr", "var", "cov1", "cov2", "cov3"))
    )
    wanted = planned_power(mean, 0.07, [5], [120])["power"][0]
    found = simulated_power([5], [120], (0.8, 0.87), repeats=400).iloc[0]
    assert 0.3 < wanted < 0.95
    assert abs(found["power"] - wanted) < 0.08


def test_simulated_power_tells_its_assumptions():
    settings = {"auc": (0.85, 0.85), "structure": "LL", "repeats": 200, "seed": 7}
    told = simulated_power([4], [60], **settings)
    line = told.iloc[0]
    assert {"seed", "repeats", "auc", "structure", "reader_variance", "prevalence", "alpha"} <= set(told)
    assert (line["seed"], line["repeats"], line["auc"], line["refused"]) == (7, 200, "0.85, 0.85", 0)
    assert line["low"] < line["power"] < line["high"] and line["power"] < 0.1  # no difference: the level
    again = simulated_power([4], [60], **settings)
    assert again.equals(told)
    split = simulated_power([4], [80], blocks=2, design="split-plot", repeats=5)
    assert split["blocks"][0] == 2


def test_pilots_of_other_designs():
    split = pilot(roe_metz(6, 20, 20, design="split-plot", blocks=2))
    assert split.cases == 40  # each reader's
    nested = pilot(roe_metz(6, 20, 20, design="cases nested"))
    assert (nested.cov1, nested.cov3) == (0, 0) and nested.cov2 > 0
    for table in (
        roe_metz(1, 20, 20),
        roe_metz(4, 20, 20, (0.8,)),
        roe_metz(4, 20, 20, design="readers nested"),
        roe_metz(4, 20, 20, design="split-plot", blocks=4),
    ):
        with pytest.raises(NotEstimable):
            pilot(table)


@pytest.mark.parametrize(
    "act",
    [
        lambda p: planned_power(p, 0.05, [1], [100]),
        lambda p: planned_power(p, 0.05, [5], []),
        lambda p: planned_power(p, 0.05, [5], [100], alpha=0),
        lambda p: planned_power(p, 0.05, [5], [100], analysis="both"),
        lambda p: sample_size(p, 0.05, [5], power=1),
        lambda p: simulated_power([5], [100], prevalence=0),
        lambda p: simulated_power([5], [4], prevalence=0.01),
        lambda p: simulated_power([5], [100], auc=(0.8,)),
    ],
)
def test_wrong_settings(act):
    with pytest.raises(InputError):
        act(Pilot(100, 0.001, 0.001, 0.0005, 0.0005, 0.0003))


@pytest.mark.parametrize(
    "ask, thing",
    [
        (lambda p: planned_power(p, np.nan, [5], [60]), "difference"),
        (lambda p: planned_power(p, 0.1, [np.nan], [60]), "two readers"),
        (lambda p: planned_power(p, 0.1, [5], [60, np.inf]), "two readers"),
        (lambda p: planned_power(p, 0.1, [5], [60], alpha=np.nan), "level"),
        (lambda p: sample_size(p, 0.0, [5]), "difference"),
        (lambda p: sample_size(p, np.inf, [5]), "difference"),
        (lambda p: sample_size(p, 0.1, []), "two readers"),
        (lambda p: sample_size(p, 0.1, [5], power=np.nan), "Power"),
        (lambda p: sample_size(p, 0.1, [5], analysis="RRR"), "analysis"),
        (lambda p: simulated_power([5], [60], repeats=np.nan), "a repeat"),
        (lambda p: simulated_power([5], [60], auc=(0.8, np.nan)), "AUC"),
    ],
)
def test_a_setting_that_cannot_be_is_refused(ask, thing):
    with pytest.raises(InputError, match=thing):
        ask(Pilot(100, 0.0008, 0.0008, 0.0004, 0.0004, 0.0003))
