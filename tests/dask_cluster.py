"""A real Dask cluster on this machine, of processes that a test may kill."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from conftest import ROOT


@contextmanager
def cluster(workers: int = 2) -> Iterator[tuple[str, list[int]]]:
    """(address of the scheduler, process ids of its workers: one thread each, not replaced when killed)."""
    paths = (ROOT, ROOT / "tests", os.environ.get("PYTHONPATH", ""))
    environment = {
        **os.environ, "OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE",
        "PYTHONPATH": os.pathsep.join(str(path) for path in paths if path),
    }  # fmt: skip
    started = []
    with tempfile.TemporaryDirectory() as scratch, Path(scratch, "log").open("wb") as log:

        def start(*arguments: str) -> subprocess.Popen:
            command = [sys.executable, "-m", "dask", *arguments]
            told = {"env": environment, "stdout": log, "stderr": log, "start_new_session": True}
            started.append(subprocess.Popen(command, cwd=ROOT, **told))
            return started[-1]

        try:
            file = Path(scratch, "scheduler.json")
            where = ("--host", "127.0.0.1", "--no-dashboard")
            start("scheduler", *where, "--port", "0", "--scheduler-file", str(file))
            alone = ("--nthreads", "1", "--no-nanny", "--local-directory", scratch, "--death-timeout", "60")
            pids = [
                start("worker", *where, *alone, "--scheduler-file", str(file)).pid for _ in range(workers)
            ]
            yield _address(file, workers, started, Path(log.name)), pids
        finally:
            for process in started:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()


def _address(file: Path, workers: int, started: list[subprocess.Popen], log: Path) -> str:
    """The address that the scheduler wrote, once its workers are there."""
    from distributed import Client

    for _ in range(600):
        assert all(process.poll() is None for process in started), log.read_text()
        if file.exists() and file.stat().st_size:
            break
        time.sleep(0.1)
    address = json.loads(file.read_text())["address"]
    with Client(address, timeout=30, set_as_default=False) as client:
        client.wait_for_workers(workers, timeout=60)
    return address
