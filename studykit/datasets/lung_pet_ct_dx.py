"""Lung-PET-CT-Dx: CT of patients with lung cancer, with boxes around the tumour and a short clinical record.

Li P, Wang S, Li T, Lu J, HuangFu Y, Wang D. A large-scale CT and PET/CT dataset for lung cancer diagnosis.
The Cancer Imaging Archive 2020. doi:10.7937/TCIA.2020.NNC2-0461
"""

import unicodedata
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pandas as pd

from studykit.case import Modality, Task
from studykit.catalog import InputError, check_choice, unknown
from studykit.datasets.card import Card
from studykit.datasets.dataset import Dataset, find_folder
from studykit.files.dicom import Series, arranged, broken_told, read_header
from studykit.files.places import shown
from studykit.files.tables import read_table
from studykit.files.volume import Volume, fitted, housed, windowed

LETTERS = {"adenocarcinoma": "A", "small cell": "B", "large cell": "E", "squamous": "G"}
NUMBERS = ("Age", "weight (kg)", "Smoking History")
STAGES = ("T-Stage", "N-Stage", "M-Stage")
PATIENTS = ("Lung_Dx-*", "Lung-PET-CT-Dx/Lung_Dx-*", "manifest-*/Lung-PET-CT-Dx/Lung_Dx-*")
SHEETS = ("statistics-clinical*.csv", "statistics-clinical*.xlsx")
BOXES = ("Annotation", "Lung-PET-CT-Dx-Annotations-XML-Files*/Annotation")
LUNG = -850.0  # HU


@dataclass(frozen=True)
class LungPETCTDx(Dataset, name="lung_pet_ct_dx"):
    """The layout of TCIA's download: `Lung_Dx-A0001/<study>/<series>/*.dcm`, perhaps below `manifest-*`.

    Beside it stand the clinical table `statistics-clinical-*.xlsx` (or the same as csv) and, for the
    outlines, the folder `Annotation` with a box for each slice of the tumour
    (`A0001/<SOPInstanceUID>.xml`).

    Of each patient the CT series with most slices is taken, in Hounsfield units. The authors of MMCAF-Net
    also took the longest, but as stored, with slices in the order of the folder, and windows around the
    annotated tumour at test time too; here the whole scan is shown and the boxes are outlines only.

    folder: where it stands; by default `Lung-PET-CT-Dx` in $STUDYKIT_DATA or in data/.
    classes: at least two of adenocarcinoma, small cell, large cell, squamous.
    columns: the record. Columns that read out the label are refused.
    stages: add T, N and M. They were found in the same scans, and some in the operated tissue, so a model
        that uses them is no longer independent of a reader.
    depth, size: slices, and rows and columns. spacing: mm between voxels; 0 fits the whole scan in.
    window: the Hounsfield units stored as 0 and 1.
    """

    folder: str = ""
    classes: tuple[str, ...] = ("adenocarcinoma", "squamous")
    columns: tuple[str, ...] = ("Sex", "Age", "weight (kg)", "Smoking History")
    stages: bool = False
    depth: int = 32
    size: int = 128
    spacing: float = 0.0
    window: tuple[float, float] = (-1000.0, 400.0)

    card = Card(
        title="Lung-PET-CT-Dx, CT of 355 patients with lung cancer, with boxes and a clinical record",
        source="https://www.cancerimagingarchive.net/collection/lung-pet-ct-dx",
        citation="Li et al. The Cancer Imaging Archive 2020, doi:10.7937/TCIA.2020.NNC2-0461",
        licence="CC BY 4.0",
        label="histology, by the letter of the patient's number: A adenocarcinoma (251), B small cell, "
        "E large cell, G squamous (61)",
        group="the patient: one scan each",
        defects=(
            "layout not yet tried on the original files: it follows the publisher's and others' descriptions",
            "the case's number begins with the label's letter: hide it from readers",
            "boxes, no outlines; empty where they were drawn on another series, or on fused pictures",
            "slices of 0.6 to 10 mm; the CT of a PET/CT may show the whole body, the lung then small",
            "T, N and M were found in the same scans (see 'stages')",
        ),
        refused={
            "Histopathological grading": "it is read from the tissue that gives the label",
            "NewPatientID": "its letter is the label",
            "No.": "it counts the rows, and they may be sorted by label",
        },
    )

    def __post_init__(self):
        self.card.check_columns(self.columns)
        for name in self.classes:
            check_choice("class of lung_pet_ct_dx", name, LETTERS)
        if len(set(self.classes)) < max(2, len(self.classes)):
            raise InputError("Lung-PET-CT-Dx needs at least two different 'classes'.")
        for column in self.columns:
            if column in STAGES:
                raise InputError(
                    f"The column '{column}' of Lung-PET-CT-Dx was found in the same scan; set 'stages' to "
                    "true to use T, N and M knowingly."
                )
        if min(self.depth, self.size) < 1 or self.spacing < 0 or len(self.window) != 2:
            raise InputError(
                "Lung-PET-CT-Dx has a 'depth' and 'size' of 1 or more, a 'spacing' of 0 mm or more, and a "
                "'window' of two numbers."
            )

    @property
    def tasks(self) -> tuple[Task, ...]:  # noqa: D102
        kind = "binary" if len(self.classes) == 2 else "multiclass"
        return (Task("histology", kind, self.classes),)

    @property
    def record(self) -> tuple[str, ...]:  # noqa: D102
        return self.columns + (STAGES if self.stages else ())

    @property
    def pictures(self) -> tuple[Modality, ...]:  # noqa: D102
        absent = float(windowed(LUNG, *self.window))
        shape = (1, self.depth, self.size, self.size)
        spacing = (float(self.spacing),) * 3 if self.spacing else ()
        return (Modality("volume", "volume", shape, absent=absent, spacing=spacing),)

    @cached_property
    def _root(self) -> Path:
        return find_folder(self.folder, "Lung-PET-CT-Dx")

    def _first(self, patterns: tuple[str, ...]) -> list[Path]:
        """What the first pattern finds that finds anything."""
        return next((found for pattern in patterns if (found := sorted(self._root.glob(pattern)))), [])

    @cached_property
    def _patients(self) -> dict[str, Path]:
        """{case: folder} of the patients of the chosen classes."""
        letters = {LETTERS[name] for name in self.classes}
        folders = {
            path.name.removeprefix("Lung_Dx-"): path for path in self._first(PATIENTS) if path.is_dir()
        }
        chosen = {case: path for case, path in folders.items() if case[:1] in letters}
        if not chosen:
            raise InputError(
                f"No patient of the classes {', '.join(self.classes)} stands in {self._root}; put the "
                "folders Lung_Dx-A0001, Lung_Dx-G0001, ... there as the NBIA Data Retriever made them."
            )
        return chosen

    @cached_property
    def _sheet_file(self) -> Path:
        found = self._first(SHEETS)
        if not found:
            raise InputError(
                f"No clinical table stands in {self._root}; put statistics-clinical-20201221.xlsx there."
            )
        return found[0]

    @cached_property
    def _sheet(self) -> pd.DataFrame:
        sheet = read_table(self._sheet_file)
        # the publisher's "M-Stage" is written with a wide M
        sheet.columns = [unicodedata.normalize("NFKC", str(column)).strip() for column in sheet.columns]
        for column in ("NewPatientID", *self.record):
            if column not in sheet.columns:
                raise InputError(unknown(f"column in {self._sheet_file.name}", column, sheet.columns))
        sheet = sheet.dropna(subset="NewPatientID").set_index("NewPatientID")
        double = sheet.index[sheet.index.duplicated()]
        if len(double):
            raise InputError(f"{self._sheet_file.name} lists {shown(double[0], 20)} twice; keep one row.")
        return sheet

    @cached_property
    def cases(self) -> pd.DataFrame:  # noqa: D102
        ids = sorted(self._patients)
        if not set(ids) & set(self._sheet.index):
            raise InputError(
                f"No patient of {self._root} stands in {self._sheet_file.name} (NewPatientID like {ids[0]}); "
                "check the table."
            )
        names = {letter: name for name, letter in LETTERS.items()}
        rows = self._sheet[list(self.record)].reindex(ids)
        for column in rows:
            rows[column] = self._numbers(rows[column]) if column in NUMBERS else _words(rows[column])
        rows.insert(0, "group", ids)
        rows["histology"] = [names[case[0]] for case in ids]
        rows.index = pd.Index(ids, name="id", dtype=object)
        return rows

    def _numbers(self, cells: pd.Series) -> pd.Series:
        values = pd.to_numeric(cells, errors="coerce").astype(float)
        for case in cells.index[cells.notna() & ~np.isfinite(values)]:
            raise InputError(
                f"{self._sheet_file.name} gives {case} no number in '{cells.name}'; mend or empty the cell."
            )
        return values

    @cached_property
    def _series(self) -> dict[str, list[Path]]:
        """{case: the files of its CT series with most slices}; an empty list where it has none."""
        chosen = {}
        for case, folder in self._patients.items():
            found: dict[Path, list[Path]] = {}
            for path in sorted(folder.glob("*/*/*.dcm")):
                found.setdefault(path.parent, []).append(path)
            scans = [files for files in found.values() if _is_scan(files[0])]
            chosen[case] = max(scans, key=len, default=[])
        return chosen

    def picture(self, case: str, modality: str = "volume") -> np.ndarray:  # noqa: D102
        files = self._series[case]
        if not files:
            return np.full(self.pictures[0].shape, np.nan, dtype=np.float32)
        series = arranged(files)
        scan = self._fitted(series.values(), series, order=1)
        return windowed(scan, *self.window)[None]

    def mask(self, case: str, modality: str = "volume") -> np.ndarray:
        """The boxes of the annotated slices, (D, H, W) bool; all False where there are none."""
        boxes = {path.stem: path for path in self._boxes(case)}
        if not boxes or not self._series[case]:
            return super().mask(case, modality)
        series = arranged(self._series[case])
        region = np.zeros(series.shape, dtype=np.float32)
        for position, one in enumerate(series.slices):
            if one.uid in boxes:
                for top, bottom, left, right in _rectangles(boxes[one.uid]):
                    region[position, top : bottom + 1, left : right + 1] = 1
        return self._fitted(region, series, order=0) > 0.5

    def _fitted(self, values: np.ndarray, series: Series, order: int) -> np.ndarray:
        values, affine = housed(values, series.affine)
        steps = tuple(np.linalg.norm(affine[:3, :3], axis=0))
        shape = self.pictures[0].shape[1:]
        fill = self.window[0] if order else 0
        return fitted(Volume(values, steps), shape, self.spacing, fill=fill, order=order)

    def _boxes(self, case: str) -> list[Path]:
        return [path for folder in self._first(BOXES) for path in sorted((folder / case).glob("*.xml"))]

    def sources(self, case: str, modality: str = "volume") -> list[Path]:  # noqa: D102
        return [*self._series[case], *self._boxes(case)]

    def files(self) -> list[Path]:  # noqa: D102
        return [self._sheet_file, *super().files()]

    def notes(self) -> list[str]:  # noqa: D102
        said = [
            "Lung-PET-CT-Dx is read as others describe it; studykit was not yet tried on the original files."
        ]
        rowless = [case for case in self.cases.index if case not in self._sheet.index]
        scanless = [case for case, files in self._series.items() if not files]
        if rowless:
            said.append(
                f"{len(rowless)} patients have no row in {self._sheet_file.name}: their record is missing."
            )
        if scanless:
            said.append(f"{len(scanless)} patients have no CT series here: their volume is missing.")
        return said


def _words(cells: pd.Series) -> pd.Series:
    """Words, with 2.0 written as 2."""
    return cells.str.replace(r"^(\d+)\.0$", r"\1", regex=True).astype(object)


def _is_scan(path: Path) -> bool:
    """Whether the series of this slice is a CT with a place in space; colour-mixed ones (ALPHA) are not."""
    header = read_header(path, ["Modality", "SeriesDescription", "ImagePositionPatient", "ImageType"])
    with broken_told(path):
        described = f"{path.parent.name} {header.get('SeriesDescription') or ''}".upper()
        placed = header.get("ImagePositionPatient") and "LOCALIZER" not in (header.get("ImageType") or ())
        return header.get("Modality") == "CT" and bool(placed) and "ALPHA" not in described


def _rectangles(path: Path) -> list[tuple[int, int, int, int]]:
    """The boxes in one annotation: first and last row, first and last column."""
    try:
        found = ElementTree.parse(path).getroot().iter("bndbox")
        boxes = [[int(float(box.findtext(key))) for key in ("ymin", "ymax", "xmin", "xmax")] for box in found]
    except (ElementTree.ParseError, TypeError, ValueError):
        raise InputError(f"The annotation {path} holds no boxes; restore it or take it away.") from None
    return [tuple(max(0, edge) for edge in box) for box in boxes]
