"""The table people read: how good each method's maps are, over cases, beside what chance gives.

Over the cases in which a score can be told: its mean, standard deviation (n - 1) and interval; how many cases
it could not be told in (`empty`); the mean of what a map gets that knows nothing (`chance`); and lift = mean
/ chance. All is found by the names of cases and patients in the rows, so the order of the rows does not
matter.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from functools import lru_cache
from itertools import combinations

import numpy as np
import pandas as pd
from scipy.stats import t

from studykit.catalog import InputError, check_choice
from studykit.scores import draws

COHERENCE = ("relevance_mass", "relevance_rank", "iou", "pointing_game", "dice")
STRATA = ("", "label", "right", "size", "true positives")
NEEDED = ("method", "modality", "score", "case", "group", "value", "chance", "why")
THIRDS = ("small", "middle", "large")
STUDENT, BOOTSTRAP = "Student t over cases", "bootstrap over patients"
COLUMNS = (
    *("method", "modality", "statistic", "group", "estimate", "sd", "low", "high", "interval", "n", "empty"),
    *("chance", "lift", "lift_low", "lift_high", "why"),
)
Draw = Callable[[tuple[str, ...]], np.ndarray]  # the patients of N cases to weights (R, N)


def summary(
    table: pd.DataFrame,
    by: str = "",
    resamples: int = 1000,
    level: float = 0.95,
    seed: int = 0,
    positive: str = "",
) -> pd.DataFrame:
    """One row a method, modality, score and stratum, with the columns COLUMNS.

    table: one row a method, modality, score and case (`quality.parquet`): method, modality, score, case,
    group (the patient), value, chance, why; for strata label, predicted, right, size.
    by: "" for all cases; "label"; "right" (right or wrong); "size" (small, middle, large: thirds of the
    sizes of the regions, counted once a case and modality); "true positives" (cases of the class `positive`
    that are predicted so). Cases of no stratum are left out.

    `interval` says where low and high come from: Student's t over cases
    where every patient has one case, else the percentiles of means over patients drawn with replacement. The
    interval of the lift is always of the latter kind, over the cases whose chance is known. `why` says why
    there is no estimate (the commonest reason) or no interval. Raises InputError where a column is lacking or
    a row is there twice.
    """
    cells = _strata(_checked(table), by, positive)
    draw = _drawing(resamples, seed)
    rows = []
    for names, cell in cells.groupby(["method", "modality", "score", "group_"], observed=True):
        about = dict(zip(("method", "modality", "statistic", "group"), names, strict=True))
        rows.append(about | _over_cases(cell, level, draw) | _lift(cell, level, draw))
    return pd.DataFrame(rows, columns=list(COLUMNS))


def coherence(table: pd.DataFrame, **asked) -> pd.DataFrame:
    """`summary` of how the maps fit the regions: RMA, RRA, IoU, pointing game, and Dice; `asked` as there."""
    return summary(table[table["score"].isin(COHERENCE)], **asked)


def class_adjusted(ds_by_class: Mapping | np.ndarray, ds: float, alpha: float = 1.0) -> float:
    """DS_c = DS - alpha * mean over pairs of classes of |DS_i - DS_j| / 2; NaN for fewer than two classes.

    Baer G, Grau I, Zhang C, Van Gorp P. arXiv 2502.17022 (2025): a method that is faithful to one class only
    should not be praised for it.
    """
    each = list(ds_by_class.values()) if isinstance(ds_by_class, Mapping) else list(ds_by_class)
    gaps = [abs(one - other) / 2 for one, other in combinations(each, 2)]
    return float(ds - alpha * np.mean(gaps)) if gaps else np.nan


def adjusted(
    table: pd.DataFrame,
    score: str = "degradation",
    alpha: float = 1.0,
    resamples: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> pd.DataFrame:
    """`summary` of one score by true class and over all cases, and the class-adjusted value
    (`class_adjusted`).

    The adjusted row's group is "class-adjusted"; its interval is a bootstrap over patients of DS, all DS_i
    and the penalty together, without the draws that lack a class. Arguments and errors as in `summary`.
    """
    table = table[table["score"] == score]
    asked = {"resamples": resamples, "level": level, "seed": seed}
    parts = [summary(table, "label", **asked), summary(table, **asked)]
    draw, rows = _drawing(resamples, seed), []
    for (method, modality), cell in _checked(table).groupby(["method", "modality"], sort=True):
        told = cell[cell["value"].notna() & cell["label"].notna()]
        labels, values = told["label"].astype(str).to_numpy(), told["value"].to_numpy(dtype=float)
        of_class = [labels == name for name in sorted(set(labels))]
        row = {"method": method, "modality": modality, "statistic": score, "group": "class-adjusted"}
        row |= {"n": len(told), "empty": len(cell) - len(told), "interval": "", "why": ""}
        if len(of_class) < 2:
            rows.append(row | {"why": f"the cases told are of {len(of_class)} class(es); two are needed"})
            continue
        row["estimate"] = class_adjusted([values[at].mean() for at in of_class], values.mean(), alpha)
        if told["group"].nunique() > 1:
            weights = draw(tuple(told["group"]))
            each = np.array([_means(weights * at, values) for at in of_class])
            whole = _means(weights, values)
            drawn = np.array([class_adjusted(*one, alpha) for one in zip(each.T, whole, strict=True)])
            low, high = _percentiles(drawn, level)
            row |= {"low": low, "high": high, "interval": BOOTSTRAP}
        rows.append(row)
    parts.append(pd.DataFrame(rows, columns=list(COLUMNS)))
    filled = [part for part in parts if len(part)]
    found = pd.concat(filled, ignore_index=True) if filled else parts[0]
    return found.sort_values(["method", "modality"], kind="stable", ignore_index=True)


def _checked(table: pd.DataFrame) -> pd.DataFrame:
    """The rows by case, which makes sums the same whatever their order was."""
    gone = [name for name in NEEDED if name not in table]
    if gone:
        raise InputError(f"A table of scores needs the column '{gone[0]}'; it has {', '.join(table)}.")
    names = ["method", "modality", "score", "case"]
    twice = table.duplicated(names)
    if twice.any():
        row = table[twice].iloc[0]
        raise InputError(
            f"The case '{row['case']}' has {row['score']} of {row['method']} twice; "
            "give one run's scores at a time."
        )
    return table.sort_values(names, ignore_index=True)


def _strata(table: pd.DataFrame, by: str, positive: str) -> pd.DataFrame:
    """The rows with their stratum in the column `group_`; those of none are left out."""
    check_choice("stratum", by, STRATA)
    if by == "":
        return table.assign(group_="all")
    for name in {"label": ["label"], "true positives": ["label", "predicted"]}.get(by, [by]):
        if name not in table:
            raise InputError(f"Strata by {by} need the column '{name}'; it is not in the table.")
    if by == "label":
        found = table["label"].where(table["label"].isna(), table["label"].astype(str))
    elif by == "right":
        found = table["right"].map({True: "right", False: "wrong"})
    elif by == "size":
        found = _thirds(table)
    else:
        labels = sorted(set(table["label"].dropna().astype(str)))
        if positive not in labels:
            raise InputError(
                "Say which class is the positive one: positive=" + " or ".join(f"'{name}'" for name in labels)
            )
        both = (table["label"].astype(str) == positive) & (table["predicted"].astype(str) == positive)
        found = pd.Series("true positives", index=table.index).where(both)
    return table.assign(group_=found).dropna(subset="group_")


def _thirds(table: pd.DataFrame) -> pd.Series:
    """Each row's third: of the size of its case's region among all regions in this modality."""
    known = table[table["size"] > 0].drop_duplicates(["modality", "case"])
    parts = []
    for _, sizes in known.groupby("modality"):
        cuts = np.quantile(sizes["size"], [1 / 3, 2 / 3])
        third = np.searchsorted(cuts, sizes["size"])  # a size at a cut belongs below it
        parts.append(sizes[["modality", "case"]].assign(third=np.array(THIRDS)[third]))
    if not parts:
        return pd.Series(np.nan, index=table.index, dtype=object)
    joined = table[["modality", "case"]].merge(pd.concat(parts), on=["modality", "case"], how="left")
    return joined["third"].set_axis(table.index).astype(pd.CategoricalDtype(THIRDS, ordered=True))


def _over_cases(cell: pd.DataFrame, level: float, draw: Draw) -> dict:
    told = cell[cell["value"].notna()]
    values, n = told["value"].to_numpy(dtype=float), len(told)
    row = {"estimate": np.nan, "sd": np.nan, "low": np.nan, "high": np.nan, "interval": "", "why": ""}
    row |= {"n": n, "empty": len(cell) - n}
    if not n:
        reasons = Counter(sorted(why for why in cell["why"].dropna() if why))
        return row | {"why": reasons.most_common(1)[0][0] if reasons else "it could be told in no case"}
    row["estimate"] = values.mean()
    patients = told["group"].nunique()
    if n > 1:
        row["sd"] = values.std(ddof=1)
    if patients < 2:
        return row | {"why": "the cases are of one patient: no interval"}
    if patients == n:
        half = t.ppf(0.5 + level / 2, n - 1) * row["sd"] / np.sqrt(n)
        return row | {"low": values.mean() - half, "high": values.mean() + half, "interval": STUDENT}
    low, high = _percentiles(_means(draw(tuple(told["group"])), values), level)
    return row | {"low": low, "high": high, "interval": BOOTSTRAP}


def _lift(cell: pd.DataFrame, level: float, draw: Draw) -> dict:
    """The mean over the mean of chance, in the cases whose chance is known."""
    told = cell[cell["value"].notna() & cell["chance"].notna()]
    row = {"chance": np.nan, "lift": np.nan, "lift_low": np.nan, "lift_high": np.nan}
    if not len(told):
        return row
    values, chance = (told[name].to_numpy(dtype=float) for name in ("value", "chance"))
    row["chance"] = chance.mean()
    if chance.mean() <= 0:
        return row
    row["lift"] = values.mean() / chance.mean()
    if told["group"].nunique() > 1:
        weights = draw(tuple(told["group"]))
        drawn = np.divide(*(weights @ one for one in (values, chance)))
        row["lift_low"], row["lift_high"] = _percentiles(drawn, level)
    return row


def _drawing(resamples: int, seed: int) -> Draw:
    """Weights of patients' draws, made once for each set of cases."""
    return lru_cache(maxsize=8)(lambda groups: draws(groups, resamples, seed))


def _means(weights: np.ndarray, values: np.ndarray) -> np.ndarray:
    """The weighted means (R,); NaN where a draw has none of the cases."""
    count = weights.sum(axis=1)
    return np.divide(weights @ values, count, out=np.full(len(weights), np.nan), where=count > 0)


def _percentiles(drawn: np.ndarray, level: float) -> tuple[float, float]:
    drawn = drawn[~np.isnan(drawn)]
    if not drawn.size:
        return np.nan, np.nan
    low, high = np.percentile(drawn, [50 * (1 - level), 50 * (1 + level)])
    return float(low), float(high)
