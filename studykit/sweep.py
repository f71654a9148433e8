"""Many cases, or many runs, worked on at once: in this process, in several, or on a Dask cluster.

    for table in sweep(partial(contribution_table, folder), batches, workers=4): ...

Everything goes through an executor of `concurrent.futures`, and the results are the same wherever the work is
done: they come in the order of the items, and an item whose process is killed is done again.
"""

import asyncio
import os
import pickle
import reprlib
import signal
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sized
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor, wait
from contextlib import closing
from functools import partial
from itertools import islice
from math import inf
from multiprocessing import get_context, parent_process
from typing import Any

from studykit.catalog import InputError

AHEAD = 4  # items for each worker that are begun, or done and not yet asked for
TRIES = 4  # an item whose process is killed is done again three times
PATIENCE = 10  # seconds for a Dask scheduler to answer, and for a worker to be there
MOMENT = 0.2  # seconds of waiting until it is asked again whether to stop
ONE_THREAD = {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}  # else torch's threads hinder each other
SPAWN = get_context("spawn")
STARTING = threading.Lock()


class Stopped(Exception):
    """`stop` said yes. No InputError: nothing that a person gave is wrong."""


def sweep(
    work: Callable[[Any], Any],
    items: Iterable[Any],
    workers: int = 0,
    scheduler: str = "",
    watch: Callable[[Iterable], Iterable] = iter,
    stop: Callable[[], bool] | None = None,
) -> Iterator[Any]:
    """`work(item)` for each of the items, in their order, as soon as each is there.

    workers: 0 works here, on an item when its result is asked for; N in N processes of one thread each.
    scheduler: works on the Dask cluster at this address ("tcp://host:8786"); needs studykit[dask]. It carries
        out what it is sent, and its answers are unpickled here: it must be one that you trust.
    watch: wraps the loop (a progress bar).
    stop: asked before each item and, elsewhere than here, five times a second while a result is waited for;
        where it says yes, Stopped is raised. Here, an item that is begun is finished first.

    Elsewhere than here, `work` is a function of a module that can be imported there, or a `partial` of one;
    not a function of a notebook cell. Work, items and results travel: let them be ids and paths rather than
    models and pictures, and an item a batch of cases that takes seconds. A script sweeps under
    `if __name__ == "__main__"`.

    At most four items a worker are begun before their results are asked for. Where the loop is left or an
    error comes, Stopped or another, work not yet begun is cancelled; processes started here are ended at
    once, whatever they do, as they are where this one is killed. A cluster finishes what it has begun.
    Raises what `work` raises; InputError where an item ends every process that works on it, or where the
    cluster cannot be reached or loses its scheduler or all its workers.
    """
    if workers < 0 or (workers and scheduler):
        raise InputError(
            f"A sweep takes a number of workers, 0 or more, or a Dask scheduler, not {workers} and "
            f"'{scheduler}': give one of them."
        )
    items = items if isinstance(items, Sized) else list(items)
    ask = partial(_ask, stop)
    if scheduler:
        results = _on_a_cluster(work, items, scheduler, ask)
    elif workers:
        results = _in_processes(work, items, workers, ask)
    else:
        results = (work(item) for item in items)
    with closing(results):
        for _ in watch(range(len(items))):
            ask()
            yield next(results)


def _ask(stop: Callable[[], bool] | None) -> None:
    """Raise Stopped where `stop` says yes."""
    if stop is not None and stop():
        raise Stopped("This work was stopped.")


def _is_done(future: Future, ask: Callable, seconds: float = inf) -> bool:
    """Whether it is done within so many seconds, while it is asked whether to stop."""
    until = time.monotonic() + seconds
    while not future.done():
        ask()
        if time.monotonic() > until:
            return False
        wait([future], min(MOMENT, seconds))
    return True


class _Ended(Exception):
    """How many processes an item ended."""


def _in_order(submit: Callable, result: Callable, items: Iterable, most: int) -> Iterator:
    """Each item's result; at most `most` items are submitted and not yet handed over.

    submit(item) gives a future, result(future) what it holds; _Ended where the item ended each process that
    worked on it.
    """
    flight, coming = deque(), enumerate(items, 1)
    while True:
        for number, item in islice(coming, most - len(flight)):
            flight.append((number, item, submit(item)))
        if not flight:
            return
        number, item, future = flight.popleft()
        try:
            found = result(future)
        except _Ended as why:
            raise InputError(
                f"Item {number}, {reprlib.repr(item)}, ended each of the {why} processes that worked on it: "
                "see what they printed; if nothing, memory ran out: use fewer workers or smaller batches."
            ) from why
        yield found


def _in_processes(work: Callable, items: Iterable, workers: int, ask: Callable) -> Iterator:
    processes = _Processes(workers)

    def result(future: Future) -> Any:
        _is_done(future, ask)
        return future.result()

    try:
        yield from _in_order(partial(processes.submit, work), result, items, AHEAD * workers)
    finally:
        processes.end()


class _Processes:
    """Threads that each hand item after item to a process of their own, and start another if it is killed.

    Not ProcessPoolExecutor: that gives up all that is under way when a process is killed, does not say by
    which item, and waits forever if the process was sending its result (Python 3.11.7).
    """

    def __init__(self, workers: int):
        self._threads = ThreadPoolExecutor(workers)
        self._own = threading.local()  # .pipe leads to this thread's process
        self._started = []
        self._ended = False

    def submit(self, work: Callable, item: Any) -> Future:
        return self._threads.submit(self._result, work, item)

    def end(self) -> None:
        """Stop every process, and wait until it is gone."""
        with STARTING:
            self._ended = True
        for process in self._started:
            process.kill()
        self._threads.shutdown(cancel_futures=True)
        for process in self._started:
            process.join()

    def _result(self, work: Callable, item: Any) -> Any:
        try:
            question = pickle.dumps((work, item))
        except (AttributeError, TypeError, pickle.PicklingError) as why:
            raise InputError(
                f"This work cannot be sent to a process ({why}): use a function of a module, and plain items."
            ) from why
        found, told = pickle.loads(self._answer(question))
        if told:
            raise found from RuntimeError(f"in a process of the sweep:\n{told}")
        return found

    def _answer(self, question: bytes) -> bytes:
        for _ in range(TRIES):
            try:
                pipe = self._pipe()
                pipe.send_bytes(question)
                return pipe.recv_bytes()
            except (EOFError, OSError):
                self._own.pipe = None
        raise _Ended(TRIES)

    def _pipe(self):
        """The pipe to this thread's process, which is started where there is none."""
        if getattr(self._own, "pipe", None) is None:
            with STARTING:
                if self._ended:
                    raise CancelledError
                here, there = SPAWN.Pipe()
                process = SPAWN.Process(target=_serve, args=(there,), daemon=True)
                _start_with(ONE_THREAD, process)
                there.close()  # so that the pipe ends where the process does
                self._started.append(process)
                self._own.pipe = here
        return self._own.pipe


def _start_with(settings: dict[str, str], process: Any) -> None:
    """Start a process that has these environment variables from its beginning.

    It first imports the main script, and perhaps torch with it: told afterwards, it would be too late.
    """
    before = {name: os.environ.get(name) for name in settings}
    os.environ.update(settings)
    try:
        process.start()
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _serve(pipe: Any) -> None:
    """In a process: answer what is asked, until nobody is there to ask."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the process that asks, which ends this one
    threading.Thread(target=_end_with, args=(parent_process(),), daemon=True).start()
    while True:
        try:
            question = pipe.recv_bytes()
        except EOFError:
            return
        pipe.send_bytes(_answered(question))


def _end_with(asker: Any) -> None:
    """End this process, whatever it does, where the one that asks is gone, killed perhaps."""
    asker.join()
    os._exit(1)


def _answered(question: bytes) -> bytes:
    """Pickled: (the result, "") or (the error, where it was raised)."""
    try:
        try:
            work, item = pickle.loads(question)
        except (AttributeError, ImportError) as why:
            raise InputError(f"A process cannot import this work ({why}): put it into a module.") from why
        return pickle.dumps((work(item), ""))
    except Exception as why:
        told = "".join(traceback.format_exception(why))
        try:
            answer = pickle.dumps((why, told))
            pickle.loads(answer)
            return answer
        except Exception:  # an error that does not survive the journey
            return pickle.dumps((RuntimeError(f"{type(why).__name__}: {why}"), told))


def _on_a_cluster(work: Callable, items: Iterable, scheduler: str, ask: Callable) -> Iterator:
    client = _client(scheduler)
    executor = client.get_executor(pure=False)  # pure would give equal items one result
    from distributed.scheduler import KilledWorker

    def submit(item: Any) -> Future:
        return executor.submit(partial(work, item))  # so that no item is taken for a part of Dask's graph

    def result(future: Future) -> Any:
        while not _is_done(future, ask, PATIENCE):
            _await_a_worker(client, scheduler, ask)
        try:
            return future.result()
        except KilledWorker as why:
            raise _Ended(why.allowed_failures + 1) from why

    try:
        _await_a_worker(client, scheduler, ask)
        yield from _in_order(submit, result, items, AHEAD * sum(client.nthreads().values()))
    except CancelledError as why:
        raise InputError(f"The Dask scheduler at {scheduler} is gone: start it, and sweep again.") from why
    finally:
        client.close()


def _client(scheduler: str) -> Any:
    """A client of the Dask scheduler at this address."""
    try:
        from distributed import Client
    except ImportError as why:
        raise InputError('A sweep on a Dask cluster needs Dask: pip install "studykit[dask]".') from why
    try:
        with ThreadPoolExecutor(1) as thread:  # a notebook's own has a loop already
            thread.submit(lambda: asyncio.run(_greet(scheduler))).result()
        return Client(scheduler, timeout=PATIENCE, set_as_default=False)
    except Exception as why:
        raise InputError(
            f"No Dask scheduler answers at '{scheduler}': give the address that 'dask scheduler' prints, "
            "like tcp://host:8786."
        ) from why


async def _greet(scheduler: str) -> None:
    """Exchange Dask's greetings: asked of anything else, a Client may wait forever."""
    from distributed import Security
    from distributed.comm import connect

    connecting = connect(scheduler, timeout=PATIENCE, **Security().get_connection_args("client"))
    await (await asyncio.wait_for(connecting, PATIENCE)).close()


def _await_a_worker(client: Any, scheduler: str, ask: Callable) -> None:
    until = time.monotonic() + PATIENCE
    while True:
        try:
            return client.wait_for_workers(1, timeout=MOMENT)
        except TimeoutError as why:
            ask()
            if time.monotonic() > until:
                told = f"This cluster has no workers: start one with 'dask worker {scheduler}'."
                raise InputError(told) from why
