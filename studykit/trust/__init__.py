"""What readers rated, how far they agree, and how sure that is: no torch, no Panel."""

from studykit.trust.item import Item
from studykit.trust.statistic import NotEstimable, Statistic
from studykit.trust.study import Study

__all__ = ["Item", "NotEstimable", "Statistic", "Study"]
