"""What readers rated, how far they agree, and how sure that is: no torch, no Panel.

The store of ratings is imported by its own name, `studykit.trust.store`: statistics need no database.
"""

from studykit.trust.brennan_prediger import BrennanPrediger
from studykit.trust.cohen_kappa import CohenKappa
from studykit.trust.conger_kappa import CongerKappa
from studykit.trust.cronbach_alpha import CronbachAlpha
from studykit.trust.dbm import Dbm
from studykit.trust.delong import DeLong
from studykit.trust.fleiss_kappa import FleissKappa
from studykit.trust.free_text import FreeText
from studykit.trust.friedman import Friedman
from studykit.trust.gwet_ac import GwetAC
from studykit.trust.hoffman import Hoffman
from studykit.trust.icc import Icc
from studykit.trust.intra_reader import IntraReader
from studykit.trust.item import Item
from studykit.trust.jian_trust import JianTrust
from studykit.trust.krippendorff_alpha import KrippendorffAlpha
from studykit.trust.learning import Learning
from studykit.trust.light_kappa import LightKappa
from studykit.trust.mixed_model import MixedModel
from studykit.trust.mrmc import Mrmc
from studykit.trust.power import pilot, planned_power, sample_size, simulated_power
from studykit.trust.reliance import Reliance
from studykit.trust.roe_metz import roe_metz
from studykit.trust.sensitivity_specificity import SensitivitySpecificity
from studykit.trust.statistic import NotEstimable, Statistic
from studykit.trust.study import Study
from studykit.trust.sus import Sus
from studykit.trust.system_causability import SystemCausability
from studykit.trust.time_on_task import TimeOnTask
from studykit.trust.trust_calibration import TrustCalibration
from studykit.trust.wilcoxon import Wilcoxon

__all__ = [
    "BrennanPrediger", "CohenKappa", "CongerKappa", "CronbachAlpha", "Dbm", "DeLong", "FleissKappa",
    "FreeText", "Friedman", "GwetAC", "Hoffman", "Icc", "IntraReader", "Item", "JianTrust",
    "KrippendorffAlpha", "Learning", "LightKappa", "MixedModel", "Mrmc", "NotEstimable", "Reliance",
    "SensitivitySpecificity", "Statistic", "Study", "Sus", "SystemCausability", "TimeOnTask",
    "TrustCalibration", "Wilcoxon", "pilot", "planned_power", "roe_metz", "sample_size", "simulated_power",
]  # fmt: skip
