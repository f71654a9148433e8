"""Published reader studies, whose numbers others have printed: read from where they stand, never shipped.

They stand in the folder `readers` of $STUDYKIT_DATA. Each says whom to cite, under which licence it is, and
what is known to be wrong with it.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd

from studykit.catalog import InputError, Named, check_choice
from studykit.trust.imported import USUAL
from studykit.trust.item import Item
from studykit.trust.study import RATINGS, Study

FINDING = Item(
    "rating", "How sure are you that the finding is there?", "ordinal", "score", categories=(1, 2, 3, 4, 5)
)


@dataclass(frozen=True)
class Published(Named):
    """A published study; folder: where `readers` stands, by default in $STUDYKIT_DATA or in data/."""

    title: ClassVar[str]
    citation: ClassVar[str]
    licence: ClassVar[str]
    about: ClassVar[str]  # who rated what, in a sentence
    defects: ClassVar[tuple[str, ...]] = ()
    file: ClassVar[str]  # in the folder `readers`

    folder: str = ""

    def study(self) -> Study:
        """The ratings as statistics take them; raises InputError where the file is not there."""
        if not self.path.is_file():
            raise InputError(
                f"{self.title} is not here ({self.path} is missing); bring the file from its publisher "
                f"({self.citation}) and set STUDYKIT_DATA to the folder that holds readers/{self.file}."
            )
        return self._read(pd.read_csv(self.path))

    @property
    def path(self) -> Path:
        """Where the file stands, or would."""
        data = Path(os.environ.get("STUDYKIT_DATA") or "data")
        return (Path(self.folder) if self.folder else data / "readers") / self.file

    def _read(self, table: pd.DataFrame) -> Study:
        raise NotImplementedError

    def _made(self, ratings: pd.DataFrame, items: list[Item], **about: Any) -> Study:
        """A study of ratings that say what differs from the usual; its cases are those that were rated."""
        usual = {**USUAL, "reader": np.nan, "when": pd.NaT}
        ratings = ratings.assign(**{name: value for name, value in usual.items() if name not in ratings})
        ratings["rating"] = ratings["rating"].astype(object)
        names = pd.DataFrame({"case": ratings["case"].drop_duplicates()})
        cases = about.pop("cases", names.assign(patient=names["case"], truth=np.nan)).reset_index(drop=True)
        source = f"{self.citation}. Licence: {self.licence}."
        by_name = {item.name: item for item in items}
        told = {"title": self.title, "source": source, "notes": self.defects, **about}
        return Study(self.name, ratings[RATINGS].reset_index(drop=True), by_name, cases, **told)


def published_studies(folder: str | Path = "") -> dict[str, Published]:
    """The published studies that are here, by name."""
    found = {name: one(folder=str(folder)) for name, one in Published.catalogue.items()}
    return {name: one for name, one in found.items() if one.path.is_file()}


def _texts(values: pd.Series) -> pd.Series:
    """Numbers as names, 1.0 as "1"."""
    return values.astype(int).astype(str).astype(object)


def _of_cases(table: pd.DataFrame, patient: str = "case") -> pd.DataFrame:
    """Case, patient and truth, a row a case."""
    cases = table.assign(patient=table[patient])[["case", "patient", "truth"]]
    return cases.drop_duplicates("case")


def _raters(table: pd.DataFrame, case: str = "") -> pd.DataFrame:
    """A row a rating from a table with a column a rater; cases are named by a column or else numbered."""
    cases = table.pop(case) if case else pd.Series(range(1, len(table) + 1), table.index)
    long = table.assign(case=cases.astype(str)).melt("case", var_name="reader", value_name="rating")
    return long.assign(item="rating")


class VanDyke(Published, name="van_dyke"):
    """Five readers, 114 patients, two kinds of MRI: the worked example of most papers on MRMC."""

    title = "Van Dyke 1993: cine and spin-echo MRI for aortic dissection"
    citation = "Van Dyke CW et al., RSNA 1993; table from the R package MRMCaov"
    licence = "of the R package: GPL-3"
    about = "5 readers graded 114 cases (45 with dissection) from 1 to 5 under two treatments each"
    defects = ("the file numbers the treatments and does not name them",)
    file = "mrmc/VanDyke.csv"

    def _read(self, table: pd.DataFrame) -> Study:
        table = table.drop(columns=["case2", "case3"])
        table = table.assign(case=_texts(table["case"]), reader=_texts(table["reader"]), item="rating")
        table["condition"] = "treatment " + table["treatment"].astype(str)
        return self._made(table, [FINDING], cases=_of_cases(table), positive=1)


class Kundel(Published, name="kundel"):
    """Four readers, bedside chest images on film, on a screen and on paper."""

    title = "Kundel 1997: bedside chest radiographs on film and as computed radiograms"
    citation = "Kundel HL et al., Radiology 1997;205:859; table from the R package MRMCaov"
    licence = "of the R package: GPL-3"
    about = "4 readers graded 95 cases on film and 95 as computed radiograms, soft and hard copy, from 1 to 5"
    defects = ("cases are nested in treatments: screen-film cases are others than the computed radiograms",)
    file = "mrmc/Kundel.csv"

    def _read(self, table: pd.DataFrame) -> Study:
        table = table.assign(case=_texts(table["case"]), reader=_texts(table["reader"]), item="rating")
        table["condition"] = table["treatment_name"]
        table["rating"], table["truth"] = table["rating"].astype(int), table["truth"].astype(int)
        return self._made(table, [FINDING], cases=_of_cases(table), positive=1)


@dataclass(frozen=True)
class Viper(Published, name="viper"):
    """Twenty radiologists a part, digital and film mammography, a split-plot design.

    part: which of three sub-studies. days: how long a woman was followed for cancer, 455 or 365.
    """

    title = "VIPER: digital against screen-film mammography"
    citation = "Gallas BD et al., J Med Imaging 2019;6:015501"
    licence = "CC0"
    about = "20 radiologists a part (24 in the three) gave a score and a recall, by FFDM and by SFM"
    defects = (
        "three of its five sub-studies",
        "split plot: each reader reads some of the four groups of cases (in screeningLowP a part of two)",
        "a few cases were read in one modality only",
    )
    file = "viper/viperObs.csv"
    PARTS: ClassVar[tuple[str, ...]] = ("screeningLowP", "screeningMedP", "challengeMedP")

    part: str = "screeningLowP"
    days: int = 455

    def __post_init__(self):
        check_choice("part of VIPER", self.part, self.PARTS)
        check_choice("number of days", self.days, (455, 365))

    def _read(self, table: pd.DataFrame) -> Study:
        table = table[table["subStudyLabel"] == self.part]
        table = table.assign(
            reader=table["readerID"].astype(object),
            case=table["caseID"].astype(str).astype(object),
            condition=table["modalityID"].astype(object),
            truth=table[f"cancerStatus{self.days}"],
            recall=(table["recall"] == 1).astype(int),  # 1: recalled, 2: not
        )
        ratings = table.melt(
            ["reader", "case", "condition"], ["score", "recall"], var_name="item", value_name="rating"
        )
        groups = table.drop_duplicates("case")[["case", "caseGroup"]].rename(columns={"caseGroup": "group"})
        items = [
            Item(
                "score", "Recall? 0-100 no, 101-201 yes; more is surer", "interval", "score", low=0, high=201
            ),
            Item("recall", "Recall?", "nominal", "answer", categories=(0, 1), labels=("no recall", "recall")),
        ]
        cases = _of_cases(table).merge(groups, on="case")
        title = f"{self.title}, {self.part}, cancer within {self.days} days"
        return self._made(ratings, items, cases=cases, positive=1, title=title)


CHARACTERISTICS: Mapping[str, tuple[str, int]] = {
    "subtlety": ("ordinal", 5),
    "internalStructure": ("nominal", 4),
    "calcification": ("nominal", 6),
    "sphericity": ("ordinal", 5),
    "margin": ("ordinal", 5),
    "lobulation": ("ordinal", 5),
    "spiculation": ("ordinal", 5),
    "texture": ("ordinal", 5),
    "malignancy": ("ordinal", 5),
}


class Lidc(Published, name="lidc"):
    """Anonymous radiologists on lung nodules: nine characteristics, no reader known twice."""

    title = "LIDC-IDRI: nine characteristics of lung nodules"
    citation = "Armato SG et al., Med Phys 2011;38:915; list from LIDC-IDRI-Toolbox-python"
    licence = "LIDC-IDRI: CC BY 3.0; the toolbox: MIT"
    about = "up to 4 anonymous radiologists rated 1958 nodules of 642 patients"
    defects = (
        "readings are anonymous: reading 1 of one patient is not by the reader of reading 1 of another, so "
        "readers are nested in cases",
        "173 reading ids of the list could not be joined",
        "88 of 2603 nodules disagree with the list's own mean malignancy",
        "a few nodules carry 5 to 8 readings (scanned again)",
    )
    file = "lidc/lidc_radiologist_ratings_long.csv"

    def _read(self, table: pd.DataFrame) -> Study:
        table = table.rename(columns={"nodule_id": "case", "patient_id": "patient"})
        names = list(CHARACTERISTICS)
        ratings = table.melt(["case"], names, var_name="item", value_name="rating")
        ratings["rating"] = ratings["rating"].astype(int)
        cases = _of_cases(table.assign(truth=np.nan), "patient")
        items = [
            Item(name, scale=scale, categories=tuple(range(1, top + 1)))
            for name, (scale, top) in CHARACTERISTICS.items()
        ]
        return self._made(ratings.assign(condition="CT"), items, cases=cases)


class Diagnoses(Published, name="diagnoses"):
    """Six psychiatrists, thirty patients, five diagnoses: the example of Fleiss 1971."""

    title = "Fleiss 1971: psychiatric diagnoses"
    citation = "Fleiss JL, Psychol Bull 1971;76:378; table from Gamer et al., the R package irr"
    licence = "of the R package: GPL-2 or later"
    about = "6 raters gave each of 30 patients one of 5 diagnoses"
    defects = ("the six raters of one patient are others than those of the next: columns are no persons",)
    file = "irr/diagnoses.csv"

    def _read(self, table: pd.DataFrame) -> Study:
        ratings = _raters(table)
        categories = tuple(sorted(ratings["rating"].unique()))
        return self._made(ratings, [Item("rating", "Diagnosis", "nominal", categories=categories)])


class Video(Published, name="video"):
    """Four raters, twenty videos, six grades of which few are used: low agreement of close ratings."""

    title = "Credibility of videotaped testimonies (artificial data)"
    citation = "Gamer et al., the R package irr"
    licence = "of the R package: GPL-2 or later"
    about = "4 raters graded the credibility of 20 persons from 1 to 6"
    defects = ("artificial data, as its documentation says",)
    file = "irr/video.csv"

    def _read(self, table: pd.DataFrame) -> Study:
        grade = Item("rating", "How credible?", categories=tuple(range(1, 7)))
        return self._made(_raters(table), [grade], simulated=True)


class Vision(Published, name="vision"):
    """Two eyes of 7,477 women: the classic large square table of ordered grades."""

    title = "Stuart 1953: unaided distance vision of both eyes"
    citation = "Stuart A, Biometrika 1953;40:105; table from Gamer et al., the R package irr"
    licence = "of the R package: GPL-2 or later"
    about = "the grade of the right and of the left eye of 7477 persons"
    defects = ("the two 'readers' are one person's two eyes",)
    file = "irr/vision.csv"

    def _read(self, table: pd.DataFrame) -> Study:
        table = table.rename(columns={"r.eye": "right eye", "l.eye": "left eye"})
        ratings = _raters(table)
        grades = tuple(sorted(ratings["rating"].unique()))  # 1st, 2nd, 3rd, 4th
        return self._made(ratings, [Item("rating", "Grade of vision", categories=grades)])


class Hair(Published, name="hair"):
    """Five students, 157 skin pictures of PAD-UFES-20: how much hair is in the picture?"""

    title = "Hair in pictures of PAD-UFES-20"
    citation = "github.com/Damianmdcf/2025-FYP-Final-groupA"
    licence = "MIT"
    about = "5 students (not clinicians) graded the hair in 157 pictures from 0 to 2"
    defects = ("the raters are students; their names were replaced",)
    file = "pad_hair/hair_ratings.csv"

    def _read(self, table: pd.DataFrame) -> Study:
        ratings = _raters(table, "img_id")
        labels = ("none", "some", "much")
        return self._made(ratings, [Item("rating", "How much hair?", categories=(0, 1, 2), labels=labels)])


class XaiPreference(Published, name="xai_preference"):
    """Fifteen lay persons put four kinds of saliency maps in order, best first."""

    title = "Which saliency map is preferred?"
    citation = "github.com/rashidrao-pk/shap_bpt_tests, experiment E8"
    licence = "MIT"
    about = "15 of 20 lay persons ranked the maps of 4 methods (1 is best) on 4 natural pictures"
    defects = ("15 of the 20 persons are here", "natural pictures and lay persons: says nothing of medicine")
    file = "xai_preference/ranks_long.csv"

    def _read(self, table: pd.DataFrame) -> Study:
        table = table.rename(
            columns={"subject": "reader", "image": "case", "method": "condition", "rank": "rating"}
        )
        rank = Item(
            "rank",
            "Which map is best? 1 is best",
            categories=(1, 2, 3, 4),
            labels=("best", "2nd", "3rd", "worst"),
        )
        return self._made(table.assign(item="rank"), [rank])
