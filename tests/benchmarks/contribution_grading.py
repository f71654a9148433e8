"""Does modality contribution follow the planted truth, for every model? Prints a Markdown table.

    OMP_NUM_THREADS=1 python -m tests.benchmarks.contribution_grading [--out FILE] [MODEL ...]

Each model learns either_pair with 0, 25, 50, 75 and 100 % of the cases told by the first modality, three seeds
each (settings in tests/contribution/grading.py). About an hour on one core; `--out` keeps each training's
numbers, a JSON line each, so that a stopped run goes on where it stopped.
"""

import argparse
import json
from pathlib import Path

import numpy as np
import torch
from scipy.stats import spearmanr

from tests.contribution.grading import FILL, MODELS, PATCH, SHARES, asked, trained

SEEDS = (0, 1, 2)
NOISE = 0.1  # the share of wrong labels in the rows beside
LEFT_OUT = (
    "published loss weights",
    "trained with the gate at 1",
)  # variants of one model, see interaction.py


def measured(name: str, in_first: float, seed: int, noise: float) -> dict:
    """One training and what its first modality contributes, by probability and by logit."""
    model, accuracy = trained(name, in_first, seed, noise)
    kinds = MODELS[name][1]
    shares = {
        output: asked(model, kinds, in_first, seed, noise, output=output).share()["first"]
        for output in ("probability", "logit")
    }
    return {
        "model": name, "in_first": in_first, "seed": seed, "noise": noise, "accuracy": accuracy, **shares,
    }  # fmt: skip


def row(name: str, found: list[dict]) -> str:
    """One line of the table."""
    clean = [one for one in found if one["model"] == name and not one["noise"]]
    noisy = [one for one in found if one["model"] == name and one["noise"]]
    m = np.array([[share(clean, s, seed) for s in SHARES] for seed in SEEDS])  # (seeds, shares)
    order = np.mean([spearmanr(SHARES, line).statistic for line in m])
    accuracy = [min(one["accuracy"] for one in clean if one["in_first"] == s) for s in SHARES]
    ends = [*ends_of(clean, "probability"), *ends_of(clean, "logit"), *ends_of(noisy, "probability")]
    cells = [f"{min(accuracy[0], accuracy[-1]):.3f}", f"{min(accuracy):.3f}"]
    cells += [f"{value:.2f}" for value in m.mean(axis=0)]
    return f"| {' | '.join([name, *cells, f'{order:.2f}', *(f'{end:.3f}' for end in ends)])} |"


def share(found: list[dict], in_first: float, seed: int) -> float:
    """The first modality's contribution."""
    return next(o["probability"] for o in found if o["in_first"] == in_first and o["seed"] == seed)


def ends_of(found: list[dict], output: str) -> tuple[float, float]:
    """The largest contribution of the modality without evidence: of the first at 0, of the second at 1."""
    first = [one[output] for one in found if one["in_first"] == 0]
    second = [1 - one[output] for one in found if one["in_first"] == 1]
    return max(first, default=np.nan), max(second, default=np.nan)


def main() -> None:
    """Train what is not there yet and print a row a model."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("models", nargs="*")
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    torch.set_num_threads(1)
    found = []
    if given.out and given.out.exists():
        found = [json.loads(line) for line in given.out.read_text().splitlines()]
    known = {(o["model"], o["in_first"], o["seed"], o["noise"]) for o in found}
    print(
        f"Patches of {PATCH} px, fill {FILL}, output probability; worst of {len(SEEDS)} seeds at the ends.\n"
    )
    heads = ["model", "accuracy at the ends", "least accuracy", *(f"m at {s:g}" for s in SHARES), "Spearman"]
    heads += ["0: first", "1: second", "0: first, logit", "1: second, logit"]
    heads += ["0: first, 10 % label noise", "1: second, 10 % label noise"]
    print(f"| {' | '.join(heads)} |\n|{'---|' * len(heads)}")
    for name in given.models or [n for n in MODELS if not any(part in n for part in LEFT_OUT)]:
        wanted = [(name, s, seed, 0.0) for s in SHARES for seed in SEEDS]
        wanted += [(name, s, 0, NOISE) for s in (0.0, 1.0)]
        for job in wanted:
            if job in known:
                continue
            found.append(measured(*job))
            if given.out:
                with given.out.open("a") as file:
                    file.write(json.dumps(found[-1]) + "\n")
        print(row(name, found), flush=True)


if __name__ == "__main__":
    main()
