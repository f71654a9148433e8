"""Columns and words as players: what a model answers to a case of which some are there and the rest away.

A player is a source column of a table (with every column made from it), a word of a text, or a picture as a
whole. What is away has the data set's "absent" in its place, v(S) is the class's logit when the players S are
there. Who would not be missed is no player, and its value is 0: a column that is as "absent" has it, a place
without a word, a modality that the case lacks.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from studykit.case import Batch, Modality, Schema
from studykit.explain.explainer import Explainer, drawing
from studykit.explain.integrated_gradients import absent_like, lacks, without
from studykit.models import FusionModel, Head, class_logit

TOGETHER = 128  # altered cases that go through the model at once


@dataclass(frozen=True)
class Player:
    """One that may be away. positions: of its columns or its word; None for a modality as a whole."""

    modality: str
    positions: tuple[int, ...] | None = None


class Game:
    """One case, a batch of one, and its players; `worth` asks the model. target: (1,) class explained."""

    def __init__(self, model: FusionModel, case: Batch, head: Head, target: Tensor):
        self.model, self.head, self.target = model, head, target
        self.here = {name: case.inputs[name] for name in model.modalities}  # (1, *shape)
        self.away = {name: absent_where_there(x, model, name) for name, x in self.here.items()}
        kinds = {name: model.schema.modality(name) for name in self.here}
        self.players = [
            player for name, x in self.here.items() for player in players(kinds[name], x, self.away[name])
        ]
        self.known: dict[bytes, Tensor] = {}  # what sets that were asked of are worth
        self.parted = {player.modality for player in self.players if player.positions is not None}
        with torch.no_grad():
            self.wholes = {
                name: model.encode({name: torch.cat([self.away[name], x])})  # {stream: (2, ...)}
                for name, x in self.here.items()
                if name not in self.parted
            }

    @torch.no_grad()
    def worth(self, there: Tensor) -> Tensor:
        """What sets of players (N, P), 1 or True for who is there, are worth: v (N,)."""
        sets = there > 0.5
        names = [row.tobytes() for row in sets.numpy()]
        new = {name: at for at, name in enumerate(names) if name not in self.known}
        for part in torch.tensor(list(new.values()), dtype=torch.long).split(TOGETHER):
            said = self._asked(sets[part]) if len(part) else ()
            self.known |= {names[at]: value for at, value in zip(part.tolist(), said, strict=True)}
        return torch.stack([self.known[name] for name in names])

    def _asked(self, there: Tensor) -> Tensor:
        features: dict[str, Tensor] = {}
        for name in self.here:
            of = [at for at, player in enumerate(self.players) if player.modality == name]
            if name in self.parted:
                features |= self.model.encode({name: self._mixed(name, there, of)})
            else:
                kept = there[:, of[0]].long() if of else torch.ones(len(there), dtype=torch.long)
                features |= {stream: f[kept] for stream, f in self.wholes[name].items()}
        ordered = {stream: features[stream] for stream in self.model.encoders}
        logits = self.model.fuse(ordered)[self.head.name]
        return class_logit(logits, self.head.task, self.target.expand(len(there)))

    def _mixed(self, name: str, there: Tensor, of: Sequence[int]) -> Tensor:
        """The values (N, F) or (N, T) of a modality of which only the players there keep theirs."""
        kept = torch.ones(len(there), self.here[name].shape[1], dtype=torch.bool)
        for at in of:
            kept[:, list(self.players[at].positions)] = there[:, at, None]
        return torch.where(kept, self.here[name], self.away[name])


def absent_where_there(x: Tensor, model: FusionModel, name: str) -> Tensor:
    """The modality's "absent" (B, *shape) for the cases that have it; who lacks it stays without it (NaN)."""
    return without(absent_like(x, model.schema.modality(name)), lacks(x))


def players(modality: Modality, x: Tensor, absent: Tensor) -> list[Player]:
    """Those of one modality of one case, x and absent (1, *shape)."""
    differs = ((x != absent) & ~x.isnan())[0]
    if modality.kind in ("image", "volume"):
        return [Player(modality.name)] if differs.any() else []
    parts = source_positions(modality) if modality.kind == "table" else [[at] for at in range(len(differs))]
    return [Player(modality.name, tuple(part)) for part in parts if differs[part].any()]


def source_positions(modality: Modality) -> list[list[int]]:
    """The positions of a table's columns, one list a source column; unnamed columns stand for themselves."""
    return list(modality.sources.values()) or [[at] for at in range(modality.shape[0])]


def laid_over_columns(values: np.ndarray, modality: Modality) -> np.ndarray:
    """One value a source column (B, S) over a table's columns (B, F): in equal parts, so that they add up."""
    found = np.zeros((len(values), *modality.shape), dtype=np.float32)
    for source, positions in enumerate(source_positions(modality)):
        found[:, positions] = values[:, source, None] / len(positions)
    return found


class OfPlayers(Explainer):
    """An explainer that gives every player of a case a value. samples, seed: of what it draws."""

    samples: int
    seed: int

    def suits(self, model: FusionModel, schema: Schema) -> str:  # noqa: D102
        if any(schema.modality(name).kind in ("table", "text") for name in model.modalities):
            return ""
        return (
            f"{self.title} tells columns and words apart and the model {model.name} over "
            f"{', '.join(model.modalities)} sees none; use occlusion or integrated_gradients."
        )

    def values(self, game: Game) -> tuple[np.ndarray, np.ndarray]:
        """The players' values (P,) and their standard errors (P,), 0 where nothing was drawn."""
        raise NotImplementedError

    def maps(self, model, batch: Batch, head: Head, targets: Tensor):  # noqa: D102
        schema, count = model.schema, len(batch)
        parted = [schema.modality(n) for n in model.modalities]
        parted = [modality for modality in parted if modality.kind in ("table", "text")]
        maps = {m.name: np.zeros((count, *m.shape), dtype=np.float32) for m in parted}
        effects = {name: np.zeros(count) for name in model.modalities}
        errors = np.zeros(count)
        for at in range(count):
            game = Game(model, batch.take([at]), head, targets[at : at + 1])
            if not game.players:
                continue
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(int(drawing(batch.ids[at], self.seed).integers(2**62)))
                values, error = self.values(game)
            errors[at] = error.mean()
            for player, value in zip(game.players, values, strict=True):
                effects[player.modality][at] += value
                if player.positions is not None:
                    maps[player.modality][at, list(player.positions)] = value / len(player.positions)
        gap = sum(effects.values()) - moved(model, batch, head, targets)
        return maps, dict.fromkeys(maps, True), effects, {"efficiency": gap, "standard_error": errors}


@torch.no_grad()
def moved(model: FusionModel, batch: Batch, head: Head, targets: Tensor) -> np.ndarray:
    """F(x) - F(absent) (B,): what the class's logit moved since nothing was there."""
    here = {name: batch.inputs[name] for name in model.modalities}
    away = {name: absent_where_there(x, model, name) for name, x in here.items()}
    said, before = (class_logit(model(x)[head.name], head.task, targets).double() for x in (here, away))
    return (said - before).numpy()
