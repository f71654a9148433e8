"""Small folders of a person's own cases, made anew for a test."""

import csv
import json

import nibabel
import numpy as np
import pydicom
from PIL import Image
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

from studykit.datasets import Prepared
from studykit.datasets.own_folder import OwnFolder

WORDS = ("mass", "in", "the", "left", "breast", "with", "sharp", "margin", "and", "no", "calcification")


def image(path, seed=0, size=(30, 20), colour=False):
    path.parent.mkdir(parents=True, exist_ok=True)
    shape = (size[1], size[0], 3) if colour else size[::-1]
    pixels = np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)
    Image.fromarray(pixels).save(path)


def outline(path, size=(30, 20), left=5, top=4, side=8):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.zeros(size[::-1], dtype=np.uint8)
    pixels[top : top + side, left : left + side] = 255
    Image.fromarray(pixels).save(path)


def nifti(path, values, spacing=(1.0, 1.0, 2.0)):
    path.parent.mkdir(parents=True, exist_ok=True)
    nibabel.save(nibabel.Nifti1Image(values.astype(np.float32), np.diag([*spacing, 1])), path)


def dicom(folder, values):
    """A folder with one CT series; values (slices, rows, columns) in Hounsfield units."""
    folder.mkdir(parents=True, exist_ok=True)
    series = generate_uid(entropy_srcs=[str(folder)])
    for z, plane in enumerate(values):
        one = pydicom.Dataset()
        one.file_meta = pydicom.dataset.FileMetaDataset()
        one.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        one.SOPClassUID = one.file_meta.MediaStorageSOPClassUID = CTImageStorage
        one.SOPInstanceUID = one.file_meta.MediaStorageSOPInstanceUID = generate_uid(
            entropy_srcs=[f"{folder}{z}"]
        )
        one.SeriesInstanceUID, one.Modality = series, "CT"
        one.Rows, one.Columns = plane.shape
        one.ImagePositionPatient, one.ImageOrientationPatient = [0, 0, 2.5 * z], [1, 0, 0, 0, 1, 0]
        one.PixelSpacing, one.SliceThickness = [0.7, 0.7], 2.5
        one.SamplesPerPixel, one.PhotometricInterpretation = 1, "MONOCHROME2"
        one.BitsAllocated = one.BitsStored = 16
        one.HighBit, one.PixelRepresentation = 15, 0
        one.RescaleSlope, one.RescaleIntercept = 1, -1024
        one.PixelData = (plane + 1024).astype("<u2").tobytes()
        one.save_as(folder / f"slice{z}.dcm", enforce_file_format=True)


def write(folder, rows, settled=None, name="cases.csv"):
    """cases.csv of `rows` (dictionaries with the same keys) and, where given, cases.json."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / name).open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    if settled is not None:
        (folder / "cases.json").write_text(json.dumps(settled))
    return folder


def record_rows(count=20):
    """Cases without pictures: age and sex, which say a little of the label."""
    draw = np.random.default_rng(5)
    rows = []
    for n in range(count):
        sick = n % 2
        rows.append(
            {
                "id": f"c{n:02d}", "patient": f"p{n // 2 * 2 + n % 2:02d}", "label": ("no", "yes")[sick],
                "age": "" if n == 3 else 40 + 2 * (n % 7) + 9 * sick,
                "sex": "fm"[int(draw.random() < 0.4)],
            }
        )  # fmt: skip
    return rows


def photos(folder, count=24, colour=False):
    """A picture with an outline, a record and a report a case; who is sick has a bright square."""
    draw = np.random.default_rng(7)
    rows = record_rows(count)
    for n, row in enumerate(rows):
        sick = row["label"] == "yes"
        pixels = draw.integers(0, 90, (20, 30, 3) if colour else (20, 30), dtype=np.uint8)
        pixels[4:12, 5:13] += np.uint8(120 if sick else 0)
        (folder / "photos").mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(folder / "photos" / f"{n}.png")
        outline(folder / "masks" / f"{n}.png")
        row["photo"], row["photo_mask"] = f"photos/{n}.png", f"masks/{n}.png"
        row["report"] = " ".join(draw.permutation(WORDS)[:6]) + f" seen {n} times"
    return write(folder, rows)


def scans(folder, count=12):
    """A CT as NIfTI with an outline, and the first case's as a folder of DICOM slices beside it."""
    draw = np.random.default_rng(3)
    rows = []
    for n in range(count):
        values = draw.normal(40, 20, (14, 12, 6)).round()
        values[0] = -1000
        values[4:8, 4:8, 2:4] += 200 * (n % 2)
        drawn = np.zeros(values.shape)
        drawn[4:8, 4:8, 2:4] = 1
        nifti(folder / "ct" / f"{n}.nii.gz", values)
        nifti(folder / "masks" / f"{n}.nii.gz", drawn)
        rows.append(
            {
                "id": f"s{n:02d}", "label": ("benign", "malignant")[n % 2],
                "ct": f"ct/{n}.nii.gz", "ct_mask": f"masks/{n}.nii.gz",
            }
        )  # fmt: skip
    return write(folder, rows)


def own(folder, **given):
    return OwnFolder(folder=str(folder), **given)


def used(dataset):
    """Everything that a recipe asks of a data set."""
    cases = dataset.cases
    prepared = Prepared.fit(dataset, cases.index)
    return prepared.load(cases.index.tolist()), dataset.notes(), dataset.fingerprint
