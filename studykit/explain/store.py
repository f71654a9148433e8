"""explanations.zarr in a run folder: one group a method, chunked by case, complete or absent.

METHOD/maps/MODALITY (B, ...)    METHOD/scales/MODALITY (B,)    METHOD/targets (B,)
METHOD/effects/MODALITY (B,)     METHOD/checks/NAME (B,)
METHOD's attributes: ids, head, of, spec, signed, and the digest of the weights explained

A picture's map is kept in half precision, divided by its largest value (the scale): a value is off by 1/2048
of itself, or by 3e-8 of the largest where that is more; 256 colours are shown. Maps of columns and words,
effects and checks are kept as they were made. Chunks are not compressed, so that a page reads a case's map
straight from its file.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import zarr

from studykit.catalog import InputError, unknown
from studykit.explain.explainer import Explanation
from studykit.training.run import Run
from studykit.whole import alive, whole_folder

FILE = "explanations.zarr"
BEGUN = ".begun-"  # between a method's key and the process that is at work on it
DONE = ".done-"  # before the number of the cases that are there


def methods(run: Run) -> list[str]:
    """The keys of the explanations that the run folder holds."""
    folder = run.folder / FILE
    found = folder.iterdir() if folder.is_dir() else ()
    return sorted(p.name for p in found if (p / "zarr.json").is_file() and not p.name.startswith("."))


class Begun:
    """An explanation that grows portion by portion, and stands under its key once it is finished.

    about: what it will be: ids, of, spec, weights. ids: its cases that are there, the first ones of `about`.
    What a killed program had begun of the very same is gone on with; what it had begun otherwise is thrown
    away. In one process there is one at a time of a run and key.
    """

    def __init__(self, run: Run, key: str, about: Mapping[str, Any]):
        self.key, self.target = key, run.folder / FILE / key
        self.target.parent.mkdir(parents=True, exist_ok=True)
        self.folder = self.target.parent / f".{key}{BEGUN}{os.getpid()}"
        self.about = json.loads(json.dumps(dict(about)))
        for left in self.target.parent.glob(f".{key}{BEGUN}*"):
            owner = left.name.rpartition("-")[2]
            if left != self.folder and owner.isdigit() and not alive(int(owner)):
                if self.folder.exists() or not self._same(left):
                    shutil.rmtree(left, ignore_errors=True)
                else:
                    left.rename(self.folder)
        if not self._same(self.folder):
            shutil.rmtree(self.folder, ignore_errors=True)
            zarr.open_group(self.folder, mode="w").attrs.update(self.about)
        reached = [int(mark.name.removeprefix(DONE)) for mark in self.folder.glob(f"{DONE}*")]
        self.ids = self.about["ids"][: max(reached, default=0)]

    def _same(self, folder: Path) -> bool:
        try:
            held = dict(zarr.open_group(folder, mode="r").attrs)
        except (FileNotFoundError, ValueError, KeyError):
            return False
        return {name: held.get(name) for name in self.about} == self.about

    @property
    def missing(self) -> list[str]:
        """The cases that are not there yet."""
        return self.about["ids"][len(self.ids) :]

    def add(self, made: Explanation) -> None:
        """Keep the explanation of the next cases."""
        group, start = zarr.open_group(self.folder, mode="r+"), len(self.ids)
        self.ids = [*self.ids, *made.ids]
        stop = len(self.ids)
        count = max(stop, len(self.about["ids"]))
        for path, values, apart in _arrays(made):
            if path not in group:
                shape, chunks = (count, *values.shape[1:]), (1 if apart else count, *values.shape[1:])
                group.create_array(path, shape=shape, chunks=chunks, dtype=values.dtype, compressors=None)
            if group[path].shape[0] < stop:
                group[path].resize((stop, *values.shape[1:]))
            group[path][start:stop] = values
        group.attrs.update(head=made.head, signed=made.signed)
        (self.folder / f"{DONE}{stop}").touch()

    def forget(self) -> None:
        """Leave nothing behind where no case is there yet."""
        if not self.ids:
            shutil.rmtree(self.folder, ignore_errors=True)

    def finish(self, beside: Iterable[Explanation] = ()) -> None:
        """Let what is there, and `beside` behind it, stand under its key in place of an older one."""
        group = zarr.open_group(self.folder, mode="r+")
        group.attrs.update(ids=self.ids)  # killed from here on, it is no longer what was begun
        for made in beside:
            self.add(made)
        for mark in self.folder.glob(f"{DONE}*"):
            mark.unlink()
        group.attrs.update(ids=self.ids)
        for _, array in group.members(max_depth=None):
            if isinstance(array, zarr.Array) and array.shape[0] > len(self.ids):
                array.resize((len(self.ids), *array.shape[1:]))
        with whole_folder(self.target) as hidden:
            hidden.rmdir()
            self.folder.rename(hidden)


def _arrays(made: Explanation) -> list[tuple[str, np.ndarray, bool]]:
    """What is kept of an explanation: path, values, and whether each case is a chunk of its own."""
    found = [("targets", np.asarray(made.targets, dtype="int32"), False)]
    for name, values in made.maps.items():
        values, scale = np.asarray(values, dtype="float32"), None
        if values.ndim > 2:
            scale = np.abs(values).reshape(len(values), -1).max(axis=1)
            scale = np.where(scale > 0, scale, 1).astype("float32")
            values = (values / scale.reshape(-1, *[1] * (values.ndim - 1))).astype("float16")
            found.append((f"scales/{name}", scale, False))
        found.append((f"maps/{name}", values, True))
    for part in ("effects", "checks"):
        for name, values in getattr(made, part).items():
            found.append((f"{part}/{name}", np.asarray(values, dtype="float32"), False))
    return found


def about_of(made: Explanation, weights: str, of: str = "usual") -> dict[str, Any]:
    """What tells this explanation from others under its key."""
    return {"ids": list(made.ids), "of": of, "spec": made.spec, "weights": weights}


def write(run: Run, key: str, explanation: Explanation, of: str = "usual") -> None:
    """Store an explanation under `key`, whole or not at all; of: the class explained, see `Explainer`."""
    begun = Begun(run, key, about_of(explanation, weights_digest(run), of))
    begun.add(explanation)
    begun.finish()


def ids_of(run: Run, key: str, about: Mapping[str, Any]) -> list[str]:
    """The cases that `key` is stored for, made as `about` says; none where it is otherwise or not there."""
    if key not in methods(run):
        return []
    held = _opened(run.folder / FILE / key, stamp(run, key)).about
    return held["ids"] if {name: held.get(name) for name in about} == json.loads(json.dumps(about)) else []


def is_current(run: Run, key: str, ids: Sequence[str]) -> bool:
    """Whether `key` is stored for these cases (perhaps more) and the weights that stand there now."""
    return set(ids) <= set(ids_of(run, key, {"weights": weights_digest(run)}))


def read(run: Run, key: str, ids: Sequence[str] | None = None) -> Explanation:
    """The stored explanation of some cases (all of them by default), joined by id.

    Raises InputError for a method or a case that is not stored.
    """
    if key not in methods(run):
        raise InputError(
            unknown(f"explanation in {run.folder}", key, methods(run))
            + f" Make it with `python -m studykit explain {run.folder} --methods {key.split(',')[0]}`."
        )
    stored = _opened(run.folder / FILE / key, stamp(run, key))
    wanted = stored.about["ids"] if ids is None else list(ids)
    for case in wanted:
        if case not in stored.position:
            raise InputError(f"The case '{case}' has no {key} in {run.folder}; explain it again.")
    at = [stored.position[case] for case in wanted]
    maps = {name: stored.maps(name, at) for name in stored.names["maps"]}
    effects, checks = (
        {name: stored.small[f"{part}/{name}"][at] for name in stored.names[part]}
        for part in ("effects", "checks")
    )
    about = stored.about
    targets = stored.small["targets"][at]
    return Explanation(
        list(wanted), about["head"], targets, about["spec"], maps, about["signed"], effects, checks
    )


def read_check(run: Run, key: str, name: str) -> np.ndarray | None:
    """One check of a stored explanation, (B,); None where it has none of that name."""
    small = _opened(run.folder / FILE / key, stamp(run, key)).small
    return small.get(f"checks/{name}")


class _Stored:
    """A stored explanation, opened: all but its maps are in memory."""

    def __init__(self, folder: Path):
        group = zarr.open_group(folder, mode="r")
        self.folder, self.about = folder, dict(group.attrs)
        self.position = {case: at for at, case in enumerate(self.about["ids"])}
        parts = ("maps", "scales", "effects", "checks")
        self.names = {part: sorted(group[part].array_keys()) if part in group else [] for part in parts}
        self.arrays = {name: group[f"maps/{name}"] for name in self.names["maps"]}
        small = [f"{part}/{name}" for part in parts[1:] for name in self.names[part]]
        self.small = {path: group[path][...] for path in small}
        self.small["targets"] = (
            group["targets"][...] if "targets" in group else np.array(group.attrs["targets"])
        )

    def maps(self, name: str, at: list[int]) -> np.ndarray:
        """The maps (len(at), *shape) float32 of the cases at these positions."""
        array = self.arrays[name]
        if array.compressors:  # stored by an older studykit
            return array.oindex[at]
        found = np.zeros((len(at), *array.shape[1:]), dtype="float32")
        rest, kind = "/".join("0" * (array.ndim - 1)), array.dtype
        for row, position in enumerate(at):
            try:
                raw = np.fromfile(self.folder / "maps" / name / f"c/{position}/{rest}", dtype=kind)
            except FileNotFoundError:
                continue  # zarr writes no chunk of zeros
            scale = self.small[f"scales/{name}"][position] if name in self.names["scales"] else 1
            np.multiply(raw.reshape(array.shape[1:]), scale, out=found[row], dtype="float32")
        return found


@lru_cache(maxsize=64)
def _opened(folder: Path, changed: int) -> _Stored:
    return _Stored(folder)


def stamp(run: Run, key: str) -> int:
    """What changes when the explanation under `key` is made anew (a time, in nanoseconds)."""
    return (run.folder / FILE / key).stat().st_mtime_ns


def weights_digest(run: Run) -> str:
    """What tells one training from another."""
    return hashlib.sha256(Path(run.folder / "weights.safetensors").read_bytes()).hexdigest()[:16]
