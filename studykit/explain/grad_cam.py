"""Grad-CAM: where on the last feature map did the channels that spoke for the class light up?

L = relu(sum_k w_k A_k), w_k = mean over space of dF/dA_k, A the feature map that the model names, F the
class's logit; enlarged to the picture. It has the grain of that feature map and shows only what speaks
for the class. Columns have no feature map, so a record gets no Grad-CAM map.

Selvaraju RR et al. Grad-CAM: visual explanations from deep networks. ICCV 2017.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from captum import attr
from torch import Tensor, nn

from studykit.case import Batch, Schema
from studykit.explain.explainer import Explainer, logit_of
from studykit.explain.integrated_gradients import lacks
from studykit.models import FusionModel, Head


@dataclass(frozen=True)
class GradCAM(Explainer, name="grad_cam"):
    """relu: keep only what speaks for the class (the published form)."""

    relu: bool = True

    title = "Grad-CAM"
    unit = "no unit"
    gives = "where the feature map spoke for the class, in no unit that can be compared between cases"

    def suits(self, model: FusionModel, schema: Schema) -> str:  # noqa: D102
        if model.map_layers():
            return ""
        return (
            f"{self.title} needs a feature map and the model {model.name} over "
            f"{', '.join(model.modalities)} has none; use integrated_gradients."
        )

    def maps(self, model, batch: Batch, head: Head, targets: Tensor):  # noqa: D102
        names, found = list(model.modalities), {}
        # Asking for slopes at the inputs lets them flow through frozen encoders too.
        inputs = tuple(batch.inputs[name].clone().requires_grad_() for name in names)
        for name, layer in model.map_layers().items():
            x = batch.inputs[name]
            cam = self.cam(logit_of(model, head, names), layer, inputs, targets).detach()
            cam = cam.relu() if self.relu else cam
            cam = cam.masked_fill(lacks(x).view(-1, *[1] * (cam.ndim - 1)), 0.0)
            found[name] = enlarged(cam, x.shape[2:]).float().numpy()  # (B, 1, *space)
        return found, dict.fromkeys(found, not self.relu), {}, {}

    def cam(self, logit: Callable, layer: nn.Module, inputs: tuple[Tensor, ...], targets: Tensor) -> Tensor:
        """The weighted sum of the layer's maps, (B, 1, *space of the layer), signs as they are."""
        return attr.LayerGradCam(logit, layer).attribute(inputs, additional_forward_args=(targets,))


def enlarged(cam: Tensor, size: torch.Size) -> Tensor:
    """A map (B, C, *small) at the picture's size, (B, C, *size), linear between its places."""
    mode = {1: "linear", 2: "bilinear", 3: "trilinear"}[len(size)]
    return F.interpolate(cam, size=tuple(size), mode=mode, align_corners=False)
