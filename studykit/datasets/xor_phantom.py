"""Two modalities of which each alone says nothing and both together say everything.

Each modality carries one bit, thrown like a fair coin: a bright or a dark blob somewhere in a speckled
picture or volume, or a marker above or below zero in a record. The label is "different" where the bits
differ (first XOR second). A model that cannot mix its modalities stays at chance, and so does one whose
second modality is exchanged between cases.

These are phantoms: no number measured on them says anything about patients.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from scipy.ndimage import gaussian_filter

from studykit.case import Modality, Task
from studykit.catalog import InputError
from studykit.datasets.card import Card
from studykit.datasets.dataset import Dataset
from studykit.datasets.planted_cohort import WARNING

GRAY = 0.5  # the background: what stands for a picture that shows nothing
FADED = np.exp(-0.5 * 3**2)  # of a blob's height, three standard deviations from its middle
KINDS = (("image", "volume"), ("image", "volume", "table"))


@dataclass(frozen=True)
class BitPair(Dataset):
    """Two modalities, each of which carries one bit; which bits there are decides the data set.

    size: a picture's side in pixels; a volume has a quarter as many slices. kinds: what the first and the
    second modality are; pictures are named "first" and "second", a table is the record, whose column
    Marker carries the bit.
    """

    count: int = 400
    size: int = 32
    kinds: tuple[str, ...] = ("image", "image")
    seed: int = 0

    simulated = True
    evidence_columns = ("Marker",)
    # A blob's standard deviation, drawn as a share of the side, and its least in pixels; how bright or dark.
    widths, least, height = (0.11, 0.16), 0.0, 0.35

    def __post_init__(self):
        if len(self.kinds) != 2 or any(k not in known for k, known in zip(self.kinds, KINDS, strict=True)):
            raise InputError(
                f"'kinds' of {self.name} is a pair, image or volume and then image, volume or table, "
                f"not {list(self.kinds)}."
            )
        if self.count < 20 or self.size < 16:
            raise InputError(f"The data set {self.name} has at least 20 cases of 16 pixels or more.")

    @property
    def bits(self) -> np.ndarray:
        """(cases, 2): the bit of the first and of the second modality, 0 or 1."""
        raise NotImplementedError

    @cached_property
    def shown(self) -> np.ndarray:
        """(cases, 2): whether the first and the second modality show their bit, or nothing."""
        return np.ones((self.count, 2), dtype=bool)

    @property
    def pictures(self) -> tuple[Modality, ...]:  # noqa: D102
        shapes = {"image": (1, self.size, self.size), "volume": (1, self.size // 4, self.size, self.size)}
        pairs = zip(("first", "second"), self.kinds, strict=True)
        return tuple(Modality(n, kind, shapes[kind], absent=GRAY) for n, kind in pairs if kind in shapes)

    @property
    def record(self) -> tuple[str, ...]:  # noqa: D102
        return ("Marker", "Age", "Side") if "table" in self.kinds else ()

    def table(self, prefix: str, **labels: np.ndarray) -> pd.DataFrame:
        """The cases with these columns of class names, both bits, and the record where there is one."""
        ids = pd.Index([f"{prefix}-{case:04d}" for case in range(self.count)], name="id")
        first, second = self.bits.T
        rows = pd.DataFrame({"group": ids, **labels, "first_bit": first, "second_bit": second}, index=ids)
        if self.record:
            draw = np.random.default_rng([self.seed, 2])
            rows["Marker"] = (2 * second - 1) * draw.uniform(0.8, 1.2, self.count).round(3)
            rows["Age"] = draw.normal(55, 12, self.count).clip(18, 95).round()
            rows["Side"] = draw.choice(["left", "right"], self.count)
        return rows

    def evidence(self, case: str) -> Mapping[str, Any]:
        """Each blob up to three standard deviations from its middle, and the Marker."""
        found = {m.name: self._blob(case, m.name)[0] >= FADED for m in self.pictures}
        return {**found, "record": self.evidence_columns} if self.record else found

    def notes(self) -> list[str]:  # noqa: D102
        return [WARNING]

    def picture(self, case: str, modality: str = "first") -> np.ndarray:  # noqa: D102
        blob, bit, draw = self._blob(case, modality)
        speckle = gaussian_filter(draw.normal(0, 0.2, blob.shape), 0.6)
        picture = GRAY + speckle + (self.height if bit else -self.height) * blob
        return np.clip(picture, 0, 1).astype(np.float32)[None]

    def mask(self, case: str, modality: str = "first") -> np.ndarray:
        """Where the blob has at least half its height."""
        return self._blob(case, modality)[0] >= 0.5

    def _blob(self, case: str, modality: str) -> tuple[np.ndarray, int, np.random.Generator]:
        """The blob, 1 in its middle ([D,] H, W) or 0 all over, its bit, the generator that draws the rest."""
        at = ("first", "second").index(modality)
        position = self.cases.index.get_loc(case)
        draw = np.random.default_rng([self.seed, 3 + at, position])
        space, width = self.pictures[at].shape[1:], draw.uniform(*self.widths)
        blob = np.array(float(self.shown[position, at]))
        for count in space:
            away = (np.arange(count) + 0.5) / count - draw.uniform(0.3, 0.7)
            line = np.exp(-0.5 * (away / max(width, self.least / count)) ** 2)
            blob = blob[..., None] * line  # axis by axis to ([D,] H, W)
        return blob, self.bits[position, at], draw


@dataclass(frozen=True)
class XorPhantom(BitPair, name="xor_phantom"):
    """The four pairs of bits are equally frequent where `count` is a multiple of four."""

    count: int = 4000

    card = Card(
        title="Exclusive-or phantom, drawn by studykit: neither modality alone tells the label",
        licence="none needed: no source, no patients",
        citation="drawn by studykit",
        label="planted: whether the bits of the two modalities differ",
        group="every case is a patient of its own",
        defects=(
            "where and how large a blob is, the speckle, age and side are drawn alike for both classes",
        ),
    )
    tasks = (Task("label", "binary", ("same", "different")),)

    @cached_property
    def cases(self) -> pd.DataFrame:
        """Besides the contract's columns: `first_bit` and `second_bit`, 0 or 1."""
        first, second = self.bits.T
        return self.table("xor", label=np.array(self.tasks[0].classes)[first ^ second])

    @cached_property
    def bits(self) -> np.ndarray:
        """(cases, 2), the four pairs in random order."""
        pairs = np.random.default_rng([self.seed, 1]).permutation(np.arange(self.count) % 4)
        return np.stack([pairs // 2, pairs % 2], axis=1)

    def planted(self, case: str) -> str:  # noqa: D102
        row = self.cases.loc[case]
        return f"{row['label']}: the first bit is {row['first_bit']}, the second {row['second_bit']}"
