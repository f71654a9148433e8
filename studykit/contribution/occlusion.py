"""Modality contribution by occlusion: how much does the answer change when a part of the case is taken away?

Every part of every modality is replaced, one at a time, by what stands for nothing there, and the change of
the model's answer is noted (`contribution.py` has the equation). No labels are needed. What the number
cannot tell is asked by its neighbours (`neighbour.py`): it depends on how fine the parts are, on what they
are filled with, on whether probabilities or logits are looked at, and where two modalities both suffice, it
sees neither.

Parts that already are what they would be filled with are known to change nothing and are not asked.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from studykit.case import Modality
from studykit.catalog import InputError
from studykit.contribution.answers import State, names_of
from studykit.contribution.asking import Asking, exactly, taken
from studykit.contribution.contribution import Contribution, joined

ROUNDING = 8  # machine epsilons: a smaller relative change is rounding, which |.| would count
STILL = ROUNDING * np.finfo(np.float32).eps  # where it is not known in what precision the model computes


def modality_contribution(
    model: nn.Module | Callable,
    inputs: Mapping[str, Tensor] | Sequence[Tensor] | Iterable[Mapping[str, Tensor]],
    parts: Mapping[str, Any] | None = None,
    fill: Any = "absent",
    output: str | Callable[[Any], Tensor] = "",
    *,
    head: str = "",
    modalities: Mapping[str, Modality] | None = None,
    reference: Mapping[str, Tensor] | None = None,
    ids: Sequence[str] | None = None,
    groups: Sequence[str] | None = None,
    encoders: Mapping[str, nn.Module] | None = None,
    sampled: int = 0,
    until: float = 0.0,
    seed: int = 0,
    size: int = 0,
    fold: bool = True,
    watch: Callable[[Iterable], Iterable] = iter,
) -> Contribution:
    """How much of the model's answers hangs on each modality.

    model: one of studykit's, or any torch module or function that takes the modalities by name, in order, or
        as one dictionary; in evaluation mode.
    inputs: {name: (N, *shape)}, a list of such tensors, or batches of either (a DataLoader). A case that
        lacks a modality is NaN all over it.
    parts: {modality: how it is cut}, see `parts.cut`; where nothing is said, patches of an eighth of the
        side, columns, words.
    fill: a name, number or tensor, or {modality: one of these}; see `fill.py`. reference: training cases,
        {modality: (R, *shape)}, for the fills that need any.
    output: "probability" (ours, the default), "logit", "given" (the default for others), "sigmoid",
        "softmax", or a function from what the model gives to (N, K). head: of a model with several.
    modalities: {name: Modality}, where a tensor's form does not tell (kind, columns, absent).
    ids, groups: (N,) cases and patients; for intervals patients are drawn, all their cases together.
    encoders: {modality: submodule that sees this modality alone}, of models that are not ours: what it gave
        is used again.
    sampled: ask only so many parts of each case and modality, drawn at random; 0 asks all. until: draw so
        many again and again until every share's sampling interval is narrower than this.
    size: rows passed through at once; 0 chooses by the machine. fold: see `fold.py` and
        `window.py`; False asks the model as it stands, and not whether it answers a case always alike.
    Raises InputError for masks that do not fit, modalities that the model does not take, a model in training
    mode or of half precision, and answers that are no numbers.
    """
    settings = {
        "parts": parts, "fill": fill, "output": output, "head": head, "modalities": modalities,
        "reference": reference, "encoders": encoders, "size": size, "fold": fold,
    }  # fmt: skip
    for what, given in {"sampled": sampled, "size": size}.items():
        if not isinstance(given, int) or given < 0:
            raise InputError(f"'{what}' is a whole number from 0 on, not {given!r}.")
    if not until >= 0:
        raise InputError(f"'until' is the width of an interval, 0 or more, not {until!r}.")
    if until and sampled < 2:
        raise InputError(
            "'until' says when to stop sampling; give 'sampled', too, the parts of each round, 2 or more."
        )
    if isinstance(inputs, Tensor | np.ndarray | str) or not isinstance(inputs, Iterable):
        raise InputError(
            "The inputs are {modality: tensor}, a list of tensors, or batches of either; "
            f"give one of these, not {type(inputs).__name__}."
        )
    batches = isinstance(inputs, Sequence) and bool(inputs) and isinstance(inputs[0], Mapping)
    if batches or not isinstance(inputs, Mapping | Sequence):
        if until:
            raise InputError(
                "'until' looks at all cases at once; give the inputs as tensors, or leave it out."
            )
        return _batch_by_batch(model, inputs, settings, ids, groups, sampled, seed)
    occlusion = Occlusion(Asking(model, inputs, ids=ids, groups=groups, **settings), sampled, seed)
    occlusion.ask(watch)
    while until and occlusion.left() and not occlusion.told_within(until):
        occlusion.ask(watch)
    return occlusion.contribution()


class Occlusion:
    """What each part's absence changes, as far as it was asked. `sampled`, `seed`: see above."""

    def __init__(self, asking: Asking, sampled: int = 0, seed: int = 0):
        self.asking, self.sampled, self.seed, self.rounds = asking, sampled, seed, 0
        self.order = _orders(asking.same, seed)
        self.first: np.ndarray | None = None  # (N, K)
        self.differences: dict[str, np.ndarray] = {}

    def ask(self, watch: Callable[[Iterable], Iterable] = iter) -> None:
        """Ask all parts, or the next round of those drawn."""
        with exactly():
            for cases in watch(self.asking.blocks()):
                self._ask(cases)
        self.rounds += 1

    def left(self) -> bool:
        """Whether parts remain that were not asked yet."""
        return any(np.isnan(d).any() for d in self.differences.values())

    def told_within(self, width: float) -> bool:
        """Whether every share's sampling interval is narrower; not where nothing moved yet."""
        intervals = self.contribution().sampling_interval().values()
        return all(high - low < width for low, high in intervals)

    def contribution(self) -> Contribution:
        """What is known so far."""
        asking = self.asking
        about = {**asking.told, "output": asking.output, "head": asking.head}
        if callable(asking.output):
            about["output"] = getattr(asking.output, "__name__", "a function")
        return Contribution(
            asking.ids,
            asking.groups,
            asking.outputs,
            {name: d.copy() for name, d in self.differences.items()},
            asking.same,
            {name: cut.names for name, cut in asking.cuts.items()},
            {**about, "sampled": self.sampled, "seed": self.seed},
            asking.answers.forwards,
            dict(asking.answers.encodings),
            asking.cuts,
        )

    def _ask(self, cases: Tensor) -> None:
        state = self.asking.encoded(cases)
        if not self.rounds:
            self._ask_whole(cases, state)
        for name in self.asking.modalities:
            wanted = torch.from_numpy(self._wanted(name, cases)).nonzero()  # (rows, 2): case, part
            rows, start = self.asking.rows(name, state), 0
            while start < len(wanted):
                some = wanted[start : start + rows]
                try:
                    self._ask_without(name, cases, state, some)
                except torch.cuda.OutOfMemoryError:
                    if rows == 1:
                        raise
                    rows = max(1, rows // 2)
                else:
                    start += len(some)

    def _wanted(self, name: str, cases: Tensor) -> np.ndarray:
        """(cases, h): the parts to be asked in this round."""
        there = ~self.asking.same[name][cases.numpy()]
        if not self.sampled:
            return there
        turn = self.order[name][cases.numpy()] // self.sampled
        return there & (turn == self.rounds)

    def _ask_whole(self, cases: Tensor, state: State) -> None:
        asking = self.asking
        found = asking.numbers(state, lambda row: f"the case '{asking.ids[cases[row]]}'")
        if self.first is None:
            self.first = np.full((asking.count, found.shape[1]), np.nan)
            asking.outputs = names_of(found.shape[1], asking.task)
            for name, same in asking.same.items():
                unknown = np.where(same[..., None], 0.0, np.nan)
                self.differences[name] = np.repeat(unknown, found.shape[1], axis=2)
        self.first[cases.numpy()] = found

    def _ask_without(self, name: str, cases: Tensor, state: State, some: Tensor) -> None:
        """Note what the model says of some cases, each without one part of a modality."""
        asking = self.asking
        row, part = some.T
        gone = torch.zeros(len(some), len(asking.cuts[name].names), dtype=torch.bool)
        gone[torch.arange(len(some)), part] = True
        held = {n: taken(streams, row) for n, streams in state.items() if n != name}
        held[name] = asking.encoded_without(name, cases[row], gone)

        def what(at: int) -> str:
            case, gone = asking.ids[cases[row[at]]], asking.cuts[name].names[part[at]]
            return f"the case '{case}' without {gone} of '{name}'"

        found = asking.numbers({n: held[n] for n in state}, what)
        before = self.first[cases[row].numpy()]
        d = found - before
        d[np.abs(d) <= ROUNDING * asking.epsilon * np.maximum(np.abs(found), np.abs(before))] = 0.0
        self.differences[name][cases[row].numpy(), part.numpy()] = d


def _orders(same: Mapping[str, np.ndarray], seed: int) -> dict[str, np.ndarray]:
    """{modality: (N, h)}: when each part's turn comes, drawn by case; parts that change nothing come last."""
    draw, found = np.random.default_rng(seed), {}
    for name, unmoved in same.items():
        chance = draw.random(unmoved.shape) + unmoved
        found[name] = chance.argsort(axis=1).argsort(axis=1)
    return found


def _batch_by_batch(
    model: Any,
    batches: Iterable,
    settings: Mapping[str, Any],
    ids: Sequence[str] | None,
    groups: Sequence[str] | None,
    sampled: int,
    seed: int,
) -> Contribution:
    """Contributions of what a DataLoader gives, joined."""
    found, start = [], 0
    for number, batch in enumerate(batches):
        count = len(next(iter(batch.values())) if isinstance(batch, Mapping) else batch[0])
        at = slice(start, start + count)
        names = [str(k) for k in range(start, start + count)] if ids is None else list(ids[at])
        patients = names if groups is None else list(groups[at])
        asking = Asking(model, batch, ids=names, groups=patients, **settings)
        occlusion = Occlusion(asking, sampled, seed + number)
        occlusion.ask()
        found.append(occlusion.contribution())
        start += count
    if not found:
        raise InputError("The inputs hold no batch; give at least one.")
    for what, given in {"ids": ids, "groups": groups}.items():
        if given is not None and len(given) != start:
            raise InputError(f"'{what}' names {len(given)} cases and the inputs hold {start}.")
    return joined(found)
