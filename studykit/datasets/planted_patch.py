"""A small striped patch in a speckled picture, whose stripes alone tell the class; and a record.

Somewhere in the picture lies a patch of at most 2 % of its area. Stripes that run across it mean one class,
stripes that run up and down the other. Patches of the same form with a checked texture lie elsewhere, alike
for both classes, so that a patch alone is no evidence; stripes have clearer edges than checks, and an edge
detector finds them, too. In some cases the record tells, too, or instead: the telling patch is then checked
as well, or the marker near zero.

What a map of a model that has learned this should show is known to the pixel and the column. These are
phantoms: no number measured on them says anything about patients.
"""

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter

from studykit.case import Modality, Task
from studykit.catalog import InputError, check_choice
from studykit.datasets.card import Card
from studykit.datasets.planted_cohort import PlantedCohort

GRAY = 0.5  # the mean of a drawn picture: what stands for one that shows nothing
PERIOD = 4  # pixels from stripe to stripe
LARGEST = 0.02  # the share of the picture that a patch covers, at most


@dataclass(frozen=True)
class PlantedPatch(PlantedCohort, name="planted_patch"):
    """kind: image (1, size, size) or volume (1, size / 4, size, size).

    checked: how many patches that tell nothing lie beside. in_image, in_record: the shares of cases whose
    label shows in the image and in the record; what they sum to beyond 1 is the share in which both show it.
    label_noise: the share of cases whose given label is the wrong one; `truth` keeps the right one.
    """

    count: int = 400
    size: int = 64
    kind: str = "image"
    checked: int = 2
    in_image: float = 1.0
    in_record: float = 0.0
    label_noise: float = 0.0
    seed: int = 0

    card = Card(
        title="Planted patch with a record, drawn by studykit",
        licence="none needed: no source, no patients",
        citation="drawn by studykit",
        label="planted: which way the stripes of one small patch run, a marker below or above zero, or both",
        group="the drawn patient; about one in five has two cases with the same label",
        defects=("speckle, places, checked patches, age and side are drawn alike for both classes",),
    )
    tasks = (Task("stripes", "binary", ("across", "upright")),)
    record = ("Marker", "Age", "Side")
    evidence_columns = ("Marker",)

    def __post_init__(self):
        check_choice("kind of planted_patch", self.kind, ("image", "volume"))
        self.check_shares()
        if self.count < 20 or self.size < 48:
            raise InputError("A planted_patch cohort has at least 20 cases of at least 48 pixels.")
        if not 0 <= self.checked <= 4:
            raise InputError(f"'checked' of planted_patch is 0 to 4 patches, not {self.checked}.")

    @property
    def space(self) -> tuple[int, ...]:
        """The picture's sides."""
        return (self.size,) * 2 if self.kind == "image" else (self.size // 4, self.size, self.size)

    @property
    def patch(self) -> tuple[int, ...]:
        """The patch's sides."""
        share = LARGEST ** (1 / len(self.space))
        return tuple(max(2, int(share * side)) for side in self.space)

    @property
    def pictures(self) -> tuple[Modality, ...]:  # noqa: D102
        return (Modality("image", self.kind, (1, *self.space), absent=GRAY),)

    def told(self, draw: np.random.Generator, positive: bool, shown: bool) -> dict[str, object]:  # noqa: D102
        middle = (1.5 if positive else -1.5) if shown else 0.0
        return {
            "Marker": round(float(middle + draw.uniform(-0.5, 0.5)), 3),
            "Age": float(draw.integers(30, 80)),
            "Side": draw.choice(["left", "right"]),
        }

    def picture(self, case: str, modality: str = "image") -> np.ndarray:  # noqa: D102
        places, draw = self._places(case)
        noise = draw.normal(size=(2, *self.space))
        found = (
            GRAY + 0.06 * _even(gaussian_filter(noise[0], 4)) + 0.05 * _even(gaussian_filter(noise[1], 0.8))
        )
        striped = {"across": (-2,), "upright": (-1,)}
        telling = striped[self.cases.at[case, "truth"]] if self.shows(case, "image") else (-2, -1)
        for at, (place, phase) in enumerate(places):
            found[place] += 0.3 * _texture(self.patch, (-2, -1) if at else telling, phase)
        return np.clip(found, 0, 1).astype(np.float32)[None]

    def mask(self, case: str, modality: str = "image") -> np.ndarray:  # noqa: D102
        found = np.zeros(self.space, dtype=bool)
        found[self._places(case)[0][0][0]] = True
        return found

    def region(self, case: str, modality: str) -> np.ndarray:  # noqa: D102
        return self.mask(case, modality)

    def _places(self, case: str) -> tuple[list[tuple[tuple[slice, ...], np.ndarray]], np.random.Generator]:
        """Where each patch lies, none on another, and its stripes' phases; the generator that goes on."""
        draw = np.random.default_rng([self.seed, 3, self.cases.index.get_loc(case)])
        starts: list[np.ndarray] = []
        patch, room = np.array(self.patch), np.array(self.space) - self.patch
        while len(starts) < 1 + self.checked:
            start = draw.integers(1, room)
            if all((abs(start - other) > patch).any() for other in starts):
                starts.append(start)
        phases = draw.integers(PERIOD, size=(len(starts), 2))
        sides = [tuple(slice(a, a + n) for a, n in zip(start, patch, strict=True)) for start in starts]
        return list(zip(sides, phases, strict=True)), draw


def _even(field: np.ndarray) -> np.ndarray:
    """The field with standard deviation 1."""
    return field / field.std()


def _texture(sides: tuple[int, ...], axes: tuple[int, ...], phase: np.ndarray) -> np.ndarray:
    """Stripes of -1 and 1 that follow each other along one axis, or checks along two."""
    found = np.ones(sides)
    for axis, start in zip(axes, phase, strict=False):
        bright = np.where((np.arange(sides[axis]) + start) % PERIOD < PERIOD / 2, 1.0, -1.0)
        found = found * bright.reshape([-1 if a == len(sides) + axis else 1 for a in range(len(sides))])
    return found
