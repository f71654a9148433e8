"""Drawn MRI of a right calf in two contrasts, where it is known which of them shows a distal myopathy.

Affected means that three muscles, and no others, are diseased: tibialis anterior, the extensor group and
the medial gastrocnemius. T1 shows fat that has replaced them (bright), STIR shows oedema in them (bright, fat
being dark). In some cases only T1 tells healthy from affected, in some only STIR, in some both. A contrast
without evidence shows slight changes in the same three muscles for both classes. Any other muscle may show a
little of the same signal, in both classes alike.

The three muscles are this phantom's choice. In GNE myopathy they are among those found diseased early (Tasca
et al. J Neurol 2012;259:1358-65, doi:10.1007/s00415-011-6357-6), with the soleus, which is left out here so
that the pattern is a matter of place; other distal myopathies have other patterns. Real fat replacement and
oedema are not independent of each other, as they are here.

These are phantoms: no number measured on them says anything about patients.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter
from scipy.special import ndtr

from studykit.case import Modality, Task
from studykit.catalog import InputError
from studykit.datasets.card import Card
from studykit.datasets.planted_cohort import PlantedCohort

PATTERN = ("tibialis anterior", "extensor group", "medial gastrocnemius")
# Where the muscles lie: points (right, down) in parts of the way from the leg's middle to its fascia; what is
# nearest to a muscle's points is that muscle. Lateral is left, for a right leg seen from the foot.
MUSCLES = {
    "tibialis anterior": [(-0.12, -0.82), (-0.16, -0.52)],
    "extensor group": [(-0.52, -0.68), (-0.44, -0.38)],
    "peroneal group": [(-0.85, -0.25), (-0.80, 0.00)],
    "tibialis posterior": [(-0.15, -0.12)],
    "long flexors": [(0.32, -0.02), (0.66, 0.00)],
    "soleus": [(-0.62, 0.24), (-0.25, 0.26), (0.12, 0.28), (0.50, 0.24), (0.80, 0.12)],
    "lateral gastrocnemius": [(-0.62, 0.62), (-0.28, 0.74)],
    "medial gastrocnemius": [(0.20, 0.74), (0.56, 0.66), (0.80, 0.42)],
}
TIBIA, FIBULA = (0.42, -0.52, 0.35), (-0.52, -0.06, 0.14)  # right, down, radius
SIGNAL = {  # what each tissue gives, as a part of the brightest
    "t1": {"skin": 0.35, "fat": 0.80, "muscle": 0.30, "cortex": 0.06, "marrow": 0.74, "disease": 0.80},
    "stir": {"skin": 0.40, "fat": 0.12, "muscle": 0.28, "cortex": 0.04, "marrow": 0.10, "disease": 0.72},
}


@dataclass(frozen=True)
class LegPhantom(PlantedCohort, name="leg_phantom"):
    """Settings: the number of cases, the pictures' side in pixels, and where the evidence lies.

    in_t1, in_stir: the shares of cases whose label shows in T1 and in STIR; what they sum to beyond 1 is the
        share in which both show it.
    label_noise: the share of cases whose given label is the wrong one; `truth` keeps the right one.

    Pictures are (1, size, size), front above, lateral on the left. Absent is healthy muscle everywhere.
    """

    count: int = 400
    size: int = 64
    in_t1: float = 0.6
    in_stir: float = 0.6
    label_noise: float = 0.0
    seed: int = 0

    card = Card(
        title="Calf-MRI phantom of a distal myopathy in T1 and STIR, drawn by studykit",
        licence="none needed: no source, no patients",
        citation="drawn by studykit; the muscles after Tasca et al. J Neurol 2012, "
        "doi:10.1007/s00415-011-6357-6",
        label=f"planted: fat (T1), oedema (STIR) or both, in {', '.join(PATTERN)}",
        group="the drawn patient; about one in five has two cases with the same label",
        defects=(
            "a phantom: the distal-myopathy pictures of Abbaspour Onari et al. (arXiv 2508.01316) are "
            "private and cannot be had",
            "fat and oedema are drawn independently of each other, and in one pattern only",
            "form, shading, noise and slight signal in other muscles are drawn alike for both classes",
        ),
    )
    tasks = (Task("myopathy", "binary", ("healthy", "affected")),)
    holders = ("t1", "stir")

    def __post_init__(self):
        self.check_shares()
        if self.count < 20 or self.size < 32:
            raise InputError("A leg phantom has at least 20 cases of at least 32 pixels.")

    @property
    def pictures(self) -> tuple[Modality, ...]:  # noqa: D102
        shape = (1, self.size, self.size)
        return tuple(Modality(name, "image", shape, absent=SIGNAL[name]["muscle"]) for name in self.holders)

    def picture(self, case: str, modality: str) -> np.ndarray:  # noqa: D102
        truth = self.cases.at[case, "truth"] if self.shows(case, modality) else "unclear"
        return self.drawn(case, modality, truth)

    def drawn(self, case: str, modality: str, truth: str) -> np.ndarray:
        """The picture of this leg, were its pattern "healthy", "affected" or "unclear", all else the same."""
        draw = self._draw(case, 4 + self.holders.index(modality))
        signal, size = SIGNAL[modality], self.size
        compartments, tissues = self._leg(case)
        tissue = np.zeros((size, size))
        for name, where in tissues.items():
            tissue[where] = signal[name]
        texture = 0.03 * _smooth(draw, size, 0.8) * (tissue == signal["muscle"])
        tissue = gaussian_filter(tissue, 0.5) + texture
        patchy = ndtr(_smooth(draw, size, size / (30 if modality == "t1" else 14)))  # even between 0 and 1
        for muscle in MUSCLES:
            share = _share(draw, truth if muscle in PATTERN else "other")
            diseased = np.clip((patchy - 1 + share) / 0.3 + share, 0, 1) * compartments[muscle]
            tissue += diseased * (signal["disease"] - tissue)
        shaded = tissue * (1 + 0.08 * _smooth(draw, size, size / 4))
        noise = draw.normal(0, 0.025, (2, size, size))
        return np.clip(np.hypot(shaded + noise[0], noise[1]), 0, 1).astype(np.float32)[None]

    def mask(self, case: str, modality: str = "t1") -> np.ndarray:
        """The three muscles of the pattern, diseased or not."""
        parts = self.compartments(case)
        return np.logical_or.reduce([parts[name] for name in PATTERN])

    def region(self, case: str, modality: str) -> np.ndarray:
        """The three muscles of the pattern."""
        return self.mask(case, modality)

    def compartments(self, case: str) -> Mapping[str, np.ndarray]:
        """Each muscle, bone and the fat under the skin as (H, W) bool; no two overlap."""
        return self._leg(case)[0]

    def _leg(self, case: str) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
        """The compartments, and where the tissues of SIGNAL lie; a later tissue lies upon an earlier one."""
        draw, size = self._draw(case, 3), self.size
        x, y = _bent(draw, size)
        edge = np.hypot(x, y) * (1 + 0.03 * np.cos(2 * np.arctan2(y, x) + draw.uniform(0, 6.28)))
        fascia = draw.uniform(0.76, 0.88)  # parts of the way from the middle to the skin
        right, down = x / fascia, y / fascia
        away = np.array(
            [
                np.min([np.hypot(right - r, down - d) for r, d in points], axis=0)
                for points in MUSCLES.values()
            ]
        )  # (muscles, H, W)
        nearest, second = np.sort(away, axis=0)[:2]
        inside = np.hypot(right, down) < 0.98
        tibia, fibula = _bone(right, down, TIBIA, 0.18), _bone(right, down, FIBULA, 0.0)
        bones = (tibia < 1.12) | (fibula < 1.2)
        muscle = inside & ~bones & (second - nearest > 0.035)
        parts = {name: muscle & (away[at] == nearest) for at, name in enumerate(MUSCLES)}
        bone = {"tibia": tibia < 1, "fibula": fibula < 1}
        under = {"subcutaneous fat": (edge < 0.96) & ~inside & (tibia >= 1)}
        tissues = {
            "skin": edge < 1,
            "fat": edge < 0.96,
            "muscle": muscle,
            "cortex": (tibia < 1) | (fibula < 1),
            "marrow": (tibia < 0.7) | (fibula < 0.55),
        }
        return {**parts, **bone, **under}, tissues

    def _draw(self, case: str, what: int) -> np.random.Generator:
        return np.random.default_rng([self.seed, what, self.cases.index.get_loc(case)])


def _share(draw: np.random.Generator, truth: str) -> float:
    """The part of a muscle that is diseased; takes as many random numbers whatever it is."""
    even, struck = draw.random(2)
    if truth == "other":
        return (0.1 + 0.2 * even) * (struck < 0.4)
    low, high = {"healthy": (0.0, 0.0), "unclear": (0.2, 0.3), "affected": (0.5, 0.9)}[truth]
    return low + (high - low) * even


def _bent(draw: np.random.Generator, size: int) -> tuple[np.ndarray, np.ndarray]:
    """How far right and down of the leg's middle each pixel (H, W) lies; 1 is about the skin."""
    wide, tall = draw.uniform(0.82, 0.92), draw.uniform(0.86, 0.95)
    tilt, middle = draw.uniform(-0.2, 0.2), draw.uniform(-0.04, 0.04, 2)
    y, x = (np.mgrid[:size, :size] + 0.5) / size * 2 - 1 - middle[:, None, None]
    x, y = x * np.cos(tilt) + y * np.sin(tilt), y * np.cos(tilt) - x * np.sin(tilt)
    bends = (0.03 * _smooth(draw, size, size / 7) for _ in range(2))
    return x / wide + next(bends), y / tall + next(bends)


def _bone(right: np.ndarray, down: np.ndarray, bone: tuple[float, float, float], three: float) -> np.ndarray:
    """How far from a bone's middle, 1 at its edge; `three` makes it three-cornered."""
    right, down, radius = right - bone[0], down - bone[1], bone[2]
    return np.hypot(right, down) / radius / (1 - three * np.cos(3 * (np.arctan2(down, right) - 0.35)))


def _smooth(draw: np.random.Generator, size: int, blur: float) -> np.ndarray:
    """A smooth random field (H, W) with mean 0 and standard deviation 1."""
    field = gaussian_filter(draw.normal(size=(size, size)), blur, mode="wrap")
    return (field - field.mean()) / field.std()
