"""Reading a statistic's table, and making tables of ratings, in tests."""

import itertools

import numpy as np
import pandas as pd


def value(told, statistic, group="all", column="estimate"):
    """One cell; fails where there is not exactly one such row."""
    (found,) = told.loc[(told["statistic"] == statistic) & (told["group"] == group), column]
    return found


def crossed(values, condition=True):
    """A long table from an array (readers, cases, conditions); NaN cells are left out."""
    values = np.asarray(values, dtype=float)
    places = itertools.product(*map(range, values.shape))
    table = pd.DataFrame(
        [(f"r{r:02}", f"c{c:02}", f"k{k}", values[r, c, k]) for r, c, k in places],
        columns=["reader", "case", "condition", "rating"],
    )
    return table.dropna().reset_index(drop=True)
