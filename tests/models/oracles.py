"""The recorded inputs, weights and outputs of the papers' code, and the formula for weights not stored."""

import json
import math
import os
import zlib
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest
import torch

M, A, B, C, D = 2147483647, 1103515245, 1402024253, 747796405, 362437
ROLES = {
    "global_scale": (1.3, 0.6),
    "local_scale": (0.2, 1.2),
    "alpha": (1.0, 0.5),
    "alpha1": (1.0, 0.5),
    "alpha2": (1.0, 0.5),
    "running_mean": (0.0, 0.3),
    "running_var": (1.0, 0.5),
    "bias": (0.0, 0.3),
}


@lru_cache
def record(name):
    """(about, arrays) of one oracle; skips, with the reason, where the folder is not here."""
    home = os.environ.get("STUDYKIT_ORACLES")
    if not home:
        pytest.skip("real data: set STUDYKIT_ORACLES to the folder of recorded outputs")
    folder = Path(home)
    return json.loads((folder / f"{name}.json").read_text()), np.load(folder / f"{name}.npz")


def by_formula(name, shape, center, amp):
    """The tensor that the oracles define by name instead of storing it; exact in float32."""
    i = np.arange(math.prod(shape), dtype=np.uint64)
    start = zlib.crc32(name.encode()) % M
    h = (i * i % M * A % M + i * B % M + start * C % M + D) % M
    v = 2 * h.astype(np.float64) / M - 1
    return (center + amp * v).astype(np.float32).reshape(shape)


def weight(name, shape):
    """A network's tensor by the roles that the oracles state."""
    last = name.rsplit(".", 1)[-1]
    if name.endswith("bn3.weight"):
        role = (0.3, 0.15)
    elif last == "weight":
        fan_in = math.prod(shape[1:])
        role = (1.0, 0.4) if len(shape) == 1 else (0.0, math.sqrt(6 / fan_in))
    else:
        role = ROLES[last]
    if name.endswith("attn.psi.weight"):
        role = (0.0, 0.15 * role[1])
    return by_formula(name, shape, *role)


def close(found, wanted, tolerance):
    """Whether the largest error is within `tolerance`, relative to the largest value (at least 1)."""
    found, wanted = np.asarray(found.detach(), dtype=np.float64), np.asarray(wanted, dtype=np.float64)
    assert found.shape == wanted.shape
    error = np.abs(found - wanted).max() / max(1.0, np.abs(wanted).max())
    assert error <= tolerance, f"off by {error:.2e}, allowed {tolerance:.0e}"


PRECISIONS = pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.float64, 1e-10), (torch.float32, 1e-5)], ids=["float64", "float32"]
)
