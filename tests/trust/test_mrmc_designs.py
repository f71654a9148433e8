"""Split-plot, nested and partly crossed studies: printed anchors, equations by hand, Gallas' estimator."""

import itertools

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from studykit.trust.mrmc import Mrmc
from studykit.trust.readings import readings
from studykit.trust.roe_metz import roe_metz
from tests.trust.test_mrmc import counted, ends, folder, real_data, value, van_dyke

VIPER = {"readerID": "reader", "caseID": "case", "modalityID": "condition", "score": "rating"}
ANCHORS = {
    "challengeMedP": (0.654, 0.678), "screeningLowP": (0.702, 0.727), "screeningMedP": (0.724, 0.730),
}  # fmt: skip
BLOCKS = "split-plot: 4 blocks of readers, each with its own cases"
WORDS = {
    "challengeMedP": f"{BLOCKS}, 13 of 4390 readings not there",
    "screeningLowP": "partly crossed, 9849 of 16760 readings not there",
    "screeningMedP": f"{BLOCKS}, 25 of 4350 readings not there",
}


def viper(name=None):
    table = pd.read_csv(folder() / "viper" / "viperObs.csv")
    table = table.rename(columns={**VIPER, "cancerStatus455": "truth"})
    return table if name is None else table[table["subStudyLabel"] == name]


# ---- A witness of another kind


def one_shot(read, signs=(1, -1)):
    """Gallas' unbiased variance of a mean over readers, for whatever was read (Acad Radiol 2006;13:353;
    Neural Networks 2008;21:387): the moments of products of success scores over all pairs of (reader,
    positive, negative), by which of the three they have in common. Gives the estimate and its standard error.
    """
    positive, negative = read.positive, ~read.positive
    scores = np.zeros((len(read.readers), positive.sum(), negative.sum()))
    there = np.ones_like(scores)
    for condition, sign in enumerate(signs):
        if sign:
            x = read.ratings[condition][:, positive, None]
            y = read.ratings[condition][:, None, negative]
            scores += sign * ((x > y) + (x == y) / 2)
            there *= ~np.isnan(x) & ~np.isnan(y)
    scores *= there
    weights = there / there.sum(axis=(1, 2), keepdims=True) / len(there)
    subsets = [kept for count in range(4) for kept in itertools.combinations(range(3), count)]

    def products(values):
        """Sums of products over pairs that agree in exactly these factors."""
        at_least = {}
        for kept in subsets:
            others = tuple(axis for axis in range(3) if axis not in kept)
            at_least[kept] = (values.sum(axis=others) ** 2).sum()
        return {
            kept: sum(
                (-1) ** (len(more) - len(kept)) * at_least[more] for more in subsets if {*kept} <= {*more}
            )
            for kept in subsets
        }

    sums, counts, shares = products(scores), products(there), products(weights)
    moment = {kept: sums[kept] / counts[kept] for kept in subsets if counts[kept] > 0.5}
    variance = sum(shares[kept] * moment[kept] for kept in moment) - moment[()]
    return (weights * scores).sum(), np.sqrt(variance)


def one_shot_by_loops(read, signs=(1, -1)):
    """The same from the definition: all pairs of success scores one by one."""
    i_of, j_of = np.flatnonzero(read.positive), np.flatnonzero(~read.positive)
    found, count = [], {}
    for r, i, j in itertools.product(range(len(read.readers)), i_of, j_of):
        pairs = [(read.ratings[c, r, i], read.ratings[c, r, j]) for c in range(len(signs))]
        if not np.isnan(pairs).any():
            found.append((r, i, j, sum(s * ((x > y) + (x == y) / 2) for s, (x, y) in zip(signs, pairs))))
            count[r] = count.get(r, 0) + 1
    weight = {r: 1 / count[r] / len(count) for r in count}
    sums, counts, shares = {}, {}, {}
    for (r, i, j, a), (p, k, m, b) in itertools.product(found, found):
        kind = (r == p, i == k, j == m)
        sums[kind] = sums.get(kind, 0) + a * b
        counts[kind] = counts.get(kind, 0) + 1
        shares[kind] = shares.get(kind, 0) + weight[r] * weight[p]
    moment = {kind: sums[kind] / counts[kind] for kind in sums}
    variance = sum(shares[kind] * moment[kind] for kind in moment) - moment[False, False, False]
    return sum(weight[r] * a for r, _, _, a in found), np.sqrt(variance)


def test_the_witness_is_its_definition():
    table = roe_metz(3, 4, 4, (0.7, 0.9), "HH", seed=4)
    for thinned in (table, table[~((table["reader"] == "reader 2") & (table["case"] == "case 3"))]):
        read = readings(thinned)
        assert one_shot(read) == pytest.approx(one_shot_by_loops(read), rel=1e-9)


@real_data
def test_van_dyke_agrees_with_gallas():
    told, read = Mrmc()(van_dyke()), readings(van_dyke())
    estimate, error = one_shot(read)
    assert value(told, "AUC difference (RRRC)") == pytest.approx(estimate, abs=1e-12)
    assert value(told, "standard error of AUC difference (RRRC)") == pytest.approx(error, rel=0.01)
    for condition, signs in (("1", (1, 0)), ("2", (0, 1))):
        _, error = one_shot(read, signs)
        assert value(told, "standard error of mean AUC (RRRC)", condition) == pytest.approx(error, rel=0.01)


@real_data
@pytest.mark.parametrize("name", [*ANCHORS, None])
def test_viper_is_analysed_and_agrees_with_gallas(name):
    table = viper(name)
    told, read = Mrmc()(table), readings(table)
    near = 0.16 if name else 0.18  # of the whole, Gallas takes cases of unlike sub-studies for one population
    if name:
        assert value(told, "design", column="group") == WORDS[name]
        for condition, wanted in zip(("FFDM", "SFM"), ANCHORS[name], strict=True):
            assert value(told, "mean AUC (RRRC)", condition) == pytest.approx(wanted, abs=5.1e-4)
    for condition, signs in (("FFDM", (1, 0)), ("SFM", (0, 1))):
        estimate, error = one_shot(read, signs)
        assert value(told, "mean AUC (RRRC)", condition) == pytest.approx(estimate, abs=1e-12)
        assert value(told, "standard error of mean AUC (RRRC)", condition) == pytest.approx(error, rel=near)
    estimate, error = one_shot(read)  # of cases read under both, a few less
    assert value(told, "AUC difference (RRRC)") == pytest.approx(estimate, abs=2e-3)
    assert value(told, "standard error of AUC difference (RRRC)") == pytest.approx(error, rel=near)
    low, high = ends(told, "AUC difference (RRRC)")
    assert low < 0 < high and value(told, "p (RRRC)") > 0.1


# ---- Split-plot: Obuchowski, Gallas & Hillis 2012


def test_split_plot_is_the_published_equation():
    """Two blocks of three readers: MS(TR) within blocks, and a block's three readers times Cov2 - Cov3."""
    table = roe_metz(6, 12, 12, (0.75, 0.85), "HH", seed=11, design="split-plot", blocks=2)
    told = Mrmc()(table)
    assert value(told, "design", column="group") == "split-plot: 2 blocks of readers, each with its own cases"
    blocks = [
        table[table["reader"].isin(names)] for names in np.split(np.array(sorted(set(table["reader"]))), 2)
    ]
    parts = [Mrmc()(block) for block in blocks]  # each a crossed study
    mean = {name: np.mean([value(part, name) for part in parts]) for name in ("MS(TR)", "Cov2", "Cov3")}
    areas = told[told["statistic"] == "AUC"]
    first, second = (areas[areas["group"].str.endswith(c)]["estimate"].mean() for c in ("n 1", "n 2"))
    mst = 6 * (first - second) ** 2 / 2
    term = mean["MS(TR)"] + 3 * max(mean["Cov2"] - mean["Cov3"], 0)
    df = term**2 / (mean["MS(TR)"] ** 2 / 4)
    assert value(told, "MS(TR)", "AUC, within blocks of readers") == pytest.approx(mean["MS(TR)"])
    assert value(told, "F (RRRC)") == pytest.approx(mst / term, rel=1e-9)
    assert value(told, "df (RRRC)") == pytest.approx(df, rel=1e-9)
    assert value(told, "p (RRRC)") == pytest.approx(stats.f.sf(mst / term, 1, df), rel=1e-9)
    for name in ("Cov2", "Cov3"):  # over pairs within blocks
        assert value(told, name) == pytest.approx(mean[name], rel=1e-9)


def test_a_crossed_study_with_a_missing_reading():
    table = roe_metz(4, 15, 15, seed=12)
    whole, less = Mrmc()(table), Mrmc()(table.iloc[1:])
    assert value(less, "design", column="group") == "crossed, 1 of 240 readings not there"
    name = "standard error of AUC difference (RRRC)"
    assert value(less, name) == pytest.approx(value(whole, name), rel=0.1)


# ---- Cases nested: Hillis 2014. Van Dyke's readings, renamed as if each reader or condition had had its own


def relabelled(by):
    table = van_dyke()
    return table.assign(case=table[by].astype(str) + "/" + table["case"].astype(str))


@real_data
def test_cases_nested_in_readers_have_no_covariance_of_readers():
    crossed, told = Mrmc()(van_dyke()), Mrmc()(relabelled("reader"))
    assert value(told, "design", column="group") == "cases nested in readers"
    for name in ("Var", "Cov1", "MS(T)", "MS(TR)"):
        assert value(told, name) == pytest.approx(value(crossed, name), rel=1e-9)
    assert "no such pair" in value(told, "Cov2", column="why")
    assert value(told, "F (RRRC)") == pytest.approx(value(crossed, "MS(T)") / value(crossed, "MS(TR)"))
    assert value(told, "df (RRRC)") == pytest.approx(4)


@real_data
def test_cases_nested_in_conditions_have_only_cov2():
    crossed, told = Mrmc()(van_dyke()), Mrmc()(relabelled("condition"))
    assert value(told, "design", column="group") == "fully crossed; cases nested in conditions"
    cov2, mstr = value(crossed, "Cov2"), value(crossed, "MS(TR)")
    term = mstr + 5 * cov2
    assert value(told, "F (RRRC)") == pytest.approx(value(crossed, "MS(T)") / term, rel=1e-9)
    assert value(told, "df (RRRC)") == pytest.approx(term**2 / (mstr**2 / 4), rel=1e-9)
    fixed = value(crossed, "Var") + 4 * cov2
    assert value(told, "chi2 (FRRC)") == pytest.approx(value(crossed, "MS(T)") / fixed, rel=1e-9)
    assert "no such pair" in value(told, "Cov1", column="why")


KUNDEL = {"Screen-film": 0.829, "Soft-copy computed radiogram": 0.804, "Hard-copy computed radiogram": 0.841}


@real_data
def test_kundel_whose_conditions_have_partly_the_same_cases():
    table = pd.read_csv(folder() / "mrmc" / "Kundel.csv").rename(columns={"treatment_name": "condition"})
    told = Mrmc()(table)
    for condition, wanted in KUNDEL.items():
        assert value(told, "mean AUC (RRRC)", condition) == pytest.approx(wanted, abs=5.1e-4)
    words = "fully crossed; the same cases in some conditions, others in others"
    assert value(told, "design", column="group") == words
    assert "see the differences" in value(told, "F (RRRC)", column="why")
    film, hard, soft = "Screen-film", "Hard-copy computed radiogram", "Soft-copy computed radiogram"
    for group, pair in ((f"{hard} - {film}", (hard, film)), (f"{hard} - {soft}", (hard, soft))):
        two = Mrmc()(table[table["condition"].isin(pair)])
        assert ends(told, "AUC difference (RRRC)", group) == ends(two, "AUC difference (RRRC)", group)
    nested = Mrmc()(table[table["condition"].isin((film, hard))])
    assert value(nested, "design", column="group") == "fully crossed; cases nested in conditions"
    term = value(nested, "MS(TR)") + 4 * value(nested, "Cov2")
    assert value(nested, "F (RRRC)") == pytest.approx(value(nested, "MS(T)") / term, rel=1e-9)
    assert value(nested, "df (RRRC)") == pytest.approx(term**2 / (value(nested, "MS(TR)") ** 2 / 3), rel=1e-9)
    same = Mrmc()(table[table["condition"].isin((hard, soft))])
    assert value(same, "design", column="group") == "fully crossed"
    narrow, wide = (value(t, "standard error of AUC difference (FRRC)") for t in (same, nested))
    assert narrow < wide  # the same cases tell more


# ---- Readers nested in conditions


def test_readers_nested_in_conditions():
    table = roe_metz(4, 15, 20, (0.75, 0.85), seed=13, design="readers nested")
    told = Mrmc()(table)
    assert value(told, "design", column="group") == "readers nested in conditions"
    areas = [
        counted(group["rating"].to_numpy(), group["truth"].to_numpy())
        for _, group in table.groupby(["condition", "reader"])
    ]
    first, second = np.array(areas[:4]), np.array(areas[4:])
    ms = (first.var(ddof=1) + second.var(ddof=1)) / 2
    term = ms + 4 * max(value(told, "Cov2") - value(told, "Cov3"), 0)
    assert value(told, "MS(R)", "AUC, within conditions") == pytest.approx(ms)
    assert value(told, "MS(T)") == pytest.approx(4 * (first.mean() - second.mean()) ** 2 / 2)
    assert value(told, "F (RRRC)") == pytest.approx(value(told, "MS(T)") / term, rel=1e-9)
    assert value(told, "df (RRRC)") == pytest.approx(term**2 / (ms**2 / 6), rel=1e-9)
    wanted = stats.ttest_ind(first, second)
    assert value(told, "p (RRFC)") == pytest.approx(wanted.pvalue, rel=1e-9)
    fixed = value(told, "Var") + 3 * value(told, "Cov2") - 4 * value(told, "Cov3")
    assert value(told, "chi2 (FRRC)") == pytest.approx(value(told, "MS(T)") / fixed, rel=1e-9)


def test_readers_who_read_under_two_of_three_conditions():
    table = roe_metz(6, 15, 15, (0.75, 0.8, 0.85), seed=14)
    place = {"condition 1": 0, "condition 2": 1, "condition 3": 2}
    skipped = table["condition"].map(place) == table["reader"].str[-1].astype(int) % 3
    told = Mrmc()(table[~skipped])
    assert "no reader has a number under all" in value(told, "F (RRRC)", column="why")
    both = table[~skipped & (table["condition"] != "condition 3")]
    both = both[both.groupby("reader")["condition"].transform("nunique") == 2]
    pair = "condition 1 - condition 2"
    assert value(told, "AUC difference (RRRC)", pair) == value(Mrmc()(both), "AUC difference (RRRC)", pair)


# ---- How often the interval holds (a short version of tests/benchmarks/mrmc_coverage.py)


@pytest.mark.parametrize(
    "line",
    [
        (5, 25, 25, (0.80, 0.87), "HL", "crossed", 1, False, "jackknife"),
        (6, 15, 25, (0.855, 0.855), "HL", "split-plot", 3, False, "jackknife"),
    ],
)
def test_the_interval_of_a_difference_holds(line):
    from tests.benchmarks.mrmc_coverage import held

    found = held(np.random.default_rng(1), 250, *line)
    assert np.isfinite(found).all()
    assert 0.91 <= found[:, 0].mean() <= 0.99  # 95 % +- 3 standard errors


def test_a_case_has_the_truth_that_any_of_its_rows_tells():
    table = roe_metz(3, 8, 8, seed=6)
    gaps = table.assign(truth=table["truth"].where(table["reader"] != "reader 2"))
    pd.testing.assert_frame_equal(Mrmc()(gaps), Mrmc()(table))
    none = gaps.assign(truth=gaps["truth"].where(gaps["case"] != gaps["case"].iloc[0]))
    assert value(Mrmc()(none), "cases", "truth unknown") == 1


def test_contradicting_truths_of_a_case_are_named():
    table = roe_metz(3, 8, 8, seed=6)
    words = table["truth"].map({1: "cancer", 0: "cyst"})
    words.iloc[-1] = "scar"  # both are negative
    why = Mrmc(positive="cancer")(table.assign(truth=words))["why"].iloc[0]
    assert f"the case {table['case'].iloc[-1]} has two truths" in why
