"""How often the interval of an AUC difference holds the true one, in simulated reader studies.

    OMP_NUM_THREADS=1 python -m tests.benchmarks.mrmc_coverage [repeats]

Roe and Metz's model, 500 studies a line; random readers and cases (RRRC), jackknife covariances where the
line does not say otherwise, 95 % intervals. `of true 0` is the type I error of the test at 5 %, told where
the conditions are alike; below, what the mean AUC of the first condition does. "yes" means 92 to 98 %.
"""

import sys
import time

import numpy as np

from studykit.trust.obuchowski_rockette import Comparison, of_condition
from studykit.trust.reader_accuracy import accuracy
from studykit.trust.roe_metz import simulated
from studykit.trust.statistic import NotEstimable

REPEATS = 500
HALF = "partly crossed"  # each reader reads a random half of the cases, under all conditions
ALIKE, APART = (0.855, 0.855), (0.80, 0.87)
SIZES = [(readers, cases) for readers in (3, 5, 10) for cases in (50, 100, 200)]
# (readers, positive, negative, true AUCs, structure, design, blocks, binned, covariance)
LINES = [
    *((r, n // 2, n // 2, auc, "HL", "crossed", 1, False, "jackknife") for r, n in SIZES for auc in (ALIKE,
    APART)), *((5, 50, 50, ALIKE, s, "crossed", 1, False, "jackknife") for s in ("HH", "LH", "LL")), (5, 50,
    50, (0.96, 0.96), "HL", "crossed", 1, False, "jackknife"), (5, 50, 50, (0.70, 0.70), "HH", "crossed", 1,
    False, "jackknife"), (5, 20, 80, ALIKE, "HL", "crossed", 1, False, "jackknife"), (5, 50, 50, ALIKE, "HL",
    "crossed", 1, True, "jackknife"), (5, 50, 50, ALIKE, "HL", "crossed", 1, False, "delong"), (5, 50, 50,
    ALIKE, "HL", "crossed", 1, False, "bootstrap"), (5, 50, 50, (*ALIKE, 0.855), "HL", "crossed", 1, False,
    "jackknife"), *((r, 30, 80, auc, "HL", "split-plot", b, False, "jackknife")
      for r, b in ((4, 2), (6, 3), (10, 2), (20, 4)) for auc in (ALIKE, APART)),
    (20, 30, 80, ALIKE, "LH", "split-plot", 4, False, "jackknife"),
    *((10, 50, 50, auc, "HL", HALF, 1, False, "jackknife") for auc in (ALIKE, APART)),
    (5, 30, 80, ALIKE, "HL", "split-plot", 5, False, "jackknife"),
    *((5, 50, 50, auc, "HL", "cases nested", 1, False, "jackknife") for auc in (ALIKE, APART)),
    *((5, 50, 50, auc, "HL", "readers nested", 1, False, "jackknife") for auc in (ALIKE, APART)),
]  # fmt: skip


def held(rng, repeats, readers, positive, negative, auc, structure, design, blocks, binned, covariance):
    """(repeats, 3): whether the interval of the difference holds, that of the mean, and whether p < 0.05."""
    found = np.full((repeats, 3), np.nan)
    for repeat in range(repeats):
        made = "crossed" if design == HALF else design
        read = simulated(rng, readers, positive, negative, auc, structure, made, blocks, binned)
        if design == HALF:
            for reader in range(readers):
                left = rng.permutation(positive + negative)[: (positive + negative) // 2]
                read.ratings[:, reader, left] = np.nan
        told = accuracy(read, "auc", covariance, resamples=200, seed=repeat)
        try:
            whole = Comparison(read, told, tuple(range(len(auc))))
            difference, error, _ = whole.pair(0, 1)
            _, _, low, high, _ = error.interval(difference, "RRRC")
            mean, error, _ = of_condition(read, told, 0)
            _, _, least, most, _ = error.interval(mean, "RRRC")
            p = whole.test("RRRC")[3]
        except NotEstimable:
            continue
        found[repeat] = low <= auc[0] - auc[1] <= high, least <= auc[0] <= most, p < 0.05
    return found


def words(line):
    """A line's conditions in words."""
    readers, positive, negative, auc, structure, design, blocks, binned, covariance = line
    special = [f"{blocks} blocks" if blocks > 1 else "", "5 categories" if binned else ""]
    special.append("" if covariance == "jackknife" else covariance)
    extra = "".join(f", {one}" for one in special if one)
    cases = f"{positive} + {negative}" + (" a block" if blocks > 1 else "")
    areas = " / ".join(f"{area:g}" for area in auc)
    return f"{design}{extra} | {readers} | {cases} | {structure} | {areas}"


def main(repeats=REPEATS):
    """Print the table; the number of lines whose coverage of the difference is not 92 to 98 %."""
    start, broken = time.perf_counter(), 0
    print(f"{repeats} simulated studies a line, each line from seed 0.\n")
    print(
        "| design | readers | cases | structure | true AUCs | difference held | 92-98 % | of true 0 "
        "| mean held | 92-98 % |"
    )
    print("|---|---|---|---|---|---|---|---|---|---|")
    for line in LINES:
        found = held(np.random.default_rng(0), repeats, *line)
        share, mean, significant = np.nanmean(found, axis=0)
        fits = 0.92 <= share <= 0.98
        broken += not fits
        error = f"{100 * significant:.1f} %" if len(set(line[3])) == 1 else ""
        # a binned rating's true AUC is not the one that was asked for
        about_mean = " | " if line[7] else f"{100 * mean:.1f} % | {'yes' if 0.92 <= mean <= 0.98 else 'no'}"
        verdict = "yes" if fits else "no"
        print(f"| {words(line)} | {100 * share:.1f} % | {verdict} | {error} | {about_mean} |", flush=True)
    print(f"\n{time.perf_counter() - start:.0f} s; {broken} of {len(LINES)} lines outside.")
    return broken


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:])))
