"""Random map, a control: chance numbers, to see what a score gives to a map that knows nothing.

a_i uniform between 0 and 1, drawn by case, independent of the model and of the picture.

Adebayo J, Gilmer J, Muelly M, Goodfellow I, Hardt M, Kim B. Sanity checks for saliency maps. NeurIPS 2018.
"""

from dataclasses import dataclass

import numpy as np
from torch import Tensor

from studykit.case import Batch
from studykit.explain.explainer import Explainer, drawing
from studykit.explain.integrated_gradients import lacks
from studykit.models import Head


@dataclass(frozen=True)
class RandomMap(Explainer, name="random_map"):
    """seed: of the numbers. One a pixel (whatever its channels), column and word; 0 where nothing stands."""

    seed: int = 0

    title = "Random map (control)"
    unit = "no unit"
    gives = "chance numbers that know nothing of the model or the case; a control, no explanation"
    control = True

    def maps(self, model, batch: Batch, head: Head, targets: Tensor):  # noqa: D102
        draws, found = [drawing(case, self.seed) for case in batch.ids], {}
        for name in model.modalities:
            modality, x = model.schema.modality(name), batch.inputs[name]
            pictured = modality.kind in ("image", "volume")
            shape = (1, *modality.shape[1:]) if pictured else modality.shape
            numbers = np.stack([draw.random(shape, dtype=np.float32) for draw in draws])
            if modality.kind == "text":
                numbers[~(x > 0).numpy()] = 0  # a place behind the last word; NaN
            numbers[lacks(x).numpy()] = 0
            found[name] = numbers
        return found, dict.fromkeys(found, False), {}, {}
