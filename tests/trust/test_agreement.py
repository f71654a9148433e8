"""Every printed value of agreement, to its digits."""

import numpy as np
import pandas as pd
import pytest

from studykit.trust.brennan_prediger import BrennanPrediger
from studykit.trust.cohen_kappa import CohenKappa
from studykit.trust.conger_kappa import CongerKappa
from studykit.trust.fleiss_kappa import FleissKappa
from studykit.trust.gwet_ac import GwetAC
from studykit.trust.krippendorff_alpha import KrippendorffAlpha
from studykit.trust.light_kappa import LightKappa
from tests.trust.agreement_tables import (
    COHEN_1968,
    FLEISS_LEVIN_PAIK,
    GWET,
    KRIPPENDORFF,
    PARADOX,
    TEXTBOOK,
    counted,
    crossed,
    lidc,
    long,
    published,
    value,
)

PAIR = {"group": "0, 1"}


def printed(number, text):
    """Whether a number, rounded to the digits of the text, is the text."""
    return f"{number:.{len(text.split('.')[1])}f}" == text


@pytest.mark.real_data
@pytest.mark.parametrize(
    ("statistic", "text"),
    [(FleissKappa(), "0.4302"), (CongerKappa(), "0.4418"), (LightKappa(resamples=40), "0.4594")],
)
def test_fleiss_1971_of_six_psychiatrists(statistic, text):
    told = statistic(long(published("irr/diagnoses.csv").to_numpy().T))
    assert printed(value(told, statistic.called), text)


def test_the_textbook_table_of_14_raters():
    assert printed(value(FleissKappa()(counted(TEXTBOOK)), "Fleiss' kappa"), "0.2099")
    assert printed(value(BrennanPrediger()(counted(TEXTBOOK)), "Brennan-Prediger kappa"), "0.2225")


def test_cohen_1968_with_his_own_weights():
    table = long(crossed(COHEN_1968))
    own = CohenKappa(weights=((0, 1, 3), (1, 0, 6), (3, 6, 0)))
    assert printed(value(CohenKappa()(table), "Cohen's kappa", **PAIR), "0.4915")
    assert printed(value(own(table), "Cohen's kappa (own weights)", **PAIR), "0.3478")


def test_both_standard_errors_of_fleiss_levin_and_paik():
    told = CohenKappa()(long(crossed(FLEISS_LEVIN_PAIK)))
    assert printed(value(told, "Cohen's kappa", **PAIR), "0.6765")
    assert printed(value(told, "standard error", **PAIR), "0.0877")
    assert printed(value(told, "standard error under chance", **PAIR), "0.0762")


def test_the_paradox_and_what_explains_it():
    table = long(crossed(PARADOX))
    told = CohenKappa()(table)
    assert printed(value(told, "observed agreement", **PAIR), "0.944")
    assert printed(value(told, "Cohen's kappa", **PAIR), "-0.0234")
    assert printed(value(GwetAC()(table), "Gwet's AC1"), "0.9408")
    assert value(told, "prevalence index", **PAIR) == pytest.approx((118 - 0) / 125)
    assert value(told, "bias index", **PAIR) == pytest.approx((5 - 2) / 125)
    assert value(told, "share of '0', 0", **PAIR) == pytest.approx(123 / 125)
    assert value(told, "share of '1', 1", **PAIR) == pytest.approx(5 / 125)


@pytest.mark.parametrize(
    ("metric", "text"),
    [("nominal", "0.743"), ("ordinal", "0.815"), ("interval", "0.849"), ("ratio", "0.797")],
)
def test_krippendorff_s_four_observers(metric, text):
    told = KrippendorffAlpha(metric=metric)(long(KRIPPENDORFF))
    assert printed(value(told, f"Krippendorff's alpha ({metric} metric)"), text)
    assert value(told, "pairable ratings") == 40
    assert told["n"].iloc[0] == 11


# the standard errors as printed in irrCAC's vignette and tests, of these ratings
@pytest.mark.parametrize(
    ("statistic", "text", "error"),
    [
        (GwetAC(), "0.77544", "0.14295"),
        (FleissKappa(), "0.76117", "0.15302"),
        (CongerKappa(), "0.76282", "0.14917"),
        (BrennanPrediger(), "0.77273", "0.14472"),
        (GwetAC(weights="linear"), "0.85874", "0.117"),
        (GwetAC(weights="quadratic"), "0.91400", "0.104"),
        (GwetAC(weights="ordinal"), "0.899", "0.107"),
        (FleissKappa(weights="linear"), "0.818", "0.149"),
        (FleissKappa(weights="ordinal"), "0.850", "0.147"),
        (FleissKappa(weights="quadratic"), "0.865", "0.146"),
    ],
)
def test_gwet_s_four_raters(statistic, text, error):
    told = statistic(long(GWET))
    assert printed(value(told, statistic.called), text)
    assert printed(value(told, "standard error"), error)


def test_ordinal_weights_and_the_ordinal_metric_are_two_things():
    alpha = KrippendorffAlpha(metric="ordinal")(long(KRIPPENDORFF))
    whole = ~np.isnan(KRIPPENDORFF).all(axis=0) & ((~np.isnan(KRIPPENDORFF)).sum(axis=0) > 1)
    kappa = FleissKappa(weights="ordinal")(long(KRIPPENDORFF[:, whole]))
    assert printed(value(alpha, "Krippendorff's alpha (ordinal metric)"), "0.815")
    assert value(kappa, "Fleiss' kappa (ordinal weights)") > 0.82


@pytest.mark.real_data
def test_the_two_eyes_of_7477_people():
    eyes = published("irr/vision.csv")
    grades = tuple(sorted(eyes["r.eye"].unique()))
    counts = pd.crosstab(eyes["r.eye"], eyes["l.eye"]).to_numpy()
    ours = CohenKappa(weights="quadratic", categories=grades)(long(eyes.to_numpy().T))
    apart = (np.arange(4)[:, None] - np.arange(4)) ** 2
    p = counts / counts.sum()
    wanted = 1 - (p * apart).sum() / (p.sum(axis=1) @ apart @ p.sum(axis=0))
    assert value(ours, "Cohen's kappa (quadratic weights)", **PAIR) == pytest.approx(wanted, abs=1e-12)
    told = KrippendorffAlpha(metric="ordinal", categories=grades, resamples=100)(long(eyes.to_numpy().T))
    assert told["n"].iloc[0] == 7477 and 0.5 < told["low"].iloc[0] < told["high"].iloc[0] < 1


LIDC = {
    "Krippendorff's alpha (ordinal metric)": KrippendorffAlpha(metric="ordinal", resamples=200),
    "Fleiss' kappa": FleissKappa(),
    "Gwet's AC1": GwetAC(),
    "Brennan-Prediger kappa": BrennanPrediger(),
}


@pytest.mark.real_data
@pytest.mark.parametrize("exactly", [4, 0])
@pytest.mark.parametrize("name", LIDC)
def test_lidc_s_anonymous_readers_are_told_by_what_suits_them(name, exactly):
    table = lidc(exactly)
    assert not exactly or table["case"].nunique() == 608
    told = LIDC[name](table).iloc[0]
    assert told["statistic"] == name and told["why"] == ""
    assert told["low"] < told["estimate"] < told["high"]
    alone = LIDC[name](table.drop(columns="patient")).iloc[0]  # nodules of a patient taken as independent
    assert alone["estimate"] == told["estimate"] and alone["low"] != told["low"]


@pytest.mark.real_data
@pytest.mark.parametrize("statistic", [CohenKappa(), CongerKappa(), LightKappa()])
def test_lidc_s_anonymous_readers_are_refused_by_what_must_know_them(statistic):
    told = statistic(lidc(exactly=4))
    assert told["estimate"].isna().all() and "anonymous" in told["why"].iloc[0]
