"""Which method can be believed for which model? Graded on phantoms, where the evidence is known to the place.

Three questions, each with its number and interval:

    finds     mass of the map in the planted region / chance    above 1, above both controls' whole intervals
    follows   similarity to maps of the model with its weights drawn anew      within FORGOTTEN of 0
    matters   degradation score                                                 above 0

All cases share the redraws, so with few of them the similarity is off by some .1: take ten where much hangs
on it. A question that was not asked, or could not be told, is left open; a method is believed where none is
answered no and the first two are answered yes.
"""

import numpy as np
import pandas as pd

from studykit.catalog import InputError
from studykit.quality.summary import summary

FORGOTTEN = 0.1
FINDS, FOLLOWS, SIZES, MATTERS = (
    "relevance_mass", "randomisation", "randomisation, of sizes", "degradation",
)  # fmt: skip
YES, NO, OPEN = "yes", "no", "open"
COLUMNS = (
    *("model", "method", "modality", "lift", "lift_low", "lift_high", "similarity", "of sizes"),
    *("degradation", "degradation_low", "degradation_high", "n", "finds", "follows", "matters", "believed"),
)


def grades(table: pd.DataFrame, model: str = "", **asked) -> pd.DataFrame:
    """One row a method and modality of one model's `quality` table on a phantom; see the file's docstring.

    asked: as `summary` takes it. Raises InputError where the table lacks the mass in the region.
    """
    if FINDS not in set(table["score"]):
        raise InputError(f"Grades need the score {FINDS}; compute it with `python -m studykit quality`.")
    told = summary(table[table["score"].isin((FINDS, FOLLOWS, SIZES, MATTERS))], **asked)
    cells = told.set_index(["method", "modality", "statistic"])
    controls = set(table.loc[table["control"], "method"])
    rows = [
        _graded(cells, method, modality, controls) | {"model": model}
        for method, modality in dict.fromkeys(zip(told["method"], told["modality"], strict=True))
        if method not in controls
    ]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _graded(cells: pd.DataFrame, method: str, modality: str, controls: set[str]) -> dict[str, object]:
    def told(statistic: str, column: str, of: str = method) -> float:
        at = (of, modality, statistic)
        return float(cells.at[at, column]) if at in cells.index else np.nan

    row = {"method": method, "modality": modality, "n": int(np.nan_to_num(told(FINDS, "n")))}
    row |= {name: told(FINDS, name) for name in ("lift", "lift_low", "lift_high")}
    row |= {"similarity": told(FOLLOWS, "estimate"), "of sizes": told(SIZES, "estimate")}
    row |= {f"degradation{end}": told(MATTERS, name) for end, name in ENDS.items()}
    beside = [told(FINDS, "lift_high", of) for of in controls]
    bar = max([1.0, *(high for high in beside if high == high)])
    similar = [abs(value) for value in (row["similarity"], row["of sizes"]) if value == value]
    row["finds"] = _answer(row["lift_low"] - bar)
    row["follows"] = _answer(FORGOTTEN - max(similar, default=np.nan))
    row["matters"] = _answer(row["degradation_low"])
    answers = [row["finds"], row["follows"], row["matters"]]
    row["believed"] = NO if NO in answers else YES if answers[:2] == [YES, YES] else OPEN
    return row


ENDS = {"": "estimate", "_low": "low", "_high": "high"}


def _answer(room: float) -> str:
    """What a number says that must be above 0."""
    return OPEN if np.isnan(room) else YES if room > 0 else NO
