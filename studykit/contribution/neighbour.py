"""What is asked beside modality contribution: other measures of what a model leans on, in one table.

No single number answers "what are you looking at?". Each neighbour sees something that occlusion part by part
does not: redundancy, interaction, the labels. The table says what each asks, what it costs and whether it
needs labels.
"""

from collections.abc import Callable, Iterable

import numpy as np
import pandas as pd

from studykit.catalog import InputError, Named, build
from studykit.contribution.contribution import divided
from studykit.contribution.question import Question

COLUMNS = ["statistic", "group", "estimate", "low", "high", "n", "why"]


class Neighbour(Named):
    """A measure. `title` on a page; `asks` in a sentence; `cost` in words of N cases, M modalities, h
    parts.
    """

    title: str
    asks: str
    cost: str
    labels: bool = False

    def suits(self, question: Question) -> str:
        """Why it cannot be asked of this model and these cases, with the remedy; empty where it can."""
        if self.labels and question.task is None:
            return "it needs to know the task; give 'task'."
        if self.labels and not question.known.any():
            return "it needs labels and none of these cases has one; give 'targets'."
        if len(question.modalities) < 2:
            return f"the model sees {next(iter(question.modalities))} alone; there is nothing to share."
        return ""

    def table(self, question: Question) -> pd.DataFrame:
        """Columns statistic, group (mostly the modality), estimate, low, high, n, why (not estimable)."""
        reason = self.suits(question)
        if reason:
            row = question.row(self.title, "", np.nan, np.empty(0), reason)
            return pd.DataFrame([{**row, "n": 0}], columns=COLUMNS)
        return pd.DataFrame(self.rows(question), columns=COLUMNS)

    def rows(self, question: Question) -> list[dict]:
        """The lines of the table, each made by `question.row`."""
        raise NotImplementedError


def beside(
    question: Question,
    neighbours: Iterable[Neighbour | str | dict] = (),
    watch: Callable[[Iterable], Iterable] = iter,
) -> pd.DataFrame:
    """Modality contribution and its neighbours (all of the catalogue by default) in one table.

    Columns: measure, statistic, group, estimate, low, high, n, why, asks, labels, cost, forwards (rows that
    went through the model for it; what an earlier measure had asked is not asked again).
    """
    chosen = [n if isinstance(n, Neighbour) else build(Neighbour, n) for n in neighbours]
    chosen = chosen or [cls() for cls in Neighbour.catalogue.values()]
    tables = []
    for neighbour in watch(chosen):
        before = question.forwards
        table = neighbour.table(question)
        table.insert(0, "measure", neighbour.title)
        about = {"asks": neighbour.asks, "labels": neighbour.labels, "cost": neighbour.cost}
        tables.append(table.assign(**about, forwards=question.forwards - before))
    return pd.concat(tables, ignore_index=True)


def shares(sizes: np.ndarray) -> np.ndarray:
    """Sizes (..., modalities) as shares of their sum; NaN where nothing moved."""
    return divided(sizes, sizes.sum(axis=-1, keepdims=True))


def share_rows(question: Question, statistic: str, sizes: np.ndarray, why: str = "") -> list[dict]:
    """A line a modality: the ratio of means of sizes (N, modalities), with bootstrap intervals."""
    if not np.isfinite(sizes).all():
        raise InputError(f"{statistic}: a size is not a number; look at the model's answers.")
    own, drawn = shares(sizes.mean(axis=0)), shares(question.weights @ sizes)
    nothing = "" if not np.isnan(own).any() else "nothing moved"
    return [
        question.row(statistic, name, own[at], drawn[:, at], why or nothing)
        for at, name in enumerate(question.modalities)
    ]
