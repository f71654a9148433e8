"""Much work at once gives what the same work gives one after another, whoever is killed on the way."""

import multiprocessing
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from functools import partial
from pathlib import Path

import pytest
from conftest import ROOT
from dask_cluster import cluster

from studykit import sweep as ground
from studykit.catalog import InputError
from studykit.sweep import Stopped, sweep


def product(seed):
    """The sum of a small matrix product in float64, and the first row in float32 as torch keeps it."""
    import torch

    draw = torch.Generator().manual_seed(seed)
    left, right = torch.randn(2, 40, 40, generator=draw)
    return (left.double() @ right.double()).sum().item(), (left @ right)[0]


def when(_):
    return time.time_ns()


def settings(_):
    import torch

    return os.environ["OMP_NUM_THREADS"], os.environ["OMP_WAIT_POLICY"], torch.get_num_threads()


def marked(folder, item, seconds=0.0):
    """The item's square; that it was begun and done stands in the folder, with the process that did it."""
    begun = Path(folder, f"begun-{item}-{os.getpid()}")
    begun.touch()
    time.sleep(seconds)
    Path(folder, f"done-{item}-{os.getpid()}").touch()
    return item**2


def slow_after_the_first(folder, item, seconds=60):
    return marked(folder, item, seconds=seconds if item else 0)


def killed_once(folder, item):
    """As `marked`, but item 3 is killed in its midst the first time."""
    if item == 3 and not list(Path(folder).glob("begun-3-*")):
        Path(folder, f"begun-3-{os.getpid()}").touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return marked(folder, item)


def killed_while_answering(folder, item):
    """A large result; the first process is killed in the midst of sending it."""
    marker = Path(folder, "killed")
    if item == 0 and not marker.exists():
        marker.touch()
        threading.Thread(target=_kill_in_a_large_write, daemon=True).start()
        return bytes(200_000_000)
    return item


def _kill_in_a_large_write():
    while True:
        call = Path(f"/proc/self/task/{os.getpid()}/syscall").read_text().split()
        if call[0] == WRITE and int(call[3], 16) > 1_000_000:
            os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(0.0002)


WRITE = "1"  # the number of this system call where there is x86-64 Linux


def killed(item):
    if item == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    return item


class TwoWordError(Exception):
    """It cannot be unpickled: it takes two words and hands on one."""

    def __init__(self, first, second):
        super().__init__(first + second)


def failing(item):
    if item == 2:
        raise InputError("Case 2 has no picture; leave it out.")
    if item == 3:
        raise TwoWordError("no ", "luck")
    return lambda: item


class Absent:
    """It is pickled as a function of a module that is not there, as one of a notebook's cell is."""

    def __reduce__(self):
        return pickle.loads, (b"cnot_a_module\nwork\n.",)


def counted(folder, what):
    return len(list(Path(folder).glob(f"{what}-*")))


@pytest.fixture(scope="module")
def scheduler():
    with cluster(workers=2) as (address, _):
        yield address


@pytest.fixture
def nothing_left():
    yield
    assert multiprocessing.active_children() == []


def test_here_the_work_is_done_when_it_is_asked_for():
    done = []
    results = sweep(lambda item: done.append(item) or -item, (item for item in range(5)))
    assert done == []
    assert [next(results), next(results)] == [0, -1] and done == [0, 1]
    assert list(results) == [-2, -3, -4]
    assert list(sweep(len, [])) == list(sweep(len, [], workers=2)) == []


def test_a_progress_bar_moves_with_the_results(tmp_path, nothing_left):
    seen = []

    def bar(steps):
        for step in steps:
            yield step
            seen.append((step, len(steps)))

    for number, _ in enumerate(sweep(partial(marked, tmp_path), range(9), workers=1, watch=bar)):
        assert len(seen) == number
    assert seen == [(step, 9) for step in range(9)]


def test_processes_give_the_same_numbers_in_the_same_order(nothing_left):
    here = list(sweep(product, range(6)))
    assert len({total for total, _ in here}) == 6
    there = list(sweep(product, range(6), workers=2))
    assert [total for total, _ in there] == [total for total, _ in here]
    assert all((a == b).all() for (_, a), (_, b) in zip(here, there))


SCRIPT = """
import os
import torch
from test_sweep import settings
from studykit.sweep import sweep

if __name__ == "__main__":
    torch.set_num_threads(2)
    assert list(sweep(settings, [0], workers=1)) == [("1", "PASSIVE", 1)]
    assert os.environ["OMP_NUM_THREADS"] == "2" and "OMP_WAIT_POLICY" not in os.environ
    print("well")
"""


def test_a_process_has_one_thread_even_where_the_script_imports_torch_first(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    paths = os.pathsep.join(map(str, (ROOT, ROOT / "tests")))
    environment = {**os.environ, "OMP_NUM_THREADS": "2", "PYTHONPATH": paths}
    environment.pop("OMP_WAIT_POLICY", None)
    said = subprocess.run(
        [sys.executable, script], env=environment, capture_output=True, text=True, timeout=60
    )
    assert said.stdout.strip() == "well", said.stderr


def test_only_the_item_whose_process_is_killed_is_done_again(tmp_path, nothing_left):
    assert list(sweep(partial(killed_once, tmp_path), range(12), workers=2)) == [i**2 for i in range(12)]
    assert counted(tmp_path, "begun-3") == 2
    assert counted(tmp_path, "begun") == 13 and counted(tmp_path, "done") == 12


@pytest.mark.skipif(
    not sys.platform.startswith("linux") or os.uname().machine != "x86_64", reason="looks into Linux' /proc"
)
def test_a_process_killed_while_it_sends_its_result_is_no_end(tmp_path, nothing_left):
    results = list(sweep(partial(killed_while_answering, tmp_path), range(6), workers=2))
    assert (tmp_path / "killed").exists()
    assert results == list(range(6))


def test_an_item_that_ends_every_process_is_named(nothing_left):
    results = sweep(killed, range(4), workers=2)
    assert next(results) == 0
    with pytest.raises(InputError, match=r"^Item 2, 1, ended each of the 4 processes that worked on it: see"):
        list(results)


def test_leaving_the_loop_ends_the_work_at_once(tmp_path, nothing_left):
    results = sweep(partial(slow_after_the_first, tmp_path), range(1000), workers=2)
    assert next(results) == 0
    started = time.monotonic()
    results.close()
    assert time.monotonic() - started < 20
    assert multiprocessing.active_children() == []
    assert counted(tmp_path, "done") == 1 and counted(tmp_path, "begun") <= 3


@pytest.mark.parametrize("where", ["processes", "cluster"])
def test_it_stops_while_it_waits(where, request, tmp_path, nothing_left):
    given = {"workers": 2 * (where == "processes")}
    if where == "cluster":
        given["scheduler"] = request.getfixturevalue("scheduler")
    work = partial(slow_after_the_first, tmp_path, seconds=60 if where == "processes" else 1.5)
    stop = threading.Event()
    results = sweep(work, range(9), **given, stop=stop.is_set)
    found = [next(results)]
    started = time.monotonic()
    threading.Timer(0.3, stop.set).start()
    with pytest.raises(Stopped):
        found.extend(results)
    assert 0.3 <= time.monotonic() - started < 1.3
    assert found == [0] and counted(tmp_path, "done") == 1


@pytest.mark.parametrize("workers", [0, 1])
def test_it_stops_between_items_and_hands_over_those_before(workers, tmp_path, nothing_left):
    found = []
    with pytest.raises(Stopped):
        for square in sweep(partial(marked, tmp_path), range(9), workers, stop=lambda: len(found) == 3):
            found.append(square)
    assert found == [0, 1, 4]
    assert workers or counted(tmp_path, "begun") == 3


ENDLESS = """
import sys
from functools import partial
from test_sweep import marked
from studykit.sweep import sweep

if __name__ == "__main__":
    list(sweep(partial(marked, sys.argv[1], seconds=60), [0], workers=1))
"""


def test_a_process_at_work_ends_with_the_one_that_asks_even_where_that_is_killed(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(ENDLESS)
    paths = os.pathsep.join(map(str, (ROOT, ROOT / "tests")))
    asking = subprocess.Popen([sys.executable, script, tmp_path], env={**os.environ, "PYTHONPATH": paths})
    _until(lambda: counted(tmp_path, "begun") == 1, seconds=30)
    (begun,) = tmp_path.glob("begun-*")
    asking.kill()
    asking.wait()
    at_work = Path("/proc", begun.name.rpartition("-")[2], "cmdline")
    _until(lambda: not at_work.exists() or not at_work.read_bytes(), seconds=3)  # gone, or waited for by none


def _until(there, seconds):
    for _ in range(int(seconds / 0.05)):
        if there():
            return
        time.sleep(0.05)
    raise AssertionError(f"not within {seconds} s")


def test_no_more_is_begun_than_will_soon_be_asked_for(tmp_path, nothing_left):
    results = sweep(partial(marked, tmp_path), range(1000), workers=1)
    next(results)
    time.sleep(0.5)
    assert counted(tmp_path, "begun") == ground.AHEAD
    next(results)
    time.sleep(0.5)
    assert counted(tmp_path, "begun") == ground.AHEAD + 1
    results.close()


@pytest.mark.parametrize("where", ["here", "processes", "cluster"])
def test_what_the_work_raises_comes_through(where, request, nothing_left):
    given = {"workers": int(where == "processes")}
    if where == "cluster":
        given["scheduler"] = request.getfixturevalue("scheduler")
    with pytest.raises(InputError, match=r"^Case 2 has no picture; leave it out\.$") as raised:
        list(sweep(failing, [2], **given))
    if where == "processes":
        assert "in failing" in str(raised.value.__cause__)


def test_errors_and_results_that_cannot_travel_are_told(nothing_left):
    with pytest.raises(RuntimeError, match="^TwoWordError: no luck$"):
        list(sweep(failing, [3], workers=1))
    with pytest.raises((AttributeError, pickle.PicklingError), match="lambda"):
        list(sweep(failing, [0], workers=1))


def test_work_that_cannot_travel_is_told_with_the_remedy(nothing_left):
    with pytest.raises(InputError, match="cannot be sent to a process .*: use a function of a module"):
        list(sweep(lambda item: item, [0], workers=1))
    with pytest.raises(InputError, match="cannot import this work .*not_a_module.*: put it into a module"):
        list(sweep(print, [Absent()], workers=1))


@pytest.mark.parametrize("given", [{"workers": -1}, {"workers": 2, "scheduler": "tcp://127.0.0.1:1"}])
def test_processes_or_a_cluster_but_not_both(given):
    with pytest.raises(InputError, match="give one of them"):
        list(sweep(len, [], **given))


def test_a_cluster_gives_the_same_numbers_in_the_same_order(scheduler):
    here, there = list(sweep(product, range(6))), list(sweep(product, range(6), scheduler=scheduler))
    assert [total for total, _ in there] == [total for total, _ in here]
    assert all((a == b).all() for (_, a), (_, b) in zip(here, there))
    assert list(sweep(settings, [0], scheduler=scheduler)) == [("1", "PASSIVE", 1)]


def test_a_cluster_does_equal_items_each_and_takes_no_item_for_its_own(scheduler):
    items = [(max, 1, 2), {"a": [1]}]
    assert list(sweep(repr, items, scheduler=scheduler)) == [repr(item) for item in items]
    assert len(set(sweep(when, [0] * 5, scheduler=scheduler))) == 5


def test_leaving_the_loop_stops_the_cluster(scheduler, tmp_path):
    results = sweep(partial(marked, tmp_path, seconds=0.1), range(1000), scheduler=scheduler)
    assert next(results) == 0
    results.close()
    time.sleep(0.3)  # what was begun is finished
    begun = counted(tmp_path, "begun")
    assert 1 <= begun <= 8
    time.sleep(0.5)
    assert counted(tmp_path, "begun") == begun


def test_a_cluster_whose_worker_is_killed_at_work_gives_every_result(tmp_path, monkeypatch):
    monkeypatch.setattr(ground, "PATIENCE", 0.5)
    with cluster(workers=2) as (address, workers):
        results = sweep(partial(marked, tmp_path, seconds=0.2), range(14), scheduler=address)
        found = [next(results)]
        _kill_at_work(workers[0], tmp_path)
        found += results
        assert found == [item**2 for item in range(14)]
        done_by = {path.name.rsplit("-", 1)[1] for path in tmp_path.glob("done-1[0-3]-*")}
        assert done_by == {str(workers[1])}
        assert counted(tmp_path, "begun") > counted(tmp_path, "done") >= 14

        results = sweep(partial(marked, tmp_path, seconds=0.1), range(100, 110), scheduler=address)
        next(results)
        os.kill(workers[1], signal.SIGKILL)
        with pytest.raises(InputError, match=f"no workers: start one with 'dask worker {address}'"):
            list(results)
    for pid in workers:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def _kill_at_work(pid, folder):
    """Kill a worker that began an item and has not done it."""
    for _ in range(1000):
        time.sleep(0.005)
        begun = {path.name.split("-")[1] for path in folder.glob(f"begun-*-{pid}")}
        if begun - {path.name.split("-")[1] for path in folder.glob(f"done-*-{pid}")}:
            os.kill(pid, signal.SIGKILL)
            return
    raise AssertionError(f"worker {pid} was never at work")


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:1", "127.0.0.1", "http://127.0.0.1:80"])
def test_an_address_where_no_scheduler_answers_is_told(address, monkeypatch):
    monkeypatch.setattr(ground, "PATIENCE", 0.5)
    threads = threading.active_count()
    with pytest.raises(InputError, match=rf"^No Dask scheduler answers at '{address}': give the address"):
        next(sweep(len, ["a"], scheduler=address))
    assert threading.active_count() == threads


def test_a_missing_dask_is_told_with_the_remedy(monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(InputError, match=r'needs Dask: pip install "studykit\[dask\]"\.$'):
        next(sweep(len, ["a"], scheduler="tcp://127.0.0.1:1"))


def test_a_sweep_imports_neither_torch_nor_dask():
    code = "import studykit.sweep, sys; print({'torch', 'distributed', 'panel', 'numpy'} & set(sys.modules))"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert said.stdout.strip() == "set()"
