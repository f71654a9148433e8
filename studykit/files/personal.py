"""What in a DICOM file points to a person, what little of it may leave, and by what names.

Nothing is kept because it looks harmless: a short list names what is, and each value must be a number in its
range or a word of a closed list, so that a name typed into the wrong field stays behind. What the list holds
follows DICOM PS3.15 Annex E, basic profile with retained patient characteristics, of which only sex and age
are used. Identifiers become keyed hashes (HMAC-SHA-256): with the same key a patient has the same name in
every import, and without it nobody finds the way back by trying all numbers, as with a plain hash. Who holds
the key can, so such data are pseudonymous, not anonymous.
"""

import hashlib
import hmac
import os
import re
import secrets
from pathlib import Path

from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset as Header

from studykit.catalog import InputError
from studykit.files.dicom import broken_told, read_header

OLDEST = 90  # years; who is older is 90, since so few are
SHORTEST_KEY = 32  # hexadecimal digits

# Why an attribute is personal, where its kind of value alone does not say so.
REASONS = {
    "PatientID": "it is the patient's number",
    "OtherPatientIDs": "it is the patient's number",
    "IssuerOfPatientID": "it says who gave the patient's number",
    "AccessionNumber": "it leads to the examination in the hospital's archive",
    "StudyID": "it leads to the examination in the hospital's archive",
    "RequestedProcedureID": "it leads to the examination in the hospital's archive",
    "InstitutionName": "it says where the patient was",
    "InstitutionAddress": "it says where the patient was",
    "InstitutionalDepartmentName": "it says where the patient was",
    "StationName": "it says where the patient was",
    "DeviceSerialNumber": "it says at which device the patient was",
    "PatientAddress": "it says where the patient lives",
    "PatientTelephoneNumbers": "it says how to reach the patient",
    "EthnicGroup": "it says who the patient is",
    "Occupation": "it says who the patient is",
    "PatientWeight": "a rare value points to the patient",
    "PatientSize": "a rare value points to the patient",
    "OverlayData": "text may be drawn in it",
    "EncapsulatedDocument": "it is a document with the patient's findings",
}
KINDS = {
    "PN": "it is a name",
    **dict.fromkeys(("DA", "DT", "TM"), "a date or a time leads to the examination"),
    "UI": "a unique number leads to the hospital's archive",
    "AE": "it says where the patient was",
    **dict.fromkeys(("LO", "LT", "SH", "ST", "UC", "UR", "UT"), "people write what they like into it"),
}
HARMLESS = {
    *("SOPClassUID", "ReferencedSOPClassUID", "TransferSyntaxUID", "MediaStorageSOPClassUID", "ContextUID"),
    *("Manufacturer", "ManufacturerModelName", "SoftwareVersions", "ConvolutionKernel"),
    *("CodeValue", "CodeMeaning", "CodingSchemeDesignator", "CodingSchemeVersion", "CodingSchemeUID"),
}

# What may leave: numbers within a range, and words of a closed list.
NUMBERS = {
    "SliceThickness": (0, 100),  # mm
    "KVP": (1, 500),  # kV
    "XRayTubeCurrent": (0, 5000),  # mA
    "MagneticFieldStrength": (0, 20),  # T
    "RepetitionTime": (0, 1e5),  # ms
    "EchoTime": (0, 1e4),  # ms
}
WORDS = {
    "Modality": "CT MR PT NM US CR DX MG XA RF OT",
    "PatientSex": "F M O",
    "BodyPartExamined": "ABDOMEN ANKLE BLADDER BRAIN BREAST CHEST CSPINE ELBOW FOOT HAND HEAD HEART HIP "
    "KIDNEY KNEE LIVER LSPINE LUNG NECK PANCREAS PELVIS PROSTATE SHOULDER SKULL SPINE THYROID TSPINE WRIST",
    "Laterality": "L R B U",
    "ImageLaterality": "L R B U",
    "ViewPosition": "AP PA LL RL LLD RLD CC MLO ML LM",
}
MAKERS = (
    *("Agfa", "Canon", "Carestream", "Esaote", "Fujifilm", "GE", "Hitachi", "Hologic", "Mindray", "Neusoft"),
    *("Philips", "Samsung", "Siemens", "Supersonic", "Toshiba", "UIH"),
)
KEPT = (*WORDS, "PatientAge", "Manufacturer", *NUMBERS)


def personal_tags(path: Path) -> list[tuple[str, str]]:
    """The attributes of a DICOM file that hold something personal: (keyword, why), never the value.

    Among them "BurnedInAnnotation" where the file says that text is in its pixels, and "private tags" where
    a maker's own attributes are in it, of which nobody else knows what they hold.
    Raises InputError for a file that is no DICOM file.
    """
    header = read_header(path)
    found: dict[str, str] = {}
    private = 0
    with broken_told(path):
        for element in header.iterall():
            private += element.tag.is_private
            reason = _reason(element)
            if reason:
                found.setdefault(element.keyword or str(element.tag), reason)
        if str(header.get("BurnedInAnnotation") or "").strip().upper() == "YES":
            found["BurnedInAnnotation"] = "the file says that text is burned into its pixels"
    if private:
        found["private tags"] = f"only the maker knows what its {private} own attributes hold"
    return sorted(found.items())


def kept(header: Header) -> dict[str, object]:
    """The attributes that may leave, {keyword: value}; None where missing or not in its range or list."""
    found: dict[str, object] = {}
    for keyword, (low, high) in NUMBERS.items():
        try:
            number = float(header.get(keyword))
        except (TypeError, ValueError):
            number = None
        found[keyword] = number if number is not None and low <= number <= high else None
    for keyword, known in WORDS.items():
        word = str(header.get(keyword) or "").strip().upper()
        found[keyword] = word if word in known.split() else None
    maker = str(header.get("Manufacturer") or "").casefold().split()
    found["Manufacturer"] = next((name for name in MAKERS if maker[:1] == [name.casefold()]), None)
    found["PatientAge"] = age(header)
    return {keyword: found[keyword] for keyword in KEPT}


def age(header: Header) -> int | None:
    """Whole years at the examination, at most 90; from the dates where it is not written; None if unknown."""
    written = re.fullmatch(r"(\d{1,3})([YMWD])", str(header.get("PatientAge") or "").strip())
    if written:
        years = int(written[1]) // {"Y": 1, "M": 12, "W": 52, "D": 365}[written[2]]
        return min(years, OLDEST)
    born, seen = (
        re.fullmatch(r"(\d{4})(\d{4})", str(header.get(day) or ""))
        for day in ("PatientBirthDate", "StudyDate")
    )
    if not born or not seen:
        return None
    years = int(seen[1]) - int(born[1]) - (seen[2] < born[2])
    return min(years, OLDEST) if years >= 0 else None


def pseudonym(key: str, kind: str, identifier: str) -> str:
    """16 hexadecimal digits that stand for an identifier; without the key nobody finds it again.

    kind: "patient", "study", ...: the same text of another kind gets another name.
    """
    return hmac.new(key.encode(), f"{kind}\0{identifier}".encode(), hashlib.sha256).hexdigest()[:16]


def secret_key(path: Path) -> str:
    """The key in `path`; where there is no such file, a new one is made that only its owner may read.

    Raises InputError where the key is too short to be one, or where others may read it.
    """
    try:
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
                file.write(secrets.token_hex(32))
        key = path.read_text().strip()
        readable = path.stat().st_mode & 0o077
    except (OSError, UnicodeDecodeError) as why:
        raise InputError(
            f"The salt file {path} cannot be read or made ({type(why).__name__}); choose another."
        ) from None
    if readable:
        raise InputError(
            f"Others may read the salt file {path}; take that right away (chmod 600) and try again."
        )
    if len(key) < SHORTEST_KEY:
        raise InputError(
            f"The salt file {path} holds fewer than {SHORTEST_KEY} characters; name one that does not "
            "exist yet, and it is made."
        )
    return key


def _reason(element: DataElement) -> str:
    """Why this attribute is personal; empty where it is not, or holds nothing."""
    if element.tag.is_private or element.VR == "SQ" or element.is_empty or element.keyword in HARMLESS:
        return ""
    return REASONS.get(element.keyword) or KINDS.get(element.VR, "")
