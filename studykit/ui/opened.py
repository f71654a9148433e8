"""Which runs of a folder can be opened; and of each other one, what is wrong with it and what to run."""

import shlex
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import safetensors

from studykit.catalog import InputError, check_choice, completed
from studykit.datasets import Dataset
from studykit.models import FusionModel
from studykit.training import Run
from studykit.training.run import FILES, run_folders


@dataclass(frozen=True)
class Opened:
    """models: the runs that can be opened, by model, in order of folders.

    troubles: {kind of trouble: {run folder: a sentence}}. half: {model: a sentence}, where folds are missing.
    """

    models: dict[str, list[Run]] = field(default_factory=dict)
    troubles: dict[str, dict[Path, str]] = field(default_factory=dict)
    half: dict[str, str] = field(default_factory=dict)


class Trouble(InputError):
    """Why one run cannot be opened; kind: a few words for all of its like."""

    def __init__(self, kind: str, sentence: str):
        super().__init__(sentence)
        self.kind = kind


def opened(folder: Path) -> Opened:
    """What stands at or below a folder. Raises InputError where the folder is not there."""
    found = Opened()
    for place in run_folders(folder):
        try:
            run = _sound(place, stamp(place))
            runs = found.models.get(_model_of(run, folder), [])
            _fits(run, runs)
        except Trouble as why:
            found.troubles.setdefault(why.kind, {})[place] = str(why)
        else:
            found.models.setdefault(_model_of(run, folder), []).append(run)
    for model, runs in found.models.items():
        if sentence := _lacking(runs):
            found.half[model] = sentence
    return found


def stamp(place: Path) -> tuple[int, ...]:
    """What changes when a run is made anew: times of its files, in nanoseconds; 0 for one that is missing."""
    paths = [place / name for name in FILES]
    return tuple(path.stat().st_mtime_ns if path.is_file() else 0 for path in paths)


def _model_of(run: Run, folder: Path) -> str:
    """The recipe's name, with the folders above it where the runs of several studies are served."""
    place = run.folder.parent
    return str(place.relative_to(folder)) if folder in place.parents else run.about["name"]


@lru_cache(maxsize=512)
def _sound(place: Path, changed: tuple[int, ...]) -> Run:
    """A run that pages can show, read once for all visitors. Raises Trouble."""
    run = None
    for kind, check in CHECKS.items():
        try:
            run = run or Run(place)
            check(run)
        except InputError as why:
            raise Trouble(kind, _told(place, str(why), kind)) from None
        except Exception as why:  # whatever stands in its files: one bad run must not hide the others
            told = f"{type(why).__name__}: {' '.join(str(why).split())[:200]}"
            raise Trouble(kind, f"{place} cannot be opened ({told}); {again(place)}") from None
    return run


def _told(place: Path, why: str, kind: str) -> str:
    """A sentence that names the run, and what to do about it."""
    told = why if str(place) in why else f"{place}: {why}"
    if kind == DATA or "remove that folder" in told:
        return told
    return f"{told} To make it anew, {again(place)}"


def again(place: Path) -> str:
    """What to run for a run folder that is of no use."""
    out = shlex.quote(str(place.parent.parent))
    return f"remove that folder and run `python -m studykit run RECIPE.json --out {out}`."


def _readable(run: Run) -> None:
    """Its files are what they are called."""
    if not isinstance(run.about, dict):
        raise InputError(f"{run.folder}/recipe.json holds no recipe; {again(run.folder)}")
    with safetensors.safe_open(run.folder / "weights.safetensors", framework="pt"):
        pass  # the head alone is read, and compared with the file's size
    if run.predictions.empty:
        raise InputError(f"{run.folder}/predictions.parquet holds no case; {again(run.folder)}")


def _understood(run: Run) -> None:
    """It says all that today's pages ask."""
    wanted = ("name", "fold", "folds", "dataset", "model", "fingerprint", "schema", "record")
    lacking = [key for key in wanted if key not in run.about]
    columns = ["id", "group", "split"]
    if not lacking:
        for task in run.schema.tasks:
            several = task.kind != "regression"
            columns += [task.name, *(f"{task.name}.{name}" for name in task.classes or ("value",))]
            columns += [f"{task.name}.predicted"] * several
    lacking += [f"the column {name}" for name in columns if name not in run.predictions]
    if lacking:
        raise InputError(
            f"{run.folder} does not say {', '.join(lacking)}, which this version of studykit asks for; "
            + again(run.folder)
        )
    check_choice("data set", run.about["dataset"]["name"], Dataset.catalogue)
    completed(FusionModel, run.about["model"])
    if not run.test_ids:
        raise InputError(f"{run.folder} held no case out, so there is none to look at; {again(run.folder)}")


DATA = "without their data"
CHECKS: dict[str, Callable[[Run], None]] = {
    "incomplete or damaged": _readable,
    "made by another version of studykit": _understood,
    DATA: Run.check_data,
}


def _fits(run: Run, others: list[Run]) -> None:
    """Folds of one model are of one data set and hold different cases out. Raises Trouble."""
    for other in others:
        if run.about["dataset"] != other.about["dataset"] or _tasks(run) != _tasks(other):
            what = "is of other data or another task than"
        elif run.fold == other.fold or set(run.test_ids) & set(other.test_ids):
            what = "holds out cases that are held out already in"
        else:
            continue
        raise Trouble(
            "beside another run of the same name",
            f"{run.folder} {what} {other.folder}; move one of them into a folder of its own.",
        )


def _tasks(run: Run) -> list[tuple]:
    """What is asked; the scale of a number differs from fold to fold."""
    return [(task.name, task.kind, task.classes) for task in run.schema.tasks]


def _lacking(runs: list[Run]) -> str:
    """What to run where a recipe's folds are not all there; "" where they are."""
    asked = {fold for run in runs for fold in run.about.get("only") or range(run.about["folds"])}
    if len(runs) == len(asked):
        return ""
    name, out = runs[0].about["name"], shlex.quote(str(runs[0].folder.parent.parent))
    return (
        f"{len(runs)} of {len(asked)} folds of '{name}' are here. To go on, run "
        f"`python -m studykit run RECIPE.json --out {out}`: it keeps the folds that stand."
    )


def nothing(folder: Path, found: Opened) -> str:
    """What to run where no run can be opened."""
    many = sum(len(told) for told in found.troubles.values())
    some = (
        f"None of the {many} run folders in {folder} can be opened" if many else f"No run stands in {folder}"
    )
    return (
        f"{some}. Make one with `python -m studykit run RECIPE.json --out {shlex.quote(str(folder))}`, or a "
        "study of drawn cases with `python -m studykit demo`."
    )
