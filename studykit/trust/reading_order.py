"""Who reads which case when, and with which aid, so that no case, reader or order passes for an aid's effect.

Reader r (from 0, by lot) meets case i (from 0, by lot) in condition i + r modulo the number of conditions: a
Latin square, by which a reader, or a case, meets one condition at most once oftener than another. That holds
in every run of neighbouring cases, too, such as those with a planted wrong aid. Conditions come in blocks;
the order of blocks is a Williams square, in which each condition stands equally often in each place and
follows each other one equally often (Williams 1949, Aust J Sci Res A 2:149).
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np


class Reading(NamedTuple):
    """One reader meets one case; sessions count from 1; repeat: 0 for the first reading, 1 for the second."""

    case: str
    condition: str
    session: int
    repeat: int


def blocks(conditions: int, reader: int) -> list[int]:
    """The order in which a reader meets the conditions, as numbers from 0.

    So many readers as there are conditions make a Latin square; carry-over is balanced where the number of
    readers is a multiple of that of the conditions (of twice that, where it is odd).
    """
    zigzag = [(step + 1) // 2 if step % 2 else -(step // 2) for step in range(conditions)]
    square = reader // conditions
    if conditions % 2 and square % 2:
        zigzag.reverse()
    # minus the reader, and one row later in each square, or a group of cases would always be met in one place
    return [(step - reader + square) % conditions for step in zigzag]


def sessions(
    cases: Sequence[str], conditions: Sequence[str], reader: int, count: int, rng: np.random.Generator
) -> list[list[list[Reading]]]:
    """What a reader meets in `count` sessions: sessions of blocks of readings.

    In each session a reader meets every case once; in the next one in the next condition, in a block at the
    same place, so that two readings of a case never come close.
    """
    places, found = blocks(len(conditions), reader), []
    for session in range(count):
        found.append([])
        for place in places:
            inside = [case for i, case in enumerate(cases) if (i + reader - place) % len(conditions) == 0]
            condition = conditions[(place + session) % len(conditions)]
            shuffled = [inside[i] for i in rng.permutation(len(inside))]
            found[-1].append([Reading(case, condition, session + 1, 0) for case in shuffled])
    return found


def repeated(last: list[list[Reading]], count: int, rng: np.random.Generator) -> list[Reading]:
    """`count` readings of the last session once more, in a session of their own.

    They are drawn from the first half of each block, equally often from each, and come in the order of their
    first reading: far from it even where nobody waits between the sessions.
    """
    taken = [0] * len(last)
    for _ in range(count):
        room = [place for place, block in enumerate(last) if taken[place] < len(block)]
        taken[min(room, key=taken.__getitem__)] += 1
    chosen = []
    for block, number in zip(last, taken, strict=True):
        pool = max((len(block) + 1) // 2, number)
        places = np.sort(rng.choice(pool, number, replace=False)) if number else []
        chosen += [block[place]._replace(session=block[place].session + 1, repeat=1) for place in places]
    return chosen


def orders(
    readers: Sequence[str],
    cases: Sequence[str],
    conditions: Sequence[str],
    every: bool,
    groups: int,
    repeats: float,
    rng: np.random.Generator,
) -> dict[str, tuple[Reading, ...]]:
    """Each reader's readings in their order.

    readers: dealt by lot. cases: arranged so that what must be balanced stands side by side. every: each case
    in every condition, a session each, else in one. groups: of readers, each with its own cases. repeats:
    the share of a reader's cases read twice.
    """
    by_lot = [readers[i] for i in rng.permutation(len(readers))]
    found = {}
    for number, reader in enumerate(by_lot):
        own = list(cases[number % groups :: groups])
        met = sessions(own, conditions, number // groups, len(conditions) if every else 1, rng)
        again = repeated(met[-1], round(repeats * len(own)), rng)
        found[reader] = (*(reading for session in met for block in session for reading in block), *again)
    return {reader: found[reader] for reader in readers}
