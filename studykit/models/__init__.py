"""Fusion models and the baselines that each must beat; importing this room joins them to the catalogue."""

from studykit.models.alone import Alone
from studykit.models.concat import Concat
from studykit.models.encoders import Columns, Encoder, Timm
from studykit.models.fusion import FusionModel, Head, class_logit, probabilities

__all__ = [
    "Alone", "Columns", "Concat", "Encoder", "FusionModel", "Head", "Timm", "class_logit", "probabilities",
]  # fmt: skip
