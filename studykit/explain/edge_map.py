"""Edge map, a control: where the picture itself has edges, to see what a score gives without any model.

a = sqrt(mean over axes d of (S_d x)^2), S_d x the difference of a pixel's two neighbours along d, averaged
with weights 1 2 1 along the other axes (Sobel), x the mean of the picture's channels. Maps that look like it
may tell of the picture and not of what the model made of it.

Adebayo J, Gilmer J, Muelly M, Goodfellow I, Hardt M, Kim B. Sanity checks for saliency maps. NeurIPS 2018.
"""

from dataclasses import dataclass

import numpy as np
from skimage.filters import sobel
from torch import Tensor

from studykit.case import Batch, Schema
from studykit.explain.explainer import Explainer
from studykit.explain.integrated_gradients import standing_in
from studykit.models import FusionModel, Head


@dataclass(frozen=True)
class EdgeMap(Explainer, name="edge_map"):
    """No settings. Records and texts have no edges and get no map."""

    title = "Edge map (control)"
    unit = "no unit"
    gives = "how sharp the picture's own edges are; it knows nothing of the model: a control, no explanation"
    control = True

    def suits(self, model: FusionModel, schema: Schema) -> str:  # noqa: D102
        if _pictures(model):
            return ""
        return (
            f"{self.title} needs a picture and the model {model.name} looks at "
            f"{', '.join(model.modalities)} only; use random_map."
        )

    def maps(self, model, batch: Batch, head: Head, targets: Tensor):  # noqa: D102
        found = {}
        for name in _pictures(model):
            gray = standing_in(batch.inputs[name], model.schema.modality(name)).mean(dim=1)
            edges = [sobel(picture.astype(np.float64)) for picture in gray.numpy()]
            found[name] = np.stack(edges)[:, None].astype(np.float32)  # (B, 1, *space)
        return found, dict.fromkeys(found, False), {}, {}


def _pictures(model: FusionModel) -> list[str]:
    """The images and volumes that the model looks at."""
    return [n for n in model.modalities if model.schema.modality(n).kind in ("image", "volume")]
