"""Ratings out of the house: a table that any program opens, and all that is needed to read it back.

An export is a folder of two files: the ratings (CSV or Parquet, a row a rating, beside each what was shown
and what is so), and study.json with the items, the cases, the aids and a check sum, by which an import sees
that nothing was changed on the way. The check finds slips, not forgers. It holds the ratings that count now:
what was corrected, the moments aids were shown and the fingerprints of model and map stay in the store, and
only a backup holds them.

In CSV files a text that a spreadsheet would take for a formula gets a leading apostrophe; an import takes it
off again. The ratings of a simulated study say so in every row, in the file's name and in Parquet's metadata.
"""

import csv
import hashlib
import json
import re
import secrets
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from studykit.catalog import InputError, check_choice
from studykit.trust.recorded import FIRST
from studykit.trust.study import RATINGS, Study
from studykit.whole import whole_folder

ABOUT = "study.json"
MARK = "simulated"
KINDS = ("csv", "parquet")
CURRENT = (
    "An export holds the ratings that count now; corrections, the moments aids were shown and the "
    "fingerprints of model and map are in a backup only."
)
ANONYMOUS = (
    "anonymous: readers and patients renamed, free text, order and session left out, times kept to the "
    "month; a reader's conditions and cases still match the plan, so do not pass the plan (protocol) on"
)
FLAT = [*RATINGS, "patient", "truth", "aid", "wrong", MARK]
FORMULA = re.compile(r"'*[=+\-@\t\r\n＝＋－＠]")  # how a formula, or one that was defused, begins


def export(
    study: Study, folder: Path, kind: str = "csv", anonymous: bool = False, protocol: str = ""
) -> Path:
    """Write a study into a new folder, whole or not at all; gives the path of the table.

    kind: csv or parquet. anonymous: see `anonymised`; the protocol, which names readers, is then left out.
    protocol: its text, so that the study can be read into a ratings store again.
    """
    check_choice("kind of export", kind, KINDS)
    if folder.exists():
        raise InputError(f"{folder} is there already; give the export another name.")
    study = anonymised(study) if anonymous else study
    name = f"ratings.{MARK}.{kind}" if study.simulated else f"ratings.{kind}"
    with whole_folder(folder) as hidden:
        write = _write_csv if kind == "csv" else _write_parquet
        write(flat(study), hidden / name)
        about = {
            "holds": CURRENT,
            "name": study.name,
            "title": study.title,
            "source": study.source,
            "notes": list(study.notes),
            MARK: study.simulated,
            "positive": _plain(study.positive),
            "items": [asdict(item) for item in study.items.values()],
            "cases": _as_json(study.cases.astype({"case": str})),
            "aids": _as_json(study.aids.astype({"case": str})),
            "protocol": "" if anonymous else protocol,
            "ratings": name,
            "sha256": hashlib.sha256((hidden / name).read_bytes()).hexdigest(),
        }
        text = json.dumps({**about, "check": check_of(about)}, ensure_ascii=False, indent=1)
        (hidden / ABOUT).write_text(text, encoding="utf-8")
    return folder / name


def check_of(about: dict[str, Any]) -> str:
    """The check sum over all that study.json says."""
    told = {name: value for name, value in about.items() if name != "check"}
    return hashlib.sha256(json.dumps(told, sort_keys=True, ensure_ascii=False).encode()).hexdigest()


def flat(study: Study) -> pd.DataFrame:
    """A row a rating, with patient, truth and aid beside it; columns FLAT."""
    cases = study.cases[["case", "patient", "truth"]]
    table = study.ratings.merge(cases, on="case", how="left")
    table = table.merge(study.aids, on=["case", "condition"], how="left")
    for name in ("reader", "case"):
        table[name] = table[name].astype(object).map(str, na_action="ignore")
    return table.assign(**{MARK: bool(study.simulated)})[FLAT]


def anonymised(study: Study) -> Study:
    """The study with readers R01, R02, ... and patients P01, P02, ... by lot, and without free text.

    Order and session are left out; the time of an answer is kept to the month, how long it took to the
    second. Cases keep their names, and a reader's cases and conditions still match the plan (protocol) and
    so tell who it is: the plan must not be passed on.
    """
    ratings = study.ratings[[study.items[name].scale != "text" for name in study.ratings["item"]]]
    when = pd.to_datetime(ratings["when"], utc=True)
    ratings = ratings.assign(
        reader=_by_lot(ratings["reader"], "R"),
        order=np.nan,
        session="",
        elapsed=pd.to_numeric(ratings["elapsed"]).round(),
        when=when.dt.normalize() - pd.to_timedelta(when.dt.day - 1, unit="D"),
    )
    by = ["reader", "condition", "case", "item", "repeat", "step"]
    ratings = ratings.sort_values(by, key=lambda cells: cells.map(str), ignore_index=True)
    cases = study.cases.assign(patient=_by_lot(study.cases["patient"], "P"))
    items = {name: item for name, item in study.items.items() if item.scale != "text"}
    notes = (ANONYMOUS, *(note.split(FIRST)[0] for note in study.notes))
    return replace(study, ratings=ratings, cases=cases, items=items, notes=notes)


def _by_lot(names: pd.Series, letter: str) -> pd.Series:
    """Other names, dealt by a lot that nobody can draw again; missing ones stay so."""
    known = list(names.dropna().unique())
    secrets.SystemRandom().shuffle(known)
    width = max(2, len(str(len(known))))
    return names.map({name: f"{letter}{k:0{width}d}" for k, name in enumerate(known, 1)}).astype(object)


def defused(value: Any) -> Any:
    """A text that no spreadsheet takes for a formula; all else as it is."""
    return f"'{value}" if isinstance(value, str) and FORMULA.match(value) else value


def fused(text: str) -> str:
    """The text that was `defused`."""
    return text[1:] if text.startswith("'") and FORMULA.match(text) else text


def _write_csv(table: pd.DataFrame, path: Path) -> None:
    table = table.assign(when=_iso(table["when"])).astype(object)
    table = table.where(table.notna(), None).map(defused)
    table.to_csv(path, index=False, encoding="utf-8", quoting=csv.QUOTE_NONNUMERIC, lineterminator="\n")


def _write_parquet(table: pd.DataFrame, path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = table.assign(when=_iso(table["when"]))
    for name in ("rating", "truth", "aid", "patient", "session"):
        values = table[name].infer_objects()
        texts = values.map(str, na_action="ignore").astype(object)
        table[name] = values if pd.api.types.is_numeric_dtype(values) else texts.where(values.notna(), None)
    made = pa.Table.from_pandas(table, preserve_index=False)
    mark = {b"studykit": json.dumps({MARK: bool(table[MARK].any())}).encode()}
    pq.write_table(made.replace_schema_metadata({**(made.schema.metadata or {}), **mark}), path)


def _iso(times: pd.Series) -> pd.Series:
    """Times as texts, ISO 8601; None where missing."""
    told = [
        time.isoformat() if time == time and time is not None else None
        for time in pd.to_datetime(times, utc=True)
    ]
    return pd.Series(told, times.index, dtype=object)


def _as_json(table: pd.DataFrame) -> dict[str, Any]:
    told = json.loads(table.to_json(orient="split", double_precision=15, force_ascii=False))
    return {"columns": told["columns"], "data": told["data"]}


def _plain(value: Any) -> Any:
    return value.item() if hasattr(value, "item") else value
