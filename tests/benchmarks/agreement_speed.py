"""Krippendorff's alpha with its bootstrap against looping the krippendorff package over the samples.

    OMP_NUM_THREADS=1 python -m tests.benchmarks.agreement_speed

prints a table (tests/benchmarks/RESULTS.md keeps it) and fails where a promise is not met: 20 readers x 1,000
cases, five categories, a tenth missing, 1,000 bootstrap samples of cases; one thread, process time, medians
of repeats in which all take turns. Ours is the whole call, from the long table of ratings to the rows, with
the interval. The loop draws cases and asks the package, for SAMPLES samples, and is scaled to 1,000.
"""

import statistics
import sys
import time

import krippendorff
import numpy as np
import pandas as pd

from studykit.trust.agreement import drawings
from studykit.trust.krippendorff_alpha import Alpha, KrippendorffAlpha

READERS, CASES, CATEGORIES, MISSING, RESAMPLES = 20, 1000, 5, 0.1, 1000
REPEATS, SAMPLES = 7, 50
TIMES, OFF = 20, 1e-9  # times as fast, at least; difference sample by sample, at most


def rated(seed=0):
    """Ratings (readers, cases) of 1 to 5, NaN where missing: a case's grade, with errors."""
    rng = np.random.default_rng(seed)
    grade = rng.normal(3, 1.2, CASES) + rng.normal(0, 0.8, (READERS, CASES))
    x = np.clip(np.round(grade), 1, CATEGORIES)
    x[rng.random(x.shape) < MISSING] = np.nan
    return x


def loop(x, metric, samples, seed=0):
    """The package's alpha of each sample of cases."""
    rng = np.random.default_rng(seed)
    drawn = (rng.integers(0, CASES, CASES) for _ in range(samples))
    return [krippendorff.alpha(x[:, cases], level_of_measurement=metric) for cases in drawn]


def off(x, metric, samples=10):
    """The largest difference of ours from the package's, of the estimate and of some samples."""
    counts = np.stack([(x == k + 1).sum(axis=0) for k in range(CATEGORIES)], axis=1).astype(float)
    weights = np.vstack([np.ones((1, CASES)), next(drawings(CASES, samples, seed=0))])
    ours = Alpha(counts, metric, np.arange(1.0, CATEGORIES + 1))(weights)
    each = (np.repeat(x, row.astype(int), axis=1) for row in weights)
    theirs = [krippendorff.alpha(cases, level_of_measurement=metric) for cases in each]
    return np.abs(ours - theirs).max()


def timed(act):
    """Seconds of process time."""
    start = time.process_time()
    act()
    return time.process_time() - start


def main():
    """Print the table; the number of promises that are not met."""
    x = rated()
    reader, case = np.indices(x.shape)
    table = pd.DataFrame({"reader": reader.ravel(), "case": case.ravel(), "rating": x.ravel()})
    print(
        f"| metric | the package, s ({SAMPLES} samples, scaled) | ours, s | times as fast | off by at most |"
    )
    print("|---|---|---|---|---|")
    broken = 0
    for metric in ("nominal", "ordinal", "interval", "ratio"):
        ours = KrippendorffAlpha(metric=metric, resamples=RESAMPLES)
        taken = []
        for _ in range(REPEATS):
            theirs = timed(lambda: loop(x, metric, SAMPLES)) * RESAMPLES / SAMPLES  # noqa: B023
            taken.append((theirs, timed(lambda: ours(table))))  # noqa: B023
        each, whole = (statistics.median(column) for column in zip(*taken))
        ratio = statistics.median(a / b for a, b in taken)
        apart = off(x, metric)
        broken += ratio < TIMES or apart > OFF
        print(f"| {metric} | {each:.2f} | {whole:.4f} | {ratio:.1f} | {apart:.0e} |")
    print(f"\nPromised: {TIMES} times as fast, off by at most {OFF:g}.")
    return int(broken)


if __name__ == "__main__":
    sys.exit(main())
