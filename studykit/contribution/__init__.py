"""Modality contribution and its neighbours, for any model; the room loads neither Panel nor timm."""

from studykit.contribution.contribution import Contribution, joined, painted
from studykit.contribution.fill import Fill
from studykit.contribution.neighbour import Neighbour, beside
from studykit.contribution.occlusion import modality_contribution
from studykit.contribution.parts import Columns, Cut, Parts, Patches, Whole, Words, cut
from studykit.contribution.question import Question

# The neighbours, in the order in which tables show them:
# isort: off
from studykit.contribution.occlusion_by_part import OcclusionByPart
from studykit.contribution.whole_occlusion import WholeOcclusion
from studykit.contribution.granularity import Granularity
from studykit.contribution.shapley import Shapley
from studykit.contribution.mm_shap import MMSHAP
from studykit.contribution.gradient_share import GradientShare
from studykit.contribution.emap import EMAP
from studykit.contribution.missing import Missing
from studykit.contribution.perceptual import Perceptual
from studykit.contribution.shape_score import ShapeScore
# isort: on

__all__ = [
    "EMAP", "MMSHAP", "Columns", "Contribution", "Cut", "Fill", "GradientShare", "Granularity", "Missing",
    "Neighbour", "OcclusionByPart", "Parts", "Patches", "Perceptual", "Question", "ShapeScore", "Shapley",
    "Whole", "WholeOcclusion", "Words", "beside", "cut", "joined", "modality_contribution", "painted",
]  # fmt: skip
