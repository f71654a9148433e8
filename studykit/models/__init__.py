"""Fusion models and the baselines that each must beat; importing this room joins them to the catalogue."""

from studykit.models.alone import Alone
from studykit.models.concat import Concat
from studykit.models.daft import DAFT
from studykit.models.drifa import DRIFANet
from studykit.models.encoders import Columns, Encoder, Residual, Timm
from studykit.models.film import FiLM
from studykit.models.fusion import FusionModel, Head, class_logit, probabilities
from studykit.models.gmu import GMU
from studykit.models.late import Late
from studykit.models.mmtm import MMTM
from studykit.models.taps import hold, taps, watch

__all__ = [
    "DAFT", "GMU", "MMTM", "Alone", "Columns", "Concat", "DRIFANet", "Encoder", "FiLM", "FusionModel", "Head",
    "Late", "Residual", "Timm", "class_logit", "hold", "probabilities", "taps", "watch",
]  # fmt: skip
