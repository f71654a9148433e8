"""A copy of a ratings store in one file, checked when it is written and when it is read, for either engine.

The file (gzip) holds JSON, a line each: what it is; then each study followed by its events, as they stand in
the database with their hashes; last the sha256 of all lines before. The same store gives the same file.
"""

import gzip
import hashlib
import io
import itertools
import json
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from sqlalchemy import insert, select

from studykit.catalog import InputError
from studykit.trust.chain import walk
from studykit.trust.store import PORTION, Store, rows_of
from studykit.trust.tables import EVENTS, STUDIES
from studykit.whole import write_whole

FIRST = {"studykit backup of ratings": 1}


def backup(store: Store | str | Path, path: str | Path) -> Path:
    """Write all studies and events of a store (or of the store at an address) to a new file.

    Ratings may come in meanwhile; each study is copied up to some point. Raises InputError, and leaves no
    file, where the store's chain is broken, or `path` is taken.
    """
    store, path = store if isinstance(store, Store) else Store(store), Path(path)
    if path.exists():
        raise InputError(f"{path} is there already; give the backup another name.")
    packed = io.BytesIO()
    with gzip.GzipFile(fileobj=packed, mode="wb", mtime=0) as file:
        told = hashlib.sha256()
        for line in _lines(store):
            told.update(line)
            file.write(line)
        file.write(_line({"sha256": told.hexdigest()}))
    write_whole(path, packed.getvalue())
    _check(path)
    return path


def restore(path: str | Path, address: str | Path) -> Store:
    """Put a backup into a new or empty store of either engine, whole or not at all; gives that store.

    Raises InputError where the file is damaged, or the store holds a study already.
    """
    _check(path)  # before anything is made
    store = Store(address)
    with store.database.writing("restore") as connection:
        if connection.execute(select(STUDIES.c.name).limit(1)).first():
            raise InputError(
                f"The ratings store {store.database.where} is not empty; restore to another place."
            )
        for table, rows in _parts(path):
            connection.execute(insert(table), rows)
        for study in connection.execute(select(STUDIES)).mappings().all():
            for _ in walk(study, rows_of(connection, study["name"])):
                pass
    return store


def _lines(store: Store) -> Iterator[bytes]:
    """All lines but the last; a study's only while its chain holds."""
    yield _line(FIRST)
    for name in store.studies()["name"]:
        study = store.study(name)
        yield _line(study)
        for row in walk(study, store.rows(name)):
            yield _line(row)


def _line(content: dict[str, Any]) -> bytes:
    return json.dumps(content, ensure_ascii=False).encode() + b"\n"


def _check(path: str | Path) -> None:
    for _ in _parts(path):
        pass


def _parts(path: str | Path) -> Iterator[tuple[Any, list[dict[str, Any]]]]:
    """(table, rows) in the order in which they are put in; checked up to there, and at the end as a whole."""
    try:
        with gzip.open(path) as file:
            yield from _checked(file)
    except FileNotFoundError:
        raise InputError(f"There is no backup {path}; check the name.") from None
    except (OSError, EOFError, ValueError, KeyError, TypeError, zlib.error) as why:
        if isinstance(why, InputError):
            raise
        raise InputError(f"{path} is not a whole backup of ratings ({why}); take an earlier one.") from None


def _checked(file: Iterable[bytes]) -> Iterator[tuple[Any, list[dict[str, Any]]]]:
    for _, rows in itertools.groupby(_rows(file), lambda row: row["study" if "study" in row else "name"]):
        yield from _study_parts(rows)


def _study_parts(rows: Iterator[dict[str, Any]]) -> Iterator[tuple[Any, list[dict[str, Any]]]]:
    """A study's own row, then its events in portions, each once it fits the chain."""
    study = next(rows)
    yield STUDIES, [study]
    events = walk(study, rows)
    while portion := list(itertools.islice(events, PORTION)):
        yield EVENTS, portion


def _rows(file: Iterable[bytes]) -> Iterator[dict[str, Any]]:
    """The rows of all lines between the first and the last, which tell what it is and whether it is whole."""
    told, last = hashlib.sha256(), None
    for number, line in enumerate(file):
        row = json.loads(line)
        if number == 0 and row != FIRST:
            raise ValueError("it is another kind of file, or of a later studykit")
        if number and "sha256" not in row:
            yield row
        last = {"sha256": told.hexdigest()} == row
        told.update(line)
    if not last:
        raise ValueError("its checksum does not fit")
