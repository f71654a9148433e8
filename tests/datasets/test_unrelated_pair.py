import json

import numpy as np
import pandas as pd
import pytest
from conftest import ROOT
from scipy.stats import chi2_contingency

from datasets import layouts, layouts_folders
from studykit.catalog import InputError, build
from studykit.datasets import BUSI, BreastLesionsUSG, BreastPhantom, Dataset, UnrelatedPair, XorPhantom, split
from studykit.datasets.brain_tumor_mri import BrainTumorMRI
from studykit.datasets.iq_othnccd import IQOTHNCCD
from studykit.datasets.unrelated_pair import _by_group, _joined
from studykit.training import Recipe, find_runs, train


def test_pictures_masks_and_labels_are_those_of_the_two_cases():
    first, second = BreastPhantom(count=60, size=48), XorPhantom(count=40, size=24)
    pair = UnrelatedPair(first, second)
    assert [m.shape for m in pair.pictures] == [(1, 48, 48), (1, 24, 24)]
    assert [task.name for task in pair.tasks] == ["first_lesion", "second_label"]
    for case, row in pair.cases.iloc[::5].iterrows():
        assert np.array_equal(pair.picture(case, "first"), first.picture(row["first_case"]))
        assert np.array_equal(pair.picture(case, "second"), second.picture(row["second_case"], "first"))
        assert np.array_equal(pair.mask(case, "second"), second.mask(row["second_case"], "first"))
        assert row["first_lesion"] == first.cases.loc[row["first_case"], "lesion"]
        assert row["second_label"] == second.cases.loc[row["second_case"], "label"]
        assert pair.planted(case).startswith("first: ") and "; second: " in pair.planted(case)


def test_every_case_is_joined_once_and_few_are_left_out():
    cases = UnrelatedPair().cases
    assert cases["first_case"].is_unique and cases["second_case"].is_unique
    assert len(cases) > 0.95 * 600


@pytest.mark.parametrize("seed", range(3))
def test_no_patient_of_either_source_stands_on_two_sides(seed):
    pair = UnrelatedPair(seed=seed)
    parts = split(pair.cases, "first_lesion", 5, 0, 0)
    for name, source in (("first", pair.first), ("second", pair.second)):
        patients = source.cases["group"].loc[pair.cases[f"{name}_case"]].to_numpy()
        assert parts.groupby(patients).nunique().max() == 1


def test_large_groups_are_filled_with_small_ones():
    scans = [[f"scan {patient}.{slice}" for slice in range(10)] for patient in range(3)]
    single = [[f"lesion {patient}"] for patient in range(25)]
    rows = pd.DataFrame(_joined(scans, single), columns=["group", "one", "other"])
    assert len(rows) == 25 and rows.groupby("group").size().tolist() == [10, 10, 5]
    assert rows["one"].is_unique and rows["other"].is_unique


def test_large_groups_come_as_early_as_small_ones():
    sizes = [12] * 5 + [1] * 45
    names = pd.Series([f"g{n}" for n, size in enumerate(sizes) for _ in range(size)])
    first = [len(_by_group(names, np.random.default_rng(seed))[0]) for seed in range(300)]
    assert 0.04 < np.mean([size == 12 for size in first]) < 0.17


def test_one_picture_says_nothing_about_the_other():
    cases = UnrelatedPair().cases
    table = pd.crosstab(cases["first_lesion"], cases["second_lesion"])
    assert chi2_contingency(table).pvalue > 0.05


def test_it_says_plainly_that_nobody_has_both():
    pair = UnrelatedPair()
    assert "nobody has both pictures, and complementary evidence cannot exist" in str(pair.card)
    assert pair.simulated and pair.notes()[0].startswith("Each case is two different people")
    assert len(pair.notes()) == 2


def test_count_and_seed_decide():
    pair = UnrelatedPair(count=100)
    assert len(pair.cases) == 100
    assert not pair.cases.equals(UnrelatedPair(count=100, seed=1).cases)
    assert pair.fingerprint != UnrelatedPair(count=100, seed=1).fingerprint


def test_files_of_two_kinds_are_joined_and_where_they_stand_does_not_matter(tmp_path):
    def pair(place):
        busi, breast = (
            BUSI(str(layouts.busi(place / "busi")), size=32),
            BreastLesionsUSG(str(layouts.breast(place / "breast")), size=24),
        )
        return UnrelatedPair(busi, breast)

    one, moved = pair(tmp_path / "one"), pair(tmp_path / "two")
    assert not one.simulated and len(one.cases) == 16
    assert one.picture(one.cases.index[0], "second").shape == (1, 24, 24)
    assert one.fingerprint == moved.fingerprint and len(one.files()) == 33 + 40


def test_sources_and_evidence_are_those_of_the_two_cases(tmp_path):
    brain = BrainTumorMRI(str(layouts_folders.brain_tumor_mri(tmp_path / "brain")), size=32)
    pair = UnrelatedPair(brain, Marked(count=30, size=48))
    case = pair.cases.index[0]
    assert pair.sources(case, "first") == brain.sources(pair.cases.at[case, "first_case"])
    assert pair.sources(case, "second") == []
    assert list(pair.evidence(case)) == ["second"] and pair.evidence(case)["second"].shape == (48, 48)


class Marked(BreastPhantom):
    """A phantom that says where its evidence lies."""

    def evidence(self, case):
        return {"image": self.mask(case, "image"), "record": ("Age",)}


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"first": {"name": "breast_phantom"}, "second": "breast_phantom"}, "hold the same people"),
        ({"first": "breast_fantom"}, "did you mean breast_phantom"),
        ({"first": {"name": "xor_phantom", "cuont": 40}}, "did you mean count"),
        ({"count": -1}, "is 0 .all. or more"),
        ({"count": 1000}, "only 581 cases can be joined, not 1000"),
    ],
)
def test_impossible_pairs_get_a_sentence(settings, sentence):
    with pytest.raises(InputError, match=sentence):
        build(Dataset, {"name": "unrelated_pair", **settings}).cases  # noqa: B018


def test_a_source_is_a_data_set():
    with pytest.raises(InputError, match="'second' of unrelated_pair is a data set's spec"):
        UnrelatedPair(second="busi")


@pytest.mark.real_data
def test_real_pictures_of_two_data_sets():
    pair = UnrelatedPair(BUSI(size=64), BreastLesionsUSG(size=64))
    assert len(pair.cases) == 190 and pair.cases["first_case"].is_unique
    assert pair.picture(pair.cases.index[0], "first").shape == (1, 64, 64)
    parts = split(pair.cases, "first_lesion", 5, 0, 0)
    patients = pair.first.cases["group"].loc[pair.cases["first_case"]].to_numpy()
    assert parts.groupby(patients).nunique().max() == 1


@pytest.mark.real_data
def test_brain_slices_beside_lung_slices_as_drifa_net_was_trained():
    pair = UnrelatedPair(BrainTumorMRI(), IQOTHNCCD())
    assert len(pair.cases) > 0.9 * 417 and pair.cases["second_case"].is_unique
    assert [task.kind for task in pair.tasks] == ["multiclass", "multiclass"]
    assert all(path.is_file() for path in pair.files()) and len(pair.files()) == 1154 + 418
    for name, source in (("first", pair.first), ("second", pair.second)):
        task = source.tasks[0].name
        shares = [
            cases.value_counts(normalize=True) for cases in (pair.cases[f"{name}_{task}"], source.cases[task])
        ]
        assert (shares[0] - shares[1]).abs().max() < 0.1
        patients = source.cases["group"].loc[pair.cases[f"{name}_case"]].to_numpy()
        for fold in range(5):
            parts = split(pair.cases, "first_tumour", 5, fold, 0)
            assert parts.groupby(patients).nunique().max() == 1


@pytest.mark.real_data
def test_drifa_net_learns_both_tasks_of_the_shipped_recipe(tmp_path):
    recipe = json.loads((ROOT / "data" / "recipes" / "unrelated_pair_drifa.json").read_text())
    for source in ("first", "second"):
        recipe["dataset"][source]["size"] = 64
    recipe = {**recipe, "training": {**recipe["training"], "epochs": 3}, "only": [0]}
    table = train(Recipe.from_json(recipe), tmp_path).set_index(["statistic", "group"])
    assert table.loc[("AUROC", recipe["name"]), "low"] > 0.5
    run = find_runs(tmp_path)[0]
    for task, count in zip(run.schema.tasks, (4, 3), strict=True):
        p = run.predictions[[f"{task.name}.{name}" for name in task.classes]]
        assert p.shape[1] == count and np.allclose(p.sum(axis=1), 1, atol=1e-5)


def test_one_folder_under_two_names_is_the_same_people(tmp_path):
    folder = layouts.busi(tmp_path / "d")
    (tmp_path / "link").symlink_to(folder)
    first = {"name": "busi", "folder": str(folder)}
    for other in (str(tmp_path / "link"), f"{folder}/../d"):
        second = {**first, "folder": other}
        pair = build(Dataset, {"name": "unrelated_pair", "first": first, "second": second})
        with pytest.raises(InputError, match="hold the same people"):
            pair.cases  # noqa: B018
