"""What every score of a map is: one number a case that tells how far the map can be believed.

A `Score` is a frozen dataclass whose fields are its settings; calling it with what was asked does the work.

    asked = Asked(model, batch, explainer, explanation, modality, region)
    RelevanceMass()(asked)["relevance_mass"].values         # (B,)
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from studykit.case import Batch, Modality
from studykit.catalog import InputError, Named
from studykit.contribution.fold import folded
from studykit.explain import Explainer, Explanation
from studykit.models import FusionModel, Head
from studykit.models.fusion import probabilities

TOGETHER = 64  # altered cases that go through the model at once


@dataclass
class Asked:
    """One method's maps of one modality for some cases, and all else that a score may look at.

    batch: the cases that `explanation` explains, in its order. modality: the one whose maps are scored.
    region: (B, *space) bool, where the evidence is: a reference mask, or a phantom's planted truth; of a
    table (B, F), of a text (B, T); all False in a case where it is not known. None where no case's is.
    others: other methods' explanations of the same cases, by key. threshold: where a map scaled to [0, 1] is
    cut for overlaps, tuned on other cases. seed: of scores that draw.
    Raises InputError where the cases or shapes do not fit together.
    """

    model: FusionModel
    batch: Batch
    explainer: Explainer
    explanation: Explanation
    modality: Modality
    region: np.ndarray | None = None
    others: Mapping[str, Explanation] = field(default_factory=dict)
    threshold: float = 0.5
    seed: int = 0
    kept: dict = field(default_factory=dict, repr=False)  # what several scores share, by name

    def __post_init__(self):
        for name, other in {"this method": self.explanation, **self.others}.items():
            if list(other.ids) != list(self.batch.ids):
                raise InputError(
                    f"The maps of {name} are of other cases than the batch; read them by its ids."
                )
        if self.modality.name not in self.explanation.maps:
            raise InputError(
                f"{self.explainer.title} gives no map of '{self.modality.name}'; score one of "
                f"{', '.join(self.explanation.maps) or 'another method'}."
            )
        if self.region is not None and self.region.shape != self.heat.shape:
            raise InputError(
                f"The region of '{self.modality.name}' is {self.region.shape} and its maps are "
                f"{self.heat.shape}; give one of the same cases and size."
            )

    def __len__(self) -> int:
        return len(self.batch)

    @cached_property
    def heat(self) -> np.ndarray:
        """The maps, (B, *space): channels summed, signs as they are."""
        return heat_of(self.explanation.maps[self.modality.name], self.modality)

    @cached_property
    def head(self) -> Head:
        """The output explained."""
        return next(head for head in self.model.heads if head.name == self.explanation.head)

    @cached_property
    def quick(self) -> FusionModel:
        """A copy of the model that gives the same answers faster (see `contribution.fold`), or itself."""
        self.model.eval()
        few = {name: x[:2] for name, x in self.batch.inputs.items()}

        def ask(model: FusionModel, _) -> Tensor:
            with torch.inference_mode():
                return model(few)[self.head.name]

        return folded(self.model, {}, ask)[0]

    @cached_property
    def features(self) -> dict[str, Tensor]:
        """Every modality alone, by stream, as the model encodes it."""
        with torch.inference_mode():
            parts = torch.arange(len(self)).split(TOGETHER)
            found = [self.quick.encode({n: x[at] for n, x in self.batch.inputs.items()}) for at in parts]
        return {stream: torch.cat([part[stream] for part in found]) for stream in found[0]}

    def answers(self, values: Tensor, cases: Tensor | np.ndarray) -> np.ndarray:
        """The probability of the class explained (N,) where the modality is `values` (N, *shape).

        cases: (N,) positions in the batch, from which all other modalities are. For regression, the value.
        """
        cases, name = torch.as_tensor(cases), self.modality.name
        streams = [s for s in self.features if self.model.sources.get(s, s) != name]
        targets, answers = torch.as_tensor(self.explanation.targets), []
        with torch.inference_mode():
            for at in torch.arange(len(values)).split(TOGETHER):
                of = cases[at]
                features = self.quick.encode({name: _laid_out(values[at])})
                features |= {stream: self.features[stream][of] for stream in streams}
                ordered = {stream: features[stream] for stream in self.features}
                p = probabilities(self.quick.fuse(ordered)[self.head.name], self.head.task)
                answers.append(p.gather(1, targets[of, None])[:, 0])
        return torch.cat(answers).double().numpy()


def _laid_out(values: Tensor) -> Tensor:
    """Pictures with their channels last in memory, as the folded weights are."""
    return values.contiguous(memory_format=torch.channels_last) if values.ndim == 4 else values


@dataclass
class Scored:
    """One number a case.

    values: (B,) NaN where it cannot be told. chance: (B,) what a map that knows nothing would get, where that
    is known; else None. why: (B,) a reason where a value is NaN, else "". curves: {name: (B, S)}, what the
    numbers come from, at `steps` (S,).
    """

    values: np.ndarray
    chance: np.ndarray | None = None
    why: list[str] | None = None
    curves: dict[str, np.ndarray] = field(default_factory=dict)
    steps: np.ndarray | None = None


class Score(Named):
    """A score. `title` is its name on a page; `asks` the question, which a clinician understands.

    better: "more", "less" or "" where neither is. effort: the settings that only say how precisely it is
    told; all others are part of a score's name where they are not the usual ones. wants_region: whether it
    needs the region. wants_others: whether it compares with other methods. kinds: the kinds of modality it
    can look at. dear: whether it explains or asks so often that it is only computed where it is named.
    """

    title: str
    asks: str
    better: ClassVar[str] = "more"
    effort: ClassVar[tuple[str, ...]] = ()
    wants_region: ClassVar[bool] = False
    wants_others: ClassVar[bool] = False
    kinds: ClassVar[tuple[str, ...]] = ("image", "volume", "table", "text")
    dear: ClassVar[bool] = False

    def suits(self, asked: Asked) -> str:
        """Why it cannot be told here, with the remedy; empty where it can."""
        if asked.modality.kind not in self.kinds:
            return f"{self.title} looks at {' and '.join(self.kinds)}, not at {asked.modality.kind}."
        if self.wants_region and asked.region is None:
            return f"{self.title} needs a reference mask or a planted region, and these cases have none."
        if self.wants_others and not asked.others:
            return f"{self.title} compares methods; explain these cases by another one, too."
        return ""

    def __call__(self, asked: Asked) -> dict[str, Scored]:
        """What it finds, by name. Raises InputError where it does not suit."""
        reason = self.suits(asked)
        if reason:
            raise InputError(reason)
        return self.scored(asked)

    def scored(self, asked: Asked) -> dict[str, Scored]:
        """See `__call__`."""
        raise NotImplementedError


def heat_of(values: np.ndarray, modality: Modality) -> np.ndarray:
    """A picture's maps (B, C, *space) as (B, *space) float64, channels summed; others as they are."""
    values = np.asarray(values, dtype=np.float64)
    return values.sum(axis=1) if modality.kind in ("image", "volume") else values


def speaking(heat: np.ndarray) -> np.ndarray:
    """What of maps (B, *space) speaks for the class: what is below 0 counts as 0."""
    return np.maximum(heat, 0.0)
