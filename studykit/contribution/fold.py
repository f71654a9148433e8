"""A copy of a model that gives the same answers faster: batch norms folded into the convolutions before them.

In evaluation a batch norm is a scaling and a shift of each channel, which the convolution's weights can
carry. Which convolution feeds which batch norm is watched while the model answers once, so no model needs to
say so.
"""

import copy
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
CLOSE = 1e-4  # of the largest number, how far a folded answer may be from the model's own in float32


def folded(
    model: nn.Module, encoders: Mapping[str, nn.Module], ask: Callable[[Any, Mapping[str, nn.Module]], Tensor]
) -> tuple[nn.Module, Mapping[str, nn.Module]]:
    """The copy, and its submodules that correspond to `encoders`; or both as they are, where no copy serves.

    ask: gives a model's answer (N, K) on a few cases.
    """
    if not any(isinstance(m, CONVOLUTIONS) for m in model.modules()):
        return model, encoders
    wanted = ask(model, encoders)
    try:
        copied, inside = copy.deepcopy((model, dict(encoders)))
        for convolution, norm in _pairs(copied, lambda: ask(copied, inside)):
            _fold(convolution, norm)
        for weight in copied.parameters():
            if weight.ndim == 4:  # a volume's weights have five axes and stay as they are
                weight.data = weight.data.contiguous(memory_format=torch.channels_last)
        found = ask(copied, inside)
    except Exception:  # noqa: BLE001  (whatever a person's model cannot be copied for, or a copy cannot do)
        return model, encoders
    limit = CLOSE if wanted.dtype == torch.float32 else 1e-10
    if not torch.allclose(found, wanted, rtol=limit, atol=limit * float(wanted.abs().max())):
        return model, encoders
    return copied, inside


def _pairs(model: nn.Module, ask: Callable[[], Any]) -> list[tuple[nn.Module, nn.Module]]:
    """Convolutions whose output goes straight into one batch norm, each of them used once."""
    gave: dict[int, tuple[nn.Module, Tensor]] = {}  # holding the tensors keeps their ids apart
    pairs, used, hooks = [], [], []

    def given(module: nn.Module, _: Any, output: Tensor) -> None:
        gave[id(output)] = (module, output)
        used.append(module)

    def taken(module: nn.Module, inputs: tuple) -> None:
        used.append(module)
        if inputs and id(inputs[0]) in gave:
            pairs.append((gave[id(inputs[0])][0], module))

    for module in model.modules():
        if isinstance(module, CONVOLUTIONS):
            hooks.append(module.register_forward_hook(given))
        elif isinstance(module, NORMS) and module.track_running_stats:
            hooks.append(module.register_forward_pre_hook(taken))
    try:
        ask()
    finally:
        for hook in hooks:
            hook.remove()
    counts = {module: used.count(module) for module in used}
    return [(c, n) for c, n in pairs if counts[c] == 1 and counts[n] == 1]


def _fold(convolution: nn.Module, norm: nn.Module) -> None:
    """W' = w g, b' = (b - mean) g + shift, with g = scale / sqrt(variance + eps); the norm then passes on."""
    scale = torch.rsqrt(norm.running_var + norm.eps)
    if norm.weight is not None:
        scale = scale * norm.weight
    before = convolution.bias if convolution.bias is not None else 0.0
    shift = norm.bias if norm.bias is not None else 0.0
    with torch.no_grad():
        bias = (before - norm.running_mean) * scale + shift
        weight = convolution.weight * scale.view(-1, *[1] * (convolution.weight.ndim - 1))
        convolution.weight = nn.Parameter(weight, requires_grad=False)
        convolution.bias = nn.Parameter(bias.detach().clone(), requires_grad=False)
    act = getattr(norm, "act", None)  # timm's batch norms apply the activation, too
    norm.forward = act.forward if isinstance(act, nn.Module) else lambda x: x
