"""Does modality contribution follow the planted truth, for every model? Prints Markdown tables.

    OMP_NUM_THREADS=1 python -m tests.benchmarks.contribution_grading [--out FILE] [MODEL ...]

Each model learns either_pair with 0, 25, 50, 75 and 100 % of the cases told by the first modality, three
seeds each, and the two ends again with noisy labels (settings in tests/contribution/grading.py). About an
hour on one core; `--out` keeps each training's numbers, a JSON line each, and a stopped run goes on where it
stopped.
"""

import argparse
import json
import warnings
from pathlib import Path

import pandas as pd
import torch

from tests.contribution.grading import FILL, MODELS, PATCH, SHARES, graded, order, silent, trained
from tests.contribution.grading import asked as contributed

SEEDS, ENDS = (0, 1, 2), (0.0, 1.0)
NOISE = 0.1  # the share of wrong labels in the rows beside
WHY = ("concat, hidden layer", "gmu", "mmtm")  # asked otherwise, too
ASKED = {
    "as graded": {},
    "patches of 4": {"patch": 4},
    "of 16": {"patch": 16},
    "whole": {"patch": 32},
    "another case's patches": {"fill": "other_case"},
}


class Kept:
    """What was measured, a JSON line a training."""

    def __init__(self, path: Path | None):
        self.path, self.rows = path, []
        if path and path.exists():
            self.rows = [json.loads(line) for line in path.read_text().splitlines()]

    def measured(self, name: str, seeds: tuple, shares: tuple, noise: float) -> pd.DataFrame:
        """The rows of these trainings, made where they are not there."""
        found = []
        for seed in seeds:
            for in_first in shares:
                job = {"model": name, "in_first": in_first, "seed": seed, "noise": noise}
                row = next((r for r in self.rows if job.items() <= r.items()), None)
                if row is None:
                    row = {**job, **graded(name, (seed,), noise, (in_first,)).iloc[0].to_dict()}
                    self.rows.append(row)
                    if self.path:
                        with self.path.open("a") as file:
                            file.write(json.dumps(row) + "\n")
                found.append(row)
        return pd.DataFrame(found)


def grades(names: list[str], kept: Kept, seeds: tuple[int, ...]) -> None:
    """One row a model: the shares by probability, and what the silent modality has, also in other ways."""
    heads = ["model", "seeds", *(f"{share:g}" for share in SHARES), "Spearman", "silent, at most", "by logit"]
    heads += [f"{NOISE:.0%} wrong labels", "accuracy at the ends", "least accuracy"]
    print(f"Patches of {PATCH} px, fill {FILL}.\n\n| {' | '.join(heads)} |\n{'|---' * len(heads)}|")
    for name in names:
        right = kept.measured(name, seeds, SHARES, 0.0)
        noisy = kept.measured(name, seeds[:1], ENDS, NOISE)
        at_ends = right[right["in_first"].isin(ENDS)]["accuracy"].min()
        cells = [
            name,
            str(len(seeds)),
            *(f"{m:.3f}" for m in right.groupby("in_first")["probability"].mean()),
        ]
        cells += [f"{order(right):.2f}", *(f"{silent(right, o):.3f}" for o in ("probability", "logit"))]
        cells += [f"{silent(noisy):.3f}", f"{at_ends:.3f}", f"{right['accuracy'].min():.3f}"]
        print(f"| {' | '.join(cells)} |", flush=True)


def why(names: list[str]) -> None:
    """What the silent modality contributes where one thing is done otherwise; the larger of both ends."""
    print(f"\n| silent, at most | {' | '.join(ASKED)} | trained without augmentation |")
    print("|---" * (len(ASKED) + 2) + "|")
    for name in names:
        kinds, both = MODELS[name][1], []
        for end in ENDS:
            model, plain = trained(name, end)[0], trained(name, end, augment=False, shift=0.0)[0]
            found = [contributed(model, kinds, end, **wish) for wish in ASKED.values()]
            both.append([abs(end - share) for share in (*found, contributed(plain, kinds, end))])
        print(
            f"| {name} | {' | '.join(f'{max(ends):.3f}' for ends in zip(*both, strict=True))} |", flush=True
        )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("models", nargs="*", help="these alone (all)")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--seeds", type=int, nargs="+", default=SEEDS)
    given = parser.parse_args()
    warnings.filterwarnings("ignore")
    torch.set_num_threads(1)
    chosen = given.models or list(MODELS)
    grades(chosen, Kept(given.out), tuple(given.seeds))
    why([name for name in WHY if name in chosen])
