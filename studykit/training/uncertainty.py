"""How unsure is a model? Monte-Carlo dropout, an ensemble, or both together.

p_bar = mean of all passes of all models;  H = -sum p_bar log p_bar;  E = mean of the passes' own entropies;
mutual information = H - E: what the passes disagree about, as against what each finds doubtful itself.
All entropies in nats. Dropout alone is switched on: batch norm keeps its statistics.

Gal Y, Ghahramani Z. Dropout as a Bayesian approximation. ICML 2016. Lakshminarayanan B et al. Simple and
scalable predictive uncertainty estimation using deep ensembles. NeurIPS 2017.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from studykit.catalog import InputError
from studykit.models import FusionModel, probabilities

DROPOUT = (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout, nn.FeatureAlphaDropout)


@dataclass(frozen=True)
class Uncertainty:
    """Of some cases by one head. mean, variance: (B, classes); the entropies in nats: (B,), float64."""

    mean: Tensor
    variance: Tensor
    predictive_entropy: Tensor
    expected_entropy: Tensor
    mutual_information: Tensor


def set_mc_dropout(model: nn.Module, on: bool) -> None:
    """Put the model into evaluation mode and only its dropout into training mode (or not)."""
    model.eval()
    for module in model.modules():
        if on and isinstance(module, DROPOUT):
            module.train()


@torch.no_grad()
def mc_predict(
    models: FusionModel | Sequence[FusionModel],
    inputs: Mapping[str, Tensor],
    samples: int = 30,
    seed: int = 0,
) -> dict[str, Uncertainty]:
    """{head: Uncertainty} over `samples` passes of each model, dropout on; modes and seeds are put back.

    An ensemble without dropout is `samples=1` of models whose dropout is 0. Raises InputError for tasks
    without classes.
    """
    models = [models] if isinstance(models, FusionModel) else list(models)
    passes: dict[str, list[Tensor]] = {}
    devices = {p.device for model in models for p in model.parameters() if p.device.type == "cuda"}
    with torch.random.fork_rng(devices=list(devices)):
        torch.manual_seed(seed)
        for model in models:
            modes = {module: module.training for module in model.modules()}
            set_mc_dropout(model, True)
            for _ in range(samples):
                for head, logits in model(inputs).items():
                    passes.setdefault(head, []).append(logits.double())
            for module, mode in modes.items():
                module.training = mode
    tasks = {head.name: head.task for head in models[0].heads}
    return {head: _summary(torch.stack(logits), tasks[head]) for head, logits in passes.items()}


def _summary(logits: Tensor, task) -> Uncertainty:
    """(S, B, outputs) logits of all passes."""
    if task.kind not in ("binary", "multiclass"):
        raise InputError(
            f"Entropies need classes that exclude each other, and task '{task.name}' is {task.kind}; "
            "look at the spread of its predictions instead."
        )
    p = torch.stack([probabilities(one, task) for one in logits])  # (S, B, classes)
    whole, each = entropy(p.mean(dim=0)), entropy(p).mean(dim=0)
    return Uncertainty(p.mean(dim=0), p.var(dim=0, unbiased=False), whole, each, whole - each)


def entropy(p: Tensor) -> Tensor:
    """-sum p log p over the last dimension, in nats; 0 log 0 is 0."""
    return -torch.special.xlogy(p, p).sum(dim=-1)
