import gzip
import hashlib
import stat
import warnings

import numpy as np
import pandas as pd
import pydicom
import pytest
from PIL import Image
from pydicom.data import get_testdata_file

from files import dicom_files
from files.dicom_files import PERSON, SECRETS, ramp
from studykit.catalog import InputError
from studykit.files import personal
from studykit.files.dicom_import import import_dicom
from studykit.files.personal import personal_tags
from studykit.files.volume import read_volume


@pytest.fixture
def source(tmp_path):
    """Two patients: one with two CT series and an X-ray, one with a CT; notes and a report between them."""
    root = tmp_path / "export"
    dicom_files.series(root / "Doe Jane" / "a", ramp(), SeriesInstanceUID="1.2.3.1")
    dicom_files.series(root / "Doe Jane" / "b", ramp((4, 6, 7)), SeriesInstanceUID="1.2.3.2", PatientAge="")
    chest = np.arange(48, dtype=np.uint16).reshape(6, 8)
    dicom_files.picture(root / "x.dcm", chest, SeriesInstanceUID="1.2.3.3", ViewPosition="PA")
    other = {"PatientID": "MRN-0042", "PatientAge": "093Y", "PatientSex": "M", "StudyInstanceUID": "1.2.4"}
    dicom_files.series(root / "c", ramp() + 1, SeriesInstanceUID="1.2.4.1", KVP="120", **other)
    (root / "notes.txt").write_text("Mrs Doe")
    return root


def imported(source, out, salt=None):
    said = []
    table = import_dicom(source, out, salt or out.parent / "salt", said.append)
    return table, said


def contents(folder):
    """Every name and every byte under a folder, compressed files opened."""
    for path in sorted(folder.rglob("*")):
        yield str(path.relative_to(folder)).encode()
        if path.is_file():
            whole = path.read_bytes()
            yield whole
            if path.suffix == ".gz":
                yield gzip.decompress(whole)


def test_volumes_pictures_and_a_table_are_written_without_anything_personal(source, tmp_path):
    table, said = imported(source, tmp_path / "out")
    assert len(table) == 4 and table["patient"].nunique() == 2 and table["study"].nunique() == 2
    assert table["volume"].notna().sum() == 3 and table["image"].notna().sum() == 1
    assert "volumes: 3, pictures: 1, patients: 2; series left out: 0. Write a column 'label'" in said[0]
    assert said[1:] == ["Left out as links or no DICOM files: 1."]
    everything = b"\n".join(contents(tmp_path / "out")) + "\n".join(said[1:]).encode()
    uids = ["1.2.3", "1.2.4", "MRN", "0042", (tmp_path / "salt").read_text()]
    for secret in (*SECRETS, *uids):
        assert secret.encode() not in everything
    on_disk = pd.read_csv(tmp_path / "out" / "cases.csv", index_col="id")
    assert on_disk.index.tolist() == table.index.tolist() == sorted(table.index)
    assert all(len(case) == 16 for case in table.index)


def test_volumes_keep_their_units_place_and_size(source, tmp_path):
    table, _ = imported(source, tmp_path / "out")
    found = {tuple(ramp().shape): 0, (4, 6, 7): 0}
    for name in table["volume"].dropna():
        volume = read_volume(tmp_path / "out" / name)
        assert volume.spacing == pytest.approx((2.0, 0.5, 0.5))
        expected = ramp(volume.values.shape)
        assert np.array_equal(volume.values, expected) or np.array_equal(volume.values, expected + 1)
        found[volume.values.shape] += 1
    assert found == {(5, 6, 7): 2, (4, 6, 7): 1}


def test_only_attributes_of_the_list_leave_and_the_oldest_are_ninety(source, tmp_path):
    table, _ = imported(source, tmp_path / "out")
    assert set(table.columns) <= {"patient", "study", "volume", "image", *personal.KEPT}
    men = table[table["PatientSex"] == "M"]
    assert men["PatientAge"].tolist() == [90] and men["KVP"].tolist() == [120]
    women = table[table["PatientSex"] == "F"]
    assert women["PatientAge"].tolist() == [56, 56, 56]  # one from the dates
    assert set(table["BodyPartExamined"]) == {"CHEST"} and set(table["Manufacturer"]) == {"Siemens"}
    assert table["ViewPosition"].dropna().tolist() == ["PA"]


def test_a_name_typed_into_an_allowed_field_stays_behind(tmp_path):
    tags = {
        "BodyPartExamined": "DOE JANE",
        "Manufacturer": "Doe Inc",
        "ViewPosition": "JANE",
        "KVP": "9999999",
    }
    dicom_files.series(tmp_path / "in", ramp(), SliceThickness=2.0, **tags)
    table, _ = imported(tmp_path / "in", tmp_path / "out")
    assert not set(tags) & set(table.columns) and table["PatientAge"].tolist() == [56]


def test_the_same_key_gives_the_same_names_and_another_key_others(source, tmp_path):
    first, _ = imported(source, tmp_path / "one", tmp_path / "salt")
    again, _ = imported(source, tmp_path / "two", tmp_path / "salt")
    other, _ = imported(source, tmp_path / "three", tmp_path / "salt2")
    assert first.equals(again)
    assert not set(first.index) & set(other.index) and not set(first["patient"]) & set(other["patient"])


def test_the_key_is_secret_and_kept_away_from_the_data(source, tmp_path):
    imported(source, tmp_path / "out")
    salt = tmp_path / "salt"
    assert stat.S_IMODE(salt.stat().st_mode) == 0o600 and len(salt.read_text()) == 64
    with pytest.raises(InputError, match="salt would lie in .*keep it elsewhere"):
        import_dicom(source, tmp_path / "new", tmp_path / "new" / "salt")
    salt.chmod(0o644)
    with pytest.raises(InputError, match="Others may read the salt file"):
        imported(source, tmp_path / "new")
    (tmp_path / "short").write_text("secret")
    (tmp_path / "short").chmod(0o600)
    with pytest.raises(InputError, match="holds fewer than 32 characters"):
        imported(source, tmp_path / "new", tmp_path / "short")
    assert not (tmp_path / "new").exists()


def test_nothing_that_stands_is_replaced_and_nothing_half_is_left(source, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.txt").write_text("precious")
    with pytest.raises(InputError, match="exists already; give a new folder"):
        imported(source, tmp_path / "out")
    with pytest.raises(InputError, match="lie in each other"):
        imported(source, source / "out", tmp_path / "salt")
    with pytest.raises(InputError, match="is missing; give the folder"):
        imported(tmp_path / "none", tmp_path / "new")
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(InputError, match="No picture under .* could be imported"):
        imported(empty, tmp_path / "new")

    def stop(sentence):
        raise KeyboardInterrupt

    next((source / "c").iterdir()).unlink()  # an end slice: nothing to be told; so break one in the middle
    sorted((source / "c").iterdir())[1].unlink()
    with pytest.raises(KeyboardInterrupt):
        import_dicom(source, tmp_path / "new", tmp_path / "salt", stop)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["empty", "export", "out", "salt"]
    assert (tmp_path / "out" / "thesis.txt").read_text() == "precious"


def test_burned_in_text_and_screenshots_keep_their_series_out(source, tmp_path):
    marked = sorted((source / "c").iterdir())[2]
    header = pydicom.dcmread(marked)
    header.BurnedInAnnotation = "YES"
    header.save_as(marked)
    dose = np.zeros((4, 5), np.uint8)
    dicom_files.picture(source / "dose.dcm", dose, dicom_files.SECONDARY, SeriesInstanceUID="1.2.3.9")
    table, said = imported(source, tmp_path / "out")
    assert len(table) == 3 and table["patient"].nunique() == 1
    left = [sentence for sentence in said if sentence.startswith("A series was left out")]
    assert len(left) == 2
    assert any("1-003.dcm says that text is burned into its picture" in sentence for sentence in left)
    assert any("dose.dcm is a screenshot" in sentence for sentence in left)


def test_a_series_that_cannot_be_read_is_left_out_with_a_sentence(source, tmp_path):
    cut = source / "c" / "1-005.dcm"
    cut.write_bytes(cut.read_bytes()[:-30])
    table, said = imported(source, tmp_path / "out")
    assert len(table) == 3 and "1-005.dcm cannot be read" in said[0]


@pytest.mark.parametrize(("length", "known"), [(140, False), (200, False), (600, False), (None, True)])
def test_a_file_that_ends_before_its_picture_keeps_only_its_own_series_out(source, tmp_path, length, known):
    cut = source / "c" / "1-005.dcm"  # the last slice: the others would make a volume without it
    whole = cut.read_bytes()
    end = length or whole.index(b"\x28\0\x10\0US")  # before its rows
    assert (b"1.2.4.1" in whole[:end]) == known
    cut.write_bytes(whole[:end])
    table, said = imported(source, tmp_path / "out")
    assert said[0].startswith("A file was left out. ") and "1-005.dcm" in said[0]
    assert ("may lack a slice" in said[0]) != known
    assert table["volume"].notna().sum() == (2 if known else 3) and table["image"].notna().sum() == 1
    assert any("1-005.dcm of it was left out, so it is not whole" in sentence for sentence in said) == known
    for path in source.rglob("*.dcm"):
        path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(InputError, match="No picture under .* could be imported"):
        imported(source, tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_a_series_whose_number_is_itself_cut_off_is_not_taken_for_another(source, tmp_path):
    cut = source / "c" / "1-005.dcm"
    whole = cut.read_bytes()
    cut.write_bytes(whole[: whole.index(b"1.2.4.1") + 5])
    table, said = imported(source, tmp_path / "out")
    assert len(table) == 4 and "Its series is not known" in said[0]


def test_deflated_files_are_left_out_and_the_rest_goes_on(source, tmp_path):
    syntax = pydicom.uid.DeflatedExplicitVRLittleEndian
    dicom_files.picture(source / "z.dcm", np.zeros((4, 5), np.uint8), syntax=syntax, SeriesInstanceUID="1.9")
    table, said = imported(source, tmp_path / "out")
    assert len(table) == 4 and "z.dcm is deflated as a whole" in said[0]


def test_segmentations_and_doses_are_no_cases_and_unknown_kinds_are(source, tmp_path):
    pixels = np.zeros((4, 5), np.uint8)
    kinds = {"seg": "66.4", "map": "30", "dose": "481.2", "raw": "66"}
    for name, kind in kinds.items():
        kind = f"1.2.840.10008.5.1.4.1.1.{kind}"
        dicom_files.picture(source / f"{name}.dcm", pixels, kind, SeriesInstanceUID=f"1.9{kind[25:]}")
    for number, kind in enumerate(("1.2.840.113619.4.27", "1.2.840.10008.5.1.4.1.1.6.2")):  # a maker's; 3D US
        dicom_files.picture(source / f"{number}.dcm", pixels, kind, SeriesInstanceUID=f"1.8.{number}")
    table, said = imported(source, tmp_path / "out")
    assert len(table) == 4 + 2 and any("without a picture" in s and s.endswith(": 4.") for s in said)


def test_only_the_owner_may_open_what_was_imported(source, tmp_path):
    imported(source, tmp_path / "out")
    assert stat.S_IMODE((tmp_path / "out").stat().st_mode) == 0o700


def test_odd_values_are_repeated_nowhere(source, tmp_path, recwarn, capsys):
    odd = {b"056Y": b"Jane", b"MRN-4711": b"Jane\\Doe", b"1234": b"Jane", b"20070425": b"Jane Doe"}
    folder = dicom_files.series(
        source / "odd", ramp(), SeriesInstanceUID="1.7", StudyInstanceUID="1.7.1", KVP="1234"
    )
    for path in folder.iterdir():
        content = path.read_bytes()
        for value, other in odd.items():
            assert value in content
            content = content.replace(value, other)
        path.write_bytes(content)
    table, said = imported(source, tmp_path / "out")
    assert len(table) == 5
    personal_tags(path)
    shown = " ".join([*said, *(str(one.message) for one in recwarn), *capsys.readouterr()])
    assert "Jane" not in shown.replace("Doe Jane/", "")


def test_of_a_series_with_a_broken_picture_none_is_written(source, tmp_path):
    pixels = np.arange(20, dtype=np.uint8).reshape(4, 5)
    for number in range(3):
        path = dicom_files.picture(source / f"us{number}.dcm", pixels, SeriesInstanceUID="1.8", Modality="US")
    path.write_bytes(path.read_bytes()[:-10])
    table, said = imported(source, tmp_path / "out")
    assert len(table) == 4 and "us2.dcm cannot be read" in said[0]
    assert len(list((tmp_path / "out" / "images").iterdir())) == 1


def test_links_are_not_followed(source, tmp_path):
    elsewhere = dicom_files.series(tmp_path / "elsewhere", ramp(), SeriesInstanceUID="9.9")
    (source / "folder").symlink_to(elsewhere)
    (source / "file.dcm").symlink_to(elsewhere / "1-001.dcm")
    table, said = imported(source, tmp_path / "out")
    assert len(table) == 4 and any(sentence.endswith("no DICOM files: 3.") for sentence in said)


def test_two_patients_in_one_series_and_a_patient_without_number(tmp_path):
    folder = dicom_files.series(tmp_path / "in" / "a", ramp(), PatientID="")
    table, said = imported(tmp_path / "in", tmp_path / "out")
    assert len(table) == 1 and any("stands for one: 1." in sentence for sentence in said)
    header = pydicom.dcmread(folder / "1-002.dcm")
    header.PatientID = "someone else"
    header.save_as(folder / "1-002.dcm")
    with pytest.raises(InputError, match="No picture"):
        imported(tmp_path / "in", tmp_path / "new")


def test_pictures_are_written_in_their_window_light_and_colour(tmp_path):
    ramp16 = np.arange(0, 4096, 16, dtype=np.uint16).reshape(16, 16)
    root = tmp_path / "in"
    window = {"WindowCenter": 2048.0, "WindowWidth": 1024.0}
    dicom_files.picture(root / "a.dcm", ramp16, SeriesInstanceUID="1.1", **window)
    dark = {"PhotometricInterpretation": "MONOCHROME1", **window}
    dicom_files.picture(root / "b.dcm", ramp16, SeriesInstanceUID="1.2", **dark)
    colour = np.random.default_rng(0).integers(0, 255, (8, 9, 3), dtype=np.uint8)
    dicom_files.picture(root / "c.dcm", colour, SeriesInstanceUID="1.3", Modality="US")
    _, said = imported(root, tmp_path / "out")
    assert any("burn names in, and that do not say: 1;" in sentence for sentence in said)
    seen = [np.asarray(Image.open(path)).astype(int) for path in sorted((tmp_path / "out/images").iterdir())]
    plain = [one for one in seen if one.ndim == 2]
    assert np.array_equal(next(one for one in seen if one.ndim == 3), colour)
    assert np.array_equal(plain[0], 255 - plain[1])
    light = plain[0] if plain[0][0, 0] == 0 else plain[1]
    for value, gray in zip(ramp16.ravel().astype(float), light.ravel()):  # DICOM PS3.3 C.11.2.1.2.1
        exact = ((value - 2047.5) / 1023 + 0.5) * 255
        assert abs(gray - min(max(exact, 0), 255)) <= 0.51


def test_what_is_personal_in_a_file_is_named_and_never_shown(tmp_path):
    path = dicom_files.picture(
        tmp_path / "x.dcm",
        np.zeros((4, 4), np.uint8),
        BurnedInAnnotation="YES",
        OtherPatientIDs="",
        KVP="120",
    )
    header = pydicom.dcmread(path)
    header.private_block(0x0011, "ACME", create=True).add_new(1, "LO", "Jane Doe")
    inner = pydicom.Dataset()
    inner.OperatorsName = "Who^Nurse"
    header.RequestAttributesSequence = [inner]
    header.save_as(path)
    found = dict(personal_tags(path))
    personal_ones = set(PERSON) - {"PatientSex", "PatientAge", "Manufacturer", "BodyPartExamined"}
    assert personal_ones | {"OperatorsName", "BurnedInAnnotation", "private tags"} <= set(found)
    assert not {"OtherPatientIDs", "KVP", "PatientSex", "Manufacturer", "Rows", "SOPClassUID"} & set(found)
    assert "its 2 own attributes" in found["private tags"]
    assert all(keyword.isidentifier() or keyword == "private tags" for keyword in found)
    assert not any(secret in str(found) for secret in SECRETS)
    with pytest.raises(InputError, match=r"notes\.txt is no DICOM file"):
        (tmp_path / "notes.txt").write_text("x")
        personal_tags(tmp_path / "notes.txt")


@pytest.mark.parametrize(
    "name", ["CT_small.dcm", "examples_ybr_color.dcm", "test-SR.dcm", "rtplan.dcm", "badVR.dcm"]
)
def test_files_that_come_with_pydicom_are_looked_at_without_failing(name, recwarn):
    path = get_testdata_file(name, download=False)
    found = personal_tags(path)
    header = pydicom.dcmread(path, stop_before_pixels=True)
    names = {e.keyword for e in header if e.VR == "PN" and not e.is_empty}
    assert names <= {keyword for keyword, _ in found}


def test_ages_and_pseudonyms():
    def header(**tags):
        one = pydicom.Dataset()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # some are no ages and no dates
            for keyword, value in tags.items():
                setattr(one, keyword, value)
        return one

    assert personal.age(header(PatientAge="007M")) == 0 and personal.age(header(PatientAge="018M")) == 1
    assert personal.age(header(PatientAge="120Y")) == 90 and personal.age(header()) is None
    assert personal.age(header(PatientBirthDate="20000301", StudyDate="20200229")) == 19
    assert personal.age(header(PatientBirthDate="20000301", StudyDate="20200301")) == 20
    assert personal.age(header(PatientAge="old", PatientBirthDate="2000")) is None
    # RFC 2104 by hand: H((K ^ opad) || H((K ^ ipad) || text))
    key, text = "k" * 40, b"patient\0MRN"
    padded = key.encode().ljust(64, b"\0")
    inner = hashlib.sha256(bytes(b ^ 0x36 for b in padded) + text).digest()
    outer = hashlib.sha256(bytes(b ^ 0x5C for b in padded) + inner).hexdigest()
    assert personal.pseudonym(key, "patient", "MRN") == outer[:16]
