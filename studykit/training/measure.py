"""How good predictions are: AUROC, balanced accuracy, Brier score, with patient-bootstrap intervals.

Patients are drawn with replacement, all cases of a patient together; the interval is the 2.5th to the
97.5th percentile. Two sets of predictions are compared on the same draws, so that the difference is
paired. The scores themselves stand in `studykit.scores`; numbers are told by their mean absolute error and
R2.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from studykit.scores import SCORES, draws


def measures(
    table: pd.DataFrame,
    truth: str,
    probabilities: Sequence[str],
    classes: Sequence[str],
    *,
    kind: str = "multiclass",
    against: Sequence[str] = (),
    group: str = "group",
    label: str = "model",
    rival: str = "",
    resamples: int = 2000,
    seed: int = 0,
) -> pd.DataFrame:
    """Scores of predictions with intervals: statistic, group, estimate, low, high, n, why.

    truth: the column of class names ("a&b" for several labels, numbers for regression; NaN rows are left
    out); probabilities: one column a class, in the order of `classes`, or the one of the value; kind: of the
    task; group: the column of patients. With `against` (a rival's columns) follow the rival's scores and the
    paired difference, model minus rival.
    """
    table = table[table[truth].notna()]
    known = _known(table[truth], list(classes), kind)
    apart = len(np.unique(known, axis=0))
    if apart < 2:
        why = f"the cases are of {apart} class(es); two are needed"
        return not_estimable(label, why, len(table), kind)
    once, weights = np.ones((1, len(table))), draws(table[group], resamples, seed)
    p = table[list(probabilities)].to_numpy(dtype=float)
    q = table[list(against)].to_numpy(dtype=float) if against else None
    rows = []
    why = _lacking(known, list(classes), kind)
    for name, score in SCORES[kind].items():
        own = np.r_[score(known, p, once), score(known, p, weights)]
        rows.append(_row(name, label, own, len(table), why if np.isnan(own[0]) else ""))
        if q is not None:
            other = np.r_[score(known, q, once), score(known, q, weights)]
            gone = why if np.isnan(own[0] - other[0]) else ""
            rows.append(_row(name, rival, other, len(table), gone))
            rows.append(_row(name, f"{label} minus {rival}", own - other, len(table), gone))
    return pd.DataFrame(rows)


def not_estimable(group: str, why: str, n: int = 0, kind: str = "multiclass") -> pd.DataFrame:
    """The same table where nothing can be estimated, with the reason."""
    return pd.DataFrame([_row(name, group, [np.nan] * 3, n, why) for name in SCORES[kind]])


def _lacking(known: np.ndarray, classes: list[str], kind: str) -> str:
    """Which classes none of the cases is of, in words."""
    there = set(known) if kind in ("binary", "multiclass") else set(range(len(classes)))
    gone = [name for index, name in enumerate(classes) if index not in there]
    return f"no case of {', '.join(gone)} among these" if gone else "it cannot be computed from these cases"


def _known(column: pd.Series, classes: list[str], kind: str) -> np.ndarray:
    """The truth as the scores take it: class indices (N,), 0/1 rows (N, labels) or values (N,)."""
    if kind == "regression":
        return column.to_numpy(dtype=float)
    if kind == "multilabel":
        return np.array([[name in str(cell).split("&") for name in classes] for cell in column], dtype=int)
    return np.array([classes.index(name) for name in column], dtype=int)


def _row(statistic: str, group: str, values: Sequence[float], n: int, why: str = "") -> dict:
    """The first value is the estimate, the others the draws (those without a value are left out)."""
    drawn = np.asarray(values[1:])
    drawn = drawn[~np.isnan(drawn)]
    low, high = np.percentile(drawn, [2.5, 97.5]) if len(drawn) else (np.nan, np.nan)
    row = {"statistic": statistic, "group": group, "estimate": values[0], "low": low, "high": high}
    return {**row, "n": n, "why": why}
