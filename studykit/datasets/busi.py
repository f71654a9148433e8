"""BUSI: breast ultrasound pictures with outlines, in three classes, without any record.

Al-Dhabyani W, Gomaa M, Khaled H, Fahmy A. Dataset of breast ultrasound images. Data in Brief
2020;28:104863. doi:10.1016/j.dib.2019.104863
"""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pandas as pd

from studykit.catalog import InputError
from studykit.datasets.card import Card
from studykit.datasets.class_folders import GroupedScans


@dataclass(frozen=True)
class BUSI(GroupedScans, name="busi"):
    """The original layout: `Dataset_BUSI_with_GT/<class>/<class> (n).png` with `_mask.png`, `_mask_1.png`...

    folder: where it stands; by default `BUSI` in $STUDYKIT_DATA or in data/. Beside the pictures'
        folder may stand `index.csv` (columns `file`, `group`) saying which pictures belong together.
    """

    folder: str = ""
    classes: tuple[str, ...] = ("benign", "malignant")
    size: int = 128

    card = Card(
        title="BUSI, breast ultrasound of Baheya Hospital, Cairo: 780 pictures of 600 women",
        source="https://scholar.cu.edu.eg/?q=afahmy/pages/dataset",
        citation="Al-Dhabyani et al. Data in Brief 2020;28:104863, doi:10.1016/j.dib.2019.104863",
        licence="CC0 as re-hosted; the source states no formal licence",
        label="the class folder: normal, benign or malignant",
        group="near-duplicates where index.csv joins them, else exact copies; patients are not known",
        defects=(
            "many near-duplicates, about ten pairs of them with different labels",
            "burned-in calipers and text; some axilla pictures",
            "several outlines for some lesions (joined here)",
            "no patient identifiers and no record",
        ),
    )
    home = "BUSI"
    record = ()
    gray = 0.33

    @cached_property
    def _scans(self) -> dict[str, tuple[Path, list[Path]]]:
        """{case: (picture, masks)}; InputError for a picture without a mask or the reverse."""
        inner = self._root / "Dataset_BUSI_with_GT"
        inner = inner if inner.is_dir() else self._root
        found = {}
        for name in self.classes:
            if not (inner / name).is_dir():
                raise InputError(f"BUSI's class folder {inner / name} is missing; restore it.")
            images: dict[str, Path] = {}
            masks: dict[str, list[Path]] = {}
            for path in sorted((inner / name).glob("*.png")):
                stem, marked, _ = path.stem.partition("_mask")
                if marked:
                    masks.setdefault(stem, []).append(path)
                else:
                    images[stem] = path
            for stem in sorted(images.keys() - masks.keys()):
                raise InputError(f"The image {images[stem]} has no mask; add '{stem}_mask.png'.")
            for stem in sorted(masks.keys() - images.keys()):
                raise InputError(f"The mask {inner / name / stem}_mask.png has no image; add '{stem}.png'.")
            found.update({stem: (image, masks[stem]) for stem, image in images.items()})
        return found

    def files_of(self, case: str) -> tuple[Path, list[Path]]:  # noqa: D102
        return self._scans[case]

    @cached_property
    def cases(self) -> pd.DataFrame:  # noqa: D102
        groups = self._grouping.groups
        rows = [
            {"id": case, "group": groups[case], "lesion": path.parent.name}
            for case, (path, _) in self._scans.items()
        ]
        return pd.DataFrame(rows).set_index("id")
