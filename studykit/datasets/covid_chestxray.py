"""Chest X-ray films from papers and web pages, of COVID-19 and other pneumonias, with a record and notes.

Cohen JP et al. COVID-19 image data collection: prospective predictions are the future. arXiv:2006.11988
(2020). Outlines of the lungs (lungVAE): Selvan R et al. arXiv:2005.10052.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd

from studykit.catalog import InputError, check_choice
from studykit.datasets.card import Card
from studykit.datasets.dataset import find_folder
from studykit.datasets.grouping import INDEX, listed_groups
from studykit.datasets.outlined_scans import OutlinedScans, joined
from studykit.files.tables import read_listed

NOTES = "clinical_notes"
NUMBERS = (
    "age",
    "offset",
    "temperature",
    "pO2_saturation",
    "leukocyte_count",
    "neutrophil_count",
    "lymphocyte_count",
)
NEEDED = ("filename", "patientid", "modality", "finding", "license", NOTES)
UNSTATED = ("todo", "unknown")
FINDINGS = (
    "COVID-19", "ARDS", "Aspergillosis", "Aspiration", "Bacterial", "Chlamydophila", "E.Coli", "H1N1",
    "Herpes", "Influenza", "Klebsiella", "Legionella", "Lipoid", "MERS", "MERS-CoV", "MRSA", "Mycoplasma",
    "Mycoplasma Bacterial Pneumonia", "No Finding", "Nocardia", "Pneumocystis", "Pneumonia", "SARS",
    "Staphylococcus", "Streptococcus", "Tuberculosis", "Varicella",
)  # fmt: skip
NINETEEN = r"(?:[^\w.]{0,2}(?:20)?19\b)?"  # the year behind a name, as in "COVID-19" or "disease 2019"
SYNONYMS = (
    rf"\w*co[rn]?vid\w*{NINETEEN}", rf"ovid{NINETEEN}", r"(?:20)?19[^\w.]?n[^\w.]?cov\w*", r"n[^\w.]?cov\w*",
    rf"(?:novel\s+)?corona[^\w.]?vir\w*(?:\s+disease)?{NINETEEN}", r"vir(?:al|us|uses|emia)", r"\w*viral",
    r"\w*sars(?:[^\w.]?cov\w*)?(?:[^\w.]?2\b)?", r"mers(?:[^\w.]?cov\w*)?",
    r"severe\s+acute\s+respiratory\s+syndrome", r"middle\s+east(?:ern)?\s+respiratory\s+syndrome",
    r"(?:acute|adult)\s+respiratory\s+distress(?:\s+syndrome)?",
    r"\w*pneumoni\w*", r"pneumoph\w*", r"pneumococ\w*", r"pneumocy\w*", r"p[cj]p", r"jirove\w*", r"carinii",
    r"strep\w*", r"staph\w*", r"klebsiel\w*", r"escherichia(?:\s+coli)?", r"e\.?\s?coli", r"legion\w*",
    r"mycoplasm\w*", r"chlamyd\w*", r"nocardi\w*", r"\w*bacteri\w*", r"aspergill\w*", r"\w*fung(?:al|us|i)",
    r"tubercul\w*", r"tb", r"mycobacter\w*", r"varicel\w*", r"chicken[^\w.]?pox", r"zoster", r"herpe\w*",
    r"influenza\w*", r"swine[^\w.]?origin", r"flu", r"lipoid\w*", r"aspirat\w*",
    r"no\s+(?:\w+\s+)?findings?",
)  # fmt: skip


@dataclass(frozen=True)
class CovidChestXray(OutlinedScans, name="covid_chestxray"):
    """The original layout: `metadata.csv`, `images/` and `annotations/lungVAE-masks/*_mask.png`.

    Films only: rows of CT are left out. "other" is every stated finding that `classes` does not name; where a
    finding is a path (Pneumonia/Viral/COVID-19) its last part counts, of several the first. A finding that
    was never filled in ("todo") is a missing label. Outlines are of the lungs, not of a finding.

    folder: where it stands; by default `covid-chestxray-dataset` in $STUDYKIT_DATA or in data/. In it may
        stand `index.csv` (columns `file`, `group`) saying which films of several patients belong together.
    columns: the record. Also allowed: temperature, pO2_saturation, leukocyte_count, neutrophil_count and
        lymphocyte_count, which are mostly missing, and where they are known COVID-19 is likelier.
    texts: the free text; () leaves it out.
    named_findings: leave words that name a finding in the notes; else each is replaced by "[finding]".
    licences: only films under these licences (column `license`); () takes all.
    """

    folder: str = ""
    columns: tuple[str, ...] = ("age", "sex", "view", "offset")
    texts: tuple[str, ...] = (NOTES,)
    named_findings: bool = False
    licences: tuple[str, ...] = ()
    classes: tuple[str, ...] = ("other", "COVID-19")
    size: int = 128

    card = Card(
        title="COVID-19 image data collection: chest X-ray films of papers and web pages, with notes",
        source="https://github.com/ieee8023/covid-chestxray-dataset",
        citation="Cohen et al. arXiv:2006.11988 (2020); lung outlines: Selvan et al. arXiv:2005.10052",
        licence="one for each film (column license; many CC BY-NC-SA: not commercial, share alike; some "
        "blank); metadata.csv CC BY-NC-SA 4.0; outlines CC BY-SA",
        label="finding, as its source stated it; 'todo' and 'Unknown' are missing labels",
        group="the patient; with index.csv also near-duplicates",
        defects=(
            "films were taken from papers and web pages, and the source goes with the finding: arrows, "
            "borders and photographs of screens may tell it",
            "what is missing goes with the finding too: age and notes lack more often in COVID-19, where "
            "vitals are known more often; a record's 'missing' columns show it",
            "clinical notes name the diagnosis (hidden by default); tests, places and outcomes in them still "
            "hint at it, and they were written with the finding known",
            "outlines are a model's (lungVAE), show the lungs and not the finding, and stand for a part of "
            "the films only",
            "'No Finding' films count as 'other'",
            "offset counts from symptoms or from admission; pO2_saturation mixes per cent and mmHg",
            "several films of most patients",
        ),
        refused={
            "finding": "it is the label",
            "RT_PCR_positive": "it is the test that the label comes from",
            "survival": "it is known only after the film",
            "intubated": "it holds for any day of the illness, also after the film",
            "extubated": "it is known only after the film",
            "went_icu": "it holds for any day of the illness, also after the film",
            "needed_supplemental_O2": "it holds for any day of the illness, also after the film",
            "intubation_present": "the set does not say when it was known, and some sources alone state it",
            "in_icu": "the set does not say when it was known, and some sources alone state it",
            "modality": "it is the same for all films",
            "date": "it tells which outbreak a film is from",
            "location": "it tells the source, and the source goes with the finding",
            "folder": "it is the same for all films",
            "filename": "it names the case, often with its finding",
            "patientid": "it names the patient",
            "doi": "it tells the source, and the source goes with the finding",
            "url": "it tells the source, often with the finding",
            "license": "it tells the source, and the source goes with the finding",
            "other_notes": "it holds credits, which tell the source",
        },
    )
    task = "finding"
    known_classes = ("other", *FINDINGS)
    gray = 0.5

    def __post_init__(self):
        self.check_classes()
        self.card.check_columns(self.columns)
        for column in self.columns:
            check_choice("record column of covid_chestxray", column, (*NUMBERS, "sex", "view"))
            if self.columns.count(column) > 1:
                raise InputError(f"'columns' of covid_chestxray names '{column}' twice; name it once.")
        for text in self.texts:
            check_choice("text of covid_chestxray", text, (NOTES,))

    @property
    def record(self) -> tuple[str, ...]:  # noqa: D102
        return self.columns

    @cached_property
    def _root(self) -> Path:
        return find_folder(self.folder, "covid-chestxray-dataset")

    @property
    def _table_file(self) -> Path:
        return self._root / "metadata.csv"

    @cached_property
    def _table(self) -> pd.DataFrame:
        """The films' rows by id, as written; InputError for a table that cannot be used."""
        table = read_listed(self._table_file, (*NEEDED, *self.columns))
        table = table.where(table != "")[table["modality"] == "X-ray"]
        known = sorted(table["license"].dropna().unique())
        for licence in self.licences:
            check_choice(f"licence in {self._table_file.name}", licence, known)
        if self.licences:
            table = table[table["license"].isin(self.licences)]
        self._check_files(table)
        return table.set_index(pd.Index([Path(name).stem for name in table["filename"]], name="id"))

    def _check_files(self, table: pd.DataFrame) -> None:
        """InputError for a row without a film or a patient, and for a name used twice."""
        rows: dict[str, str] = {}
        for name, patient in zip(table["filename"], table["patientid"], strict=True):
            if pd.isna(name) or Path(name).name != name:
                raise InputError(f"{self._table_file} has an X-ray row without a plain filename; correct it.")
            if not (self._root / "images" / name).is_file():
                raise InputError(
                    f"{self._table_file.name} lists {name}, which is not in {self._root / 'images'}; "
                    "restore the image or remove the row."
                )
            if pd.isna(patient):
                raise InputError(f"{self._table_file} gives no patientid for {name}; fill it in.")
            case = Path(name).stem
            if case in rows:
                raise InputError(
                    f"{self._table_file} lists two films named '{case}' ({rows[case]} and {name}); give one "
                    "another name or remove its row."
                )
            rows[case] = name

    @cached_property
    def cases(self) -> pd.DataFrame:
        """Besides the contract's columns `clinical_notes`, whether or not `texts` takes it."""
        table = self._table
        rows = pd.DataFrame({"group": self._groups})
        for column in self.columns:
            rows[column] = self._numbers(table[column]) if column in NUMBERS else table[column]
        stated = table["finding"].map(_stated)
        rows[self.task] = stated.where(stated.isin(self.classes), "other").mask(stated == "")
        notes = table[NOTES] if self.named_findings else self._hidden
        rows[NOTES] = notes.astype(object).where(notes.notna(), None)
        return rows[rows[self.task].isna() | rows[self.task].isin(self.classes)]

    @property
    def _groups(self) -> pd.Series:
        """The patients, those joined whose films the index lays together."""
        patients = self._table["patientid"]
        films = {case: Path(name) for case, name in self._table["filename"].items()}
        listed = listed_groups(self._root, films)
        return patients if listed is None else joined(patients, pd.Series(listed, dtype=str))

    def _numbers(self, column: pd.Series) -> pd.Series:
        found = pd.to_numeric(column, errors="coerce").astype(float)
        wrong = column.index[column.notna() & ~np.isfinite(found)]
        if len(wrong):
            raise InputError(
                f"{self._table_file} has no number in the column '{column.name}' of {wrong[0]}; correct it."
            )
        return found

    @cached_property
    def _hidden(self) -> pd.Series:
        """The notes without the words that name a finding."""
        return hidden(self._table[NOTES], self._table["finding"])

    def files_of(self, case: str) -> tuple[Path, list[Path]]:  # noqa: D102
        outline = self._root / "annotations" / "lungVAE-masks" / f"{case}_mask.png"
        film = self._root / "images" / self._table.at[case, "filename"]
        return film, [outline] if outline.is_file() else []

    def files(self) -> list[Path]:  # noqa: D102
        tables = [self._table_file, self._root / INDEX]
        return [*(path for path in tables if path.is_file()), *super().files()]

    def notes(self) -> list[str]:
        """Labels and outlines that are missing, notes that name a finding, and the licences, counted."""
        cases = self.cases
        raw, bare = self._table[NOTES].loc[cases.index], self._hidden.loc[cases.index]
        named, written = int((raw.notna() & (raw != bare)).sum()), int(raw.notna().sum())
        done = "left as written: a model may read the label there" if self.named_findings else "hidden"
        licences = self._table.loc[cases.index, "license"].fillna("none stated").value_counts()
        outlined = sum(bool(self.files_of(case)[1]) for case in cases.index)
        told = [
            f"{cases[self.task].isna().sum()} of {len(cases)} films have no finding filled in; they are "
            "looked at only.",
            f"{outlined} of {len(cases)} films have an outline: it is a model's and shows the lungs, not a "
            "finding.",
            f"Licences of the films: {', '.join(f'{name} {count}' for name, count in licences.items())}.",
        ]
        if self.texts:
            told.append(f"{named} of {written} clinical notes name a finding; these words are {done}.")
        return told


def hidden(notes: pd.Series, findings: Iterable[object]) -> pd.Series:
    """The notes with "[finding]" for every word, or words in a row, that names one.

    Names are those in `findings`, the known ones of the set, and their synonyms, in any spelling of case.
    """
    written = {part.strip() for cell in findings if pd.notna(cell) for part in re.split("[/,]", str(cell))}
    stated = sorted(name for name in written | set(FINDINGS) if name.casefold() not in UNSTATED)
    spelt = [r"[\W_]*".join(map(re.escape, re.findall(r"\w+", name))) for name in stated]
    names = sorted(filter(None, [*SYNONYMS, *spelt]), key=len, reverse=True)  # the longest of them counts
    one = rf"(?<!\w)(?:{'|'.join(names)})(?!\w)"
    pattern = re.compile(rf"{one}(?:[\s-]+{one})*", re.IGNORECASE)
    return notes.map(lambda note: pattern.sub("[finding]", note), na_action="ignore")


def _stated(finding: object) -> str:
    """The first of several findings, and of a path its last part; empty where none is stated."""
    first = "" if pd.isna(finding) else str(finding).split(",")[0].split("/")[-1].strip()
    return "" if first.casefold() in UNSTATED else first
