"""The findings as a page for the terminal."""

import textwrap
from itertools import zip_longest

import pandas as pd

from studykit.audit.check import LEVELS, Check

WIDTH = 100
SUBJECT = 24  # letters, at most
SHOWN = {"problem": "PROBLEM", "note": "note", "fact": ""}


def report(table: pd.DataFrame) -> str:
    """The table of `checked` as text: one part a check, its problems first, what they sum to at the end."""
    lines: list[str] = []
    for name, rows in table.groupby("check", sort=False):
        lines += [Check.catalogue[name].title if name in Check.catalogue else str(name)]
        order = rows["level"].map(LEVELS.index).sort_values(kind="stable").index
        wide = min(SUBJECT, rows["subject"].map(len).max())
        lines += [line for _, row in rows.loc[order].iterrows() for line in _lines(row, wide)]
        lines += [""]
    return "\n".join([*lines, summary(table)])


def summary(table: pd.DataFrame) -> str:
    """One line: how many problems, notes and facts there are."""
    counts = [int((table["level"] == level).sum()) for level in LEVELS]
    told = ", ".join(f"{n} {level}{'' if n == 1 else 's'}" for n, level in zip(counts, LEVELS, strict=True))
    return f"{told}." + (" Solve the problems before you train." if counts[0] else "")


def _lines(row: pd.Series, wide: int) -> list[str]:
    """One finding: its level, its subject and its sentence side by side."""
    told = textwrap.wrap(row["says"], WIDTH - wide - 13)
    about = textwrap.wrap(row["subject"], wide) or [""]
    level = SHOWN[row["level"]]
    pairs = enumerate(zip_longest(about, told, fillvalue=""))
    return [f"  {'' if at else level:8} {left:{wide}}  {right}".rstrip() for at, (left, right) in pairs]
