"""A table of cases as a person keeps it (CSV, TSV, Excel, Parquet), read as text, cell by cell.

Nothing is guessed while reading: a cell is its text, or None where it is empty or holds one of the words for
"missing". Rows keep their numbers as a spreadsheet shows them (the header is row 1), so that a sentence can
name a row. A formula is read as the value that Excel computed last. Files are looked at before they are
unpacked: a small file that would become a huge table is refused.
"""

import csv
import datetime
import io
import warnings
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import openpyxl
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from studykit.catalog import InputError, check_choice
from studykit.files.places import shown

MISSING = ("", "NA", "N/A", "n/a", "NaN", "nan", "<NA>", "NULL", "null", "#N/A", ".")
MOST_BYTES = 2**28  # of a table, unpacked
MOST_CELLS = 10_000_000


def read_table(path: Path, missing: Iterable[str] = ()) -> pd.DataFrame:
    """The cells of the table in `path` as text or None, indexed by row number; rows without any are left out.

    missing: further words that stand for nothing, besides `MISSING`.
    Raises InputError, naming the file and the row, for what is no table: a broken file or one of another
    encoding, rows of another length than the header, columns without a name or of the same name, no rows.
    """
    ending = path.suffix.lower() or ".csv"
    check_choice("kind of table", ending, READERS)
    try:
        if path.stat().st_size > MOST_BYTES:
            raise InputError(_too_large(path))
        data = path.read_bytes()
    except OSError as why:
        raise InputError(f"The table {path} cannot be read ({why.strerror}); replace the file.") from None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # openpyxl tells of colours and drop-down lists that it drops
            rows = list(_counted(READERS[ending](data, path), path))
    except (InputError, MemoryError):
        raise
    except Exception as why:  # a broken file can make a reader fail in any way
        raise InputError(
            f"The table {path} is broken or of another kind than its name says ({type(why).__name__}); "
            "save it anew."
        ) from None
    header = _header([" ".join(cell.split()) for cell in rows[0]] if rows else [], path)
    cells = {number: row for number, row in enumerate(rows[1:], start=2) if any(row)}
    for number, row in cells.items():
        if len(row) < len(header) or any(row[len(header) :]):
            raise InputError(
                f"Row {number} of {path.name} has {len(row)} cells, the header {len(header)}; mend the row "
                "(a text with a comma needs quotes)."
            )
    if not cells:
        raise InputError(f"The table {path} has no rows below its header; write one row a case.")
    nothing = {*MISSING, *missing}
    filled = [[None if cell in nothing else cell for cell in row[: len(header)]] for row in cells.values()]
    return pd.DataFrame(filled, index=pd.Index(list(cells), name="row"), columns=header, dtype=object)


def read_listed(path: Path, needed: Iterable[str]) -> pd.DataFrame:
    """The cells of the table in `path` as text, "" where missing, by row as a spreadsheet counts.

    Raises InputError for a file that is no table (see `read_table`) and for a `needed` column it lacks.
    """
    table = read_table(path).fillna("")
    for column in needed:
        check_choice(f"column in {path.name}", column, table.columns)
    return table


def _counted(rows: Iterable[list[str]], path: Path) -> Iterator[list[str]]:
    """The rows without blanks around their cells; InputError as soon as they are too many."""
    cells = 0
    for row in rows:
        cells += 1 + len(row)
        if cells > MOST_CELLS:
            raise InputError(_too_large(path))
        yield [cell.strip() for cell in row]


def _header(cells: list[str], path: Path) -> list[str]:
    """The columns' names; empty cells behind the last name are none, one before it is "column N"."""
    while cells and not cells[-1]:
        cells = cells[:-1]
    if not cells:
        raise InputError(f"The table {path} is empty; its first row names the columns.")
    cells = [name or f"column {number}" for number, name in enumerate(cells, start=1)]
    for name in cells:
        if cells.count(name) > 1:
            raise InputError(f"{path.name} has two columns {shown(name)}; give one another name.")
    return cells


def _delimited(data: bytes, path: Path) -> Iterator[list[str]]:
    """The rows of a CSV or TSV file, whichever of , ; and tab parts its header best."""
    text = _decoded(data, path)
    counts = {mark: len(next(csv.reader(io.StringIO(text), delimiter=mark), [])) for mark in ",;\t"}
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=max(counts, key=counts.get), strict=True)
    rows = 0
    try:
        for rows, cells in enumerate(reader, start=1):  # noqa: B007 - told below
            yield cells
    except csv.Error as why:
        raise InputError(
            f"Row {rows + 1} of {path.name} cannot be read ({why}); check its quotation marks."
        ) from None


def _decoded(data: bytes, path: Path) -> str:
    text, wrong = "", data.find(0)
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as why:
        wrong = why.start if wrong < 0 else min(wrong, why.start)
    if wrong >= 0:
        before = data[:wrong].decode("utf-8-sig", "replace") + "x"
        row = sum(1 for _ in csv.reader(io.StringIO(before)))
        raise InputError(
            f"Row {row} of {path.name} holds letters that are not written in UTF-8 (byte {wrong + 1} of the "
            "file); save it as 'CSV UTF-8'."
        )
    return text


def _parquet(data: bytes, path: Path) -> Iterator[list[str]]:
    file = pq.ParquetFile(pa.BufferReader(data))
    about = file.metadata
    unpacked = sum(about.row_group(group).total_byte_size for group in range(about.num_row_groups))
    if unpacked > MOST_BYTES or about.num_rows * about.num_columns > MOST_CELLS:
        raise InputError(_too_large(path))
    table = file.read()
    table = table.select([name for name in table.column_names if not name.startswith("__index_level_")])
    for field in table.schema:
        if pa.types.is_nested(field.type) or pa.types.is_binary(field.type):
            raise InputError(
                f"The column {shown(field.name)} of {path.name} holds {field.type}, not one text or number "
                "a cell; take it out."
            )
    yield table.column_names
    for row in zip(*(column.to_pylist() for column in table.columns), strict=True):
        yield [_text(value) for value in row]


def _workbook(data: bytes, path: Path) -> Iterator[list[str]]:
    """The rows of the sheet "cases", or of the first sheet."""
    with zipfile.ZipFile(io.BytesIO(data)) as packed:
        if sum(member.file_size for member in packed.infolist()) > MOST_BYTES:
            raise InputError(_too_large(path))
    width = 0
    sheets = [_sheet(data, data_only) for data_only in (True, False)]
    for number, (values, formulas) in enumerate(zip(*sheets, strict=True), start=1):
        for value, formula in zip(values, formulas, strict=True):
            computed = value.value is not None or value.data_type == "str"  # perhaps as an empty text
            if formula.data_type == "f" and not computed:
                raise InputError(
                    f"Row {number} of {path.name} holds a formula without a computed value; "
                    "open the file in Excel and save it."
                )
            if value.data_type == "e" and value.value not in MISSING:
                raise InputError(f"Row {number} of {path.name} holds the error {value.value}; mend the cell.")
        row = [_text(cell.value) for cell in values]
        width = width or len(row)
        yield row + [""] * (width - len(row))  # a sheet ends a row at its last filled cell


def _sheet(data: bytes, data_only: bool) -> Iterator[tuple]:
    """The rows of cells, with formulas' values (`data_only`) or with the formulas themselves."""
    book = openpyxl.load_workbook(io.BytesIO(data), read_only=True, data_only=data_only)
    sheet = book["cases"] if "cases" in book.sheetnames else book.worksheets[0]
    sheet.reset_dimensions()  # what a file claims of its size need not be true
    yield from sheet.iter_rows()


def _text(value: Any) -> str:
    """A cell as a person would write it: 5 for 5.0, a date without a time at midnight."""
    if value is None or value is pd.NaT:
        return ""
    if isinstance(value, bool):
        return str(value).upper()
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() and abs(value) < 1e15 else repr(value)
    if isinstance(value, datetime.datetime):
        midnight = value.time() == datetime.time()
        return (value.date() if midnight else value).isoformat()
    return str(value)


def _too_large(path: Path) -> str:
    return (
        f"The table {path} is larger than {MOST_BYTES // 2**20} MiB or {MOST_CELLS // 10**6} million cells; "
        "keep only what the cases need."
    )


READERS = {".csv": _delimited, ".tsv": _delimited, ".parquet": _parquet, ".xlsx": _workbook}
