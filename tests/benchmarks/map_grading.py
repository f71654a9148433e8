"""Which method can be believed for which model? Graded on planted_patch; prints a Markdown table.

    OMP_NUM_THREADS=1 python -m tests.benchmarks.map_grading OUT [MODEL ...]

Each model learns which way the stripes of one small patch run (300 cases to learn from, pictures of 96x96, a
patch of 1.8 % of them; the record tells nothing; mmcaf: volumes of 12x48x48), must be right in 95 % of the
others, and every method that suits it is graded on 40 of these (see `studykit.quality.grading`): mass in the
patch against chance and controls, similarity after weights were drawn anew (ten times), degradation. About
half an hour on one core; runs that stand in OUT are used.
"""

import sys
import warnings
from pathlib import Path

import pandas as pd
import torch

from studykit.quality import grades, quality
from studykit.quality.quality import usual_methods
from studykit.training import Recipe, find_runs, train
from tests.models.interaction import GATE, OWN

CASES = 40
SMALL = {"name": "residual", "widths": [8, 16]}
LOCAL = {**GATE, "receptive_field": 9, "loss_weights": [0.3, 0.3, 0.4]}
MODELS = {
    "alone": {"name": "alone", "image": SMALL},
    "late": {"name": "late", "image": SMALL},
    "concat": {"name": "concat", "image": SMALL},
    "film": {"name": "film", "image": SMALL, "width": 16},
    "daft": {"name": "daft", "image": SMALL, "width": 16},
    "gmu": {"name": "gmu", "image": SMALL, "width": 32},
    "cross_attention": {"name": "cross_attention", "image": SMALL, "width": 16},
    "mmtm": {"name": "mmtm", **OWN},
    "drifa": {"name": "drifa", **OWN},
    "attention_gate": LOCAL,
    "mmcaf": {"name": "mmcaf", "widths": [4, 8, 16], "dropout": 0.1, "drop_maps": 0.0},
}
TRAINING = {"epochs": 12, "batch": 25, "rate": 3e-3, "encoder_rate": 1.0, "augment": False, "patience": 12}
SCORES = ("relevance_mass", {"name": "randomisation", "redraws": 10}, "degradation")
PLAYERS = ("kernel_shap", "modality_shapley", "shapley_sampling")  # a picture is one player: no map of it
QUICKER = {"occlusion": {"window": 24}, "integrated_gradients": {"steps": 16}, "smooth_grad": {"samples": 8}}


def graded(name: str, out: Path) -> tuple[pd.DataFrame, float]:
    """The grades of every method that suits, and the model's accuracy on its held-out cases."""
    dataset = {"name": "planted_patch", "count": 450, "size": 96}
    if name == "mmcaf":
        dataset |= {"kind": "volume", "size": 48, "checked": 0}
    recipe = {"name": name, "dataset": dataset, "model": MODELS[name], "folds": 3, "only": [0]}
    if not (out / name / "metrics.csv").is_file():
        train(Recipe.from_json({**recipe, "training": TRAINING}), out)
    run = find_runs(out / name)[0]
    table = run.predictions.query("split == 'test'")
    right = float((table["stripes"] == table["stripes.predicted"]).mean())
    pictured = [method for method in usual_methods() if method not in PLAYERS]
    methods = [{"name": method, **QUICKER.get(method, {})} for method in pictured]
    ((_, found),) = quality(run, methods, SCORES, cases=CASES)
    return grades(found[found["modality"] == "image"], name), right


def told(value: float, low: float = float("nan"), high: float = float("nan")) -> str:
    """A number, with its interval where there is one."""
    if value != value:
        return "-"
    return f"{value:.2f}" + (f" [{low:.2f}, {high:.2f}]" if low == low else "")


if __name__ == "__main__":
    warnings.filterwarnings("ignore")
    torch.set_num_threads(1)
    heads = ["model", "method", "mass in the patch / chance", "similarity, drawn anew", "of sizes"]
    heads += ["degradation", "finds", "follows", "matters", "believed"]
    print(f"| {' | '.join(heads)} |\n{'|---' * len(heads)}|")
    for name in sys.argv[2:] or MODELS:
        table, right = graded(name, Path(sys.argv[1]))
        for row in table.to_dict("records"):
            cells = [f"{name} ({right:.2f})", row["method"].split(",")[0]]
            cells += [told(row["lift"], row["lift_low"], row["lift_high"]), told(row["similarity"])]
            cells += [told(row["of sizes"])]
            cells += [told(row["degradation"], row["degradation_low"], row["degradation_high"])]
            cells += [row[answer] for answer in ("finds", "follows", "matters", "believed")]
            print(f"| {' | '.join(cells)} |", flush=True)
