"""Pictures, outlines, and what in files and columns names a patient."""

from dataclasses import dataclass

import nibabel
import numpy as np
import pandas as pd
import pydicom
import pytest
from datasets import layouts
from PIL import ExifTags, Image
from PIL.PngImagePlugin import PngInfo
from pydicom.dataset import Dataset as Header
from pydicom.dataset import FileMetaDataset

from audit.planted import Planted, found, one
from studykit.audit import Pictures, checked
from studykit.audit.personal import patterns_in, picture_tags
from studykit.datasets import BUSI, BreastLesionsUSG


def test_unreadable_files_are_all_collected_once_each():
    broken = tuple(f"c{n:02d}" for n in range(12))
    table = checked(Planted(broken=broken))
    rows = found(table, "pictures", "problem")
    assert rows["says"].tolist()[:10] == [f"The image {c} cannot be read; replace it." for c in
                                          [f"{c}.png" for c in broken[:10]]]  # fmt: skip
    assert rows["says"].tolist()[10:] == ["2 more files cannot be read, as those above."]
    assert rows["cases"].tolist() == [1] * 10 + [2]
    assert "48 pictures can be read, 0 are missing." in found(table, "pictures")["says"].tolist()


def test_a_real_folder_with_broken_files_is_read_to_its_end(tmp_path):
    folder = layouts.busi(tmp_path) / "Dataset_BUSI_with_GT"
    (tmp_path / "index.csv").write_text(
        "file,group\n" + "".join(f"{p.name},{p.stem}\n" for p in folder.rglob("*).png"))
    )
    for name in ("benign/benign (2).png", "malignant/malignant (3)_mask.png"):
        (folder / name).write_bytes((folder / name).read_bytes()[:60])
    rows = found(checked(BUSI(folder=str(tmp_path)), checks=(Pictures(),)), "pictures", "problem")
    assert len(rows) == 2 and rows["says"].str.contains(r"benign \(2\).png|\(3\)_mask.png").all()


def test_blank_pictures_and_values_that_are_no_pictures_are_problems():
    @dataclass(frozen=True)
    class Odd(Planted):
        def picture(self, case, modality="image"):
            values = super().picture(case)
            odd = {"c03": values * 3, "c04": values[:, :5], "c05": np.where(values > 0.5, values, np.nan)}
            return odd.get(case, values)

    rows = found(checked(Odd(blank=("c00", "c01"), absent=("c02",))), "pictures", "problem")
    told = " ".join(rows["says"])
    known = [
        "blank: 2 pictures, c00, c01;",
        "outside of 0 to 1: 1 picture, c03;",
        "(1, 12, 12): 1 picture, c04;",
    ]
    for words in (*known, "NaN in part: 1 picture, c05;"):
        assert words in told
    assert rows["cases"].sum() == 5


def test_original_sizes(tmp_path):
    table = checked(BreastLesionsUSG(folder=str(layouts.breast(tmp_path))))
    assert "all originals are 60x40." in found(table, "pictures")["says"].tolist()


def test_outlines_are_measured_by_class_and_odd_ones_named():
    @dataclass(frozen=True)
    class Outlined(Planted):
        def mask(self, case, modality="image"):
            mask = super().mask(case)
            if case in ("c00", "c01"):
                mask[:] = case == "c00"
            if case == "c02":
                mask[:] = False
                mask[0, :9] = True
            return mask

    dataset = Outlined()
    table = checked(dataset)
    shares = {}
    for case, label in dataset.cases["state"].items():
        pixels = sum(bool(value) for row in dataset.mask(case) for value in row)
        if pixels:
            shares.setdefault(label, []).append(pixels / 144)
    rows = found(table, "masks", "fact").set_index("says")["value"]
    for label, known in shares.items():
        says = next(line for line in rows.index if line.startswith(f"state {label}:"))
        assert rows[says] == pytest.approx(np.median(known))
        assert f"{len(known)} of 30 pictures are outlined" in says
    notes = found(table, "masks", "note")["says"].tolist()
    assert notes[0].startswith("1 outline of fewer than 10 pixels: c02;")
    assert notes[1].startswith("1 outline of more than 90% of the picture: c00;")


@pytest.mark.parametrize(
    "name",
    ["Name", "patient_name", "PatientName", "Last name", "birth_date", "DateOfBirth", "DOB", "MRN", "e-mail",
     "Home Address", "zip", "phone_number", "Telephone"],
)  # fmt: skip
def test_a_column_that_is_called_like_something_personal_is_a_problem(name):
    table = checked(Planted(columns=((name, ["x", "y", "y", "x"] * 15),)))
    assert one(table, "personal", "problem")["subject"] == name


@pytest.mark.parametrize("name", ["Image_filename", "class name", "Family history", "Mobile", "region"])
def test_a_column_that_only_sounds_like_it_is_none(name):
    table = checked(Planted(columns=((name, ["x", "y", "y", "x"] * 15),)))
    assert found(table, "personal", "problem").empty


def test_the_columns_of_the_tables_on_disk_are_looked_at(tmp_path):
    folder = layouts.breast(tmp_path)
    table = pd.read_csv(folder / "clinical-data.csv").assign(Surname="Miller")
    table.to_csv(folder / "clinical-data.csv", index=False)
    row = one(checked(BreastLesionsUSG(folder=str(folder))), "personal", "problem")
    assert row["subject"] == "Surname" and "in clinical-data.csv" in row["says"]


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ("write to jo.m-x@ward3.example.org today", ["an e-mail address"]),
        ("seen on 3.12.2019 and 2020-01-05", ["a date"]),
        ("call 0171 2345678 or +44 20 7946 0000", ["a phone number"]),
        ("call 555-123-4567 on 12/05/99", ["a date", "a phone number"]),
        ("12 x 34 mm, 3.5 to 4.25 cm, T12-L1, grade 2/3, 120/80 mmHg, 1234567", []),
    ],
)
def test_patterns_in_texts(text, holds):
    assert patterns_in(text) == holds


def test_personal_texts_are_counted_and_never_shown():
    notes = ["stable"] * 57 + ["ask jo@ward.example", "ask al@ward.example", "since 03.04.2021"]
    table = checked(Planted(notes_of=tuple(notes)))
    row = one(table, "personal", "problem")
    assert row["subject"] == "Report" and row["cases"] == 2 and "e-mail" in row["says"]
    assert one(table, "personal", "note")["cases"] == 1
    assert not table["says"].str.contains("jo@|ward|2021").any()


@dataclass(frozen=True)
class WithFiles(Planted):
    paths: tuple = ()

    def files(self):
        return list(self.paths)


def test_what_cameras_and_editors_write_into_pictures(tmp_path):
    image, exif, words = Image.new("RGB", (8, 8)), Image.Exif(), PngInfo()
    exif[ExifTags.Base.Artist] = "Jo Miller"
    exif.get_ifd(ExifTags.IFD.GPSInfo)[ExifTags.GPS.GPSLatitude] = (51.0, 3.0, 1.0)
    exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.UserComment] = b"ward 3"
    words.add_text("Author", "Jo Miller")
    words.add_itxt("Patient 17", "x")
    drawn = PngInfo()
    drawn.add_text("Software", "drawn")
    paths = tuple(tmp_path / name for name in ("a.jpg", "b.png", "c.jpg", "d.png", "e.png"))
    image.save(paths[0], exif=exif)
    image.save(paths[1], pnginfo=words)
    image.save(paths[2], comment="Jo was here")
    image.save(paths[3], pnginfo=drawn)
    paths[4].write_bytes(b"no picture")
    assert picture_tags(paths[3]) == picture_tags(paths[4]) == []
    table = checked(WithFiles(paths=paths))
    problems = found(table, "personal", "problem")
    assert set(problems["subject"]) == {"EXIF Artist", "EXIF GPS", "PNG Author"}
    notes = found(table, "personal", "note")
    assert "EXIF UserComment" in notes["subject"].tolist() and "PNG text, JPEG comment" in " ".join(
        notes["says"]
    )
    assert not table["says"].str.contains("Miller|ward 3|Patient 17|was here").any()


def test_what_scanners_write_into_dicom_files(tmp_path):
    header, meta = Header(), FileMetaDataset()
    meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = "1.2.840.10008.5.1.4.1.1.2", "1.2.3.4"
    header.file_meta = meta
    header.PatientName, header.PatientID, header.StudyDate = "Miller^Jo", "4711", "20200102"
    header.OperatorsName, header.Modality = "Smith", "CT"
    paths = tuple(tmp_path / f"{n}.dcm" for n in range(3))
    for path in paths[:2]:
        header.save_as(path, enforce_file_format=True)
    paths[2].write_bytes(b"\0" * 128 + b"DICM" + b"broken")
    table = checked(WithFiles(paths=paths))
    told = " ".join(found(table, "personal", "problem")["says"])
    assert "DICOM OperatorsName, DICOM PatientName: it is a name; in 2 files (0.dcm, 1.dcm)." in told
    assert "patient's number" in told and "date" not in told
    assert "StudyDate" in " ".join(found(table, "personal", "note")["subject"])
    assert not table["says"].str.contains("Miller|4711|20200102|Smith").any()


@pytest.mark.parametrize("ending", [".nii", ".nii.gz"])
def test_free_text_in_nifti_headers_is_a_note_and_only_files_that_were_looked_at_are_counted(
    tmp_path, ending
):
    paths = tuple(tmp_path / f"{n}{ending}" for n in range(4))
    for number, path in enumerate(paths[:3]):
        image = nibabel.Nifti1Image(np.zeros((2, 2, 2), np.int16), np.eye(4))
        if number == 1:
            image.header["descrip"], image.header["db_name"] = b"Miller Jo", b"ward 3"
        if number == 2:
            image.header.extensions.append(nibabel.nifti1.Nifti1Extension("comment", b"Miller Jo"))
        nibabel.save(image, path)
    paths[3].write_bytes(b"no volume")
    other = tmp_path / "cases.npz"
    other.write_bytes(b"x")
    table = checked(WithFiles(paths=(*paths, other)))
    notes = found(table, "personal", "note").set_index("subject")["says"].to_dict()
    told = " ".join(notes.values())
    assert "NIfTI descrip, NIfTI db_name, NIfTI extension: free text" in told
    assert f"in 2 files (1{ending}, 2{ending})" in told
    assert notes["NIfTI"] == f"a header that cannot be read; in 1 file (3{ending})."
    assert not table["says"].str.contains("Miller|ward 3").any()
    row = one(table, "personal", "fact", "all")
    assert "headers of 4 files were looked at. 1 file of other kinds" in row["says"] and row["value"] == 4


@pytest.mark.real_data
def test_the_published_breast_pictures_name_nobody_and_can_all_be_read():
    dataset = BreastLesionsUSG(size=32)
    table = checked(dataset)
    assert found(table, "personal", "problem").empty and found(table, "pictures", "problem").empty
    sizes = [Image.open(dataset.sources(case)[0]).size for case in dataset.cases.index]
    widths, heights = zip(*sizes)
    says = found(table, "pictures")["says"].iloc[1]
    assert f"{min(widths)} to {max(widths)} pixels wide and {min(heights)} to {max(heights)} high" in says
