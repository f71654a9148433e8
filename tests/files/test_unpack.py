import io
import stat
import tarfile
import zipfile

import numpy as np
import pytest

from studykit.catalog import InputError
from studykit.files import unpack as module
from studykit.files.unpack import Refused, unpack

RANDOM = np.random.default_rng(0).bytes(2**20)
FILE = tarfile.REGTYPE


@pytest.fixture
def unpacked(tmp_path):
    """A function that unpacks these bytes and says what stands in the folder then."""

    def unpacked(content, folder="folder"):
        (tmp_path / "a.zip").write_bytes(content)
        unpack(tmp_path / "a.zip", tmp_path / folder)
        return standing(tmp_path / folder)

    unpacked.place = tmp_path
    return unpacked


def standing(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def zipped(members):
    """A zip archive; a member may be content or (ZipInfo, content)."""
    kept = io.BytesIO()
    with zipfile.ZipFile(kept, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(*content) if isinstance(content, tuple) else archive.writestr(name, content)
    return kept.getvalue()


def tarred(*members):
    kept = io.BytesIO()
    with tarfile.open(fileobj=kept, mode="w:gz") as archive:
        for name, kind, content in members:
            info = tarfile.TarInfo(name)
            info.type, info.linkname, info.size = kind, "/etc/passwd", len(content)
            archive.addfile(info, io.BytesIO(content))
    return kept.getvalue()


def link(name, target):
    info = zipfile.ZipInfo(name)
    info.create_system, info.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
    return {name: (info, target)}


def locked():
    content = bytearray(zipped({"a.txt": "secret"}))
    for mark, place in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        content[content.index(mark) + place] |= 1
    return bytes(content)


def wrong_place():
    """A zip archive by whose list its members would start before its beginning."""
    content = bytearray(zipped({"a.txt": "x"}))
    content[content.index(b"PK\x05\x06") + 16] += 40
    return bytes(content)


def test_files_come_out_as_they_went_in(unpacked):
    members = {"a.txt": b"x", "b/c.bin": RANDOM}
    assert unpacked(zipped({**members, "b/": b""}), "one") == members
    folders = ("b", tarfile.DIRTYPE, b"")
    assert unpacked(tarred(folders, *((name, FILE, content) for name, content in members.items()))) == members


def test_archives_in_an_archive_are_unpacked_where_they_lie_and_what_a_mac_adds_is_left_out(unpacked):
    inner = zipped({"part/a.png": b"a", "__MACOSX/part/._a.png": b"litter"})
    content = zipped({"images/part.zip": inner, "images/.DS_Store": b"litter", "folder.zip/b.csv": b"b"})
    assert unpacked(content) == {"images/part/a.png": b"a", "folder.zip/b.csv": b"b"}


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (zipped({"../evil.txt": "x"}), r"holds the name '\.\./evil\.txt'"),
        (zipped({"a/../../evil.txt": "x"}), "holds the name"),
        (zipped({"/evil.txt": "x"}), "holds the name '/evil.txt'"),
        (zipped({"C:/evil.txt": "x"}), "holds the name"),
        (zipped({"..\\evil.txt": "x"}), "holds the name"),
        (zipped({"evil\n.txt": "x"}), "holds the name"),
        (zipped(link("evil", "/etc/passwd")), "holds 'evil', a link"),
        (zipped({"inner.zip": zipped({"../../evil.txt": "x"})}), r"inner\.zip holds the name"),
        (tarred(("ok.txt", FILE, b"ok"), ("evil", tarfile.SYMTYPE, b"")), "holds 'evil', a link"),
        (tarred(("evil", tarfile.LNKTYPE, b"")), "holds 'evil', a link"),
        (tarred(("evil", tarfile.CHRTYPE, b"")), "holds 'evil', a link or a device"),
        (tarred(("evil", tarfile.FIFOTYPE, b"")), "a device"),
        (tarred(("../evil.txt", FILE, b"x")), "holds the name"),
        (tarred(("a.txt", FILE, b"x"), ("a.txt", FILE, b"y")), "holds 'a.txt' twice"),
        (locked(), "locked with a password"),
        (b"<html>Please sign in</html>", "no zip or tar archive.* or a web page came instead"),
        (b"", "no zip or tar archive"),
        (zipped({"a.txt": "x" * 9999})[:-40], "no zip or tar archive"),
        (zipped({"a.txt": RANDOM}).replace(RANDOM[500:600], bytes(100)), "damaged"),
        (wrong_place(), "damaged"),
        (zipped({"a": "x", "a/b/c": "y"}), "damaged"),
        (zipped({"a" * 300: "x"}), "damaged"),
        (tarred(("a.txt", FILE, RANDOM))[:-99], "damaged"),
    ],
    ids=lambda one: (
        "archive" if isinstance(one, bytes) else one
    ),  # archives hold the time: no process's alike
)
def test_what_leads_elsewhere_or_is_broken_is_refused(unpacked, content, sentence):
    with pytest.raises(Refused, match=sentence):
        unpacked(content)
    assert "evil" not in " ".join(standing(unpacked.place))


@pytest.mark.parametrize(
    "content",
    [
        zipped({"a": bytes(3 * 10**6)}),
        tarred(("a", FILE, bytes(3 * 10**6))),
        zipped({f"{name}.zip": zipped({name: bytes(12 * 10**5)}) for name in "ab"}),  # each alone would do
    ],
    ids=["zip", "tar", "nested"],
)
def test_what_unpacks_to_far_too_much_is_stopped_before_it_is_written(unpacked, monkeypatch, content):
    monkeypatch.setattr(module, "SMALL", 2 * 10**6)
    with pytest.raises(Refused, match="unpacks to more than"):
        unpacked(content)
    assert sum(map(len, standing(unpacked.place).values())) < 2 * 10**6


def test_a_large_archive_may_unpack_to_what_its_size_allows(unpacked, monkeypatch):
    monkeypatch.setattr(module, "SMALL", 0)
    assert len(unpacked(zipped({"a": RANDOM}))["a"]) == len(RANDOM)


def test_too_many_files_are_stopped(unpacked, monkeypatch):
    monkeypatch.setattr(module, "MEMBERS", 20)
    with pytest.raises(Refused, match="or 20 files"):
        unpacked(zipped({f"{number}": "" for number in range(21)}))


def test_a_disk_without_room_is_not_the_archives_fault(unpacked, monkeypatch):
    monkeypatch.setattr(module, "SPARE", 10**15)
    with pytest.raises(InputError, match="The disk has .* free, and .* are needed") as told:
        unpacked(zipped({"a": "x"}))
    assert not isinstance(told.value, Refused)
