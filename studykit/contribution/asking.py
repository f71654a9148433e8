"""A model and some cases, with the parts of each modality and what stands in for them: ready to be asked.

Each modality is encoded once; what changes one modality runs that modality's encoder and the fusion alone.
"""

import copy
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from studykit.case import Modality
from studykit.catalog import InputError, check_choice, is_spec
from studykit.contribution import fill as fills
from studykit.contribution import parts as cuts
from studykit.contribution.answers import (
    Answers,
    OfCallable,
    OfFusionModel,
    State,
    is_ours,
    modality_of,
    names_of,
    reader,
    task_of,
)
from studykit.contribution.fold import CONVOLUTIONS, folded
from studykit.contribution.window import Window, occluded

BLOCK = 64  # cases encoded at a time
WORK = 2**21  # numbers of one modality in a batch on the processor: larger batches fall out of its cache
ON_GPU = 8  # times as many on a GPU
UNSTEADY = 1e-3  # of the largest number, how far an answer may be from the same one asked again
CLOSE = 1e-5  # of the largest number, how far an answer from a window may be from the whole picture's


class Asking:
    """What `modality_contribution` takes, checked and made ready; see there for the arguments.

    inputs, filled: {modality: (N, *shape)}; cuts: {modality: Cut}; same: {modality: (N, h) bool}, parts that
    are already what they would be filled with, or are not there.
    """

    def __init__(
        self,
        model: nn.Module | Callable,
        inputs: Mapping[str, Tensor] | Sequence[Tensor],
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
        size: int = 0,
        fold: bool = True,
    ):
        _check_model(model)
        self.in_order = not isinstance(inputs, Mapping)
        if self.in_order:
            inputs = dict(zip(_names(model, len(inputs)), inputs, strict=True))
        self.head = head or (model.heads[0].name if is_ours(model) else "")
        self.task = task_of(model, self.head)
        self.modalities = _modalities(model, inputs, modalities or {})
        self.inputs = {name: torch.as_tensor(inputs[name]).cpu() for name in self.modalities}
        self.count, self.size = _count(self.inputs), size
        weights = next(model.parameters(), None) if isinstance(model, nn.Module) else None
        self.device = torch.device("cpu") if weights is None else weights.device
        self.dtype = None if weights is None else weights.dtype
        self.inputs = {n: self._fitting(n, x) for n, x in self.inputs.items()}
        self.ids = [str(k) for k in range(self.count)] if ids is None else [str(case) for case in ids]
        self.groups = self.ids if groups is None else [str(group) for group in groups]
        for what, given in {"ids": self.ids, "groups": self.groups}.items():
            if len(given) != self.count:
                raise InputError(f"'{what}' names {len(given)} cases and the inputs hold {self.count}.")
        twice = [case for case, times in Counter(self.ids).items() if times > 1]
        if twice:
            raise InputError(f"'ids' names {twice[0]!r} more than once; give each case its own.")
        self._cut(parts or {}, fill, reference or {})
        self.output = output or ("probability" if self.task else "given")
        self.read = reader(self.output, self.task, self.head)
        self.model = model
        self.answers = self._answers(encoders or {}, fold)
        self.windowed = self._windowed() if fold else frozenset()

    def _cut(self, parts: Mapping[str, Any], fill: Any, reference: Mapping[str, Tensor]) -> None:
        by_name = isinstance(fill, Mapping) and not is_spec(fill)
        for what, given in {"parts": parts, "reference": reference, "fill": fill if by_name else {}}.items():
            for name in given:
                check_choice(f"modality (in '{what}')", name, self.modalities)
        self.cuts, self.filled, self.told = {}, {}, {"parts": {}, "fill": {}}
        for name, modality in self.modalities.items():
            x, wish = self.inputs[name], parts.get(name)
            self.cuts[name] = cuts.cut(wish, x, modality)
            chosen = fills.fill_of(fills.usual(fill, name), modality)
            lacking = x.flatten(1).isnan().all(dim=1).view(-1, *[1] * (x.ndim - 1))  # stay without it
            stand_in = fills.filled(chosen, x, modality, reference.get(name))
            self.filled[name] = torch.where(lacking, x, stand_in) if lacking.any() else stand_in
            self.told["parts"][name] = cuts.told(wish, modality)
            self.told["fill"][name] = fills.told(chosen)
        self.same = {name: ~self._changes(name) for name in self.modalities}

    def _changes(self, name: str) -> np.ndarray:
        """(N, h): whether filling the part would change a number of the case at all."""
        x, cut = self.inputs[name], self.cuts[name]
        found = torch.zeros(self.count, len(cut.names) + 1, dtype=torch.bool)
        for at in self.blocks():
            values, other = x[at], self.filled[name][at]
            moved = (values != other) & ~(values.isnan() & other.isnan())
            lacking = values.flatten(1).isnan().all(dim=1)  # nothing there to take away
            moved &= ~lacking.view(-1, *[1] * (x.ndim - 1))
            ids = cut.of(at).expand(x[at].shape).flatten(1)
            found[at] = found[at].scatter_reduce(1, ids + 1, moved.flatten(1), "amax")
        return found[:, 1:].numpy()

    def _answers(self, encoders: Mapping[str, nn.Module], fold: bool) -> Answers:
        ours = is_ours(self.model)

        def made(module: Any, inside: Mapping[str, nn.Module]) -> Answers:
            if ours:
                return OfFusionModel(module, self.modalities)
            return OfCallable(module, self.modalities, inside, self.in_order)

        def ask(module: Any, inside: Mapping[str, nn.Module]) -> Tensor:
            answers = made(module, inside)
            return self.read(answers.fuse(self._encoded(answers, torch.arange(min(2, self.count)))))

        model = self.model
        if fold and isinstance(model, nn.Module):
            with exactly():
                self._check_steady(made(model, {}))
                model, encoders = folded(model, encoders, ask)
        return made(model, encoders)

    def _check_steady(self, answers: Answers) -> None:
        """InputError where an answer changes when it is asked again, or with the other cases of a batch."""
        both, one = (torch.arange(min(count, self.count)) for count in (2, 1))
        said = [self.read(answers.fuse(self._encoded(answers, at))) for at in (both, one)]
        if [getattr(found, "ndim", 0) for found in said] != [2, 2] or len(said[1]) != 1:
            return  # told where answers are counted
        said = [torch.as_tensor(found) for found in said]
        if not all(found.isfinite().all() for found in said):
            return
        together, alone = said[0][:1], said[1]
        if not torch.allclose(together, alone, rtol=UNSTEADY, atol=UNSTEADY * float(alone.abs().max())):
            raise InputError(
                "The model answers the same case differently when it is asked again or beside another one "
                "(dropout, or statistics of the batch); make it answer each case alike."
            )

    def _fitting(self, name: str, x: Tensor) -> Tensor:
        """The values in the model's precision; InputError for a picture of whole numbers."""
        if not x.is_floating_point():
            if self.modalities[name].kind in ("image", "volume"):
                raise InputError(f"'{name}' holds whole numbers; give fractions, as {name}.float() / 255.")
            return x
        return x if self.dtype is None or not self.dtype.is_floating_point else x.to(self.dtype)

    def _windowed(self) -> frozenset[str]:
        """The pictures and volumes of which windows can stand for the whole: tried on two parts of a case."""
        modules = self.model.modules() if isinstance(self.model, nn.Module) else ()
        if self.device.type != "cpu" or not any(isinstance(module, CONVOLUTIONS) for module in modules):
            return frozenset()
        answers, found = copy.copy(self.answers), set()
        answers.encodings = dict(answers.encodings)  # what is tried is not counted
        for name, modality in self.modalities.items():
            case, part = (~self.same[name]).nonzero()
            if modality.kind not in ("image", "volume") or not len(case):
                continue
            cases, gone = torch.from_numpy(case[[0, 0]]), torch.zeros(2, self.same[name].shape[1]).bool()
            gone[[0, 1], part[case == case[0]][[0, -1]]] = True
            with exactly(), suppress(Exception):  # whatever a person's model cannot do with a window
                tried = [self._without(name, cases, gone, windowed) for windowed in (False, True)]
                if not isinstance(tried[1], Window):
                    continue
                state = self._encoded(answers, cases)
                plain, ours = (
                    self.read(answers.fuse({**state, name: answers.encode(name, x)})) for x in tried
                )
                close = CLOSE if plain.dtype == torch.float32 else 1e-10
                if torch.allclose(ours, plain, rtol=0.0, atol=close * float(plain.abs().max())):
                    found.add(name)
        return frozenset(found)

    def blocks(self) -> list[Tensor]:
        """The cases' positions, `BLOCK` at a time."""
        return list(torch.arange(self.count).split(BLOCK))

    def encoded(self, cases: Tensor, away: bool = False) -> State:
        """Each modality of some cases alone; with `away`, of what stands in for them."""
        return self._encoded(self.answers, cases, away)

    def _encoded(self, answers: Answers, cases: Tensor, away: bool = False) -> State:
        values = self.filled if away else self.inputs
        state = {name: answers.encode(name, self._laid(x[cases])) for name, x in values.items()}
        return answers.remember(state) if isinstance(answers, OfCallable) else state

    def encoded_without(self, name: str, cases: Tensor, gone: Tensor) -> dict[str, Tensor]:
        """One modality of some cases, without some of its parts: gone (len(cases), h) bool."""
        return self.answers.encode(name, self._without(name, cases, gone, name in self.windowed))

    def _without(self, name: str, cases: Tensor, gone: Tensor, windowed: bool) -> Tensor:
        x, ids = self.inputs[name], self.cuts[name].of(cases)
        kept = torch.zeros(len(gone), 1, dtype=torch.bool)  # where no part is
        ids = ids.expand(len(cases), *ids.shape[1:])
        here = torch.cat([kept, gone], dim=1).gather(1, ids.flatten(1) + 1).view(ids.shape)
        found = occluded(x, self.filled[name], here, cases) if windowed else None
        return self._laid(torch.where(here, self.filled[name][cases], x[cases])) if found is None else found

    def _laid(self, x: Tensor) -> Tensor:
        x = x.to(self.device)
        return x.contiguous(memory_format=torch.channels_last) if x.ndim == 4 else x

    def numbers(self, state: State, what: Callable[[int], str]) -> np.ndarray:
        """What the model says of the rows of a state, (rows, K) float64.

        Raises InputError where it is no number (`what(row)` names the row) or has not a row a case.
        """
        said = self.read(self.answers.fuse(state))
        said = torch.as_tensor(said) if isinstance(said, np.ndarray) else said
        count = len(next(iter(next(iter(state.values())).values())))
        if not isinstance(said, Tensor) or said.ndim != 2 or len(said) != count:
            raise InputError(
                f"The output of {count} cases is {tuple(getattr(said, 'shape', ()))}; "
                "it should be (cases, outputs)."
            )
        dtypes = [d for d in (said.dtype, self.dtype) if d is not None and d.is_floating_point]
        self.epsilon = max((torch.finfo(dtype).eps for dtype in dtypes), default=0.0)
        wrong = (~said.isfinite().all(dim=1)).nonzero().flatten().tolist()
        if wrong:
            raise InputError(
                f"The model's answer to {what(wrong[0])} is not a number; look at its inputs and its weights."
            )
        return said.double().cpu().numpy()

    @cached_property
    def outputs(self) -> tuple[str, ...]:
        """The names of what the model gives."""
        with exactly():
            said = self.read(self.answers.fuse(self.encoded(torch.arange(1))))
        return names_of(said.shape[1], self.task)

    def rows(self, name: str, state: State) -> int:
        """How many rows go through at once: by the largest tensor of a case that is worked on."""
        if self.size:
            return self.size
        others = [f[0].numel() for n, held in state.items() if n != name for f in held.values()]
        largest = max([int(np.prod(self.inputs[name].shape[1:])), *others])
        work = WORK * (ON_GPU if self.device.type != "cpu" else 1)
        return int(np.clip(work // largest, 4, 1024))


def taken(streams: Mapping[str, Tensor], cases: Tensor) -> dict[str, Tensor]:
    """Some cases of one modality's features."""
    return {stream: features[cases.to(features.device)] for stream, features in streams.items()}


@contextmanager
def exactly() -> Iterator[None]:
    """Inside, no TF32, no autocast, no gradients: differences of answers would drown in rounding."""
    matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    before = matmul.allow_tf32, cudnn.allow_tf32
    matmul.allow_tf32 = cudnn.allow_tf32 = False
    try:
        with (
            torch.autocast("cpu", enabled=False),
            torch.autocast("cuda", enabled=False),
            torch.inference_mode(),
        ):
            yield
    finally:
        matmul.allow_tf32, cudnn.allow_tf32 = before


def _modalities(
    model: Any, inputs: Mapping[str, Tensor], given: Mapping[str, Modality]
) -> dict[str, Modality]:
    """What each input is, in the model's order."""
    for name in given:
        check_choice("modality", name, inputs)
    if not is_ours(model):
        wrong = next((name for name, x in inputs.items() if not isinstance(x, Tensor | np.ndarray)), None)
        if wrong is not None:
            raise InputError(f"'{wrong}' is {type(inputs[wrong]).__name__}; give a tensor with a row a case.")
        return {name: given.get(name) or modality_of(name, torch.as_tensor(x)) for name, x in inputs.items()}
    schema, used = model.schema, list(model.modalities)
    for name in inputs:
        if name not in used:
            raise InputError(
                f"The model {model.name} takes {', '.join(used)} and never looks at '{name}'; leave it out."
            )
    for name in used:
        if name not in inputs:
            raise InputError(
                f"The model {model.name} needs the modality '{name}'; "
                "where a case lacks it, fill it with NaN."
            )
    return {name: given.get(name) or schema.modality(name) for name in used}


def _count(inputs: Mapping[str, Tensor]) -> int:
    counts = {name: len(x) for name, x in inputs.items()}
    if len(set(counts.values())) != 1 or not max(counts.values()):
        told = ", ".join(f"'{name}' {count}" for name, count in counts.items())
        raise InputError(f"The modalities hold unequal numbers of cases ({told}); give each case's all.")
    return next(iter(counts.values()))


def _check_model(model: Any) -> None:
    if not isinstance(model, nn.Module):
        return
    if any(module.training for module in model.modules()):
        raise InputError(
            "The model is in training mode, where dropout and batch statistics would count as contribution; "
            "call model.eval() first."
        )
    for name, values in model.named_parameters():
        if values.dtype in (torch.bfloat16, torch.float16):
            raise InputError(
                f"The model's {name} is {str(values.dtype).split('.')[-1]}, whose rounding would count as "
                "contribution; call model.float() first."
            )


def _names(model: Any, count: int) -> list[str]:
    """Names for inputs that came in order."""
    if is_ours(model) and len(model.modalities) == count:
        return list(model.modalities)
    return [f"input {k + 1}" for k in range(count)]
