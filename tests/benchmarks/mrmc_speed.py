"""Jackknife MRMC against the loop that recomputes AUC without each case by counting all pairs.

    OMP_NUM_THREADS=1 STUDYKIT_DATA=... python -m tests.benchmarks.mrmc_speed

prints a table and fails where a promise is not met: on VIPER (20 or 24 readers, two modalities) at least ten
times as fast, covariances equal to 1e-12. `whole table` is all of `Mrmc()(table)`, from a data frame to its
rows; on all of VIPER that, too, is to be ten times as fast as the loop alone. The loop is the quadratic
count of the definition, vectorised with NumPy: for each reader, condition and case left out one comparison
of all positive with all negative ratings (a loop in plain Python over the pairs takes some ten times as
long; one cell of it is timed, too). One thread, process time, medians of repeats.
"""

import os
import statistics
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd

from studykit.trust.mrmc import Mrmc
from studykit.trust.reader_accuracy import accuracy
from studykit.trust.readings import readings

REPEATS = 5
LEAST, MOST_APART = 10, 1e-12
COLUMNS = {"readerID": "reader", "caseID": "case", "modalityID": "condition", "score": "rating"}


def studies():
    """{name: table} of VIPER, each sub-study and all together, truth at 455 days."""
    path = Path(os.environ["STUDYKIT_DATA"]) / "readers" / "viper" / "viperObs.csv"
    table = pd.read_csv(path).rename(columns={**COLUMNS, "cancerStatus455": "truth"})
    parts = dict(list(table.groupby("subStudyLabel")))
    return {**parts, "all three": table}


def counted(ratings, positive):
    """AUC by comparing all pairs."""
    gap = ratings[positive][:, None] - ratings[~positive][None]
    return ((gap > 0) + 0.5 * (gap == 0)).mean()


def loop(read):
    """(conditions, readers) twice: jackknife covariances, each AUC recomputed without each case."""
    shape = read.ratings.shape
    moved = np.zeros(shape)
    for i, j in np.ndindex(*shape[:2]):
        cases = np.flatnonzero(read.read[i, j])
        ratings, positive = read.ratings[i, j, cases], read.positive[cases]
        without = np.array(
            [counted(np.delete(ratings, k), np.delete(positive, k)) for k in range(len(cases))]
        )
        factor = (len(cases) - 1) / len(cases)
        moved[i, j, cases] = np.sqrt(factor) * (without - without.mean())
    return np.einsum("ijk,lmk->ijlm", moved, moved, optimize=True)


def plain(read):
    """Leave-one-out AUCs of the first reader and condition by loops over pairs in Python."""
    cases = np.flatnonzero(read.read[0, 0])
    ratings, positive = read.ratings[0, 0, cases].tolist(), read.positive[cases].tolist()
    found = []
    for left in range(len(cases)):
        kept = [(x, p) for k, (x, p) in enumerate(zip(ratings, positive, strict=True)) if k != left]
        won = [(x > y) + 0.5 * (x == y) for x, p in kept if p for y, q in kept if not q]
        found.append(sum(won) / len(won))
    return found


def timed(act, repeats=REPEATS):
    """Median seconds, and what came out."""
    taken = []
    for _ in range(repeats):
        start = time.process_time()
        found = act()
        taken.append(time.process_time() - start)
        if taken[-1] > 5:
            break
    return statistics.median(taken), found


def main():
    """Print the table; the number of promises that are not met."""
    broken = 0
    print("| VIPER | readers x cases | loop, s | ours, s | times | whole table, s | times | apart |")
    print("|---|---|---|---|---|---|---|---|")
    tables = studies()
    for name, table in tables.items():
        read = readings(table)
        slow, wanted = timed(lambda: loop(read))  # noqa: B023
        fast, found = timed(lambda: accuracy(read, "auc", "jackknife"))  # noqa: B023
        whole, _ = timed(lambda: Mrmc()(table))  # noqa: B023
        apart = np.abs(found.covariance - wanted).max()
        size = f"{len(read.readers)} x {len(read.positive)}"
        times, in_all = slow / fast, slow / whole
        cells = f"{slow:.2f} | {fast:.4f} | {times:.0f} | {whole:.3f} | {in_all:.1f} | {apart:.0e}"
        print(f"| {name} | {size} | {cells} |", flush=True)
        broken += (times < LEAST) + (apart > MOST_APART)
    broken += in_all < LEAST  # of all three
    read = readings(tables["challengeMedP"])
    seconds, _ = timed(lambda: plain(read), 1)
    cells = read.read.any(axis=2).sum()
    print(f"\nIn plain Python one of the {cells} cells of challengeMedP takes {seconds:.2f} s.")
    return int(broken)


if __name__ == "__main__":
    sys.exit(main())
