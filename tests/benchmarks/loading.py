"""How fast cases are read: `python -m tests.benchmarks.loading` (needs STUDYKIT_DATA).

Against a bare loop of Pillow's open, convert and resize with as many threads, in one run: the first epoch
(pictures decoded and kept on disk), the second (read from disk), and one with all pictures in memory. The
median of several rounds, because machines are shared.
"""

import statistics
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
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
    """What anybody would write: no letterbox, no cache, no batch."""

    def read(path: Path) -> np.ndarray:
        with Image.open(path) as image:
            small = image.convert(mode).resize((size, size), Image.Resampling.BILINEAR)
        return np.asarray(small, dtype=np.float32) / 255

    with ThreadPoolExecutor(WORKERS) as pool:
        for _ in pool.map(read, paths):
            pass


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
    with tempfile.TemporaryDirectory() as folder:
        cached = Cache(Path(folder))
        found = {"bare": seconds(lambda: bare(paths, modality.shape[1], mode))}
        found["first"] = seconds(lambda: epoch(Pictures(dataset, cached, memory=0), ids))
        pictures = Pictures(dataset, cached, memory=0)  # a new program: nothing is known
        found["second"] = seconds(lambda: epoch(pictures, ids))
        found["third"] = seconds(lambda: epoch(pictures, ids))
        kept = Pictures(dataset, cached)
        epoch(kept, ids)
        found["memory"] = seconds(lambda: epoch(kept, ids))
    return found | {"count": len(ids)}


def main() -> None:
    print(f"{WORKERS} threads; times as often as a bare loop reads in the same time (median of {ROUNDS})")
    print("| cases | first epoch | second | second in the same program | in memory | second against first |")
    print("|---|---|---|---|---|---|")
    for name in SETS:
        rounds = [measured(name) for _ in range(ROUNDS)]
        ratio = {
            key: statistics.median(r["bare"] / r[key] for r in rounds)
            for key in ("first", "second", "third", "memory")
        }
        again = statistics.median(r["first"] / r["second"] for r in rounds)
        numbers = " | ".join(f"{value:.1f}" for value in [*ratio.values(), again])
        print(f"| {name}, {rounds[0]['count']} | {numbers} |")


if __name__ == "__main__":
    main()
