import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from files import dicom_files

from studykit.catalog import InputError
from studykit.datasets.lung_pet_ct_dx import LungPETCTDx

SMALL = {"depth": 6, "size": 16}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return dicom_files.lung(tmp_path_factory.mktemp("lung") / "Lung-PET-CT-Dx", count=8)


@pytest.fixture
def folder(whole, tmp_path):
    return shutil.copytree(whole, tmp_path / "d")


def patient(folder, case="A0001"):
    return next(folder.rglob(f"Lung_Dx-{case}"))


def test_the_letter_is_the_label_and_the_sheet_the_record(whole):
    dataset = LungPETCTDx(folder=str(whole), **SMALL)
    cases = dataset.cases
    assert cases.index.tolist() == ["A0001", "A0003", "A0005", "A0007", "G0002", "G0004", "G0006", "G0008"]
    assert cases["histology"].value_counts().to_dict() == {"adenocarcinoma": 4, "squamous": 4}
    assert dataset.record == ("Sex", "Age", "weight (kg)", "Smoking History")
    assert cases.loc["G0002", list(dataset.record)].tolist() == ["M", 51, 61, 1]
    assert np.isnan(cases.loc["A0001", "weight (kg)"])
    assert dataset.tasks[0].classes[1] == "squamous"  # the positive class, as in MMCAF-Net


def test_the_stages_are_used_knowingly_or_not_at_all(whole):
    assert LungPETCTDx(folder=str(whole), stages=True).record[-3:] == ("T-Stage", "N-Stage", "M-Stage")
    staged = LungPETCTDx(folder=str(whole), stages=True).cases.loc["G0004", ["T-Stage", "N-Stage", "M-Stage"]]
    assert staged.tolist() == ["1c", "3", "0"]
    with pytest.raises(InputError, match="'N-Stage' .*set 'stages' to true"):
        LungPETCTDx(columns=("N-Stage",))
    with pytest.raises(InputError, match="'Histopathological grading' .*tissue that gives the label"):
        LungPETCTDx(columns=("Histopathological grading",))
    with pytest.raises(
        InputError, match="class of lung_pet_ct_dx named 'adeno'; did you mean adenocarcinoma"
    ):
        LungPETCTDx(classes=("adeno", "squamous"))


def test_the_longest_ct_is_taken_in_hounsfield_units_from_feet_to_head(whole):
    dataset = LungPETCTDx(folder=str(whole), **SMALL)
    volume = dataset.picture("A0001")
    assert volume.shape == (1, 6, 16, 16)
    stored = {round(float(value), 4) for value in np.unique(volume)}
    assert stored == {0.0, round(150 / 1400, 4), round(1040 / 1400, 4)}  # air, lung, tumour
    assert not (volume[0, [0, 1, 5]] > 0.5).any() and (volume[0, 2:5] > 0.5).sum() == 3 * 16
    files = dataset.sources("A0001", "volume")
    assert (
        sum(path.suffix == ".dcm" for path in files) == 6
        and sum(path.suffix == ".xml" for path in files) == 3
    )
    assert {path.parent.name[:9] for path in files if path.suffix == ".dcm"} == {"2.000000-"}


def test_the_boxes_lie_on_the_tumour(whole):
    dataset = LungPETCTDx(folder=str(whole), **SMALL)
    for case in dataset.cases.index:
        assert np.array_equal(dataset.mask(case), dataset.picture(case)[0] > 0.5)
    scaled = LungPETCTDx(folder=str(whole), depth=15, size=10, spacing=2.0)
    lit, mask = scaled.picture("G0002")[0] > 0.3, scaled.mask("G0002")
    centres = [np.argwhere(part).mean(axis=0) for part in (lit, mask)]
    assert np.abs(centres[0] - centres[1]).max() <= 0.5  # of a voxel, where one lies in the middle of two
    assert mask.sum() * 2.0**3 == pytest.approx(3 * 5 * 16, rel=0.1)  # mm3


def test_the_xlsx_sheet_and_the_folder_without_manifest_do_too(folder):
    sheet = folder / "statistics-clinical-20201221.csv"
    pd.read_csv(sheet).to_excel(sheet.with_suffix(".xlsx"), index=False)
    plain = LungPETCTDx(folder=str(folder), stages=True, **SMALL)
    before = plain.cases
    sheet.unlink()
    root = next(folder.glob("manifest-*"))
    for path in (root / "Lung-PET-CT-Dx").iterdir():
        path.rename(folder / path.name)
    shutil.rmtree(root)
    again = LungPETCTDx(folder=str(folder), stages=True, **SMALL)
    assert again.cases.equals(before)
    named = folder / "Lung-PET-CT-Dx-Annotations-XML-Files-rev12222020"
    named.mkdir()
    (folder / "Annotation").rename(named / "Annotation")
    assert again.mask("A0001").any()
    shutil.rmtree(named)
    assert not again.mask("A0001").any() and again.mask("A0001").shape == (6, 16, 16)


def test_a_patient_without_ct_has_no_volume_and_one_without_row_no_record(folder):
    for series in sorted(patient(folder, "G0004").glob("*/*")):
        shutil.rmtree(series)
    sheet = folder / "statistics-clinical-20201221.csv"
    sheet.write_text("\n".join(line for line in sheet.read_text().splitlines() if "A0003" not in line))
    dataset = LungPETCTDx(folder=str(folder), **SMALL)
    assert np.isnan(dataset.picture("G0004")).all() and not dataset.mask("G0004").any()
    assert dataset.cases.loc["A0003", list(dataset.record)].isna().all()
    said = " ".join(dataset.notes())
    assert (
        "1 patients have no row" in said
        and "1 patients have no CT series" in said
        and "not yet tried" in said
    )


def test_what_does_not_fit_gets_a_sentence(folder, tmp_path, monkeypatch):
    monkeypatch.delenv("STUDYKIT_DATA", raising=False)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="Lung-PET-CT-Dx is not here"):
        LungPETCTDx().cases  # noqa: B018
    with pytest.raises(InputError, match="No patient of the classes small cell, large cell"):
        LungPETCTDx(folder=str(folder), classes=("small cell", "large cell")).cases  # noqa: B018
    sheet = folder / "statistics-clinical-20201221.csv"
    text = sheet.read_text()
    sheet.write_text(text.replace(",51,", ",fifty,"))
    with pytest.raises(InputError, match="gives G0002 no number in 'Age'"):
        LungPETCTDx(folder=str(folder)).cases  # noqa: B018
    sheet.write_text(text.replace(",51,", ",inf,"))
    with pytest.raises(InputError, match="gives G0002 no number in 'Age'"):
        LungPETCTDx(folder=str(folder)).cases  # noqa: B018
    sheet.write_text(text.replace("NewPatientID", "Patient"))
    with pytest.raises(InputError, match="column in statistics-clinical-20201221.csv named 'NewPatientID'"):
        LungPETCTDx(folder=str(folder)).cases  # noqa: B018
    sheet.write_text(text.replace("A0003", "A0001"))
    with pytest.raises(InputError, match="lists 'A0001' twice"):
        LungPETCTDx(folder=str(folder)).cases  # noqa: B018
    sheet.unlink()
    with pytest.raises(InputError, match="No clinical table stands in"):
        LungPETCTDx(folder=str(folder)).cases  # noqa: B018
    sheet.write_text(text)
    box = next((folder / "Annotation" / "A0001").iterdir())
    box.write_text("<annotation><bndbox><xmin>3</xmin></bndbox></annotation>")
    with pytest.raises(InputError, match=r"annotation .*\.xml holds no boxes"):
        LungPETCTDx(folder=str(folder), **SMALL).mask("A0001")
    cut = next(Path(path) for path in patient(folder).glob("*/2.*/1-03.dcm"))
    cut.unlink()
    with pytest.raises(InputError, match=r"lie 10\.00 mm, between the others 5\.00 mm"):
        LungPETCTDx(folder=str(folder), **SMALL).picture("A0001")


def test_a_broken_sheet_gets_a_sentence(folder):
    sheet = folder / "statistics-clinical-20201221.csv"
    text = sheet.read_text()
    sheet.write_bytes(text.replace("G2", "mäßig").encode("latin-1", "replace"))
    with pytest.raises(InputError, match=r"Row 2 of statistics.*\.csv .*save it as 'CSV UTF-8'"):
        LungPETCTDx(folder=str(folder)).cases  # noqa: B018
    sheet.write_text(text.replace(",51,", ",51,51,"))
    with pytest.raises(InputError, match=r"Row 3 of statistics.*\.csv has 11 cells, the header 10"):
        LungPETCTDx(folder=str(folder)).cases  # noqa: B018
    sheet.unlink()
    sheet.with_suffix(".xlsx").write_bytes(b"no workbook")
    with pytest.raises(InputError, match=r"\.xlsx is broken or of another kind than its name says"):
        LungPETCTDx(folder=str(folder)).cases  # noqa: B018


@pytest.mark.real_data
def test_the_original_files_where_they_stand():
    try:
        dataset = LungPETCTDx()
        counts = dataset.cases["histology"].value_counts().to_dict()
    except InputError as told:
        pytest.skip(str(told))
    assert counts == {"adenocarcinoma": 251, "squamous": 61}
