"""Shapley value of each modality: it joins the others in every order, and what it adds is averaged.

phi_m = sum over S without m of |S|! (M - |S| - 1)! / M! (v(S + m) - v(S)),  M modalities

v(S) is the class's logit when only the modalities S are there and the others are "absent". The values add up
to F(x) - F(absent); what is missing from that is stored as the check "efficiency". A modality that the case
lacks is away in every S, and its value is 0.

Shapley LS. A value for n-person games. In: Contributions to the theory of games II, 1953.
"""

from dataclasses import dataclass

import torch

from studykit.case import Batch, Schema
from studykit.contribution.shapley import MOST, shapley_value, subsets
from studykit.explain.explainer import Explainer
from studykit.explain.players import absent_where_there, moved
from studykit.models import FusionModel, Head, class_logit


@dataclass(frozen=True)
class ModalityShapley(Explainer, name="modality_shapley"):
    """No settings. It gives effects and no maps."""

    title = "Shapley value of each modality"
    unit = "added to the logit"
    gives = "what each modality added to the class's logit, averaged over all orders in which they can join"

    def suits(self, model: FusionModel, schema: Schema) -> str:  # noqa: D102
        count = len(model.modalities)
        if count <= MOST:
            return ""
        return (
            f"{self.title} asks with every subset of the modalities, and {count} modalities have {2**count}; "
            f"explain a model of {MOST} modalities or fewer, or use integrated_gradients."
        )

    @torch.no_grad()
    def maps(self, model, batch: Batch, head: Head, targets: torch.Tensor):  # noqa: D102
        here = {name: batch.inputs[name] for name in model.modalities}
        features = {True: model.encode(here)}
        features[False] = model.encode({n: absent_where_there(x, model, n) for n, x in here.items()})
        worth = {}
        for there in subsets(list(here)):
            mixed = {s: features[model.sources.get(s, s) in there][s] for s in model.encoders}
            logits = model.fuse(mixed)[head.name]
            worth[there] = class_logit(logits, head.task, targets).double().numpy()
        effects = {name: shapley_value(worth, list(here), name) for name in here}
        gap = sum(effects.values()) - moved(model, batch, head, targets)
        return {}, {}, effects, {"efficiency": gap}
