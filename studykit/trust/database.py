"""The database behind the ratings store, a file or a PostgreSQL server, and its errors in a sentence.

What was committed is on the disk (SQLite: write-ahead log, synchronous=FULL; PostgreSQL: synchronous_commit).
A store of SQLite belongs on a disk of this machine: its log does not work over a network.
"""

import errno
import hashlib
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, create_engine, event, exc, inspect, make_url, pool, text

from studykit.catalog import InputError
from studykit.trust.tables import EVENTS, STUDIES, VERSION_TABLE, VERSIONS

NOTHING = "nothing of this was kept"
AGAIN = "send the same again, nothing is doubled"
FORMS = "a path, sqlite:///path, or postgresql://user@host/database"
PATIENCE = {"connect_timeout": 10, "tcp_user_timeout": 30_000}  # s, ms: a server that went silent
_ALEMBIC = threading.Lock()  # its context is one for the whole process

# Beginnings of SQLite's and PostgreSQL's own error codes: what they mean for a person.
_SENTENCES = {
    ("SQLITE_FULL", "53100"): f"the disk is full and {NOTHING}; free some space, then {AGAIN}.",
    ("SQLITE_IOERR",): f"the disk is full or broken and {NOTHING}; free some space, then {AGAIN}.",
    ("SQLITE_BUSY", "SQLITE_LOCKED", "55P03"): "another program keeps it locked, so "
    f"{NOTHING}; close that program, then {AGAIN}.",
    ("SQLITE_NOTADB", "SQLITE_CORRUPT"): "this is not a ratings store, or it is damaged; restore the last "
    "backup to another place.",
    ("SQLITE_READONLY", "SQLITE_CANTOPEN", "SQLITE_PERM", "25006", "42501"): "it may not be opened or "
    "written there; ask for the right, or choose another place.",
    ("28", "3D000"): "the server does not let this user in, or has no such database.",
    ("23", "SQLITE_CONSTRAINT"): f"another program wrote to it out of turn, so {NOTHING}; {AGAIN}.",
    ("42P01", "42703"): "its tables are not there any more; restore the last backup to another place.",
    ("08", "57P", "gone"): "the database does not answer, and what was just sent may be kept or not; "
    f"start it, then {AGAIN}.",
}  # fmt: skip


class Database:
    """A connection pool whose transactions either are on the disk or never were.

    address: a path, "sqlite:///..." or "postgresql://...". wait: seconds to wait for a lock. Raises
    InputError where it cannot be opened, holds something else, or was made by a later studykit.
    """

    def __init__(self, address: str | Path, wait: float = 30.0):
        url = _url(address)
        self.file = Path(url.database).absolute() if url.get_backend_name() == "sqlite" else None
        self.where = str(self.file) if self.file else f"{url.database or url.username} at {_host(url)}"
        self._wait, self._there = wait, None
        if self.file:
            self._there = _touched(self.file)
            self.engine = create_engine("sqlite://", creator=self._connect, poolclass=pool.QueuePool)
            event.listen(self.engine, "begin", _begin)
        else:
            patience = {name: value for name, value in PATIENCE.items() if name not in url.query}
            settings = {"isolation_level": "READ COMMITTED", "pool_pre_ping": True, "connect_args": patience}
            self.engine = create_engine(url, hide_parameters=True, **settings)
            event.listen(self.engine, "connect", self._settle)
        try:
            self._prepare()
        except InputError:
            self.engine.dispose()
            raise

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A connection to read by; its errors become InputError."""
        self._follow()
        with self._told(), self.engine.connect() as connection:
            yield connection

    @contextmanager
    def writing(self, turn: str) -> Iterator[Connection]:
        """A transaction, all or nothing; who asks for the same `turn` waits. Left well, it is on the disk."""
        self._follow()
        with self._told(), self.engine.connect() as connection:
            with connection.execution_options(writes=True).begin():
                if not self.file:
                    number = int.from_bytes(hashlib.sha256(turn.encode()).digest()[:8], signed=True)
                    connection.execute(text("SELECT pg_advisory_xact_lock(:number)"), {"number": number})
                yield connection
            if self.file and _identity(self.file) != self._there:
                raise InputError(
                    f"The ratings store {self.where} was moved, removed or replaced meanwhile, and this may "
                    f"be lost; put it back, then {AGAIN}."
                )

    def _follow(self) -> None:
        """Open a file anew that was replaced, so that nobody goes on with one that is gone."""
        there = _identity(self.file) if self.file else None
        if there != self._there:
            self.engine.dispose()
            self._there = there

    def _connect(self) -> sqlite3.Connection:
        """A connection to the file as it stands (none is made), which begins no transaction by itself."""
        settings = {"uri": True, "isolation_level": None, "check_same_thread": False}
        connection = sqlite3.connect(f"{self.file.as_uri()}?mode=rw", timeout=self._wait, **settings)
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA foreign_keys = ON")
        return connection

    def _settle(self, connection: Any, _record: Any) -> None:
        """What must hold on a connection to PostgreSQL, whatever the server's own settings."""
        milliseconds = max(1, round(1000 * self._wait))  # 0 would be forever
        connection.execute(
            f"SET synchronous_commit TO on; SET lock_timeout TO {milliseconds}; SET extra_float_digits TO 1; "
            "SET client_encoding TO 'UTF8'"
        )
        connection.commit()

    def _prepare(self) -> None:
        """Make the tables, or bring them to this version; a store that stands is only read."""
        with self.reading() as connection:
            if self._version(connection) == VERSIONS[-1]:
                return
        if self.file:
            with self._told(), closing(self._connect()) as alone:
                alone.execute("PRAGMA journal_mode = WAL")  # stays with the file
        with self.writing("tables") as connection:
            if self._version(connection) != VERSIONS[-1]:  # nobody was faster
                _upgrade(connection)

    def _version(self, connection: Connection) -> str | None:
        """The version of the tables; None where there are none. InputError where this cannot be a store."""
        there = inspect(connection).get_table_names()
        if VERSION_TABLE not in there:
            if taken := there if self.file else {EVENTS.name, STUDIES.name} & set(there):
                raise InputError(
                    f"{self.where} belongs to another program (it has a table '{min(taken)}'); "
                    "choose another place for the ratings."
                )
            return None
        found = connection.exec_driver_sql(f"SELECT version_num FROM {VERSION_TABLE}").scalar()
        if found not in VERSIONS:
            raise InputError(
                f"The ratings store {self.where} was made by a later studykit (version '{found}' of the "
                f"tables, this one knows {', '.join(VERSIONS)}); nothing was touched. Install the later one."
            )
        return found

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except (exc.SQLAlchemyError, sqlite3.Error) as why:
            raise InputError(f"The ratings store {self.where}: {_sentence(why)}") from None


def _url(address: str | Path) -> URL:
    """The address as SQLAlchemy has it."""
    try:
        plain = "://" not in str(address)
        url = URL.create("sqlite", database=str(address)) if plain else make_url(str(address))
    except (exc.ArgumentError, ValueError):
        raise InputError(f"This is no address of a ratings store; it is {FORMS}.") from None
    name = url.drivername.split("+")[0]
    if "@" in f"{url.host}{url.database}" and url.password:
        raise InputError("The password in the address of a ratings store has an @; write %40 instead.")
    if name in ("postgresql", "postgres"):
        return url.set(drivername="postgresql+psycopg")
    if name != "sqlite" or url.database in (None, "", ":memory:"):
        raise InputError(f"The address of a ratings store is {FORMS}, not {name}://{url.database or ''}.")
    return url


def _host(url: URL) -> str:
    """The server in words, never a password."""
    host = url.host or url.query.get("host") or "this machine"
    return f"{host}:{url.port}" if url.port else str(host)


def _touched(file: Path) -> tuple[int, int]:
    """Make the file where there is none, and say which file it is."""
    try:
        if not file.exists():
            file.parent.mkdir(parents=True, exist_ok=True)
            file.touch()
    except OSError as why:
        remedy = "free some space" if why.errno == errno.ENOSPC else "choose another place"
        raise InputError(
            f"The ratings store {file} cannot be made there ({why.strerror}); {remedy}."
        ) from None
    return _identity(file)


def _identity(file: Path) -> tuple[int, int] | None:
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _begin(connection: Connection) -> None:
    """SQLite: who will write takes the lock at once, so that nothing read before is outdated."""
    writes = connection.get_execution_options().get("writes")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _upgrade(connection: Connection) -> None:
    """Alembic's steps from the version that stands to the last one, in this transaction."""
    from alembic import command
    from alembic.config import Config

    config = Config(attributes={"connection": connection})
    place = Path(__file__).with_name("migrations")
    config.set_main_option("script_location", str(place).replace("%", "%%"))
    with _ALEMBIC:
        command.upgrade(config, "head")


def _sentence(why: exc.SQLAlchemyError | sqlite3.Error) -> str:
    """What an error means for a person."""
    cause = getattr(why, "orig", why)
    code = getattr(cause, "sqlite_errorname", None) or getattr(cause, "sqlstate", None)
    if isinstance(why, exc.TimeoutError):  # all connections of this program's pool are at work
        code = "SQLITE_BUSY"
    elif code is None and isinstance(why, exc.OperationalError):
        if why.statement is None:  # not even connected; libpq's reason names no password
            return f"it cannot be reached ({' '.join(str(cause).split())}); check address and server."
        code = "gone"
    for codes, sentence in _SENTENCES.items():
        if code and code.startswith(codes):
            return sentence
    return f"{str(cause).splitlines()[0]}; {NOTHING}."
