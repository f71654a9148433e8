"""Do the maps of models of real cases fall into the reference masks? Prints Markdown tables.

    OMP_NUM_THREADS=1 python -m tests.benchmarks.map_real OUT [SET | SET:MODEL ...]

Trains BrEaST, BUSI and HAM10000 runs into OUT (what stands there is used), explains drawn held-out cases of
their folds and scores the maps against the masks: RMA, RRA, IoU and Dice at a threshold tuned on validation
cases, pointing game, each with its chance; then RMA's lift by class, by lesion size, and for cases called
right and wrong. Needs STUDYKIT_DATA. About half an hour on one core.
"""

import sys
import warnings
from pathlib import Path

import pandas as pd
import torch

from studykit.quality import coherence, quality
from studykit.training import Recipe, Run, train

SIZE, CASES, SEED = 128, 120, 0  # pixels; cases of a set, drawn evenly from its folds
METHODS = (
    "grad_cam", "grad_cam_plus_plus", "gradient_x_input", {"name": "integrated_gradients", "steps": 16},
    {"name": "smooth_grad", "samples": 8}, {"name": "occlusion", "window": 32}, "attention", "class_evidence",
)  # fmt: skip
GATE = {"name": "attention_gate", "backbone": "test_resnet", "local_widths": [8, 8, 16, 16]}
LONG = {"epochs": 40, "batch": 32, "rate": 1e-3, "encoder_rate": 1.0, "patience": 10}
SETS = {
    "BrEaST": ({"name": "breast_lesions_usg", "size": SIZE}, {"concat": "concat", "attention_gate": GATE}),
    "BUSI": ({"name": "busi", "size": SIZE}, {"alone": "alone", "attention_gate": GATE}),
    "HAM10000": ({"name": "ham10000", "size": SIZE}, {"concat": "concat", "attention_gate": GATE}),
}
FOLDS = {"BUSI": [0, 1], "HAM10000": [0]}  # these only
SCORES = ("relevance_mass", "relevance_rank", "iou", "dice", "pointing_game")


def made(name: str, model: str, out: Path) -> list[Run]:
    """The runs of one model on one set, trained where they are not there."""
    dataset, models = SETS[name]
    recipe = {"name": f"{name} {model}", "dataset": dataset, "model": models[model], "folds": 5}
    recipe |= {"only": FOLDS.get(name, []), "training": LONG if models[model] is GATE else {"epochs": 20}}
    folder = out / recipe["name"]
    if not (folder / "metrics.csv").is_file():
        train(Recipe.from_json(recipe), out)
    return [Run(fold) for fold in sorted(folder.glob("fold-*"))]


def scored(runs: list[Run]) -> pd.DataFrame:
    """The scores of the folds' drawn cases as one table."""
    model, schema = runs[0].model(), runs[0].schema
    from studykit.catalog import build
    from studykit.explain import Explainer

    suiting = [m for m in METHODS if not build(Explainer, m).suits(model, schema)]
    tables = quality(runs, suiting, SCORES, cases=CASES // len(runs), seed=SEED)
    return pd.concat([table for _, table in tables], ignore_index=True).query("modality == 'image'")


def interval(row: pd.Series, digits: int = 2) -> str:
    """The lift with its interval."""
    return f"{row['lift']:.{digits}f} [{row['lift_low']:.{digits}f}, {row['lift_high']:.{digits}f}]"


def line(cells) -> None:
    """One row of a Markdown table."""
    print("| " + " | ".join(cells) + " |", flush=True)


def show(name: str, model: str, table: pd.DataFrame, auroc: pd.Series) -> None:
    """The tables of one model."""
    told = coherence(table).set_index(["method", "statistic"])
    cases, empty = table["case"].nunique(), int(told["empty"].max())
    chance = told.xs("relevance_mass", level="statistic")["chance"].mean()
    said = f"AUROC {auroc['estimate']:.2f} [{auroc['low']:.2f}, {auroc['high']:.2f}]"
    print(
        f"\n**{name}, {model}**: {said}; {cases} cases, chance {chance:.3f}; no score in {empty} at most.\n"
    )
    line(["method", "RMA", "lift", "RRA", "IoU (chance)", "Dice (chance)", "pointing", "lift"])
    line(["---"] * 8)
    for method in told.index.unique("method"):
        rows = {score: told.loc[(method, score)] for score in SCORES}
        cut = [f"{rows[s]['estimate']:.3f} ({rows[s]['chance']:.3f})" for s in ("iou", "dice")]
        mass, rank, point = (rows[s] for s in ("relevance_mass", "relevance_rank", "pointing_game"))
        cells = [method.split(",of=")[0], f"{mass['estimate']:.3f}", interval(mass)]
        line([*cells, f"{rank['estimate']:.3f}", *cut, f"{point['estimate']:.2f}", interval(point, 1)])
    print()
    strata = [coherence(table, by=by) for by in ("label", "size", "right")]
    groups = pd.concat(strata).query("statistic == 'relevance_mass'")
    count = groups.groupby("group", sort=False)["n"].max()
    line(["RMA's lift", *(f"{group} ({n})" for group, n in count.items())])
    line(["---"] * (len(count) + 1))
    for method, rows in groups.groupby("method"):
        cells = rows.set_index("group")
        shown = [interval(cells.loc[g], 1) if g in cells.index else "-" for g in count.index]
        line([method.split(",of=")[0], *shown])


if __name__ == "__main__":
    warnings.filterwarnings("ignore")
    torch.set_num_threads(1)
    out = Path(sys.argv[1])
    for wish in sys.argv[2:] or SETS:
        name, _, only = wish.partition(":")
        for model in [only] if only else SETS[name][1]:
            runs = made(name, model, out)
            measured = pd.read_csv(runs[0].folder.parent / "metrics.csv").set_index(["statistic", "group"])
            show(name, model, scored(runs), measured.loc[("AUROC", f"{name} {model}")])
