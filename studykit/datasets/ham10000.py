"""HAM10000: dermoscopic pictures of pigmented skin lesions with age, sex and place, in seven diagnoses.

akiec: actinic keratosis and Bowen's disease; bcc: basal cell carcinoma; bkl: benign keratosis; df:
dermatofibroma; mel: melanoma; nv: nevus; vasc: vascular lesion.

Tschandl P, Rosendahl C, Kittler H. The HAM10000 dataset, a large collection of multi-source dermatoscopic
images of common pigmented skin lesions. Sci Data 2018;5:180161. doi:10.1038/sdata.2018.161
Outlines: Tschandl P et al. Human-computer collaboration for skin cancer recognition. Nat Med
2020;26:1229-1234. doi:10.1038/s41591-020-0942-0
"""

from dataclasses import dataclass
from pathlib import Path

from studykit.datasets.card import Card
from studykit.datasets.outlined_scans import ListedScans

DIAGNOSES = ("akiec", "bcc", "bkl", "df", "mel", "nv", "vasc")
OUTLINES = "HAM10000_segmentations_lesion_tschandl"


@dataclass(frozen=True)
class HAM10000(ListedScans, name="ham10000"):
    """The original layout: `HAM10000_metadata.csv` beside `HAM10000_images_part_1/` and `_2/`.

    Outlines may stand in `HAM10000_segmentations_lesion_tschandl/`.

    folder: where it stands; by default `HAM10000` in $STUDYKIT_DATA or in data/.
    columns: the record. classes: the diagnoses that take part.
    """

    folder: str = ""
    columns: tuple[str, ...] = ("age", "sex", "localization")
    classes: tuple[str, ...] = DIAGNOSES
    size: int = 128

    card = Card(
        title="HAM10000, dermoscopy of pigmented skin lesions with age, sex and place: "
        "10015 pictures of 7470 lesions",
        source="https://dataverse.harvard.edu/dataset.xhtml?persistentId=doi:10.7910/DVN/DBW86T",
        citation="Tschandl et al. Sci Data 2018;5:180161, doi:10.1038/sdata.2018.161; outlines: "
        "Tschandl et al. Nat Med 2020;26:1229-1234, doi:10.1038/s41591-020-0942-0",
        licence="CC BY-NC 4.0: not for commercial use",
        label="dx, by histology for every mel, bcc and akiec; others also by follow-up, consensus, confocal",
        group="lesion_id, and near-duplicates where index.csv joins them; patients are not known",
        defects=(
            "two lesions of one patient may stand on two sides of a split, for patients are not known",
            "several pictures of many lesions: split by lesion",
            "67 % of the 10015 pictures are nv (6705; mel 1113, bkl 1099, bcc 514, akiec 327, vasc 142, "
            "df 115): a part of them that was chosen otherwise says nothing of how common a diagnosis is",
            "'unknown' and empty cells stand for missing values (57 ages, 57 sexes)",
            "ages go in steps of 5 years; 0 may mean not known",
        ),
        refused={
            "dx": "it is the label",
            "dx_type": "how a case was confirmed follows from what was found (follow-up: only nv)",
            "dataset": "which clinic a picture comes from goes with what that clinic collected",
            "lesion_id": "it names the lesion",
            "image_id": "it names the picture",
        },
    )
    gray = 0.62
    channels = 3
    task = "diagnosis"
    known_classes = DIAGNOSES
    home = "HAM10000"
    tables = ("HAM10000_metadata.csv", "HAM10000_metadata")
    places = ("HAM10000_images_part_1", "HAM10000_images_part_2")
    ending = ".jpg"
    key, label, together = "image_id", "dx", "lesion_id"
    known_columns = ("age", "sex", "localization")
    numbers = ("age",)
    missing = ("", "unknown")

    def outline_of(self, scan: Path) -> Path:  # noqa: D102
        return self._root / OUTLINES / f"{scan.stem}_segmentation.png"
