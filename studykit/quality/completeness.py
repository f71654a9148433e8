"""Completeness: do the maps of all modalities add up to what the case changed in the model's answer?

error = |sum over modalities of the effects - (F(x) - F(x'))| / |F(x) - F(x')|, F the class's logit, x' the
data set's "absent" of every modality. 0: nothing is missing. It is about all modalities at once, whichever is
asked about.

Where a text is among them, "completeness from silent words" stands beside it: x' then has as many words,
whose numbers are all 0, which is where methods that walk between the words' numbers start.

Sundararajan M, Taly A, Yan Q. Axiomatic attribution for deep networks. ICML 2017.
"""

from dataclasses import dataclass

import numpy as np
import torch

from studykit.contribution.walked_words import walked
from studykit.explain.explainer import logit_of
from studykit.explain.integrated_gradients import absent_like, standing_in
from studykit.quality.score import TOGETHER, Asked, Score, Scored

STILL = 1e-6  # a logit in single precision that moved less has not moved


@dataclass(frozen=True)
class Completeness(Score, name="completeness"):
    """No settings."""

    title = "Completeness"
    asks = "Do the maps add up to what the case changed in the model's answer? (error relative to it)"
    better = "less"

    def scored(self, asked: Asked) -> dict[str, Scored]:  # noqa: D102
        effects, names = asked.explanation.effects, list(asked.model.modalities)
        without = [name for name in names if name not in effects]
        if without:
            why = f"the method says nothing of how much {' and '.join(without)} added"
            return {self.name: Scored(np.full(len(asked), np.nan), None, [why] * len(asked))}
        told = np.sum([np.asarray(effects[name], dtype=np.float64) for name in names], axis=0)
        there, absent, silent = logits(asked)
        found = {self.name: _scored(told, there, absent)}
        if silent is not None:
            found["completeness from silent words"] = _scored(told, there, silent)
        return found


def completeness(told: np.ndarray, moved: np.ndarray) -> np.ndarray:
    """|told - moved| / |moved| (B,): what the maps add up to and what the logit moved by; NaN if it stood."""
    told, moved = np.asarray(told, dtype=np.float64), np.asarray(moved, dtype=np.float64)
    gap, size = np.abs(told - moved), np.abs(moved)
    return np.divide(gap, size, out=np.full(len(moved), np.nan), where=size > 0)


def logits(asked: Asked) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """The class's logit (B,) of the cases, of what is absent, and of silent words (None without a text)."""
    model, names, layers = asked.model, list(asked.model.modalities), asked.model.word_layers()
    forward = logit_of(model, asked.head, names)
    model.eval()
    rows = []
    with torch.inference_mode():
        for at in torch.arange(len(asked)).split(TOGETHER):
            target = torch.as_tensor(asked.explanation.targets)[at]
            given = {n: standing_in(asked.batch.inputs[n][at], model.schema.modality(n)) for n in names}
            absent = {n: absent_like(given[n], model.schema.modality(n)) for n in names}
            row = [forward(*given.values(), target), forward(*absent.values(), target)]
            if layers:
                words = [given[name] for name in layers]
                silent = absent | {n: torch.zeros_like(layer(given[n].long())) for n, layer in layers.items()}
                row.append(walked(forward, names, layers)(*silent.values(), target, *words))
            rows.append(torch.stack(row))
    there, absent, *silent = torch.cat(rows, dim=1).double().numpy()
    return there, absent, silent[0] if silent else None


def _scored(told: np.ndarray, there: np.ndarray, start: np.ndarray) -> Scored:
    moved = np.where(np.abs(there - start) > STILL * np.maximum(1, np.abs(there)), there - start, 0.0)
    values = completeness(told, moved)
    still = "the model's answer is as for an absent case"
    why = [still if gap == 0 else "the method's numbers are none" for gap in moved]
    return Scored(
        values, None, [reason if np.isnan(v) else "" for v, reason in zip(values, why, strict=True)]
    )
