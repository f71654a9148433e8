"""Whole or not at all: whatever ends a program in the middle."""

import errno
import json
import os
import resource
import signal
import subprocess
import sys
import time

import pytest
from conftest import COHORT, ROOT

from studykit.catalog import InputError
from studykit.training.run import FILES, find_runs
from studykit.whole import whole_folder, write_whole


def left(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_folder_appears_only_when_it_is_full(tmp_path):
    with whole_folder(tmp_path / "a") as hidden:
        (hidden / "x").write_text("1")
        assert not (tmp_path / "a").exists()
    assert left(tmp_path) == ["a"] and (tmp_path / "a" / "x").read_text() == "1"


@pytest.mark.parametrize("end", [ValueError, KeyboardInterrupt])
def test_what_is_broken_off_leaves_the_older_one(tmp_path, end):
    with whole_folder(tmp_path / "a") as hidden:
        (hidden / "x").write_text("old")
    with pytest.raises(end), whole_folder(tmp_path / "a") as hidden:
        (hidden / "x").write_text("new")
        raise end
    assert left(tmp_path) == ["a"] and (tmp_path / "a" / "x").read_text() == "old"


def test_a_full_disk_is_told(tmp_path):
    with pytest.raises(InputError, match="The disk is full: .*free some space"), whole_folder(tmp_path / "a"):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert left(tmp_path) == []


def test_a_really_full_disk(tmp_path):
    """A file system of 300 kB, where this user may mount one."""
    small = tmp_path / "small"
    small.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=300k", "tmpfs", str(small)], capture_output=True
    )
    if mounted.returncode:
        pytest.skip("a full disk: mounting a small file system is not allowed here")
    try:
        with pytest.raises(InputError, match="The disk is full"), whole_folder(small / "a") as hidden:
            (hidden / "x").write_bytes(b"0" * 1_000_000)
        with pytest.raises(InputError, match="The disk is full"):
            write_whole(small / "b.csv", "0" * 1_000_000)
        assert left(small) == []
    finally:
        subprocess.run(["umount", str(small)], check=True)


def test_leftovers_of_the_dead_are_swept_and_the_living_left(tmp_path):
    dead = subprocess.Popen(["true"])
    dead.wait()
    (tmp_path / f".a.partial-{dead.pid}").mkdir()
    (tmp_path / f".a.partial-{os.getppid()}").mkdir()
    with whole_folder(tmp_path / "a"):
        pass
    assert left(tmp_path) == [f".a.partial-{os.getppid()}", "a"]


@pytest.fixture
def recipe(tmp_path):
    path = tmp_path / "study.json"
    training = {"epochs": 15}
    wanted = {"dataset": COHORT, "training": training, "folds": 5, "explain": ["integrated_gradients"]}
    path.write_text(json.dumps(wanted))
    return path


def command(recipe, **options):
    out = str(recipe.parent / "out")
    arguments = [sys.executable, "-m", "studykit", "run", str(recipe), "--out", out]
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(arguments, cwd=ROOT, **streams, **options)


def wait_for(condition, process, seconds=180):
    end = time.monotonic() + seconds
    while time.monotonic() < end and process.poll() is None and not condition():
        time.sleep(0.02)
    assert condition(), process.communicate()


@pytest.mark.parametrize("sign", [signal.SIGKILL, signal.SIGINT])
def test_a_killed_run_leaves_whole_folders_and_goes_on(recipe, sign):
    out = recipe.parent / "out" / "study"
    first = command(recipe)
    wait_for(lambda: (out / "fold-1").exists(), first)
    first.send_signal(sign)
    _, said = first.communicate(timeout=60)
    assert first.returncode == (130 if sign == signal.SIGINT else -9)
    if sign == signal.SIGINT:
        assert "stopped" in said.splitlines()[-1] and "Traceback" not in said
    done = find_runs(out)
    assert 2 <= len(done) < 5
    for run in done:
        assert {path.name for path in run.folder.iterdir()} == set(FILES)
        run.model()
    assert not (out / "metrics.csv").exists()
    kept = {run.folder.name: (run.folder / "weights.safetensors").stat().st_mtime_ns for run in done}

    second = command(recipe)
    wait_for(lambda: any(out.glob("fold-*/explanations.zarr")), second)
    second.send_signal(sign)
    second.communicate(timeout=60)
    from studykit.explain import store as stored

    runs = find_runs(out)
    assert len(runs) == 5 and (out / "metrics.csv").exists()
    for name, moment in kept.items():
        assert (out / name / "weights.safetensors").stat().st_mtime_ns == moment
    for run in runs:
        for method in stored.methods(run):
            assert len(stored.read(run, method).ids) == len(run.test_ids)


def test_a_disk_that_fills_up_ends_a_run_with_a_sentence(recipe):
    """Files may not grow beyond 100 kB, so the weights cannot be written."""
    limit = lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))  # noqa: E731
    process = command(recipe, preexec_fn=limit)
    _, said = process.communicate(timeout=300)
    assert process.returncode == 2
    assert said.splitlines()[-1].startswith("studykit: The disk is full: ")
    assert list((recipe.parent / "out" / "study").iterdir()) == []
