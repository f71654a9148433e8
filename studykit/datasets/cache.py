"""Pictures as they were read, cut to size and kept on disk, so that the second epoch need not decode again.

An entry is found by what made it: the bytes of the case's own files, the data set's settings, the code that
reads them and the versions of the libraries that decode. Nothing is ever out of date, and any entry may be
deleted at any time. Where the disk is full or may not be written, pictures are simply read from their files.

The folder is $STUDYKIT_CACHE ("off": none), else ~/.cache/studykit; only its owner may look into it, for it
holds the cases' pictures.
"""

import hashlib
import json
import logging
import os
import threading
import zlib
from collections.abc import Callable
from functools import cache
from importlib.metadata import version
from pathlib import Path

import numpy as np

from studykit.catalog import spec
from studykit.datasets.dataset import Dataset

KINDS = ("float32", "uint8", "bool")
BITS = 2  # a bit each


def default_cache() -> "Cache":
    """The cache that the environment asks for."""
    given = os.environ.get("STUDYKIT_CACHE", "")
    if given == "off":
        return Cache(None)
    home = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser()
    return Cache(Path(given).expanduser() if given else home / "studykit")


class Cache:
    """Arrays by key, one file each; `Cache(None)` keeps nothing."""

    def __init__(self, folder: Path | None):
        self.folder = folder

    def array(self, key: str, shape: tuple[int, ...], make: Callable[[], np.ndarray]) -> np.ndarray:
        """The array (float32, uint8 or bool) of `shape` under `key`; made and kept where it is not there."""
        folder = self.folder
        if folder is None:
            return make()
        path = folder / key[:2] / key[2:]
        try:
            return _unpacked(path.read_bytes(), shape)
        except (OSError, ValueError):
            made = make()
        try:
            _keep(path, _packed(made))
        except OSError as why:
            self.folder = None
            logging.warning("Pictures are no longer kept in %s (%s); reading goes on.", folder, why)
        return made


def _keep(path: Path, content: bytes) -> None:
    """Whole or not at all."""
    hidden = path.with_name(f".{path.name}-{os.getpid()}-{threading.get_ident()}")
    try:
        try:
            hidden.write_bytes(content)
        except FileNotFoundError:
            path.parents[1].mkdir(parents=True, exist_ok=True, mode=0o700)
            path.parent.mkdir(exist_ok=True, mode=0o700)
            hidden.write_bytes(content)
        hidden.replace(path)
    except OSError:
        if path.parent.is_dir():
            hidden.unlink(missing_ok=True)
        raise


def key_maker(dataset: Dataset, modality: str) -> Callable[[str], str]:
    """A function of a case: the key of its picture; empty where it is not read from files of its own."""
    digest = hashlib.sha256(_made_by(type(dataset)).encode())
    settings = {key: value for key, value in spec(dataset).items() if key != "folder"}
    shape = next(str(m) for m in dataset.pictures if m.name == modality)
    digest.update(json.dumps([settings, modality, shape], sort_keys=True).encode())

    def key(case: str) -> str:
        own = digest.copy()
        files = dataset.sources(case, modality)
        for path in files:
            own.update(path.name.encode() + path.read_bytes())
        return own.hexdigest() if files else ""

    return key


@cache
def _made_by(cls: type) -> str:
    """A digest of all code that reads pictures and of the libraries' versions."""
    digest = hashlib.sha256(cls.__qualname__.encode())
    for room in ("datasets", "files"):
        for path in sorted((Path(__file__).parents[1] / room).glob("*.py")):
            digest.update(path.read_bytes())
    digest.update(" ".join(version(name) for name in ("numpy", "pillow", "nibabel", "pydicom")).encode())
    return digest.hexdigest()


def _packed(values: np.ndarray) -> bytes:
    """One byte for the kind, four for the check sum, then the values."""
    kind = KINDS.index(values.dtype.name)
    data = (np.packbits(values) if kind == BITS else np.ascontiguousarray(values)).tobytes()
    return bytes([kind]) + zlib.crc32(data).to_bytes(4, "little") + data


def _unpacked(packed: bytes, shape: tuple[int, ...]) -> np.ndarray:
    """What `_packed` wrote; ValueError where the bytes are damaged."""
    kind, data = packed[:1], memoryview(packed)[5:]
    if kind not in (b"\0", b"\1", b"\2") or zlib.crc32(data) != int.from_bytes(packed[1:5], "little"):
        raise ValueError("damaged")
    if kind[0] == BITS:
        return np.unpackbits(np.frombuffer(data, np.uint8), count=int(np.prod(shape))).reshape(shape) > 0
    return np.frombuffer(data, KINDS[kind[0]]).reshape(shape)
