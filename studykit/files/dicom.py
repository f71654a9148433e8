"""DICOM slices put in order: sorted by where they lie in the patient, in the units that they mean.

File names and instance numbers are not looked at. Slices are sorted along the normal of their plane, the
spacing between them is that of their positions, and each slice is rescaled by its own slope and intercept
(DICOM PS3.3 C.7.6.2 image plane, C.11.1 modality LUT, C.7.6.16 multi-frame). What does not fit together
(a gap, two slices in one place, a slice of another size) is told, never mended. Messages name files, never
what stands in their headers.
"""

import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from pydicom.dataset import Dataset as Header
from pydicom.errors import InvalidDicomError
from pydicom.filereader import read_file_meta_info
from pydicom.pixels import apply_modality_lut
from pydicom.uid import DeflatedExplicitVRLittleEndian

from studykit.catalog import InputError

MOST_VOXELS = 2**29  # 2 GiB as float32: a header that claims more is broken, or meant to break us
TO_RAS = np.diag([-1.0, -1.0, 1.0])  # DICOM's mm grow to the left and back, NIfTI's to the right and front
STRAIGHT = [1.0, 0.0, 0.0, 0.0, 1.0, 0.0]  # rows to the patient's left, columns to the back

# Where a multi-frame file keeps what may differ between its frames.
GROUPS = {
    "ImagePositionPatient": "PlanePositionSequence",
    "ImageOrientationPatient": "PlaneOrientationSequence",
    "PixelSpacing": "PixelMeasuresSequence",
    "SliceThickness": "PixelMeasuresSequence",
    "RescaleSlope": "PixelValueTransformationSequence",
    "RescaleIntercept": "PixelValueTransformationSequence",
}


@dataclass(frozen=True)
class Slice:
    """One plane: a file, or one frame of it. Lengths in mm."""

    path: Path
    frame: int
    uid: str
    localizer: bool
    size: tuple[int, int]
    orientation: np.ndarray  # (6,) the directions of a row and of a column
    position: np.ndarray | None  # (3,) of the first pixel; None where the header is silent
    spacing: np.ndarray  # (2,) between rows, between columns
    thickness: float
    slope: float
    intercept: float
    white: int | None  # the value that is white where high values are dark (MONOCHROME1)


@dataclass(frozen=True)
class Series:
    """Slices in order, their pixels not yet read.

    affine: (4, 4), from indices (slice, row, column) to mm that grow to the patient's right, front and head.
    """

    slices: tuple[Slice, ...]
    affine: np.ndarray

    @property
    def shape(self) -> tuple[int, int, int]:
        """Slices, rows, columns."""
        return len(self.slices), *self.slices[0].size

    def values(self) -> np.ndarray:
        """What the pixels mean, (slices, rows, columns) float32: Hounsfield units in CT."""
        values = np.empty(self.shape, dtype=np.float32)
        place = {(one.path, one.frame): position for position, one in enumerate(self.slices)}
        ordered = sorted(self.slices, key=lambda s: (s.path, s.frame))
        for file, frames in groupby(ordered, key=lambda s: s.path):
            pixels = read_pixels(file)
            for one in frames:
                plane = pixels[one.frame] if pixels.ndim == 3 else pixels
                plane = plane if one.white is None else one.white - plane.astype(np.int64)
                with broken_told(file):
                    values[place[file, one.frame]] = plane * one.slope + one.intercept
        return values


def check_voxels(count: int, path: Path) -> None:
    """InputError where a header claims more voxels than any scan has; asked before anything is read."""
    if count > MOST_VOXELS:
        raise InputError(
            f"The header of {path} claims {count:,} voxels, more than the {MOST_VOXELS:,} that are read; "
            "cut the volume or check the file."
        )


def read_series(path: Path, series: str = "") -> Series:
    """The slices of one series, in order: of a folder (not of its subfolders), or of one file.

    series: which one (its SeriesInstanceUID, or the end of it) where the folder holds several.
    Raises InputError, naming the file, for what cannot be read or does not fit together.
    """
    if not path.is_dir():
        return arranged([path])
    files = sorted(f for f in path.iterdir() if f.is_file() and f.name[0] != "." and f.name != "DICOMDIR")
    found: dict[str, list[Path]] = {}
    for file in files:
        header = read_header(file, ["SeriesInstanceUID"])
        with broken_told(file):
            found.setdefault(str(header.get("SeriesInstanceUID", "")), []).append(file)
    if not found:
        raise InputError(f"The folder {path} holds no DICOM file; give the folder with the slices.")
    chosen = [uid for uid in found if uid.endswith(series)]
    if len(chosen) != 1:
        asked = f", {len(chosen)} of them ending in {series}" if series else ""
        listed = ", ".join(f"{len(files)} files as {files[0].name}" for files in found.values())
        raise InputError(
            f"The folder {path} holds {len(found)} series{asked} ({listed}); give each a folder of its own."
        )
    return arranged(found[chosen[0]])


def arranged(files: Iterable[Path]) -> Series:
    """The slices in `files`, along the normal of their plane; InputError where they do not fit together."""
    slices = [one for file in files for one in slices_of(file)]
    first = slices[0]
    check_voxels(len(slices) * first.size[0] * first.size[1], first.path.parent)
    _check_alike(slices)
    slices, step = _in_order(slices)
    affine = np.eye(4)
    affine[:3, 0] = TO_RAS @ step
    affine[:3, 1] = TO_RAS @ (first.orientation[3:] * first.spacing[0])
    affine[:3, 2] = TO_RAS @ (first.orientation[:3] * first.spacing[1])
    if slices[0].position is not None:
        affine[:3, 3] = TO_RAS @ slices[0].position
    return Series(tuple(slices), affine)


def read_header(path: Path, keywords: list[str] | None = None) -> Header:
    """What stands before the pixels; InputError where `path` is no DICOM file."""
    with broken_told(path):
        if read_file_meta_info(path).get("TransferSyntaxUID") == DeflatedExplicitVRLittleEndian:
            raise InputError(
                f"{path} is deflated as a whole; store it uncompressed (dcmconv +te) and try again."
            )
        return pydicom.dcmread(path, stop_before_pixels=True, specific_tags=keywords)


def read_pixels(path: Path) -> np.ndarray:
    """The pixels as stored (where the header has a table for them, what it says): (rows, columns).

    Frames stand before, colours behind. Raises InputError for what is broken or needs another decoder.
    """
    with broken_told(path):
        header = pydicom.dcmread(path)
        try:
            pixels = header.pixel_array
        except (RuntimeError, NotImplementedError):
            syntax = header.file_meta.TransferSyntaxUID
            if not syntax.is_compressed:
                raise
            raise InputError(
                f"{path} is compressed ({syntax.name}) and nothing here decodes it; install 'pylibjpeg[all]' "
                "beside studykit, or store the file uncompressed."
            ) from None
        return apply_modality_lut(pixels, header) if "ModalityLUTSequence" in header else pixels


def slices_of(path: Path) -> list[Slice]:
    """The planes in one file, without their pixels."""
    header = read_header(path)
    with broken_told(path):
        if not header.get("Rows") or not header.get("Columns"):
            raise InputError(f"{path} is a DICOM file without a picture; take it out of the folder.")
        if header.get("SamplesPerPixel", 1) != 1 or header.PhotometricInterpretation == "PALETTE COLOR":
            raise InputError(f"{path} is a colour picture; a volume has one number a voxel.")
        count = int(header.get("NumberOfFrames") or 1)
        check_voxels(count * header.Rows * header.Columns, path)
        slices = [_slice(header, path, frame) for frame in range(count)]
        if not all(_sound(one) for one in slices):
            raise InputError(
                f"The header of {path} gives no usable spacing, position or scale; replace the file."
            )
    return slices


def _sound(one: Slice) -> bool:
    """Whether all numbers are there and make sense."""
    numbers = [*one.orientation, *one.spacing, one.thickness, one.slope, one.intercept]
    numbers += [] if one.position is None else [*one.position]
    directions = one.orientation.reshape(2, 3)
    return (
        np.isfinite(numbers).all()
        and one.spacing.shape == (2,)
        and one.spacing.min() > 0
        and one.slope != 0
        and (one.position is None or one.position.shape == (3,))
        and np.allclose(directions @ directions.T, np.eye(2), atol=1e-2)
    )


def _slice(header: Header, path: Path, frame: int) -> Slice:
    placed = "PerFrameFunctionalGroupsSequence" in header or not frame
    position = _value(header, frame, "ImagePositionPatient") if placed else None
    spacing = _value(header, frame, "PixelSpacing") or header.get("ImagerPixelSpacing")
    slope = _value(header, frame, "RescaleSlope")
    return Slice(
        path,
        frame,
        str(header.get("SOPInstanceUID", "")),
        "LOCALIZER" in (header.get("ImageType") or ()),
        (int(header.Rows), int(header.Columns)),
        np.array(_value(header, frame, "ImageOrientationPatient") or STRAIGHT, dtype=float),
        np.array(position, dtype=float) if position else None,
        np.array(spacing or (1, 1), dtype=float),  # a single picture may not say how large it is
        float(_value(header, frame, "SliceThickness") or 1),
        float(1 if slope is None else slope),
        float(_value(header, frame, "RescaleIntercept") or 0),
        white_of(header),
    )


def white_of(header: Header) -> int | None:
    """The pixel value that is white where high values are dark, as in some X-rays; else None."""
    if header.PhotometricInterpretation != "MONOCHROME1" or "ModalityLUTSequence" in header:
        return None
    return -1 if header.PixelRepresentation else 2**header.BitsStored - 1


def _value(header: Header, frame: int, keyword: str) -> Any:
    """What a header says of one frame: in the frame's own groups, in those of all frames, or at the top."""
    own, shared = (header.get(f"{name}FunctionalGroupsSequence") for name in ("PerFrame", "Shared"))
    for groups in (own[frame] if own else None, shared[0] if shared else None):
        items = groups.get(GROUPS[keyword]) if groups is not None else None
        if items and keyword in items[0]:
            return items[0].get(keyword)
    return header.get(keyword)


def _check_alike(slices: list[Slice]) -> None:
    """InputError naming the slice that is not of the others' kind (the others are the most)."""
    if len(slices) == 1:
        return
    kinds = {
        "size in pixels": lambda s: np.array(s.size, dtype=float),
        "pixel spacing": lambda s: s.spacing,
        "orientation": lambda s: s.orientation,
    }
    for one in slices:
        if one.localizer:
            raise InputError(f"{one.path} is a localizer, no slice; take it out of the folder.")
        if one.position is None:
            raise InputError(
                f"{one.path} does not say where its slices lie (a film?); volumes need positions."
            )
    for what, of in kinds.items():
        values = np.array([of(one) for one in slices])
        odd = np.abs(values - np.median(values, axis=0)).max(axis=1) > 1e-3
        if odd.any():
            raise InputError(
                f"{slices[int(odd.argmax())].path} has another {what} than the other slices of its series; "
                "give it a folder of its own."
            )


def _in_order(slices: list[Slice]) -> tuple[list[Slice], np.ndarray]:
    """The slices along their normal, and the mm from one to the next (3,).

    Raises InputError for gaps, for two slices in one place and for slices that lie beside the others' line.
    """
    first = slices[0].orientation
    normal = np.cross(first[:3], first[3:])
    if len(slices) == 1:
        return slices, normal * slices[0].thickness
    slices = sorted(slices, key=lambda s: float(s.position @ normal))
    places = np.array([one.position for one in slices])
    gaps = np.diff(places @ normal)
    usual = float(np.median(gaps))
    for gap, here, there in zip(gaps, slices, slices[1:]):
        where = f"{here.path}" + (f" (frame {here.frame + 1})" if here.frame else "")
        if gap < 1e-2:
            raise InputError(
                f"{where} and {there.path} lie at the same place; keep one of the two acquisitions."
            )
        if abs(gap - usual) > 0.1 * usual:
            raise InputError(
                f"Between {where} and {there.path} lie {gap:.2f} mm, between the others {usual:.2f} mm; "
                "restore the missing slice, or give each evenly spaced part its own folder."
            )
    step = (places[-1] - places[0]) / (len(slices) - 1)
    beside = np.linalg.norm(places - places[0] - np.arange(len(slices))[:, None] * step, axis=1)
    if beside.max() > usual / 2:
        raise InputError(
            f"{slices[int(beside.argmax())].path} lies beside the line of the other slices; check it."
        )
    return slices, step


@contextmanager
def broken_told(path: Path) -> Iterator[None]:
    """What pydicom raises over a broken file, as an InputError; values of tags are repeated nowhere."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except (InputError, MemoryError):
        raise
    except InvalidDicomError:
        raise InputError(f"{path} is no DICOM file; take it out or replace it.") from None
    except Exception as why:  # a broken header can make pydicom fail in any way
        raise InputError(
            f"{path} cannot be read ({type(why).__name__}): it may be broken or cut off; replace the file."
        ) from None
