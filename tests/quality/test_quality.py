import shutil
import sys

import numpy as np
import pandas as pd
import pytest

from studykit.catalog import InputError
from studykit.explain import store
from studykit.quality import grades, quality, summary
from studykit.quality.grading import COLUMNS
from studykit.quality.quality import FILE, drawn, read, read_curves, suiting
from studykit.quality.relevance_mass import relevance_mass
from studykit.training import Run

ROOM = sys.modules["studykit.quality.quality"]  # its name is the function's, too
METHODS, SCORES = ["grad_cam"], ["relevance_mass", "sparseness", "iou"]


@pytest.fixture
def copy(run, tmp_path):
    return Run(shutil.copytree(run.folder, tmp_path / "copy"))


def made(run, *asked, **more):
    return next(iter(quality(run, *asked, **more)))[1]


def test_a_score_is_that_of_the_cases_own_map_and_region(copy):
    table = made(copy, METHODS, SCORES)
    rows = table[(table["method"] == "grad_cam,of=predicted") & (table["score"] == "relevance_mass")]
    dataset = copy.prepared.dataset
    for row in rows.itertuples():
        heat = store.read(copy, row.method, [row.case]).maps["image"][:, 0]
        region = dataset.evidence(row.case).get("image", np.zeros(heat.shape[1:], dtype=bool))
        wanted = relevance_mass(np.maximum(heat, 0), region[None])[0]
        np.testing.assert_allclose(row.value, wanted, equal_nan=True)
        assert np.isnan(row.value) == bool(row.why) and row.group == dataset.cases.at[row.case, "group"]
        np.testing.assert_allclose(row.size, region.mean() or np.nan, equal_nan=True)
    told = copy.predictions.set_index("id").loc[rows["case"]]
    assert rows["label"].tolist() == told["lesion"].tolist()
    assert rows["right"].tolist() == (told["lesion"] == told["lesion.predicted"]).tolist()
    assert sorted(rows["case"]) == sorted(copy.test_ids)


def test_the_controls_stand_beside_and_the_random_one_is_at_chance(copy):
    table = made(copy, METHODS, ["relevance_mass"])
    assert set(table.loc[table["control"], "method"]) == {"edge_map,of=predicted", "random_map,of=predicted"}
    told = summary(table).set_index(["method", "modality"])
    row = told.loc[("random_map,of=predicted", "image")]
    assert row["low"] - 0.02 < row["chance"] < row["high"] + 0.02


def test_columns_are_scored_where_they_are_planted(copy):
    table = made(copy, ["integrated_gradients"], ["relevance_mass"])
    rows = table[(table["modality"] == "record") & ~table["control"]]
    shown = copy.prepared.dataset.cases.loc[rows["case"], "evidence"].isin(["record", "both"])
    assert (rows["size"].notna().to_numpy() == shown.to_numpy()).all() and 0 < shown.mean() < 1
    columns = copy.schema.modality("record").columns
    planted = np.mean([column.split("=")[0] in ("Age", "Growth") for column in columns])
    np.testing.assert_allclose(rows["size"].dropna(), planted)


def test_only_what_is_missing_is_computed(copy, monkeypatch):
    first = made(copy, METHODS, ["relevance_mass"], cases=8)
    before = store.stamp(copy, "grad_cam,of=predicted")
    again = made(copy, METHODS, ["relevance_mass"], cases=8)
    pd.testing.assert_frame_equal(first, again)
    calls = []
    from studykit.quality.relevance_mass import RelevanceMass
    from studykit.quality.sparseness import Sparseness

    for score in (RelevanceMass, Sparseness):
        real = score.scored
        monkeypatch.setattr(
            score, "scored", lambda self, asked, real=real: calls.append(self.name) or real(self, asked)
        )
    both = made(copy, METHODS, ["relevance_mass", "sparseness"], cases=8)
    assert set(calls) == {"sparseness"} and set(both["score"]) == {"relevance_mass", "sparseness"}
    assert store.stamp(copy, "grad_cam,of=predicted") == before
    pd.testing.assert_frame_equal(both[both["score"] == "relevance_mass"].reset_index(drop=True), first)


def test_other_weights_are_scored_anew(copy):
    made(copy, METHODS, ["sparseness"], cases=4)
    path = copy.folder / "weights.safetensors"
    path.write_bytes(path.read_bytes()[:-4] + b"\0\0\0\0")  # one weight is another
    with pytest.raises(InputError, match="holds no scores of its maps; make them with"):
        read(copy)
    assert made(copy, METHODS, ["sparseness"], cases=4)["value"].notna().all() and len(read(copy))


def test_processes_score_as_one_does(copy, one_thread):
    here = made(copy, METHODS, SCORES, cases=10)
    (copy.folder / FILE).unlink()
    pd.testing.assert_frame_equal(made(copy, METHODS, SCORES, cases=10, workers=2), here)


def test_a_curve_is_kept_beside_its_score(copy):
    table = made(copy, METHODS, ["deletion", "degradation"], cases=6).query("score == 'deletion'")
    curves = read_curves(copy)
    assert not curves.duplicated(["case", "method", "modality", "curve", "step"]).any()
    one = curves[(curves["method"] == "grad_cam,of=predicted") & (curves["case"] == table["case"].iloc[0])]
    for _, curve in one.groupby("curve"):
        assert curve["step"].tolist() == sorted(curve["step"]) and curve["step"].iloc[[0, -1]].tolist() == [
            0,
            1,
        ]
    morf = one[one["curve"] == "morf"]
    row = table[(table["method"] == "grad_cam,of=predicted")].iloc[0]
    assert np.isclose(np.trapezoid(morf["value"], morf["step"]), row["value"])


def test_drawn_cases_are_held_out_ones_in_their_order(run):
    some = drawn(run, 7, seed=1)
    assert len(set(some)) == 7 and some == [case for case in run.test_ids if case in some]
    assert drawn(run, 0, seed=1) == run.test_ids and drawn(run, 7, seed=2) != some


def test_no_method_that_suits_gets_a_sentence(runs):
    record = Run(runs / "record alone" / "fold-0")
    with pytest.raises(InputError, match="Grad-CAM needs a feature map"):
        suiting(record, ["grad_cam"], "usual")


def test_what_is_explained_already_is_scored_by_default(run):
    names = {method.name for method in suiting(run, [], "predicted") if not method.control}
    assert names == {name.split(",")[0] for name in store.methods(run)}


def table_of(values, controls):
    """A quality table of two methods and the controls, by score and method, 40 cases each."""
    draw = np.random.default_rng(0)
    rows = [
        {
            "method": method, "modality": "image", "score": score, "case": f"c{case}", "group": f"c{case}",
            "value": mean + 0.01 * draw.normal(), "chance": 0.1 if score == "relevance_mass" else np.nan,
            "why": "", "label": "a", "right": True, "size": 0.1, "control": method in controls,
        }
        for (method, score), mean in values.items()
        for case in range(40)
    ]  # fmt: skip
    return pd.DataFrame(rows)


def test_a_method_is_believed_that_finds_and_follows():
    values = {
        ("good", "relevance_mass"): 0.6, ("good", "randomisation"): 0.0, ("good", "degradation"): 0.1,
        ("edges", "relevance_mass"): 0.3,
        ("unasked", "relevance_mass"): 0.6,
        ("deaf", "relevance_mass"): 0.6, ("deaf", "randomisation"): 0.0,
        ("deaf", "randomisation, of sizes"): 0.5,
        ("blind", "relevance_mass"): 0.29, ("blind", "randomisation"): 0.0,
        ("idle", "relevance_mass"): 0.6, ("idle", "randomisation"): 0.0, ("idle", "degradation"): -0.1,
    }  # fmt: skip
    found = grades(table_of(values, {"edges"}), "a model").set_index("method")
    assert found["believed"].to_dict() == {
        "good": "yes", "unasked": "open", "deaf": "no", "blind": "no", "idle": "no",
    }  # fmt: skip
    assert found.at["blind", "finds"] == "no" and found.at["blind", "lift_low"] > 1  # no better than edges
    assert found.at["deaf", "follows"] == "no" and found.at["idle", "matters"] == "no"
    assert np.isclose(found.at["good", "lift"], 6, rtol=0.01) and (found["model"] == "a model").all()


def test_grades_without_a_region_get_a_sentence():
    with pytest.raises(InputError, match="Grades need the score relevance_mass"):
        grades(table_of({("good", "sparseness"): 0.5}, set()))
    assert list(grades(table_of({("good", "relevance_mass"): 0.5}, set())).columns) == list(COLUMNS)


def test_cases_are_the_same_however_they_are_portioned(copy, monkeypatch):
    scores = ["relevance_mass", {"name": "randomisation", "redraws": 1}]
    whole = made(copy, METHODS, scores, cases=6)
    (copy.folder / FILE).unlink()
    monkeypatch.setattr(ROOM, "TOGETHER", 1)  # portions without a region, or with an empty map
    one_by_one = made(copy, METHODS, scores, cases=6)
    names = ["method", "modality", "score", "case"]
    pd.testing.assert_frame_equal(
        *(t.sort_values(names, ignore_index=True) for t in (one_by_one, whole)), atol=1e-6
    )
    assert summary(whole)["empty"].max() > 0


def test_another_setting_is_another_score_and_more_effort_the_same(copy):
    made(copy, METHODS, ["deletion", {"name": "randomisation", "redraws": 1}], cases=4)
    both = made(copy, METHODS, [{"name": "deletion", "filling": "mean"}], cases=4)
    assert {"deletion", "deletion,filling=mean", "randomisation"} <= set(both["score"])
    assert {"morf", "morf,filling=mean"} <= set(read_curves(copy)["curve"])
    again = made(copy, METHODS, [{"name": "randomisation", "redraws": 2}], cases=4)
    assert len(again) == len(both) and len(summary(again))  # in place of the first


def test_methods_that_come_later_are_compared_too(copy):
    made(copy, ["grad_cam"], ["agreement"], cases=4)
    table = made(copy, ["gradient_x_input"], ["agreement"], cases=4)
    later = table[table["method"] == "gradient_x_input,of=predicted"]
    assert "spearman with grad_cam,of=predicted" in set(later["score"])
    table = made(copy, ["grad_cam"], ["agreement"], cases=4)
    first = table[table["method"] == "grad_cam,of=predicted"]
    assert "spearman with gradient_x_input,of=predicted" in set(first["score"]) and len(summary(table))


def test_fewer_cases_take_nothing_away(copy):
    made(copy, METHODS, ["sparseness"], cases=8)
    assert made(copy, METHODS, ["sparseness"], cases=3)["case"].nunique() == 8
    assert len(store.read(copy, "grad_cam,of=predicted").ids) == 8


def test_scores_without_their_curves_are_made_again(copy):
    made(copy, METHODS, ["deletion"], cases=4)
    (copy.folder / "curves.parquet").unlink()
    with pytest.raises(InputError, match="The curves of .* are not those of its scores"):
        read_curves(copy)
    made(copy, METHODS, ["deletion"], cases=4)
    assert len(read_curves(copy))


def test_a_run_that_no_method_suits_is_told_and_left_out(runs, tmp_path):
    both = [Run(shutil.copytree(runs / n / "fold-0", tmp_path / n)) for n in ("record alone", "fusion")]
    told = []
    found = list(quality(both, METHODS, ["sparseness"], cases=3, tell=told.append))
    assert [run.folder.name for run, _ in found] == ["fusion"] and "needs a feature map" in told[0]


def test_grades_of_a_method_whose_mass_was_not_asked_are_open():
    values = {("good", "relevance_mass"): 0.6, ("other", "degradation"): 0.1}
    found = grades(table_of(values, set())).set_index("method")
    assert found.at["other", "believed"] == "open" and found.at["other", "n"] == 0


def test_fewer_than_no_cases_get_a_sentence(run):
    with pytest.raises(InputError, match="or 0 for all, not -3"):
        drawn(run, -3, 0)
