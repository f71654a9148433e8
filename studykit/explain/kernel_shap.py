"""KernelSHAP: the best sum of one number a column and word for what the model says when some are away.

phi = argmin sum over S of k(S) (v(S) - v(none) - sum over i in S of phi_i)^2,  sum of phi = v(all) - v(none)
k(S) = (P - 1) / (C(P, |S|) |S| (P - |S|)),  P players

v(S) is the class's logit when only the players S are there (see `players`). With all S this gives the Shapley
values exactly. Where there are more S than `samples`, they are drawn by k, each with its opposite (those that
were away are there, and the other way round). What the values lack to F(x) - F(absent) is stored as the check
"efficiency", and the mean of the players' standard errors, each pair as one draw, as "standard_error".

Lundberg SM, Lee SI. A unified approach to interpreting model predictions. NeurIPS 2017. Opposites: Covert I,
Lee SI. Improving KernelSHAP: practical Shapley value estimation via linear regression. AISTATS 2021.
"""

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from math import comb

import numpy as np
import torch
from captum import attr
from torch import Tensor

from studykit.catalog import InputError
from studykit.explain.players import Game, OfPlayers


@dataclass(frozen=True)
class KernelShap(OfPlayers, name="kernel_shap"):
    """samples: how often a case is asked (more where it has more than a fourth as many players).

    seed: of what is drawn.
    """

    samples: int = 512
    seed: int = 0

    title = "KernelSHAP"
    unit = "added to the logit"
    gives = "what each column and word added to the class's logit, by a weighted regression"

    def __post_init__(self):
        if self.samples < 8:
            raise InputError(f"'samples' of kernel_shap is 8 or more, not {self.samples}.")

    def values(self, game: Game) -> tuple[np.ndarray, np.ndarray]:  # noqa: D102
        count = len(game.players)
        times = max(self.samples, 4 * count) // 2 * 2
        all_of_them = 2**count <= times
        fitted = _Sum(drawn=not all_of_them)
        method = attr.Lime(
            game.worth, fitted, _weight if all_of_them else _alike, every if all_of_them else pairs
        )
        asked = {"n_samples": 2**count if all_of_them else times, "perturbations_per_eval": 128}
        method.attribute(torch.ones(1, count), feature_mask=torch.arange(count)[None], **asked)
        return fitted.values.numpy(), fitted.errors.numpy()


def every(inputs: Tensor, num_interp_features: int, **_) -> Iterator[Tensor]:
    """Everyone, no one, then all other sets of players, each (1, P) of 0 and 1."""
    count = num_interp_features
    yield torch.ones(1, count, dtype=torch.long)
    yield torch.zeros(1, count, dtype=torch.long)
    for there in itertools.product((0, 1), repeat=count):
        if 0 < sum(there) < count:
            yield torch.tensor([there])


def pairs(inputs: Tensor, num_interp_features: int, **_) -> Iterator[Tensor]:
    """Everyone, no one, then without end a set drawn by k and its opposite."""
    count = num_interp_features
    sizes = torch.arange(1, count)
    chances = 1.0 / (sizes * (count - sizes))
    yield torch.ones(1, count, dtype=torch.long)
    yield torch.zeros(1, count, dtype=torch.long)
    while True:
        size = 1 + int(torch.multinomial(chances, 1))
        there = (torch.randperm(count) < size).long()[None]
        yield there
        yield 1 - there


def _weight(inputs: Tensor, changed: Tensor, there: Tensor, **_) -> Tensor:
    """k(S); everyone and no one, who are met exactly, get 0."""
    count, size = there.shape[1], int(there.sum())
    edge = size in (0, count)
    return torch.tensor([0.0 if edge else (count - 1) / (comb(count, size) * size * (count - size))])


def _alike(inputs: Tensor, changed: Tensor, there: Tensor, **_) -> Tensor:
    """They were drawn by k, so each counts once."""
    return torch.ones(1)


class _Sum:
    """The regression, as Captum's LIME asks for one. drawn: whether the rows are pairs that were drawn."""

    def __init__(self, drawn: bool):
        self.drawn = drawn

    def fit(self, rows: Iterable[tuple[Tensor, Tensor, Tensor]]) -> None:
        """rows: sets (N, P), what they are worth (N,) and weights (N,), everyone and no one first."""
        there, worth, weight = (torch.cat(column).double() for column in zip(*rows, strict=True))
        whole, none = worth[0], worth[1]
        there, worth, weight = there[2:], worth[2:], weight[2:]
        # The last player gets what is left, so the others' numbers are free.
        x, last = there[:, :-1] - there[:, -1:], there[:, -1]
        y = worth - none - last * (whole - none)
        inverse = torch.linalg.pinv(x.T @ (weight[:, None] * x), hermitian=True)
        free = inverse @ (x.T @ (weight * y))
        self.values = torch.cat([free, (whole - none - free.sum())[None]])
        self.errors = torch.zeros_like(self.values)
        if self.drawn:
            slopes = ((y - x @ free)[:, None] * x).unflatten(0, (-1, 2)).sum(dim=1)  # one row a pair
            spare = max(1, len(slopes) - len(free))
            spread = inverse @ (slopes.T @ slopes) @ inverse * len(slopes) / spare
            self.errors = torch.cat([spread.diagonal(), spread.sum()[None]]).clamp_min(0).sqrt()

    def representation(self) -> Tensor:
        """The values (P,)."""
        return self.values
