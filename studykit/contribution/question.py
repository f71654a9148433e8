"""A model and some cases, asked with any mixture of modalities: the case's own, another case's, or none.

What one neighbour of modality contribution asked is remembered for the others.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from studykit.case import Modality, Task
from studykit.catalog import InputError, check_choice
from studykit.contribution.answers import State, reader
from studykit.contribution.asking import Asking, exactly, taken
from studykit.contribution.contribution import Contribution
from studykit.contribution.occlusion import Occlusion
from studykit.scores import SCORES, draws


class Question:
    """Arguments as `modality_contribution` takes them (`settings`), and the truth where it is known.

    targets: (N,) class indices, (N, labels) of 0 and 1, or (N,) values; NaN where not labelled. task: what is
        to be answered; a model of ours knows it. gives: what another model's numbers are, "logit" or
        "probability" (of several classes, or of two, one number each). resamples, seed: of the bootstrap over
        patients.
    Raises InputError as `modality_contribution` does.
    """

    def __init__(
        self,
        model: nn.Module | Callable,
        inputs: Mapping[str, Tensor] | Sequence[Tensor],
        *,
        targets: Tensor | None = None,
        task: Task | None = None,
        gives: str = "logit",
        resamples: int = 1000,
        level: float = 0.95,
        seed: int = 0,
        **settings: Any,
    ):
        self.model, self.settings = model, settings
        self.asking = Asking(model, inputs, **settings)
        self.task = task or self.asking.task
        self.targets = None if targets is None else torch.as_tensor(targets).cpu()
        if self.targets is not None and self.targets.ndim == 2 and self.targets.shape[1] == 1:
            several = self.task is not None and self.task.kind == "multilabel"
            self.targets = self.targets if several else self.targets[:, 0]
        if self.targets is not None and len(self.targets) != self.asking.count:
            raise InputError(
                f"'targets' names {len(self.targets)} cases and the inputs hold {self.asking.count}."
            )
        self.level, self.seed = level, seed
        self.weights = draws(self.asking.groups, resamples, seed)  # (R, N)
        check_choice("kind of answer (in 'gives')", gives, ("logit", "probability"))
        self.gives, self._numbers = gives, reader("logit", self.task, self.asking.head)
        self._remembered: dict[Any, tuple[np.ndarray, np.ndarray | None]] = {}

    @property
    def count(self) -> int:
        """N, the number of cases."""
        return self.asking.count

    @property
    def modalities(self) -> Mapping[str, Modality]:
        """The modalities, by name."""
        return self.asking.modalities

    @property
    def forwards(self) -> int:
        """How many rows went through the model (its fusion) so far."""
        return self.asking.answers.forwards

    @cached_property
    def contribution(self) -> Contribution:
        """Modality contribution of these cases, with the question's own parts."""
        occlusion = Occlusion(self.asking)
        occlusion.ask()
        return occlusion.contribution()

    @cached_property
    def _there(self) -> State:
        return self._whole(away=False)

    @cached_property
    def _away(self) -> State:
        return self._whole(away=True)

    def _whole(self, away: bool) -> State:
        """All cases' features."""
        with exactly():
            blocks = [self.asking.encoded(cases, away) for cases in self.asking.blocks()]
        return {
            name: {stream: torch.cat([b[name][stream] for b in blocks]) for stream in blocks[0][name]}
            for name in blocks[0]
        }

    def asked(
        self, rows: Mapping[str, Tensor | Sequence[int]], away: Iterable[str] = ()
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """The model's answers to made-up cases: modality by modality, the one of the case rows[name][r].

        away: modalities of which what stands in for the case is taken instead. Gives the chosen output (R, K)
        and, where the task is known, the probabilities (R, classes) or values (R, 1), else None.
        """
        rows = {name: torch.as_tensor(at) for name, at in rows.items()}
        away, found = set(away), []
        sources = {n: (self._away if n in away else self._there)[n] for n in self.modalities}
        size = min(self.asking.rows(name, self._there) for name in self.modalities)
        with exactly():
            for at in torch.arange(len(next(iter(rows.values())))).split(size):
                state = {n: taken(sources[n], rows[n][at]) for n in self.modalities}
                found.append(self._read(state))
        outputs, probabilities = zip(*found, strict=True)
        known = None if probabilities[0] is None else np.concatenate(probabilities)
        return np.concatenate(outputs), known

    def with_only(self, names: Iterable[str]) -> tuple[np.ndarray, np.ndarray | None]:
        """The answers to all cases when only these modalities are there, as `asked`; asked once."""
        key = frozenset(names)
        if key not in self._remembered:
            everyone = {name: torch.arange(self.count) for name in self.modalities}
            self._remembered[key] = self.asked(everyone, set(self.modalities) - key)
        return self._remembered[key]

    def without_parts(self, cases: Tensor, gone: Mapping[str, Tensor]) -> np.ndarray:
        """The chosen output (R, K) of cases[r] without the parts gone[name][r], (R, h) bool, all at once."""
        found = []
        size = min(self.asking.rows(name, self._there) for name in self.modalities)
        with exactly():
            for at in torch.arange(len(cases)).split(size):
                state = {}
                for name in self.modalities:
                    missing = gone[name][at] if name in gone else None
                    if missing is None or not missing.any():
                        state[name] = taken(self._there[name], cases[at])
                    else:
                        state[name] = self.asking.encoded_without(name, cases[at], missing)
                found.append(self._read(state)[0])
        return np.concatenate(found)

    def _read(self, state: State) -> tuple[np.ndarray, np.ndarray | None]:
        said = self.asking.answers.fuse(state)
        output = self.asking.read(said).double().cpu().numpy()
        return output, None if self.task is None else self.probabilities(self._numbers(said))

    def probabilities(self, numbers: Tensor) -> np.ndarray:
        """What the model gives (n, K) as probabilities (n, classes), or values (n, 1), of the task."""
        if self.gives == "probability":
            p = numbers
        elif self.task.kind == "binary" and numbers.shape[1] == 2:
            p = numbers.softmax(dim=1)
        else:
            p = reader("probability", self.task, "")(numbers)
        return two_sided(p.double().cpu().numpy(), self.task)

    @cached_property
    def known(self) -> np.ndarray:
        """Which cases are labelled, (N,) bool; none where no truth was given."""
        if self.targets is None:
            return np.zeros(self.count, dtype=bool)
        return ~self.targets.reshape(self.count, -1).isnan().any(dim=1).numpy()

    @property
    def scores(self) -> list[str]:
        """The names of the scores that suit the task."""
        return list(SCORES[self.task.kind])

    def score(self, name: str, p: np.ndarray) -> tuple[float, np.ndarray]:
        """A score of probabilities (N, classes) of all cases, and its bootstrap draws (R,)."""
        truth = self.targets.numpy()[self.known]
        if self.task.kind != "regression":
            truth = truth.astype(int)
        score, at = SCORES[self.task.kind][name], self.known
        own = score(truth, p[at], np.ones((1, at.sum())))[0]
        return float(own), score(truth, p[at], self.weights[:, at])

    def row(self, statistic: str, group: str, estimate: float, drawn: np.ndarray, why: str = "") -> dict:
        """A line of a neighbour's table; drawn: (R,) bootstrap values, or none."""
        drawn = np.asarray(drawn)[~np.isnan(drawn)]
        low = high = np.nan
        if len(drawn) and len(set(self.asking.groups)) > 1 and not np.isnan(estimate):
            low, high = np.percentile(drawn, [50 * (1 - self.level), 50 * (1 + self.level)])
        row = {"statistic": statistic, "group": group, "estimate": float(estimate)}
        return {**row, "low": float(low), "high": float(high), "n": self.count, "why": why}


def two_sided(p: np.ndarray, task: Task) -> np.ndarray:
    """Probabilities (N, classes): of a binary task with one output, both classes'."""
    return np.concatenate([1 - p, p], axis=1) if task.kind == "binary" and p.shape[1] == 1 else p
