"""Data sets, one a file; importing this room joins them to the catalogue."""

from studykit.datasets.brain_tumor_mri import BrainTumorMRI
from studykit.datasets.breast_lesions_usg import BreastLesionsUSG
from studykit.datasets.breast_phantom import BreastPhantom
from studykit.datasets.bus_bra import BUSBRA
from studykit.datasets.busi import BUSI
from studykit.datasets.chest_phantom import ChestPhantom
from studykit.datasets.covid_chestxray import CovidChestXray
from studykit.datasets.dataset import Dataset
from studykit.datasets.either_pair import EitherPair
from studykit.datasets.ham10000 import HAM10000
from studykit.datasets.iq_othnccd import IQOTHNCCD
from studykit.datasets.leg_phantom import LegPhantom
from studykit.datasets.lung_pet_ct_dx import LungPETCTDx
from studykit.datasets.medmnist import MedMNIST
from studykit.datasets.own_folder import OwnFolder
from studykit.datasets.pad_ufes_20 import PADUFES20
from studykit.datasets.planted_patch import PlantedPatch
from studykit.datasets.prepared import Prepared
from studykit.datasets.redundant_pair import RedundantPair
from studykit.datasets.report_phantom import ReportPhantom
from studykit.datasets.split import split
from studykit.datasets.unrelated_pair import UnrelatedPair
from studykit.datasets.xor_phantom import XorPhantom

__all__ = [
    "BUSBRA", "BUSI", "HAM10000", "IQOTHNCCD", "BrainTumorMRI", "BreastLesionsUSG", "BreastPhantom",
    "ChestPhantom", "CovidChestXray", "Dataset", "EitherPair", "LegPhantom", "LungPETCTDx",
    "MedMNIST", "OwnFolder", "PADUFES20", "PlantedPatch", "Prepared", "RedundantPair", "ReportPhantom",
    "UnrelatedPair", "XorPhantom", "split",
]  # fmt: skip
