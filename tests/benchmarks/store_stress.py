"""Many processes write ratings at once, one is killed with -9, the server is restarted: nothing is lost.

    python -m tests.benchmarks.store_stress [--small] [sqlite | postgresql]

20 processes write 10,000 ratings to SQLite, one a submit, and 100,000 to PostgreSQL, 1 to 20 a submit. Each
notes what was acknowledged in a file of its own, with fsync. The killed one's work is taken up by a new
process that knows only that file, so what was stored but not acknowledged is sent again. Then every
acknowledged rating must be there once, as its receipt says; all that was sent must be there once; and the
chain must verify.
"""

import argparse
import multiprocessing
import os
import random
import signal
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from studykit.catalog import InputError
from studykit.trust.event import Event
from studykit.trust.store import Store
from tests.trust import postgres

STUDY = "stress"
PATIENCE = 120  # seconds for which a writer tries again
COLUMNS = (
    "engine", "processes", "ratings", "acknowledged", "first writer killed after", "server restarted",
    "submits refused", "sent again though stored", "seconds", "ratings a second", "chain verified in, s",
)  # fmt: skip


@dataclass(frozen=True)
class Wish:
    """What a run writes: `ratings` in all by `processes`, up to `most` a submit."""

    processes: int
    ratings: int
    most: int

    @property
    def share(self) -> int:
        """Ratings of one process."""
        return self.ratings // self.processes


FULL = {"sqlite": Wish(20, 10_000, 1), "postgresql": Wish(20, 100_000, 20)}
SMALL = {"sqlite": Wish(6, 1_200, 1), "postgresql": Wish(6, 3_000, 20)}


def events_of(writer: int, count: int) -> list[Event]:
    """The ratings of one writer; a rating is known by its client id alone."""
    return [
        Event(f"r{writer}", f"c{at // 5}", "map", f"q{at % 5}", rating=at / 7, client=f"{writer}-{at}")
        for at in range(count)
    ]


def acknowledged(file: Path) -> list[list[str]]:
    """(client, number, hash, whether it was new) of each whole line of a writer's file."""
    lines = file.read_text().split("\n")[:-1] if file.exists() else []
    return [line.split() for line in lines]


def write(address: str, writer: int, wish: Wish, folder: Path) -> None:
    """A writer: from the first rating that its file does not hold to its last; tries again where refused."""
    file, refused = folder / f"{writer}.txt", folder / f"{writer}.refused"
    done, rng = acknowledged(file), random.Random(writer)
    file.write_text("".join(" ".join(line) + "\n" for line in done))  # without half a line
    rest, store, until = events_of(writer, wish.share)[len(done) :], None, PATIENCE
    with file.open("a") as notes, refused.open("a") as complaints:
        while rest:
            batch = rest[: rng.choice((1, rng.randint(1, wish.most)))]
            try:
                store = store or Store(address)
                receipts = store.append(STUDY, batch)
            except InputError as why:
                complaints.write(f"{why}\n")
                until -= 0.1
                assert until > 0, why
                time.sleep(0.1)
                continue
            for event, receipt in zip(batch, receipts, strict=True):
                notes.write(f"{event.client} {receipt.number} {receipt.hash} {receipt.new}\n")
            notes.flush()
            os.fsync(notes.fileno())
            rest = rest[len(batch) :]


def run(engine: str, wish: Wish, address: str, server: postgres.Server | None) -> list:
    """One engine under stress; a row of the table. AssertionError where anything is lost or doubled."""
    store = Store(address)
    store.begin(STUDY, "{}", simulated=True)
    store.close()  # the processes below are forks: none may inherit a connection
    with tempfile.TemporaryDirectory() as place:
        folder, start = Path(place), time.perf_counter()
        killed = stressed(address, wish, folder, server)
        seconds = time.perf_counter() - start
        notes = [line for writer in range(wish.processes) for line in acknowledged(folder / f"{writer}.txt")]
        refused = sum(len(file.read_text().splitlines()) for file in folder.glob("*.refused"))
    start = time.perf_counter()
    verified = store.verify(STUDY)
    checked = time.perf_counter() - start
    there = {row.client: (row.number, row.hash) for row in store.events(STUDY).itertuples()}
    sent = {event.client for at in range(wish.processes) for event in events_of(at, wish.share)}
    assert len(sent) == wish.ratings == verified.events == len(notes)
    assert there.keys() == sent and sorted(number for number, _ in there.values()) == [
        *range(1, len(sent) + 1)
    ]
    assert {client: (int(number), hashed) for client, number, hashed, _ in notes} == there
    again, restarted = sum(new == "False" for *_, new in notes), "yes" if server else "no server"
    rate = round(wish.ratings / seconds)
    return [
        engine, wish.processes, wish.ratings, len(notes), killed, restarted, refused, again,
        f"{seconds:.1f}", rate, f"{checked:.1f}",
    ]  # fmt: skip


def stressed(address: str, wish: Wish, folder: Path, server: postgres.Server | None) -> int:
    """All writers to their end, the first killed after a third of its work; how much it had noted by then."""
    fork = multiprocessing.get_context("fork")

    def started(writer: int) -> multiprocessing.Process:
        process = fork.Process(target=write, args=(address, writer, wish, folder))
        process.start()
        return process

    def noted(writers: range) -> int:
        return sum(len(acknowledged(folder / f"{writer}.txt")) for writer in writers)

    def wait_for(count: int, writers: range) -> None:
        while noted(writers) < count:
            assert all(process.is_alive() or process.exitcode == 0 for process in writing)
            time.sleep(0.02)

    writing = [started(writer) for writer in range(wish.processes)]
    wait_for(wish.share // 3, range(1))
    os.kill(writing[0].pid, signal.SIGKILL)
    writing[0].join()
    assert writing[0].exitcode == -signal.SIGKILL
    killed = noted(range(1))
    writing[0] = started(0)
    if server:
        wait_for(wish.ratings // 2, range(wish.processes))
        server.restart("immediate")
    for process in writing:
        process.join()
        assert process.exitcode == 0
    return killed


def main():
    """One row an engine."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("engine", nargs="?", choices=list(FULL))
    parser.add_argument("--small", action="store_true", help="the size that the tests run")
    given = parser.parse_args()
    print(f"| {' | '.join(COLUMNS)} |\n{'|---' * len(COLUMNS)}|", flush=True)
    for engine in [given.engine] if given.engine else FULL:
        wish = (SMALL if given.small else FULL)[engine]
        with tempfile.TemporaryDirectory() as place, ExitStack() as stack:
            server = stack.enter_context(postgres.server()) if engine == "postgresql" else None
            address = server.address() if server else f"{place}/ratings.db"
            print(f"| {' | '.join(map(str, run(engine, wish, address, server)))} |", flush=True)


if __name__ == "__main__":
    main()
