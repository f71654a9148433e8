"""Small DICOM series and NIfTI files, made anew for a test; the patient in them does not exist."""

import nibabel
import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

CT, ENHANCED_CT, SECONDARY, XRAY = (
    f"1.2.840.10008.5.1.4.1.1.{end}" for end in ("2", "2.1", "7", "1.1")
)  # fmt: skip
AXIAL = (1, 0, 0, 0, 1, 0)
PERSON = {
    "PatientName": "Doe^Jane Quincy",
    "PatientID": "MRN-4711",
    "PatientBirthDate": "19510314",
    "PatientSex": "F",
    "PatientAge": "056Y",
    "PatientAddress": "12 Elm Street",
    "AccessionNumber": "ACC-0815",
    "StudyDate": "20070425",
    "SeriesDescription": "Thorax of Mrs Doe",
    "ReferringPhysicianName": "Who^Doctor",
    "InstitutionName": "Saint Elsewhere",
    "StationName": "CT-ROOM-3",
    "Manufacturer": "SIEMENS",
    "BodyPartExamined": "CHEST",
}
SECRETS = (
    "Doe",
    "Jane",
    "MRN-4711",
    "4711",
    "19510314",
    "Elm",
    "0815",
    "20070425",
    "Who",
    "Elsewhere",
    "ROOM-3",
)


def picture(path, pixels, kind=XRAY, syntax=ExplicitVRLittleEndian, **tags):
    """One file with the pixels as stored; `tags` replace what stands here."""
    pixels = np.asarray(pixels)
    one = Dataset()
    one.file_meta = FileMetaDataset()
    one.file_meta.TransferSyntaxUID = syntax
    one.file_meta.MediaStorageSOPClassUID = one.SOPClassUID = kind
    one.SOPInstanceUID = generate_uid()
    one.SeriesInstanceUID, one.StudyInstanceUID = "1.2.3.1", "1.2.3"
    one.Modality = "CT" if kind in (CT, ENHANCED_CT) else "DX"
    colour = pixels.ndim == 3 and pixels.shape[-1] == 3
    one.SamplesPerPixel = 3 if colour else 1
    one.PhotometricInterpretation = "RGB" if colour else "MONOCHROME2"
    if colour:
        one.PlanarConfiguration = 0
    one.Rows, one.Columns = pixels.shape[:2] if colour else pixels.shape[-2:]
    if pixels.ndim == 3 and not colour:
        one.NumberOfFrames = len(pixels)
    one.BitsAllocated = one.BitsStored = 8 * pixels.dtype.itemsize
    one.HighBit = one.BitsStored - 1
    one.PixelRepresentation = int(pixels.dtype.kind == "i")
    for keyword, value in {**PERSON, **tags}.items():
        setattr(one, keyword, value)
    one.file_meta.MediaStorageSOPInstanceUID = one.SOPInstanceUID
    one.PixelData = pixels.astype(pixels.dtype.newbyteorder("<")).tobytes()
    path.parent.mkdir(parents=True, exist_ok=True)
    one.save_as(path, enforce_file_format=True)
    return path


def series(
    folder, values, spacing=(2.0, 0.5, 0.5), orientation=AXIAL, origin=(-10.0, -20.0, 30.0), slope=1.0,
    intercept=-1024.0, step=None, names=None, **tags,
):  # fmt: skip
    """A file for each slice of `values` (slices, rows, columns), which are what the pixels mean.

    step: from slice to slice in mm (3,); along the normal by default.
    """
    row, column = np.array(orientation[:3], float), np.array(orientation[3:], float)
    step = np.cross(row, column) * spacing[0] if step is None else np.array(step, float)
    for number, plane in enumerate(np.asarray(values, float)):
        stored = np.rint((plane - intercept) / slope).astype(np.int16)
        name = names[number] if names else f"1-{number + 1:03d}.dcm"
        described = {
            "ImagePositionPatient": [round(float(c), 4) for c in origin + number * step],
            "ImageOrientationPatient": [float(c) for c in orientation],
            "PixelSpacing": [float(spacing[1]), float(spacing[2])],
            "SliceThickness": 99.0,  # wrong on purpose: nobody may take the spacing from it
            "RescaleSlope": slope,
            "RescaleIntercept": intercept,
            "InstanceNumber": 1000 - number,
        }
        picture(folder / name, stored, CT, **{**described, **tags})
    return folder


def multiframe(
    path, values, spacing=(2.0, 0.5, 0.5), origin=(-10.0, -20.0, 30.0), order=None, intercepts=None
):
    """One enhanced file with all slices, its frames in the given order; a frame's groups hold its place."""
    order = list(range(len(values))) if order is None else order
    intercepts = intercepts or [-1024.0] * len(values)
    shared, frames = Dataset(), []
    measures, plane = Dataset(), Dataset()
    measures.PixelSpacing, measures.SliceThickness = [spacing[1], spacing[2]], 99.0
    plane.ImageOrientationPatient = list(AXIAL)
    shared.PixelMeasuresSequence, shared.PlaneOrientationSequence = Sequence([measures]), Sequence([plane])
    for number in order:
        frame, place, scale = Dataset(), Dataset(), Dataset()
        place.ImagePositionPatient = [origin[0], origin[1], origin[2] + number * spacing[0]]
        scale.RescaleSlope, scale.RescaleIntercept = 1.0, intercepts[number]
        frame.PlanePositionSequence, frame.PixelValueTransformationSequence = (
            Sequence([place]),
            Sequence([scale]),
        )
        frames.append(frame)
    stored = [np.asarray(values[number]) - intercepts[number] for number in order]
    return picture(
        path, np.array(stored).astype(np.int16), ENHANCED_CT,
        SharedFunctionalGroupsSequence=Sequence([shared]), PerFrameFunctionalGroupsSequence=Sequence(frames),
    )  # fmt: skip


def nifti(path, values, affine):
    path.parent.mkdir(parents=True, exist_ok=True)
    nibabel.save(nibabel.Nifti1Image(np.asarray(values), np.asarray(affine, float)), path)
    return path


def ramp(shape=(5, 6, 7)):
    """Values of which no two are equal, (slices, rows, columns), all within what CT stores."""
    return np.arange(np.prod(shape)).reshape(shape) * 3.0 - 500


def lung(folder, count=24, manifest="manifest-1608669183333"):
    """Lung-PET-CT-Dx as TCIA's download lays it out: a long and a short CT a patient, a PET, table, boxes."""
    draw = np.random.default_rng(0)
    columns = "No.,NewPatientID,Sex,Age,weight (kg),T-Stage,N-Stage,Ｍ-Stage,Histopathological grading"
    rows = [f"{columns},Smoking History"]
    for number in range(count):
        case = f"{'AG'[number % 2]}{number + 1:04d}"
        patient = folder / manifest / "Lung-PET-CT-Dx" / f"Lung_Dx-{case}"
        study = patient / f"04-{number % 28 + 1:02d}-2007-NA-Chest-{number:05d}"
        scan = np.full((6, 16, 16), -1000.0)
        scan[:, 3:14, 2:14] = -850
        top, left = draw.integers(4, 9, 2)
        scan[2:5, top : top + 4, left : left + 4] = 40
        name = study / f"2.000000-Thorax  5.0  B70f-{number:05d}"
        tags = {"PatientID": f"Lung_Dx-{case}", "StudyInstanceUID": f"1.9.{number}"}
        uids = [f"1.9.{number}.1.{plane}" for plane in range(6)]
        for plane, uid in enumerate(uids):
            place = np.array([-8.0, -8.0, 5.0 * plane])
            series(
                name, scan[plane : plane + 1], (5.0, 1.0, 1.0), origin=place,
                names=[f"1-{6 - plane:02d}.dcm"], SOPInstanceUID=uid,
                SeriesInstanceUID=f"1.9.{number}.1", **tags,
            )  # fmt: skip
        series(study / "3.000000-short-1", scan[:2], SeriesInstanceUID=f"1.9.{number}.2", **tags)
        colour = {"SeriesDescription": "PET ALPHA", "SeriesInstanceUID": f"1.9.{number}.3"}
        if number < 2:
            series(study / "4.000000-fused-1", np.repeat(scan, 2, axis=0), **{**tags, **colour})
            pet = {"Modality": "PT", "SeriesInstanceUID": f"1.9.{number}.4"}
            series(study / "5.000000-PET WB-1", np.repeat(scan, 2, axis=0), **{**tags, **pet})
        for plane in range(2, 5):
            box = folder / "Annotation" / case / f"{uids[plane]}.xml"
            box.parent.mkdir(parents=True, exist_ok=True)
            box.write_text(
                '<annotation verified="no"><folder>Unknow</folder><size><width>16</width></size><object>'
                f"<name>{case[0]}</name><bndbox><xmin>{left}</xmin><ymin>{top}</ymin><xmax>{left + 3}</xmax>"
                f"<ymax>{top + 3}</ymax></bndbox></object></annotation>"
            )
        weight, sex = "" if number % 5 == 0 else 60 + number, "MF"[number // 2 % 2]
        rows.append(f"{number + 1},{case},{sex},{50 + number},{weight},1c,{number % 4},0,G2,{number % 2}")
    (folder / "statistics-clinical-20201221.csv").write_text("\n".join(rows))
    return folder
