"""Volumes in one orientation and in millimetres, whatever file they come from, and fitted into a fixed shape.

A volume is (D, H, W): slices from feet to head, rows from front to back, columns from the patient's right to
the left, so that a slice looks as radiologists are used to. `read_volume` is the one door: NIfTI files, a
folder with the slices of one DICOM series, or one DICOM file. Values are what the file means (Hounsfield
units in CT), not what it stores. A grid that stands oblique to the body keeps its voxels: its axes are named
after the body's nearest ones and `tilt` says by how much they miss; slices of a tilted gantry stay shifted.
"""

import math
from dataclasses import dataclass, field
from pathlib import Path

import nibabel
import numpy as np
from nibabel import orientations

from studykit.catalog import InputError, check_choice
from studykit.files.dicom import check_voxels, read_series

HOUSE = orientations.axcodes2ornt(("S", "P", "L"))  # where D, H and W lead: head, back, the patient's left


@dataclass(frozen=True)
class Volume:
    """values: (D, H, W) float32. spacing: mm between voxels along D, H and W.

    tilt: degrees between the grid and the body's axes; 0 where slices stand straight.
    affine: (4, 4), from the indices of `values` to mm that grow to the patient's right, front and head; None
        for a volume that was not read from a file.
    """

    values: np.ndarray
    spacing: tuple[float, float, float]
    tilt: float = 0.0
    affine: np.ndarray | None = field(default=None, compare=False, repr=False)


def read_volume(path: Path | str, series: str = "") -> Volume:
    """The volume in `path`; outlines are read alike.

    series: the SeriesInstanceUID (or its end) to read of a folder that holds several.
    Raises InputError, naming the file, for what cannot be read or is no volume.
    """
    path = Path(path)
    if not path.exists():
        raise InputError(f"The file {path} is missing; restore it or remove its case.")
    if path.is_file() and path.name.lower().endswith((".nii", ".nii.gz")):
        values, affine = _read_nifti(path)
    else:
        read = read_series(path, series)
        values, affine = read.values(), read.affine
    if not np.isfinite(values).all():
        raise InputError(f"{path} holds voxels that are no number; put what stands for air in their place.")
    values, affine = housed(values, affine)
    spacing = tuple(float(step) for step in np.linalg.norm(affine[:3, :3], axis=0))
    return Volume(values, spacing, tilt(affine), affine)


def housed(values: np.ndarray, affine: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A grid turned to feet-head, front-back, right-left without resampling: values (D, H, W) and its affine.

    affine: (4, 4), from the grid's indices to mm that grow to the patient's right, front and head (NIfTI).
    """
    turn = orientations.ornt_transform(orientations.io_orientation(affine), HOUSE)
    turned = np.ascontiguousarray(orientations.apply_orientation(values, turn))
    return turned, affine @ orientations.inv_ornt_aff(turn, values.shape)


def apart(one: Volume, other: Volume) -> float:
    """The largest distance, in voxels of `one`, between the same corner of two grids of the same shape.

    Both were read from files.
    """
    ends = np.array([*np.ndindex(2, 2, 2)]) * (np.array(one.values.shape) - 1)
    corners = np.column_stack([ends, np.ones(8)])
    seen = corners @ (np.linalg.inv(one.affine) @ other.affine).T  # those of `other` on the grid of `one`
    return float(np.linalg.norm((seen - corners)[:, :3], axis=1).max())


def tilt(affine: np.ndarray) -> float:
    """The largest angle in degrees between an axis of a housed grid and the body's axis it is named after."""
    axes = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
    along = np.abs([axes[2, 0], axes[1, 1], axes[0, 2]])
    return float(np.degrees(np.arccos(np.clip(along, 0, 1))).max())


def fitted(
    volume: Volume,
    shape: tuple[int, int, int],
    spacing: float | tuple[float, float, float] = 0.0,
    fill: float = 0.0,
    order: int = 1,
) -> np.ndarray:
    """The volume in a grid of `shape`, (D, H, W) float32; both middles coincide.

    spacing: mm between the new voxels, one number or three; what then lies outside of `shape` is cut off and
        what is missing is `fill`. 0: the whole volume is scaled into `shape`: rows and columns by one factor,
        so that a slice keeps its proportions, slices by their own.
    order: 1 for pictures (linear between neighbours; where voxels grow, the weighted mean of what a new one
        covers), 0 for outlines (the nearest voxel).
    """
    check_choice("order of interpolation", order, (0, 1))
    steps = _steps(volume, shape, spacing)
    weights = [
        _weights(n, old, m, new, order)
        for n, old, m, new in zip(volume.values.shape, volume.spacing, shape, steps, strict=True)
    ]
    along_d, along_h, along_w = weights
    values = np.asarray(volume.values, dtype=np.float32) @ along_w.T  # (D, H, W')
    values = along_h @ values  # (D, H', W')
    values = np.tensordot(along_d, values, axes=1)  # (D', H', W')
    covered = [rows.any(axis=1) for rows in weights]
    return np.where(covered[0][:, None, None] & covered[1][:, None] & covered[2], values, np.float32(fill))


def windowed(values: np.ndarray, low: float, high: float) -> np.ndarray:
    """Values from `low` to `high` as [0, 1] float32; what lies beyond is cut off."""
    if not high > low:
        raise InputError(f"A window runs from a low to a higher value, not from {low:g} to {high:g}.")
    return np.clip((np.asarray(values, dtype=np.float32) - low) / (high - low), 0, 1).astype(np.float32)


def _steps(volume: Volume, shape: tuple[int, ...], spacing: float | tuple[float, ...]) -> list[float]:
    """The new grid's mm between voxels along D, H and W."""
    asked = [float(step) for step in (spacing if isinstance(spacing, tuple | list) else [spacing] * 3)]
    if len(shape) != 3 or min(shape) < 1 or len(asked) != 3 or min(asked) < 0:
        raise InputError(f"A volume is fitted into three sides at three spacings, not {shape} at {spacing}.")
    if all(asked):
        return asked
    if any(asked):
        raise InputError(f"The spacing {spacing} is 0 along some axes only; give all three in mm, or 0.")
    whole = [n * step / m for n, step, m in zip(volume.values.shape, volume.spacing, shape, strict=True)]
    return [whole[0], max(whole[1:]), max(whole[1:])]


def _weights(n: int, old: float, m: int, new: float, order: int) -> np.ndarray:
    """How much each of n voxels counts for each of m new ones on the same line: (m, n); nothing outside.

    old, new: mm between voxels. The weights of a new voxel fall off linearly over the larger of both.
    """
    at = (np.arange(n) - (n - 1) / 2) * old
    wanted = (np.arange(m) - (m - 1) / 2) * new
    distance = np.abs(wanted[:, None] - at)  # mm
    if order:
        weights = np.clip(1 - distance / max(old, new), 0, None)
    else:
        weights = (np.arange(n) == distance.argmin(axis=1)[:, None]).astype(float)
    weights[np.abs(wanted) > n * old / 2] = 0
    total = weights.sum(axis=1, keepdims=True)
    return np.divide(weights, total, out=weights, where=total > 0).astype(np.float32)


def _read_nifti(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """The values (float32) and affine of a NIfTI file with one volume."""
    try:
        image = nibabel.load(path)
        shape = image.shape
        check_voxels(math.prod(shape), path)
        if len(shape) < 3 or math.prod(shape[3:]) != 1 or min(shape) < 1:
            raise InputError(
                f"{path} is {'x'.join(map(str, shape))}, no single volume; store one of three axes a file."
            )
        if image.get_data_dtype().kind not in "iuf":
            raise InputError(f"{path} holds colours or complex numbers; store one number a voxel.")
        with np.errstate(all="ignore"):  # what is no number afterwards is told
            values = image.get_fdata(dtype=np.float32, caching="unchanged").reshape(shape[:3])
    except (InputError, MemoryError):
        raise
    except Exception as why:  # a broken header can make nibabel fail in any way
        raise InputError(
            f"The volume {path} cannot be read ({why}); replace the file or remove its case."
        ) from None
    affine = image.affine
    sizes = np.linalg.norm(affine[:3, :3], axis=0)
    sound = np.isfinite(affine).all() and sizes.min() > 1e-6 and sizes.max() < 1e6
    if not sound or abs(np.linalg.det(affine[:3, :3] / sizes)) < 1e-2:  # three axes, not two
        raise InputError(f"The header of {path} does not say how large its voxels are and where; mend it.")
    return values, affine
