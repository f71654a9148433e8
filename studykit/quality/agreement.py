"""Agreement: do two methods show the same places?

Spearman: the correlation of the places' ranks. SSIM: structural similarity of both maps, each scaled from its
own minimum and maximum to [0, 1]; of pictures only. Jaccard: places that are among the top k in both, of
those in either; places that tie at the k-th value count by an even share, sum min(a, b) / sum max(a, b).
Methods may agree and be wrong, and these three measures disagree with each other: show more than one.

Spearman C. The proof and measurement of association between two things. Am J Psychol 1904;15:72-101.
Wang Z, Bovik AC, Sheikh HR, Simoncelli EP. Image quality assessment: from error visibility to structural
similarity. IEEE Trans Image Process 2004;13:600-12.
Jaccard P. The distribution of the flora in the alpine zone. New Phytologist 1912;11:37-50.
"""

from dataclasses import dataclass

import numpy as np
from scipy.stats import hypergeom, rankdata
from skimage.metrics import structural_similarity

from studykit.catalog import InputError
from studykit.quality.relevance_mass import counted, with_reasons
from studykit.quality.relevance_rank import top
from studykit.quality.score import Asked, Score, Scored, heat_of

SAME = "one of the two maps is the same everywhere"


@dataclass(frozen=True)
class Agreement(Score, name="agreement"):
    """share: of the places that count as the top ones. absolute: whether only the size of a value counts."""

    share: float = 0.1
    absolute: bool = False

    title = "Agreement between methods"
    asks = "Do two methods show the same places?"
    better = ""
    wants_others = True

    def __post_init__(self):
        if not 0 < self.share < 1:
            raise InputError(f"'share' of agreement lies between 0 and 1, not at {self.share}.")

    def suits(self, asked: Asked) -> str:  # noqa: D102
        name = asked.modality.name
        if asked.others and not any(name in other.maps for other in asked.others.values()):
            return f"No other method has a map of '{name}'; explain these cases by one that has."
        return super().suits(asked)

    def scored(self, asked: Asked) -> dict[str, Scored]:  # noqa: D102
        found, ours = {}, self._heat(asked, asked.heat)
        pictures = asked.modality.kind in ("image", "volume")
        for name, other in asked.others.items():
            if asked.modality.name not in other.maps:
                continue
            theirs = self._heat(asked, heat_of(other.maps[asked.modality.name], asked.modality))
            both = np.where(np.isnan(theirs), np.nan, ours)
            found[f"spearman with {name}"] = with_reasons(
                asked, both, spearman(ours, theirs), None, SAME, False
            )
            if pictures:
                why = SAME if min(ours.shape[1:]) >= 3 else "a side of the picture is below 3 places"
                found[f"ssim with {name}"] = with_reasons(asked, both, ssim(ours, theirs), None, why, False)
            values, chance = jaccard(ours, theirs, self.share), by_luck(both, self.share)
            found[f"jaccard with {name}"] = with_reasons(asked, both, values, chance, SAME, False)
        return found

    def _heat(self, asked: Asked, heat: np.ndarray) -> np.ndarray:
        heat = counted(asked, heat)
        return np.abs(heat) if self.absolute else heat


def spearman(ours: np.ndarray, theirs: np.ndarray) -> np.ndarray:
    """The rank correlation (B,) of two maps (B, *space), ties at their mean rank; NaN where one is even."""
    found = []
    for a, b in _both(ours, theirs):
        if not _uneven(a, b):
            found.append(np.nan)
            continue
        a, b = rankdata(a), rankdata(b)
        a, b = a - a.mean(), b - b.mean()
        found.append((a @ b) / np.sqrt((a @ a) * (b @ b)))
    return np.array(found)


def ssim(ours: np.ndarray, theirs: np.ndarray) -> np.ndarray:
    """The structural similarity (B,) of two maps (B, *space), 2D or 3D; NaN where one is even or a side is
    below 3.

    The window is 7 places wide, or the widest odd number that fits.
    """
    window = min(7, min(np.shape(ours)[1:]) - (min(np.shape(ours)[1:]) + 1) % 2)
    found = []
    for a, b in zip(ours, theirs, strict=True):
        told = window >= 3 and not np.isnan(a + b).any() and _uneven(a, b)
        found.append(
            structural_similarity(_ranged(a), _ranged(b), win_size=window, data_range=1.0) if told else np.nan
        )
    return np.array(found)


def jaccard(ours: np.ndarray, theirs: np.ndarray, share: float = 0.1) -> np.ndarray:
    """The share (B,) of the top places (`share` of all) of either map (B, *space) that both have.

    NaN where one map is the same everywhere.
    """
    found = []
    for a, b in _both(ours, theirs):
        if not _uneven(a, b):
            found.append(np.nan)
            continue
        a, b = (top(one, _count(one.size, share)) for one in (a, b))
        found.append(np.minimum(a, b).sum() / np.maximum(a, b).sum())
    return np.array(found)


def by_luck(heat: np.ndarray, share: float) -> np.ndarray:
    """What the Jaccard index (B,) of two orders drawn at random is on average; heat (B, *space)."""
    sizes = (~np.isnan(heat)).reshape(len(heat), -1).sum(axis=1)
    expected = {}
    for size in {int(size) for size in sizes if size}:
        count = _count(size, share)
        shared = np.arange(max(0, 2 * count - size), count + 1)
        p = hypergeom.pmf(shared, size, count, count)
        expected[size] = (shared / (2 * count - shared) * p).sum() / p.sum()
    return np.array([expected.get(int(size), np.nan) for size in sizes])


def _both(ours: np.ndarray, theirs: np.ndarray):
    """Of each case the values of both maps (N,) at the places that both have."""
    for a, b in zip(ours, theirs, strict=True):
        there = ~np.isnan(a + b)
        yield a[there], b[there]


def _uneven(a: np.ndarray, b: np.ndarray) -> bool:
    return a.size > 1 and np.ptp(a) > 0 and np.ptp(b) > 0


def _ranged(heat: np.ndarray) -> np.ndarray:
    return (heat - heat.min()) / np.ptp(heat)


def _count(size: int, share: float) -> int:
    return max(1, round(share * size))
