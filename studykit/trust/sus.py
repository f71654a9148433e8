"""The System Usability Scale (SUS): is the system easy to use, from 0 to 100?

Ten items from 1 to 5; odd ones count answer - 1, even ones 5 - answer, and their sum is multiplied by 2.5.
It is no percentage. Brooke, "SUS: a quick and dirty usability scale", in Usability Evaluation in Industry,
Taylor and Francis 1996; Brooke, J Usability Studies 2013;8:29.
"""

from dataclasses import dataclass
from typing import ClassVar

from studykit.trust.questionnaire import Questionnaire


@dataclass(frozen=True)
class Sus(Questionnaire, name="sus"):
    """The System Usability Scale, 0 (worst) to 100 (best); each reader and the mean with its t interval.

    missing: "refuse", "mean" or "middle" (which its author asks of respondents who cannot answer an item).
    """

    title: ClassVar[str] = "System Usability Scale"
    question: ClassVar[str] = "How usable do readers find the system?"
    scales: ClassVar[dict[str, tuple[int, ...]]] = {"System Usability Scale": tuple(range(1, 11))}
    opposed: ClassVar[tuple[int, ...]] = (2, 4, 6, 8, 10)
    zero: ClassVar[float] = 1.0
    unit: ClassVar[float] = 25.0
    source: ClassVar[str] = (
        "John Brooke, Digital Equipment Corporation, 1986; made freely available by its author, to be passed "
        "on, with the source acknowledged (J Usability Studies 2013;8:29)"
    )
    wording: ClassVar[tuple[str, ...]] = (
        "I think that I would like to use this system frequently.",
        "I found the system unnecessarily complex.",
        "I thought the system was easy to use.",
        "I think that I would need the support of a technical person to be able to use this system.",
        "I found the various functions in this system were well integrated.",
        "I thought there was too much inconsistency in this system.",
        "I would imagine that most people would learn to use this system very quickly.",
        "I found the system very cumbersome to use.",
        "I felt very confident using the system.",
        "I needed to learn a lot of things before I could get going with this system.",
    )
