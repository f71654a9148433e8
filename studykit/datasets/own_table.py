"""A person's own table, checked row by row: case ids, patients, numbers, texts, and where pictures are."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pandas as pd

from studykit.catalog import InputError
from studykit.datasets.inference import ENDINGS, held, none_of, number, parts
from studykit.datasets.own_columns import FILE, PICTURES, Columns, read_settled, settle
from studykit.files.places import files_in, inside, shown
from studykit.files.tables import READERS, read_table

LONGEST = 2**20  # bytes of a text file


@dataclass(frozen=True)
class OwnTable:
    """root: the folder. file: the table in it. settled: cases.json, where it stands there.

    rows: the table's cells, text or None by row number.
    Everything is by case id, in the table's order. InputError names the row that cannot be used.
    """

    root: Path
    file: Path
    settled: tuple[Path, ...]
    rows: pd.DataFrame
    columns: Columns

    @cached_property
    def ids(self) -> pd.Series:
        """The case of each row; no two rows have the same."""
        ids = self._filled(self.columns.id)
        for row in ids.index[ids.duplicated()]:
            first = ids.index[ids == ids[row]][0]
            raise InputError(
                f"Rows {first} and {row} of {self.file.name} have the same {self.columns.id}, "
                f"{shown(ids[row])}; give each case its own."
            )
        return ids

    @property
    def groups(self) -> pd.Series:
        """The patient of each case."""
        return self._by_case(self._filled(self.columns.patient) if self.columns.patient else self.ids)

    def words(self, column: str) -> pd.Series:
        """The cells as they are, None where empty."""
        return self._by_case(self.rows[column])

    def numbers(self, column: str) -> pd.Series:
        """The cells as numbers, NaN where empty."""
        for row, cell in self.rows[column].dropna().items():
            if number(cell) != number(cell):
                raise InputError(
                    f"{self._where(row, column)} {held(cell)}; write a number with a point as its decimal "
                    "mark, or leave the cell empty."
                )
        return self._by_case(self.rows[column].map(number, na_action="ignore").astype(float))

    def labels(self, column: str) -> pd.Series:
        """The classes in the cells, "a&b" without blanks; "" where the word is "none", None where empty."""
        for row, cell in self.rows[column].dropna().items():
            if none_of(cell) and parts(cell):
                raise InputError(
                    f"{self._where(row, column)} joins 'none' with a class; keep one of the two."
                )
        joined = self.rows[column].map(
            lambda cell: "&".join(parts(cell)) or ("" if none_of(cell) else None), na_action="ignore"
        )
        return self._by_case(joined)

    def texts(self, column: str) -> pd.Series:
        """The texts in the cells, or in the .txt files that most of them name; None where empty."""
        cells = self.rows[column]
        named = cells.dropna().str.lower().str.endswith(ENDINGS["text"])
        if len(named) and named.mean() > 0.5:
            read = {row: self._text(row, column) for row in named.index}
            cells = pd.Series([read.get(row) for row in cells.index], index=cells.index, dtype=object)
        return self._by_case(cells)

    @cached_property
    def paths(self) -> dict[str, dict[str, Path | None]]:
        """{column of pictures or outlines: {case: its file or folder of slices, or None}}; none is opened."""
        found = {}
        for picture in self.columns.of_kind(*PICTURES):
            found[picture] = dict(self._paths(picture, picture))
            outline = self.columns.outline(picture)
            if outline:
                found[outline] = dict(self._paths(outline, picture))
                self._check_outlined(picture, outline, found)
        return found

    def _paths(self, column: str, picture: str) -> Iterator[tuple[str, Path | None]]:
        for row, cell in self.rows[column].items():
            if cell is None:
                yield self.ids[row], None
                continue
            where = self._where(row, column)
            path = inside(self.root, cell, where)
            if path.is_dir() and self.columns.kinds[picture] != "volume":
                raise InputError(
                    f"{where} names the folder {shown(cell)}, and an image is a file; name the file."
                )
            if path.is_dir() and not files_in(path, where):
                raise InputError(f"{where} names {shown(cell)}, a folder without files; restore its slices.")
            yield self.ids[row], path

    def _check_outlined(self, picture: str, outline: str, found: dict[str, dict[str, Path | None]]) -> None:
        for row, case in self.ids.items():
            if found[outline][case] and not found[picture][case]:
                raise InputError(
                    f"{self._where(row, outline)} names an outline, but the column '{picture}' no picture; "
                    "add the picture or empty the cell."
                )

    def _text(self, row: int, column: str) -> str | None:
        where, cell = self._where(row, column), self.rows.at[row, column]
        if not cell.lower().endswith(ENDINGS["text"]):
            raise InputError(
                f"{where} names no .txt file, as most cells of the column do; put what it says into one."
            )
        path = inside(self.root, cell, where)
        try:
            if path.stat().st_size > LONGEST:
                raise InputError(f"{where} names {path}, which is too large for a text; cut it.")
            text = path.read_text(encoding="utf-8-sig")
            return text if text.strip() else None
        except (OSError, UnicodeDecodeError) as why:
            raise InputError(
                f"{where} names {path}, which is no text in UTF-8 ({why}); save it anew."
            ) from None

    def _filled(self, column: str) -> pd.Series:
        empty = self.rows.index[self.rows[column].isna()]
        if len(empty):
            raise InputError(f"{self._where(empty[0], column)} is empty; each case needs one.")
        return self.rows[column]

    def _by_case(self, values: pd.Series) -> pd.Series:
        return values.set_axis(pd.Index(self.ids, name="id", dtype=object))

    def _where(self, row: int, column: str) -> str:
        return f"Row {row} of {self.file.name}, column '{column}',"


def read_own(folder: str, table: str = "") -> OwnTable:
    """The table of the folder; `table` names it where there are several.

    Raises InputError for a folder or table that is not there or cannot be used.
    """
    if not folder:
        raise InputError(
            "The data set own_folder needs a 'folder': the path of the folder that holds cases.csv."
        )
    root = Path(folder).expanduser()
    if not root.is_dir():
        raise InputError(f"There is no folder {root}; give the folder that holds cases.csv.")
    found = [table] if table else [p.name for p in root.glob("cases.*") if p.suffix.lower() in READERS]
    if not found:
        raise InputError(
            f"No table stands in {root}; put cases.csv (or .tsv, .parquet, .xlsx) there, a row a case."
        )
    if len(found) > 1:
        raise InputError(
            f"Several tables stand in {root} ({', '.join(sorted(found))}); name one of them as 'table'."
        )
    file = inside(root, found[0], f"The folder {root}")
    given = read_settled(root)
    rows = read_table(file, given.get("missing", ()))
    settled = (root / FILE,) if given else ()
    return OwnTable(root, file, settled, rows, settle(rows, given, root, file.name))
