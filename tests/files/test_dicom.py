import shutil
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.data import get_testdata_file

from files import dicom_files
from files.dicom_files import ramp
from studykit.catalog import InputError
from studykit.files.volume import read_volume

SAGITTAL = (0, 1, 0, 0, 0, -1)  # rows to the back, columns to the feet
CORONAL = (1, 0, 0, 0, 0, -1)


def places(volume_shape, spacing):
    """What `linear` in the patient's L, P, S mm gives in the house's order, one voxel at a time."""
    values = np.empty(volume_shape)
    for d, h, w in np.ndindex(*volume_shape):
        values[d, h, w] = 100 * d * spacing[0] + 10 * h * spacing[1] + w * spacing[2]
    return values


def planes(orientation, count, rows, columns, spacing, origin, step):
    """The same numbers as a scanner with that orientation would store them."""
    row, column = np.array(orientation[:3]), np.array(orientation[3:])
    values = np.empty((count, rows, columns))
    for n, r, c in np.ndindex(*values.shape):
        x, y, z = np.array(origin) + n * np.array(step) + r * spacing[0] * column + c * spacing[1] * row
        values[n, r, c] = 100 * z + 10 * y + x
    return values


def test_slices_are_sorted_by_place_whatever_their_names_and_numbers(tmp_path):
    names = [f"{name}.dcm" for name in ("f", "b", "e", "a", "c")]
    volume = read_volume(dicom_files.series(tmp_path / "mixed", ramp(), names=names))
    assert np.array_equal(volume.values, ramp())
    assert volume.spacing == pytest.approx((2.0, 0.5, 0.5)) and volume.tilt < 1e-4
    upside = read_volume(dicom_files.series(tmp_path / "down", ramp(), step=(0, 0, -2.0)))
    assert np.array_equal(upside.values, ramp()[::-1])


@pytest.mark.parametrize(
    ("orientation", "shape", "step", "origin"),
    [
        (dicom_files.AXIAL, (3, 4, 5), (0, 0, 2.0), (0, 0, 0)),
        (dicom_files.AXIAL, (3, 4, 5), (0, 0, -2.0), (0, 0, 4.0)),
        (SAGITTAL, (5, 3, 4), (0.5, 0, 0), (0, 0, 4.0)),
        (SAGITTAL, (5, 3, 4), (-0.5, 0, 0), (2.0, 0, 4.0)),
        (CORONAL, (4, 3, 5), (0, 1.0, 0), (0, 0, 4.0)),
        ((-1, 0, 0, 0, -1, 0), (3, 4, 5), (0, 0, 2.0), (2.0, 3.0, 0)),  # lying on the belly
    ],
)
def test_every_plane_of_the_scanner_ends_in_the_same_orientation(tmp_path, orientation, shape, step, origin):
    mm = {"x": 0.5, "y": 1.0, "z": 2.0}
    row, column = (int(np.argmax(np.abs(part))) for part in (orientation[:3], orientation[3:]))
    spacing = ("xyz"[column], "xyz"[row])
    spacing = (mm[spacing[0]], mm[spacing[1]])
    values = planes(orientation, *shape, spacing, origin, step)
    folder = dicom_files.series(
        tmp_path / "s", values, (0, *spacing), orientation, np.array(origin, float), slope=0.5, step=step
    )
    volume = read_volume(folder)
    assert volume.spacing == pytest.approx((2.0, 1.0, 0.5))
    assert np.allclose(volume.values, places((3, 4, 5), (2.0, 1.0, 0.5)))


def test_each_slice_has_its_own_slope_and_intercept(tmp_path):
    values = np.round(ramp(), 0)
    folder = tmp_path / "s"
    for number, (slope, intercept) in enumerate(
        [(1.0, -1024.0), (0.5, -700.0), (1.0, 0.0), (0.25, 10.0), (2.0, -4.0)]
    ):
        one = dicom_files.series(tmp_path / f"of{number}", values, slope=slope, intercept=intercept)
        folder.mkdir(exist_ok=True)
        shutil.copy(one / f"1-{number + 1:03d}.dcm", folder / f"{number}.dcm")
    assert np.abs(read_volume(folder).values - values).max() <= 1  # a slope of 2 stores no odd numbers
    assert np.array_equal(read_volume(folder).values[:4], values[:4])


def test_dicom_and_nifti_of_one_object_give_one_volume(tmp_path):
    values = ramp((4, 6, 7))
    origin, spacing = np.array([-10.0, -20.0, 30.0]), (2.5, 0.8, 0.6)
    scan = read_volume(dicom_files.series(tmp_path / "s", values, spacing, origin=origin))
    affine = np.array([
        [-spacing[2], 0, 0, -origin[0]],
        [0, -spacing[1], 0, -origin[1]],
        [0, 0, spacing[0], origin[2]],
        [0, 0, 0, 1],
    ])  # fmt: skip
    file = dicom_files.nifti(tmp_path / "v.nii.gz", values.transpose(2, 1, 0).astype(np.int16), affine)
    same = read_volume(file)
    assert np.array_equal(same.values, scan.values) and same.spacing == pytest.approx(scan.spacing)


def test_a_multiframe_file_is_sorted_and_rescaled_frame_by_frame(tmp_path):
    whole = dicom_files.multiframe(
        tmp_path / "m.dcm", ramp(), order=[3, 0, 4, 1, 2], intercepts=[-1024, 0, 5, -3, 8]
    )
    volume = read_volume(whole)
    assert np.array_equal(volume.values, ramp()) and volume.spacing == pytest.approx((2.0, 0.5, 0.5))


def test_a_film_is_no_volume(tmp_path):
    film = dicom_files.picture(tmp_path / "film.dcm", np.zeros((4, 5, 6), np.uint8))
    with pytest.raises(InputError, match=r"film\.dcm does not say where its slices lie \(a film\?\)"):
        read_volume(film)


def test_a_single_picture_is_a_volume_of_one_slice_and_dark_is_low(tmp_path):
    pixels = np.arange(12, dtype=np.uint16).reshape(3, 4)
    volume = read_volume(dicom_files.picture(tmp_path / "x.dcm", pixels, ImagerPixelSpacing=[0.2, 0.3]))
    assert np.array_equal(volume.values, pixels[None]) and volume.spacing == pytest.approx((1.0, 0.2, 0.3))
    alone = read_volume(dicom_files.series(tmp_path / "s", ramp((1, 6, 7)), SliceThickness=5.0))
    assert alone.spacing == pytest.approx((5.0, 0.5, 0.5))  # it has nothing else to go by
    negative = dicom_files.picture(
        tmp_path / "n.dcm", pixels, PhotometricInterpretation="MONOCHROME1", BitsStored=12, HighBit=11
    )
    assert np.array_equal(read_volume(negative).values, 4095.0 - pixels[None])


def test_a_tilted_gantry_is_told(tmp_path):
    angle = np.radians(15)
    tilted = (1, 0, 0, 0, np.cos(angle), np.sin(angle))
    volume = read_volume(dicom_files.series(tmp_path / "s", ramp(), orientation=tilted, step=(0, 0, 2.0)))
    assert volume.tilt == pytest.approx(15) and np.array_equal(volume.values, ramp())


def test_several_series_in_a_folder_are_named_and_one_can_be_chosen(tmp_path):
    folder = dicom_files.series(tmp_path / "s", ramp())
    names = [f"2-{n}.dcm" for n in range(3)]
    dicom_files.series(folder, -ramp((3, 6, 7)), names=names, SeriesInstanceUID="1.2.3.22")
    with pytest.raises(
        InputError, match=r"holds 2 series \(5 files as 1-001\.dcm, 3 files as 2-0\.dcm\)"
    ) as told:
        read_volume(folder)
    assert "1.2.3" not in str(told.value)
    assert read_volume(folder, series="1.2.3.1").values.shape == (5, 6, 7)
    assert np.array_equal(read_volume(folder, series=".22").values, -ramp((3, 6, 7)))
    with pytest.raises(InputError, match=r"holds 2 series, 0 of them ending in 9"):
        read_volume(folder, series="9")


def broken_series(folder, kind):
    """A series with one fault, and the name of the file at fault."""
    dicom_files.series(folder, ramp((6, 6, 7)))
    one = folder / "1-003.dcm"
    if kind == "missing":
        one.unlink()
        return "1-002.dcm"
    if kind == "double":
        shutil.copy(one, folder / "copy.dcm")
        return "copy.dcm"
    if kind == "cut":
        one.write_bytes(one.read_bytes()[:-20])
        return one.name
    if kind == "header":
        one.write_bytes(one.read_bytes()[:300])
        return one.name
    if kind == "text":
        one.write_text("no picture")
        return one.name
    change = {
        "size": lambda h: (setattr(h, "Rows", 7), setattr(h, "Columns", 6)),
        "spacing": lambda h: setattr(h, "PixelSpacing", [0.5, 0.9]),
        "orientation": lambda h: setattr(h, "ImageOrientationPatient", list(CORONAL)),
        "localizer": lambda h: setattr(h, "ImageType", ["ORIGINAL", "PRIMARY", "LOCALIZER"]),
        "placeless": lambda h: delattr(h, "ImagePositionPatient"),
        "pictureless": lambda h: (delattr(h, "PixelData"), delattr(h, "Rows")),
        "beside": lambda h: setattr(h, "ImagePositionPatient", [40.0, -20.0, 34.0]),
        "colour": lambda h: setattr(h, "PhotometricInterpretation", "PALETTE COLOR"),
        "no slope": lambda h: setattr(h, "RescaleSlope", 0.0),
        "no number": lambda h: setattr(h, "PixelSpacing", [0.0, 0.5]),
    }[kind]
    header = pydicom.dcmread(one)
    change(header)
    header.save_as(one)
    return one.name


@pytest.mark.parametrize(
    ("kind", "sentence"),
    [
        ("missing", r"lie 4\.00 mm, between the others 2\.00 mm; restore the missing slice"),
        ("double", "lie at the same place; keep one"),
        ("cut", "may be broken or cut off"),
        ("header", "may be broken or cut off|without a picture|holds 2 series"),
        ("text", "is no DICOM file; take it out"),
        ("size", "has another size in pixels than"),
        ("spacing", "has another pixel spacing than"),
        ("orientation", "has another orientation than"),
        ("localizer", "is a localizer, no slice"),
        ("placeless", "does not say where its slices lie"),
        ("pictureless", "is a DICOM file without a picture"),
        ("beside", "lies beside the line"),
        ("colour", "is a colour picture"),
        ("no slope", "gives no usable spacing, position or scale"),
        ("no number", "gives no usable spacing"),
    ],
)
def test_a_slice_that_does_not_fit_is_named(tmp_path, kind, sentence):
    name = broken_series(tmp_path / "s", kind)
    with pytest.raises(InputError, match=sentence) as told:
        read_volume(tmp_path / "s")
    assert kind == "header" or name in str(told.value)
    assert not any(secret in str(told.value) for secret in dicom_files.SECRETS)


def test_a_header_that_claims_a_giant_picture_is_refused_before_its_pixels_are_read(tmp_path):
    one = dicom_files.picture(tmp_path / "b.dcm", np.zeros((4, 4), np.uint8))
    header = pydicom.dcmread(one)
    header.Rows = header.Columns = 65_000
    header.save_as(one)
    with pytest.raises(InputError, match=r"b\.dcm claims 4,225,000,000 voxels"):
        read_volume(one)


def test_an_empty_folder_and_hidden_files_and_indices(tmp_path):
    with pytest.raises(InputError, match="holds no DICOM file"):
        read_volume(tmp_path)
    folder = dicom_files.series(tmp_path / "s", ramp())
    (folder / ".DS_Store").write_text("")
    (folder / "DICOMDIR").write_text("")
    assert read_volume(folder).values.shape == (5, 6, 7)


def test_a_compressed_file_is_read_or_names_the_package_that_reads_it():
    path = get_testdata_file("MR_small_jpeg_ls_lossless.dcm", download=False)
    try:
        volume = read_volume(path)
    except InputError as told:
        assert "is compressed (JPEG-LS" in str(told) and "install 'pylibjpeg[all]'" in str(told)
    else:
        same = read_volume(get_testdata_file("MR_small.dcm", download=False))
        assert np.array_equal(volume.values, same.values)


@pytest.mark.parametrize("name", ["CT_small.dcm", "MR_small.dcm", "MR_small_RLE.dcm", "liver_1frame.dcm"])
def test_files_that_come_with_pydicom_agree_with_pydicom(name):
    path = get_testdata_file(name, download=False)
    header = pydicom.dcmread(path)
    stored = header.pixel_array.astype(float)
    expected = stored * float(header.get("RescaleSlope", 1)) + float(header.get("RescaleIntercept", 0))
    volume = read_volume(path)
    assert volume.values.size == expected.size
    assert sorted(volume.values.ravel()) == pytest.approx(sorted(expected.ravel()))


def test_a_real_series_that_comes_with_pydicom_is_in_order():
    folder = Path(get_testdata_file("CT_small.dcm", download=False)).parent / "dicomdirtests/98892001/CT5N"
    slices = sorted((pydicom.dcmread(f) for f in folder.iterdir()), key=lambda s: s.ImagePositionPatient[2])
    assert len(slices) == 5
    volume = read_volume(folder)
    assert volume.spacing[0] == slices[1].ImagePositionPatient[2] - slices[0].ImagePositionPatient[2]
    for plane, one in zip(volume.values, slices):
        assert np.array_equal(plane, one.pixel_array * one.RescaleSlope + one.RescaleIntercept)
