"""BUS-BRA: breast ultrasound pictures with tumour outlines, benign or malignant by biopsy.

Two views for most patients, four machines. There is hardly a record: which half of a two-view screen a
picture was (Side) and which machine made it (Device); neither is used unless it is named.

Gomez-Flores W, Gregorio-Calas MJ, Pereira WCA. BUS-BRA: a breast ultrasound dataset for assessing
computer-aided diagnosis systems. Med Phys 2024;51:3110-3123. doi:10.1002/mp.16812
"""

from dataclasses import dataclass
from pathlib import Path

from studykit.datasets.card import Card
from studykit.datasets.outlined_scans import ListedScans


@dataclass(frozen=True)
class BUSBRA(ListedScans, name="bus_bra"):
    """The original layout: `BUSBRA/` with `bus_data.csv`, `Images/bus_0002-l.png`, `Masks/mask_0002-l.png`.

    folder: where `BUSBRA/` (or what is in it) stands; by default `BUS-BRA` in $STUDYKIT_DATA or in data/.
    columns: the record, of Side and Device; none by default.
    """

    folder: str = ""
    columns: tuple[str, ...] = ()
    classes: tuple[str, ...] = ("benign", "malignant")
    size: int = 128

    card = Card(
        title="BUS-BRA, breast ultrasound of the National Cancer Institute, Rio de Janeiro: "
        "1875 pictures of 1064 patients",
        source="https://zenodo.org/records/8231412",
        citation="Gomez-Flores et al. Med Phys 2024;51:3110-3123, doi:10.1002/mp.16812",
        licence="its own LICENSE.txt: free to use, copy, change and pass on, with notice and citation",
        label="Pathology: benign or malignant, proven by biopsy",
        group="Case, the patient, and near-duplicates where index.csv joins them",
        defects=(
            "burned-in text and calipers",
            "two or more views of most patients: split by Case, never by picture",
            "BI-RADS categories and outlines of one reader",
            "the published folds (5-fold-cv.csv, 10-fold-cv.csv) are not used: their valid_ columns "
            "put the two views of some patients on both sides, one learned from, the other validated on",
            "machines need not go with benign and malignant alike, so Device may tell the label by habit",
        ),
        refused={
            "Pathology": "it is the label",
            "Histology": "it names the label",
            "BIRADS": "the radiologist's category already answers the question",
            "BBOX": "it is the box of the outline, which a reader drew around the answer",
            "Width": "the size of the export tells the machine, as Device does openly",
            "Height": "the size of the export tells the machine, as Device does openly",
            "ID": "it names the picture",
            "Case": "it names the patient",
        },
    )
    gray = 0.33
    known_classes = ("benign", "malignant")
    home = "BUS-BRA"
    tables = ("BUSBRA/bus_data.csv", "bus_data.csv")
    places = ("BUSBRA/Images", "Images")
    key, label, together = "ID", "Pathology", "Case"
    known_columns = ("Side", "Device")
    all_outlined = True

    def outline_of(self, scan: Path) -> Path:  # noqa: D102
        return scan.parents[1] / "Masks" / scan.name.replace("bus_", "mask_", 1)
