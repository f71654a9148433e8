"""Pictures as they were read, cut to size and kept on disk, so that the second epoch need not decode again.

An entry is found by what made it: the bytes of the case's own files, the data set's settings, the code that
reads them and the versions of the libraries that decode. Nothing is ever out of date; any file here may be
deleted at any time. Where the disk is full or may not be written, pictures are simply read from their files.

The folder is $STUDYKIT_CACHE ("off": none), else ~/.cache/studykit; only its owner may look into it, for it
holds the cases' pictures. Each program that adds something writes a file of its own, record behind record:
mark, key, kind, check sum, length, values. A record that was not finished, or is damaged, counts as absent.
"""

import hashlib
import json
import logging
import os
import struct
import threading
import time
import uuid
import zlib
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from importlib.metadata import version
from pathlib import Path

import numpy as np

from studykit.catalog import spec
from studykit.datasets.dataset import Dataset, content

HEAD = struct.Struct("<4s32sBIQ")  # mark, key, kind, check sum, length
MARK = b"sk1\n"
KINDS = ("float32", "uint8", "bool")
BITS = 2  # a bit each
WEEK = 7 * 24 * 3600  # seconds


def default_cache(name: str) -> "Cache":
    """The cache of the data set `name` that the environment asks for; one object for each folder."""
    given = os.environ.get("STUDYKIT_CACHE", "")
    if given == "off":
        return Cache(None)
    home = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "studykit"
    return _shared((Path(given).expanduser() if given else home) / name)


@cache
def _shared(folder: Path) -> "Cache":
    return Cache(folder)


class Cache:
    """Arrays by key; `Cache(None)` keeps nothing."""

    def __init__(self, folder: Path | None):
        self.folder = folder
        self._places: dict[bytes, tuple[Path, int, int]] = {}  # file, where the record begins, its length
        self._own: Path | None = None  # the file that this program adds to
        self._end = 0
        self._writes = folder is not None
        self._lock = threading.Lock()
        for path in sorted(folder.glob("*.pictures")) if folder else ():
            with suppress(OSError):
                self._find(path)

    def array(self, key: bytes, shape: tuple[int, ...], make: Callable[[], np.ndarray]) -> np.ndarray:
        """The array (float32, uint8 or bool) of `shape` under `key`; made and kept where it is not there.

        key: 32 bytes, as `key_maker` gives them.
        """
        if key in self._places:
            with suppress(OSError, ValueError):  # damaged, or deleted meanwhile
                return self._kept(key, shape)
        made = make()
        with self._lock:
            if self._writes:
                try:
                    self._keep(key, made)
                except OSError as why:
                    self._writes = False
                    told = "Pictures are no longer kept in %s (%s); reading goes on."
                    logging.warning(told, self.folder, why)
        return made

    def _find(self, path: Path) -> None:
        """Learn what a file holds, from the heads of its records; older code's is removed after a week."""
        about = path.stat()
        if not path.name.startswith(code()):
            if time.time() - about.st_mtime > WEEK:
                path.unlink()
            return
        with path.open("rb") as file:
            at = 0
            while len(head := os.pread(file.fileno(), HEAD.size, at)) == HEAD.size:
                mark, key, _, _, length = HEAD.unpack(head)
                if mark != MARK or at + HEAD.size + length > about.st_size:
                    break
                self._places[key] = path, at, HEAD.size + length
                at += HEAD.size + length

    def _kept(self, key: bytes, shape: tuple[int, ...]) -> np.ndarray:
        path, at, length = self._places[key]
        file = os.open(path, os.O_RDONLY)
        try:
            record = os.pread(file, length, at)
        finally:
            os.close(file)
        if len(record) < HEAD.size:
            raise ValueError("damaged")
        mark, found, kind, check, _ = HEAD.unpack_from(record)
        values = memoryview(record)[HEAD.size :]
        if mark != MARK or found != key or kind >= len(KINDS) or zlib.crc32(values) != check:
            raise ValueError("damaged")
        if kind == BITS:
            bits = np.unpackbits(np.frombuffer(values, np.uint8), count=int(np.prod(shape)))
            return bits.reshape(shape) > 0
        return np.frombuffer(values, KINDS[kind]).reshape(shape)

    def _keep(self, key: bytes, values: np.ndarray) -> None:
        kind = KINDS.index(values.dtype.name)
        data = np.packbits(values) if kind == BITS else np.ascontiguousarray(values)
        plain = data.reshape(-1).view(np.uint8).data
        head = HEAD.pack(MARK, key, kind, zlib.crc32(plain), len(plain))
        if self._own is None:
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._own = self.folder / f"{code()}-{uuid.uuid4().hex}.pictures"
        file = os.open(self._own, os.O_WRONLY | os.O_CREAT, 0o600)
        try:
            if os.pwritev(file, [head, plain], self._end) < HEAD.size + len(plain):
                raise OSError("the disk is full")
        finally:
            os.close(file)
        self._places[key] = self._own, self._end, HEAD.size + len(plain)
        self._end += HEAD.size + len(plain)


def key_maker(dataset: Dataset, modality: str) -> Callable[[str, str], bytes]:
    """A function of a case and "picture" or "mask": its key, empty where no file of its own is read."""
    digest = hashlib.sha256(f"{code()} {type(dataset).__qualname__}".encode())
    settings = {key: value for key, value in spec(dataset).items() if key != "folder"}
    shape = next(str(m) for m in dataset.pictures if m.name == modality)
    decided = [settings, modality, shape, dataset.window_of(modality)]
    digest.update(json.dumps(decided, sort_keys=True).encode())

    def key(case: str, what: str) -> bytes:
        own = digest.copy()
        files = dataset.sources(case, modality)
        own.update(what.encode())
        for path in files:
            own.update(path.name.encode() + content(path))
        return own.digest() if files else b""

    return key


@cache
def code() -> str:
    """A digest of all code that reads pictures and of the libraries' versions."""
    digest = hashlib.sha256()
    for room in ("datasets", "files"):
        for path in sorted((Path(__file__).parents[1] / room).glob("*.py")):
            digest.update(path.read_bytes())
    digest.update(" ".join(version(name) for name in ("numpy", "pillow", "nibabel", "pydicom")).encode())
    return digest.hexdigest()[:16]
