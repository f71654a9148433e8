"""Who trains and who tests: folds by patient, stratified by class, seeded.

The cases of one group (a patient, or pictures known to be near-duplicates) never stand on two sides.
"""

from collections import Counter

import pandas as pd
from sklearn.model_selection import StratifiedGroupKFold

from studykit.catalog import InputError


def split(
    cases: pd.DataFrame, label: str, folds: int, fold: int, seed: int, kind: str = "multiclass"
) -> pd.Series:
    """Give each case its part, "train", "val" or "test", of `cases` (columns `group` and `label`), by id.

    Test is fold number `fold` of `folds`; validation is one fold of what is left. Unlabelled cases
    (NaN) go to "test": they are looked at, never learned from. kind: of the task; numbers are balanced by
    fifths of their order, several labels at once by the rarest one that a case has.
    Raises InputError where a class has too few groups for the folds, or only one class is there.
    """
    if not 0 <= fold < folds:
        raise InputError(f"There is no fold {fold} of {folds}; folds count from 0 to {folds - 1}.")
    if folds < 3:
        raise InputError(f"{folds} folds leave nothing to validate on; use 3 or more.")
    known = cases[cases[label].notna()]
    known = known.assign(**{label: _strata(known[label], kind)})
    counts = known.groupby(label)["group"].nunique()
    if len(counts) < 2:
        only = counts.index[0] if len(counts) else "none"
        raise InputError(
            f"All labelled cases are of one class of '{label}' ({only}); a model needs cases of at least two."
        )
    if counts.min() < folds:
        raise InputError(
            f"Class '{counts.idxmin()}' of '{label}' has {counts.min()} patients, too few for "
            f"{folds} folds; use fewer folds or leave the class out."
        )
    parts = pd.Series("train", index=cases.index, name="split")
    parts[cases[label].isna()] = "test"
    tested = _fold(known, label, folds, fold, seed)
    parts[tested] = "test"
    rest = known.drop(index=tested)
    parts[_fold(rest, label, folds - 1, 0, seed + 1)] = "val"
    return parts


def _strata(labels: pd.Series, kind: str) -> pd.Series:
    """What is balanced over the folds: the class, or what stands for it."""
    if kind == "regression":
        fifth = (labels.rank(method="first", pct=True) * 5).clip(upper=4.999).astype(int)
        return "fifth " + (fifth + 1).astype(str)
    if kind == "multilabel":
        sets = [sorted(set(str(cell).split("&"))) for cell in labels]
        count = Counter(name for names in sets for name in names)
        return pd.Series([min(names, key=lambda name: (count[name], name)) for names in sets], labels.index)
    return labels


def _fold(cases: pd.DataFrame, label: str, folds: int, fold: int, seed: int) -> pd.Index:
    folder = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
    pairs = list(folder.split(cases, cases[label].astype(str), cases["group"]))
    return cases.index[pairs[fold][1]]
