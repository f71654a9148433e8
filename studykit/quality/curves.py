"""What the model says while a case is taken away bit by bit, the most or the least relevant places first.

curve(s) = p(class explained | the round(s * n) first of the case's n places stand as in the filling)

A place is a pixel or voxel with all its channels, a source column of a table with all the columns made from
it, or a word of a text that is there. Places are taken by the map's values, signs as they are; equal ones in
an order that is drawn for each case, never in reading order. The intensities are those that the data set
gives: nothing is scaled, cut off or rounded.

Samek W, Binder A, Montavon G, Lapuschkin S, Mueller K-R. Evaluating the visualization of what a deep neural
network has learned. IEEE Transactions on Neural Networks and Learning Systems, 2017.
"""

import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from studykit.case import Modality
from studykit.catalog import InputError, check_choice
from studykit.contribution import parts
from studykit.contribution.fill import Blur, ChannelMean
from studykit.explain.explainer import drawing
from studykit.explain.integrated_gradients import absent_like
from studykit.quality.score import TOGETHER, Asked

FAST = 2**20  # numbers that go through a network at a time, where it is fastest

OUT_OF_DISTRIBUTION = (
    "A picture of which a part is replaced is like none that the model has learned from, so some of what the "
    "curve shows may be the model's surprise; compare with a random map and with other fillings."
)


def _blur(values: Tensor, modality: Modality, names: list[str], seed: int) -> Tensor:
    return Blur().filled(values, modality, None)


def _mean(values: Tensor, modality: Modality, names: list[str], seed: int) -> Tensor:
    return ChannelMean().filled(values, modality, None).expand(values.shape)


def _noise(values: Tensor, modality: Modality, names: list[str], seed: int) -> Tensor:
    space = tuple(range(2, values.ndim))
    mean, sd = values.mean(space, keepdim=True), values.std(space, correction=0, keepdim=True)
    return mean + sd * noise_of(values, names, seed)


def _absent(values: Tensor, modality: Modality, names: list[str], seed: int) -> Tensor:
    return absent_like(values, modality)


FILLINGS: dict[str, Callable[[Tensor, Modality, list[str], int], Tensor]] = {
    "blur": _blur,  # a Gaussian whose standard deviation is an eighth of the longest side, borders mirrored
    "mean": _mean,  # of the picture, channel by channel
    "noise": _noise,  # normal, around that mean, as spread as the channel is
    "absent": _absent,  # what stands for the modality's absence in its data set; of a text, no word
}


def check_setting(score: str, filling: str, steps: int) -> None:
    """InputError where a score's filling is unknown or its steps too few."""
    check_choice("filling", filling, FILLINGS)
    if steps < 2:
        raise InputError(f"'steps' of {score} is 2 or more (11 is every tenth), not {steps}.")


def filling_of(modality: Modality, wish: str) -> str:
    """The filling that is used: the wish for a picture; columns and words only know "absent"."""
    return wish if modality.kind in ("image", "volume") else "absent"


def noise_of(values: Tensor, names: list[str], seed: int) -> Tensor:
    """Standard normal numbers as many as `values` (n, *shape), the same for a case in whatever batch."""
    drawn = [drawing(f"noise of {name}", seed).normal(size=values.shape[1:]) for name in names]
    return torch.from_numpy(np.stack(drawn)).to(values)


def having(asked: Asked) -> tuple[np.ndarray, list[str]]:
    """The positions of the cases that can be asked (n,), and for each case why it cannot be, else ""."""
    lacks = asked.batch.inputs[asked.modality.name].flatten(1).isnan().all(dim=1)
    why = []
    for heat, lacking in zip(asked.heat, lacks.tolist(), strict=True):
        reason = "" if np.isfinite(heat).all() else "Its map holds what is no number."
        why.append(f"The case has no '{asked.modality.name}'." if lacking else reason)
    return np.array([at for at, reason in enumerate(why) if not reason], dtype=int), why


def filled(asked: Asked, wish: str) -> Tensor:
    """What stands in for each case, (B, *shape); NaN where the case lacks the modality."""
    name = filling_of(asked.modality, wish)
    key = f"filled, {name}"
    if key not in asked.kept:
        check_choice("filling", name, FILLINGS)
        values = asked.batch.inputs[asked.modality.name]
        cases, _ = having(asked)
        found = torch.full_like(values, torch.nan)
        if len(cases):
            names = [asked.batch.ids[case] for case in cases]
            found[cases] = FILLINGS[name](values[cases], asked.modality, names, asked.seed).to(values)
        asked.kept[key] = found
    return asked.kept[key]


def places(values: Tensor, modality: Modality) -> Tensor:
    """The place that each position is of, (1 or B, *shape or what broadcasts to it); -1 for none."""
    if modality.kind in ("image", "volume"):
        return torch.arange(math.prod(values.shape[2:])).view(1, 1, *values.shape[2:])
    return parts.cut(None, values, modality).ids


def relevance(heat: np.ndarray, ids: Tensor) -> np.ndarray:
    """The value of each place (B, P): of maps (B, *space), summed over the place; NaN for no place."""
    if ids.ndim > 2:  # a picture's pixels, each a place
        return heat.reshape(len(heat), -1)
    found = np.full((len(heat), int(ids.max()) + 1), np.nan)
    for place in range(found.shape[1]):
        at = (ids == place).numpy()
        found[:, place] = np.where(at.any(axis=1), np.where(at, heat, 0.0).sum(axis=1), np.nan)
    return found


def order(asked: Asked) -> Tensor:
    """Which place goes when: (B, *shape or what broadcasts to it) ranks from 0, the most relevant first.

    -1 where there is nothing to take away, as behind the end of a text.
    """
    if "order" not in asked.kept:
        ids = places(asked.batch.inputs[asked.modality.name], asked.modality)
        by_place = zip(relevance(asked.heat, ids), asked.batch.ids, strict=True)
        ranks = torch.from_numpy(np.stack([ranked(row, case, asked.seed) for row, case in by_place]))
        ids = ids.expand(len(asked), *ids.shape[1:])
        found = ranks.gather(1, ids.flatten(1).clamp(min=0)).view(ids.shape)
        asked.kept["order"] = torch.where(ids < 0, -1, found).int()
    return asked.kept["order"]


def ranked(relevance: np.ndarray, case: str, seed: int) -> np.ndarray:
    """The rank of each place (P,), 0 the most relevant, ties as drawn for the case; -1 for no place (NaN)."""
    there = ~np.isnan(relevance)
    turn = np.lexsort((drawing(case, seed).random(len(relevance)), -relevance))  # NaN comes last
    ranks = np.empty(len(relevance), dtype=np.int64)
    ranks[turn] = np.arange(len(relevance))
    return np.where(there, ranks, -1)


def backwards(order: Tensor) -> Tensor:
    """The same places, the least relevant first."""
    last = order.flatten(1).amax(dim=1).view(-1, *[1] * (order.ndim - 1))
    return torch.where(order < 0, -1, last - order)


def replaced(values: Tensor, filling: Tensor, order: Tensor, share: float | Tensor) -> Tensor:
    """The cases `values` (N, *shape), of whose places the first `share` (N,) are as in `filling`.

    order: (N, *shape or what broadcasts to it) as `order` gives it.
    """
    places = order.flatten(1).amax(dim=1) + 1
    number = (torch.as_tensor(share, dtype=torch.float64) * places).round()
    gone = (order >= 0) & (order < number.view(-1, *[1] * (order.ndim - 1)))
    return torch.where(gone, filling, values)


def answered(
    asked: Asked, filling: Tensor, order: Tensor, cases: np.ndarray, shares: np.ndarray
) -> np.ndarray:
    """The answers (N,) of the cases (N,), of whose places the first `shares` (N,) are replaced.

    Only as many altered cases as the model sees together are made at a time.
    """
    if not len(cases):
        return np.zeros(0)
    values, found = asked.batch.inputs[asked.modality.name], []
    cases, shares = torch.as_tensor(cases), torch.as_tensor(shares)
    for at in torch.arange(len(cases)).split(at_once(values)):
        some = cases[at]
        altered = replaced(values[some], filling[some], order[some], shares[at])
        found.append(asked.answers(altered, some))
    return np.concatenate(found)


def at_once(values: Tensor) -> int:
    """How many altered cases like `values` (B, *shape) to ask at a time: more of them leave the cache."""
    return min(TOGETHER, max(4, FAST // values[0].numel()))


def curve(asked: Asked, most_first: bool, filling: str = "blur", steps: int = 11) -> np.ndarray:
    """The probability of the class explained (B, steps) while 0 ... 100 % of the places are replaced.

    most_first: the most relevant places go first (MoRF), else the least relevant (LeRF). For regression, the
    value. NaN for a case that lacks the modality or has nothing to take away. Asked once for each `Asked`; so
    are both ends, which the two directions share.
    """
    name = filling_of(asked.modality, filling)
    key = f"curve, {'most' if most_first else 'least'} relevant first, {name}, {steps}"
    if key not in asked.kept:
        cases, _ = having(asked)
        cases = cases[(order(asked)[cases].flatten(1).amax(dim=1) >= 0).numpy()] if len(cases) else cases
        shares = np.linspace(0.0, 1.0, steps)
        found = np.full((len(asked), steps), np.nan)
        found[cases, 0], found[cases, -1] = _end(asked, name, cases, 0.0), _end(asked, name, cases, 1.0)
        turn = order(asked) if most_first else backwards(order(asked))
        inner = shares[1:-1]
        said = answered(
            asked, filled(asked, name), turn, np.repeat(cases, len(inner)), np.tile(inner, len(cases))
        )
        found[cases, 1:-1] = said.reshape(len(cases), len(inner))
        asked.kept[key] = found
    return asked.kept[key]


def _end(asked: Asked, filling: str, cases: np.ndarray, share: float) -> np.ndarray:
    """The answers (n,) to the untouched cases (share 0), or to the filled ones (share 1)."""
    key = f"whole, {filling}" if share else "untouched"
    if key not in asked.kept:
        shares = np.full(len(cases), share)
        asked.kept[key] = answered(asked, filled(asked, filling), order(asked), cases, shares)
    return asked.kept[key]


def area(curve: np.ndarray) -> np.ndarray:
    """The area (B,) under curves (B, S) over shares 0 ... 1, by trapezoids."""
    return np.trapezoid(curve, dx=1.0 / (curve.shape[1] - 1), axis=1)


def why(asked: Asked, curve: np.ndarray) -> list[str]:
    """For each case why its curve (B, S) is NaN, else ""."""
    reasons = having(asked)[1]
    empty = np.isnan(curve).all(axis=1)
    return [r or ("There is nothing to take away." if e else "") for r, e in zip(reasons, empty, strict=True)]
