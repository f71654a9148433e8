"""Which columns are refused, and does a column in use read out the label all by itself?"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.stats import spearmanr

from studykit.audit.check import Check, Finding
from studykit.audit.looked import Looked
from studykit.catalog import InputError


@dataclass(frozen=True)
class Columns(Check, name="columns"):
    """A column's score tells one class from all others, 0.5 by chance and 1 without fail; see `readout`.

    Where a number is to be predicted it is how well the column alone follows it, from 0 to 1; see `follows`.
    certain: a score above it is a problem, and a note where only the cases that have a value are told apart.
    least: the patients that a class and the others need for that. A finding's value is the score.
    It is a note, too, where for more than half of the patients there is a word that no other patient has.
    """

    certain: float = 0.99
    least: int = 10

    title = "Columns: refused, or in use and how well each alone tells a class (0.5 chance, 1 always)"

    def __call__(self, looked: Looked) -> Iterator[Finding]:  # noqa: D102
        dataset = looked.dataset
        used = (*dataset.record, *dataset.texts)
        for column, why in dataset.refused.items():
            if column in used:
                yield Finding("problem", column, f"in use although it is refused: {why}.")
            else:
                yield Finding("fact", column, f"refused: {why}.")
        if not used:
            yield Finding("fact", "none", "no column is in use.")
        else:
            yield Finding("fact", "in use", f"{', '.join(used)}.", (), len(used))
        for column in used:
            if column in [task.name for task in dataset.tasks]:
                yield Finding("problem", column, "it is the label itself, and in use; take it out.")
        for column in dataset.record:
            yield from self._names_patients(looked, column)
            for task, classes in looked.members.items():
                yield from (self._reads if classes else self._follows)(looked, column, task)
        for column in dataset.texts:
            for task in [name for name, classes in looked.members.items() if classes]:
                yield from _says_class(looked, column, task)

    def _reads(self, looked: Looked, column: str, task: str) -> Iterator[Finding]:
        labelled = looked.labelled(task)
        known = labelled[looked.cases.loc[labelled, column].notna()]
        score, name = self._best(looked, column, task, labelled)
        surely, told = self._best(looked, column, task, known)
        if score > self.certain:
            says = f"alone it tells {name} ({task}) with {score:.3f}: it reads out the label; leave it out."
            yield Finding("problem", column, says, labelled, score)
        elif surely > self.certain:
            says = f"where it is known ({looked.counted(known)}) it alone tells {told} ({task}) with "
            says += f"{surely:.3f}; where it is missing it cannot."
            yield Finding("note", column, says, known, surely)
        elif name:
            says = f"alone it tells {name} ({task}) with {score:.2f}."
            yield Finding("fact", column, says, labelled, score)

    def _follows(self, looked: Looked, column: str, task: str) -> Iterator[Finding]:
        labelled = looked.labelled(task)
        known = labelled[looked.cases.loc[labelled, column].notna()]
        if looked.patients(known) < self.least or looked.cases.loc[known, task].nunique() < 2:
            return
        rows = looked.cases.loc[known]
        score = follows(rows[column], rows[task], rows["group"])
        says = f"where it is known ({looked.counted(known)}) it alone follows {task} with {score:.2f}."
        if score > self.certain:
            says = f"alone it follows {task} with {score:.3f}: it reads out the label; leave it out."
        yield Finding("problem" if score > self.certain else "fact", column, says, known, score)

    def _best(self, looked: Looked, column: str, task: str, cases: pd.Index) -> tuple[float, str]:
        """The highest score of the column in these cases, and its class; NaN where no class has enough."""
        found = [(np.nan, "")]
        for name, sides in looked.told_apart(task).items():
            if min(looked.patients(cases.intersection(side)) for side in sides) >= self.least:
                rows = looked.cases.loc[cases]
                found.append((readout(rows[column], cases.isin(sides[0]), rows["group"]), name))
        return max(found[1:], default=found[0])

    def _names_patients(self, looked: Looked, column: str) -> Iterator[Finding]:
        cells = looked.cases[column].dropna()
        if len(cells) == 0 or _is_number(cells):
            return
        owners = looked.cases.loc[cells.index, "group"].groupby(cells.map(str)).nunique()
        own = int((owners == 1).sum())
        if own > looked.patients(cells.index) / 2:
            says = f"{own} of its {len(owners)} values belong to one patient only: it names the patient."
            yield Finding("note", column, says, cells.index)


def readout(cells: pd.Series, inside: np.ndarray, groups: pd.Series) -> float:
    """How well one column alone tells the cases `inside` a class from the others: 0.5 by chance, 1 always.

    Of numbers it is the AUROC of the number (or of its reverse, where that is higher), a missing one standing
    at their median. Of words it is balanced accuracy, where each case is guessed to be of the
    side among whose other patients its word is more frequent; missing is a word like the others, and where
    no other patient has the word the guess counts as wrong. Raises InputError where one side is empty.
    """
    if inside.all() or not inside.any():
        raise InputError(f"All cases are on one side of '{cells.name}'; a score needs two classes.")
    if _is_number(cells):
        values = cells.astype(float).fillna(cells.median()).fillna(0.0)  # 0 where none is known
        count = inside.sum()
        ranks = values.rank().to_numpy()
        area = (ranks[inside].sum() - count * (count + 1) / 2) / (count * (~inside).sum())
        return float(max(area, 1 - area))
    word = pd.factorize(cells.map(lambda cell: "missing" if pd.isna(cell) else f"={cell}"))[0]
    owner, side = pd.factorize(groups)[0], inside.astype(int)
    own = pd.factorize(word * (owner.max() + 1) + owner)[0]  # one number a pair of word and patient
    of_word, of_patient = np.zeros((word.max() + 1, 2)), np.zeros((own.max() + 1, 2))
    np.add.at(of_word, (word, side), 1)
    np.add.at(of_patient, (own, side), 1)
    share = (of_word[word] - of_patient[own]) / np.bincount(side)  # (cases, 2): other patients' cases
    right = share[np.arange(len(side)), side] > share[np.arange(len(side)), 1 - side]
    return float((right[inside].mean() + right[~inside].mean()) / 2)


def follows(cells: pd.Series, targets: pd.Series, groups: pd.Series) -> float:
    """How well one column alone tells a number, both known of all cases: 0 by chance, 1 always.

    Of numbers it is Spearman's correlation without its sign. Of words it is the share of the variance that is
    told by guessing the mean of the other patients' cases with the same word, or of all where there is none.
    """
    targets = targets.astype(float) - targets.mean()
    if _is_number(cells):
        return abs(float(spearmanr(cells.astype(float), targets).statistic)) if cells.nunique() > 1 else 0.0
    words = cells.map(str)
    of_word, own = targets.groupby(words), targets.groupby([words, groups])
    count = of_word.transform("count") - own.transform("count")
    total = of_word.transform("sum") - own.transform("sum")
    guess = (total / count.where(count > 0)).fillna(0.0)
    return max(0.0, 1 - float(((targets - guess) ** 2).sum() / (targets**2).sum()))


def _is_number(cells: pd.Series) -> bool:
    return pd.api.types.is_numeric_dtype(cells) and not pd.api.types.is_bool_dtype(cells)


def _says_class(looked: Looked, column: str, task: str) -> Iterator[Finding]:
    """Texts in which the name of the case's own class stands."""
    texts = looked.cases[column].dropna().map(lambda text: str(text).casefold())
    found = False
    for name, ids in looked.members[task].items():
        own = texts[texts.index.isin(ids)]
        named = own.index[own.str.contains(rf"(?<!\w){re.escape(name.casefold())}(?!\w)").astype(bool)]
        if len(named):
            found = True
            says = f"the very word stands in {len(named)} of {len(own)} texts of class {name} ({task})."
            yield Finding("note", column, says, named, len(named) / len(own))
    if not found:
        yield Finding("fact", column, f"no text holds the name of its class ({task}).", texts.index, 0.0)
