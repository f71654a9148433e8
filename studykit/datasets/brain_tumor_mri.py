"""Brain MRI slices, each with a glioma, a meningioma, a pituitary tumour or none, without any record.

Nickparvar M. Brain Tumor MRI Dataset. Kaggle 2021. doi:10.34740/kaggle/dsv/2645886. It joins three older
sets: Cheng's (figshare 1512427), SARTAJ and Br35H.
"""

from dataclasses import dataclass

from studykit.datasets.card import Card
from studykit.datasets.class_folders import ClassFolders

TRAINING, TESTING = "Training", "Testing"


@dataclass(frozen=True)
class BrainTumorMRI(ClassFolders, name="brain_tumor_mri"):
    """The original layout: `Training/<class>/*.jpg` and `Testing/<class>/*.jpg`.

    The official split leaks and is ignored: both folders are read, and folds are made by group.

    folder: where it stands; by default `brain-tumor-mri` in $STUDYKIT_DATA or in data/. In it may stand
        `index.csv` (columns `file`, `group`) saying which pictures belong together.
    """

    folder: str = ""
    classes: tuple[str, ...] = ("glioma", "meningioma", "notumor", "pituitary")
    size: int = 128

    card = Card(
        title="Brain Tumor MRI Dataset, slices of three public sets: 7023 pictures in four classes",
        source="https://www.kaggle.com/datasets/masoudnickparvar/brain-tumor-mri-dataset",
        citation="Nickparvar. Kaggle 2021, doi:10.34740/kaggle/dsv/2645886; Cheng, figshare 1512427",
        licence="CC0 on Kaggle (check it there); the part that comes from Cheng is CC BY 4.0",
        label="the class folder: glioma, meningioma, notumor or pituitary",
        group="near-duplicates where index.csv joins them, else exact copies; patients are not known",
        defects=(
            "the official split leaks: of 1311 Testing pictures 259 have a practically identical twin in "
            "Training, so it is not used here",
            "426 of 7019 files are pixel-identical copies of others",
            "no patient identifiers: neighbouring slices of one patient stand under many names",
            "three sources, and notumor comes from other scanners than the tumours: a model may tell the "
            "scanner",
            "no record and no outlines; some groups of near-duplicates hold two classes",
        ),
    )
    home = "brain-tumor-mri"
    places = (TRAINING, TESTING)
    named = {name: name for name in ("glioma", "meningioma", "notumor", "pituitary")}
    known_classes = tuple(named)
    task = "tumour"
    gray = 0.19

    def notes(self) -> list[str]:
        """Besides the doubts about groups: how far the official split of these very files leaks."""
        place = self.cases.index.map(lambda case: self._scans[case][0].parent.parent.name)
        groups = self.cases["group"]
        both = set(groups[place == TRAINING]) & set(groups[place == TESTING])
        tested = groups[place == TESTING]
        return [
            f"The official split of brain-tumor-mri is not used: {len(both)} of {groups.nunique()} groups "
            f"have pictures in both {TRAINING} and {TESTING} ({tested.isin(both).sum()} of {len(tested)} "
            f"{TESTING} pictures).",
            *super().notes(),
        ]
