"""A parquet file whose metadata say how it was made: tables in a run folder."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet

from studykit.whole import write_whole


def write_told(path: Path, rows: pd.DataFrame, about: Mapping[str, Any]) -> None:
    """Write the rows, whole or not at all, with `about` (plain JSON) in the file's metadata."""
    table = pa.Table.from_pandas(rows, preserve_index=False)
    table = table.replace_schema_metadata({**(table.schema.metadata or {}), "studykit": json.dumps(about)})
    sink = pa.BufferOutputStream()
    pyarrow.parquet.write_table(table, sink)
    write_whole(path, sink.getvalue().to_pybytes())


def told(path: Path) -> dict[str, Any] | None:
    """How the file was made; None where it is not there, damaged, or not ours: it is then made anew."""
    if not path.is_file():
        return None
    try:
        return json.loads(pyarrow.parquet.read_schema(path).metadata[b"studykit"])
    except (pa.ArrowInvalid, KeyError, TypeError):
        return None
