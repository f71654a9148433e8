"""How a model is asked: studykit's own, any torch module, or any function of the modalities.

encoded(inputs) holds each modality alone, as far as the model allows; fused(state) is the rest. Where a model
can be parted so, a change in one modality runs that modality's encoder alone.
"""

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from studykit.case import Modality, Task
from studykit.catalog import InputError, check_choice, unknown

State = dict[str, dict[str, Tensor]]  # {modality: {name: values or features (N, ...)}}
OUTPUTS = ("probability", "logit", "given", "sigmoid", "softmax")


class Answers:
    """One model, asked. `encode` and `fuse` count the rows they pass on in `encodings` and `forwards`."""

    def __init__(self, model: Any, modalities: Mapping[str, Modality]):
        self.model, self.modalities = model, modalities
        self.forwards, self.encodings = 0, dict.fromkeys(modalities, 0)

    def encode(self, name: str, values: Tensor) -> dict[str, Tensor]:
        """One modality alone, (N, *shape) to {name: (N, ...)}."""
        self.encodings[name] += len(values)
        return self._encode(name, values)

    def fuse(self, state: State) -> Any:
        """What the model says, as it says it."""
        self.forwards += len(next(iter(next(iter(state.values())).values())))
        return self._fuse(state)

    def _encode(self, name: str, values: Tensor) -> dict[str, Tensor]:
        return {name: values}

    def _fuse(self, state: State) -> Any:
        raise NotImplementedError


class OfFusionModel(Answers):
    """A model with studykit's `encode` and `fuse`."""

    def _encode(self, name: str, values: Tensor) -> dict[str, Tensor]:
        return self.model.encode({name: values})

    def _fuse(self, state: State) -> Any:
        return self.model.fuse({stream: f for streams in state.values() for stream, f in streams.items()})


class OfCallable(Answers):
    """Anything that takes the modalities by name, in order, or as one dictionary.

    encoders: {modality: the submodule that sees this modality alone}; what it gave is then used again, and
    must be one tensor with a row a case.
    """

    def __init__(
        self,
        model: Any,
        modalities: Mapping[str, Modality],
        encoders: Mapping[str, nn.Module] | None = None,
        in_order: bool = False,
    ):
        super().__init__(model, modalities)
        self.encoders, self.checked = dict(encoders or {}), False
        inside = set(model.modules()) if isinstance(model, nn.Module) else set()
        for name, encoder in self.encoders.items():
            check_choice("modality", name, modalities)
            if encoder not in inside:
                raise InputError(f"The encoder of '{name}' is no part of the model; give a submodule of it.")
        self._call = _caller(model, list(modalities), in_order)

    def _encode(self, name: str, values: Tensor) -> dict[str, Tensor]:
        # An encoder is known by what the whole model hands to it, so nothing is run here: see `fuse`.
        return {name: values}

    def _fuse(self, state: State) -> Any:
        given = {name: held[name] for name, held in state.items()}
        known = {name: held[f"{name} encoded"] for name, held in state.items() if f"{name} encoded" in held}
        with _standing_in({self.encoders[name]: features for name, features in known.items()}):
            return self._call(given)

    def remember(self, state: State) -> State:
        """The state with the encoders' features of these cases, and the model's answer unchanged by them."""
        if not self.encoders:
            return state
        given = {name: held[name] for name, held in state.items()}
        if not self.checked:
            self._check_alone({name: x[:2] for name, x in given.items()})
        found = self._features(given)
        return {
            name: {**held, **({f"{name} encoded": found[name]} if name in found else {})}
            for name, held in state.items()
        }

    def _features(self, given: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """What the encoders give while the model answers once."""
        found: dict[str, list] = {name: [] for name in self.encoders}
        hooks = [
            encoder.register_forward_hook(lambda _, __, said, name=name: found[name].append(said))
            for name, encoder in self.encoders.items()
        ]
        try:
            self._call(given)
        finally:
            for hook in hooks:
                hook.remove()
        for name, said in found.items():
            if len(said) != 1 or not isinstance(said[0], Tensor) or len(said[0]) != len(given[name]):
                raise InputError(
                    f"The encoder of '{name}' is not asked once an answer for one tensor with a row a case; "
                    "leave it out of 'encoders'."
                )
        return {name: said[0] for name, said in found.items()}

    def _check_alone(self, given: Mapping[str, Tensor]) -> None:
        """InputError where an encoder's features change with a modality that is not its own."""
        before = self._features(given)
        for name in self.encoders:
            for change in (torch.zeros_like, lambda x: x.roll(1)):
                others = {n: x if n == name else change(x) for n, x in given.items()}
                if not torch.allclose(self._features(others)[name], before[name], equal_nan=True):
                    raise InputError(
                        f"The encoder of '{name}' sees other modalities, too; leave it out of 'encoders'."
                    )
        self.checked = True


@contextmanager
def _standing_in(features: Mapping[nn.Module, Tensor]) -> Iterator[None]:
    """Inside, these modules give these tensors, whatever they are asked, and compute nothing."""
    own = {module: vars(module).get("forward") for module in features}  # a person may have set one
    try:
        for module, values in features.items():
            module.forward = lambda *_, _values=values, **__: _values
        yield
    finally:
        for module, forward in own.items():
            del module.forward
            if forward is not None:
                module.forward = forward


def _caller(model: Any, names: list[str], in_order: bool) -> Callable[[Mapping[str, Tensor]], Any]:
    """How the model takes the modalities: in order, by keyword, or as one dictionary."""
    if in_order:
        return lambda given: model(*(given[name] for name in names))
    asked = model.forward if isinstance(model, nn.Module) else model
    try:
        signature = inspect.signature(asked)
    except (TypeError, ValueError):
        return lambda given: model(**given)
    taken = signature.parameters
    if set(names) <= set(taken) or any(p.kind is p.VAR_KEYWORD for p in taken.values()):
        return lambda given: model(**given)
    needed = [p for p in taken.values() if p.default is p.empty and p.kind is not p.VAR_POSITIONAL]
    if len(needed) == 1 and len(names) > 1:
        return lambda given: model(dict(given))
    strange = next(name for name in names if name not in taken)
    raise InputError(
        f"{unknown('input of the model', strange, taken)} Name the inputs as the model does, or give a list."
    )


def reader(output: str | Callable[[Any], Tensor], task: Task | None, head: str) -> Callable[[Any], Tensor]:
    """A function of what the model says to numbers (N, K), as `output` asks.

    probability: by the task's kind, the value itself for regression. logit, given: as it is. sigmoid,
    softmax: of what the model gives, for models that do not name their task.
    """
    if callable(output):
        return output
    check_choice("output", output, OUTPUTS)
    if output == "probability" and task is None:
        raise InputError(
            "This model does not say what its numbers are; choose the output 'sigmoid' or 'softmax' where "
            "they are logits, or 'given' where they are what you want to look at."
        )
    kind = task.kind if task else ""
    if output == "softmax" or (output == "probability" and kind == "multiclass"):
        return lambda said: _tensor(said, head).softmax(dim=1)
    if output == "sigmoid" or (output == "probability" and kind in ("binary", "multilabel")):
        return lambda said: _tensor(said, head).sigmoid()
    if output == "probability":
        mean, sd = task.scale
        return lambda said: mean + sd * _tensor(said, head)
    return lambda said: _tensor(said, head)


def _tensor(said: Any, head: str) -> Tensor:
    """The head's numbers as (N, K)."""
    if isinstance(said, Mapping):
        check_choice("head", head or next(iter(said)), said)
        said = said[head or next(iter(said))]
    elif isinstance(said, tuple | list):
        said = said[0]
    said = torch.as_tensor(said)
    return said.reshape(-1, 1) if said.ndim < 2 else said.flatten(1)


def names_of(outputs: int, task: Task | None) -> tuple[str, ...]:
    """What each of the K outputs is called."""
    if task is None:
        return ("output",) if outputs == 1 else tuple(f"output {k}" for k in range(outputs))
    if outputs == 1 and task.kind == "binary":
        return (task.classes[1],)
    if outputs == 1 and task.kind == "regression":
        return (task.name,)
    return task.classes if len(task.classes) == outputs else tuple(f"{task.name} {k}" for k in range(outputs))


def modality_of(name: str, values: Tensor) -> Modality:
    """What a person's tensor (N, *shape) is taken for, from its form; its absent is 0.

    Raises InputError where the form tells nothing.
    """
    shape = tuple(values.shape[1:])
    if values.is_floating_point() and len(shape) in (1, 3, 4):
        return Modality(name, {1: "table", 3: "image", 4: "volume"}[len(shape)], shape)
    if not values.is_floating_point() and len(shape) == 1:
        return Modality(name, "text", shape)
    raise InputError(
        f"'{name}' is {str(values.dtype).split('.')[-1]} {tuple(values.shape)}, which is no table (N, F), "
        "picture (N, C, H, W), volume (N, C, D, H, W) or text of whole numbers (N, T); "
        "give its Modality in 'modalities'."
    )


def is_ours(model: Any) -> bool:
    """Whether it is one of studykit's models, which part themselves into `encode` and `fuse`."""
    return all(hasattr(model, name) for name in ("encode", "fuse", "heads", "schema", "modalities"))


def task_of(model: Any, head: str) -> Task | None:
    """The task that a head of one of our models answers; None for other models."""
    heads: Sequence = model.heads if is_ours(model) else ()
    for found in heads:
        if head in ("", found.name):
            return found.task
    if heads:
        raise InputError(unknown("head", head, [found.name for found in heads]))
    return None
