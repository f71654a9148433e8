"""How fast cases are read: `python -m tests.benchmarks.loading` (needs STUDYKIT_DATA).

Against a bare loop of Pillow's open, convert and resize with as many threads, its pictures stacked to batches
as a model takes them, in one run: the first epoch (pictures decoded and kept on disk), the second (read from
disk), and one with all pictures in memory. The median of several rounds, because machines are shared.
"""

import itertools
import statistics
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from studykit.catalog import build
from studykit.datasets import Dataset, Prepared
from studykit.datasets.cache import Cache
from studykit.datasets.loading import WORKERS, Pictures

SETS = {"ham10000": {}, "bus_bra": {}, "pad_ufes_20": {}, "brain_tumor_mri": {}}
ROUNDS, BATCH = 5, 32


def seconds(act) -> float:
    start = time.perf_counter()
    act()
    return time.perf_counter() - start


def bare(paths: list[Path], size: int, mode: str) -> None:
    """What anybody would write: no letterbox, no cache."""

    def read(path: Path) -> np.ndarray:
        with Image.open(path) as image:
            small = image.convert(mode).resize((size, size), Image.Resampling.BILINEAR)
        return np.asarray(small, dtype=np.float32) / 255

    with ThreadPoolExecutor(WORKERS) as pool:
        read_ahead = pool.map(read, paths)
        while batch := list(itertools.islice(read_ahead, BATCH)):
            stacked = torch.from_numpy(np.stack(batch))
            stacked = stacked[:, None] if mode == "L" else stacked.movedim(-1, 1).contiguous()


def epoch(pictures: Pictures, ids: list[str]) -> None:
    cases = Prepared.fit(pictures.dataset, ids, pictures).cases(ids)
    parts = [range(start, min(start + BATCH, len(ids))) for start in range(0, len(ids), BATCH)]
    for _ in cases.batches(parts, [m.name for m in pictures.dataset.pictures]):
        pass


def measured(name: str) -> dict[str, float]:
    """Seconds of each way, one round."""
    dataset = build(Dataset, {"name": name, **SETS[name]})
    ids, modality = dataset.cases.index.tolist(), dataset.pictures[0]
    paths = [dataset.sources(case, modality.name)[0] for case in ids]
    mode = "L" if modality.shape[0] == 1 else "RGB"
    found = {"bare": seconds(lambda: bare(paths, modality.shape[1], mode))}
    found["no cache"] = seconds(lambda: epoch(Pictures(dataset, Cache(None), memory=0), ids))
    with tempfile.TemporaryDirectory() as folder:
        for which in ("first", "second"):  # each as by a new program
            pictures = Pictures(dataset, Cache(Path(folder)), memory=0)
            found[which] = seconds(lambda pictures=pictures: epoch(pictures, ids))
    kept = Pictures(dataset, Cache(None))
    epoch(kept, ids)
    found["memory"] = seconds(lambda: epoch(kept, ids))
    return found | {"count": len(ids)}


def main() -> None:
    print(f"{WORKERS} threads; times as often as a bare loop reads in the same time (median of {ROUNDS})")
    print("| cases | no cache | first epoch | second | both | in memory | second against first |")
    print("|---|---|---|---|---|---|---|")
    for name in SETS:
        rounds = [measured(name) for _ in range(ROUNDS)]
        ratios = [
            *(
                statistics.median(r["bare"] / r[key] for r in rounds)
                for key in ("no cache", "first", "second")
            ),
            statistics.median(2 * r["bare"] / (r["first"] + r["second"]) for r in rounds),
            statistics.median(r["bare"] / r["memory"] for r in rounds),
            statistics.median(r["first"] / r["second"] for r in rounds),
        ]
        print(f"| {name}, {rounds[0]['count']} | {' | '.join(f'{ratio:.2f}' for ratio in ratios)} |")


if __name__ == "__main__":
    main()
