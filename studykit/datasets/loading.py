"""Cases that are read when they are needed, some batches ahead, by several threads.

Labels, records and texts are small and stand in memory. As many pictures as fit into `MEMORY` stay there;
the others are read anew each epoch, from the cache (see `cache.py`) once they were decoded.
"""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import torch

from studykit.case import Batch
from studykit.datasets.cache import Cache, key_maker
from studykit.datasets.dataset import Dataset

MEMORY = 2**30  # bytes of pictures that are kept
WORKERS = min(8, os.cpu_count() or 1)
AHEAD = 2  # batches


class Pictures:
    """The pictures of a data set, by case and modality; one object serves all folds of a recipe."""

    def __init__(self, dataset: Dataset, cache: Cache, memory: int = MEMORY):
        self.dataset, self.cache = dataset, cache
        self._left = memory
        self._key_of: dict[str, Callable[[str, str], bytes]] = {}
        self._keys: dict[tuple[str, str, str], bytes] = {}
        self._kept: dict[tuple[str, str], np.ndarray] = {}
        self._modalities = {m.name: m for m in dataset.pictures}

    def picture(self, case: str, name: str) -> np.ndarray:
        """(C, H, W) or (C, D, H, W), float32, or uint8 of which 255 is 1."""
        found = self._kept.get((case, name))
        if found is None:
            shape = self._modalities[name].shape
            found = self._cached("picture", case, name, shape, lambda: self.dataset.pixels(case, name))
            if found.nbytes <= self._left:
                self._left -= found.nbytes
                self._kept[case, name] = found
        return found

    def mask(self, case: str, name: str) -> np.ndarray:
        """(H, W) or (D, H, W) bool."""
        shape = self._modalities[name].shape[1:]
        return self._cached("mask", case, name, shape, lambda: self.dataset.mask(case, name))

    def read(self, ids: Iterable[str], watch: Callable[[Iterable], Iterable] = iter) -> None:
        """Read every picture and mask of these cases once, so that nothing broken is met later.

        Raises InputError for the first that cannot be read; `watch` wraps the loop (a progress bar).
        """
        with ThreadPoolExecutor(WORKERS, thread_name_prefix="reading") as pool:
            try:
                jobs = [pool.submit(self._read, case) for case in ids]
                for job in watch(jobs):
                    job.result()
            finally:
                pool.shutdown(cancel_futures=True)

    def _read(self, case: str) -> None:
        for name in self._modalities:
            self.picture(case, name)
            self.mask(case, name)

    def _cached(self, what: str, case: str, name: str, shape: tuple[int, ...], make) -> np.ndarray:
        if self.cache.folder is None:
            return make()
        key = self._keys.get((case, name, what))
        if key is None:
            if name not in self._key_of:
                self._key_of[name] = key_maker(self.dataset, name)
            key = self._keys[case, name, what] = self._key_of[name](case, what)
        return self.cache.array(key, shape, make) if key else make()


class Cases:
    """Some cases of a data set: as a `Batch`, but its pictures are read batch by batch.

    inputs: {modality: (B, *shape)} of the tables and texts; targets: {task: (B,)}.
    """

    def __init__(self, ids: list[str], groups: list[str], inputs: dict, targets: dict, pictures: Pictures):
        self.ids, self.groups, self.inputs, self.targets = ids, groups, inputs, targets
        self.pictures = pictures

    def __len__(self) -> int:
        return len(self.ids)

    def take(self, where: Iterable[int]) -> "Cases":
        """The cases at positions `where`; nothing is read."""
        at = [int(i) for i in where]
        small = Batch(self.ids, self.groups, self.inputs, self.targets).take(at)
        return Cases(small.ids, small.groups, small.inputs, small.targets, self.pictures)

    def batches(
        self, parts: Iterable[Sequence[int]], names: Iterable[str] | None = None, masks: bool = False
    ) -> Iterator[Batch]:
        """One batch for each list of positions, read ahead; with the modalities `names` (all by default).

        Raises InputError for a picture that cannot be read.
        """
        drawn = {m.name: m.shape for m in self.pictures.dataset.pictures}
        asked = [*drawn, *self.inputs] if names is None else list(names)
        seen = {name: shape for name, shape in drawn.items() if name in asked}
        ahead: deque[tuple[Batch, list[Future]]] = deque()
        with ThreadPoolExecutor(WORKERS, thread_name_prefix="reading") as pool:
            try:
                for at in parts:
                    batch = self._unread(list(at), asked, seen, masks)
                    shares = [range(first, len(batch), WORKERS) for first in range(WORKERS)]
                    ahead.append((batch, [pool.submit(self._fill, batch, share) for share in shares]))
                    if len(ahead) > AHEAD:
                        yield _read(*ahead.popleft())
                while ahead:
                    yield _read(*ahead.popleft())
            finally:
                pool.shutdown(cancel_futures=True)

    def batch(self, masks: bool = False) -> Batch:
        """All of them at once."""
        return next(self.batches([range(len(self))], masks=masks))

    def _unread(
        self, at: list[int], asked: list[str], seen: dict[str, tuple[int, ...]], masks: bool
    ) -> Batch:
        """A batch with room for its pictures."""
        pictures = {name: torch.empty(len(at), *shape) for name, shape in seen.items()}
        small = {name: values[at] for name, values in self.inputs.items() if name in asked}
        outlines = {name: torch.empty(len(at), *shape[1:], dtype=torch.bool) for name, shape in seen.items()}
        return Batch(
            [self.ids[i] for i in at],
            [self.groups[i] for i in at],
            {**pictures, **small},
            {name: values[at] for name, values in self.targets.items()},
            outlines if masks else {},
        )

    def _fill(self, batch: Batch, share: Iterable[int]) -> None:
        """Read the pictures and outlines of some cases into their places."""
        pictures = {name: batch.inputs[name].numpy() for name in batch.inputs.keys() - self.inputs.keys()}
        outlines = {name: mask.numpy() for name, mask in batch.masks.items()}
        for place in share:
            case = batch.ids[place]
            for name, room in pictures.items():
                found = self.pictures.picture(case, name)
                if found.dtype == np.uint8:
                    np.divide(found, np.float32(255), out=room[place])
                else:
                    room[place] = found
            for name, room in outlines.items():
                room[place] = self.pictures.mask(case, name)


def _read(batch: Batch, jobs: list[Future]) -> Batch:
    for job in jobs:
        job.result()
    return batch
