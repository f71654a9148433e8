"""A few of a question's cases, drawn by its seed, for measures that would take too long over all of them."""

from collections.abc import Sequence

import numpy as np

from studykit.catalog import InputError
from studykit.contribution.question import Question
from studykit.scores import draws


class FewCases:
    """At most `most` cases of a question. at: (n,) their positions, ascending; weights: (R, n), how often
    each counts in the bootstrap draws of their patients.
    """

    def __init__(self, question: Question, most: int):
        self.question = question
        by_id = np.argsort(np.asarray(question.asking.ids), kind="stable")  # whatever order they came in
        drawn = np.random.default_rng(question.seed).permutation(question.count)[:most]
        self.at = np.sort(by_id[drawn])
        groups = [question.asking.groups[case] for case in self.at]
        self.several = len(set(groups)) > 1
        self.weights = draws(groups, len(question.weights), question.seed)

    def __len__(self) -> int:
        return len(self.at)

    def row(
        self, statistic: str, group: str, estimate: float, drawn: Sequence | np.ndarray = (), why: str = ""
    ) -> dict:
        """As `Question.row`, of these cases."""
        row = self.question.row(statistic, group, estimate, drawn if self.several else (), why)
        return {**row, "n": len(self)}


def check_least(measure: str, setting: str, given: int, least: int) -> None:
    """InputError where a measure's setting is below what it needs."""
    if given < least:
        raise InputError(f"'{setting}' of {measure} is {least} or more, not {given}.")
