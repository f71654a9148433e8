"""Many processes at once, one killed, the server restarted: the benchmark in small."""

import subprocess
import sys

import pytest
from conftest import ROOT

from tests.trust import postgres


@pytest.mark.parametrize("engine", ["sqlite", "postgresql"])
def test_nothing_acknowledged_is_lost_or_doubled(engine):
    if engine == "postgresql" and postgres.programs() is None:
        pytest.skip(postgres.MISSING)
    command = [sys.executable, "-m", "tests.benchmarks.store_stress", "--small", engine]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    row = [cell.strip() for cell in done.stdout.splitlines()[-1].split("|")[1:-1]]
    assert row[0] == engine and row[2] == row[3] and int(row[4]) > 0
    assert row[5] == ("yes" if engine == "postgresql" else "no server")
