"""What every statistic of readers is: a table of ratings in, one table of estimates out, and never a crash.

A statistic is a Named class; calling it on a table of ratings (a row a rating) does the work:

    CohenKappa(weights="quadratic")(table, reader="radiologist", rating="malignancy")

Where the ratings cannot answer, the row says why ("not estimable"), with no number.
"""

from collections.abc import Iterable, Iterator
from numbers import Real
from typing import Any, ClassVar

import numpy as np
import pandas as pd

from studykit.catalog import InputError, Named, check_choice

COLUMNS = ["statistic", "group", "estimate", "low", "high", "n", "why"]
# What a table of ratings may hold, and all that a statistic may ask for:
WORDS = {
    "reader": "who rated; missing where readers are anonymous",
    "case": "what was rated",
    "patient": "whose case it is; cases of one patient are drawn together",
    "condition": "with which aid, or by which modality",
    "item": "which question",
    "rating": "the answer; the final one where a first was locked before the aid",
    "first": "the answer before the aid",
    "aid": "what the aid said",
    "truth": "what is so",
    "correct": "whether the answer that a trust rating belongs to was right",
    "repeat": "0 for the first reading, 1 for its repetition, ...",
    "order": "the place of the case in the reader's session, from 0",
    "session": "which sitting",
    "elapsed": "seconds from question to answer",
    "coder": "who coded a free text",
    "code": "what the coder called it",
}
KEY = ("reader", "case", "condition", "item", "repeat", "coder", "code")
KINDS = ("nominal", "ordinal", "interval", "ratio")  # of a scale
ANONYMOUS = (
    "the readers are anonymous, so nobody is known to have rated two cases; use Fleiss' kappa, "
    "Krippendorff's alpha, Gwet's coefficient or ICC(1), which need no names"
)
LARGEST = 1e300  # what sums of ratings can be made of
TOO_LARGE = "is infinite or too large to be computed with"
NESTED = "every reader rated one case only, so readers are nested in cases; use what needs no crossed readers"


class NotEstimable(Exception):
    """Why these ratings give no estimate: half a sentence, shown behind "not estimable: "."""


class Statistic(Named):
    """A statistic of ratings; `rows(table)` gives its rows, and the rest is done here."""

    title: ClassVar[str]  # as a reader of papers knows it: "Cohen's kappa"
    question: ClassVar[str]  # what it answers, in a clinician's words
    wants: ClassVar[tuple[str, ...]]  # columns that must be there, of WORDS
    uses: ClassVar[tuple[str, ...]] = ()  # columns that are used where they are there
    kinds: ClassVar[tuple[str, ...]] = KINDS  # the scales that suit it
    crossed: ClassVar[bool] = False  # whether it must know which ratings are of the same reader

    def rows(self, table: pd.DataFrame) -> Iterable[dict[str, Any]]:
        """Rows made by `row`; raises NotEstimable. table: as `cleaned` gives it."""
        raise NotImplementedError

    def __call__(self, table: pd.DataFrame, **columns: str) -> pd.DataFrame:
        """The estimates: statistic, group, estimate, low, high, n, why.

        table: a row a rating; columns: what its columns are called here, as `case="nodule"`. Raises
        InputError where a column that is needed is not there.
        """
        taken = renamed(table, self, columns)
        try:
            with np.errstate(all="ignore"):  # what is not finite is no number, and its row says so
                made = list(self.rows(cleaned(taken, self)))
        except NotEstimable as why:
            made = [row(self.title, why=str(why), n=len(taken))]
        told = pd.DataFrame(made, columns=COLUMNS)
        silent = told["estimate"].isna() & (told["why"] == "")
        told.loc[silent, "why"] = "it cannot be computed from these ratings"
        told["n"] = told["n"].astype(int)
        return told


def row(
    statistic: str,
    estimate: float = np.nan,
    low: float = np.nan,
    high: float = np.nan,
    n: int = 0,
    group: str = "all",
    why: str = "",
) -> dict[str, Any]:
    """One row of the table; a number that is not finite is no number."""
    told = [float(value) if np.isfinite(value) else np.nan for value in (estimate, low, high)]
    return dict(zip(COLUMNS, [statistic, str(group), *told, int(n), why], strict=True))


def cleaned(table: pd.DataFrame, statistic: Statistic) -> pd.DataFrame:
    """The ratings that are there, each once, with a fresh index; raises NotEstimable.

    Only columns that the statistic wants or uses are kept. A missing rating is an empty cell and left out.
    """
    wants = statistic.wants
    for name in table:
        _check_cells(table[name])
    if "rating" in wants:
        table = table[table["rating"].notna()]
        _check_finite(table["rating"])
    if not len(table):
        raise NotEstimable("there are no ratings")
    if "reader" in wants and statistic.crossed and table["reader"].isna().any():
        raise NotEstimable(ANONYMOUS)
    for name in ("case", "condition", "item", "coder"):
        if name in wants and table[name].isna().any():
            raise NotEstimable(f"{int(table[name].isna().sum())} ratings have no {name}; name it for each")
    key = [name for name in KEY if name in table]
    if "reader" in wants and ("case" in wants or "item" in wants):
        twice = table[key].duplicated() & table["reader"].notna()
        if twice.any():
            raise NotEstimable(_twice(table, key, twice))
    if statistic.crossed and {"reader", "case"} <= set(wants) and _nested(table):
        raise NotEstimable(NESTED)
    return table.reset_index(drop=True)


def _nested(table: pd.DataFrame) -> bool:
    each = table.groupby("reader", observed=True)["case"].nunique()
    return bool(table["case"].nunique() > 1 and len(each) > 1 and (each == 1).all())


def _check_cells(column: pd.Series) -> None:
    """Raises NotEstimable where a cell holds several values or a complex number."""
    kinds = set(map(type, column)) if column.dtype == object else {column.dtype.type}
    for kind in kinds:
        if kind.__hash__ is None or issubclass(kind, complex | np.complexfloating):
            raise NotEstimable(
                f"a {column.name} is of kind '{kind.__name__}'; write one word or number a cell"
            )


def _check_finite(ratings: pd.Series) -> None:
    if ratings.dtype == object:
        finite = all(abs(value) < LARGEST for value in ratings if isinstance(value, Real))
    else:
        numeric = pd.api.types.is_numeric_dtype(ratings)
        finite = not numeric or (np.abs(ratings.to_numpy(dtype=float)) < LARGEST).all()
    if not finite:
        raise NotEstimable(f"some rating {TOO_LARGE}")


def _twice(table: pd.DataFrame, key: list[str], twice: pd.Series) -> str:
    first = table[twice].iloc[0]
    told = ", ".join(f"{name} {first[name]}" for name in key)
    return f"{told}: rated more than once; keep one rating (choose a condition, an item, a repeat)"


def renamed(table: pd.DataFrame, statistic: Statistic, columns: dict[str, str]) -> pd.DataFrame:
    """The columns that a statistic wants or uses, under the names of WORDS; raises InputError."""
    known = (*statistic.wants, *statistic.uses)
    found = {}
    for name, given in columns.items():
        check_choice(f"column of {statistic.title}", name, known)
        if given not in table:
            raise InputError(
                f"The ratings have no column '{given}' (meant as {name}); they have: {_listed(table)}."
            )
    for name in known:
        given = columns.get(name, name)
        if given in table:
            found[name] = table[given]
        elif name in statistic.wants:
            raise InputError(
                f"{statistic.title} needs the column '{name}' ({WORDS[name]}); the ratings have: "
                f"{_listed(table)}. Name yours, as {name}='...'."
            )
    return pd.DataFrame(found)


def _listed(table: pd.DataFrame) -> str:
    return ", ".join(map(str, table.columns[:12])) or "no column"


def numbers(table: pd.DataFrame, column: str = "rating") -> np.ndarray:
    """A column as floats, NaN where empty; raises NotEstimable where it holds words, or ratings no end.

    Words with an order (an ordered pandas Categorical) count 1, 2, ... as a scale's grades do.
    """
    kind = table[column].dtype
    ordered = isinstance(kind, pd.CategoricalDtype) and kind.ordered
    if ordered and not pd.api.types.is_numeric_dtype(kind.categories):
        codes = table[column].cat.codes.to_numpy(dtype=float)
        return np.where(codes < 0, np.nan, codes + 1)
    try:
        values = pd.to_numeric(table[column], errors="coerce").to_numpy(dtype=float)
    except OverflowError:
        raise NotEstimable(f"some {column} {TOO_LARGE}") from None
    if np.isnan(values[table[column].notna()]).any():
        example = table.loc[np.isnan(values) & table[column].notna(), column].iloc[0]
        raise NotEstimable(f"the {column} '{example}' is no number")
    if column == "rating" and (np.abs(values) >= LARGEST).any():
        raise NotEstimable(f"some {column} {TOO_LARGE}")
    return values


def parted(table: pd.DataFrame, by: str) -> Iterator[tuple[Any, pd.DataFrame]]:
    """Each value of a column with its rows, in sorted order."""
    yield from table.groupby(by, sort=True, observed=True)
