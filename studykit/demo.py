"""The demo study: several models of drawn cases, with everything that the pages can show of them.

Breast scans with a record, and a few chest volumes; one fold each. Every model is trained, explained and
asked what it leans on, and its maps are scored, several models at once where there are several processors.
Each step keeps what stands: a demo that was stopped goes on, and a second one has nothing to do.
"""

import io
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import redirect_stderr
from functools import partial
from pathlib import Path
from threading import RLock
from time import perf_counter
from typing import Any

from tqdm import tqdm

from studykit.catalog import build, configured
from studykit.explain import Explainer
from studykit.explain.contributions import Occluding, contributions, neighbours
from studykit.explain.explain import explained
from studykit.explain.gates import gates
from studykit.models import taps
from studykit.quality.quality import FILE, quality
from studykit.sweep import sweep
from studykit.training import Recipe, Run, train

BREAST = {"name": "breast_phantom", "count": 300, "size": 72}
CHEST = {"name": "chest_phantom", "count": 120, "depth": 12, "size": 48, "in_volume": 0.7, "in_record": 0.7}
GRADIENTS = {"name": "integrated_gradients", "steps": 16}
MAPS = ["grad_cam", GRADIENTS, {"name": "occlusion", "window": 24}]
PATCHES = {"parts": {"image": 12}}

RECIPES: tuple[dict[str, Any], ...] = (  # the longest first; pages open with the first by name
    {
        "name": "breast fusion, gated",
        "dataset": BREAST,
        "model": {
            "name": "attention_gate", "backbone": "test_resnet",
            "receptive_field": 9, "local_widths": [4, 8, 8, 8],
        },
        "training": {"epochs": 12, "rate": 0.005, "encoder_rate": 1.0},
        "explain": ["attention", "class_evidence", *MAPS],
        "contributions": PATCHES,
    },
    {
        "name": "chest fusion",
        "dataset": CHEST,
        "model": {"name": "concat", "volume": {"name": "residual", "widths": [8, 16]}, "dropout": 0.2},
        "training": {"epochs": 30, "batch": 8, "rate": 0.003, "encoder_rate": 1.0},
        "explain": ["grad_cam", GRADIENTS, "occlusion"],
        "contributions": {"parts": {"volume": {"name": "patches", "size": [4, 16, 16]}}},
    },
    {
        "name": "breast fusion, plain",
        "dataset": BREAST,
        "model": {"name": "concat"},
        "explain": MAPS,
        "contributions": PATCHES,
    },
    {
        "name": "breast image alone",
        "dataset": BREAST,
        "model": {"name": "alone"},
        "explain": MAPS,
        "contributions": PATCHES,
    },
    {
        "name": "breast record alone",
        "dataset": BREAST,
        "model": {"name": "alone", "modality": "record"},
        "explain": [GRADIENTS, "occlusion"],
        "contributions": {},
    },
)  # fmt: skip
for recipe in RECIPES:
    recipe["only"] = [0]

SCORES = [
    "relevance_mass", "pointing_game", "deletion", "insertion", "degradation", "agreement",
    {"name": "randomisation", "redraws": 2},
]  # fmt: skip
MEASURES = [
    "occlusion", "whole_occlusion", "shapley", "missing", "emap", "perceptual", "shape_score",
    {"name": "granularity", "sampled": 16}, {"name": "mm_shap", "permutations": 2},
    {"name": "gradient_share", "steps": 16},
]  # fmt: skip
SCORED = 20  # drawn cases whose maps are scored
BESIDE = 20  # drawn cases that the other measures of contribution look at
MOST = 4  # models that are worked on at once


def build_demo(
    out: Path,
    recipes: Sequence[Mapping[str, Any]] = RECIPES,
    scored: int = SCORED,
    workers: int | None = None,
) -> None:
    """Make all that is missing of the models in `out`, and print what was done in how many seconds.

    scored: drawn cases a model whose maps are scored. workers: see `studykit.sweep`; by default a process for
    each processor, four at most. Raises InputError where other runs stand there under the same names.
    """
    work = partial(_made, out=out, scored=scored)
    new = [one for one in recipes if not (out / one["name"] / "fold-0" / FILE).is_file()]
    if workers is None:
        workers = min(len(new), os.cpu_count() or 1, MOST)
    for _ in sweep(work, new, workers=workers if workers > 1 else 0):
        pass
    for one in recipes:
        if one not in new:
            work(one)


def _made(recipe: Mapping[str, Any], out: Path, scored: int) -> None:
    """One model, step by step."""
    recipe = Recipe.from_json(recipe)
    tqdm.set_lock(RLock())  # its usual lock, made for many processes, outlives one that a sweep ends
    with redirect_stderr(io.StringIO()) as said:  # bars of several processes would overwrite each other
        for what, do in _steps(recipe, out, scored):
            begin = perf_counter()
            note, seconds = do() or "", perf_counter() - begin
            if seconds >= 1:  # else it stood already, as good as
                print(f"{recipe.name}: {what}{note}, {seconds:.0f} s", flush=True)
    print(said.getvalue(), end="", file=sys.stderr)


def _steps(recipe: Recipe, out: Path, scored: int) -> Iterator[tuple[str, Callable[[], str | None]]]:
    """What is done, and the doing of it; what comes after the first needs the run that this one makes."""
    yield "trained", partial(_trained, recipe, out)
    run = Run(out / recipe.name / f"fold-{recipe.folds_to_run[0]}")
    methods = [build(Explainer, method) for method in recipe.explain]
    yield "explained", lambda: _all(explained([run], methods, "predicted"))
    occluding = configured(Occluding, recipe.contributions, "contributions")
    yield "contributions", lambda: _all(contributions(run, occluding))
    yield "other measures beside them", lambda: _all([neighbours(run, MEASURES, occluding, BESIDE)])
    if taps(run.model()):
        yield "gates", lambda: _all([gates(run)])
    yield "maps scored", lambda: _all(quality(run, methods, SCORES, cases=scored))


def _trained(recipe: Recipe, out: Path) -> str:
    """Train; how well the model tells held-out cases."""
    table = train(recipe, out, tell=lambda sentence: None)
    row = table[(table["statistic"] == "AUROC") & (table["group"] == recipe.name)].iloc[0]
    return f" (AUROC {row['estimate']:.2f}, {row['low']:.2f} to {row['high']:.2f}, {row['n']} held-out cases)"


def _all(results) -> None:
    """Ask for each of them."""
    for _ in results:
        pass
