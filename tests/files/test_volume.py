import gzip
import itertools

import nibabel
import numpy as np
import pytest

from files import dicom_files
from studykit.catalog import InputError
from studykit.files.volume import Volume, apart, fitted, read_volume, windowed


def linear(x, y, z):
    """A number that tells the place (R, A, S in mm) apart."""
    return x + 100 * y + 10_000 * z


def sampled(affine, shape):
    """`linear` at every voxel of a grid, one by one."""
    values = np.empty(shape)
    for index in np.ndindex(shape):
        values[index] = linear(*(affine @ [*index, 1])[:3])
    return values


def ball(radius, shape, spacing, at=None):
    middle = (np.array(shape) - 1) / 2 * spacing if at is None else at
    axes = np.ogrid[tuple(slice(n) for n in shape)]
    inside = sum((axis * step - c) ** 2 for axis, step, c in zip(axes, spacing, middle)) <= radius**2
    return inside.astype(np.float32)


@pytest.mark.parametrize("flips", list(itertools.product((1, -1), repeat=3)))
@pytest.mark.parametrize("axes", list(itertools.permutations(range(3))))
def test_every_orientation_ends_feet_to_head_front_to_back_right_to_left(tmp_path, axes, flips):
    affine = np.eye(4)
    affine[:3, :3] = 0
    for column, (axis, flip) in enumerate(zip(axes, flips)):
        affine[axis, column] = flip * (2.0, 3.0, 4.0)[axis]
    affine[:3, 3] = (5, -7, 11)
    values = sampled(affine, (3, 4, 5))
    volume = read_volume(dicom_files.nifti(tmp_path / "v.nii.gz", values.astype(np.float32), affine))
    assert volume.spacing == (4.0, 3.0, 2.0) and volume.tilt < 1e-4
    assert np.allclose(np.diff(volume.values, axis=0), 10_000 * 4)  # the head
    assert np.allclose(np.diff(volume.values, axis=1), -100 * 3)  # the back
    assert np.allclose(np.diff(volume.values, axis=2), -2)  # the patient's left
    assert sorted(volume.values.ravel()) == pytest.approx(sorted(values.ravel()))


def test_grids_are_as_far_apart_as_their_corners(tmp_path):
    values = dicom_files.ramp().astype(np.float32)  # 5, 6, 7 voxels

    def read(affine, turned=values):
        return read_volume(dicom_files.nifti(tmp_path / "v.nii.gz", turned, np.array(affine, dtype=float)))

    plain = read(np.diag([2, 2, 3, 1]))
    assert apart(plain, plain) == 0
    flipped = np.diag([-2.0, 2, 3, 1])
    flipped[0, 3] = 8  # the same voxels, stored from the other side
    assert apart(plain, read(flipped, values[::-1])) < 1e-6
    assert apart(plain, read(np.diag([-2, 2, 3, 1]))) == pytest.approx(4)  # mirrored
    assert apart(plain, read(np.diag([2, 2, 3.5, 1]))) == pytest.approx(6 * 0.5 / 3)
    moved = np.diag([2.0, 2, 3, 1])
    moved[:3, 3] = 3 * 2, 4 * 2, 0
    assert apart(plain, read(moved)) == pytest.approx(5)


def test_an_oblique_grid_keeps_its_voxels_and_says_by_how_much(tmp_path):
    angle = np.radians(12)
    affine = np.eye(4)
    affine[1:3, 1:3] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    values = dicom_files.ramp().astype(np.float32)
    volume = read_volume(dicom_files.nifti(tmp_path / "v.nii.gz", values, affine))
    assert volume.tilt == pytest.approx(12)
    assert volume.values.shape == (7, 6, 5) and volume.spacing == pytest.approx((1, 1, 1))
    assert np.array_equal(volume.values, values.transpose(2, 1, 0)[:, ::-1, ::-1])


def test_the_scale_that_a_nifti_file_names_is_applied(tmp_path):
    stored = np.arange(24, dtype=np.int16).reshape(2, 3, 4)
    image = nibabel.Nifti1Image(stored, np.diag([-1.0, -1, 1, 1]))
    image.header.set_slope_inter(0.5, -1000)
    image.to_filename(tmp_path / "v.nii")
    raw = bytearray((tmp_path / "v.nii").read_bytes())
    raw[-stored.nbytes :] = stored.tobytes("F")
    raw[112:120] = np.array([0.5, -1000], dtype="<f4").tobytes()  # scl_slope and scl_inter stand at byte 112
    (tmp_path / "v.nii").write_bytes(raw)
    assert np.allclose(read_volume(tmp_path / "v.nii").values, (stored * 0.5 - 1000).transpose(2, 1, 0))


def test_one_volume_in_four_axes_is_read_and_several_are_not(tmp_path):
    values = dicom_files.ramp().astype(np.float32)
    one = read_volume(dicom_files.nifti(tmp_path / "one.nii.gz", values[..., None], np.eye(4)))
    assert one.values.shape == (7, 6, 5)
    two = dicom_files.nifti(tmp_path / "two.nii.gz", np.stack([values, values], -1), np.eye(4))
    with pytest.raises(InputError, match=r"two\.nii\.gz is 5x6x7x2, no single volume; store one"):
        read_volume(two)
    flat = dicom_files.nifti(tmp_path / "flat.nii", values[0], np.eye(4))
    with pytest.raises(InputError, match=r"flat\.nii is 6x7, no single volume"):
        read_volume(flat)


def test_broken_nifti_files_get_a_sentence(tmp_path):
    good = dicom_files.nifti(
        tmp_path / "good.nii.gz", np.random.default_rng(0).random((20, 20, 20)), np.eye(4)
    )
    whole = good.read_bytes()
    bad = tmp_path / "bad.nii.gz"
    for content in (whole[: len(whole) // 2], whole[:-12], b"no volume at all", b"", gzip.compress(b"short")):
        bad.write_bytes(content)
        with pytest.raises(InputError, match=r"bad\.nii\.gz cannot be read .*; replace"):
            read_volume(bad)
    plain = tmp_path / "cut.nii"
    plain.write_bytes(gzip.decompress(whole)[:5000])
    with pytest.raises(InputError, match=r"cut\.nii cannot be read"):
        read_volume(plain)
    with pytest.raises(InputError, match=r"none\.nii is missing"):
        read_volume(tmp_path / "none.nii")
    (tmp_path / "notes.txt").write_text("no volume")
    with pytest.raises(InputError, match=r"notes\.txt is no DICOM file"):
        read_volume(tmp_path / "notes.txt")


def test_a_header_that_claims_a_giant_volume_is_refused_before_anything_is_read(tmp_path):
    header = nibabel.Nifti1Header()
    header.set_data_dtype(np.float32)
    header.set_data_shape((20_000, 20_000, 20_000))
    header["magic"] = b"n+1"
    with gzip.open(tmp_path / "bomb.nii.gz", "wb") as file:
        file.write(header.binaryblock + bytes(4) + bytes(10_000))
    with pytest.raises(InputError, match=r"bomb\.nii\.gz claims 8,000,000,000,000 voxels, more than"):
        read_volume(tmp_path / "bomb.nii.gz")


def test_voxels_that_are_no_number_and_no_size_get_a_sentence(tmp_path):
    values = dicom_files.ramp().astype(np.float32)
    values[2, 2, 2] = np.nan
    with pytest.raises(InputError, match=r"nan\.nii holds voxels that are no number"):
        read_volume(dicom_files.nifti(tmp_path / "nan.nii", values, np.eye(4)))
    image = nibabel.Nifti1Image(dicom_files.ramp(), None)
    image.set_sform(np.diag([1, 1, 0, 1]), code=1)
    nibabel.save(image, tmp_path / "flat.nii")
    with pytest.raises(InputError, match=r"flat\.nii does not say how large"):
        read_volume(tmp_path / "flat.nii")
    colours = np.zeros((3, 3, 3), dtype=[("R", "u1"), ("G", "u1"), ("B", "u1")])
    with pytest.raises(InputError, match=r"rgb\.nii holds colours"):
        read_volume(dicom_files.nifti(tmp_path / "rgb.nii", colours, np.eye(4)))


def slow_fit(volume, shape, steps, fill):
    """Linear between neighbours, or the mean under a triangle where voxels grow; voxel by voxel."""
    result = np.full(shape, fill, dtype=float)
    for index in np.ndindex(*shape):
        lists = []
        for axis in range(3):
            n, old, new = volume.values.shape[axis], volume.spacing[axis], steps[axis]
            at = (index[axis] - (shape[axis] - 1) / 2) * new
            if abs(at) > n * old / 2:
                break
            near = []
            for i in range(n):
                weight = 1 - abs((i - (n - 1) / 2) * old - at) / max(old, new)
                if weight > 0:
                    near.append((i, weight))
            lists.append(near)
        if len(lists) < 3:
            continue
        total = weights = 0.0
        for (i, a), (j, b), (k, c) in itertools.product(*lists):
            total, weights = total + a * b * c * volume.values[i, j, k], weights + a * b * c
        result[index] = total / weights
    return result


@pytest.mark.parametrize("spacing", [1.0, 2.5, (3.0, 0.7, 1.9)])
def test_fitting_agrees_with_its_slow_twin(spacing):
    values = np.random.default_rng(1).normal(size=(4, 6, 7)).astype(np.float32)
    volume, shape = Volume(values, (3.0, 1.0, 1.5)), (6, 5, 8)
    steps = spacing if isinstance(spacing, tuple) else (spacing,) * 3
    assert np.allclose(fitted(volume, shape, spacing, fill=-9), slow_fit(volume, shape, steps, -9), atol=1e-5)


def test_at_its_own_spacing_and_shape_a_volume_stays_as_it_is():
    volume = Volume(dicom_files.ramp().astype(np.float32), (3.0, 1.0, 1.5))
    for order in (0, 1):
        assert np.allclose(fitted(volume, (5, 6, 7), volume.spacing, order=order), volume.values, atol=1e-3)
    smaller = fitted(volume, (3, 4, 9), volume.spacing, fill=7)
    assert np.allclose(smaller[:, :, 1:8], volume.values[1:4, 1:5], atol=1e-3)
    assert np.array_equal(smaller[:, :, [0, 8]], np.full((3, 4, 2), 7))


@pytest.mark.parametrize("spacing", [1.0, 2.0, (1.5, 1.2, 2.2)])
def test_a_ball_keeps_its_cubic_millimetres(spacing):
    steps = np.array(spacing if isinstance(spacing, tuple) else (spacing,) * 3)
    volume = Volume(ball(14, (25, 50, 45), (2.5, 0.9, 1.1)), (2.5, 0.9, 1.1))
    exact = 4 / 3 * np.pi * 14**3
    assert volume.values.sum() * np.prod(volume.spacing) == pytest.approx(exact, rel=0.02)  # the drawing
    for order in (0, 1):
        result = fitted(volume, (40, 40, 40), spacing, order=order)
        assert result.sum() * np.prod(steps) == pytest.approx(exact, rel=0.03)


def test_the_whole_volume_is_fitted_with_the_proportions_of_a_slice():
    volume = Volume(ball(20, (10, 60, 100), (5, 1, 1)), (5.0, 1.0, 1.0))
    result = fitted(volume, (20, 50, 50), fill=-1)
    assert (result[:, :10] == -1).all() and (result[:, -10:] == -1).all() and (result[:, 10:40] >= 0).all()
    middle = result[10] > 0.5
    assert middle.any(axis=0).sum() == middle.any(axis=1).sum() == 20  # 40 mm at 2 mm, round as before


def test_picture_and_outline_stay_on_each_other():
    shape, spacing = (20, 48, 40), (2.5, 0.8, 1.0)
    outline = ball(9, shape, spacing, at=(20, 25, 14))
    scan = Volume(outline * 1040 - 1000, spacing)
    for kwargs in ({"spacing": 1.5}, {"spacing": 3.0}, {}):
        picture = fitted(scan, (24, 30, 30), fill=-1000, **kwargs)
        mask = fitted(Volume(outline, spacing), (24, 30, 30), order=0, **kwargs) > 0.5
        lit = picture > -480
        assert 2 * (lit & mask).sum() / (lit.sum() + mask.sum()) > 0.9
        centres = [np.argwhere(part).mean(axis=0) for part in (lit, mask)]
        assert np.abs(centres[0] - centres[1]).max() < 0.3  # of a voxel


def test_windows_cut_off_what_lies_beyond():
    assert windowed([-2000, -1000, -300, 400, 3000], -1000, 400).tolist() == [0, 0, 0.5, 1, 1]
    assert windowed(np.array([1]), 0, 2).dtype == np.float32
    with pytest.raises(InputError, match="from a low to a higher value"):
        windowed([1], 5, 5)


def test_settings_that_do_not_fit_get_a_sentence():
    volume = Volume(dicom_files.ramp(), (1.0, 1.0, 1.0))
    with pytest.raises(InputError, match="order of interpolation named '3'"):
        fitted(volume, (4, 4, 4), order=3)
    with pytest.raises(InputError, match="three sides at three spacings"):
        fitted(volume, (4, 4, 4), spacing=(1.0, 2.0))
    with pytest.raises(InputError, match="0 along some axes"):
        fitted(volume, (4, 4, 4), spacing=(0.0, 2.0, 1.0))
