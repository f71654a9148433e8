"""Randomisation: is the map another one when the model has forgotten all that it learned? It should be.

randomisation = mean over redraws of Spearman(map of the model, map of the model with its weights drawn anew),
the same case, the same class

A method whose maps stay as they are shows the picture, not the model: an edge detector has 1. About 0 is
right. Beside it |Spearman|, because a map may come back turned over; Spearman of the maps' sizes |h|, which
tells where a method only multiplies the picture with something drawn; SSIM of the maps, each scaled to [0,
1]; and Pearson's correlation of their histograms of oriented gradients (flat pictures only). A map that has
become the same everywhere tells nothing of the first, so its correlations count as 0. With several classes,
also Spearman against the map of another class, drawn at random, of the model as it is ("random logit").

Weights are drawn anew as each layer draws them when it is made (`reset_parameters`), and so are the batch
norms' statistics forgotten (mean 0, variance 1); weights of layers that cannot say how are drawn normal, as
large as the trained ones (root mean square). Every redraw starts from a fresh copy of the model, and serves
all cases. `cascading` gives curves over layers: drawn anew from the heads down, and each layer alone. Layers
are those with weights, in the reverse order of their call, in GROUPS groups at most.

Adebayo J, Gilmer J, Muelly M, Goodfellow I, Hardt M, Kim B. Sanity checks for saliency maps. NeurIPS 2018.
"""

import copy
from dataclasses import dataclass

import numpy as np
import torch
from scipy.stats import rankdata
from skimage.feature import hog
from skimage.metrics import structural_similarity
from torch import nn

from studykit.case import Batch
from studykit.catalog import InputError
from studykit.explain.explainer import drawing
from studykit.models import FusionModel
from studykit.quality.curves import having, places, relevance
from studykit.quality.score import TOGETHER, Asked, Score, Scored, heat_of

GROUPS = 8  # of layers, on the curves
LEAST = 3  # places, below which a correlation says nothing
CELLS = 8  # of the histograms of oriented gradients, along each side


@dataclass(frozen=True)
class Randomisation(Score, name="randomisation"):
    """redraws: how often all weights are drawn anew. cascading: whether curves over layers are asked, too.

    seed: of the weights that are drawn.
    """

    redraws: int = 3
    cascading: bool = False
    seed: int = 0

    title = "Randomisation"
    asks = "Does the map change when the model has forgotten all that it learned?"
    better = "less"
    effort = ("redraws", "cascading", "seed")
    dear = True

    def __post_init__(self):
        if self.redraws < 1:
            raise InputError(f"'redraws' of randomisation is 1 or more, not {self.redraws}.")

    def scored(self, asked):  # noqa: D102
        cases, why = _comparable(asked)
        targets = torch.as_tensor(asked.explanation.targets)
        ways = {"": spearman, ", absolute": lambda *maps: np.abs(spearman(*maps)), ", of sizes": of_sizes}
        if asked.modality.kind in ("image", "volume"):
            ways[", SSIM"] = ssim
        if asked.modality.kind == "image":
            ways[", HOG"] = hog_correlation
        several = asked.head.task.kind == "multiclass"
        if not len(cases):
            names = [*ways, *([", another class"] if several else [])]
            return {self.name + name: Scored(np.full(len(asked), np.nan), None, why) for name in names}
        sums, curves = dict.fromkeys(ways, 0.0), {"cascading": 0.0, "independent": 0.0}
        groups = layer_groups(asked.model, asked.batch.take([0])) if self.cascading else []
        for redraw in range(self.redraws):
            drawn = redrawn(asked.model, _seed(asked.seed, self.seed, redraw))
            heat = explained(asked, drawn, targets, cases)
            for name, alike in ways.items():
                sums[name] = sums[name] + alike(asked, heat, cases) / self.redraws
            if self.cascading:
                for name, curve in self._curves(asked, drawn, groups, targets, cases).items():
                    curves[name] = curves[name] + curve / self.redraws
        found = {name: _all(mean, cases, len(asked)) for name, mean in sums.items()}
        scores = {self.name + name: Scored(values, None, why) for name, values in found.items()}
        first = scores[self.name]
        first.chance = np.zeros(len(asked))
        if self.cascading:
            first.curves = {name: _all(curve, cases, len(asked)) for name, curve in curves.items()}
            first.steps = np.arange(len(groups) + 1)
        if several:
            other = explained(asked, asked.model, _other_classes(asked, targets), cases)
            alike = _all(spearman(asked, other, cases), cases, len(asked))
            scores[f"{self.name}, another class"] = Scored(alike, None, why)
        return scores

    def _curves(self, asked, drawn, groups, targets, cases) -> dict[str, np.ndarray]:
        """Spearman (n, 1 + groups) with more and more, and with each of the groups of layers drawn anew."""
        cascade, same = copy.deepcopy(asked.model), np.ones(len(cases))
        found = {"cascading": [same], "independent": [same]}
        for group in groups:
            alone = copy.deepcopy(asked.model)
            for model, name in ((cascade, "cascading"), (alone, "independent")):
                take_over(drawn, model, group)
                found[name].append(spearman(asked, explained(asked, model, targets, cases), cases))
        return {name: np.stack(columns, axis=1) for name, columns in found.items()}


def redrawn(model: FusionModel, seed: int) -> FusionModel:
    """A copy of the model that has learned nothing; see the file's docstring."""
    fresh = copy.deepcopy(model)
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(seed)
        for layer in layers(fresh).values():
            reset = getattr(layer, "reset_parameters", None) or getattr(layer, "_reset_parameters", None)
            if reset:
                reset()
                continue
            for weight in layer.parameters(recurse=False):
                weight.normal_(0.0, float(weight.square().mean().sqrt()))
    return fresh.eval()


def layers(model: nn.Module) -> dict[str, nn.Module]:
    """The modules that hold weights themselves, by name."""
    return {name: m for name, m in model.named_modules() if any(True for _ in m.parameters(recurse=False))}


def layer_groups(model: FusionModel, case: Batch) -> list[list[str]]:
    """The names of the layers from the heads down, in GROUPS groups of equal number at most.

    A layer that is not called itself (its weights are used by the one around it) stands beside the one that
    is written before it.
    """
    called: dict[str, int] = {}

    def note(name):
        def noted(*_):
            called.setdefault(name, len(called))

        return noted

    hooks = [layer.register_forward_pre_hook(note(name)) for name, layer in layers(model).items()]
    try:
        with torch.enable_grad():  # without slopes a transformer takes a short cut past its layers
            model.eval()(case.inputs)
    finally:
        for hook in hooks:
            hook.remove()
    turn, before = {}, 0
    for name in layers(model):
        before = turn[name] = called.get(name, before)
    names = sorted(turn, key=turn.get, reverse=True)
    return [list(part) for part in np.array_split(names, min(GROUPS, len(names)))]


def take_over(source: nn.Module, model: nn.Module, names: list[str]) -> None:
    """Give layers of `model` the weights and statistics that they have in `source`."""
    for name in names:
        layer, given = model.get_submodule(name), source.get_submodule(name)
        with torch.no_grad():
            for own in (layer._parameters, layer._buffers):
                for key, value in own.items():
                    if value is not None:
                        value.copy_(getattr(given, key))


def explained(asked: Asked, model: FusionModel, targets: torch.Tensor, cases: np.ndarray) -> np.ndarray:
    """The maps (n, *space) of the cases (n,), of the classes `targets` (B,), by the same method."""
    name, found = asked.modality.name, []
    for start in range(0, len(cases), TOGETHER):
        at = cases[start : start + TOGETHER]
        maps = asked.explainer.maps(model, asked.batch.take(at), asked.head, targets[at])[0]
        found.append(heat_of(maps[name], asked.modality))
    return np.concatenate(found) if found else asked.heat[:0]


def spearman(asked: Asked, heat: np.ndarray, cases: np.ndarray, act=lambda values: values) -> np.ndarray:
    """Spearman's correlation (n,) over places, of the maps `heat` (n, *space) with the cases' own.

    act: what is done with the places' values first.
    """
    ids = places(asked.batch.inputs[asked.modality.name][cases], asked.modality)
    pairs = zip(act(relevance(asked.heat[cases], ids)), act(relevance(heat, ids)), strict=True)
    there = [(one[~np.isnan(one)], other[~np.isnan(one)]) for one, other in pairs]
    return np.array([_pearson(rankdata(one), rankdata(other)) for one, other in there])


def of_sizes(asked: Asked, heat: np.ndarray, cases: np.ndarray) -> np.ndarray:
    """The same (n,) of the values' sizes: a method that multiplies by the input has the picture in them."""
    return spearman(asked, heat, cases, np.abs)


def ssim(asked: Asked, heat: np.ndarray, cases: np.ndarray) -> np.ndarray:
    """The structural similarity (n,) of the maps, each scaled to [0, 1]; NaN where a side is below 3."""
    side = min(7, *heat.shape[1:])
    window = side - (side + 1) % 2  # odd
    if window < 3:
        return np.full(len(cases), np.nan)
    pairs = zip(asked.heat[cases], heat, strict=True)
    return np.array(
        [
            structural_similarity(_scaled(one), _scaled(other), win_size=window, data_range=1.0)
            for one, other in pairs
        ]
    )


def hog_correlation(asked: Asked, heat: np.ndarray, cases: np.ndarray) -> np.ndarray:
    """Pearson's correlation (n,) of the maps' oriented gradients; NaN below 16 pixels a side."""
    cell = tuple(length // CELLS for length in heat.shape[1:])
    if min(cell) < 2:
        return np.full(len(cases), np.nan)
    pairs = zip(asked.heat[cases], heat, strict=True)
    return np.array(
        [_pearson(*(hog(_scaled(one), pixels_per_cell=cell) for one in pair)) for pair in pairs], dtype=float
    )


def _comparable(asked: Asked) -> tuple[np.ndarray, list[str]]:
    """The positions of the cases whose maps can be compared (n,), and for each case why not, else ""."""
    cases, why = having(asked)
    ids = places(asked.batch.inputs[asked.modality.name], asked.modality)
    by_place = relevance(asked.heat, ids)
    for case in cases:
        known = by_place[case][~np.isnan(by_place[case])]
        if len(known) < LEAST:
            why[case] = f"It has fewer than {LEAST} places to compare."
        elif not np.ptp(known):
            why[case] = "Its map is the same everywhere, so nothing can be likened to it."
    return np.array([case for case in cases if not why[case]], dtype=int), why


def _other_classes(asked: Asked, targets: torch.Tensor) -> torch.Tensor:
    """For each case a class (B,) other than the one explained, drawn."""
    count = len(asked.head.task.classes)
    away = [drawing(f"class of {case}", asked.seed).integers(1, count) for case in asked.batch.ids]
    return (targets + torch.as_tensor(np.array(away))) % count


def _pearson(one: np.ndarray, other: np.ndarray) -> float:
    """Pearson's correlation of two rows; 0 where one is the same everywhere or holds what is no number."""
    one, other = one - one.mean(), other - other.mean()
    size = np.sqrt((one @ one) * (other @ other))
    return float(one @ other / size) if size > 0 else 0.0


def _scaled(heat: np.ndarray) -> np.ndarray:
    """A map scaled to [0, 1]; 0 where it is the same everywhere."""
    wide = np.ptp(heat)
    return (heat - heat.min()) / wide if wide > 0 else np.zeros_like(heat)


def _all(values: np.ndarray, cases: np.ndarray, count: int) -> np.ndarray:
    """The cases' values (n, ...) among all, (count, ...); NaN for the others."""
    found = np.full((count, *values.shape[1:]), np.nan)
    found[cases] = values
    return found


def _seed(*parts: int) -> int:
    return int(np.random.SeedSequence(parts).generate_state(1)[0])
