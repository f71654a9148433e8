"""Unpacking what a publisher sent, with every name and size checked before anything is written.

An archive may be damaged, or made to write elsewhere or to fill the disk; nothing of that is believed.
"""

import errno
import re
import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from lzma import LZMAError
from pathlib import Path, PurePosixPath
from typing import IO

from studykit.catalog import InputError

CHUNK = 2**20
SPARE = 2**28  # bytes that are left free on the disk
SMALL, RATIO, MEMBERS = 2**30, 100, 500_000  # an archive holds at most SMALL or RATIO times its own bytes
LITTER = {"__MACOSX", ".DS_Store"}  # what a Mac adds
BROKEN = (
    *(zipfile.BadZipFile, tarfile.TarError, zlib.error, LZMAError),
    *(EOFError, NotImplementedError, UnicodeDecodeError),
)
NAMES_AND_PLACES = (None, errno.EINVAL, errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG)
Member = tuple[str, int, Callable[[], IO[bytes]]]  # its name, its size, how to open it


class Refused(InputError):
    """What came is not what it should be; nothing of it is kept."""


def unpack(archive: Path, folder: Path) -> None:
    """Unpack a zip or tar archive, and the zip archives in it, into the new `folder`.

    Raises Refused for a name that leads elsewhere, for links and devices, for a password, for two files of
    one name, for far more content than an archive of its size should have, and for damage; InputError where
    the disk has no room. `folder` is then half full: remove it.
    """
    most = max(SMALL, RATIO * archive.stat().st_size)
    folder.mkdir(parents=True)
    left = most - _unpacked(archive, folder, most)
    for inner in sorted(path for path in folder.rglob("*.zip") if path.is_file()):
        left -= _unpacked(inner, inner.parent, left)
        inner.unlink()


def check_room(folder: Path, needed: int) -> None:
    """InputError where the disk of `folder` has no room for `needed` bytes and a little more."""
    free = shutil.disk_usage(folder).free
    if free < needed + SPARE:
        raise InputError(
            f"The disk has {megabytes(free)} free, and {megabytes(needed + SPARE)} are needed; free some, or "
            "choose another place."
        )


def megabytes(size: int) -> str:
    """A number of bytes for a person."""
    return f"{size / 1e6:,.1f} MB"


def _unpacked(archive: Path, folder: Path, most: int) -> int:
    """How many bytes it held, `most` at most."""
    total = count = 0
    members = _zip_members if zipfile.is_zipfile(archive) else _tar_members
    try:
        if members is _tar_members and not tarfile.is_tarfile(archive):
            raise Refused(f"{archive.name} is no zip or tar archive: damaged, or a web page came instead.")
        for name, size, opened in members(archive):
            inner = _safe(archive, name)
            if LITTER & set(inner.parts):
                continue
            total, count = total + size, count + 1
            if total > most or count > MEMBERS:
                raise Refused(
                    f"{archive.name} unpacks to more than {megabytes(most)} or {MEMBERS:,} files, far more "
                    "than an archive of its size should."
                )
            check_room(folder, size)
            place = folder / inner
            place.parent.mkdir(parents=True, exist_ok=True)
            with opened() as content, place.open("xb") as out:
                shutil.copyfileobj(content, out, CHUNK)
    except FileExistsError:
        raise Refused(f"{archive.name} holds '{name}' twice.") from None
    except (*BROKEN, OSError) as why:
        if getattr(why, "errno", None) not in NAMES_AND_PLACES:  # the disk's fault, not the archive's
            raise
        raise Refused(f"{archive.name} cannot be unpacked ({why}): it is damaged.") from None
    return total


def _zip_members(path: Path) -> Iterator[Member]:
    with zipfile.ZipFile(path) as archive:
        for info in archive.infolist():
            kind = stat.S_IFMT(info.external_attr >> 16)
            if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
                raise Refused(_only_files(path, info.filename))
            if info.flag_bits & 1:
                raise Refused(f"{path.name} is locked with a password.")
            if not info.is_dir():
                yield info.filename, info.file_size, lambda info=info: archive.open(info)


def _tar_members(path: Path) -> Iterator[Member]:
    with tarfile.open(path) as archive:
        for info in archive:
            if not (info.isreg() or info.isdir()):
                raise Refused(_only_files(path, info.name))
            if info.isreg():
                yield info.name, info.size, lambda info=info: archive.extractfile(info)


def _only_files(path: Path, name: str) -> str:
    return f"{path.name} holds '{name}', a link or a device; only files and folders are unpacked."


def _safe(archive: Path, name: str) -> PurePosixPath:
    """The name of a member, which leads nowhere but into the folder."""
    path = PurePosixPath(name)
    elsewhere = path.is_absolute() or ".." in path.parts or not path.parts
    if elsewhere or "\\" in name or re.match(r"[A-Za-z]:", name) or re.search(r"[\x00-\x1f\x7f]", name):
        raise Refused(f"{archive.name} holds the name {name!r}, which is no plain name of a file.")
    return path
