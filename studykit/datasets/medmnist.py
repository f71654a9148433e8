"""MedMNIST: eighteen collections of small medical pictures and volumes, each with one question.

Yang J, Shi R, Wei D, et al. MedMNIST v2 - A large-scale lightweight benchmark for 2D and 3D biomedical image
classification. Sci Data 2023;10:41. doi:10.1038/s41597-022-01721-8. Cite the collection's own source, too.
The facts (questions, classes, licences) are those of the package medmnist 3.0.2 (Apache-2.0).
"""

import hashlib
import math
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from tokenize import TokenError

import numpy as np
import pandas as pd

from studykit.case import Modality, Task
from studykit.catalog import InputError, check_choice
from studykit.datasets.card import Card
from studykit.datasets.dataset import Dataset, find_folder
from studykit.files.picture import fractions

PARTS = ("train", "val", "test")
MEMORY = 4 * 2**30  # bytes of pictures that are held at once
BROKEN = (OSError, ValueError, KeyError, EOFError, RuntimeError, TokenError, zipfile.BadZipFile, zlib.error)


@dataclass(frozen=True)
class Collection:
    """classes: in the order of their numbers in the file. positive: the number of a binary task's finding."""

    classes: tuple[str, ...]
    kind: str = "multiclass"
    channels: int = 1
    volume: bool = False
    licence: str = "CC BY 4.0"
    positive: int = 1

    @property
    def sizes(self) -> tuple[int, ...]:
        """The sides that are published, in pixels or voxels."""
        return (28, 64) if self.volume else (28, 64, 128, 224)


ABDOMEN = (
    *("bladder", "femur-left", "femur-right", "heart", "kidney-left", "kidney-right"),
    *("liver", "lung-left", "lung-right", "pancreas", "spleen"),
)
COLLECTIONS = {
    "pathmnist": Collection(
        (
            *("adipose", "background", "debris", "lymphocytes", "mucus", "smooth muscle"),
            *("normal colon mucosa", "cancer-associated stroma", "colorectal adenocarcinoma epithelium"),
        ),
        channels=3,
    ),
    "chestmnist": Collection(
        (
            *("atelectasis", "cardiomegaly", "effusion", "infiltration", "mass", "nodule", "pneumonia"),
            *("pneumothorax", "consolidation", "edema", "emphysema", "fibrosis", "pleural", "hernia"),
        ),
        kind="multilabel",
    ),
    "dermamnist": Collection(
        (
            *("actinic keratoses and intraepithelial carcinoma", "basal cell carcinoma"),
            *("benign keratosis-like lesions", "dermatofibroma", "melanoma", "melanocytic nevi"),
            "vascular lesions",
        ),
        channels=3,
        licence="CC BY-NC 4.0",
    ),
    "octmnist": Collection(("choroidal neovascularization", "diabetic macular edema", "drusen", "normal")),
    "pneumoniamnist": Collection(("normal", "pneumonia"), kind="binary"),
    "retinamnist": Collection(tuple(f"grade {grade}" for grade in range(5)), channels=3),
    "breastmnist": Collection(("malignant", "normal or benign"), kind="binary", positive=0),
    "bloodmnist": Collection(
        (
            *("basophil", "eosinophil", "erythroblast", "immature granulocytes"),
            *("lymphocyte", "monocyte", "neutrophil", "platelet"),
        ),
        channels=3,
    ),
    "tissuemnist": Collection(
        (
            *("collecting duct, connecting tubule", "distal convoluted tubule"),
            *("glomerular endothelial cells", "interstitial endothelial cells", "leukocytes", "podocytes"),
            *("proximal tubule segments", "thick ascending limb"),
        )
    ),
    "organamnist": Collection(ABDOMEN),
    "organcmnist": Collection(ABDOMEN),
    "organsmnist": Collection(ABDOMEN),
    "organmnist3d": Collection(
        (
            *("liver", "kidney-right", "kidney-left", "femur-right", "femur-left", "bladder", "heart"),
            *("lung-right", "lung-left", "spleen", "pancreas"),
        ),
        volume=True,
    ),
    "nodulemnist3d": Collection(("benign", "malignant"), kind="binary", volume=True),
    "adrenalmnist3d": Collection(("normal", "hyperplasia"), kind="binary", volume=True),
    "fracturemnist3d": Collection(
        ("buckle rib fracture", "nondisplaced rib fracture", "displaced rib fracture"), volume=True
    ),
    "vesselmnist3d": Collection(("vessel", "aneurysm"), kind="binary", volume=True),
    "synapsemnist3d": Collection(
        ("inhibitory synapse", "excitatory synapse"), kind="binary", volume=True
    ),
}  # fmt: skip


def file_name(flag: str, size: int) -> str:
    """What the publisher calls the file of a collection in one size; InputError where there is none."""
    check_choice("collection of MedMNIST", flag, COLLECTIONS)
    sizes = COLLECTIONS[flag].sizes
    if size not in sizes:
        raise InputError(f"{flag} is published in the sizes {', '.join(map(str, sizes))}, not in {size}.")
    return f"{flag}.npz" if size == 28 else f"{flag}_{size}.npz"


@dataclass(frozen=True)
class MedMNIST(Dataset, name="medmnist"):
    """The published files, `breastmnist.npz` (28 pixels) or `breastmnist_128.npz`, in one folder.

    A case is called by its collection, its part of the official split and its row there, from 0. Folds are
    studykit's; the official split stands in the column `official_split`. Chest findings (chestmnist) are
    several at once; folds want at least one patient a fold of every combination.

    folder: where the files stand; by default `MedMNIST` in $STUDYKIT_DATA or in data/.
    flag: the collection. size: the side of the pictures as published, 28, 64, 128 or 224 (volumes: 28, 64).
    """

    folder: str = ""
    flag: str = "breastmnist"
    size: int = 28

    card = Card(
        title="MedMNIST v2, eighteen collections of small medical pictures and volumes",
        source="https://medmnist.com, doi:10.5281/zenodo.10519652",
        citation="Yang et al. Sci Data 2023;10:41, doi:10.1038/s41597-022-01721-8; cite its source, too",
        licence="CC BY 4.0; dermamnist CC BY-NC 4.0: not for commercial use",
        label="that of the collection's source; breastmnist joins normal and benign",
        group="exact copies; patients are not known",
        defects=(
            "not for clinical use, say its authors: made small, cropped to squares, several windows of gray",
            "no patient identifiers: pictures of one patient may stand on two sides of a split",
            "near-duplicates are unknown: breastmnist comes from BUSI, which has many",
            "retinamnist's grades are ordered; they are taken as classes, as its authors measure them",
            "where head and feet are in a volume is not told: its axes are as they come",
            "no record and no outlines",
            "this reader was not yet tried on the original files",
        ),
    )

    def __post_init__(self):
        file_name(self.flag, self.size)

    @property
    def _collection(self) -> Collection:
        return COLLECTIONS[self.flag]

    @property
    def tasks(self) -> tuple[Task, ...]:  # noqa: D102
        facts = self._collection
        classes = facts.classes if facts.positive else facts.classes[::-1]
        return (Task("label", facts.kind, classes),)

    @property
    def pictures(self) -> tuple[Modality, ...]:
        """A volume's absence is black, a picture's is mid-gray: what shows nothing was not measured here."""
        if self._collection.volume:
            return (Modality("volume", "volume", (1, *[self.size] * 3), absent=0.0),)
        return (Modality("image", "image", (self._collection.channels, self.size, self.size), absent=0.5),)

    @cached_property
    def _file(self) -> Path:
        path = find_folder(self.folder, "MedMNIST") / file_name(self.flag, self.size)
        if not path.is_file():
            raise InputError(
                f"{path} is missing; put the file there, "
                f"or fetch it: python -m studykit fetch medmnist --flag {self.flag} --size {self.size}."
            )
        return path

    @cached_property
    def _parts(self) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """{part: (pictures, labels (N, L))}, read once and held."""
        facts = self._collection
        shape = (self.size,) * (3 if facts.volume else 2) + ((3,) if facts.channels == 3 else ())
        labels = len(facts.classes) if facts.kind == "multilabel" else 1
        parts = read_parts(self._file, shape, labels)
        most = 1 if facts.kind == "multilabel" else len(facts.classes) - 1
        for part, (_, numbers) in parts.items():
            wrong = ((numbers < 0) | (numbers > most)).any(axis=1)
            if wrong.any():
                row = int(wrong.argmax())
                raise InputError(
                    f"Row {row} of '{part}_labels' in {self._file} is {numbers[row].tolist()}, "
                    f"and {self.flag} knows 0 to {most}; fetch the file anew."
                )
        return parts

    @cached_property
    def cases(self) -> pd.DataFrame:  # noqa: D102
        rows = []
        for part, (pictures, labels) in self._parts.items():
            for row, (picture, numbers) in enumerate(zip(pictures, labels, strict=True)):
                rows.append(
                    {
                        "id": f"{self.flag}-{part}-{row:04d}",
                        "group": hashlib.sha256(picture.tobytes()).hexdigest()[:12],
                        "label": self._words(numbers),
                        "official_split": part,
                    }
                )
        return pd.DataFrame(rows).set_index("id")

    def _words(self, numbers: np.ndarray) -> str:
        classes = self._collection.classes
        if self._collection.kind == "multilabel":
            return "&".join(name for name, there in zip(classes, numbers, strict=True) if there)
        return classes[int(numbers[0])]

    def picture(self, case: str, modality: str = "image") -> np.ndarray:  # noqa: D102
        return fractions(self.pixels(case, modality))

    def pixels(self, case: str, modality: str = "image") -> np.ndarray:  # noqa: D102
        _, part, row = case.rsplit("-", 2)
        values = self._parts[part][0][int(row)]
        if self._collection.channels == 3:
            return np.ascontiguousarray(values.transpose(2, 0, 1))  # (H, W, C) in the file
        return values[None]

    def notes(self) -> list[str]:  # noqa: D102
        copies = self.cases["group"].duplicated().sum()
        return [
            f"MedMNIST does not tell patients: {copies} exact copies in {self.flag} are kept on one "
            "side of a split, but pictures of one patient may stand on two, so scores may be too good."
        ]

    def files(self) -> list[Path]:  # noqa: D102
        return [self._file]


def read_parts(path: Path, shape: tuple[int, ...], labels: int) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """{part: (pictures (N, *shape) uint8, labels (N, labels))} of the npz file `path`.

    What the file claims to hold is looked at before anything is unpacked; objects are never unpickled.
    Raises InputError for a file that is broken, of another layout, or larger than `MEMORY`.
    """
    try:
        headers = _headers(path)
        _check_headers(path, headers, shape, labels)
        with np.load(path, allow_pickle=False) as stored:
            return {part: (stored[f"{part}_images"], stored[f"{part}_labels"]) for part in PARTS}
    except InputError:  # a ValueError, too
        raise
    except BROKEN as why:
        raise InputError(f"{path} cannot be read as an npz file ({why}); fetch it anew.") from None


def _headers(path: Path) -> dict[str, tuple[tuple[int, ...], np.dtype]]:
    """{member: (shape, type)}, from the members' first bytes."""
    found = {}
    with zipfile.ZipFile(path) as archive:
        for name in archive.namelist():
            with archive.open(name) as member:
                newer = np.lib.format.read_magic(member) > (1, 0)
                read = np.lib.format.read_array_header_2_0 if newer else np.lib.format.read_array_header_1_0
                shape, _, kind = read(member)
                found[name.removesuffix(".npy")] = shape, kind
    return found


def _check_headers(path: Path, headers: Mapping, shape: tuple[int, ...], labels: int) -> None:
    total = 0
    for part in PARTS:
        for name in (f"{part}_images", f"{part}_labels"):
            if name not in headers:
                raise InputError(f"{path} has no '{name}'; it is not the published file: fetch it anew.")
        (pictures, kind), (numbers, number) = headers[f"{part}_images"], headers[f"{part}_labels"]
        if kind != np.uint8 or pictures[1:] != shape:
            raise InputError(
                f"'{part}_images' of {path} is {pictures} of {kind}, not {('N', *shape)} of uint8; "
                "give the size and the collection that the file holds."
            )
        if number.kind not in "ui" or numbers != (pictures[0], labels):
            raise InputError(
                f"'{part}_labels' of {path} is {numbers} of {number}, not {(pictures[0], labels)} whole "
                "numbers; fetch the file anew."
            )
        total += math.prod(pictures)
    if total > MEMORY:
        raise InputError(
            f"{path} claims {total / 2**30:.1f} GB of pictures, more than the {MEMORY / 2**30:.0f} GB "
            "that are held in memory; choose a smaller 'size'."
        )
