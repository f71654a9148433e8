"""Hoffman's scales for explainable AI: are readers satisfied with an explanation, and do they trust the
system?

Items 1 to 8 are the Explanation Satisfaction Scale, items 9 to 16 the Trust Scale for XAI, all from 1 to 5;
a scale's score is its mean. The sixth trust item (being wary, item 14 here) is reversed. Hoffman, Mueller,
Klein and Litman, arXiv 1812.04608 (2018) and Frontiers in Computer Science 2023;5:1096257.
"""

from dataclasses import dataclass
from typing import ClassVar

from studykit.trust.questionnaire import Questionnaire


@dataclass(frozen=True)
class Hoffman(Questionnaire, name="hoffman"):
    """Explanation satisfaction and trust, each a mean from 1 to 5; either can be asked alone.

    The wording is not shipped: give it to `asked`. missing: "refuse", "mean" or "middle".
    """

    title: ClassVar[str] = "Hoffman's scales for explainable AI"
    question: ClassVar[str] = "Are readers satisfied with the explanations, and do they trust the system?"
    scales: ClassVar[dict[str, tuple[int, ...]]] = {
        "explanation satisfaction": tuple(range(1, 9)),
        "trust (Hoffman)": tuple(range(9, 17)),
    }
    opposed: ClassVar[tuple[int, ...]] = (14,)
    source: ClassVar[str] = (
        "wording in Hoffman, Mueller, Klein, Litman, Frontiers in Computer Science 2023;5:1096257, "
        "doi 10.3389/fcomp.2023.1096257 (CC BY); with the name of the system put in, so the texts are a slot"
    )
