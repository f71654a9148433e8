"""Chest CT slices of patients with a malignant lung tumour, a benign one, or none, without any record.

Alyasriy H, AL-Huseiny M. The IQ-OTH/NCCD lung cancer dataset. Mendeley Data 2020-2023.
doi:10.17632/bhmdr45bh2
"""

from dataclasses import dataclass

from studykit.datasets.card import Card
from studykit.datasets.class_folders import ClassFolders


@dataclass(frozen=True)
class IQOTHNCCD(ClassFolders, name="iq_othnccd"):
    """The original layout: `The IQ-OTHNCCD lung cancer dataset/<Bengin|Malignant|Normal> cases/*.jpg`.

    folder: where it stands; by default `IQ-OTHNCCD` in $STUDYKIT_DATA or in data/. In it may stand
        `index.csv` (columns `file`, `group`) saying which pictures belong together.
    """

    folder: str = ""
    classes: tuple[str, ...] = ("benign", "malignant", "normal")
    size: int = 128

    card = Card(
        title="IQ-OTH/NCCD, chest CT slices of two hospitals in Baghdad, 2019: 1097 pictures of 110 patients",
        source="https://data.mendeley.com/datasets/bhmdr45bh2",
        citation="Alyasriy and AL-Huseiny. Mendeley Data 2020-2023, doi:10.17632/bhmdr45bh2",
        licence="CC BY 4.0 on Mendeley Data (check it there)",
        label="the class folder, which is the patient's class: also slices without a tumour bear it",
        group="near-duplicates where index.csv joins them, else exact copies; patients are not known",
        defects=(
            "110 patients without identifiers: an audit (haseebkhan9081/iqothnccd-leakage-audit) found 41 % "
            "of a usual random training part to be near-duplicates of test pictures",
            "42 pictures are pixel-identical copies of others",
            "few benign cases (15 patients)",
            "many slices are in a very hard window: soft tissue is speckled black and white",
            "slices, not scans: what lies above and below is not there",
            "some pictures are not 512x512",
            "few patients, some with dozens of slices: with groups kept together results are uncertain, and "
            "far below those of random splits",
        ),
    )
    home = "IQ-OTHNCCD"
    places = ("The IQ-OTHNCCD lung cancer dataset",)
    named = {"benign": "Bengin cases", "malignant": "Malignant cases", "normal": "Normal cases"}
    known_classes = tuple(named)
    gray = 0.06

    def notes(self) -> list[str]:
        """Besides the doubts about groups: how few of them stand behind each class."""
        told = super().notes()
        if self._grouping.index:
            by_class = self.cases.groupby(self.task)["group"]
            counts = ", ".join(f"{name} {count}" for name, count in by_class.nunique().items())
            told.append(
                f"Groups of iq_othnccd by class: {counts}; the largest holds "
                f"{self.cases['group'].value_counts().max()} of {len(self.cases)} pictures, so a single fold "
                "says little."
            )
        return told
