"""Does anything name a patient: a column, a text, what cameras and scanners write into a file?

Only counts, column names and names of tags are told, never what stands there. Finding nothing proves nothing:
names in free text, faces and burned-in letters are not looked for.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from zipfile import BadZipFile

import pandas as pd
from PIL import ExifTags, Image, UnidentifiedImageError

from studykit.audit.check import Check, Finding
from studykit.audit.looked import Looked, plural, some
from studykit.audit.pictures import SUFFIXES
from studykit.catalog import InputError

# What a column is called, its words parted by one space, in small letters.
COLUMN_NAMES = {
    "a name": r"^(patient|subject|person|first|last|given|middle|maiden|full|sur)? ?(name|names)$|surname"
    r"|^(referring |attending )?(physician|doctor)s? name$|^(fore|nach|vor)names?$",
    "a birth date": r"\bbirth ?(date|day)|\bdate of birth|\bdob\b|geburts",
    "a record number": r"\bmrn\b|medical record|\bssn\b|social security|insurance n|passport|nhs n|accession",
    "an address": r"\baddress|\bstreet\b|post ?code|postal|\bzip\b",
    "a phone number": r"phone|\bmobile n|\bfax\b",
    "an e-mail address": r"\be ?mail",
}
# What a text holds, and whether that is a problem; what one pattern takes, the next no longer sees.
TEXT_PATTERNS = {
    "an e-mail address": ("problem", r"[\w.+-]+@[\w-]+\.[\w.-]+"),
    "a date": ("note", r"\b(\d{4}[-/.]\d{1,2}[-/.]\d{1,2}|\d{1,2}[-/.]\d{1,2}[-/.](\d{4}|\d{2}))\b"),
    "a phone number": (
        "problem",
        r"(?<![\w.])((\+|00|\()\d[\d ()/-]{6,}\d|0\d{2,4}[ /-]\d{5,}|\d{3}[-. ]\d{3}[-. ]\d{4})(?!\w)",
    ),
}
WHO = ("PatientID", "OtherPatientIDs", "PatientBirthDate", "PatientAddress", "PatientTelephoneNumbers",
       "AccessionNumber", "BurnedInAnnotation", "EncapsulatedDocument")  # fmt: skip
OWNERS = ("Artist", "CameraOwnerName", "XPAuthor")
REMARKS = ("ImageDescription", "UserComment", "XPComment", "XPTitle", "XPSubject", "XPKeywords",
           "DateTimeOriginal", "BodySerialNumber")  # fmt: skip
HARMLESS = ("Software", "Creation Time", "date:create", "date:modify", "date:timestamp", "Disclaimer")
NIFTI_TEXTS = ("descrip", "aux_file", "intent_name", "db_name")
PNG_WORDS = ("Author", "Title", "Description", "Copyright", "Comment", "Source", "Warning")


@dataclass(frozen=True)
class Personal(Check, name="personal"):
    """Columns, e-mail addresses, phone numbers, places and owners are problems; dates and remarks are notes.

    Looked at are the columns of the cases and of the tables that they come from, the words in the cases'
    columns, and the headers of picture, DICOM and NIfTI files. A finding's value is the number of cells or
    files.
    """

    title = "Whether anything names a patient"

    def __call__(self, looked: Looked) -> Iterator[Finding]:  # noqa: D102
        files = sorted(set(looked.dataset.files()))
        yield from _columns(looked, files)
        for column in looked.cases.columns.difference(["group", *looked.members], sort=False):
            yield from _texts(looked, column)
        yield from _in_files(looked, files)
        seen = [path for path in files if path.suffix.lower() in TABLES or reader(path)]
        says = f"columns, texts and the headers of {plural(len(seen), 'file')} were looked at."
        if len(files) > len(seen):
            says += f" {plural(len(files) - len(seen), 'file')} of other kinds can hold more."
        yield Finding("fact", "all", says, looked.cases.index, len(seen))


def _columns(looked: Looked, files: list[Path]) -> Iterator[Finding]:
    headers = {"the cases": list(looked.cases.columns)}
    headers.update({path.name: header(path) for path in files if path.suffix.lower() in TABLES})
    for where, columns in headers.items():
        for column in columns:
            plain = re.sub(r"(?<=[a-z])(?=[A-Z])|[\W_]+", " ", str(column)).strip().lower()
            for what, pattern in COLUMN_NAMES.items():
                if re.search(pattern, plain):
                    says = f"in {where}: it is called like {what}; remove it from what you keep."
                    yield Finding("problem", str(column), says)


TABLES = {".csv": pd.read_csv, ".tsv": lambda path, **rest: pd.read_csv(path, sep="\t", **rest),
          ".xlsx": pd.read_excel}  # fmt: skip


def header(path: Path) -> list[str]:
    """The columns of a table; none where it cannot be read (the data set says so if it needs it)."""
    try:
        return list(TABLES[path.suffix.lower()](path, nrows=0).columns)
    except (OSError, ValueError, KeyError, BadZipFile):
        return []


def _texts(looked: Looked, column: str) -> Iterator[Finding]:
    cells = looked.cases[column].dropna()
    counts: dict[str, list[str]] = {}
    for case, cell in cells[cells.map(lambda cell: isinstance(cell, str)).astype(bool)].items():
        for what in patterns_in(cell):
            counts.setdefault(what, []).append(case)
    for what, ids in counts.items():
        says = f"what looks like {what}, in {plural(len(ids), 'cell')}; take it out of the text."
        yield Finding(TEXT_PATTERNS[what][0], column, says, ids, len(ids))


def patterns_in(text: str) -> list[str]:
    """What looks personal in a text."""
    found = []
    for what, (_, pattern) in TEXT_PATTERNS.items():
        text, times = re.subn(pattern, " ", text)
        found += [what] * (times > 0)
    return found


def _in_files(looked: Looked, files: list[Path]) -> Iterator[Finding]:
    """What the headers of files hold: one finding for the tags that tell the same."""
    tags: dict[tuple[str, str], dict[str, None]] = {}
    holders: dict[tuple[str, str], dict[Path, None]] = {}
    for path in looked.watch(files):
        read = reader(path)
        for level, tag, what in read(path) if read else ():
            tags.setdefault((level, what), {})[tag] = None
            holders.setdefault((level, what), {})[path] = None
    for (level, what), found in tags.items():
        paths = [path.name for path in holders[level, what]]
        listed = f"{', '.join(found)}: " if len(found) > 1 else ""
        says = f"{listed}{what}; in {plural(len(paths), 'file')} ({some(paths, 3)})."
        yield Finding(level, some(found, 1), says, (), len(paths))


def reader(path: Path) -> Callable[[Path], list[tuple[str, str, str]]] | None:
    """What looks at the header of this kind of file; None where nothing does."""
    if path.suffix.lower() in SUFFIXES:
        return picture_tags
    if path.name.lower().endswith((".nii", ".nii.gz")):
        return nifti_tags
    return dicom_tags if is_dicom(path) else None


def nifti_tags(path: Path) -> list[tuple[str, str, str]]:
    """(level, field, what it is) of the free text in a NIfTI file's header; no voxel is read."""
    import nibabel  # loaded only where there is such a file

    try:
        header = nibabel.load(path).header
        found = [f for f in NIFTI_TEXTS if f in header and header[f].item().strip(b"\0 ")]
        found += ["extension"] if len(header.extensions) else []
    except Exception:  # a broken header can make the reader fail in any way
        return [("note", "NIfTI", "a header that cannot be read")]
    return [("note", f"NIfTI {field}", "free text, in which a name may stand") for field in found]


def dicom_tags(path: Path) -> list[tuple[str, str, str]]:
    """(level, tag, why it is personal) of a DICOM file.

    What names a person or leads straight to one is a problem; of what might (dates, unique numbers, places),
    no more than a note, for a file that was made nameless with care holds such tags, too.
    """
    from pydicom.datadict import dictionary_VR, tag_for_keyword  # loaded only where there is such a file

    from studykit.files.personal import personal_tags

    try:
        found = personal_tags(path)
    except InputError:
        return [("note", "DICOM", "a header that cannot be read")]
    tags = []
    for keyword, why in found:
        number = tag_for_keyword(keyword)
        named = keyword in WHO or (number is not None and dictionary_VR(number) == "PN")
        tags.append(("problem" if named else "note", f"DICOM {keyword}", re.sub(r"\d+ ", "", why)))
    return tags


def picture_tags(path: Path) -> list[tuple[str, str, str]]:
    """(level, tag, what it is) of what a picture's file says of persons, places and dates.

    Of a file that cannot be read nothing is told; the pictures themselves are another check.
    """
    try:
        with Image.open(path) as image:
            exif, info, kind = image.getexif(), dict(image.info), image.format
            camera = exif.get_ifd(ExifTags.IFD.Exif)
            names = {ExifTags.TAGS.get(tag, "") for tag, value in {**exif, **camera}.items() if value}
            place = exif.get_ifd(ExifTags.IFD.GPSInfo)
        words = png_words(path) if kind == "PNG" else []
    except (UnidentifiedImageError, OSError):
        return []
    except Exception:  # a broken EXIF block can make the reader fail in any way
        return [("note", "EXIF", "a block that cannot be read")]
    tags = [("problem", f"EXIF {name}", "names an owner") for name in OWNERS if name in names]
    tags += [("note", f"EXIF {name}", "a remark or date of the camera") for name in REMARKS if name in names]
    if set(place) & {ExifTags.GPS.GPSLatitude, ExifTags.GPS.GPSLongitude, ExifTags.GPS.GPSDestLatitude}:
        tags.append(("problem", "EXIF GPS", "says where the picture was taken"))
    if info.get("comment"):
        tags.append(("note", f"{kind} comment", "a remark"))
    for word in dict.fromkeys(words):
        level, says = ("problem", "names an author") if word == "Author" else ("note", "a remark")
        tags.append((level, f"PNG {word if word in PNG_WORDS else 'text'}", says))
    return tags


def png_words(path: Path) -> list[str]:
    """The keywords of a PNG file's text chunks, but for harmless ones; pixels are not read."""
    found = []
    with path.open("rb") as file:
        file.seek(8)
        while len(head := file.read(8)) == 8:
            length, kind = int.from_bytes(head[:4], "big"), head[4:]
            if kind in (b"tEXt", b"zTXt", b"iTXt"):
                word = file.read(length).partition(b"\0")[0].decode("latin-1")
                found += [word] if word not in HARMLESS else []
                length = 0
            file.seek(length + 4, 1)
    return found


def is_dicom(path: Path) -> bool:
    """Whether the letters DICM stand where a DICOM file has them."""
    try:
        with path.open("rb") as file:
            return file.read(132)[128:] == b"DICM"
    except OSError:
        return False
