"""Ratings into the house: an export read back, or a table that somebody else wrote, checked cell by cell.

A table has a row a rating (columns case, item, rating, and as many of reader, condition, step, repeat, order,
session, elapsed, when, patient, truth, aid, wrong as are known), or a row a reading with a column an item.
What is marked as simulated, by a column, by the file's name or by Parquet's metadata, stays so.
"""

import csv
import hashlib
import io
import json
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from studykit.catalog import InputError, check_choice
from studykit.trust.exchange import ABOUT, FLAT, MARK, check_of, fused
from studykit.trust.item import Item
from studykit.trust.protocol import Protocol
from studykit.trust.recorded import aids_of, cases_of
from studykit.trust.study import RATINGS, SAME, Study

NO_MARK = {"", "false", "falsch", "faux", "falso", "0", "0.0", "no", "non", "nein"}  # all else marks
USUAL = {
    "condition": "no aid",
    "step": "final",
    "repeat": 0,
    "order": np.nan,
    "session": "",
    "elapsed": np.nan,
}


def imported(folder: Path) -> Study:
    """The study of an export; InputError where it is none, or was changed since."""
    about = read_about(folder)
    items = [Item(**item) for item in about["items"]]
    table, marked = _cells(folder / about["ratings"])
    by_category = {item.name: replace(item, labels=()) for item in items}  # an export writes no labels
    ratings = _typed(table, by_category, about["ratings"])
    cases, aids = (
        pd.DataFrame(about[name]["data"], columns=about[name]["columns"]) for name in ("cases", "aids")
    )
    return Study(
        name=about["name"],
        ratings=ratings[RATINGS],
        items={item.name: item for item in items},
        cases=cases,
        aids=aids,
        positive=about["positive"],
        title=about["title"],
        source=about["source"],
        simulated=about[MARK] or marked,
        notes=tuple(about["notes"]),
    )


def read_about(folder: Path) -> dict[str, Any]:
    """study.json of an export, once it and the table beside it are found unchanged."""
    try:
        about = json.loads((folder / ABOUT).read_text(encoding="utf-8"))
        same = about["check"] == check_of(about)
        data = (folder / about["ratings"]).read_bytes()
    except (OSError, ValueError, KeyError, TypeError):
        raise InputError(
            f"{folder} is no export of a study ({ABOUT} or its table is missing or broken); export it again, "
            "or import the table by itself."
        ) from None
    if not same or hashlib.sha256(data).hexdigest() != about["sha256"]:
        changed = about["ratings"] if same else ABOUT
        raise InputError(
            f"{folder / changed} was changed since it was exported; bring the old file back or export again."
        )
    return about


def imported_table(
    path: Path,
    items: Iterable[Item],
    columns: Mapping[str, str] | None = None,
    protocol: Protocol | None = None,
    name: str = "",
) -> Study:
    """The study that a CSV or Parquet table of ratings makes.

    items: what was asked. columns: what the table calls things, as {"reader": "Radiologist"}. protocol: where
    given, readers, cases and conditions must be in it, and truth and aids are taken from it.
    Raises InputError, naming row (the header is row 1) and column, for what cannot be.
    """
    by_name = {item.name: item for item in items}
    table, marked = _cells(path)
    table = _renamed(table, columns or {}, by_name, path)
    marked = marked or _marked(table)
    table = _long(table, by_name, path)
    _check_asked(table, by_name, path)
    if protocol:
        check_choice(f"column of {path.name}", "reader", table.columns)
        _check_filled(table, table["reader"] == "", "reader", "every rating needs its reader", path)
        conditions = [condition.name for condition in protocol.conditions]
        for column, known in (
            ("reader", protocol.readers),
            ("case", protocol.cases),
            ("condition", conditions),
        ):
            _check_named(table, column, known, path)
    ratings = _typed(table, by_name, path.name)
    _check_once(ratings, table["row"], path)
    about = {"name": name or path.stem, "items": by_name, "simulated": marked}
    if protocol:
        about |= {"cases": cases_of(protocol), "aids": aids_of(protocol), "positive": protocol.positive}
    else:
        about |= {"cases": _cases(table), "aids": _aids(table)}
    return Study(ratings=ratings[RATINGS], **about)


def _cells(path: Path) -> tuple[pd.DataFrame, bool]:
    """The table in a file with its rows' numbers in `row`, and whether it is marked as simulated."""
    check_choice("kind of table", path.suffix.lower(), (".csv", ".parquet"))
    metadata = False
    try:
        if path.suffix.lower() == ".csv":
            table = _read_csv(path.read_bytes())
        else:
            import pyarrow.parquet as pq

            read = pq.read_table(path)
            metadata = json.loads((read.schema.metadata or {}).get(b"studykit", b"{}")).get(MARK, False)
            table = read.to_pandas().astype(object)
            table = table.where(table.notna(), "")
    except OSError as why:
        raise InputError(
            f"The ratings {path} cannot be read ({why.strerror or why}); give another file."
        ) from None
    except (ValueError, csv.Error) as why:  # pyarrow's errors are ValueErrors, too
        raise InputError(f"The ratings {path} are no table ({why}); save it as CSV in UTF-8.") from None
    marked = _marked(table) or metadata or MARK in path.name.casefold()
    return table.assign(row=range(2, len(table) + 2)), bool(marked)


def _marked(table: pd.DataFrame) -> bool:
    """Whether a cell of a column `simulated`, however it is written, says anything but no."""
    places = [place for place, name in enumerate(table) if str(name).strip().casefold() == MARK]
    cells = table.iloc[:, places].to_numpy().ravel()
    return any(str(cell).strip().casefold() not in NO_MARK for cell in cells)


def _read_csv(data: bytes) -> pd.DataFrame:
    text = data.decode("utf-8-sig")
    begin = text.split("\n", 1)[0]
    csv.field_size_limit(max(csv.field_size_limit(), len(text)))  # a long text is a text, too
    rows = list(
        csv.reader(io.StringIO(text, newline=""), delimiter=max(",;\t", key=begin.count), strict=True)
    )
    header = rows[0] if rows else []
    for number, row in enumerate(rows[1:], 2):
        if row and len(row) != len(header):
            raise ValueError(f"row {number} has {len(row)} cells, the header {len(header)}")
    body = [[fused(cell) for cell in row] for row in rows[1:] if row]
    return pd.DataFrame(body, columns=header, dtype=object)


def _renamed(
    table: pd.DataFrame, columns: Mapping[str, str], items: Mapping[str, Item], path: Path
) -> pd.DataFrame:
    """The table with its columns called as here."""
    for name, given in columns.items():
        check_choice("column of ratings", name, [*FLAT, *items])
        check_choice(f"column of {path.name} (meant as {name})", given, table.columns)
    table = table.drop(columns=[name for name in columns if name in table and name not in columns.values()])
    table = table.rename(columns={given: name for name, given in columns.items()})
    wanted = ["case", "item", "rating"] if "rating" in table else ["case"]
    for name in wanted:
        check_choice(f"column of {path.name}", name, table.columns)
    return table


def _long(table: pd.DataFrame, items: Mapping[str, Item], path: Path) -> pd.DataFrame:
    """A row a rating, whether the table has it so or has a column an item."""
    if "rating" not in table:
        there = [name for name in items if name in table]
        if not there:
            raise InputError(
                f"{path.name} has neither a column 'rating' nor one named after an item "
                f"({', '.join(list(items)[:6])}); say which column is which."
            )
        kept = [name for name in table.columns if name in FLAT or name == "row"]
        table = table.melt(kept, there, var_name="item", value_name="rating")
        at_end = table["item"].map({name: items[name].asked == "end" for name in there}).astype(bool)
        table = table[(table["rating"] != "") | (at_end == (table["case"] == ""))]  # a case's, or a reader's
    _check_named(table, "item", items, path)
    for name, value in USUAL.items():
        if name not in table:
            table[name] = value
    return table


def _check_asked(table: pd.DataFrame, items: Mapping[str, Item], path: Path) -> None:
    of_a_case = table["item"].map(lambda name: name in items and items[name].asked != "end").astype(bool)
    why = 'an item not asked at the "end" is about a case; name it'
    _check_filled(table, of_a_case & (table["case"] == ""), "case", why, path)


def _check_filled(table: pd.DataFrame, empty: pd.Series, column: str, why: str, path: Path) -> None:
    if empty.any():
        row = table.loc[empty, "row"].iloc[0]
        raise InputError(f"Row {row} of {path.name}, column '{column}' is empty; {why}.")


def _check_named(table: pd.DataFrame, column: str, known: Iterable[str], path: Path) -> None:
    """InputError, with row and column, where a cell names what is not known; empty cells name nothing."""
    if column not in table:
        return
    for cell in dict.fromkeys(table[column]):
        if cell != "" and str(cell) not in set(known):
            row = table.loc[table[column] == cell, "row"].iloc[0]
            check_choice(f"{column} (row {row} of {path.name}, column '{column}')", str(cell), known)


def _typed(table: pd.DataFrame, items: Mapping[str, Item], file: str) -> pd.DataFrame:
    """Columns RATINGS with numbers, times and answers as what they are; empty cells missing."""
    found = pd.DataFrame(index=table.index)
    for name in ("reader", "case", "condition", "item", "step", "session"):
        cells = table[name].map(str) if name in table else pd.Series("", table.index)
        found[name] = cells.astype(object).where(cells != "", "" if name == "session" else np.nan)
    for row, step in zip(table["row"], found["step"], strict=True):
        check_choice(f"step (row {row} of {file}, column 'step')", step, ("first", "final"))
    for name in ("repeat", "order", "elapsed"):
        found[name] = [
            _number(cell, row, name, file) for cell, row in zip(table[name], table["row"], strict=True)
        ]
    found["repeat"] = found["repeat"].fillna(0).astype(int)
    answers = zip(table["item"], table["rating"], table["row"], strict=True)
    found["rating"] = pd.Series(
        [_answer(items[item], cell, row, file) for item, cell, row in answers], table.index, dtype=object
    )
    found["when"] = pd.NaT
    if "when" in table:
        found["when"] = pd.to_datetime(
            table["when"].replace("", None), utc=True, errors="coerce", format="ISO8601"
        )
        wrong = found["when"].isna() & (table["when"] != "")
        if wrong.any():
            row = table.loc[wrong, "row"].iloc[0]
            raise InputError(f"Row {row} of {file}, column 'when': a time is written 2024-05-31T14:00:00Z.")
    return found


def _number(cell: Any, row: int, column: str, file: str) -> float:
    if cell == "":
        return np.nan
    try:
        value = float(cell)
    except (TypeError, ValueError):
        value = np.inf
    if np.isinf(value):
        raise InputError(f"Row {row} of {file}, column '{column}': a number is wanted, not {cell!r}.")
    return value


def _answer(item: Item, cell: Any, row: int, file: str) -> Any:
    """What a cell means: a category, by itself or by its label, a number or a text; NaN where it is empty."""
    if cell == "" or cell is None or cell != cell:
        return np.nan
    value = _category(item, cell) if item.categories else cell
    if not item.categories and item.scale != "text":
        value = _number(cell, row, "rating", file)
        value = int(value) if value.is_integer() else value
    if refused := item.refused(value):
        raise InputError(f"Row {row} of {file}, column 'rating': {refused}.")
    return value


def _category(item: Item, cell: Any) -> Any:
    """The category so spelt, or of that number, or else so labelled; the cell where there is none."""
    for one in item.categories:
        if str(cell) == str(one):
            return one
    try:
        number = float(cell)
    except (TypeError, ValueError):
        number = None
    for one in item.categories:
        if not isinstance(one, str) and one == number:
            return one
    return dict(zip(item.labels, item.categories, strict=False)).get(str(cell), cell)


def _check_once(ratings: pd.DataFrame, rows: pd.Series, path: Path) -> None:
    twice = ratings.duplicated([*SAME, "step"]) & ratings["reader"].notna()
    if twice.any():
        first = ratings[twice].iloc[0]
        told = ", ".join(f"{name} {first[name]}" for name in (*SAME, "step"))
        raise InputError(
            f"Row {rows[twice].iloc[0]} of {path.name} answers once more what a row above did: {told}."
        )


def _cases(table: pd.DataFrame) -> pd.DataFrame:
    """Case, patient and truth as a table tells them."""
    cases = table[table["case"] != ""].drop_duplicates("case").reset_index(drop=True)
    found = pd.DataFrame({"case": cases["case"].map(str).astype(object)})
    found["patient"] = cases["patient"] if "patient" in cases else found["case"]
    truth = cases["truth"] if "truth" in cases else pd.Series(np.nan, cases.index)
    found["truth"] = _classes(truth)
    return found


def _aids(table: pd.DataFrame) -> pd.DataFrame:
    found = pd.DataFrame(columns=["case", "condition", "aid", "wrong"])
    if "aid" not in table:
        return found
    shown = table[table["aid"] != ""].drop_duplicates(["case", "condition"])
    wrong = shown["wrong"] if "wrong" in shown else pd.Series("", shown.index)
    aids = shown[["case", "condition"]].assign(
        aid=_classes(shown["aid"]), wrong=wrong.map(str).str.lower() == "true"
    )
    return aids.reset_index(drop=True)


def _classes(cells: pd.Series) -> pd.Series:
    """Classes as numbers where all are, else as texts; empty cells missing."""
    cells = cells.astype(object).where(cells != "", np.nan)
    numbers = pd.to_numeric(cells, errors="coerce")
    return numbers if numbers.notna().equals(cells.notna()) else cells
