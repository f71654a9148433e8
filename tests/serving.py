"""The real server on a folder of runs, as a process of its own."""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parents[1]


@contextmanager
def serving(folder: Path, *more: str) -> Iterator[tuple[str, subprocess.Popen]]:
    """Its address and process while it serves."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "studykit", "serve", str(folder), "--port", str(port), *more]
    process = subprocess.Popen(command, cwd=ROOT, start_new_session=True)
    try:
        address = f"http://localhost:{port}"
        _wait(address, process)
        yield address, process
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(timeout=20)


def _wait(address: str, process: subprocess.Popen) -> None:
    for _ in range(240):
        try:
            urllib.request.urlopen(address, timeout=20).close()
            return
        except urllib.error.HTTPError:  # it answers, under a prefix
            return
        except OSError:
            assert process.poll() is None, "the server stopped"
            time.sleep(0.5)
    raise AssertionError("the server did not answer within two minutes")
