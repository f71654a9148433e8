"""How good maps are, one score a file; importing this room joins them to the catalogue."""

from studykit.quality.score import Asked, Score, Scored, heat_of, speaking

__all__ = ["Asked", "Score", "Scored", "heat_of", "speaking"]
