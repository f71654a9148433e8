"""Class evidence: what each window of the picture, seen by itself, says for or against the class.

E_k(u) = w_k . F(u) + b_k,  z_k = mean over u of E_k(u)

F(u) is what the local network (a BagNet) makes of the window u, z_k the logit of its own head for class k. So
the map is no reconstruction: its mean before it is enlarged is that logit, and what is missing is stored as
the check "evidence_logit_gap". It speaks for the local head alone, of the same task as the head explained,
not for the fusion. Enlarged, each value stands at its window's middle.

Brendel W, Bethge M. Approximating CNNs with bag-of-local-features models works surprisingly well on ImageNet.
ICLR 2019.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from studykit.case import Batch, Schema
from studykit.explain import grad_cam
from studykit.explain.explainer import Explainer
from studykit.models import FusionModel, Head, class_logit
from studykit.models.bagnet import STRIDES, BagNet


@dataclass(frozen=True)
class ClassEvidence(Explainer, name="class_evidence"):
    """No settings."""

    title = "Class evidence of the local network"
    unit = "logit of the window"
    gives = "what each window of the picture, seen by itself, says for or against the class"

    def suits(self, model: FusionModel, schema: Schema) -> str:  # noqa: D102
        if hasattr(model, "evidence_map"):
            return ""
        return (
            f"The model {model.name} has no network that sees single windows; use the model attention_gate, "
            "or the explanation grad_cam."
        )

    @torch.no_grad()
    def maps(self, model, batch: Batch, head: Head, targets: Tensor):  # noqa: D102
        local, stream = f"{head.task.name}_local", model.close
        inputs = {name: batch.inputs[name] for name in model.modalities}
        every = model.evidence_map(inputs, local)  # (B, K, *S')
        places = every.flatten(2).movedim(2, 1)  # (B, N, K)
        of = targets.repeat_interleave(places.shape[1])
        said = class_logit(places.flatten(0, 1), head.task, of).view(len(batch), 1, *every.shape[2:])
        gap = said.flatten(1).mean(dim=1) - class_logit(model(inputs)[local], head.task, targets)
        name = model.sources.get(stream, stream)
        found = enlarged(said, inputs[name].shape[2:], model.encoders[stream])
        return {name: found.float().numpy()}, {name: True}, {}, {"evidence_logit_gap": gap.numpy()}


def enlarged(values: Tensor, size: tuple[int, ...], encoder: nn.Module | None = None) -> Tensor:
    """A map (B, C, *S) at the `size` of its picture, by linear interpolation: (B, C, *size).

    encoder: what made it. A BagNet's places are windows of known middles, and stand there; another network's
    are taken to share the picture evenly.
    """
    nets = [] if encoder is None else [module for module in encoder.modules() if isinstance(module, BagNet)]
    if not nets:
        return grad_cam.enlarged(values, size)
    step, axes = 1, []
    for stride in STRIDES:
        step *= stride
    for pixels, window, places in zip(size, nets[0].windows, values.shape[2:], strict=True):
        place = (torch.arange(pixels) - (window - 1) / 2) / step  # of each pixel, counted in places
        axes.append((2 * place / max(places - 1, 1) - 1).to(values.dtype))
    grid = torch.stack(torch.meshgrid(*axes, indexing="ij")[::-1], dim=-1)  # (*size, 2 or 3), last axis first
    grid = grid.expand(len(values), *grid.shape)
    return F.grid_sample(values, grid, mode="bilinear", padding_mode="border", align_corners=True)
