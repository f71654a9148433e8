"""explanations.zarr in a run folder: one group a method, chunked by case, complete or absent.

METHOD/maps/MODALITY (B, ...)   METHOD/effects/MODALITY (B,)   METHOD/checks/NAME (B,)
METHOD's attributes: ids, head, targets, spec, signed, and the digest of the weights explained
"""

import hashlib
from pathlib import Path

import numpy as np
import zarr

from studykit.catalog import InputError, unknown
from studykit.explain.explainer import Explanation
from studykit.training.run import Run
from studykit.whole import whole_folder

FILE = "explanations.zarr"


def methods(run: Run) -> list[str]:
    """The keys of the explanations that the run folder holds."""
    folder = run.folder / FILE
    found = folder.iterdir() if folder.is_dir() else ()
    return sorted(p.name for p in found if p.is_dir() and not p.name.startswith("."))


def write(run: Run, key: str, explanation: Explanation) -> None:
    """Store an explanation under `key`, whole or not at all."""
    with whole_folder(run.folder / FILE / key) as hidden:
        group = zarr.open_group(hidden, mode="w")
        parts = {
            "maps": explanation.maps,
            "effects": explanation.effects,
            "checks": explanation.checks,
        }
        for part, arrays in parts.items():
            for name, values in arrays.items():
                chunks = (1, *values.shape[1:]) if part == "maps" else values.shape
                array = group.create_array(
                    f"{part}/{name}", shape=values.shape, chunks=chunks, dtype="float32"
                )
                array[...] = np.asarray(values, dtype="float32")
        group.attrs.update(
            ids=list(explanation.ids),
            head=explanation.head,
            targets=[int(target) for target in explanation.targets],
            spec=explanation.spec,
            signed=explanation.signed,
            weights=weights_digest(run),
        )


def is_current(run: Run, key: str, ids: list[str]) -> bool:
    """Whether `key` is stored for these very cases and the weights that stand there now."""
    if key not in methods(run):
        return False
    attributes = zarr.open_group(run.folder / FILE / key, mode="r").attrs
    return attributes["ids"] == ids and attributes["weights"] == weights_digest(run)


def read(run: Run, key: str, ids: list[str] | None = None) -> Explanation:
    """The stored explanation of some cases (all of them by default), joined by id.

    Raises InputError for a method or a case that is not stored.
    """
    if key not in methods(run):
        raise InputError(
            unknown(f"explanation in {run.folder}", key, methods(run))
            + f" Make it with `python -m studykit explain {run.folder} --methods {key.split(',')[0]}`."
        )
    group = zarr.open_group(run.folder / FILE / key, mode="r")
    about = dict(group.attrs)
    stored = {case: position for position, case in enumerate(about["ids"])}
    wanted = about["ids"] if ids is None else list(ids)
    for case in wanted:
        if case not in stored:
            raise InputError(f"The case '{case}' has no {key} in {run.folder}; explain it again.")
    at = [stored[case] for case in wanted]

    def arrays(part: str) -> dict[str, np.ndarray]:
        names = list(group[part].array_keys()) if part in group else []
        return {name: group[part][name].oindex[at] for name in sorted(names)}

    targets = np.array([about["targets"][position] for position in at])
    return Explanation(
        wanted,
        about["head"],
        targets,
        about["spec"],
        arrays("maps"),
        about["signed"],
        arrays("effects"),
        arrays("checks"),
    )


def stamp(run: Run, key: str) -> int:
    """What changes when the explanation under `key` is made anew (a time, in nanoseconds)."""
    return (run.folder / FILE / key).stat().st_mtime_ns


def weights_digest(run: Run) -> str:
    """What tells one training from another."""
    return hashlib.sha256(Path(run.folder / "weights.safetensors").read_bytes()).hexdigest()[:16]
