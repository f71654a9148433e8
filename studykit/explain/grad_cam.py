"""Grad-CAM: where on the last feature map did the channels that spoke for the class light up?

L = relu(sum_k w_k A_k), w_k = mean over space of dF/dA_k, A the feature map that the model names, F the
class's logit; enlarged to the picture. It has the grain of that feature map and shows only what speaks
for the class. Columns have no feature map, so a record gets no Grad-CAM map.

Selvaraju RR et al. Grad-CAM: visual explanations from deep networks. ICCV 2017.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from captum import attr

from studykit.case import Batch, Schema
from studykit.explain.explainer import Explainer, logit_of
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
            f"Grad-CAM needs a feature map and the model {model.name} over "
            f"{', '.join(model.modalities)} has none; use integrated_gradients."
        )

    def maps(self, model, batch: Batch, head: Head, targets: torch.Tensor):  # noqa: D102
        names, layers = list(model.modalities), model.map_layers()
        # Asking for slopes at the inputs lets them flow through frozen encoders too.
        inputs = tuple(batch.inputs[name].clone().requires_grad_() for name in names)
        found = {}
        for name, layer in layers.items():
            cam = attr.LayerGradCam(logit_of(model, head, names), layer).attribute(
                inputs, additional_forward_args=(targets,), relu_attributions=self.relu
            )
            size = batch.inputs[name].shape[2:]
            mode = "bilinear" if len(size) == 2 else "trilinear"
            cam = F.interpolate(cam.detach(), size=size, mode=mode, align_corners=False)
            found[name] = cam.float().numpy()  # (B, 1, *space)
        return found, dict.fromkeys(found, not self.relu), {}, {}
