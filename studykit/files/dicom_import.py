"""A folder of DICOM files as a data set without names: volumes, pictures and a table of cases.

What leaves is built anew from what may leave (`personal.py`), never copied and cleaned: voxels, their size
and place in mm, and a handful of attributes. Patients, studies and cases are named by keyed hashes. What
cannot be seen in a header stays the person's task: text burned into pixels that the file is silent about,
and faces that a head scan shows; the sentences say where to look.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import nibabel
import numpy as np
import pandas as pd
from PIL import Image
from pydicom.datadict import tag_for_keyword
from pydicom.dataset import Dataset as Header
from pydicom.misc import is_dicom
from pydicom.pixels import apply_color_lut
from pydicom.uid import UID

from studykit.catalog import InputError
from studykit.files.dicom import arranged, broken_told, check_voxels, read_header, read_pixels
from studykit.files.personal import kept, pseudonym, secret_key
from studykit.files.volume import housed, tilt, windowed
from studykit.whole import whole_folder

SCREENSHOT = "1.2.840.10008.5.1.4.1.1.7"  # secondary capture: screens, dose reports, scanned paper
ENHANCED_US = "1.2.840.10008.5.1.4.1.1.6.2"  # the one picture whose kind is not called an image
LABELLED = ("US", "XA", "RF", "OT")  # whose devices often burn names into the picture
NEEDED = [
    *("PatientID", "StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "SOPClassUID", "Rows"),
    *("BurnedInAnnotation", "ImagePositionPatient", "PerFrameFunctionalGroupsSequence", "NumberOfFrames"),
    *("ImageType", "Modality"),
]


@dataclass(frozen=True)
class File:
    """What sorts a file with a picture: whose, of which study and series, and of what kind it is."""

    path: Path
    patient: str
    study: str
    series: str
    number: str
    screenshot: bool
    burned: str  # YES, NO, or nothing said
    labelled: bool  # from a device that often burns names in
    localizer: bool
    flat: bool  # a single picture without a place in space


@dataclass
class Told:
    """What is told at the end rather than for each file."""

    volumes: int = 0
    images: int = 0
    refused: int = 0
    strangers: int = 0  # no DICOM files
    pictureless: int = 0
    nameless: int = 0  # series without a patient's number
    silent: int = 0  # pictures that may have text burned in
    heads: int = 0
    oblique: int = 0


def import_dicom(source: Path, out: Path, salt: Path, tell: Callable[[str], object] = print) -> pd.DataFrame:
    """Write the volumes and pictures under `source` and their table to the new folder `out`.

    A series with places in space becomes `volumes/ID.nii.gz` (in its units, Hounsfield in CT), a single
    picture `images/ID.png` (8 bit, in its file's window); `cases.csv` has a row for each: id, patient, study,
    volume, image and the attributes that may leave (`personal.KEPT`). Links are not followed. A series that
    cannot be read, or with text burned in, is left out with a sentence, and so is a file that is cut off or
    deflated, with its series where its header still names it. Segmentations, doses and maps are no pictures.
    `out` is written whole or not at all, for its owner alone to open.
    salt: the file with the key for the names, outside of `out`; made where there is none.
    tell: is given a sentence at a time. The sentences name files as they lie there, and no value of a tag.
    Returns the table. Raises InputError where nothing could be imported or a place cannot serve.
    """
    source, out, salt = Path(source), Path(out), Path(salt)
    _check_places(source, out, salt)
    key, told = secret_key(salt), Told()
    found, broken = _found(source, told, tell)
    rows: list[dict[str, object]] = []
    with whole_folder(out) as folder:
        folder.chmod(0o700)
        (folder / "volumes").mkdir()
        (folder / "images").mkdir()
        for series, files in found.items():
            try:
                if series in broken:
                    raise InputError(f"{broken[series]} of it was left out, so it is not whole.")
                rows += _imported(files, folder, key, told)
            except InputError as why:
                told.refused += 1
                tell(f"A series was left out. {why}")
        if not rows:
            raise InputError(f"No picture under {source} could be imported, so {out} was not written.")
        table = pd.DataFrame(rows).set_index("id").sort_index()
        table = table.dropna(axis="columns", how="all").convert_dtypes()
        table.to_csv(folder / "cases.csv")
        for empty in ("volumes", "images"):
            if not any((folder / empty).iterdir()):
                (folder / empty).rmdir()
    _summarise(told, table, out, tell)
    return table


def _check_places(source: Path, out: Path, salt: Path) -> None:
    """InputError where the three places are in each other's way."""
    if not source.is_dir():
        raise InputError(f"The folder {source} is missing; give the folder with the DICOM files.")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(f"{out} exists already; give a new folder to write to.")
    inner, outer = source.resolve(), out.resolve()
    if inner.is_relative_to(outer) or outer.is_relative_to(inner):
        raise InputError(f"{out} and {source} lie in each other; write to a folder beside the DICOM files.")
    if salt.resolve().is_relative_to(outer):
        raise InputError(
            f"The salt file {salt} would lie in {out}, with the data it protects; keep it elsewhere."
        )


def _found(
    source: Path, told: Told, tell: Callable[[str], object]
) -> tuple[dict[str, list[File]], dict[str, Path]]:
    """The files with pictures, by series, and of each series that lost files one that is broken."""
    found: dict[str, list[File]] = {}
    broken: dict[str, Path] = {}
    for folder, folders, names in os.walk(source, followlinks=False):
        folders.sort()
        told.strangers += sum((Path(folder) / name).is_symlink() for name in folders)
        for path in (Path(folder) / name for name in sorted(names)):
            try:
                if path.is_symlink() or not path.is_file() or not _dicom(path):
                    told.strangers += 1
                elif (file := _sorted_in(path)) is None:
                    told.pictureless += 1
                else:
                    found.setdefault(file.series, []).append(file)
            except InputError as why:
                series = _series_of(path)
                broken.setdefault(series, path)
                unsure = "" if series else " Its series is not known: a volume written here may lack a slice."
                tell(f"A file was left out. {why}{unsure}")
    broken.pop("", None)
    told.refused += len(broken.keys() - found.keys())
    return found, broken


def _series_of(path: Path) -> str:
    """The series that a broken file belongs to; empty where its header ends before that is surely whole."""
    try:
        header = read_header(path)
        with broken_told(path):
            whole = max(header.keys()) > tag_for_keyword("SeriesInstanceUID")
            return str(header.get("SeriesInstanceUID") or "") if whole else ""
    except InputError:
        return ""


def _sorted_in(path: Path) -> File | None:
    """What sorts a file; None where it is of a kind without picture. InputError where it should have one."""
    header = read_header(path, NEEDED)
    with broken_told(path):
        kind = header.get("SOPClassUID") or header.file_meta.get("MediaStorageSOPClassUID")
        name = "" if kind is None else UID(kind).name
        image = kind in (None, ENHANCED_US) or "Image Storage" in name
        if not header.get("Rows"):
            if image:
                raise InputError(f"{path} is cut off before its picture; replace it, or remove it knowingly.")
            return None
        if not image and name != kind:  # of a maker's own kinds, whose name is their number, nobody knows
            return None
        placed = header.get("ImagePositionPatient") or "PerFrameFunctionalGroupsSequence" in header
        return File(
            path,
            str(header.get("PatientID") or "").strip(),
            str(header.get("StudyInstanceUID") or ""),
            str(header.get("SeriesInstanceUID") or ""),
            str(header.get("SOPInstanceUID") or ""),
            screenshot=str(kind).startswith(SCREENSHOT),
            burned=str(header.get("BurnedInAnnotation") or "").strip().upper(),
            labelled=header.get("Modality") in LABELLED,
            localizer="LOCALIZER" in (header.get("ImageType") or ()),
            flat=not placed and int(header.get("NumberOfFrames") or 1) == 1,
        )


def _dicom(path: Path) -> bool:
    try:
        return is_dicom(path)
    except OSError as why:
        raise InputError(
            f"{path} cannot be read ({why.strerror}); change its rights or take it out."
        ) from None


def _imported(files: list[File], folder: Path, key: str, told: Told) -> list[dict[str, object]]:
    """The rows of one series, its pictures written under `folder`; InputError where it is refused."""
    _check_series(files)
    first = files[0]
    shared = {
        "patient": pseudonym(key, "patient", first.patient or first.study),
        "study": pseudonym(key, "study", first.study),
        "volume": None,
        "image": None,
    }
    rows = []
    if all(file.flat for file in files):
        pictures = {}
        for file in files:
            case = pseudonym(key, "case", file.number)
            name = f"images/{case}.png"
            if name in pictures or (folder / name).exists():
                raise InputError(f"{file.path} has the number of another picture; keep one of the two.")
            pictures[name] = _picture(file.path)
            rows.append({"id": case, **shared, "image": name, **_attributes(file.path)})
        for name, picture in pictures.items():  # all of a series or none
            picture.save(folder / name)
        told.images += len(rows)
    else:
        case = pseudonym(key, "case", first.series)
        name = f"volumes/{case}.nii.gz"
        rows.append({"id": case, **shared, "volume": name, **_attributes(first.path)})
        slant = _write_volume([file.path for file in files], folder / name)
        told.volumes += 1
        told.oblique += slant > 1
        told.heads += rows[0]["BodyPartExamined"] in ("HEAD", "BRAIN", "SKULL")
    told.nameless += not first.patient
    told.silent += sum(file.labelled and not file.burned for file in files)
    return rows


def _check_series(files: list[File]) -> None:
    """InputError, naming a file, for a series that must not or cannot leave."""
    for file in files:
        if file.burned == "YES":
            raise InputError(
                f"{file.path} says that text is burned into its picture; nothing of its series was written."
            )
        if file.screenshot and file.burned != "NO":
            raise InputError(f"{file.path} is a screenshot or scanned paper, in which names often stand.")
        if file.localizer:
            raise InputError(f"{file.path} is a localizer; if slices stand in its series, take it out.")
        if not file.series or not file.number or not file.study:
            raise InputError(f"{file.path} does not say to which series it belongs; export it anew.")
    if len({(file.patient, file.study) for file in files}) > 1:
        raise InputError(f"{files[0].path} and others of its series name different patients or studies.")


def _attributes(path: Path) -> dict[str, object]:
    header = read_header(path)
    with broken_told(path):
        return kept(header)


def _write_volume(paths: list[Path], target: Path) -> float:
    """Write a series as NIfTI; returns by how many degrees it is oblique to the body."""
    series = arranged(paths)
    values, affine = housed(series.values(), series.affine)
    whole = np.array_equal(values, np.rint(values)) and np.abs(values).max() < 2**15
    image = nibabel.Nifti1Image(values.astype(np.int16) if whole else values, affine)
    image.header.set_xyzt_units("mm")
    nibabel.save(image, target)
    return tilt(affine)


def _picture(path: Path) -> Image.Image:
    """A single picture as a screen shows it: 8 bit, gray or colour."""
    header = read_header(path)
    with broken_told(path):
        check_voxels(header.Rows * header.Columns, path)
    pixels = read_pixels(path)
    with broken_told(path):
        if header.PhotometricInterpretation == "PALETTE COLOR":
            pixels = apply_color_lut(pixels, header)
            return Image.fromarray((pixels >> (8 * (pixels.dtype.itemsize - 1))).astype(np.uint8))
        if pixels.ndim == 3:
            return Image.fromarray((pixels >> max(0, header.BitsStored - 8)).astype(np.uint8))
        values = pixels * float(header.get("RescaleSlope") or 1) + float(header.get("RescaleIntercept") or 0)
        gray = windowed(values, *_window(header, values))
        gray = gray if header.PhotometricInterpretation != "MONOCHROME1" else 1 - gray
        return Image.fromarray(np.rint(255 * gray).astype(np.uint8))


def _window(header: Header, values: np.ndarray) -> tuple[float, float]:
    """The values shown as black and white: of the file's first linear window, else its lowest and highest."""
    center, width = (header.get(f"Window{part}") for part in ("Center", "Width"))
    if center is None or width is None:
        low = float(values.min())
        return low, max(float(values.max()), low + 1)
    center, width = (float(np.atleast_1d(number)[0]) for number in (center, width))
    half = max(width - 1, 1e-3) / 2  # DICOM PS3.3 C.11.2.1.2
    return center - 0.5 - half, center - 0.5 + half


def _summarise(told: Told, table: pd.DataFrame, out: Path, tell: Callable[[str], object]) -> None:
    patients = table["patient"].nunique()
    tell(
        f"{out} holds volumes: {told.volumes}, pictures: {told.images}, patients: {patients}; "
        f"series left out: {told.refused}. Write a column 'label' into its cases.csv to use it as own_folder."
    )
    for count, sentence in (
        (told.strangers, "Left out as links or no DICOM files: {}."),
        (told.pictureless, "Left out as DICOM files without a picture (reports, doses, outlines): {}."),
        (told.nameless, "Series that name no patient, so that their study stands for one: {}."),
        (told.silent, "Pictures of devices that often burn names in, and that do not say: {}; look at each."),
        (told.heads, "Volumes of heads, from which a face can be drawn: {}; do not pass them on."),
        (told.oblique, "Volumes more than 1 degree oblique, named after the body's nearest axes: {}."),
    ):
        if count:
            tell(sentence.format(count))
