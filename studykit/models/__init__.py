"""Fusion models and the baselines that each must beat; importing this room joins them to the catalogue."""

from studykit.models.alone import Alone
from studykit.models.attention_gate import AttentionGateFusion
from studykit.models.concat import Concat
from studykit.models.cross_attention import CrossAttention
from studykit.models.daft import DAFT
from studykit.models.drifa import DRIFANet
from studykit.models.encoders import Columns, Encoder, Residual, Timm
from studykit.models.film import FiLM
from studykit.models.fusion import FusionModel, Head, class_logit, probabilities
from studykit.models.gmu import GMU
from studykit.models.kan import Kan
from studykit.models.late import Late
from studykit.models.mmcaf import MMCAF
from studykit.models.mmtm import MMTM
from studykit.models.taps import hold, taps, watch
from studykit.models.words import Words

__all__ = [
    "DAFT", "GMU", "MMCAF", "MMTM", "Alone", "AttentionGateFusion", "Columns", "Concat", "CrossAttention",
    "DRIFANet", "Encoder", "FiLM", "FusionModel", "Head", "Kan", "Late", "Residual", "Timm", "class_logit",
    "Words", "hold", "probabilities", "taps", "watch",
]  # fmt: skip
