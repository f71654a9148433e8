"""A real PostgreSQL server in a folder of its own, that a test may stop, kill and start again."""

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PASSWORD = "only-for-tests-7e1f"
MISSING = "postgres: install PostgreSQL (Debian: apt-get install postgresql)"


def programs() -> str | None:
    """The folder of initdb, pg_ctl and postgres, where there is one."""
    found = shutil.which("initdb")
    there = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: float(path.parts[4]))
    return str(Path(found or there[-1]).parent) if found or there else None


class Server:
    """A server under way. `address(database)` is for a store; through the socket without a password."""

    def __init__(self, folder: Path):
        self.folder, self._programs, self._places = folder, programs(), 0
        self.owner = {}
        if os.getuid() == 0:  # initdb refuses root
            user = next(
                name for name in ("postgres", "nobody") if name in {u.pw_name for u in pwd.getpwall()}
            )
            known = pwd.getpwnam(user)
            os.chown(folder, known.pw_uid, known.pw_gid)
            self.owner = {"user": known.pw_uid, "group": known.pw_gid, "extra_groups": []}
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        secret = folder / "password"
        secret.write_text(PASSWORD)
        secret.chmod(0o644)
        self._run(
            "initdb", "--username=studykit", "--auth-local=trust", "--auth-host=scram-sha-256", "--no-sync",
            f"--pwfile={secret}", "--encoding=UTF8", "--no-locale", "--pgdata", str(folder / "data"),
        )  # fmt: skip
        self.start()

    def start(self) -> None:
        """Start, and wait until it answers; fsync is on, as by default."""
        self._control("start", "-o", f"-k {self.folder} -h 127.0.0.1 -p {self.port} -c max_connections=60")

    def stop(self, mode: str = "fast") -> None:
        """mode: "fast", or "immediate": as if it had been killed."""
        self._control("stop", "-m", mode)

    def restart(self, mode: str = "immediate") -> None:
        """Stop and start."""
        self.stop(mode)
        self.start()

    def address(self, database: str = "", host: str = "", user: str = "studykit") -> str:
        """A database's address, through TCP where a host is given; without one, a new empty place's."""
        where = f"{user}@{host}:{self.port}/" if host else f"{user}@/"
        query = "" if host else f"host={self.folder}&port={self.port}"
        if database:
            return f"postgresql://{where}{database}?{query}".rstrip("?")
        self._places += 1
        self.sql(f"CREATE SCHEMA place{self._places}")  # ten times faster than a database
        return f"postgresql://{where}postgres?{query}&options=-csearch_path%3Dplace{self._places}"

    def clear(self, address: str) -> None:
        """Remove what was made at an address that `address` gave; a restart then has less to write."""
        self.sql(f"DROP SCHEMA {address.split('%3D')[1]} CASCADE")

    def sql(self, *statements: str, database: str = "postgres") -> list[tuple]:
        """Run statements as the superuser, each by itself; the rows of the last."""
        import psycopg

        settings = {"host": str(self.folder), "port": self.port, "user": "studykit", "dbname": database}
        with psycopg.connect(**settings, autocommit=True) as connection:
            for statement in statements:
                found = connection.execute(statement)
            return found.fetchall() if found.description else []

    def _control(self, *arguments: str) -> None:
        log = str(self.folder / "log")
        self._run("pg_ctl", "-w", "-t", "60", "-s", "-D", str(self.folder / "data"), "-l", log, *arguments)

    def _run(self, program: str, *arguments: str) -> None:
        command = [f"{self._programs}/{program}", *arguments]
        with (
            tempfile.TemporaryFile() as said
        ):  # a pipe would stay open in the server that pg_ctl leaves behind
            done = subprocess.run(command, stdout=said, stderr=said, cwd=self.folder, **self.owner)
            said.seek(0)
            assert done.returncode == 0, said.read().decode()


@contextmanager
def server() -> Iterator[Server]:
    """A server for the time of the block; nothing of it is left."""
    folder = Path(tempfile.mkdtemp(prefix="studykit-postgres-"))
    made = None
    try:
        made = Server(folder)
        yield made
    finally:
        if made:
            made.stop("immediate")
        shutil.rmtree(folder)
