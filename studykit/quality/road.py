"""ROAD: what goes is painted over from its surroundings, so that the hole itself tells the model nothing.

x_i = sum over i's neighbours j of w_ij x_j / sum of w_ij, for all places i that go, solved together; w is 1/6
straight on and 1/12 across, what stays is given. A little noise is added where it was painted.
ROAD = mean over the shares of p(least relevant places gone) - p(most relevant places gone)

Above 0 for a map that knows where the answer comes from, 0 for one that knows nothing. Unlike blurred or
gray pixels, painted ones hardly show which pixels are gone, so the shape of the hole gives less away; what
is large and gone is still painted too smooth.

Rong Y, Leemann T, Borisov V, Kasneci G, Kasneci E. A consistent and efficient evaluation strategy for
attribution methods. ICML 2022.
"""

from dataclasses import dataclass

import numpy as np
import torch
from scipy import sparse
from scipy.sparse.linalg import splu

from studykit.catalog import InputError
from studykit.quality.curves import at_once, backwards, having, noise_of, order
from studykit.quality.score import Asked, Score, Scored

WEIGHTS = {(y, x): (1 / 6, 1 / 12)[y * x != 0] for y in (-1, 0, 1) for x in (-1, 0, 1) if (y, x) != (0, 0)}


@dataclass(frozen=True)
class ROAD(Score, name="road"):
    """percentiles: per cent of the pixels that go. noise: in standard deviations of the picture's channel."""

    percentiles: tuple[float, ...] = (10, 30, 50, 70, 90)
    noise: float = 0.01

    title = "ROAD (painted over)"
    asks = "Does the answer suffer more where relevant places are painted over than where others are?"
    better = "more"
    kinds = ("image",)

    def __post_init__(self):
        if not self.percentiles or not all(0 < p < 100 for p in self.percentiles):
            raise InputError(
                f"'percentiles' of road lie between 0 and 100, both left out, not {self.percentiles}; "
                "something must stay to paint from."
            )
        if not self.noise >= 0:
            raise InputError(f"'noise' of road is 0 or more, not {self.noise}.")

    def suits(self, asked):  # noqa: D102
        if asked.modality.kind == "image":
            return ""
        other = "irof or degradation" if asked.modality.kind == "volume" else "degradation"
        return f"{self.title} paints flat pictures, and '{asked.modality.name}' is none; use {other}."

    def scored(self, asked):  # noqa: D102
        cases, why = having(asked)
        steps = np.array(self.percentiles, dtype=float) / 100
        turn = order(asked)
        curves = {
            "road, morf": self._curve(asked, turn, cases, steps),
            "road, lerf": self._curve(asked, backwards(turn), cases, steps),
        }
        scores = (curves["road, lerf"] - curves["road, morf"]).mean(axis=1)
        return {self.name: Scored(scores, np.zeros(len(asked)), why, curves, steps)}

    def _curve(self, asked: Asked, turn: torch.Tensor, cases: np.ndarray, shares: np.ndarray) -> np.ndarray:
        """The answers (B, S) while the first `shares` (S,) of the places are painted over."""
        values = asked.batch.inputs[asked.modality.name]
        pairs = [(case, share) for case in cases for share in shares]
        said = []
        for start in range(0, len(pairs), at_once(values)):
            some = pairs[start : start + at_once(values)]
            painted = [self._painted(asked, values[case], turn[case, 0], share, case) for case, share in some]
            said.append(asked.answers(torch.stack(painted), np.array([case for case, _ in some])))
        found = np.full((len(asked), len(shares)), np.nan)
        found[cases] = np.concatenate([*said, np.zeros(0)]).reshape(len(cases), len(shares))
        return found

    def _painted(self, asked, picture, ranks, share, case) -> torch.Tensor:
        gone = (ranks < round(share * ranks.numel())).numpy()
        noise = noise_of(picture[None], [asked.batch.ids[case]], asked.seed)[0]
        noise = self.noise * picture.std((1, 2), correction=0, keepdim=True) * noise
        return torch.from_numpy(imputed(picture.numpy(), gone)).to(picture) + noise * torch.from_numpy(gone)


def imputed(picture: np.ndarray, gone: np.ndarray) -> np.ndarray:
    """The picture (C, H, W), its places `gone` (H, W) being the weighted means of their neighbours.

    Neighbours beyond the border do not count. At least one place must stay.
    """
    found = picture.astype(np.float64)
    count = int(gone.sum())
    if not count:
        return found
    number = np.full((gone.shape[0] + 2, gone.shape[1] + 2), -2)  # beyond the border
    number[1:-1, 1:-1][...] = -1  # stays
    number[1:-1, 1:-1][gone] = np.arange(count)
    around = np.pad(found, ((0, 0), (1, 1), (1, 1)))
    rows, columns = np.nonzero(gone)
    own, given, entries = np.zeros(count), np.zeros((count, len(found))), []
    for (y, x), weight in WEIGHTS.items():
        at = rows + 1 + y, columns + 1 + x
        neighbour = number[at]
        own += weight * (neighbour > -2)
        given += weight * np.where(neighbour == -1, around[:, at[0], at[1]], 0.0).T
        among = np.nonzero(neighbour >= 0)[0]
        entries.append((np.full(len(among), -weight), among, neighbour[among]))
    entries.append((own, np.arange(count), np.arange(count)))
    weights, i, j = (np.concatenate(parts) for parts in zip(*entries, strict=True))
    system = sparse.csc_matrix((weights, (i, j)), shape=(count, count))
    # Symmetric with a dominant diagonal: no pivots are needed, and far less is filled in.
    solver = splu(system, permc_spec="MMD_AT_PLUS_A", options={"SymmetricMode": True})
    found[:, gone] = solver.solve(given).T
    return found
