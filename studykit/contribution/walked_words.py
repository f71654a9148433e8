"""No way leads from one word to another, but one does between the numbers that stand for words in a model."""

from collections.abc import Callable, Mapping, Sequence

from torch import Tensor, nn


def walked(
    answer: Callable[..., Tensor], names: Sequence[str], layers: Mapping[str, nn.Module]
) -> Callable[..., Tensor]:
    """`answer`, a function of one tensor a modality (in the order of `names`) and more; but of the texts in
    `layers` (the layer that gives words their numbers) it takes these numbers (B, T, width).

    The words (B, T) themselves come last: they say which places hold a word at all.
    """

    def forward(*tensors: Tensor) -> Tensor:
        end = len(tensors) - len(layers)
        inputs, hooks = dict(zip(names, tensors, strict=False)), []
        for (name, layer), words in zip(layers.items(), tensors[end:], strict=True):
            numbers, inputs[name] = inputs[name], words
            hooks.append(layer.register_forward_hook(lambda *_, numbers=numbers: numbers))
        try:
            return answer(*inputs.values(), *tensors[len(names) : end])
        finally:
            for hook in hooks:
                hook.remove()

    return forward
