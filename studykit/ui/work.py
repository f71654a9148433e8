"""Long work that visitors ask for: one thing after another, beside the pages, which go on meanwhile.

    job = WORK.ask([run], Occlusion(window=8))  # answers at once; job.state and job.done tell how far it is

A thread of the server waits for a process that works, so that no page waits for either. What is made lands in
the runs' explanations, as `python -m studykit explain` has it. All visitors of a server share its jobs.
"""

import os
import threading
import traceback
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from studykit.catalog import InputError, check_choice
from studykit.datasets import Dataset
from studykit.explain import Explainer, key
from studykit.explain.explain import explained
from studykit.explain.explainer import CLASSES_EXPLAINED
from studykit.models import FusionModel
from studykit.sweep import Stopped
from studykit.training import Run
from studykit.ui.session import title_of

MOST = 8  # jobs that wait
TOGETHER = 4  # cases a portion: progress is told, and a stopped job loses, by so many


def look_only() -> bool:
    """Whether whoever runs this server has forbidden to ask for work (STUDYKIT_LOOK_ONLY)."""
    return os.environ.get("STUDYKIT_LOOK_ONLY", "") not in ("", "0")


@dataclass(eq=False)
class Job:
    """An explanation that was asked for. The thread that works writes its progress; all others read it.

    ids: cases of each run; None for all that it held out. state: waiting, at work, done, stopped or failed.
    done, total: cases, of those that were not there. told: a sentence, once it is over.
    """

    runs: tuple[Run, ...]
    method: Explainer
    of: str = "usual"
    ids: tuple[str, ...] | None = None
    state: str = "waiting"
    done: int = 0
    total: int = 0
    told: str = ""
    stopping: threading.Event = field(default_factory=threading.Event, repr=False)

    @property
    def key(self) -> str:
        """Under which it will be stored."""
        return key(self.method, self.of)

    @property
    def title(self) -> str:
        """What it is, in a line."""
        whose = "all held-out cases" if self.ids is None else ", ".join(self.ids)
        return f"{title_of(self.key)}: {self.runs[0].about['name']}, {whose}"

    @property
    def is_over(self) -> bool:
        """Whether nothing more will come."""
        return self.state in ("done", "stopped", "failed")

    def same(self, other: "Job") -> bool:
        """Whether the other asks for the very same."""
        mine, its = ([run.folder for run in job.runs] for job in (self, other))
        return (mine, self.key, self.ids) == (its, other.key, other.ids)

    def end(self, state: str, told: str) -> None:
        """Say what came of it; the state comes last, for those who wait for it."""
        self.told = told
        self.state = state

    def carry_out(self) -> None:
        """Make what is not there. Whatever goes wrong is told, and raised nowhere."""
        self.state = "at work"
        workers = int(all(_travels(run, self.method) for run in self.runs))
        asked = {"of": self.of, "ids": self.ids, "workers": workers, "together": TOGETHER}
        try:
            for _ in explained(
                self.runs, [self.method], **asked, watch=self._watched, stop=self.stopping.is_set
            ):
                pass
        except Stopped:
            made = f"Stopped after {self.done} of {self.total} cases; these are stored."
            self.end("stopped", made if self.done else "Stopped before the first cases were done.")
        except InputError as why:
            self.end("failed", str(why))
        except Exception as why:
            traceback.print_exc()
            told = f"A mistake of the program ended it ({type(why).__name__}); the server has printed where."
            self.end("failed", told)
        else:
            made = "1 case is explained." if self.total == 1 else f"{self.total} cases are explained."
            self.end("done", made if self.total else "It was stored already.")

    def _watched(self, cases: Iterable) -> Iterator:
        self.total = len(cases)
        for self.done in cases:
            yield self.done
        self.done = self.total


def _travels(run: Run, method: Explainer) -> bool:
    """Whether another process can import what this work is made of; not a class of a notebook's cell."""
    model = FusionModel.catalogue.get(run.about["model"]["name"])
    dataset = Dataset.catalogue.get(run.about["dataset"]["name"])
    return all(made.__module__.startswith("studykit.") for made in (type(method), model, dataset) if made)


class Work:
    """The jobs of a server: the first is at work, the others wait."""

    def __init__(self, most: int = MOST):
        self.most = most
        self.over = 0  # how many have ended
        self._jobs: list[Job] = []
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    @property
    def jobs(self) -> list[Job]:
        """Those that are at work or wait, in their order."""
        with self._lock:
            return list(self._jobs)

    def ask(
        self, runs: Sequence[Run], method: Explainer, of: str = "usual", ids: Sequence[str] | None = None
    ) -> Job:
        """A job that will be carried out; whoever asks for the same meanwhile gets the same one.

        Raises InputError where too many wait, or the pages only look.
        """
        if look_only():
            raise InputError("These pages only look; make the explanation with `python -m studykit explain`.")
        check_choice("class explained", of, CLASSES_EXPLAINED)
        wanted = Job(tuple(runs), method, of, None if ids is None else tuple(ids))
        with self._lock:
            for job in self._jobs:
                if job.same(wanted) and not job.is_over and not job.stopping.is_set():
                    return job
            if len(self._jobs) > self.most:
                raise InputError(f"{self.most} explanations wait already; cancel one, or ask again later.")
            self._jobs.append(wanted)
            if self._thread is None:
                self._thread = threading.Thread(target=self._carry_out, daemon=True)
                self._thread.start()
        return wanted

    def cancel(self, job: Job) -> None:
        """Stop a job, whoever asked for it; what it has made is stored."""
        job.stopping.set()
        with self._lock:
            if job in self._jobs[1:] and job.state == "waiting":
                self._jobs.remove(job)
                job.end("stopped", "Cancelled before it began.")
                self.over += 1

    def end(self) -> None:
        """Stop all jobs, and wait until the process at work is gone; called where the server ends."""
        for job in reversed(self.jobs):
            self.cancel(job)
        if thread := self._thread:
            thread.join(timeout=10)

    def _carry_out(self) -> None:
        while True:
            with self._lock:
                if not self._jobs:
                    self._thread = None
                    return
                job = self._jobs[0]
            job.carry_out()
            with self._lock:
                self._jobs.remove(job)
                self.over += 1


WORK = Work()
