"""BrEaST-Lesions-USG: breast ultrasound pictures with tumour outlines and a clinical record.

Pawlowska A et al. Curated benchmark dataset for ultrasound based breast lesion analysis. Sci Data
2024;11:148. doi:10.1038/s41597-024-02984-z
"""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pandas as pd

from studykit.catalog import InputError, unknown
from studykit.datasets.card import Card
from studykit.datasets.dataset import find_folder
from studykit.datasets.outlined_scans import OutlinedScans

PICTURES = "BrEaST-Lesions_USG-images_and_masks"
MISSING = ["not available", "not applicable", ""]
DESCRIPTORS = (
    "Shape",
    "Margin",
    "Echogenicity",
    "Posterior_features",
    "Halo",
    "Calcifications",
    "Skin_thickening",
)


@dataclass(frozen=True)
class BreastLesionsUSG(OutlinedScans, name="breast_lesions_usg"):
    """The original layout: the folder of pictures beside the clinical table (xlsx, or the same as csv).

    folder: where it stands; by default `BrEaST-Lesions-USG` in $STUDYKIT_DATA or in data/.
    columns: the record. Columns that read out the label are refused.
    descriptors: add the radiologist's BI-RADS descriptors (Shape, Margin, ...). They are a reading of
        the same picture, so a model that uses them is no longer independent of a reader.
    """

    folder: str = ""
    columns: tuple[str, ...] = ("Age", "Tissue_composition", "Signs", "Symptoms")
    descriptors: bool = False
    classes: tuple[str, ...] = ("benign", "malignant")
    size: int = 128

    card = Card(
        title="BrEaST-Lesions-USG, breast ultrasound with a clinical record: 256 pictures of 256 patients",
        source="https://www.cancerimagingarchive.net/collection/breast-lesions-usg, doi:10.7937/9WKK-Q141",
        citation="Pawlowska et al. Sci Data 2024;11:148, doi:10.1038/s41597-024-02984-z",
        licence="CC BY 4.0",
        label="Classification: confirmed by biopsy or follow-up",
        group="the patient: one picture each",
        defects=(
            "'not available' and 'not applicable' stand for missing values",
            "four normal cases only; one annotator a scan",
            "further findings are outlined in masks that are not used here",
        ),
        refused={
            "Classification": "it is the label",
            "BIRADS": "the radiologist's category already answers the question",
            "Interpretation": "the radiologist's reading already answers the question",
            "Verification": "how a case was confirmed follows from what was found",
            "Diagnosis": "the histology names the label",
            "CaseID": "it names the case",
            "Image_filename": "it names the case",
            "Mask_tumor_filename": "a missing tumour mask gives the label away",
            "Mask_other_filename": "which lesions were outlined follows from what was found",
        },
    )
    gray = 0.25

    def __post_init__(self):
        self.check_classes()
        self.card.check_columns(self.columns)
        for column in self.columns:
            if column in DESCRIPTORS:
                raise InputError(
                    f"The column '{column}' of BrEaST-Lesions-USG is a radiologist's reading of the same "
                    "picture; set 'descriptors' to true to use all such columns knowingly."
                )

    @property
    def record(self) -> tuple[str, ...]:  # noqa: D102
        return self.columns + (DESCRIPTORS if self.descriptors else ())

    @cached_property
    def _root(self) -> Path:
        return find_folder(self.folder, "BrEaST-Lesions-USG")

    @cached_property
    def _table_file(self) -> Path:
        for pattern in ("clinical-data.csv", "BrEaST-Lesions-USG*clinical*data*.xlsx"):
            found = sorted(self._root.glob(pattern))
            if found:
                return found[0]
        raise InputError(
            f"No clinical table stands in {self._root}; put the data set's "
            "BrEaST-Lesions-USG-clinical-data-*.xlsx (or clinical-data.csv) there."
        )

    @cached_property
    def _table(self) -> pd.DataFrame:
        read = pd.read_csv if self._table_file.suffix == ".csv" else pd.read_excel
        table = read(self._table_file, na_values=MISSING, dtype={"Image_filename": str})
        needed = (*self.record, "Image_filename", "Mask_tumor_filename", "Classification")
        for column in needed:
            if column not in table.columns:
                raise InputError(unknown(f"column in {self._table_file.name}", column, table.columns))
        pictures = self._root / PICTURES
        present = {path.name for path in pictures.glob("case*.png") if "_" not in path.stem}
        listed = set(table["Image_filename"])
        for name in sorted(listed - present):
            raise InputError(
                f"{self._table_file.name} lists {name}, which is not in {pictures}; "
                "restore the image or remove the row."
            )
        for name in sorted(present - listed):
            raise InputError(
                f"The image {pictures / name} has no row in {self._table_file.name}; "
                "add the row or remove the image."
            )
        table["id"] = [Path(name).stem for name in table["Image_filename"]]
        return table[table["Classification"].isin(self.classes)].set_index("id").sort_index()

    @cached_property
    def cases(self) -> pd.DataFrame:  # noqa: D102
        rows = self._table[list(self.record)].copy()
        rows.insert(0, "group", rows.index)  # one picture a patient
        rows["lesion"] = self._table["Classification"]
        return rows

    def files_of(self, case: str) -> tuple[Path, list[Path]]:  # noqa: D102
        row = self._table.loc[case]
        mask = row["Mask_tumor_filename"]
        masks = [] if pd.isna(mask) else [self._root / PICTURES / name for name in mask.split("&")]
        return self._root / PICTURES / row["Image_filename"], masks

    def files(self) -> list[Path]:  # noqa: D102
        return [self._table_file, *super().files()]
