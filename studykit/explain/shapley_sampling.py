"""Shapley values by sampling: columns and words join in some drawn orders, and what each adds is averaged.

phi_i = mean over drawn orders of v(those before i, and i) - v(those before i)

v(S) is the class's logit when only the players S are there (see `players`). In each order the steps add up to
F(x) - F(absent), and so do the values; what is missing from that is stored as the check "efficiency". The
check "standard_error" is the mean over players of the standard deviation over orders / sqrt(orders).

Castro J, Gómez D, Tejada J. Polynomial calculation of the Shapley value based on sampling. Computers &
Operations Research 2009. Strumbelj E, Kononenko I. An efficient explanation of individual classifications
using game theory. JMLR 2010.
"""

from dataclasses import dataclass

import numpy as np
import torch
from captum import attr

from studykit.catalog import InputError
from studykit.explain.players import Game, OfPlayers


@dataclass(frozen=True)
class ShapleySampling(OfPlayers, name="shapley_sampling"):
    """samples: orders drawn for a case; twice as exact are four times as many. seed: of what is drawn."""

    samples: int = 32
    seed: int = 0

    title = "Shapley value sampling"
    unit = "added to the logit"
    gives = "what each column and word added to the class's logit, averaged over orders in which they join"

    def __post_init__(self):
        if self.samples < 2:
            raise InputError(f"'samples' of shapley_sampling is 2 or more, not {self.samples}.")

    def values(self, game: Game) -> tuple[np.ndarray, np.ndarray]:  # noqa: D102
        count = len(game.players)
        method, everyone = attr.ShapleyValueSampling(game.worth), torch.ones(1, count)
        orders = [
            method.attribute(everyone, n_samples=1, perturbations_per_eval=count) for _ in range(self.samples)
        ]
        steps = torch.cat(orders).double().numpy()  # (samples, P)
        return steps.mean(axis=0), steps.std(axis=0, ddof=1) / np.sqrt(self.samples)
