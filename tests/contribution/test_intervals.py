"""Intervals over patients against a slow bootstrap, collapse, and what is said where nothing can be told."""

import numpy as np
import pytest
import torch

from studykit.catalog import InputError
from studykit.contribution import modality_contribution
from studykit.scores import draws
from tests.contribution.twin import Mixed, normal

INPUTS = {"a": normal(12, 3, seed=1), "b": normal(12, 4, seed=2), "c": normal(12, 2, seed=3)}
GROUPS = list("ppqqqrstuuvw")
AGGREGATIONS = ("ratio_of_means", "mean_of_ratios", "per_class")


@pytest.fixture(scope="module")
def asked():
    return modality_contribution(Mixed(INPUTS, 3), INPUTS, groups=GROUPS)


def by_definition(sizes, aggregation):
    """Shares of a list of cases, each {modality: (K,) sizes}, with loops."""
    names, outputs = list(sizes[0]), range(len(next(iter(sizes[0].values()))))
    if aggregation == "ratio_of_means":
        means = {n: sum(sum(case[n]) for case in sizes) / len(sizes) for n in names}
    elif aggregation == "mean_of_ratios":
        means = dict.fromkeys(names, 0.0)
        for case in sizes:
            whole = sum(sum(case[n]) for n in names)
            for n in names:
                means[n] += sum(case[n]) / whole / len(sizes)
    else:
        means = dict.fromkeys(names, 0.0)
        for case in sizes:
            for k in outputs:
                for n in names:
                    means[n] += case[n][k] / sum(case[m][k] for m in names) / len(sizes)
    whole = sum(means.values())
    return {n: amount / whole for n, amount in means.items()}


def cases_of(asked):
    return [{n: np.abs(d[k]).sum(axis=0) for n, d in asked.differences.items()} for k in range(12)]


@pytest.mark.parametrize("aggregation", AGGREGATIONS)
def test_shares_are_their_definition(asked, aggregation):
    assert asked.share(aggregation) == pytest.approx(by_definition(cases_of(asked), aggregation), abs=1e-12)


@pytest.mark.parametrize("aggregation", AGGREGATIONS)
def test_intervals_are_percentiles_over_the_very_draws_of_patients(asked, aggregation):
    cases, drawn = cases_of(asked), []
    for times in draws(GROUPS, 200, seed=5):
        some = [case for case, count in zip(cases, times, strict=True) for _ in range(int(count))]
        drawn.append(list(by_definition(some, aggregation).values()))
    table = asked.table(aggregation, level=0.9, resamples=200, seed=5).iloc[:3]
    assert table["estimate"].tolist() == pytest.approx(list(asked.share(aggregation).values()))
    np.testing.assert_allclose(table["low"], np.percentile(drawn, 5, axis=0), atol=1e-12)
    np.testing.assert_allclose(table["high"], np.percentile(drawn, 95, axis=0), atol=1e-12)
    assert (
        table["group"].tolist() == ["a", "b", "c"] and (table["n"] == 12).all() and (table["why"] == "").all()
    )


def test_intervals_are_those_of_a_slow_bootstrap_of_its_own(asked):
    """Patients drawn one by one, all cases of a patient together; 4,000 draws against 4,000."""
    rng, cases, drawn = np.random.default_rng(1), cases_of(asked), []
    patients = sorted(set(GROUPS))
    for _ in range(4000):
        some = []
        for patient in rng.choice(patients, size=len(patients)):
            some += [case for case, group in zip(cases, GROUPS, strict=True) if group == patient]
        sums = np.array([sum(case[n].sum() for case in some) for n in "abc"])
        drawn.append(sums / sums.sum())
    table = asked.table(resamples=4000).iloc[:3]
    np.testing.assert_allclose(
        table[["low", "high"]].to_numpy().T, np.percentile(drawn, [2.5, 97.5], axis=0), atol=0.01
    )


def test_cases_of_one_patient_are_no_more_than_one_case():
    """Each patient's case three times: as nine patients the interval is narrower by root 3."""
    thrice = {name: x[:3].repeat(3, 1) for name, x in INPUTS.items()}
    three = modality_contribution(Mixed(INPUTS, 3), {name: x[:3] for name, x in INPUTS.items()}).table()
    together = modality_contribution(Mixed(INPUTS, 3), thrice, groups=list("pqr") * 3).table()
    apart = modality_contribution(Mixed(INPUTS, 3), thrice).table()
    for column in ("estimate", "low", "high"):
        np.testing.assert_allclose(together[column], three[column], atol=1e-12)
    widths = [(table["high"] - table["low"])[:3] for table in (apart, together)]
    assert (widths[0] < 0.8 * widths[1]).all()


def test_each_output_has_lines_of_its_own(asked):
    table = asked.table(resamples=100, seed=2).set_index(["statistic", "group"])
    for k, output in enumerate(asked.outputs):
        one = [{n: sizes[[k]] for n, sizes in case.items()} for case in cases_of(asked)]
        wanted = by_definition(one, "ratio_of_means")
        for n in "abc":
            assert table.loc[(f"contribution to {output}", n), "estimate"] == pytest.approx(wanted[n])
            assert asked.per_class().loc[n, output] == pytest.approx(wanted[n])
    assert len(table) == 3 * (1 + 3)


def test_one_patient_has_no_interval_and_a_reason():
    asked = modality_contribution(Mixed(INPUTS, 1), INPUTS, groups=["p"] * 12)
    table = asked.table()
    assert table["estimate"].notna().all() and table[["low", "high"]].isna().all(axis=None)
    assert (table["why"] == "all cases are of one patient; an interval needs two").all()


def test_cases_in_which_nothing_moved_are_left_out_of_mean_ratios_only():
    inputs = {name: x.clone() for name, x in INPUTS.items()}
    for x in inputs.values():
        x[3] = 0
    asked = modality_contribution(Mixed(inputs, 2), inputs)
    assert asked.per_case().loc["3"].isna().all() and asked.per_case().drop("3").notna().all(axis=None)
    others = modality_contribution(
        Mixed(inputs, 2), {n: torch.cat([x[:3], x[4:]]) for n, x in inputs.items()}
    )
    for aggregation in AGGREGATIONS:
        assert asked.share(aggregation) == pytest.approx(others.share(aggregation), abs=1e-12)
    assert asked.table("mean_of_ratios")["low"].notna().all()


def test_a_constant_model_has_no_share_and_a_reason():
    asked = modality_contribution(lambda a, b, c: torch.full((len(a), 2), 0.3), INPUTS)
    for aggregation in AGGREGATIONS:
        assert np.isnan(list(asked.share(aggregation).values())).all()
        table = asked.table(aggregation)
        assert table[["estimate", "low", "high"]].isna().all(axis=None)
        assert (table["why"] == "nothing moved: no part that was taken away changed this answer").all()
    assert asked.per_part("a").isna().all() and asked.within("a").isna().all()
    assert asked.per_class().isna().all(axis=None) and asked.collapse() == ""
    assert np.isnan(list(asked.sampling_interval().values())).all()


def test_a_dead_output_has_a_reason_and_takes_nothing_from_the_others():
    model = Mixed(INPUTS, 2)
    dead = modality_contribution(
        model,
        INPUTS,
        output=lambda said: torch.stack([said[:, 0], torch.zeros(len(said)), said[:, 1]], dim=1),
    )
    living = modality_contribution(model, INPUTS)
    for aggregation in AGGREGATIONS:
        assert dead.share(aggregation) == pytest.approx(living.share(aggregation), abs=1e-12)
    assert dead.per_class()["output 1"].isna().all() and dead.per_class()["output 2"].notna().all()
    table = dead.table(resamples=50).set_index("statistic")
    assert table.loc["contribution to output 1", ["estimate", "low", "high"]].isna().all(axis=None)
    assert table.loc["contribution to output 1", "why"].str.contains("nothing moved").all()
    assert (table.drop(index="contribution to output 1")["why"] == "").all()


def leaning(weight, groups=GROUPS):
    """A model of which a part of `weight`, give or take, is a's."""
    inputs = {"a": 1 + 0.2 * INPUTS["a"][:, :1].abs(), "b": 1 + 0.2 * INPUTS["b"][:, :1].abs()}
    return modality_contribution(lambda a, b: weight * a + (1 - weight) * b, inputs, groups=groups)


def test_one_modality_decides_alone_where_its_whole_interval_lies_above_the_threshold():
    assert leaning(0.99).collapse() == "a" and leaning(0.01).collapse() == "b"
    assert leaning(0.5).collapse() == "" and leaning(0.9).collapse() == ""
    for weight in np.linspace(0.945, 0.96, 31):
        asked = leaning(weight)
        first = asked.table().iloc[0]
        assert asked.collapse() == ("a" if first["low"] > 0.95 else "")
        if first["low"] <= 0.95 < first["estimate"]:
            break
    else:
        raise AssertionError("no share lay above the threshold with an interval across it")
    assert leaning(0.9).collapse(threshold=0.8) == "a"
    assert leaning(0.99, groups=["p"] * 12).collapse() == "a"  # no interval: its share decides


def test_one_modality_cannot_collapse_into_itself():
    asked = modality_contribution(lambda a: a, {"a": INPUTS["a"]})
    assert asked.share() == {"a": 1.0} and asked.collapse() == ""


@pytest.mark.parametrize("way", ["share", "table"])
def test_an_unknown_aggregation_gets_a_sentence(asked, way):
    with pytest.raises(
        InputError, match="no aggregation named 'ratio of means'; did you mean ratio_of_means"
    ):
        getattr(asked, way)("ratio of means")
