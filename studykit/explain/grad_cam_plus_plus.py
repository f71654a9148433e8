"""Grad-CAM++: as Grad-CAM, but each place of the feature map has its own say in how much a channel counts.

    L = relu(sum_k w_k A_k),   w_k = sum over places p of alpha_kp relu(g_kp),   g_kp = dF/dA_kp
    alpha_kp = g_kp^2 / (2 g_kp^2 + S_k g_kp^3) = 1 / (2 + S_k g_kp),   S_k = sum over places of A_k

A the feature map that the model names, F the class's logit (the paper takes exp F, which changes a case's map
by a factor). Where a class shows at several places, small ones count as much as large ones. The equation is
made for maps of a ReLU: of a map that goes below 0, S counts what is above, lest alpha have a pole.

Chattopadhay A, Sarkar A, Howlader P, Balasubramanian VN. Grad-CAM++: generalized gradient-based visual
explanations for deep convolutional networks. WACV 2018.
"""

from collections.abc import Callable
from dataclasses import dataclass

from captum import attr
from torch import Tensor, nn

from studykit.explain.grad_cam import GradCAM


@dataclass(frozen=True)
class GradCAMPlusPlus(GradCAM, name="grad_cam_plus_plus"):
    """relu: keep only what speaks for the class (the published form)."""

    title = "Grad-CAM++"

    def cam(self, logit: Callable, layer: nn.Module, inputs: tuple[Tensor, ...], targets: Tensor) -> Tensor:  # noqa: D102
        along = {"additional_forward_args": (targets,)}
        a = attr.LayerActivation(logit, layer).attribute(inputs, **along)  # (B, C, *space)
        slope = attr.LayerGradientXActivation(logit, layer, multiply_by_inputs=False)
        g, space = slope.attribute(inputs, **along).relu(), tuple(range(2, a.ndim))
        weight = g / (2 + a.relu().sum(dim=space, keepdim=True) * g)  # 0 where g is
        return (weight.sum(dim=space, keepdim=True) * a).sum(dim=1, keepdim=True)
