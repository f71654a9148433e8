"""Fusion models and the baselines that each must beat; importing this room joins them to the catalogue."""

from studykit.models.alone import Alone
from studykit.models.concat import Concat
from studykit.models.encoders import Columns, Encoder, Residual3D, Timm
from studykit.models.fusion import FusionModel, Head, class_logit, probabilities
from studykit.models.taps import hold, taps, watch

__all__ = [
    "Alone", "Columns", "Concat", "Encoder", "FusionModel", "Head", "Residual3D", "Timm",
    "class_logit", "hold", "probabilities", "taps", "watch",
]  # fmt: skip
