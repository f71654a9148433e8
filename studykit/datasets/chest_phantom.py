"""Drawn chest CT with one lung nodule and a record, where it is known which of the two gives the answer away.

In some cases only the nodule's shape tells benign from malignant (a smooth ball, or a larger one with
spicules), in some only the record does (age and smoking), in some both. Where a modality holds no evidence
it is drawn alike for both classes: a lobulated nodule of middle size, or a middle age and unknown smoking.

Voxels are 1.5 mm wide in every direction, so that a nodule spans several of them. The chest fills the
picture whatever its size: with 192 pixels (288 mm) it is about as wide as an adult's, with fewer it is a
scale model around a nodule that keeps its millimetres.

These are phantoms: no number measured on them says anything about patients.
"""

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter

from studykit.case import Modality, Task
from studykit.catalog import InputError
from studykit.datasets.card import Card
from studykit.datasets.planted_cohort import PlantedCohort

SPACING = 1.5  # mm between voxels, in all three directions
WINDOW = (-1000.0, 400.0)  # HU that are stored as 0 and 1
AIR, LUNG, FAT, SOFT, BONE = -1000.0, -850.0, -100.0, 40.0, 350.0  # HU
REACH = 15.3  # mm from the nodule's middle: the longest possible spicule (12.6) and the blur


@dataclass(frozen=True)
class ChestPhantom(PlantedCohort, name="chest_phantom"):
    """Settings: the number of cases, slices and pixels, and where the evidence lies.

    in_volume, in_record: the shares of cases whose label shows in the volume and in the record; what
        they sum to beyond 1 is the share in which both show it.
    label_noise: the share of cases whose given label is the wrong one; `truth` keeps the right one.

    Volumes are (1, depth, size, size), feet to head, front above, the patient's right on the left; 0 is
    -1000 HU and 1 is 400 HU. Absent is aerated lung (-850 HU) everywhere: a nodule could be there, none is.
    """

    count: int = 400
    depth: int = 16
    size: int = 48
    in_volume: float = 0.6
    in_record: float = 0.6
    label_noise: float = 0.0
    seed: int = 0

    card = Card(
        title="Chest-CT phantom with one nodule of 3 to 12 mm and a record, drawn by studykit",
        licence="none needed: no source, no patients",
        citation="drawn by studykit",
        label="planted: in the nodule's shape and size, in Age and Smoking, or in both",
        group="the drawn patient; about one in five has two cases, with the same record and label",
        defects=(
            "voxels of 1.5 mm; spicules reach beyond 12 mm",
            "vessels, ribs, noise, place, sex and family history are drawn alike for both classes",
        ),
    )
    tasks = (Task("nodule", "binary", ("benign", "malignant")),)
    record = ("Age", "Sex", "Smoking", "Family history")
    evidence_columns = ("Age", "Smoking")

    def __post_init__(self):
        self.check_shares()
        if self.count < 20 or self.size < 32 or self.depth < 8:
            raise InputError("A chest phantom has at least 20 cases of 8 slices and 32 pixels or more.")

    @property
    def pictures(self) -> tuple[Modality, ...]:  # noqa: D102
        shape = (1, self.depth, self.size, self.size)
        return (Modality("volume", "volume", shape, absent=_stored(LUNG), spacing=(SPACING,) * 3),)

    def told(self, draw: np.random.Generator, positive: bool, shown: bool) -> dict[str, object]:  # noqa: D102
        age = draw.normal((68 if positive else 44) if shown else 56, 6)
        smoking = draw.choice(["former", "current"]) if positive else "never"
        return {
            "Age": float(np.clip(age, 18, 95).round()),
            "Sex": draw.choice(["female", "male"]),
            "Smoking": smoking if shown else None,
            "Family history": draw.choice(["yes", "no", None], p=[0.15, 0.7, 0.15]),
        }

    def picture(self, case: str, modality: str = "volume") -> np.ndarray:  # noqa: D102
        hu, lungs, nodule, draw = self._with_nodule(case)
        hu = np.where(lungs, hu + (SOFT - LUNG) * _vessels(draw, hu.shape), hu)
        hu = np.where(nodule, SOFT, hu)
        hu = gaussian_filter(hu, 0.45, truncate=3) + draw.normal(0, 25, hu.shape)
        return np.clip(_stored(hu), 0, 1).astype(np.float32)[None]

    def mask(self, case: str, modality: str = "volume") -> np.ndarray:  # noqa: D102
        return self._with_nodule(case)[2]

    def region(self, case: str, modality: str) -> np.ndarray:
        """A ball of one size around the nodule's middle, large enough for any nodule."""
        return _distance(self._chest(case)[2], self.pictures[0].shape[1:]) <= REACH / SPACING

    def _with_nodule(self, case: str) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.random.Generator]:
        """The chest in HU, its lungs and the nodule, each (D, H, W), and the generator that goes on."""
        hu, lungs, middle, draw = self._chest(case)
        shape = self.cases.at[case, "truth"] if self.shows(case, "volume") else "lobulated"
        return hu, lungs, _nodule(shape, draw, middle, hu.shape) & lungs, draw

    def _chest(self, case: str) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.random.Generator]:
        """The chest in HU and its lungs, (D, H, W), the nodule's middle, and the generator that goes on."""
        draw = np.random.default_rng([self.seed, 3, self.cases.index.get_loc(case)])
        hu, lungs, middles = _body(draw, self.depth, self.size)
        middle = np.array([
            self.depth * draw.uniform(0.4, 0.6),
            *(self.size * (0.5 + middles[draw.integers(2)] + draw.uniform(-1, 1, 2) * (0.11, 0.04))),
        ])  # fmt: skip
        return hu, lungs, middle, draw


def _stored(hu):
    low, high = WINDOW
    return (hu - low) / (high - low)


def _body(draw: np.random.Generator, depth: int, size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The chest without vessels in HU and its lungs, both (D, H, W), and the lungs' middles (2, y and x).

    Places are written in parts of the picture's side, from its middle to the right, down and to the head.
    """
    z, y, x = (at + 0.5 for at in np.ogrid[:depth, :size, :size])
    z, y, x = (z - depth / 2) / size, y / size - 0.5, x / size - 0.5
    wide, tall = draw.uniform(0.44, 0.48), draw.uniform(0.34, 0.37)
    edge = np.hypot(x / wide, y / tall)  # 1 at the skin; (1, H, W)
    around = np.arctan2(np.abs(x), -y)  # 0 at the breastbone
    rib = np.cos(8 * around + 40 * z + draw.uniform(0, 2 * np.pi)) > 0.35  # (D, H, W)
    hu = np.tile(np.select([edge > 1, edge > 0.91], [AIR, FAT], SOFT), (depth, 1, 1))
    hu[(edge > 0.80) & (edge < 0.88) & rib] = BONE
    hu[:, np.hypot(x, y - 0.2)[0] < 0.06] = 0.6 * BONE  # a vertebra, its canal, the windpipe's branches
    hu[:, np.hypot(x, y - 0.275)[0] < 0.025] = SOFT
    hu[:, np.hypot(np.abs(x) - 0.035, y - 0.02)[0] < 0.022] = AIR
    grown = draw.uniform(0.95, 1.05) - 0.4 * z  # lungs widen towards the feet
    middles = np.array([(0.0, -0.22), (0.03, 0.245)])
    lungs = np.zeros(hu.shape, dtype=bool)
    for (down, right), half in zip(middles, (0.16, 0.135), strict=True):
        lungs |= np.hypot((x - right) / half, (y - down) / 0.24) < grown
    heart = np.hypot((x - 0.05) / 0.13, (y + 0.1) / 0.14) < draw.uniform(0.95, 1.1) - 0.6 * z
    lungs &= (edge < 0.78) & ~heart
    return np.where(lungs, LUNG + 120 * y, hu), lungs, middles


def _nodule(shape: str, draw: np.random.Generator, middle: np.ndarray, space: tuple[int, ...]) -> np.ndarray:
    """The nodule (D, H, W): a smooth ball, a ball with spicules, or several balls grown into one."""
    sizes = {"benign": (3, 8), "lobulated": (5, 10), "malignant": (8, 12)}
    radius = draw.uniform(*sizes[shape]) / 2 / SPACING  # voxels
    if shape == "benign":
        return _distance(middle, space) <= radius
    found = _distance(middle, space) <= 0.8 * radius
    directions = draw.normal(size=(5 if shape == "lobulated" else 14, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    if shape == "lobulated":
        for direction in directions:
            found |= _distance(middle + 0.5 * radius * direction, space) <= 0.5 * radius
        return found
    reach = radius * draw.uniform(1.6, 2.1, len(directions))
    near = np.argwhere(_distance(middle, space) < reach.max())
    away = near + 0.5 - middle
    along = away @ directions.T  # (voxels nearby, spicules)
    across = np.sqrt(np.maximum((away**2).sum(axis=1)[:, None] - along**2, 0))
    spicules = (along > 0) & (along < reach) & (across < 1.2 - 0.6 * along / reach)
    found[tuple(near[spicules.any(axis=1)].T)] = True
    return found


def _distance(middle: np.ndarray, space: tuple[int, ...]) -> np.ndarray:
    """How far each voxel (D, H, W) lies from `middle`, in voxels."""
    axes = (at + 0.5 - m for at, m in zip(np.ogrid[tuple(map(slice, space))], middle, strict=True))
    return np.sqrt(sum(axis**2 for axis in axes))


def _vessels(draw: np.random.Generator, space: tuple[int, ...]) -> np.ndarray:
    """How much of each voxel (D, H, W) is vessel: trees that leave both hila and thin out."""
    depth, size, _ = space
    wood = np.zeros((2, *space))  # trunks and twigs
    for side in (-1, 1):
        for _ in range(9):
            at = np.array([depth * draw.uniform(0.1, 0.9), size * 0.52, size * (0.5 + 0.08 * side)])
            heading = np.array([draw.uniform(-0.3, 0.3), draw.uniform(-1.6, 1.6), side])
            for level, steps in ((0, 0.13), (1, 0.10), (1, 0.08)):
                heading = heading / np.linalg.norm(heading) + draw.normal(0, 0.25, 3)
                path = at + np.linspace(0, steps * size, 24)[:, None] * heading
                voxels = np.clip(path.astype(int), 0, np.array(space) - 1)
                wood[level, *voxels.T] = 1
                at = path[-1]
    trunks, twigs = gaussian_filter(wood[0], 0.75, truncate=2), gaussian_filter(wood[1], 0.5, truncate=2)
    return np.clip(2.2 * trunks + 0.8 * twigs, 0, 1)
