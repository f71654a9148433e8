import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest
import zarr

from studykit.catalog import InputError, build
from studykit.explain import Explainer, Explanation, explain, store
from studykit.explain.explain import explained
from studykit.sweep import Stopped
from studykit.training import Run


def test_it_reads_back_what_was_made(run):
    whole = store.read(run, "integrated_gradients")
    assert whole.ids == run.test_ids and set(whole.maps) == {"image", "record"} == set(whole.effects)
    assert whole.checks["completeness"].shape == (len(whole.ids),)
    added = whole.maps["image"].sum((1, 2, 3))
    np.testing.assert_allclose(whole.effects["image"], added, rtol=2e-3, atol=2e-3)  # half precision
    np.testing.assert_allclose(whole.effects["record"], whole.maps["record"].sum(1), rtol=1e-5, atol=1e-5)


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


@pytest.fixture
def copy(run, tmp_path):
    """The run in a folder of its own, with nothing explained."""
    ours = Run(shutil.copytree(run.folder, tmp_path / "copy"))
    shutil.rmtree(ours.folder / store.FILE)
    return ours


def explanation(ids, image):
    return Explanation(
        list(ids),
        "lesion",
        np.zeros(len(ids)),
        {"name": "grad_cam"},
        {"image": image},
        {"image": True},
    )


@pytest.mark.parametrize("size", [1e-30, 1.0, 1e30])
def test_a_value_is_off_by_no_more_than_a_2048th_of_itself(copy, size):
    draw = np.random.default_rng(0)
    image = (size * draw.normal(size=(5, 1, 20, 30)) * 10 ** draw.uniform(-4, 0, (5, 1, 20, 30))).astype(
        "float32"
    )
    image[3] = 0  # no chunk is written
    store.write(copy, "grad_cam", explanation("abcde", image))
    found = store.read(copy, "grad_cam", list("dcba")).maps["image"]
    near = np.abs(image) > 6e-5 * np.abs(image).max(axis=(1, 2, 3), keepdims=True)  # above, full precision
    assert near[:3].mean() > 0.5
    for row, at in enumerate([3, 2, 1, 0]):
        off = np.abs(found[row] - image[at])
        assert (off <= np.abs(image[at]) / 2048 * 1.001 + 1e-7 * np.abs(image[at]).max()).all()


def test_zarr_reads_what_is_read_straight_from_its_files(copy):
    explain(copy, "grad_cam")
    group = zarr.open_group(copy.folder / store.FILE / "grad_cam", mode="r")
    scales = group["scales/image"][...].reshape(-1, 1, 1, 1)
    np.testing.assert_array_equal(
        store.read(copy, "grad_cam").maps["image"], group["maps/image"][...].astype("float32") * scales
    )


def test_what_an_older_studykit_stored_is_read(copy):
    image = np.random.default_rng(0).normal(size=(3, 1, 8, 8)).astype("float32")
    group = zarr.open_group(copy.folder / store.FILE / "grad_cam", mode="w")
    array = group.create_array("maps/image", shape=image.shape, chunks=(1, 1, 8, 8), dtype="float32")
    array[...] = image
    group.attrs.update(
        ids=list("abc"), head="lesion", targets=[1, 1, 1], spec={}, signed={"image": True}, weights="w"
    )
    found = store.read(copy, "grad_cam", ["c", "a"])
    np.testing.assert_array_equal(found.maps["image"], image[[2, 0]])
    assert found.targets.tolist() == [1, 1]


def test_another_class_explained_is_another_explanation(copy):
    usual, predicted = explain(copy, "grad_cam"), explain(copy, "grad_cam", of="predicted")
    assert store.methods(copy) == ["grad_cam", "grad_cam,of=predicted"]
    said = copy.predictions.set_index("id").loc[usual.ids, "lesion.malignant"].to_numpy() > 0.5
    assert (usual.targets == 1).all() and 0 < said.mean() < 1
    np.testing.assert_array_equal(predicted.targets, said)


@pytest.fixture
def counted():
    """A method whose map is the picture itself; calls are counted, and one of them may end it all."""

    @dataclass(frozen=True)
    class Counted(Explainer, name="counted"):
        title = unit = gives = "counted"
        calls: ClassVar[list] = []
        ends_at: ClassVar[int] = 0

        def maps(self, model, batch, head, targets):
            self.calls.append(list(batch.ids))
            if len(self.calls) == self.ends_at:
                raise KeyboardInterrupt
            return {"image": batch.inputs["image"].numpy()}, {"image": False}, {}, {}

    yield Counted
    Explainer.catalogue.pop("counted")


def test_a_stopped_explanation_is_gone_on_with(copy, counted):
    counted.ends_at = 3
    with pytest.raises(KeyboardInterrupt):
        explain(copy, counted(), together=6)
    assert store.methods(copy) == [] and len(counted.calls) == 3
    (begun,) = (copy.folder / store.FILE).glob(f".counted{store.BEGUN}*")
    begun.rename(begun.with_name(f".counted{store.BEGUN}{gone()}"))  # as if that program had died
    counted.ends_at = 0
    found = explain(copy, counted(), together=9)  # another size of portions goes on where the first ended
    assert counted.calls[2] == copy.test_ids[12:18]  # the third is done again, the first two are not
    assert [case for part in counted.calls[3:] for case in part] == copy.test_ids[12:]
    same_as_the_pictures(copy, found)


def same_as_the_pictures(run, found):
    """Whether `counted` explained these cases, each with its own picture."""
    picture = run.prepared.load(found.ids).inputs["image"].numpy()
    np.testing.assert_allclose(found.maps["image"], picture, rtol=1e-3)
    assert not list((run.folder / store.FILE).glob(".*"))


def test_what_was_made_before_a_stop_is_stored_and_the_rest_comes_beside_it(copy, counted):
    explain(copy, counted(), copy.test_ids[-2:])
    counted.calls.clear()

    def stop():
        return len(counted.calls) == 2

    with pytest.raises(Stopped):
        explain(copy, counted(), together=3, stop=stop)
    found = store.read(copy, "counted")
    assert found.ids == [*copy.test_ids[-2:], *copy.test_ids[:6]]
    same_as_the_pictures(copy, found)
    with pytest.raises(Stopped):
        explain(copy, counted(), together=3, stop=stop)  # at once: nothing is lost, nothing is made
    assert store.read(copy, "counted").ids == found.ids
    whole = explain(copy, counted(), together=5)
    assert [case for part in counted.calls for case in part] == copy.test_ids[:-2]
    same_as_the_pictures(copy, whole)


def test_a_stop_before_the_first_case_leaves_nothing(copy, counted):
    with pytest.raises(Stopped):
        explain(copy, counted(), stop=lambda: True)
    assert store.methods(copy) == [] and not list((copy.folder / store.FILE).iterdir())


@pytest.mark.parametrize("stopped", [False, True])
def test_what_another_program_stores_meanwhile_stays(copy, counted, stopped, monkeypatch):
    def watch(cases):
        for at in cases:
            if at == 4:
                with monkeypatch.context() as other:
                    other.setattr(os, "getpid", os.getppid)
                    explain(Run(copy.folder), counted(), copy.test_ids[-3:])
            yield at

    ids = copy.test_ids[:8]
    try:
        explain(copy, counted(), ids, watch, together=2, stop=lambda: stopped and len(counted.calls) == 4)
    except Stopped:
        ids = copy.test_ids[:6]
    found = store.read(copy, "counted")
    assert found.ids == [*ids, *copy.test_ids[-3:]]
    same_as_the_pictures(copy, found)


def test_progress_counts_the_cases_that_are_made(copy, counted):
    seen = []

    def bar(cases):
        for at in cases:
            seen.append((at, len(cases), len(counted.calls)))
            yield at
        seen.append("all")

    explain(copy, counted(), copy.test_ids[:1])
    counted.calls.clear()
    explain(copy, counted(), copy.test_ids[:6], bar, together=2)
    assert seen == [(0, 5, 0), (1, 5, 1), (2, 5, 1), (3, 5, 2), (4, 5, 2), "all"]


def test_what_was_begun_with_other_weights_is_thrown_away(copy, counted):
    about = {"ids": copy.test_ids, "of": "usual", "spec": {"name": "counted"}, "weights": "others"}
    begun = store.Begun(copy, "counted", about)
    begun.add(counted()(copy.model(), copy.prepared.load(copy.test_ids[:6])))
    begun.folder.rename(begun.folder.with_name(f".counted{store.BEGUN}{gone()}"))
    counted.calls.clear()
    explain(copy, counted())
    assert [case for part in counted.calls for case in part] == copy.test_ids


def gone() -> int:
    """The number of a process that has ended."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_processes_make_what_one_makes(copy):
    methods = [build(Explainer, name) for name in ("grad_cam", "integrated_gradients")]
    assert [worked for _, _, worked in explained([copy], methods)] == [len(copy.test_ids)] * 2
    here = {name: store.read(copy, name) for name in ("grad_cam", "integrated_gradients")}
    assert [worked for _, _, worked in explained([copy], methods)] == [0, 0]
    shutil.rmtree(copy.folder / store.FILE)
    assert [worked for _, _, worked in explained([copy], methods, workers=2, together=7)] == [
        len(copy.test_ids)
    ] * 2
    for name, wanted in here.items():
        for modality, values in wanted.maps.items():
            limit = 1e-3 * np.abs(values).max()
            np.testing.assert_allclose(store.read(copy, name).maps[modality], values, atol=limit)


def test_a_method_that_does_not_suit_leaves_nothing(copy):
    class Mute(Explainer, name="mute"):
        def suits(self, model, schema):
            return "The method mute explains nothing; use another."

    try:
        with pytest.raises(InputError, match="mute explains nothing"):
            explain(copy, Mute())
    finally:
        Explainer.catalogue.pop("mute")
    assert not list((copy.folder / store.FILE).iterdir())


def test_a_method_named_twice_is_made_once(copy):
    twice = [build(Explainer, "grad_cam")] * 2
    assert [worked for _, _, worked in explained([copy], twice)] == [len(copy.test_ids)]


def test_other_cases_come_beside_those_that_are_there(copy):
    first, second = copy.test_ids[:3], copy.test_ids[2:5]
    before = explain(copy, "grad_cam", first)
    found = explain(copy, "grad_cam", second)
    assert found.ids == second and store.read(copy, "grad_cam").ids == copy.test_ids[:5]
    np.testing.assert_allclose(
        store.read(copy, "grad_cam", first).maps["image"], before.maps["image"], rtol=1e-3
    )


def test_no_case_gets_a_sentence(copy):
    with pytest.raises(InputError, match="no cases of .* to explain"):
        explain(copy, "grad_cam", [])


def test_a_stranger_in_the_folder_is_no_method(copy):
    (copy.folder / store.FILE / "notes").mkdir(parents=True)
    assert store.methods(copy) == []
