"""Training: mini-batches, early stopping on the validation cases, the best weights truly kept."""

import hashlib
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from studykit.case import Batch
from studykit.catalog import InputError
from studykit.datasets.loading import Cases
from studykit.models import FusionModel, probabilities
from studykit.training.augment import augmented
from studykit.training.loss import class_weights, losses, total


@dataclass(frozen=True)
class Training:
    """How a model is trained.

    encoder_rate: what the encoders' learning rate is multiplied by. patience: epochs without a better
        validation loss before training stops. balanced: classes count alike. augment: pictures that are
        encoded anew each epoch are flipped left-right and brightened at random, turned by up to `turn`
        degrees and moved by up to `shift` of their side (see `augment`). losses: specs by task.
    """

    epochs: int = 100
    batch: int = 32
    rate: float = 1e-3
    encoder_rate: float = 0.3
    weight_decay: float = 0.01
    patience: int = 20
    balanced: bool = True
    augment: bool = True
    turn: float = 0.0
    shift: float = 0.0
    losses: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self):
        for name in ("epochs", "batch", "rate", "patience"):
            if not getattr(self, name) > 0:
                raise InputError(f"The training's '{name}' is above 0, not {getattr(self, name)}.")


def device() -> torch.device:
    """The fastest device that is here: CUDA, Apple's, or the processor."""
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


class FrozenFeatures:
    """Features of frozen encoders, computed once for each case and kept for all folds.

    One store serves one recipe's models: features are told apart by modality and weights, not by which
    stages of equal weights are pooled.
    """

    def __init__(self):
        self._kept: dict[tuple[str, str], dict[str, Tensor]] = {}

    def of(
        self, model: FusionModel, cases: Batch | Cases, watch: Callable[[Iterable], Iterable] = iter
    ) -> dict[str, Tensor]:
        """{modality: (B, width)} for the modalities whose encoders are frozen; `watch` shows progress."""
        found = {}
        for name, encoder in model.encoders.items():
            if any(p.requires_grad for p in encoder.parameters()) or not len(encoder.state_dict()):
                continue
            kept = self._kept.setdefault((name, _digest(encoder)), {})
            new = [i for i, case in enumerate(cases.ids) if case not in kept]
            where = next(encoder.parameters()).device
            source, others = model.sources.get(name, name), set(model.encoders) - {name}
            parts = [new[start : start + 32] for start in range(0, len(new), 32)]
            with torch.no_grad():
                for batch in cases.batches(watch(parts), [source]):
                    rows = model.encode({source: batch.inputs[source].to(where)}, others)[name].cpu()
                    kept.update(zip(batch.ids, rows.clone(), strict=True))
            found[name] = torch.stack([kept[case] for case in cases.ids])
        return found


def _digest(encoder: torch.nn.Module) -> str:
    digest = hashlib.sha256()
    for tensor in encoder.state_dict().values():
        digest.update(tensor.cpu().numpy().tobytes())
    return digest.hexdigest()


def fit(
    model: FusionModel,
    train: Batch | Cases,
    val: Batch | Cases,
    training: Training,
    seed: int = 0,
    features: FrozenFeatures | None = None,
    watch: Callable[[Iterable], Iterable] = iter,
) -> pd.DataFrame:
    """Train `model` in place, leave it with its best weights in evaluation mode, give the history.

    The history has one row an epoch: epoch, train_loss, val_loss, best (whether its weights were kept).
    """
    features = features or FrozenFeatures()
    known, known_val = features.of(model, train), features.of(model, val)
    where = next(model.parameters()).device
    loss_of = _loss_of(model, train, training, where)
    draw = np.random.default_rng(seed)
    optimiser = torch.optim.AdamW(_groups(model, training), weight_decay=training.weight_decay)
    best, best_loss, since, rows = None, math.inf, 0, []
    for epoch in watch(range(1, training.epochs + 1)):
        model.train()
        sums = []
        parts = _batches(len(train), training.batch, draw)
        for at, batch in zip(parts, train.batches(parts, _unknown(model, known)), strict=True):
            if training.augment:
                batch = augmented(batch, model.schema, draw, training.turn, training.shift)
            logits = model.fuse(_encoded(model, batch, known, at, where))
            loss = loss_of(logits, batch.targets)
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            optimiser.step()
            sums.append(loss.item() * len(at))
        val_loss = loss_of(_logits(model, val, known_val), val.targets).item()
        if not math.isfinite(val_loss):
            raise InputError(
                f"Training went astray in epoch {epoch} (the loss is not a number); "
                "lower the training's 'rate'."
            )
        better = val_loss < best_loss
        since = 0 if better else since + 1
        if better:
            best_loss = val_loss
            best = {key: value.detach().clone() for key, value in model.state_dict().items()}
        row = {"epoch": epoch, "train_loss": sum(sums) / len(train), "val_loss": val_loss}
        rows.append({**row, "best": better})
        if since >= training.patience:
            break
    model.load_state_dict(best)
    model.eval()
    return pd.DataFrame(rows)


def _loss_of(
    model: FusionModel, train: Batch | Cases, training: Training, where: torch.device
) -> Callable[[Mapping[str, Tensor], Mapping[str, Tensor]], Tensor]:
    """The loss as a function of logits and targets, with the training fold's class weights."""
    tasks = model.schema.tasks if training.balanced else ()
    by_task = losses(model.schema.tasks, training.losses)
    weights = {task.name: class_weights(train.targets[task.name], task) for task in tasks}
    balance = {name: w.to(where) for name, w in weights.items() if w is not None}

    def loss(logits: Mapping[str, Tensor], targets: Mapping[str, Tensor]) -> Tensor:
        return total(model, logits, {n: t.to(where) for n, t in targets.items()}, by_task, balance)

    return loss


def predicted(
    model: FusionModel, batch: Batch | Cases, features: FrozenFeatures | None = None
) -> dict[str, Tensor]:
    """The model's probabilities for some cases, {head: (B, classes)}, on the processor."""
    logits = _logits(model, batch, features.of(model, batch) if features else {})
    return {head.name: probabilities(logits[head.name], head.task).cpu() for head in model.heads}


def _groups(model: FusionModel, training: Training) -> list[dict[str, Any]]:
    inside = {id(p) for p in model.encoders.parameters()}
    learn = [p for p in model.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in learn if id(p) not in inside], "lr": training.rate},
        {
            "params": [p for p in learn if id(p) in inside],
            "lr": training.rate * training.encoder_rate,
        },
    ]
    return [group for group in groups if group["params"]]


def _batches(count: int, size: int, draw: np.random.Generator) -> list[list[int]]:
    """Shuffled positions in batches of nearly equal size, so that none is left with a single case."""
    parts = np.array_split(draw.permutation(count), max(1, math.ceil(count / size)))
    return [part.tolist() for part in parts]


def _unknown(model: FusionModel, known: Mapping[str, Tensor]) -> list[str]:
    """The modalities that must be encoded anew: not all of their streams are known."""
    return list({model.sources.get(stream, stream): None for stream in model.encoders if stream not in known})


def _encoded(
    model: FusionModel, batch: Batch, known: Mapping[str, Tensor], at: Sequence[int], where: torch.device
) -> dict[str, Tensor]:
    """The features of a batch: kept ones looked up at positions `at`, the others computed."""
    kept = {name: values[list(at)].to(where) for name, values in known.items()}
    inputs = {name: values.to(where) for name, values in batch.inputs.items()}
    return {**kept, **model.encode(inputs, without=kept)}


@torch.no_grad()
def _logits(model: FusionModel, cases: Batch | Cases, known: Mapping[str, Tensor]) -> dict[str, Tensor]:
    model.eval()
    where = next(model.parameters()).device
    whole = range(len(cases))
    parts = [whole[start : start + 64] for start in range(0, len(cases), 64)]
    read = zip(parts, cases.batches(parts, _unknown(model, known)), strict=True)
    rows = [model.fuse(_encoded(model, batch, known, at, where)) for at, batch in read]
    return {head.name: torch.cat([row[head.name] for row in rows]) for head in model.heads}
