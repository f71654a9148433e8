"""How good maps are, one score a file; importing this room joins them to the catalogue."""

from studykit.quality import (
    agreement,
    completeness,
    degradation,
    deletion,
    dice,
    infidelity,
    insertion,
    iou,
    irof,
    max_sensitivity,
    pointing_game,
    randomisation,
    relevance_mass,
    relevance_rank,
    road,
    sparseness,
)
from studykit.quality.grading import grades
from studykit.quality.quality import quality
from studykit.quality.score import Asked, Score, Scored, heat_of, speaking
from studykit.quality.summary import coherence, summary

__all__ = [
    "Asked", "Score", "Scored", "coherence", "grades", "heat_of", "quality", "speaking", "summary",
    "agreement", "completeness", "degradation", "deletion", "dice", "infidelity", "insertion", "iou", "irof",
    "max_sensitivity", "pointing_game", "randomisation", "relevance_mass", "relevance_rank", "road",
    "sparseness",
]  # fmt: skip
