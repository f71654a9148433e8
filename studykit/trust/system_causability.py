"""The System Causability Scale (SCS): do the explanations let a reader understand why, from 0.2 to 1?

Ten items from 1 to 5, all in the same direction; their sum is divided by 50. Holzinger, Carrington and
Mueller, KI - Kuenstliche Intelligenz 2020;34:193, doi 10.1007/s13218-020-00636-z.
"""

from dataclasses import dataclass
from typing import ClassVar

from studykit.trust.questionnaire import Questionnaire


@dataclass(frozen=True)
class SystemCausability(Questionnaire, name="system_causability"):
    """The System Causability Scale, sum / 50; each reader and the mean with its t interval.

    missing: "refuse", "mean" or "middle".
    """

    title: ClassVar[str] = "System Causability Scale"
    question: ClassVar[str] = "Do the explanations let readers understand why the system says what it says?"
    scales: ClassVar[dict[str, tuple[int, ...]]] = {"System Causability Scale": tuple(range(1, 11))}
    unit: ClassVar[float] = 0.2
    source: ClassVar[str] = (
        "Holzinger, Carrington, Mueller, KI - Kuenstliche Intelligenz 2020;34:193, "
        "doi 10.1007/s13218-020-00636-z, CC BY 4.0"
    )
    wording: ClassVar[tuple[str, ...]] = (
        "I found that the data included all relevant known causal factors with sufficient precision and "
        "granularity.",
        "I understood the explanations within the context of my work.",
        "I could change the level of detail on demand.",
        "I did not need support to understand the explanations.",
        "I found the explanations helped me to understand causality.",
        "I was able to use the explanations with my knowledge base.",
        "I did not find inconsistencies between explanations.",
        "I think that most people would learn to understand the explanations very quickly.",
        "I did not need more references in the explanations: e.g., medical guidelines, regulations.",
        "I received the explanations in a timely and efficient manner.",
    )
