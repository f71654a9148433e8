"""Where the scatter of a reader study comes from: readers, cases, and how these act together.

Dorfman, Berbaum & Metz 1992: an analysis of variance of the jackknife pseudovalues N AUC - (N - 1) AUC(-k) of
each condition T, reader R and case C (random but for T). From the mean squares of I conditions, J readers
and N cases, by their expectations, error = MS(TRC) (with the interaction of all three) and
    TR = (MS(TR) - error) / N    R = (MS(R) - MS(TR) - MS(RC) + error) / I N
    TC = (MS(TC) - error) / J    C = (MS(C) - MS(TC) - MS(RC) + error) / I J    RC = (MS(RC) - error) / I
    F = MS(T) / (MS(TR) + max(MS(TC) - MS(TRC), 0)), degrees of freedom of Hillis.
It is Obuchowski-Rockette with jackknife covariances, in other words: MS(TR) / N is MS(TR) there, and
Cov1 = (C + RC) / N, Cov2 = (C + TC) / N, Cov3 = C / N, Var = (C + TC + RC + error) / N.

Dorfman, Berbaum & Metz, Invest Radiol 1992;27:723. Hillis et al., Stat Med 2005;24:1579; 2007;26:596.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations
from typing import Any, ClassVar

import numpy as np
import pandas as pd

from studykit.trust.auc import pseudovalues
from studykit.trust.mrmc import WANTS, estimate_rows, study_rows, test_rows, with_holm
from studykit.trust.obuchowski_rockette import Error
from studykit.trust.readings import Readings, readings
from studykit.trust.statistic import NotEstimable, Statistic, row

FACTORS = "TRC"


@dataclass(frozen=True)
class Dbm(Statistic, name="dbm"):
    """How much of the scatter of AUCs is due to readers, to cases, and to how they act with the condition.

    positive: the value of truth that is positive; None stands for 1. Components may be below 0, which means
    that they are too small to be seen. Needs every reader to rate every case under every condition, and
    patients of one case each; `n` counts cases.
    """

    title: ClassVar[str] = "Dorfman-Berbaum-Metz variance components"
    question: ClassVar[str] = "Do readers or cases make the result uncertain?"
    wants: ClassVar[tuple[str, ...]] = WANTS
    uses: ClassVar[tuple[str, ...]] = ("patient",)
    kinds: ClassVar[tuple[str, ...]] = ("ordinal", "interval", "ratio")
    crossed: ClassVar[bool] = True
    positive: Any = None

    def rows(self, table: pd.DataFrame) -> Iterator[dict[str, Any]]:
        """Design, tests, differences, components, the covariances that they stand for, mean squares."""
        read = readings(table, self.positive)
        yield from study_rows(read)
        values = _pseudovalues(read)
        squares = mean_squares(values)
        parts = components(squares, values.shape)
        t, r, n = values.shape
        error = Error(
            ms=squares["TR"][0] / n,
            df=squares["TR"][1],
            excess=r * parts["TC"] / n,
            alone=(parts["TC"] + parts["error"]) / n,
            shared=(r - 1) * parts["TC"] / n,
            own=parts["error"] / n,
            scale=2 / r,
        )
        yield from test_rows(lambda analysis: error.test(squares["T"][0] / n, t, analysis), {"n": n})
        yield from with_holm(_differences(read, values.mean(axis=(1, 2)), error))
        for name, part in parts.items():
            yield row(f"component {name}", part, n=n)
        yield from _covariances(parts, n)
        for name, (square, _) in squares.items():
            yield row(f"MS({name})", square, n=n)


def _differences(read: Readings, means: np.ndarray, error: Error) -> Iterator[dict[str, Any]]:
    """Each pair of conditions."""
    for a, b in combinations(range(len(means)), 2):
        about = {"n": len(read.positive), "group": f"{read.conditions[a]} - {read.conditions[b]}"}
        yield from estimate_rows("AUC difference", means[a] - means[b], error, about)


def _covariances(parts: dict[str, float], n: int) -> Iterator[dict[str, Any]]:
    c, tc, rc = (parts[name] for name in ("C", "TC", "RC"))
    sums = {"Var": c + tc + rc + parts["error"], "Cov1": c + rc, "Cov2": c + tc, "Cov3": c}
    for name, total in sums.items():
        yield row(name, total / n, n=n, group="jackknife")


def _pseudovalues(read: Readings) -> np.ndarray:
    """(conditions, readers, cases); raises NotEstimable where these are not all there or not independent."""
    positive = read.positive
    if len(np.unique(read.patient)) < len(positive):
        raise NotEstimable("cases of one patient are not independent here; use mrmc")
    missing = int((~read.read).sum())
    if missing:
        raise NotEstimable(
            f"{missing} of {read.read.size} readings are not there, and every reader must rate every case "
            "under every condition; use mrmc"
        )
    for what, names in (("condition", read.conditions), ("reader", read.readers)):
        if len(names) < 2:
            raise NotEstimable(f"there is one {what} only; two are needed")
    if min(positive.sum(), (~positive).sum()) < 2:
        raise NotEstimable("there are fewer than two positive or two negative cases")
    values = np.empty(read.ratings.shape)
    for cell in np.ndindex(values.shape[:2]):
        ratings = read.ratings[cell]
        values[cell][positive], values[cell][~positive] = pseudovalues(ratings[positive], ratings[~positive])
    return values


def mean_squares(values: np.ndarray) -> dict[str, tuple[float, int]]:
    """{T, R, C, TR, TC, RC, TRC: (mean square, degrees of freedom)} of (T, R, C) values, one a cell."""
    means = {
        kept: values.mean(axis=tuple(axis for axis in range(3) if axis not in kept), keepdims=True)
        for count in range(4)
        for kept in combinations(range(3), count)
    }
    found = {}
    for kept in means:
        if not kept:
            continue
        effect = sum(
            (-1) ** (len(kept) - len(some)) * means[some] for some in means if set(some) <= set(kept)
        )
        df = int(np.prod([values.shape[axis] - 1 for axis in kept]))
        square = (effect**2).sum() * values.size / effect.size / df
        found["".join(FACTORS[axis] for axis in kept)] = square, df
    return found


def components(squares: dict[str, tuple[float, int]], shape: tuple[int, ...]) -> dict[str, float]:
    """{R, C, TR, TC, RC, error: variance of pseudovalues} by the expected mean squares."""
    t, r, c = shape
    ms = {name: square for name, (square, _) in squares.items()}
    return {
        "R": (ms["R"] - ms["TR"] - ms["RC"] + ms["TRC"]) / (t * c),
        "C": (ms["C"] - ms["TC"] - ms["RC"] + ms["TRC"]) / (t * r),
        "TR": (ms["TR"] - ms["TRC"]) / c,
        "TC": (ms["TC"] - ms["TRC"]) / r,
        "RC": (ms["RC"] - ms["TRC"]) / t,
        "error": ms["TRC"],
    }
