"""Contributions of a run: computed anywhere, kept in its folder, made anew only where something changed."""

import json
import os
import shutil
import signal

import numpy as np
import pyarrow.parquet
import pytest
import torch
from dask_cluster import cluster

from studykit.catalog import InputError
from studykit.contribution import modality_contribution
from studykit.explain import contributions as kept
from studykit.explain.contributions import Occluding, contribution, contributions, neighbours
from studykit.training import Run

COARSE = {"parts": {"image": 32}}


@pytest.fixture
def copied(run, tmp_path):
    """The small run in a folder that a test may change."""
    return Run(shutil.copytree(run.folder, tmp_path / "fold-0"))


def same(one, other):
    assert one.ids == other.ids and one.parts == other.parts and one.outputs == other.outputs
    for name, d in one.differences.items():
        np.testing.assert_array_equal(d, other.differences[name])
        np.testing.assert_array_equal(one.same[name], other.same[name])


def test_they_are_those_of_the_model_on_its_held_out_cases(copied):
    found = contribution(copied, **COARSE)
    batch = copied.prepared.load(copied.test_ids)
    asked = modality_contribution(
        copied.model(), batch.inputs, {"image": 32}, ids=batch.ids, groups=batch.groups
    )
    assert found.ids == copied.test_ids == asked.ids and found.groups == asked.groups
    assert found.parts == asked.parts and found.forwards == asked.forwards
    for name, share in asked.share().items():
        assert found.share()[name] == pytest.approx(share, rel=1e-4)


def test_what_was_written_is_read_back_and_not_made_again(copied, monkeypatch):
    made = contribution(copied, **COARSE)
    monkeypatch.setattr(kept, "modality_contribution", None)  # whoever asks again fails
    again = contribution(copied, **COARSE)
    same(made, again)
    assert again.about == made.about and again.forwards == made.forwards
    assert kept.is_there(copied) and made.table().equals(again.table())


@pytest.mark.parametrize("changed", [{"fill": "blur"}, {"parts": {"image": 16}}, {"output": "logit"}])
def test_other_settings_are_computed_anew(copied, changed):
    changed = changed if changed != {"fill": "blur"} else {"fill": {"image": "blur"}}
    made, other = contribution(copied, **COARSE), contribution(copied, **{**COARSE, **changed})
    assert made.share() != other.share()
    assert kept.read(copied).share() == other.share()


def test_other_weights_make_them_old(copied):
    contribution(copied, **COARSE)
    weights = copied.folder / "weights.safetensors"
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    assert not kept.is_there(Run(copied.folder))


def test_a_damaged_file_is_made_anew(copied):
    contribution(copied, **COARSE)
    (copied.folder / kept.FILE).write_bytes(b"PAR1 nothing")
    assert not kept.is_there(copied)
    assert contribution(copied, **COARSE).ids == copied.test_ids


def test_nothing_is_there_before_they_are_made(copied):
    (copied.folder / kept.FILE).unlink(missing_ok=True)
    with pytest.raises(
        InputError, match="holds no contributions; make them with `python -m studykit contrib"
    ):
        kept.read(copied)


def test_a_modality_that_no_run_has_gets_a_sentence(copied):
    with pytest.raises(InputError, match="no modality here named 'imag'; did you mean image"):
        contribution(copied, parts={"imag": 16})


def test_fills_draw_on_training_cases(copied):
    for fill in ("training_mean", "other_case"):
        found = contribution(copied, parts={"image": 32}, fill=fill)
        assert np.isfinite(list(found.share().values())).all()
        assert found.about["fill"]["image"]["name"] == fill


@pytest.mark.usefixtures("one_thread")  # as the workers: two threads add up in another order
def test_here_in_a_pool_and_on_dask_with_a_worker_killed_the_numbers_are_the_same(
    runs, tmp_path, monkeypatch
):
    """The portions are small, so that there are many; a worker is killed when the first has come back."""
    monkeypatch.setattr(kept, "TOGETHER", 3)
    chosen = Occluding(parts={"image": 16})
    folders = {}
    for way in ("here", "pool", "dask"):
        folders[way] = [
            Run(shutil.copytree(runs / name / "fold-0", tmp_path / way / name / "fold-0"))
            for name in ("fusion", "image alone", "record alone")
        ]
        for run in folders[way]:
            (run.folder / kept.FILE).unlink(missing_ok=True)
    here = [found for _, found in contributions(folders["here"], chosen)]
    pool = [found for _, found in contributions(folders["pool"], chosen, workers=2)]
    with cluster(workers=2) as (address, processes):

        def watch(items):
            for number, item in enumerate(items):
                yield item
                if number == 0:
                    os.kill(processes[0], signal.SIGKILL)

        dask = [found for _, found in contributions(folders["dask"], chosen, scheduler=address, watch=watch)]
    for one, other, third in zip(here, pool, dask, strict=True):
        same(one, other)
        same(one, third)


def test_neighbours_stand_beside_and_are_read_back(copied, monkeypatch):
    names = ["occlusion", "whole_occlusion"]
    table = neighbours(copied, names, Occluding(**COARSE), cases=12)
    assert set(table["measure"]) == {"Modality contribution", "Whole-modality occlusion"}
    sums = table.groupby("measure")["estimate"].sum()
    np.testing.assert_allclose(sums, 1)
    monkeypatch.setattr(kept, "question", None)
    again = neighbours(copied, names, Occluding(**COARSE), cases=12)
    np.testing.assert_allclose(again["estimate"], table["estimate"])
    assert (kept.read_neighbours(copied)["n"] == 12).all()


def test_the_file_tells_how_it_was_made(copied):
    contribution(copied, **COARSE, sampled=2)
    about = json.loads(pyarrow.parquet.read_schema(copied.folder / kept.FILE).metadata[b"studykit"])
    assert about["settings"]["parts"] == {"image": 32} and about["about"]["sampled"] == 2
    assert about["about"]["fill"]["image"] == {"name": "absent"}


def test_a_run_is_not_changed_by_it(copied):
    model = copied.model()
    before = {name: values.clone() for name, values in model.state_dict().items()}
    batch = copied.prepared.load(copied.test_ids[:3])
    modality_contribution(model, batch.inputs, {"image": 32})
    assert all(torch.equal(before[name], values) for name, values in model.state_dict().items())
