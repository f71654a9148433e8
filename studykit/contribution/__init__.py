"""Modality contribution and its neighbours, for any model; importing this room loads torch, nothing of ours
above.
"""

from studykit.contribution.contribution import Contribution, joined, painted
from studykit.contribution.fill import Fill
from studykit.contribution.neighbour import Neighbour, beside
from studykit.contribution.occlusion import modality_contribution
from studykit.contribution.occlusion_by_part import OcclusionByPart
from studykit.contribution.parts import Columns, Cut, Parts, Patches, Whole, Words, cut
from studykit.contribution.question import Question
from studykit.contribution.whole_occlusion import WholeOcclusion

__all__ = [
    "Columns", "Contribution", "Cut", "Fill", "Neighbour", "OcclusionByPart", "Parts", "Patches", "Question",
    "Whole", "WholeOcclusion", "Words", "beside", "cut", "joined", "modality_contribution", "painted",
]  # fmt: skip
