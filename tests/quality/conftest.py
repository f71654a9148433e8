"""What the tests of scores share: maps and regions as a score is asked about them, without a model."""

from dataclasses import dataclass

import numpy as np
import pytest
import torch

from studykit.case import Batch, Modality
from studykit.explain import Explanation
from studykit.quality import Asked


@dataclass
class Told:
    """Stands for the method that gave the maps."""

    title: str = "A method"


@pytest.fixture
def asked_of():
    """A function of maps (B, *space) and a region that gives what a score is asked; no model, inputs of 1."""

    def made(heat, region=None, kind="image", inputs=None, others=None, ids=None, **more):
        heat = np.asarray(heat, dtype=np.float32)
        picture = kind in ("image", "volume")
        maps = {"m": heat[:, None] if picture else heat}
        names = ids or [f"c{at}" for at in range(len(heat))]
        x = torch.ones(maps["m"].shape) if inputs is None else torch.as_tensor(inputs)
        modality = Modality("m", kind, tuple(maps["m"].shape[1:]))
        batch = Batch(names, names, {"m": x}, {})

        def told(values):
            return Explanation(names, "t", np.ones(len(heat)), {}, {"m": values}, {"m": True})

        others = {
            n: told(np.asarray(v, np.float32)[:, None] if picture else v) for n, v in (others or {}).items()
        }
        return Asked(None, batch, Told(), told(maps["m"]), modality, region, others, **more)

    return made
