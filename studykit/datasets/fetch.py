"""Bringing a data set from its publisher to this machine, once a person has agreed to its licence.

A fetch that broke off goes on where it stopped. What comes is measured against the size and check sum that
are known, archives are unpacked into a hidden folder, and only what is whole and right gets its name. What
stands already is never touched. Where a program must not fetch, the sentence says what a person does by hand.
"""

import fcntl
import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import urljoin, urlsplit

import requests

from studykit.catalog import InputError
from studykit.datasets.dataset import Dataset
from studykit.datasets.downloads import Download, Part, download_of
from studykit.files.unpack import Refused, check_room, megabytes, unpack
from studykit.whole import whole_folder, write_whole

PIECE = 2**16  # bytes; of a broken connection the last piece is lost
PAUSES = (1, 4, 15)  # seconds between attempts that bring nothing
TIMEOUT = (20, 120)  # seconds to connect, and between two pieces
REDIRECTS = 10
PASSING = (requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError)


def fetch(
    name: str,
    home: Path,
    agree: Callable[[str], bool],
    tell: Callable[[str], None] = print,
    watch: Callable[[str, int, int], None] = lambda file, came, whole: None,
    flag: str = "",
    size: int = 0,
    plain: tuple[str, ...] = (),
) -> Path | None:
    """Bring the data set `name` into `home`, the folder of all data sets; the path where it stands then.

    agree: gets addresses, sizes, licence and citation, and says whether to go on; where it does not, nothing
        is asked of the network and None is given back. tell: gets a sentence now and then.
    watch: gets a file's name, how many bytes came, and how many there are (0: not known), again and again.
    flag, size: of medmnist. plain: hosts (with port) that need not encrypt.
    Raises InputError, with the steps by hand, where it cannot be brought; after a broken connection what came
    is kept hidden in `home`, and the next fetch goes on from there.
    """
    download = download_of(name, flag, size)
    target, card = home / download.target, Dataset.catalogue[name].card
    if target.exists():
        tell(f"{target} stands already; nothing was fetched. Move it away to fetch it anew.")
        return target
    if not download.parts:
        raise InputError(f"No program may fetch {name}. By hand: {download.by_hand}.")
    if not agree(offer(name, download, target)):
        tell("Nothing was fetched.")
        return None
    hidden, sums = home / f".{target.name}.partial", target.with_name(f"{target.name}.sha256")
    try:
        hidden.mkdir(parents=True, exist_ok=True)
        with _alone(hidden, name):
            there = sum(_size(file) for file in hidden.iterdir())
            check_room(hidden, sum(part.bytes for part in download.parts) - there)
            files = [_brought(part, hidden, watch, plain) for part in download.parts]
            found = _compared(files, sums)
            _place(download, files, target)
            write_whole(sums, "".join(f"{digest}  {file}\n" for file, digest in found.items()))
    except Refused as why:
        shutil.rmtree(hidden, ignore_errors=True)
        raise InputError(f"{why} Nothing of it was kept. By hand: {download.by_hand}.") from None
    except (InputError, OSError) as why:
        with suppress(OSError):
            hidden.rmdir()  # where nothing came
        said = why if isinstance(why, InputError) else f"{home} cannot be written ({why})."
        raise InputError(f"{said} By hand: {download.by_hand}.") from None
    shutil.rmtree(hidden, ignore_errors=True)
    for part in download.parts:
        if not part.checksum:
            tell(f"No check sum of {part.file} is known; its sha256 {found[part.file]} is noted in {sums}.")
    tell(f"{target} stands. Please cite {card.citation}.")
    return target


@contextmanager
def _alone(hidden: Path, name: str) -> Iterator[None]:
    """No other program fetches into `hidden` meanwhile; the system lets go of it however this one ends."""
    folder = os.open(hidden, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        raise InputError(f"Another program is fetching {name} to this place; wait for it.") from None
    finally:
        os.close(folder)


def offer(name: str, download: Download, target: Path) -> str:
    """What a person should know before agreeing: what, how large, from where, and on what terms."""
    card = Dataset.catalogue[name].card
    lines = [card.title]
    for part in download.parts:
        size = megabytes(part.bytes) if part.bytes else "size not known"
        lines.append(f"file: {part.file} ({size}) from {part.address}")
    lines.append(f"licence: {download.licence or card.licence}")
    lines.append(f"citation: {card.citation}")
    lines.append(f"goes to: {target}")
    return "\n".join(lines)


def _brought(part: Part, hidden: Path, watch: Callable, plain: tuple[str, ...]) -> Path:
    """The file of `part` in `hidden`, whole and checked; every attempt that brings something earns more."""
    done, partial = hidden / part.file, hidden / f"{part.file}.partial"
    host, pauses = urlsplit(part.address).netloc, list(PAUSES)
    while not done.exists():
        before = _size(partial)
        try:
            _go_on(part, partial, watch, plain)
            _check(part, partial)
            partial.rename(done)
        except requests.exceptions.SSLError as why:
            raise InputError(f"{host} cannot prove who it is ({why}).") from None
        except PASSING as why:
            if _size(partial) > before:
                pauses = list(PAUSES)
            if not pauses:
                raise InputError(
                    f"The connection to {host} breaks off ({why}); {megabytes(_size(partial))} came and are "
                    "kept: fetch again later, and it goes on from there where the publisher allows it."
                ) from None
            time.sleep(pauses.pop(0))
        except requests.RequestException as why:
            raise InputError(f"{part.address} cannot be fetched ({why}).") from None
    return done


def _go_on(part: Part, partial: Path, watch: Callable, plain: tuple[str, ...]) -> None:
    """Append what is missing of `partial`, or write it anew where the server cannot go on.

    Beside it is noted how large the file is, and the mark by which the server tells whether it is still the
    same file; without a mark the whole file is asked for.
    """
    noted = partial.with_suffix(".json")
    known = json.loads(noted.read_text()) if noted.exists() else {"mark": ""}
    came = _size(partial) if known["mark"] else 0
    if came and came == known["bytes"]:
        return
    headers = {"User-Agent": "studykit", "Accept-Encoding": "identity"}
    if came:
        headers |= {"Range": f"bytes={came}-", "If-Range": known["mark"]}
    with _answer(part.address, headers, plain) as response:
        _check_answer(response, part, partial, came)
        came = came if response.status_code == 206 else 0
        whole = _length(response, part, came)
        check_room(partial.parent, whole - came)
        write_whole(noted, json.dumps({"bytes": whole, "mark": _mark(response)}))
        with partial.open("ab" if came else "wb") as out:
            for piece in response.iter_content(PIECE):
                came += out.write(piece)
                if whole and came > whole:
                    raise Refused(f"{part.file} is longer than the {megabytes(whole)} that were announced.")
                check_room(partial.parent, 0)
                watch(part.file, came, whole)
    if came < whole:
        raise requests.ConnectionError(f"{came} of {whole} bytes came")


def _answer(address: str, headers: dict[str, str], plain: tuple[str, ...]) -> requests.Response:
    """The answer at the end of all redirects, each of them encrypted; its content is not read yet."""
    for _ in range(REDIRECTS):
        parts = urlsplit(address)
        if parts.scheme != "https" and parts.netloc not in plain:
            raise InputError(f"{address} is not encrypted (https); nothing was fetched from there.")
        response = requests.get(address, headers=headers, stream=True, timeout=TIMEOUT, allow_redirects=False)
        if not response.is_redirect:
            return response
        response.close()
        address = urljoin(address, response.headers["Location"])
    raise InputError(f"{urlsplit(address).netloc} sends from one address to the next without end.")


def _check_answer(response: requests.Response, part: Part, partial: Path, came: int) -> None:
    """Nothing where the whole file comes, or what is missing of it."""
    status, host = response.status_code, urlsplit(part.address).netloc
    if status in (408, 429) or status >= 500:
        raise requests.ConnectionError(f"it answers {status}")
    if came and status in (206, 416):
        if status == 206 and response.headers.get("Content-Range", "").startswith(f"bytes {came}-"):
            return
        partial.unlink()
        raise requests.ConnectionError("it cannot go on from the middle")
    if status != 200:
        raise InputError(f"{host} answers {status} for {part.file}: it may have moved, or want an account.")


def _length(response: requests.Response, part: Part, came: int) -> int:
    """How long the whole file is, 0 where nobody says; Refused where it is not as long as is known."""
    length = response.headers.get("Content-Length", "")
    whole = came + int(length) if length.isdigit() else part.bytes
    if part.bytes and whole != part.bytes:
        raise Refused(
            f"{part.file} has {whole} bytes at its publisher and not the {part.bytes} that are known of it: "
            "it was changed, or another page answers."
        )
    return whole


def _mark(response: requests.Response) -> str:
    """By what the server tells whether the file is still the same; empty where it says nothing exact."""
    tag = response.headers.get("ETag", "")
    return tag if tag and not tag.startswith("W/") else response.headers.get("Last-Modified", "")


def _check(part: Part, path: Path) -> None:
    kind, _, wanted = part.checksum.partition(":")
    if wanted and _digest(path, kind) != wanted:
        raise Refused(f"{part.file} has not the check sum {part.checksum}: it is damaged, or another file.")


def _digest(path: Path, kind: str) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, kind).hexdigest()


def _compared(files: list[Path], sums: Path) -> dict[str, str]:
    """{file: sha256}; Refused where `sums` notes another one from an earlier fetch."""
    found = {file.name: _digest(file, "sha256") for file in files}
    lines = sums.read_text().splitlines() if sums.exists() else []
    earlier = {file: digest for digest, _, file in (line.partition("  ") for line in lines)}
    for file, digest in found.items():
        if earlier.get(file, digest) != digest:
            raise Refused(
                f"{file} is not the file that was fetched before (its sha256 is noted in {sums}); ask the "
                f"publisher what changed, and remove {sums.name} to take the new one."
            )
    return found


def _place(download: Download, files: list[Path], target: Path) -> None:
    """Unpack or move the fetched files, so that `target` stands."""
    if len(files) == 1 and not download.parts[0].into:
        _check_free(target)
        target.parent.mkdir(exist_ok=True)
        files[0].rename(target)
        return
    with whole_folder(target) as fresh:
        for part, file in zip(download.parts, files, strict=True):
            if part.into:
                _unpack_into(file, fresh, part.into)
            else:
                shutil.copyfile(file, fresh / part.file)
        _check_free(target)


def _unpack_into(file: Path, fresh: Path, into: str) -> None:
    """Unpack into `fresh / into`; a folder that stands alone at the archive's top is left out."""
    unpacked = fresh / ".unpacked"
    unpack(file, unpacked)
    entries = list(unpacked.iterdir())
    alone = len(entries) == 1 and entries[0].is_dir()
    (fresh / into).mkdir(parents=True, exist_ok=True)
    for entry in list(entries[0].iterdir()) if alone else entries:
        entry.rename(fresh / into / entry.name)
    shutil.rmtree(unpacked)


def _check_free(target: Path) -> None:
    if target.exists():
        raise InputError(f"{target} was made meanwhile by another program; it was left as it is.")


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
