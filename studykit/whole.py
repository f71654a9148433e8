"""Writing whole or not at all: things are made in a hidden place beside their own, then renamed.

Whatever ends a program in the middle (an error, Ctrl-C, kill -9, a full disk), a finished name always
holds a finished thing; what a killed program left hidden is swept away by the next one.
"""

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from studykit.catalog import InputError

MARK = ".partial-"


@contextmanager
def whole_folder(target: Path) -> Iterator[Path]:
    """A hidden folder to fill; when the block ends well it becomes `target`, else it is removed.

    An older `target` is replaced only then. A full disk is told as an InputError.
    """
    with _full_disk_told(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        sweep(target)
        hidden = target.parent / f".{target.name}{MARK}{os.getpid()}"
        hidden.mkdir()
        try:
            yield hidden
            older = target.parent / f".{target.name}{MARK}{os.getpid()}-older"
            if target.exists():
                target.rename(older)
            hidden.rename(target)
            shutil.rmtree(older, ignore_errors=True)
        finally:
            shutil.rmtree(hidden, ignore_errors=True)


def write_whole(target: Path, content: str | bytes) -> None:
    """A file, whole or not at all."""
    hidden = target.parent / f".{target.name}{MARK}{os.getpid()}"
    with _full_disk_told(target):
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            with hidden.open("wb") as file:
                file.write(content.encode() if isinstance(content, str) else content)
                file.flush()
                os.fsync(file.fileno())  # before its name: a power cut leaves the older one
            hidden.replace(target)
        finally:
            hidden.unlink(missing_ok=True)


def sweep(target: Path) -> None:
    """Remove what killed programs left hidden beside `target`; a living program's work is left."""
    for hidden in target.parent.glob(f".{target.name}{MARK}*"):
        owner = hidden.name.split(MARK)[1].split("-")[0]
        if owner.isdigit() and not alive(int(owner)):
            if hidden.name.endswith("-older") and not target.exists():
                hidden.rename(target)  # killed between the two renames: the older one stands again
            else:
                shutil.rmtree(hidden, ignore_errors=True)


def alive(process: int) -> bool:
    """Whether this is the number of another process that lives."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return process != os.getpid()


@contextmanager
def _full_disk_told(target: Path) -> Iterator[None]:
    try:
        yield
    except OSError as why:
        if why.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise InputError(
                f"The disk is full: {target} could not be written and nothing of it was kept; "
                "free some space or choose another place."
            ) from None
        if why.errno in (errno.EACCES, errno.EROFS, errno.EPERM):
            raise InputError(f"{target} may not be written here; choose another place.") from None
        raise
