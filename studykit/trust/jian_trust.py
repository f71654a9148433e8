"""Trust between people and automation (Jian): distrust and trust, two scales and never one sum.

Twelve items from 1 to 7: the mean of items 1 to 5 is distrust, that of items 6 to 12 trust. They are not the
ends of one line (Spain et al., Proc Human Factors Soc 2008;52:1335), so no item is reversed and nothing is
added up. Jian, Bisantz and Drury, Int J Cognitive Ergonomics 2000;4:53.
"""

from dataclasses import dataclass
from typing import ClassVar

from studykit.trust.questionnaire import Questionnaire


@dataclass(frozen=True)
class JianTrust(Questionnaire, name="jian_trust"):
    """Distrust (items 1 to 5) and trust (items 6 to 12), each a mean from 1 to 7.

    The wording is not shipped: give it to `asked`. missing: "refuse", "mean" or "middle".
    """

    title: ClassVar[str] = "Trust between people and automation"
    question: ClassVar[str] = "How far do readers trust the system, and how far do they distrust it?"
    scales: ClassVar[dict[str, tuple[int, ...]]] = {
        "distrust (Jian)": tuple(range(1, 6)),
        "trust (Jian)": tuple(range(6, 13)),
    }
    highest: ClassVar[int] = 7
    source: ClassVar[str] = (
        "wording in Jian, Bisantz, Drury, Int J Cognitive Ergonomics 2000;4:53, "
        "doi 10.1207/S15327566IJCE0401_04; no licence to pass it on was found, so the texts are a slot"
    )
