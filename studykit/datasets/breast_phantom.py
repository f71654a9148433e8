"""Drawn breast ultrasound with a record, where it is known which of the two gives the answer away.

A speckled picture holds one dark lesion and the record holds what the patient told. In some cases only
the lesion's outline tells benign from malignant (smooth or spiculated), in some only the record does
(grown or stable since the last scan, and age), in some both. Where a modality holds no evidence it is
drawn alike for both classes: a lobulated outline, or no earlier scan and a middle age.

These are phantoms: no number measured on them says anything about patients.
"""

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter

from studykit.case import Modality, Task
from studykit.catalog import InputError
from studykit.datasets.card import Card
from studykit.datasets.planted_cohort import PlantedCohort

GRAY = 0.5  # the mean of the drawn scans: what stands for a scan that shows nothing
REACH = 1.72  # of the longest possible spicule, in the lesion's radii


@dataclass(frozen=True)
class BreastPhantom(PlantedCohort, name="breast_phantom"):
    """Settings: the number of cases, the picture's side in pixels, and where the evidence lies.

    in_image, in_record: the shares of cases whose label shows in the image and in the record; what
        they sum to beyond 1 is the share in which both show it.
    label_noise: the share of cases whose given label is the wrong one; `truth` keeps the right one.
    """

    count: int = 600
    size: int = 96
    in_image: float = 0.6
    in_record: float = 0.6
    label_noise: float = 0.0
    seed: int = 0

    card = Card(
        title="Breast-ultrasound phantom with a record, drawn by studykit",
        licence="none needed: no source, no patients",
        citation="drawn by studykit",
        label="planted: in the lesion's outline, in Age and Growth, or in both",
        group="the drawn patient; about one in five has two cases, with the same record and label",
        defects=("speckle, shadow or enhancement, depth and side are drawn alike for both classes",),
    )
    tasks = (Task("lesion", "binary", ("benign", "malignant")),)
    record = ("Age", "Growth", "Family history", "Side")
    evidence_columns = ("Age", "Growth")

    def __post_init__(self):
        self.check_shares()
        if self.count < 20 or self.size < 32:
            raise InputError("A phantom cohort has at least 20 cases of at least 32 pixels.")

    @property
    def pictures(self) -> tuple[Modality, ...]:  # noqa: D102
        return (Modality("image", "image", (1, self.size, self.size), absent=GRAY),)

    def told(self, draw: np.random.Generator, positive: bool, shown: bool) -> dict[str, object]:  # noqa: D102
        age = draw.normal((66 if positive else 38) if shown else 52, 6)
        return {
            "Age": float(np.clip(age, 18, 95).round()),
            "Growth": ("grown" if positive else "stable") if shown else None,
            "Family history": draw.choice(["yes", "no", None], p=[0.25, 0.6, 0.15]),
            "Side": draw.choice(["left", "right"]),
        }

    def picture(self, case: str, modality: str = "image") -> np.ndarray:  # noqa: D102
        lesion, draw = self._outline(case)
        size = self.size
        depth = np.linspace(0, 1, size)[:, None]
        echo = 0.62 - 0.18 * depth + 0.10 * _smooth(draw, size, size / 10)
        echo += 0.08 * np.sin(2 * np.pi * (depth * draw.uniform(3, 5) + _smooth(draw, size, size / 6)))
        below = np.cumsum(lesion, axis=0) > 0
        echo = np.where(below & ~lesion, echo * draw.choice([0.75, 1.0, 1.2]), echo)
        echo = np.where(lesion, 0.20, echo)
        echo = gaussian_filter(echo, 0.6)
        speckle = np.hypot(*(gaussian_filter(draw.normal(size=(2, size, size)), (0, 0.7, 0.9))))
        picture = echo * (0.45 + 0.55 * speckle / speckle.mean())
        return np.clip(picture, 0, 1).astype(np.float32)[None]

    def mask(self, case: str, modality: str = "image") -> np.ndarray:  # noqa: D102
        return self._outline(case)[0]

    def region(self, case: str, modality: str) -> np.ndarray:
        """A disc that holds the lesion, spiculated or not, and all below it: there its shadow falls."""
        away, radius, _ = self._place(case)
        disc = np.hypot(*away) <= REACH * radius + 3  # pixels; the echo is blurred over two
        return np.logical_or.accumulate(disc, axis=0)

    def _outline(self, case: str) -> tuple[np.ndarray, np.random.Generator]:
        """The lesion (H, W) and the generator that goes on to draw the rest of the picture."""
        (y, x), radius, draw = self._place(case)
        tilt, flat = draw.uniform(0, np.pi), draw.uniform(0.75, 1.0)
        along, across = x * np.cos(tilt) + y * np.sin(tilt), y * np.cos(tilt) - x * np.sin(tilt)
        angle = np.arctan2(across / flat, along)
        shape = self.cases.at[case, "truth"] if self.shows(case, "image") else "lobulated"
        edge = radius * _edge(shape, angle, draw)
        return np.hypot(along, across / flat) <= edge, draw

    def _place(self, case: str) -> tuple[np.ndarray, float, np.random.Generator]:
        """Pixels down and right of the lesion's middle (2, H, W), its radius, and the generator."""
        draw = np.random.default_rng([self.seed, 3, self.cases.index.get_loc(case)])
        radius = self.size * draw.uniform(0.15, 0.22)
        middle = self.size * draw.uniform(0.38, 0.62, size=2)
        return np.mgrid[: self.size, : self.size] - middle[:, None, None], radius, draw


def _edge(shape: str, angle: np.ndarray, draw: np.random.Generator) -> np.ndarray:
    """The outline's radius by angle (relative), for a smooth, a spiculated or a lobulated lesion."""
    if shape == "lobulated":
        lobes = draw.integers(3, 6)
        return 1 + 0.16 * np.cos(lobes * angle + draw.uniform(0, 2 * np.pi))
    if shape == "benign":
        return 1 + 0.03 * np.cos(2 * angle + draw.uniform(0, 2 * np.pi))
    count = draw.integers(9, 14)
    starts = np.arange(count) * 2 * np.pi / count + draw.uniform(-0.12, 0.12, count)
    away = np.angle(np.exp(1j * (angle[..., None] - starts)))
    spikes = draw.uniform(0.6, 1.0, count) * np.exp(-((away / 0.10) ** 2))
    return 0.72 + spikes.max(axis=-1)


def _smooth(draw: np.random.Generator, size: int, blur: float) -> np.ndarray:
    """A smooth random field (H, W) with standard deviation 1."""
    field = gaussian_filter(draw.normal(size=(size, size)), blur)
    return field / field.std()
