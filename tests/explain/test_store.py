import shutil

import numpy as np
import pytest
import zarr

from studykit.catalog import InputError
from studykit.explain import explain, store
from studykit.training import Run


def test_it_reads_back_what_was_made(run):
    whole = store.read(run, "integrated_gradients")
    assert whole.ids == run.test_ids and set(whole.maps) == {"image", "record"} == set(whole.effects)
    assert whole.checks["completeness"].shape == (len(whole.ids),)
    np.testing.assert_allclose(
        whole.effects["image"], whole.maps["image"].sum((1, 2, 3)), rtol=1e-3, atol=1e-4
    )


def test_one_case_is_one_chunk(run):
    array = zarr.open_array(run.folder / store.FILE / "grad_cam" / "maps" / "image", mode="r")
    assert array.chunks == (1, *array.shape[1:])


def test_cases_are_joined_by_id_whatever_the_order(run):
    whole = store.read(run, "integrated_gradients")
    mixed = np.random.default_rng(0).permutation(whole.ids).tolist()
    some = store.read(run, "integrated_gradients", mixed)
    at = [whole.ids.index(case) for case in mixed]
    for name, values in whole.maps.items():
        np.testing.assert_array_equal(some.maps[name], values[at])
    np.testing.assert_array_equal(some.effects["record"], whole.effects["record"][at])


def test_what_is_not_stored_gets_a_sentence(run):
    with pytest.raises(
        InputError, match="no explanation .* named 'occlusion'.*explain .* --methods occlusion"
    ):
        store.read(run, "occlusion")
    with pytest.raises(InputError, match="'phantom-9999' has no grad_cam"):
        store.read(run, "grad_cam", ["phantom-9999"])


def test_it_is_made_again_only_where_the_weights_have_changed(run, tmp_path):
    copy = Run(shutil.copytree(run.folder, tmp_path / "copy"))
    before = store.stamp(copy, "grad_cam")
    explain(copy, "grad_cam")
    assert store.stamp(copy, "grad_cam") == before
    path = copy.folder / "weights.safetensors"
    path.write_bytes((run.folder.parents[1] / "image alone" / "fold-0" / path.name).read_bytes())
    assert not store.is_current(copy, "grad_cam", copy.test_ids)
