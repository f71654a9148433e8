"""PAD-UFES-20: smartphone pictures of skin lesions with what patients and physicians said of them.

Three diagnoses are cancers (basal cell carcinoma BCC, melanoma MEL, squamous cell carcinoma SCC), three are
not (actinic keratosis ACK, nevus NEV, seborrheic keratosis SEK). Beware: who was not asked had no cancer.
Of 2298 rows 804 lack the whole questionnaire, and not one of them is a cancer, so a model can score well
from what is missing alone. `QUESTIONNAIRE` names those columns, `WITHOUT_SHORTCUT` the others.

Pacheco AGC et al. PAD-UFES-20: a skin lesion dataset composed of patient data and clinical images collected
from smartphones. Data in Brief 2020;32:106221. doi:10.1016/j.dib.2020.106221
"""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pandas as pd

from studykit.case import Task
from studykit.catalog import check_choice
from studykit.datasets.card import Card
from studykit.datasets.outlined_scans import ListedScans

DIAGNOSES = ("ACK", "BCC", "MEL", "NEV", "SCC", "SEK")
CANCERS = ("BCC", "MEL", "SCC")
QUESTIONS = ("diagnosis", "cancer")
QUESTIONNAIRE = (
    "smoke",
    "drink",
    "background_father",
    "background_mother",
    "pesticide",
    "gender",
    "skin_cancer_history",
    "cancer_history",
    "has_piped_water",
    "has_sewage_system",
    "fitspatrick",
    "diameter_1",
    "diameter_2",
)
WITHOUT_SHORTCUT = ("age", "region", "itch", "grew", "hurt", "changed", "bleed", "elevation")


@dataclass(frozen=True)
class PADUFES20(ListedScans, name="pad_ufes_20"):
    """The original layout: `metadata.csv` and the pictures in `images/` or in `imgs_part_1/` to `_3/`.

    Outlines, which the publisher does not give, may stand as `masks/PAT_..._mask.png`.

    folder: where it stands; by default `PAD-UFES-20` in $STUDYKIT_DATA or in data/.
    columns: the record. All the clinical fields by default, the shortcut included: see `notes`.
    classes: the diagnoses that take part.
    question: "diagnosis", or "cancer" (BCC, MEL and SCC against the others).
    """

    folder: str = ""
    columns: tuple[str, ...] = WITHOUT_SHORTCUT + QUESTIONNAIRE
    classes: tuple[str, ...] = DIAGNOSES
    question: str = "diagnosis"
    size: int = 128

    card = Card(
        title="PAD-UFES-20, smartphone pictures of skin lesions with a clinical record: "
        "2298 pictures of 1641 lesions of 1373 patients",
        source="https://data.mendeley.com/datasets/zr7vgbcyr2/1, doi:10.17632/zr7vgbcyr2.1",
        citation="Pacheco et al. Data in Brief 2020;32:106221, doi:10.1016/j.dib.2020.106221",
        licence="CC BY 4.0",
        label="diagnostic: every cancer by biopsy, many of the others by dermatologists' consensus alone",
        group="patient_id, and near-duplicates where index.csv joins them",
        defects=(
            "missingness is a shortcut to the label: 804 of 2298 rows lack the whole questionnaire "
            "(smoke to diameter_2) and not one of them is a cancer; never report a score without saying so, "
            f"or take only the columns {', '.join(WITHOUT_SHORTCUT)}",
            "'UNK' and empty cells stand for missing values",
            "several pictures of many lesions and patients: split by patient",
            "one pair of identical pictures stands under two lesion ids (PAT_701_1321_156, PAT_701_4056_457)",
            "BRAZIL is also written BRASIL; some diameters are 0",
            "outlines are no part of the published set; ours were drawn by students, not by clinicians",
            "Bowen's disease is counted as SCC",
            "very unequal classes: BCC 845, ACK 730, NEV 244, SEK 235, SCC 192, MEL 52",
        ),
        refused={
            "diagnostic": "it is the label",
            "biopsed": "every cancer was biopsied and most others were not",
            "patient_id": "it names the patient",
            "lesion_id": "it names the lesion",
            "img_id": "it names the picture",
        },
    )
    gray = 0.57
    channels = 3
    task = "diagnosis"
    known_classes = DIAGNOSES
    home = "PAD-UFES-20"
    tables = ("metadata.csv",)
    places = ("images", "imgs_part_*", "images/imgs_part_*")
    key, label, together = "img_id", "diagnostic", "patient_id"
    known_columns = WITHOUT_SHORTCUT + QUESTIONNAIRE
    numbers = ("age", "fitspatrick", "diameter_1", "diameter_2")
    missing = ("", "UNK")

    def __post_init__(self):
        super().__post_init__()
        check_choice(f"question of {self.name}", self.question, QUESTIONS)

    @property
    def tasks(self) -> tuple[Task, ...]:  # noqa: D102
        if self.question == "cancer":
            return (Task("cancer", "binary", ("other", "cancer")),)
        return super().tasks

    @cached_property
    def cases(self) -> pd.DataFrame:  # noqa: D102
        cases = super().cases
        if self.question == "cancer":
            words = {name: "cancer" if name in CANCERS else "other" for name in DIAGNOSES}
            cases = cases.assign(cancer=cases["diagnosis"].map(words))
        return cases

    def outline_of(self, scan: Path) -> Path:  # noqa: D102
        return self._root / "masks" / f"{scan.stem}_mask.png"

    def notes(self) -> list[str]:
        """What is missing, and how that goes with cancer, counted in these cases."""
        diagnosis = self.cases["diagnosis"].dropna()
        asked = [column for column in QUESTIONNAIRE if column in self._table]
        silent = self._table.loc[diagnosis.index, asked].isin(self.missing).all(axis=1)
        cancer = diagnosis.isin(CANCERS)
        if silent.nunique() < 2 or cancer.nunique() < 2:
            return super().notes()
        share, others = cancer[silent].mean(), cancer[~silent].mean()
        return [
            f"{silent.sum()} of {len(silent)} cases of {self.name} lack the whole questionnaire "
            f"({QUESTIONNAIRE[0]} to {QUESTIONNAIRE[-1]}): {share:.0%} of them are cancers "
            f"({', '.join(CANCERS)}), of the others {others:.0%}; what is missing may give the label away, "
            f"so compare with the columns {', '.join(WITHOUT_SHORTCUT)} alone.",
            *super().notes(),
        ]
