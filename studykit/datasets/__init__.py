"""Data sets, one a file; importing this room joins them to the catalogue."""

from studykit.datasets.breast_lesions_usg import BreastLesionsUSG
from studykit.datasets.breast_phantom import BreastPhantom
from studykit.datasets.busi import BUSI
from studykit.datasets.chest_phantom import ChestPhantom
from studykit.datasets.dataset import Dataset
from studykit.datasets.prepared import Prepared
from studykit.datasets.split import split
from studykit.datasets.unrelated_pair import UnrelatedPair
from studykit.datasets.xor_phantom import XorPhantom

__all__ = [
    "BUSI",
    "BreastLesionsUSG",
    "BreastPhantom",
    "ChestPhantom",
    "Dataset",
    "Prepared",
    "UnrelatedPair",
    "XorPhantom",
    "split",
]
